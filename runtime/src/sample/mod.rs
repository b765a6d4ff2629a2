//! Realistic state logs to try things with: a head that opens, transacts, takes deposits, closes and fans out, again and again.
//!
//! The story is causally valid: a transaction spends outputs that exist, its id is the hash of its body, each snapshot continues the one before, and
//! what an event says of the UTxO is what the events before it lead to. Sizes and the mix of events follow what is known of real logs.

mod ledger;
mod open_head;
mod render;
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
