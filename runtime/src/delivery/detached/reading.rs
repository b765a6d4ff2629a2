//! Where a lane's events come from: the window, or the log itself where the window has left it behind.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Shared;
use crate::delivery::window::{Glance, Run};
use crate::event::{Position, StateEvent};
use crate::sink_store::Place;
use crate::source::{EventSource, SourceError};
use crate::stream::Stream;

/// How long to wait before looking again for events that should be in the log.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What a lane found when it looked for events.
#[derive(Debug)]
pub(super) enum Found {
    /// There are events in hand.
    Events,
    /// There are none yet.
    Nothing,
    /// The stream was rewritten after this place.
    Rewritten(Box<Stream>, Option<Place>),
}

/// A lane's place in the log.
#[derive(Debug)]
pub(super) struct Reading {
    id: u64,
    run: Option<(Run, usize)>,
    /// A reader of the lane's own, kept where it is while the lane reads from the window.
    own: Option<Box<dyn EventSource>>,
    /// The last event that it has given out, and how many.
    own_at: Option<Position>,
    own_count: u64,
}

impl Reading {
    pub(super) fn new(id: u64) -> Self {
        Self { id, run: None, own: None, own_at: None, own_count: 0 }
    }

    /// The events in hand. The slice ends with the page they came in.
    pub(super) fn events(&self) -> (Arc<[StateEvent]>, usize) {
        match &self.run {
            Some((run, from)) => (Arc::clone(&run.events), *from),
            None => (Arc::from([]), 0),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.run.is_none()
    }

    /// Passes events in hand; gives the number of events of the log up to there.
    pub(super) fn pass(&mut self, events: usize) -> u64 {
        let Some((run, from)) = &mut self.run else { return 0 };
        *from += events;
        let left = run.events.len().saturating_sub(*from);
        let count = run.end - left as u64;
        if left == 0 {
            self.run = None;
        }
        count
    }

    /// Forgets what is in hand: the lane goes on elsewhere.
    pub(super) fn clear(&mut self) {
        self.run = None;
    }

    /// Forgets the reader of the lane's own too.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.id);
    }

    /// Takes nothing from the window for a while: nobody should wait for it.
    pub(super) fn leave(&self, shared: &Shared) {
        shared.window.leave(self.id);
    }

    /// Looks for events after a position.
    pub(super) async fn fill(
        &mut self,
        shared: &Shared,
        after: Option<Position>,
        epoch: u64,
    ) -> Result<Found, SourceError> {
        loop {
            match shared.window.look(self.id, after, epoch) {
                Glance::Run(run, from) => {
                    self.run = Some((run, from));
                    return Ok(Found::Events);
                }
                Glance::CaughtUp => return Ok(Found::Nothing),
                Glance::Rewritten(stream, common) => return Ok(Found::Rewritten(stream, common)),
                Glance::Behind => {
                    if self.read_own(shared, after).await? {
                        return Ok(Found::Events);
                    }
                }
            }
        }
    }

    /// Reads a page of the log; true if it has events after the position.
    async fn read_own(&mut self, shared: &Shared, after: Option<Position>) -> Result<bool, SourceError> {
        // The lane may have been sent back behind what its own reader gave out.
        let mut source = match self.own.take().filter(|_| self.own_at <= after) {
            Some(source) => source,
            None => {
                let mut source = shared.reopen.reader();
                source.open().await?;
                (self.own_at, self.own_count) = (None, 0);
                source
            }
        };
        let page = source.get_events().await?;
        self.own = Some(source);
        self.own_count += page.events.len() as u64;
        self.own_at = page.events.last().map(StateEvent::position).or(self.own_at);
        let from = page.events.partition_point(|event| after.is_some_and(|after| event.position() <= after));
        if from == page.events.len() {
            if page.events.is_empty() && !page.history {
                // What has left the window is in the log, or will be in a moment.
                sleep(LOOK_AGAIN).await;
            }
            return Ok(false);
        }
        self.run = Some((Run { events: page.events.into(), end: self.own_count }, from));
        Ok(true)
    }
}
