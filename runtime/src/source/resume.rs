//! Going on in a source that gives its history again: what was read is looked up in it.

use crate::event::{Kind, Position, StateEvent};
use crate::source::SourceError;
use crate::stream::Anchors;

/// What was read, and whether it was found again.
#[derive(Debug, Default)]
pub(super) struct Resume {
    anchors: Anchors,
    /// Whether the last event read was met in the history that is given again.
    found: bool,
    /// Whether anything was given since it began.
    any: bool,
}

impl Resume {
    /// An event that was read elsewhere.
    pub(super) fn note(&mut self, event: &StateEvent) {
        self.anchors.push(event);
    }

    /// History is given from its start.
    pub(super) fn begin(&mut self) {
        (self.found, self.any) = (self.anchors.last().is_none(), false);
    }

    /// History is over.
    pub(super) fn end(&mut self, name: &str) -> Result<(), SourceError> {
        match self.anchors.last() {
            Some((last, expected)) if !self.found => {
                let found = if self.any { "its history ends before it" } else { "its history is empty" };
                Err(SourceError::Diverged { name: name.to_owned(), last, expected, found: found.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// Takes an event; none if it was read before.
    pub(super) fn take(
        &mut self,
        event: StateEvent,
        in_history: bool,
        name: &str,
    ) -> Result<Option<StateEvent>, SourceError> {
        let is_first = !std::mem::replace(&mut self.any, true);
        let position = event.position();
        let Some((last, expected)) = self.anchors.last() else { return Ok(Some(self.keep(event))) };
        if position <= last {
            let known = self.anchors.get(position);
            if let Some(expected) = known.filter(|known| *known != event.hash()) {
                let found = format!("event {position} (hash {}) is in its place", event.hash());
                return Err(SourceError::Diverged { name: name.to_owned(), last: position, expected, found });
            }
            self.found |= position == last;
            return Ok(None);
        }
        if self.found || !in_history {
            return Ok(Some(self.keep(event)));
        }
        let follows_rotation = position.kind == Kind::Checkpoint && is_first;
        if follows_rotation && position == Position::checkpoint(last.id) {
            // The log was rotated right after the last event: nothing is missing.
            self.found = true;
            return Ok(Some(self.keep(event)));
        }
        if follows_rotation {
            return Err(SourceError::Gap { name: name.to_owned(), last: Some(last), oldest: position });
        }
        let found = format!("it is missing before event {position}");
        Err(SourceError::Diverged { name: name.to_owned(), last, expected, found })
    }

    fn keep(&mut self, event: StateEvent) -> StateEvent {
        self.anchors.push(&event);
        event
    }
}
