//! The inline lane: ADR 29 to the letter. Each event is put on the step loop itself, and any failure ends the process.

use std::error::Error;
use std::fmt;

use tokio::time::Instant;

use super::flush_policy::FlushPolicy;
use crate::event::{Position, StateEvent};
use crate::sink::{Ack, CloseReason, Delivery, EventSink, OpenInfo, SinkError};

/// What a sink was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doing {
    /// To open.
    Open,
    /// To take an event.
    Put {
        /// Its position.
        position: Position,
        /// Its tag.
        tag: String,
    },
    /// To flush what it accepted, up to this position.
    Flush {
        /// The last position accepted.
        up_to: Position,
    },
    /// To close.
    Close,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("to open"),
            Self::Put { position, tag } => write!(f, "at event {position} ({tag})"),
            Self::Flush { up_to } => write!(f, "to flush the events up to {up_to}"),
            Self::Close => f.write_str("to close"),
        }
    }
}

/// A sink failed. On the inline lane this ends the process.
#[derive(Debug)]
pub struct SinkFailure {
    /// The sink's name.
    pub sink: String,
    /// What it was asked to do.
    pub doing: Doing,
    /// What it answered.
    pub error: SinkError,
    /// The last lines it wrote to its log.
    pub log_tail: Vec<String>,
}

impl fmt::Display for SinkFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sink {:?} failed {}", self.sink, self.doing)
    }
}

impl Error for SinkFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// What was accepted and not yet flushed.
#[derive(Debug)]
struct Unflushed {
    events: u64,
    bytes: u64,
    since: Instant,
    up_to: Position,
}

/// A sink on the inline lane, with its name and its flushes.
#[derive(Debug)]
pub struct InlineSink {
    name: String,
    sink: Box<dyn EventSink>,
    policy: FlushPolicy,
    unflushed: Option<Unflushed>,
    failed: bool,
}

impl InlineSink {
    /// Puts a sink on the lane.
    pub fn new(name: impl Into<String>, sink: Box<dyn EventSink>, policy: FlushPolicy) -> Self {
        Self { name: name.into(), sink, policy, unflushed: None, failed: false }
    }

    /// The sink's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The sink in words.
    pub fn describe(&self) -> String {
        self.sink.describe()
    }

    pub(crate) async fn open(&mut self, info: &OpenInfo) -> Result<(), SinkFailure> {
        // Where the sink would like to start does not matter here: everything is put to it.
        self.sink.open(info).await.map(drop).map_err(|error| self.failure(Doing::Open, error))
    }

    pub(crate) async fn put_event(&mut self, event: &StateEvent, delivery: Delivery) -> Result<(), SinkFailure> {
        match self.sink.put_event(event, delivery).await {
            Ok(Ack::Durable) => Ok(()),
            Ok(Ack::Accepted) => {
                let unflushed = self.unflushed.get_or_insert_with(|| Unflushed {
                    events: 0,
                    bytes: 0,
                    since: Instant::now(),
                    up_to: event.position(),
                });
                unflushed.events += 1;
                unflushed.bytes += event.json().len() as u64;
                unflushed.up_to = event.position();
                let full = unflushed.events >= self.policy.events || unflushed.bytes >= self.policy.bytes;
                if full || unflushed.since.elapsed() >= self.policy.interval { self.flush().await } else { Ok(()) }
            }
            Err(error) => {
                let doing = Doing::Put { position: event.position(), tag: event.tag().to_owned() };
                Err(self.failure(doing, error))
            }
        }
    }

    /// When what was accepted has to be flushed at the latest.
    pub(crate) fn flush_due(&self) -> Option<Instant> {
        self.unflushed.as_ref().map(|unflushed| unflushed.since + self.policy.interval)
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
