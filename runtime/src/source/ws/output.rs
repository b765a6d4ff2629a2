//! What hydra-node's API sends.

use bytestring::ByteString;
use serde::Deserialize;

use crate::event::{StateEvent, Text};

/// What a node says of itself at each connection.
const GREETINGS: &str = "Greetings";

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

impl Output {
    pub(super) fn read(message: &str) -> Result<Self, String> {
        let event = StateEvent::of_output(Text::from(ByteString::from(message)))?;
        Ok(match event {
            Some(event) if event.tag() == GREETINGS => Self::Greetings { is_counted: true },
            Some(event) => Self::Event(event),
            None if is_greetings(message) => Self::Greetings { is_counted: false },
            None => Self::Passing,
        })
    }
}

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(borrow)]
    tag: &'a str,
}

fn is_greetings(message: &str) -> bool {
    serde_json::from_str::<Tag<'_>>(message).is_ok_and(|message| message.tag == GREETINGS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Position;

    #[test]
    fn messages_are_told_apart() {
        let event =
            match Output::read(r#"{"headId":"ab","seq":7,"tag":"TxValid","timestamp":"2026-01-01T00:00:01.5Z"}"#) {
                Ok(Output::Event(event)) => event,
                other => panic!("{other:?}"),
            };
        assert_eq!((event.position(), event.tag()), (Position::event(7), "TxValid"));
        assert_eq!(event.time().map(|time| time.nanoseconds), Some(500_000_000));
        let rotated = r#"{"tag":"EventLogRotated","seq":7,"timestamp":"2026-01-01T00:00:01Z","checkpoint":{"seq":9}}"#;
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
