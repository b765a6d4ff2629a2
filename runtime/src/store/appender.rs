//! Appends events to a log so that they are durable, or not there at all.

use std::io;

use super::log_file::LogFile;
use crate::event::{Position, StateEvent};

/// Why events could not be appended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The position does not come after the last one in the log.
    #[error("position {position} does not come after {last}, the last one in the log")]
    NotAbove {
        /// The event's position.
        position: Position,
        /// The last position in the log.
        last: Position,
    },
    /// Another process wrote to the log. Nothing was written.
    #[error("the log is {found} bytes long where {expected} were expected: something else writes to it")]
    SharedLog {
        /// The length that we left it at.
        expected: u64,
        /// The length now.
        found: u64,
    },
    /// Writing failed, on a full disk for one. What had been written of the events was cut off again if that was possible.
    #[error("cannot append to the log")]
    Write(#[source] io::Error),
    /// The log could not be made durable. This is never tried again: what reached the disk is unknown until the log is read anew.
    #[error("cannot make the log durable")]
    Sync(#[source] io::Error),
    /// An earlier call failed; the log has to be opened anew.
    #[error("an earlier write to the log failed")]
    Broken,
}

/// Bytes gathered before they are written; they are not durable before [`LogAppender::commit`] all the same.
const BUFFER: usize = 256 * 1024;

/// Appends events, one line each, to a log that nobody else writes.
#[derive(Debug)]
pub struct LogAppender<F> {
    file: F,
    buffer: Vec<u8>,
    written: u64,
    committed: u64,
    last: Option<Position>,
    broken: bool,
}

impl<F: LogFile> LogAppender<F> {
    /// Appends to a file whose last event is at `last` and which ends in a newline.
    ///
    /// # Errors
    ///
    /// If the file's length cannot be read.
    pub fn new(file: F, last: Option<Position>) -> io::Result<Self> {
        let written = file.length()?;
        Ok(Self { file, buffer: Vec::with_capacity(BUFFER), written, committed: written, last, broken: false })
    }

    /// Bytes of the file, and of what was taken for it.
    pub fn bytes(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// The position of the last event taken.
    pub fn last(&self) -> Option<Position> {
        self.last
    }

    /// Takes an event; it is durable after the next [`commit`](Self::commit).
    ///
    /// # Errors
    ///
    /// [`AppendError::NotAbove`] leaves the log as it was; after any other error it has to be opened anew.
    pub fn append(&mut self, event: &StateEvent) -> Result<(), AppendError> {
        if self.broken {
            return Err(AppendError::Broken);
        }
        let position = event.position();
        if let Some(last) = self.last.filter(|last| position <= *last) {
            return Err(AppendError::NotAbove { position, last });
        }
        self.buffer.extend_from_slice(event.json().as_bytes());
        self.buffer.push(b'\n');
        self.last = Some(position);
        if self.buffer.len() >= BUFFER { self.write() } else { Ok(()) }
    }

    /// Makes everything taken so far durable.
    ///
    /// # Errors
    ///
    /// After an error nothing taken since the last success counts as durable, and the log has to be opened anew.
    pub fn commit(&mut self) -> Result<(), AppendError> {
        self.write()?;
        if self.committed == self.written {
            return Ok(());
        }
        if let Err(error) = self.file.sync() {
            self.broken = true;
            return Err(AppendError::Sync(error));
        }
        self.committed = self.written;
        Ok(())
    }

    fn write(&mut self) -> Result<(), AppendError> {
        if self.broken {
            return Err(AppendError::Broken);
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.broken = true;
        let found = self.file.length().map_err(AppendError::Write)?;
        if found != self.written {
            return Err(AppendError::SharedLog { expected: self.written, found });
        }
        if let Err(error) = self.file.append(&self.buffer) {
            // Leave whole lines only. If this fails too, the next owner finds a torn tail and cuts it.
            let _ = self.file.truncate(self.committed).and_then(|()| self.file.sync());
            return Err(AppendError::Write(error));
        }
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        self.broken = false;
        Ok(())
    }
}
