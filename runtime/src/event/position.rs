//! Where an event stands in its stream.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What stands at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A state change.
    Event,
    /// The summary that hydra-node writes at a rotation. It carries the id of the last event it sums up and comes after it.
    Checkpoint,
}

/// A place in a stream: ordered by id, and for the same id an event comes before a checkpoint.
///
/// Its text form is `ID` or `ID:checkpoint`, in serialised data too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Position {
    /// The event id that the node gave.
    pub id: u64,
    /// Event or checkpoint.
    pub kind: Kind,
}

impl Position {
    /// The position of an event.
    pub fn event(id: u64) -> Self {
        Self { id, kind: Kind::Event }
    }

    /// The position of a checkpoint.
    pub fn checkpoint(id: u64) -> Self {
        Self { id, kind: Kind::Checkpoint }
    }

    /// The last position that comes before this one; none before the first.
    pub fn before(self) -> Option<Self> {
        match self.kind {
            Kind::Checkpoint => Some(Self::event(self.id)),
            Kind::Event => self.id.checked_sub(1).map(Self::checkpoint),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Event => write!(f, "{}", self.id),
            Kind::Checkpoint => write!(f, "{}:checkpoint", self.id),
        }
    }
}

/// A text that is neither `ID` nor `ID:checkpoint`.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a position: expected ID or ID:checkpoint")]
pub struct ParsePositionError(String);

impl FromStr for Position {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, kind) = match text.split_once(':') {
            None => (text, Kind::Event),
            Some((id, "checkpoint")) => (id, Kind::Checkpoint),
            Some(_) => return Err(ParsePositionError(text.to_owned())),
        };
        let id = id.parse().map_err(|_| ParsePositionError(text.to_owned()))?;
        Ok(Self { id, kind })
    }
}

impl From<Position> for String {
    fn from(position: Position) -> Self {
        position.to_string()
    }
}

impl TryFrom<String> for Position {
    type Error = ParsePositionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// Names the last event that something reached.
pub(crate) fn last_event(position: Option<Position>) -> String {
    position.map_or_else(|| "the beginning".to_owned(), |position| format!("event {position}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_before_leaves_no_room_between() {
        assert_eq!(Position::event(0).before(), None);
        assert_eq!(Position::checkpoint(0).before(), Some(Position::event(0)));
        assert_eq!(Position::event(1).before(), Some(Position::checkpoint(0)));
    }

    #[test]
    fn a_checkpoint_comes_after_the_event_of_its_id_and_before_the_next() {
        assert!(Position::event(4) < Position::checkpoint(4));
        assert!(Position::checkpoint(4) < Position::event(5));
    }

    #[test]
    fn text_form_comes_back() {
        for position in [Position::event(0), Position::checkpoint(u64::MAX)] {
            assert_eq!(position.to_string().parse::<Position>().unwrap(), position);
        }
        for wrong in ["", "x", "-1", "1:event", "18446744073709551616", "1:checkpoint:2"] {
            assert!(wrong.parse::<Position>().is_err(), "{wrong}");
        }
    }
}
