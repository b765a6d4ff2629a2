//! Where events are put: ADR 29's EventSink.

pub mod contract;
mod file;
mod sqlite;
mod stdout;

use std::error::Error;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::component::GuestFailure;
use crate::event::{Position, StateEvent};
use crate::sink_store::Saved;
use crate::stream::{EventHash, Stream};

pub use file::FileSink;
pub use sqlite::SqliteSink;
pub use stdout::StdoutSink;

/// One of any number of places that events are put to.
///
/// Implement it outside this crate to add a native sink; [`contract::check`] puts an implementation through the duties below.
///
/// # Duties
///
/// * Calls come one at a time: `open` first, then puts and flushes in any order, `close` last. The inline lane opens a sink once. The
///   detached lane may open it again, after an error without a `close`: it then starts anew, having taken nothing.
/// * Events come in the order of the log, but not each only once: at every start of an inline sink all events of the source are put again
///   (ADR 29). Putting an event a second time leaves the target as if it had been put once.
/// * [`Ack::Durable`] is about that one event: it survives a crash from now on. [`Ack::Accepted`] events do after the next `flush`
///   that succeeds, which covers everything accepted before it.
/// * A `flush` with nothing to do succeeds.
/// * An error leaves it open whether the event has an effect; the same event may be put again to a new instance.
/// * `close` releases what the sink holds. It need not be called: a crash leaves it out, so nothing that was acknowledged may
///   depend on it.
#[async_trait]
pub trait EventSink: fmt::Debug + Send {
    /// The sink in words, for people.
    fn describe(&self) -> String;

    /// Prepares for puts; says where the sink would like to start.
    async fn open(&mut self, info: &OpenInfo) -> Result<Opened, SinkError>;

    /// Takes one event (ADR 29's `putEvent`).
    async fn put_event(&mut self, event: &StateEvent, delivery: Delivery) -> Result<Ack, SinkError>;

    /// Makes everything accepted so far durable.
    async fn flush(&mut self) -> Result<(), SinkError>;

    /// Ends the sink's work.
    async fn close(&mut self, reason: CloseReason) -> Result<(), SinkError>;

    /// The last lines that the sink itself wrote to its log, for the report of a failure; a native sink has none.
    fn log_tail(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether the sink wants events of this tag, once it is open. Others are not put to it, and count as durable.
    fn wants(&self, _tag: &str) -> bool {
        true
    }

    /// The sink's batches, if it takes any. As in the contract, this and [`handover`](Self::handover) are optional.
    fn batch(&mut self) -> Option<&mut dyn Batch> {
        None
    }

    /// The sink's handover, if it has one.
    fn handover(&mut self) -> Option<&mut dyn Handover> {
        None
    }

    /// Whether the sink is told the head's id at [`open`](Self::open), and so wants to be opened again when it is another.
    fn reads_head_id(&self) -> bool {
        false
    }

    /// Which component this is; none for a native sink.
    fn version(&self) -> Option<SinkVersion> {
        None
    }

    /// What the last call and the worst one used; nothing for a native sink.
    fn usage(&self) -> Usage {
        Usage::default()
    }
}

/// Many events in one call.
#[async_trait]
pub trait Batch: Send {
    /// Takes events in order, all of them put under the same circumstances.
    ///
    /// # Errors
    ///
    /// [`BatchError`] with what was taken before; after a trap or a broken limit that is nothing.
    async fn put_events(&mut self, events: &[StateEvent], delivery: Delivery) -> Result<BatchProgress, BatchError>;
}

/// State handed from one instance of a sink to the next.
#[async_trait]
pub trait Handover: Send {
    /// The state after the last event taken. Puts may go on afterwards.
    ///
    /// # Errors
    ///
    /// [`SinkError`], as from any call.
    async fn save(&mut self) -> Result<Saved, SinkError>;

    /// Takes over a state, after `open` and before the first put.
    ///
    /// # Errors
    ///
    /// [`SinkError::Fatal`] if the state is not understood.
    async fn restore(&mut self, saved: &Saved) -> Result<(), SinkError>;
}

/// How far a batch got, in events from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchProgress {
    /// Taken by the sink.
    pub taken: usize,
    /// Of those, durable.
    pub durable: usize,
}

/// A batch broke off.
#[derive(Debug, thiserror::Error)]
#[error("the batch broke off after {} events", progress.taken)]
pub struct BatchError {
    /// What was taken before.
    pub progress: BatchProgress,
    /// What is wrong with the next one, or with the sink.
    #[source]
    pub error: SinkError,
}

/// A component's version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkVersion {
    /// sha256 of the component, in hex.
    pub digest: String,
    /// Whether its effects cannot be taken back by a later put.
    pub irreversible: bool,
    /// Whether it keeps state with the host.
    pub key_value: bool,
}

/// What a guest's calls cost, by event: a batch's fuel is shared out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Usage {
    /// Fuel for the last event.
    pub fuel: u64,
    /// Fuel for the most expensive event.
    pub fuel_worst: u64,
    /// Linear memory after the last event, in bytes.
    pub memory: u64,
    /// The most linear memory, in bytes.
    pub memory_worst: u64,
    /// Calls into this instance.
    pub calls: u64,
}

/// What a sink learns when it is opened.
#[derive(Clone, Debug)]
pub struct OpenInfo {
    /// Which stream, and in which format.
    pub stream: Stream,
    /// The head's id in hexadecimal digits, where it is known: as configured, or as the newest event says whose effect was worked out.
    pub head_id: Option<String>,
    /// The last position known durable; always none on the inline lane.
    pub resume: Option<Position>,
}

/// Where a sink would like to start. The inline lane puts everything, whatever the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// After [`OpenInfo::resume`].
    Cursor,
    /// After this position: the target has everything up to it.
    After(Position),
    /// At the beginning.
    Beginning,
}

/// Circumstances of a put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// The event was in the source when hydrant started.
    pub catching_up: bool,
    /// The event was certainly put to this sink before.
    pub redelivered: bool,
    /// The event had been parked.
    pub unparked: bool,
}

/// What a sink answers to a put that it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// This event survives a crash.
    Durable,
    /// It will after a later flush.
    Accepted,
}

/// Why a sink is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Everything asked for was delivered, or the process was asked to stop.
    Stop,
    /// Another version takes over.
    Swap,
    /// The stream changed, or the host starts a fresh instance: `open` follows.
    Reopen,
    /// This sink or another one failed.
    Failure,
}

/// Why a sink did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The target cannot be reached now.
    #[error("asks for a retry{}: {message}", after.map_or_else(String::new, |after| format!(" after {after:?}")))]
    Retry {
        /// Not before this time has passed.
        after: Option<Duration>,
        /// The sink's own words.
        message: String,
    },
    /// This event will never be taken.
    #[error("rejected: {message}")]
    Rejected {
        /// The sink's own words.
        message: String,
    },
    /// The sink cannot go on.
    #[error("fatal: {message}")]
    Fatal {
        /// The sink's own words.
        message: String,
    },
    /// The component trapped or broke a limit.
    #[error(transparent)]
    Guest(#[from] GuestFailure),
    /// The sink did not keep to the contract.
    #[error("breaks the contract: {message}")]
    Contract {
        /// How.
        message: String,
    },
    /// The target holds another event at this position.
    #[error("position {position} is there already with other bytes: hash {there} there, {put} put")]
    Conflict {
        /// The position.
        position: Position,
        /// Hash of what is there.
        there: EventHash,
        /// Hash of what was put.
        put: EventHash,
    },
    /// A native sink's target failed.
    #[error(transparent)]
    Target(Box<dyn Error + Send + Sync>),
}

impl SinkError {
    /// Wraps what a native sink's target reported.
    pub fn target(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Target(error.into())
    }
}
