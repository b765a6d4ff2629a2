//! Realistic state logs to try things with: a head that opens, transacts, takes deposits, closes and fans out, again and again.
//!
//! The story is causally valid: a transaction spends outputs that exist, its id is the hash of its body, each snapshot continues the one before, and
//! what an event says of the UTxO is what the events before it lead to. Sizes and the mix of events follow what is known of real logs.

mod ledger;
mod open_head;
mod random;
mod state;
mod story;

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use story::{Stop, Story};

/// In which version's form events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Schema {
    /// hydra-node 0.16: an id, no time.
    V0_16,
    /// hydra-node 0.22: with time; deposits; checkpoints that hold a HeadState.
    V0_22,
    /// hydra-node 1.0 to 1.2: checkpoints that hold a NodeState.
    V1,
    /// hydra-node 2.0: heads open directly, with nothing in them.
    V2_0,
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V0_16 => "0.16",
            Self::V0_22 => "0.22",
            Self::V1 => "1.x",
            Self::V2_0 => "2.0",
        })
    }
}

/// A text that names no schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown schema {0:?}; known are 0.16, 0.22, 1.x, 2.0")]
pub struct UnknownSchema(String);

impl FromStr for Schema {
    type Err = UnknownSchema;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = [Self::V0_16, Self::V0_22, Self::V1, Self::V2_0];
        known.into_iter().find(|schema| schema.to_string() == text).ok_or_else(|| UnknownSchema(text.to_owned()))
    }
}

/// What log to write.
#[derive(Clone, Debug)]
pub struct Sample {
    /// How many events, with ids from 0.
    pub events: u64,
    /// The same seed gives the same log.
    pub seed: u64,
    /// In which version's form.
    pub schema: Schema,
    /// A checkpoint after every so many events, on top of them; from schema 0.22.
    pub checkpoint_every: Option<u64>,
}

/// Why no sample was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// hydra-node wrote no checkpoints then.
    #[error("schema {0} has no checkpoints; they came with 0.22")]
    NoCheckpoints(Schema),
    /// The output failed.
    #[error("cannot write the sample")]
    Io(#[from] io::Error),
}

impl Sample {
    /// Says whether such a log can be written.
    ///
    /// # Errors
    ///
    /// [`SampleError::NoCheckpoints`].
    pub fn check(&self) -> Result<(), SampleError> {
        match self.schema {
            Schema::V0_16 if self.checkpoint_every.is_some() => Err(SampleError::NoCheckpoints(self.schema)),
            _ => Ok(()),
        }
    }

    /// Writes the log; `progress` is told the number of events written now and then.
    ///
    /// # Errors
    ///
    /// [`SampleError`].
    pub fn write(&self, out: &mut impl Write, progress: impl FnMut(u64)) -> Result<(), SampleError> {
        self.check()?;
        let mut story = Story::new(self, out, progress);
        loop {
            match story.tell_one_head() {
                Ok(()) => {}
                Err(Stop::Enough) => return Ok(out.flush()?),
                Err(Stop::Io(error)) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::event::StateEvent;
    use crate::head::HeadFold;

    /// So many events, and the state that the story itself has then.
    fn told(schema: Schema, events: u64) -> (Vec<StateEvent>, Value) {
        let sample = Sample { events, seed: 11, schema, checkpoint_every: Some(events) };
        let mut out = Vec::new();
        let mut story = Story::new(&sample, &mut out, |_| {});
        while story.tell_one_head().is_ok() {}
        let mut lines: Vec<StateEvent> =
            String::from_utf8(out).unwrap().lines().map(|line| StateEvent::parse(line).unwrap()).collect();
        let checkpoint: Value = serde_json::from_str(lines.pop().unwrap().json()).unwrap();
        (lines, checkpoint["stateChanged"]["state"].clone())
    }

    /// Takes out what stood in the head until 0.22: deposits and slot.
    fn beside_the_head(head: &mut Value) -> (Option<Value>, Option<Value>) {
        let contents = head["contents"].as_object_mut().unwrap();
        let slot = contents.remove("currentSlot");
        let ledger = contents.get_mut("coordinatedHeadState").and_then(Value::as_object_mut);
        (ledger.and_then(|ledger| ledger.remove("pendingDeposits")), slot)
    }

    #[test]
    fn events_fold_to_the_state_that_the_story_has() {
        for schema in [Schema::V0_16, Schema::V0_22, Schema::V1, Schema::V2_0] {
            let mut tags = std::collections::BTreeSet::new();
            for events in (1..40).chain((40..1_400).step_by(47)).chain([2_500]) {
                let (lines, mut expected) = told(schema, events);
                let mut fold = HeadFold::new();
                lines.iter().for_each(|event| fold.apply(event).unwrap());
                tags.insert(fold.head().tag());
                let found: Value = serde_json::from_str(&fold.state().to_json()).unwrap();
                let note = format!("schema {schema}, {events} events");
                match schema {
                    Schema::V1 => assert_eq!(found, expected, "{note}"),
                    Schema::V2_0 => {
                        assert_eq!(found["headState"], expected["headState"], "{note}");
                        assert_eq!(found["pendingDeposits"], expected["pendingDeposits"], "{note}");
                        assert_eq!(found["currentSlot"], expected["chainPointTime"]["currentSlot"], "{note}");
                    }
                    Schema::V0_16 | Schema::V0_22 => {
                        let (deposits, slot) = beside_the_head(&mut expected);
                        assert_eq!(found["headState"], expected, "{note}");
                        assert!(deposits.is_none_or(|deposits| deposits == found["pendingDeposits"]), "{note}");
                        assert!(slot.is_none_or(|slot| slot == found["currentSlot"]), "{note}");
                    }
                }
            }
            assert!(tags.contains("Open") && tags.contains("Idle"), "{schema}: only {tags:?}");
        }
    }

    #[test]
    fn a_log_folds_to_the_same_from_any_of_its_checkpoints() {
        for schema in [Schema::V0_22, Schema::V1, Schema::V2_0] {
            let sample = Sample { events: 1_000, seed: 3, schema, checkpoint_every: Some(90) };
            let mut out = Vec::new();
            sample.write(&mut out, |_| {}).unwrap();
            let events: Vec<StateEvent> =
                String::from_utf8(out).unwrap().lines().map(|line| StateEvent::parse(line).unwrap()).collect();
            let fold = |events: &[StateEvent]| {
                let mut fold = HeadFold::new();
                events.iter().for_each(|event| fold.apply(event).unwrap());
                fold.state().to_json()
            };
            let whole = fold(&events);
            let checkpoints = events.iter().enumerate().filter(|(_, event)| event.tag() == "Checkpoint");
            let mut count = 0;
            for (index, _) in checkpoints {
                assert_eq!(fold(&events[index..]), whole, "schema {schema}, from {index}");
                count += 1;
            }
            assert_eq!(count, 11);
            // And with the checkpoints left out after the first, which gives the shape.
            let first = events.iter().position(|event| event.tag() == "Checkpoint").unwrap();
            let mut plain = vec![events[first].clone()];
            plain.extend(events[first..].iter().filter(|event| event.tag() != "Checkpoint").cloned());
            let (found, whole): (Value, Value) =
                (serde_json::from_str(&fold(&plain)).unwrap(), serde_json::from_str(&whole).unwrap());
            assert_eq!(found["headState"], whole["headState"], "schema {schema}");
        }
    }
}
