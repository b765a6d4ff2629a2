//! What an operator, or the node, may tell a lane.

use std::error::Error;

use tokio::sync::oneshot;

use super::NewVersion;
use crate::event::Position;
use crate::sink_store::StoreError;

/// An order to a detached sink.
#[derive(Debug)]
#[non_exhaustive]
pub enum Order {
    /// Flush, then put nothing more.
    Pause,
    /// Go on, from pause, from a stop, or at once instead of after a wait.
    Resume,
    /// Put again from a position on.
    Replay {
        /// The first position to be put.
        from: Position,
        /// For a sink with state: whether its state is removed (`true`) or kept.
        reset_state: Option<bool>,
    },
    /// Put another version in charge.
    Swap {
        /// The version.
        new: Box<NewVersion>,
        /// Whether it is the configured file itself.
        configured: bool,
    },
    /// Put parked events again: the one at a position, or all.
    PutParked(Option<Position>),
    /// Remove parked events: the one at a position, or all.
    DropParked(Option<Position>),
    /// Stop for this reason, for good: what comes next for the sink is about to be deleted.
    Halt(String),
    /// Flush, close and end.
    Stop,
}

/// Why an order was not obeyed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// There is no such detached sink.
    #[error("there is no detached sink {sink:?}; there are {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })]
    UnknownSink {
        /// The name given.
        sink: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// The sink does not run any more.
    #[error("the sink has ended")]
    Ended,
    /// It makes no sense in the sink's state.
    #[error("{0}")]
    Refused(String),
    /// Only components can be swapped.
    #[error("the sink is not a component, so there is nothing to swap")]
    NotAComponent,
    /// The new version cannot be loaded.
    #[error("the new version cannot be loaded")]
    Load(#[source] Box<dyn Error + Send + Sync>),
    /// The store of cursors failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an order comes to.
pub(super) type Answer = oneshot::Receiver<Result<String, OrderError>>;

/// An order and who waits for its answer.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) order: Order,
    pub(super) answer: oneshot::Sender<Result<String, OrderError>>,
}

impl Envelope {
    pub(super) fn new(order: Order) -> (Self, Answer) {
        let (answer, receiver) = oneshot::channel();
        (Self { order, answer }, receiver)
    }
}
