//! The inline lane: ADR 29 to the letter. Each event is put on the step loop itself, and any failure ends the process.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::board::InlineEntry;
use super::detached::VersionLoader;
use super::failure::{Doing, SinkFailure};
use super::filter::TagFilter;
use super::flush_policy::FlushPolicy;
use super::status::{Progress, SinkState};
use super::unflushed::Unflushed;
use crate::event::{Position, StateEvent};
use crate::sink::{Ack, CloseReason, Delivery, EventSink, OpenInfo, SinkError};

/// A sink on the inline lane, with its name and its flushes.
#[derive(Debug)]
pub struct InlineSink {
    name: String,
    pub(super) sink: Box<dyn EventSink>,
    policy: FlushPolicy,
    pub(super) filter: TagFilter,
    unflushed: Option<Unflushed>,
    failed: bool,
    versions: Option<Arc<dyn VersionLoader>>,
    progress: watch::Sender<Progress>,
    /// Events put since the last report.
    put: u64,
    /// The last event that came by.
    last: Option<Position>,
}

impl InlineSink {
    /// Puts a sink on the lane.
    pub fn new(name: impl Into<String>, sink: Box<dyn EventSink>, policy: FlushPolicy) -> Self {
        let (name, filter, progress) = (name.into(), TagFilter::default(), watch::Sender::default());
        Self {
            name,
            sink,
            policy,
            filter,
            unflushed: None,
            failed: false,
            versions: None,
            progress,
            put: 0,
            last: None,
        }
    }

    /// Lets the sink's component be swapped.
    #[must_use]
    pub fn with_versions(self, versions: Arc<dyn VersionLoader>) -> Self {
        Self { versions: Some(versions), ..self }
    }

    /// Puts only what passes the filter.
    #[must_use]
    pub fn with_filter(self, filter: TagFilter) -> Self {
        Self { filter, ..self }
    }

    /// The sink's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The sink in words.
    pub fn describe(&self) -> String {
        self.sink.describe()
    }

    pub(crate) fn entry(&self) -> InlineEntry {
        let versions = self.versions.clone();
        InlineEntry { name: self.name.clone(), progress: self.progress.subscribe(), versions }
    }

    /// Shows what the sink is. It is something else once it is open, and after a swap.
    pub(crate) fn introduce(&self) {
        self.progress.send_modify(|progress| {
            let status = &mut progress.status;
            (status.sink, status.lane) = (self.name.clone(), "inline".to_owned());
            status.description = self.sink.describe();
            status.digest = self.sink.version().map(|version| version.digest);
        });
    }

    /// Shows what the sink is doing, having been put everything up to this event.
    pub(crate) fn report(&mut self, last: Option<&StateEvent>, catching_up: bool) {
        let put = std::mem::take(&mut self.put);
        self.last = last.map(StateEvent::position).or(self.last);
        self.progress.send_modify(|progress| {
            progress.delivered(put);
            let status = &mut progress.status;
            status.state = if catching_up { SinkState::CatchingUp } else { SinkState::Live };
            status.usage = self.sink.usage();
            (status.lag_events, status.lag_seconds) = (Some(0), Some(0.0));
            if self.unflushed.is_none() {
                status.position = self.last;
            }
        });
    }

    pub(crate) async fn open(&mut self, info: &OpenInfo) -> Result<(), SinkFailure> {
        // Where the sink would like to start does not matter here: everything is put to it.
        self.sink.open(info).await.map_err(|error| self.failure(Doing::Open, error))?;
        self.introduce();
        Ok(())
    }

    pub(crate) fn reads_head_id(&self) -> bool {
        self.sink.reads_head_id()
    }

    /// Flushes, closes and opens the sink again.
    pub(crate) async fn reopen(&mut self, info: &OpenInfo) -> Result<(), SinkFailure> {
        self.flush().await?;
        self.close(CloseReason::Reopen).await?;
        self.open(info).await
    }

    pub(crate) async fn put_event(&mut self, event: &StateEvent, delivery: Delivery) -> Result<(), SinkFailure> {
        if !passes(event, &self.filter, &*self.sink) {
            return Ok(());
        }
        self.put += 1;
        match self.sink.put_event(event, delivery).await {
            Ok(Ack::Durable) => Ok(()),
            Ok(Ack::Accepted) => {
                let unflushed = Unflushed::add(&mut self.unflushed, event.position(), 1, event.bytes());
                if unflushed.is_due(&self.policy) { self.flush().await } else { Ok(()) }
            }
            Err(error) => {
                let doing = Doing::Put { position: event.position(), tag: event.tag().to_owned() };
                Err(self.failure(doing, error))
            }
        }
    }

    /// When what was accepted has to be flushed at the latest.
    pub(crate) fn flush_due(&self) -> Option<Instant> {
        self.unflushed.as_ref().map(|unflushed| unflushed.due(&self.policy))
    }

    /// Flushes if something was accepted and the sink has not failed.
    pub(crate) async fn flush(&mut self) -> Result<(), SinkFailure> {
        let Some(unflushed) = self.unflushed.take().filter(|_| !self.failed) else { return Ok(()) };
        let up_to = unflushed.up_to;
        match self.sink.flush().await {
            Ok(()) => {
                tracing::debug!(sink = &*self.name, "flushed up to {up_to}");
                Ok(())
            }
            Err(error) => Err(self.failure(Doing::Flush { up_to }, error)),
        }
    }

    /// Closes the sink; one that failed has been dropped at its failure.
    pub(crate) async fn close(&mut self, reason: CloseReason) -> Result<(), SinkFailure> {
        if self.failed {
            return Ok(());
        }
        self.sink.close(reason).await.map_err(|error| self.failure(Doing::Close, error))
    }

    fn failure(&mut self, doing: Doing, error: SinkError) -> SinkFailure {
        self.failed = true;
        SinkFailure { sink: self.name.clone(), doing, error, log_tail: self.sink.log_tail() }
    }
}

/// Whether the operator and the sink both want the event to be put.
pub(super) fn passes(event: &StateEvent, filter: &TagFilter, sink: &dyn EventSink) -> bool {
    filter.passes(event.tag()) && sink.wants(event.tag())
}
