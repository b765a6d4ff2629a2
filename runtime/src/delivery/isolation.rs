//! Finds the one event that makes a sink trap or break a limit.

use crate::event::Position;

/// So often the same event has to fail, put singly, before it is parked.
const FAILURES: u32 = 5;

/// Good events after which a reduced batch size is taken back.
const RECOVERS_AFTER: u64 = 1_000;

/// What to do about a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Start anew and put again.
    Again,
    /// Park this event.
    Park(Position),
}

/// After a failure events are put one by one up to where the failed call ended. The event that fails singly is suspected, and in the end
/// parked; if none does, the failure came from many events together and the batch size is halved.
#[derive(Debug)]
pub(super) struct Isolation {
    full: usize,
    limit: usize,
    /// Good events since the batch size was reduced.
    good: u64,
    /// Put singly up to here.
    until: Option<Position>,
    suspect: Option<(Position, u32)>,
    /// Whether some event failed singly.
    reproduced: bool,
}

impl Isolation {
    pub(super) fn new(full: usize) -> Self {
        Self { full, limit: full, good: 0, until: None, suspect: None, reproduced: false }
    }

    /// Most events for the next call.
    pub(super) fn limit(&self) -> usize {
        if self.is_active() { 1 } else { self.limit }
    }

    /// Whether events are put one by one, each with its own flush.
    pub(super) fn is_active(&self) -> bool {
        self.until.is_some()
    }

    /// A call with the events from `first` to `last` failed.
    pub(super) fn failed(&mut self, first: Position, last: Position) -> Verdict {
        self.good = 0;
        self.until = self.until.max(Some(last));
        if first != last {
            return Verdict::Again;
        }
        self.reproduced = true;
        let before = self.suspect.filter(|(suspect, _)| *suspect == first).map_or(0, |(_, failures)| failures);
        self.suspect = Some((first, before + 1));
        if before + 1 < FAILURES {
            return Verdict::Again;
        }
        self.suspect = None;
        Verdict::Park(first)
    }

    /// Events up to here were taken, or parked.
    pub(super) fn passed(&mut self, last: Position, events: usize) {
        self.good += events as u64;
        if self.good >= RECOVERS_AFTER {
            self.limit = self.full;
        }
        if self.suspect.is_some_and(|(suspect, _)| suspect <= last) {
            self.suspect = None;
        }
        if self.until.is_some_and(|until| until <= last) {
            self.until = None;
            if !std::mem::take(&mut self.reproduced) {
                self.limit = (self.limit / 2).max(1);
                self.good = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(id: u64) -> Position {
        Position::event(id)
    }

    #[test]
    fn an_event_that_fails_singly_five_times_is_parked() {
        let mut isolation = Isolation::new(100);
        assert_eq!(isolation.failed(at(0), at(99)), Verdict::Again);
        assert_eq!(isolation.limit(), 1);
        for id in 0..7 {
            isolation.passed(at(id), 1);
        }
        for _ in 0..4 {
            assert_eq!(isolation.failed(at(7), at(7)), Verdict::Again);
            // A restart goes back behind events that pass once more.
            isolation.passed(at(6), 1);
        }
        assert_eq!(isolation.failed(at(7), at(7)), Verdict::Park(at(7)));
        for id in 7..100 {
            isolation.passed(at(id), 1);
        }
        assert_eq!((isolation.limit(), isolation.is_active()), (100, false));
    }

    #[test]
    fn what_cannot_be_reproduced_singly_halves_the_batch_and_parks_nothing() {
        let mut isolation = Isolation::new(100);
        assert_eq!(isolation.failed(at(0), at(99)), Verdict::Again);
        for id in 0..100 {
            isolation.passed(at(id), 1);
        }
        assert_eq!(isolation.limit(), 50);
        isolation.passed(at(1_098), 999);
        assert_eq!(isolation.limit(), 50);
        isolation.passed(at(1_099), 1);
        assert_eq!(isolation.limit(), 100);
    }

    #[test]
    fn another_event_that_fails_begins_its_own_count() {
        let mut isolation = Isolation::new(1);
        for _ in 0..4 {
            assert_eq!(isolation.failed(at(3), at(3)), Verdict::Again);
        }
        isolation.passed(at(3), 1);
        assert_eq!(isolation.limit(), 1);
        for _ in 0..4 {
            assert_eq!(isolation.failed(at(4), at(4)), Verdict::Again);
        }
        assert_eq!(isolation.failed(at(4), at(4)), Verdict::Park(at(4)));
    }
}
