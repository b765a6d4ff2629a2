//! What a node says: how its work ended, and how it goes on.

use std::fmt;

use crate::delivery::{Departure, SinkFailure, SinkStatus};
use crate::event::Position;
use crate::head::HeadMismatch;
use crate::source::{Progress, SourceError};
use crate::store::Finding;

/// Why the node cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The source failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A sink failed whose failure ends the process. Every other sink has what came before; a restart puts all events again to inline
    /// sinks, and to detached ones what they do not know to be durable.
    #[error(transparent)]
    Sink(Box<SinkFailure>),
    /// The source's history is not what was delivered before.
    #[error(transparent)]
    Departure(#[from] Departure),
    /// The log's head is not the one configured.
    #[error(transparent)]
    Head(#[from] HeadMismatch),
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

    /// Detached sinks are waited for.
    fn draining(&mut self, _statuses: &[SinkStatus]) {}
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
