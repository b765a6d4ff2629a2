//! What was put before a client came, from the log.

use std::collections::VecDeque;

use super::output::{Output, Outputs};
use super::places::Place;
use crate::event::{Position, StateEvent};
use crate::source::{EventSource, Next, Reopen, SourceError};

/// Reads a log from its start, as outputs.
#[derive(Debug)]
pub(super) struct History {
    source: Box<dyn EventSource>,
    outputs: Outputs,
    ahead: VecDeque<StateEvent>,
    read: Option<Position>,
    _turn: Place,
}

impl History {
    pub(super) async fn open(reopen: &Reopen, turn: Place) -> Result<Self, SourceError> {
        let mut source = reopen.reader();
        source.open().await?;
        Ok(Self { source, outputs: Outputs::default(), ahead: VecDeque::new(), read: None, _turn: turn })
    }

    /// The next output up to a position; none after the last. Events from there on are kept for the next call.
    pub(super) async fn next(&mut self, until: Position) -> Result<Option<Output>, SourceError> {
        loop {
            while let Some(event) = self.ahead.pop_front() {
                if event.position() > until {
                    self.ahead.push_front(event);
                    return Ok(None);
                }
                self.read = Some(event.position());
                let output = self.outputs.of(&event).map_err(|error| SourceError::Other(error.into()))?;
                if output.is_some() {
                    return Ok(output);
                }
            }
            if self.read >= Some(until) {
                return Ok(None);
            }
            let page = self.source.get_events().await?;
            self.ahead.extend(page.events);
            match page.next {
                Next::End if self.ahead.is_empty() => return Ok(None),
                Next::Wait(time) if self.ahead.is_empty() => tokio::time::sleep(time).await,
                _ => {}
            }
        }
    }
}
