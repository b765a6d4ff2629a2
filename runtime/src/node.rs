//! The node of ADR 29: one event source, many event sinks.

use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::delivery::{InlineSink, SinkFailure};
use crate::event::{Position, StateEvent};
use crate::sink::{CloseReason, Delivery, OpenInfo};
use crate::source::{EventSource, Next, Page, Progress, SourceError};
use crate::store::Finding;
use crate::stream::Stream;

/// Why the node cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The source failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A sink failed. Every other sink has what came before; a restart puts all events again.
    #[error(transparent)]
    Sink(Box<SinkFailure>),
}

impl From<SinkFailure> for NodeError {
    fn from(failure: SinkFailure) -> Self {
        Self::Sink(Box::new(failure))
    }
}

/// Why a stretch of work came to an end without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of history was put to every sink.
    Hydrated,
    /// The source has ended.
    Ended,
    /// The stop token was cancelled.
    Stopped,
}

/// What was delivered so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Events and checkpoints put to every sink.
    pub events: u64,
    /// The last of them.
    pub last: Option<Position>,
    /// Lines that could not be delivered and were passed over.
    pub skipped: u64,
}

/// Is told of the node's progress.
pub trait Observer: Send {
    /// A page of events was put to every sink.
    fn delivered(&mut self, delivered: &Delivered, progress: Option<Progress>);

    /// The source has something to say about what it read.
    fn found(&mut self, finding: &Finding);
}

/// One event source and the sinks that its events are put to, in the order configured.
#[derive(Debug)]
pub struct Node {
    stream: Stream,
    source: Box<dyn EventSource>,
    sinks: Vec<InlineSink>,
    delivered: Delivered,
    /// A page that was read but not yet put: the first one after history.
    ahead: Option<Page>,
}

impl Node {
    /// A node that delivers the events of this source.
    pub fn new(stream: Stream, source: Box<dyn EventSource>, sinks: Vec<InlineSink>) -> Self {
        Self { stream, source, sinks, delivered: Delivered::default(), ahead: None }
    }

    /// What was delivered so far.
    pub fn delivered(&self) -> &Delivered {
        &self.delivered
    }

    /// Opens the source, then the sinks in order.
    ///
    /// # Errors
    ///
    /// The first that does not open.
    pub async fn open(&mut self) -> Result<(), NodeError> {
        self.source.open().await?;
        let info = OpenInfo { stream: self.stream.clone(), resume: None };
        for sink in &mut self.sinks {
            sink.open(&info).await?;
        }
        Ok(())
    }

    /// Re-submits the source's history to every sink, as ADR 29 demands at every start.
    ///
    /// # Errors
    ///
    /// The source's or the first sink's failure.
    pub async fn hydrate(
        &mut self,
        stop: &CancellationToken,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, NodeError> {
        loop {
            let page = self.source.get_events().await?;
            if !page.history {
                self.ahead = Some(page);
                return Ok(Outcome::Hydrated);
            }
            if let Some(outcome) = self.step(page, stop, observer).await? {
                return Ok(outcome);
            }
        }
    }

    /// Puts each event that is added to the source to every sink, until the token is cancelled.
    ///
    /// # Errors
    ///
    /// The source's or the first sink's failure.
    pub async fn follow(
        &mut self,
        stop: &CancellationToken,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, NodeError> {
        loop {
            let page = match self.ahead.take() {
                Some(page) => page,
                None => tokio::select! {
                    page = self.source.get_events() => page?,
                    () = stop.cancelled() => return Ok(Outcome::Stopped),
                },
            };
            if let Some(outcome) = self.step(page, stop, observer).await? {
                return Ok(outcome);
            }
        }
    }

    /// Flushes and closes every sink. After a failure this is done for the sinks that did not fail.
    ///
    /// # Errors
    ///
    /// The first sink that fails to; the others are closed all the same.
    pub async fn close(&mut self, reason: CloseReason) -> Result<(), NodeError> {
        let mut first = None;
        for sink in &mut self.sinks {
            let flushed = sink.flush().await;
            let closed = sink.close(if flushed.is_ok() { reason } else { CloseReason::Failure }).await;
            first = first.or(flushed.and(closed).err());
        }
        first.map_or(Ok(()), |failure| Err(failure.into()))
    }

    /// Puts a page to all sinks and waits as it says; an outcome if that is the end.
    async fn step(
        &mut self,
        page: Page,
        stop: &CancellationToken,
        observer: &mut dyn Observer,
    ) -> Result<Option<Outcome>, NodeError> {
        for finding in &page.findings {
            self.delivered.skipped += u64::from(matches!(finding, Finding::Skipped(_)));
            observer.found(finding);
        }
        let delivery = Delivery { catching_up: page.history, ..Delivery::default() };
        for event in &page.events {
            if stop.is_cancelled() {
                return Ok(Some(Outcome::Stopped));
            }
            self.put(event, delivery).await?;
        }
        self.flush_due().await?;
        observer.delivered(&self.delivered, page.progress);
        match page.next {
            Next::More => Ok(stop.is_cancelled().then_some(Outcome::Stopped)),
            Next::Wait(time) => self.wait(time, stop).await,
            Next::End => Ok(Some(if page.history { Outcome::Hydrated } else { Outcome::Ended })),
        }
    }

    /// Puts one event to all sinks in sequence.
    async fn put(&mut self, event: &StateEvent, delivery: Delivery) -> Result<(), NodeError> {
        for sink in &mut self.sinks {
            sink.put_event(event, delivery).await?;
        }
        self.delivered.events += 1;
        self.delivered.last = Some(event.position());
        Ok(())
    }

    /// Waits for the source, flushing what comes due meanwhile.
    async fn wait(&mut self, time: Duration, stop: &CancellationToken) -> Result<Option<Outcome>, NodeError> {
        let until = Instant::now() + time;
        loop {
            let due = self.sinks.iter().filter_map(InlineSink::flush_due).min().filter(|due| *due < until);
            tokio::select! {
                () = stop.cancelled() => return Ok(Some(Outcome::Stopped)),
                () = sleep_until(due.unwrap_or(until)) => {}
            }
            self.flush_due().await?;
            if due.is_none() {
                return Ok(None);
            }
        }
    }

    async fn flush_due(&mut self) -> Result<(), NodeError> {
        if self.sinks.iter().all(|sink| sink.flush_due().is_none()) {
            return Ok(());
        }
        let now = Instant::now();
        for sink in self.sinks.iter_mut().filter(|sink| sink.flush_due().is_some_and(|due| due <= now)) {
            sink.flush().await?;
        }
        Ok(())
    }
}

/// An observer that keeps quiet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn delivered(&mut self, _delivered: &Delivered, _progress: Option<Progress>) {}

    fn found(&mut self, _finding: &Finding) {}
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hydrated => "hydrated",
            Self::Ended => "the source has ended",
            Self::Stopped => "stopped",
        })
    }
}
