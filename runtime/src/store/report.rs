//! What a reader has to say about a log besides its events.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::event::{EnvelopeError, Position};
use crate::stream::EventHash;

/// Where an event, or what should have been one, stands in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file it is in.
    pub file: Arc<Path>,
    /// Where in that file.
    pub at: At,
}

/// Where in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// A line of a file.
    Line {
        /// Its number, from 1.
        line: u64,
        /// Where it begins, in bytes from 0.
        byte: u64,
    },
    /// A line that a component gave.
    Given {
        /// Its number since the component was started, from 1.
        line: u64,
    },
    /// A row of a database.
    Row {
        /// Its key.
        id: i64,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match self.at {
            At::Line { line, byte } => write!(f, "{file}, line {line}, byte {byte}"),
            At::Given { line } => write!(f, "{file}, line {line} that it gave"),
            At::Row { id } => write!(f, "{file}, row {id}"),
        }
    }
}

/// Why a line cannot be an event of this log.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineFault {
    /// Not UTF-8.
    #[error("not UTF-8 (byte {at} of the line)")]
    Utf8 {
        /// Offset into the line, in bytes from 0.
        at: usize,
    },
    /// Not an event's envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The envelope is right, but something deeper is not JSON. Only looked for on request.
    #[error("not JSON: {0}")]
    Grammar(String),
    /// Longer than is taken.
    #[error("{length} bytes long, more than the {limit} that are taken (parameter max-line)")]
    TooLong {
        /// The line's length in bytes.
        length: u64,
        /// The bound.
        limit: usize,
    },
    /// The position does not come after the one before, and it is no repetition of an event that was just read.
    #[error("position {position} does not come after {last}{}", known(.hashes))]
    NotAbove {
        /// The line's position.
        position: Position,
        /// The last position before it.
        last: Position,
        /// The remembered hash of that position, if any, and the line's.
        hashes: Box<(Option<EventHash>, EventHash)>,
    },
    /// A row of a database whose event bears another id than the row.
    #[error("the row bears the id {row}, the event in it {event}")]
    OtherId {
        /// The row's key.
        row: i64,
        /// The event's id.
        event: u64,
    },
    /// A row of schema 2 that is not CBOR items of an event.
    #[error("{0}")]
    NotItems(String),
    /// A line without an id follows the largest id there is.
    #[error("no id is left for a line without one")]
    IdsExhausted,
}

fn known((before, now): &(Option<EventHash>, EventHash)) -> String {
    before.map_or_else(String::new, |before| format!(", and differs from what was there (hash {before}, now {now})"))
}

/// A line that cannot be delivered.
#[derive(Clone, Debug, thiserror::Error)]
#[error("bad line in {place}")]
pub struct BadLine {
    /// Where it is.
    pub place: Place,
    /// What is wrong.
    #[source]
    pub fault: LineFault,
}

/// What the bytes after the last newline look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailKind {
    /// A line that was cut short.
    Torn,
    /// Filled with NUL bytes, as some file systems leave it after a power loss (hydra #2253).
    Nul,
}

impl TailKind {
    pub(super) fn of(tail: &[u8]) -> Self {
        if memchr::memchr(0, tail).is_some() { Self::Nul } else { Self::Torn }
    }
}

impl fmt::Display for TailKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Torn => "torn",
            Self::Nul => "NUL-filled",
        })
    }
}

/// Something about a log that an operator should know. None of these holds back an event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Finding {
    /// A bad line was passed over, as `on-bad-line=skip` asks.
    Skipped(BadLine),
    /// A whole event was found behind a piece of a torn line; the piece is lost.
    Glued {
        /// The line that holds both.
        place: Place,
        /// Length of the piece in bytes.
        bytes: usize,
        /// What the piece looks like.
        kind: TailKind,
    },
    /// The file ends in the middle of a line.
    Tail {
        /// Torn or NUL.
        kind: TailKind,
        /// Where the line begins.
        place: Place,
        /// How many bytes of it are there.
        bytes: u64,
    },
    /// Lines repeat events that were just read, and were dropped. Nodes write such lines; this is no fault.
    Repeated {
        /// The first of them.
        place: Place,
        /// How many there are in a row of lines read together.
        lines: u64,
    },
    /// A database of hydra-node 2.1 lies beside a log on files: the node keeps its events there.
    DatabaseBeside {
        /// The log.
        log: PathBuf,
        /// The database.
        database: PathBuf,
    },
    /// A file of the log is left out: its events are not of this stream's format.
    LeftOut {
        /// The file.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// The last event is whole, but the newline after it is missing.
    NoNewline {
        /// Where the event begins.
        place: Place,
    },
}

impl Finding {
    /// Whether a log with this in it is not whole.
    pub fn is_fault(&self) -> bool {
        !matches!(self, Self::Repeated { .. } | Self::DatabaseBeside { .. })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped(bad) => write!(f, "skipped a {bad}: {}", bad.fault),
            Self::Glued { place, bytes, kind } => write!(
                f,
                "{place}: {bytes} bytes of a {kind} line stand before a whole event; the event is delivered, the rest is lost"
            ),
            Self::Tail { kind, place, bytes } => {
                write!(f, "{kind} tail of {bytes} bytes at {place}; every event before it is whole")
            }
            Self::Repeated { place, lines } => write!(f, "dropped {lines} repeated lines from {place} on"),
            Self::DatabaseBeside { log, database } => write!(
                f,
                "{} lies beside {}: hydra-node 2.1 and later keep their events there; a folder as the event source (file://…/ with a slash at \
                 the end) reads both",
                database.display(),
                log.display()
            ),
            Self::LeftOut { file, why } => write!(f, "{} is left out: {why}", file.display()),
            Self::NoNewline { place } => write!(f, "no newline after the last event at {place}; the event is whole"),
        }
    }
}
