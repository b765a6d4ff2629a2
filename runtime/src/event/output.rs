//! Outputs of hydra-node's API as events.

use serde::Deserialize;

use super::{Position, StateEvent, Text, Time};

/// The output that hydra-node makes of a checkpoint; it has the id of the last event, as the checkpoint has.
const ROTATED: &str = "EventLogRotated";

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow)]
    tag: &'a str,
    seq: Option<u64>,
    #[serde(borrow)]
    timestamp: Option<&'a str>,
}

impl StateEvent {
    /// Reads an output of hydra-node's API: its `seq` is its id. None if it has no `seq`.
    ///
    /// # Errors
    ///
    /// Why the text is no output, in words.
    pub(crate) fn of_output(json: Text) -> Result<Option<Self>, String> {
        let Members { tag, seq, timestamp } = serde_json::from_str(&json).map_err(|error| error.to_string())?;
        let Some(seq) = seq else { return Ok(None) };
        // Where the tag lies in the text that it was borrowed from.
        let start = tag.as_ptr() as usize - json.as_ptr() as usize;
        let position = if tag == ROTATED { Position::checkpoint(seq) } else { Position::event(seq) };
        let (time, tag) = (timestamp.and_then(Time::parse), start..start + tag.len());
        Ok(Some(Self::of_parts(position, time, tag, json)))
    }
}
