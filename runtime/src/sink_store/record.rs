//! The records of the store, kept as JSON: few a second, and readable when something went wrong.

use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::event::{Position, StateEvent, last_event};
use crate::stream::Anchor;

fn seconds_now() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs())
}

/// How far a sink has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The stream it is a place in.
    pub stream: String,
    /// The stream's epoch.
    pub epoch: u64,
    /// The last position known durable, with the hash of its event where the event was seen; none: nothing is.
    pub durable: Option<Place>,
    /// The highest position ever put to the sink, by which events put again are flagged.
    pub put: Option<Position>,
}

/// A position, with the hash of its event if one was read there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The position.
    pub position: Position,
    /// The event's hash; none where the sink or the operator named the position.
    pub hash: Option<crate::stream::EventHash>,
}

impl Place {
    /// As an anchor, if the event was seen.
    pub fn anchor(&self) -> Option<Anchor> {
        self.hash.map(|hash| Anchor { position: self.position, hash })
    }
}

impl From<Position> for Place {
    fn from(position: Position) -> Self {
        Self { position, hash: None }
    }
}

impl From<Anchor> for Place {
    fn from(anchor: Anchor) -> Self {
        Self { position: anchor.position, hash: Some(anchor.hash) }
    }
}

/// How often a stream was found rewritten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// So often.
    pub number: u64,
    /// The last event that this epoch has in common with the one before.
    pub common: Option<Place>,
}

impl Cursor {
    /// What is durable, in words: `event 7`, or `the beginning`.
    pub fn in_words(&self) -> String {
        last_event(self.durable.map(|place| place.position))
    }

    /// Takes a cursor of an earlier epoch into this one: back to the last event in common, or to the beginning if that is not known.
    pub fn enter(&mut self, epoch: Epoch) {
        if self.epoch >= epoch.number {
            return;
        }
        let common = epoch.common.filter(|_| self.epoch + 1 == epoch.number);
        self.durable = match (self.durable, common) {
            (Some(durable), Some(common)) if durable.position <= common.position => Some(durable),
            (Some(_), common) => common,
            (None, _) => None,
        };
        self.put = self.put.min(common.map(|common| common.position));
        self.epoch = epoch.number;
    }
}

/// An event that was put aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedEvent {
    /// Where it stood.
    pub position: Position,
    /// The stream's epoch then.
    pub epoch: u64,
    /// Its tag.
    pub tag: String,
    /// Its text, byte for byte.
    pub json: String,
    /// Why it was parked: the sink's words, or the failure that it led to.
    pub error: String,
    /// sha256 of the component that refused it.
    pub digest: Option<String>,
    /// When, in seconds since 1970.
    pub parked_at: u64,
    /// How the call ended, if the component trapped or broke a limit.
    #[serde(default)]
    pub post_mortem: Option<PostMortem>,
    /// The last lines of the sink's log.
    #[serde(default)]
    pub log_tail: Vec<String>,
}

/// How a call into a component ended badly. Its event is the parked one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostMortem {
    /// The limit that it broke; none if it trapped on its own.
    pub limit: Option<String>,
    /// Functions of the component on the stack, innermost first, where it names them.
    pub functions: Vec<String>,
    /// Fuel that the call used.
    pub fuel_used: u64,
    /// Linear memory of the instance, in bytes.
    pub memory: u64,
}

impl ParkedEvent {
    /// Puts an event aside now.
    pub fn now(event: &StateEvent, epoch: u64, error: String, digest: Option<String>) -> Self {
        Self {
            position: event.position(),
            epoch,
            tag: event.tag().to_owned(),
            json: event.json().to_owned(),
            error,
            digest,
            parked_at: seconds_now(),
            post_mortem: None,
            log_tail: Vec::new(),
        }
    }
}

/// A sink's state as it handed it over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Version of its encoding.
    pub version: u32,
    /// The state.
    pub bytes: Vec<u8>,
}

/// Which version of a component is in charge of a sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveVersion {
    /// sha256 of the file that the configuration named when this was decided. Another file there puts an end to the decision.
    pub configured: String,
    /// sha256 of the component in charge, kept in the data directory.
    pub digest: String,
    /// The swap that is still watched, if one is.
    pub watched: Option<WatchedSwap>,
}

/// What it takes to return to the version before a swap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedSwap {
    /// sha256 of the version before.
    pub from: String,
    /// The cursor at the switch.
    pub cursor: Cursor,
    /// The state that the version before saved.
    pub saved: Option<Saved>,
}

/// A version taking charge of a sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRecord {
    /// sha256 of the component.
    pub digest: String,
    /// The last position durable when it took charge.
    pub since: Option<Position>,
    /// When, in seconds since 1970.
    pub at: u64,
    /// Why: a start, a swap, or a return with the failure that led to it.
    pub reason: String,
}

impl VersionRecord {
    /// A version takes charge now.
    pub fn now(digest: &str, since: Option<Position>, reason: impl Into<String>) -> Self {
        Self { digest: digest.to_owned(), since, at: seconds_now(), reason: reason.into() }
    }
}
