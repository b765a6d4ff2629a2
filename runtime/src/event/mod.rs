//! What passes through hydrant: a state event, exactly as the node persisted it.

mod json;
mod output;
mod position;

mod scan;
mod structure;
mod text;
mod time;

use std::fmt;
use std::ops::Range;

use bytestring::ByteString;

use crate::stream::EventHash;

pub(crate) use json::{NotJson, Visit};
pub(crate) use position::last_event;
pub use position::{Kind, ParsePositionError, Position};
pub use scan::EnvelopeError;
pub(crate) use scan::{ChangePlaces, Envelope, scan};
pub use text::Text;
pub use time::Time;

/// The tag that hydra-node gives to the event that starts a rotated log.
pub const CHECKPOINT_TAG: &str = "Checkpoint";

/// One state event or checkpoint of a head.
///
/// The text is never re-serialised: [`json`](Self::json) is the persisted line byte for byte, so numbers beyond 64 bits,
/// unknown fields and the order of keys survive. Cloning is cheap; the text is shared with the page it was read from.
#[derive(Clone, PartialEq, Eq)]
pub struct StateEvent {
    position: Position,
    time: Option<Time>,
    tag: Range<usize>,
    json: Text,
    hash: EventHash,
    /// Whether there may be a backslash in the json.
    escapes: bool,
    change: ChangePlaces,
}

impl StateEvent {
    /// Reads a persisted line that carries its id: `{"eventId":N,"stateChanged":{…},"time":…}`.
    ///
    /// Looks at the envelope only: the object's structure, the id, the tag and the time.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`] if the text is not an object of that shape; [`EnvelopeError::NoEventId`] for a bare StateChanged.
    pub fn parse(json: impl Into<ByteString>) -> Result<Self, EnvelopeError> {
        Self::of_text(Text::from(json.into()))
    }

    /// As [`parse`](Self::parse), for a text that is part of a page.
    pub(crate) fn of_text(json: Text) -> Result<Self, EnvelopeError> {
        let envelope = scan(&json)?;
        let id = envelope.id.ok_or(EnvelopeError::NoEventId)?;
        Ok(Self::from_envelope(id, envelope, json))
    }

    /// Wraps a bare StateChanged, as hydra-node wrote them before 0.16, with the id it is given.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`] if the text is not an object with a `tag`.
    pub fn wrap_legacy(id: u64, state_changed: &str) -> Result<Self, EnvelopeError> {
        Self::parse(format!("{{\"eventId\":{id},\"stateChanged\":{}}}", state_changed.trim()))
    }

    /// An event of another form than StateEvent; `tag` is where its tag stands in `json`.
    pub(crate) fn of_parts(position: Position, time: Option<Time>, tag: Range<usize>, json: Text) -> Self {
        let hash = EventHash::of(&json);
        Self { position, time, tag, json, hash, escapes: true, change: ChangePlaces::default() }
    }

    /// Builds the event of an envelope that was scanned in `json`.
    pub(crate) fn from_envelope(id: u64, envelope: Envelope, json: Text) -> Self {
        let is_checkpoint = json.get(envelope.tag.clone()) == Some(CHECKPOINT_TAG);
        let kind = if is_checkpoint { Kind::Checkpoint } else { Kind::Event };
        let hash = EventHash::of(&json);
        let Envelope { time, tag, escapes, change, .. } = envelope;
        Self { position: Position { id, kind }, time, tag, json, hash, escapes, change }
    }

    /// Where the event stands in its stream.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The event id.
    pub fn id(&self) -> u64 {
        self.position.id
    }

    /// When the node recorded it; absent before hydra-node 0.21.
    pub fn time(&self) -> Option<Time> {
        self.time
    }

    /// The name of the StateChanged constructor, such as `SnapshotConfirmed`.
    pub fn tag(&self) -> &str {
        self.json.get(self.tag.clone()).unwrap_or_default()
    }

    /// The digest of [`json`](Self::json), computed once.
    pub fn hash(&self) -> EventHash {
        self.hash
    }

    /// Length of [`json`](Self::json) in bytes.
    pub fn bytes(&self) -> usize {
        self.json.len()
    }

    /// The persisted text as part of its page.
    pub(crate) fn text(&self) -> &Text {
        &self.json
    }

    /// The texts of these events end to end, if that is how they lie in memory.
    pub(crate) fn joined_json(events: &[Self]) -> Option<&str> {
        Text::joined(events.iter().map(|event| &event.json))
    }

    /// The bytes of [`tag`](Self::tag).
    pub(crate) fn tag_bytes(&self) -> &[u8] {
        self.json.part(self.tag.clone())
    }

    /// The persisted text, byte for byte.
    pub fn json(&self) -> &str {
        &self.json
    }
}

impl fmt::Debug for StateEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateEvent")
            .field("position", &self.position)
            .field("tag", &self.tag())
            .field("bytes", &self.json.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_kept_byte_for_byte() {
        let line = r#"{"eventId":7,"stateChanged":{"tag":"X","n":123456789012345678901234567890, "é":1.0},"time":"2024-01-01T00:00:00Z"}"#;
        let event = StateEvent::parse(line).unwrap();
        assert_eq!(event.json(), line);
        assert_eq!((event.id(), event.tag()), (7, "X"));
    }

    #[test]
    fn a_checkpoint_is_told_by_its_tag() {
        let event = StateEvent::parse(r#"{"eventId":3,"stateChanged":{"state":{},"tag":"Checkpoint"}}"#).unwrap();
        assert_eq!(event.position(), Position { id: 3, kind: Kind::Checkpoint });
    }

    #[test]
    fn a_legacy_line_is_wrapped_with_the_id_it_is_given() {
        let event = StateEvent::wrap_legacy(9, r#"{"tag":"HeadAborted","chainState":{}}"#).unwrap();
        assert_eq!(event.json(), r#"{"eventId":9,"stateChanged":{"tag":"HeadAborted","chainState":{}}}"#);
        assert_eq!((event.tag(), event.time()), ("HeadAborted", None));
    }
}
