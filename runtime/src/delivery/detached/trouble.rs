//! What keeps a lane from going on.

use std::fmt;

use crate::delivery::failure::Doing;
use crate::error_chain::chain;
use crate::event::StateEvent;
use crate::sink::SinkError;
use crate::sink_store::StoreError;
use crate::source::SourceError;

/// Something went wrong. Each is dealt with in one place, [`settle`](super::settle).
#[derive(Debug)]
pub(super) enum Trouble {
    /// A call was cut off because an order waits.
    Cut,
    /// Cursors and key-value cannot be read or written.
    Store(StoreError),
    /// The log cannot be read by the lane itself.
    Source(SourceError),
    /// The sink rejected an event.
    Rejected { event: Box<StateEvent>, message: String },
    /// The sink failed at a call with these events, or at another call.
    Sink { doing: Doing, error: Box<SinkError>, events: Option<Box<Span>> },
}

/// The events of a call.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) first: StateEvent,
    pub(super) last: StateEvent,
}

impl Span {
    pub(super) fn of(events: &[StateEvent]) -> Option<Box<Self>> {
        Some(Box::new(Self { first: events.first()?.clone(), last: events.last()?.clone() }))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("a call took too long and was cut off"),
            Self::Store(error) => f.write_str(&chain(error)),
            Self::Source(error) => write!(f, "cannot read the log: {}", chain(error)),
            Self::Rejected { event, message } => write!(f, "event {} was rejected: {message}", event.position()),
            Self::Sink { doing, error, .. } => write!(f, "it failed {doing}: {}", chain(error)),
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl Trouble {
    /// The failure of a call that is not about an event.
    pub(super) fn at(doing: Doing) -> impl FnOnce(SinkError) -> Self {
        |error| Self::Sink { doing, error: Box::new(error), events: None }
    }
}
