//! Where events come from: ADR 29's EventSource.

pub mod contract;
mod local;
mod resume;
mod stored;
mod ws;

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::component::GuestFailure;
use crate::event::{Position, StateEvent, last_event};
use crate::store::{Finding, ReadError};
use crate::stream::{EventHash, StreamFormat};

pub use local::LocalSource;
pub use stored::StoredSource;
pub use ws::WsSource;

/// The one place that a node's events are read from, first its history, then what is added.
///
/// Implement it outside this crate to read from elsewhere; [`contract::check`] puts an implementation through the duties below.
///
/// # Duties
///
/// * `open` is called once and first. It fixes what is history: every event that is whole in the source at that moment.
/// * Pages come in the order of the log. Positions rise from event to event and from page to page; a repetition is dropped by
///   the source.
/// * All pages of history come before the first that is not, and no page mixes the two. History may be empty.
/// * An event's json is the persisted text byte for byte; a source never makes it up or changes it.
/// * A page without events says how long to wait, or that nothing will ever follow. After [`Next::End`] nothing is asked for.
/// * `get_events` may be dropped before it is ready; the next call then gives what the dropped one would have given.
/// * What cannot be delivered is an error or a [`Finding`], never silence. After an error nothing is asked for.
#[async_trait]
pub trait EventSource: fmt::Debug + Send {
    /// The source in words, for people.
    fn describe(&self) -> String;

    /// The format of the events' json.
    fn format(&self) -> StreamFormat;

    /// Connects and fixes what is history.
    async fn open(&mut self) -> Result<(), SourceError>;

    /// The next events (ADR 29's `getEvents`).
    async fn get_events(&mut self) -> Result<Page, SourceError>;

    /// Lets go of what it is connected to. A crash leaves this out.
    async fn close(&mut self) {}
}

/// Makes further readers of one source: for sinks that are too far behind for the window, and for those that are put everything again.
#[derive(Clone)]
pub struct Reopen(Arc<dyn Fn() -> Box<dyn EventSource> + Send + Sync>);

impl Reopen {
    /// Each call of `make` gives a reader that is not yet open.
    pub fn new(make: impl Fn() -> Box<dyn EventSource> + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    /// A reader that is not yet open.
    pub fn reader(&self) -> Box<dyn EventSource> {
        (self.0)()
    }
}

impl fmt::Debug for Reopen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reopen").finish_non_exhaustive()
    }
}

/// Some events of a source, in order.
#[derive(Debug)]
pub struct Page {
    /// The events; may be empty.
    pub events: Vec<StateEvent>,
    /// What an operator should know about what was read.
    pub findings: Vec<Finding>,
    /// Whether all of this was in the source when it was opened.
    pub history: bool,
    /// What to do after this page.
    pub next: Next,
    /// How far history has been read, where that is known.
    pub progress: Option<Progress>,
}

/// What to do after a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask again at once.
    More,
    /// Nothing further is there yet; ask again after this time: zero, if the source has waited by itself.
    Wait(Duration),
    /// Nothing will ever follow.
    End,
}

/// How much of the history has been read, in a unit of the source's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// So much.
    pub done: u64,
    /// Of so much.
    pub total: u64,
}

/// Why a source could not give events.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A log on files.
    #[error(transparent)]
    Log(#[from] ReadError),
    /// A component trapped or broke a limit, time and again.
    #[error("the source component {name} failed {failures} times in a row")]
    Component {
        /// Its name.
        name: String,
        /// How often.
        failures: u32,
        /// The last time.
        #[source]
        source: GuestFailure,
    },
    /// A component says that it cannot go on, or does not keep to the contract.
    #[error("the source component {name} cannot go on: {message}")]
    Refused {
        /// Its name.
        name: String,
        /// Why.
        message: String,
    },
    /// The source no longer reaches back to what was read before.
    #[error("{name} has a gap: the last event read was {}, the oldest there now is {oldest}", last_event(*.last))]
    Gap {
        /// The source.
        name: String,
        /// The last position read before.
        last: Option<Position>,
        /// The oldest position there now.
        oldest: Position,
    },
    /// Our own event store could not be written. What it does not hold is given to no sink.
    #[error("the event store {path} cannot be written", path = .path.display())]
    Store {
        /// Its live segment.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A node's API could not be reached for a while.
    #[error("cannot reach {url}")]
    Unreachable {
        /// Its address.
        url: String,
        /// The last attempt.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A node's API sent something that is none of its outputs.
    #[error("{url} sent what is no output of hydra-node's API: {problem}")]
    Output {
        /// Its address.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The source has other history than what was read before.
    #[error("{name} has diverged: event {last} (hash {expected}) was read before, now {found}")]
    Diverged {
        /// The source.
        name: String,
        /// The last position read before.
        last: Position,
        /// Its hash then.
        expected: EventHash,
        /// What is there now, in words.
        found: String,
    },
    /// The source gives events of another format than was known of it.
    #[error(
        "{name} gives events of the format {found} now, and {expected} before, which is another stream; start again"
    )]
    Format {
        /// The source.
        name: String,
        /// The format now.
        found: StreamFormat,
        /// The one that was told before it was opened.
        expected: StreamFormat,
    },
    /// Any other kind of source.
    #[error("the event source failed")]
    Other(#[source] Box<dyn Error + Send + Sync>),
}

/// Compares the format that a source tells with the one known of it.
pub(crate) fn check_format(
    name: &str,
    found: Option<&StreamFormat>,
    expected: &StreamFormat,
) -> Result<(), SourceError> {
    match found.filter(|found| *found != expected) {
        Some(found) => {
            Err(SourceError::Format { name: name.to_owned(), found: found.clone(), expected: expected.clone() })
        }
        None => Ok(()),
    }
}
