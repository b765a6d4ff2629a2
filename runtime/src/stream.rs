//! Which log an event belongs to, and how a rewritten log is told from the one that was read before.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::event::{Position, StateEvent};

/// The name and version of a stream's json.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFormat {
    /// Such as `hydra.state-event`.
    pub name: String,
    /// Counts up from 1.
    pub version: u32,
}

impl StreamFormat {
    /// `hydra.state-event/1`: StateEvent as hydra-node persists it in JSON.
    pub fn state_event() -> Self {
        Self { name: "hydra.state-event".to_owned(), version: 1 }
    }

    /// `hydra.server-output/1`: what hydra-node's API sends, TimedServerOutput with `seq` and `timestamp`. A part of the events only, and
    /// nothing of it is folded.
    pub fn server_output() -> Self {
        Self { name: "hydra.server-output".to_owned(), version: 1 }
    }

    /// `hydra.state-event.cbor-items/1`: StateEvent as hydra-node persists it in CBOR (SQLite schema 2), transcoded item by item. Its
    /// members have no names, and nothing of it is folded.
    pub fn cbor_items() -> Self {
        Self { name: "hydra.state-event.cbor-items".to_owned(), version: 1 }
    }
}

impl fmt::Display for StreamFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.version)
    }
}

/// Identifies one node's log. Together with a position this is the idempotency key of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Given with `stream=`, or minted at first contact and kept in the data directory.
    pub name: String,
    /// How many times the source was found to have rewritten its history.
    pub epoch: u64,
    /// The format of the events' json.
    pub format: StreamFormat,
}

/// A digest of an event's json. It tells a rewritten event from the one read before; it is no protection against someone who
/// may write the log.
// XXH3 because every event is hashed on its way and it reads faster than memory delivers; nobody gains by a collision here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventHash(u128);

impl EventHash {
    /// Digests a text.
    pub fn of(json: &str) -> Self {
        Self(xxh3_128(json.as_bytes()))
    }
}

impl fmt::Display for EventHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl From<EventHash> for String {
    fn from(hash: EventHash) -> Self {
        hash.to_string()
    }
}

/// A text that is no hash.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a hash of 32 hexadecimal digits")]
pub struct ParseHashError(String);

impl TryFrom<String> for EventHash {
    type Error = ParseHashError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for EventHash {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| digits);
        number.map(Self).ok_or_else(|| ParseHashError(text.to_owned()))
    }
}

impl fmt::Debug for EventHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventHash({self})")
    }
}

/// A position and the hash of the event that stood there when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// The position.
    pub position: Position,
    /// The event's hash.
    pub hash: EventHash,
}

impl Anchor {
    /// The anchor of an event.
    pub fn of(event: &StateEvent) -> Self {
        Self { position: event.position(), hash: event.hash() }
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {} (hash {})", self.position, self.hash)
    }
}

/// How many of the last events are remembered by position and hash.
///
/// Enough to recognise what a node writes twice around a crash or a rotation; 128 KiB at most.
pub const ANCHORS: usize = 4_096;

/// The last positions of a stream with their hashes, in order.
#[derive(Clone, Debug, Default)]
pub struct Anchors {
    entries: VecDeque<(Position, EventHash)>,
}

impl Anchors {
    /// Remembers an event, which must come after all others.
    pub fn push(&mut self, event: &StateEvent) {
        debug_assert!(self.entries.back().is_none_or(|(last, _)| *last < event.position()));
        if self.entries.len() == ANCHORS {
            self.entries.pop_front();
        }
        self.entries.push_back((event.position(), event.hash()));
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Anchor> + '_ {
        self.entries.iter().map(|(position, hash)| Anchor { position: *position, hash: *hash })
    }

    /// Forgets what comes after a position, or everything.
    pub fn cut(&mut self, after: Option<Position>) {
        self.entries.retain(|(position, _)| after.is_some_and(|after| *position <= after));
    }

    /// The newest.
    pub fn last(&self) -> Option<(Position, EventHash)> {
        self.entries.back().copied()
    }

    /// Whether this very event is among those remembered.
    pub fn contains(&self, event: &StateEvent) -> bool {
        self.get(event.position()).is_some_and(|hash| hash == event.hash())
    }

    /// The hash at a position, if it is remembered.
    pub fn get(&self, position: Position) -> Option<EventHash> {
        let found = self.entries.binary_search_by_key(&position, |(at, _)| *at).ok()?;
        self.entries.get(found).map(|(_, hash)| *hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: u64, note: &str) -> StateEvent {
        StateEvent::wrap_legacy(id, &format!(r#"{{"tag":"X","note":"{note}"}}"#)).unwrap()
    }

    #[test]
    fn remembers_the_last_ones_and_no_more() {
        let mut anchors = Anchors::default();
        for id in 0..=ANCHORS as u64 {
            anchors.push(&event(id, "a"));
        }
        assert!(!anchors.contains(&event(0, "a")));
        assert!(anchors.contains(&event(1, "a")));
        assert!(anchors.contains(&event(ANCHORS as u64, "a")));
    }

    #[test]
    fn a_hash_comes_back_from_its_text() {
        let hash = EventHash::of("x");
        assert_eq!(hash.to_string().parse::<EventHash>().unwrap(), hash);
        for wrong in ["", "x", "+1", &"f".repeat(33)] {
            assert!(wrong.parse::<EventHash>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn another_text_at_the_same_position_is_not_contained() {
        let mut anchors = Anchors::default();
        anchors.push(&event(1, "a"));
        assert!(!anchors.contains(&event(1, "b")));
        assert_eq!(anchors.get(Position::checkpoint(1)), None);
    }
}
