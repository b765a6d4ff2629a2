//! What reading a log takes and gives, whatever it is kept in.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::files::folder_of;
use super::line_reader::DEFAULT_MAX_LINE;
use super::report::{BadLine, Finding, Place};
use crate::event::{Position, StateEvent};
use crate::stream::{EventHash, StreamFormat};

/// What to do with a line that cannot be delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBadLine {
    /// Fail, naming it.
    #[default]
    Stop,
    /// Pass over it and report it.
    Skip,
}

/// What the lines of a log are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineForm {
    /// StateEvent, or what is written as one.
    #[default]
    StateEvent,
    /// Outputs of hydra-node's API with `seq`, as our own event store keeps them.
    ServerOutput,
}

/// How a log is read.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// What its lines are.
    pub form: LineForm,
    /// What to do with a bad line.
    pub on_bad_line: OnBadLine,
    /// The longest line taken, in bytes.
    pub max_line: usize,
    /// Whether each line is parsed as JSON to the last value, not only its envelope.
    pub check_grammar: bool,
}

impl Default for ReadOptions {
    /// Stop at a bad line, lines up to [`DEFAULT_MAX_LINE`], envelope only.
    fn default() -> Self {
        Self {
            form: LineForm::StateEvent,
            on_bad_line: OnBadLine::Stop,
            max_line: DEFAULT_MAX_LINE,
            check_grammar: false,
        }
    }
}

/// Why a log could not be read on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file or its folder could not be read.
    #[error("cannot read {path}", path = .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The path does not lead to a regular file.
    #[error("{path} is not a file", path = .path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A line cannot be delivered, and bad lines are not to be skipped.
    #[error("{0}: {fault}", fault = .0.fault)]
    BadLine(BadLine),
    /// The log has other history than what was read before.
    #[error("{path} has diverged: event {last} (hash {expected}) was read before, now {found}", path = .path.display())]
    Diverged {
        /// The live file.
        path: PathBuf,
        /// The last position read before.
        last: Position,
        /// Its hash then.
        expected: EventHash,
        /// What is there now, in words.
        found: String,
    },
    /// A database could not be read.
    #[error("cannot read {path}", path = .path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// The cause.
        #[source]
        source: rusqlite::Error,
    },
    /// A database is not in a state in which it may be read, and has not been for a while.
    #[error("{path} cannot be read now: {why}", path = .path.display())]
    NotNow {
        /// The database.
        path: PathBuf,
        /// What is in the way.
        why: String,
    },
    /// Reading a database could leave a file in the node's folder that the node cannot write to.
    #[error(
        "{path} belongs to another user and we may write to {folder}: SQLite could leave a file there that the node cannot write to; run \
         hydrant as the node's user, or as one that may only read there",
        path = .path.display(), folder = .folder.display()
    )]
    CouldHurt {
        /// The database.
        path: PathBuf,
        /// Its folder.
        folder: PathBuf,
    },
    /// A database is written in another way than when it was opened, or in one that is not known.
    #[error("{path} is of schema {found} (user_version), {expected}", path = .path.display())]
    Schema {
        /// The database.
        path: PathBuf,
        /// Its `user_version`.
        found: i64,
        /// What was expected, in words.
        expected: &'static str,
    },
    /// The log is not there, and another one is.
    #[error(
        "the node's log is not in {path} any more but in {found} (hydra-node 2.1 and later); with {uri} as the event source reading goes on \
         where it was",
        path = .path.display(), found = .found.display()
    )]
    Moved {
        /// Where it was.
        path: PathBuf,
        /// Where it is.
        found: PathBuf,
        /// The source's URI for it.
        uri: String,
    },
    /// A folder holds nothing that a node has written.
    #[error("{folder} holds no log of a hydra-node: neither state, state-*, state.migrated nor hydra.db", folder = .folder.display())]
    NoLog {
        /// The folder.
        folder: PathBuf,
    },
    /// The log no longer reaches back to what was read before.
    #[error("{path} has a gap: the last event read was {last}, the oldest there now is {oldest}", path = .path.display())]
    Gap {
        /// The live file.
        path: PathBuf,
        /// The last position read before.
        last: Position,
        /// The oldest position there now.
        oldest: Position,
    },
}

impl ReadError {
    pub(super) fn moved(path: &Path, found: PathBuf) -> Self {
        let uri = format!("file://{}/", folder_of(path).display());
        Self::Moved { path: path.to_owned(), found, uri }
    }
}

/// Some events of a log in order.
#[derive(Debug, Default)]
pub struct ReadPage {
    /// The events.
    pub events: Vec<StateEvent>,
    /// Where each event stands, if [`check_grammar`](ReadOptions::check_grammar) is set; else nothing.
    pub places: Vec<Place>,
    /// What else there is to say about the lines read.
    pub findings: Vec<Finding>,
    /// Whether all of this was there when the log was opened. Once false it stays so.
    pub history: bool,
    /// Whether nothing further is there now.
    pub caught_up: bool,
}

/// A log that is read beside its node: first what was there when it was opened, then what is added.
///
/// # Duties
///
/// * Nothing is ever written.
/// * What was whole when the log was opened is history, and given first; then come events as they are added, across rotations.
/// * Positions rise. A repetition of an event just read is dropped and counted.
/// * When the log is not what it was, the last event read is looked up in what is there now: reading goes on behind it, or ends in
///   [`ReadError::Diverged`] or [`ReadError::Gap`]. After an error nothing is asked for.
pub trait ReadLog: fmt::Debug + Send {
    /// The format of the events, if the log itself tells it: lines of a file do not.
    fn format(&self) -> Option<StreamFormat> {
        None
    }

    /// Reads on in what was there when the log was opened; none once that is exhausted.
    ///
    /// # Errors
    ///
    /// [`ReadError`]. Events before a bad line come in a page of their own first.
    fn read_history(&mut self) -> Result<Option<ReadPage>, ReadError>;

    /// Reads what was added since: some events, or none if nothing further is there now. Asked for once history is exhausted.
    ///
    /// # Errors
    ///
    /// As [`read_history`](Self::read_history).
    fn read_live(&mut self) -> Result<ReadPage, ReadError>;

    /// The position of the last event read.
    fn last(&self) -> Option<Position>;

    /// Lines that repeated an event just read and were dropped.
    fn duplicates(&self) -> u64;

    /// Lines that carried no id and were given one.
    fn legacy(&self) -> u64;

    /// How much of the log as it was at open has been read, and how much there was, in bytes.
    fn progress(&self) -> (u64, u64);

    /// Reads on, in history or behind it.
    ///
    /// # Errors
    ///
    /// As [`read_history`](Self::read_history).
    fn read_page(&mut self) -> Result<ReadPage, ReadError> {
        match self.read_history()? {
            Some(page) => Ok(page),
            None => self.read_live(),
        }
    }
}
