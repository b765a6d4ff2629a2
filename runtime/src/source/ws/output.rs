//! What hydra-node's API sends.

use bytestring::ByteString;
use serde::Deserialize;

use crate::event::{Position, StateEvent, Text, Time};

/// The output that hydra-node makes of a checkpoint; it has the id of the last event, as the checkpoint has.
const ROTATED: &str = "EventLogRotated";

/// One message, told apart.
#[derive(Debug)]
pub(super) enum Output {
    /// The node introduces itself: history is over. Whether it counts its greetings, as no node does from 0.21 on.
    Greetings { is_counted: bool },
    /// An output with a place in the stream.
    Event(StateEvent),
    /// One without: an answer to a command, or a complaint. It is not kept by the node and belongs to no stream.
    Passing,
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow)]
    tag: &'a str,
    seq: Option<u64>,
    #[serde(borrow)]
    timestamp: Option<&'a str>,
}

impl Output {
    pub(super) fn read(message: &str) -> Result<Self, String> {
        let Members { tag, seq, timestamp } = serde_json::from_str(message).map_err(|error| error.to_string())?;
        let Some(seq) = seq.filter(|_| tag != "Greetings") else {
            return Ok(if tag == "Greetings" { Self::Greetings { is_counted: seq.is_some() } } else { Self::Passing });
        };
        // Where the tag lies in the message that it was borrowed from.
        let start = tag.as_ptr() as usize - message.as_ptr() as usize;
        let position = if tag == ROTATED { Position::checkpoint(seq) } else { Position::event(seq) };
        let json = Text::from(ByteString::from(message));
        Ok(Self::Event(StateEvent::of_parts(position, timestamp.and_then(Time::parse), start..start + tag.len(), json)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart() {
        let event =
            match Output::read(r#"{"headId":"ab","seq":7,"tag":"TxValid","timestamp":"2026-01-01T00:00:01.5Z"}"#) {
                Ok(Output::Event(event)) => event,
                other => panic!("{other:?}"),
            };
        assert_eq!((event.position(), event.tag()), (Position::event(7), "TxValid"));
        assert_eq!(event.time().map(|time| time.nanoseconds), Some(500_000_000));
        let rotated = r#"{"tag":"EventLogRotated","seq":7,"timestamp":"2026-01-01T00:00:01Z","state":{"seq":9}}"#;
        assert!(
            matches!(Output::read(rotated), Ok(Output::Event(event)) if event.position() == Position::checkpoint(7))
        );
        assert!(matches!(Output::read(r#"{"tag":"Greetings"}"#), Ok(Output::Greetings { is_counted: false })));
        assert!(matches!(Output::read(r#"{"tag":"Greetings","seq":3}"#), Ok(Output::Greetings { is_counted: true })));
        assert!(matches!(Output::read(r#"{"tag":"CommandFailed"}"#), Ok(Output::Passing)));
        for wrong in ["", "[]", r#"{"seq":1}"#, r#"{"tag":"X","seq":-1}"#, r#"{"tag":"X","seq":1"#] {
            assert!(Output::read(wrong).is_err(), "{wrong}");
        }
    }
}
