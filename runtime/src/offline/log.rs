//! The log that an offline head owns: appended to in groups, rotated with a checkpoint.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use crate::event::{Position, StateEvent};
use crate::store::{DiskFile, LogAppender, OwnError, ReadOptions, SegmentError, begin_another, own};

/// Appends to the log, as the only one who does.
#[derive(Debug)]
pub(super) struct HeadLog {
    path: PathBuf,
    options: ReadOptions,
    appender: LogAppender<DiskFile>,
    /// Lines in the live file, if it is to be rotated.
    lines: u64,
    rotate_after: Option<NonZeroU64>,
}

impl HeadLog {
    /// Opens the log, mending a torn tail. It is rotated once its live file has more than `rotate_after` lines, as hydra-node 0.22.4 and later
    /// do.
    pub(super) fn open(path: &Path, options: ReadOptions, rotate_after: Option<NonZeroU64>) -> Result<Self, OwnError> {
        let appender = own(path)?;
        // Nothing is read for a count that nobody asks for.
        let lines = rotate_after.map_or(Ok(0), |_| count_lines(path));
        let lines = lines.map_err(|source| OwnError::Io { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), options, appender, lines, rotate_after })
    }

    pub(super) fn last(&self) -> Option<Position> {
        self.appender.last()
    }

    /// Makes events durable.
    pub(super) fn append(&mut self, events: &[StateEvent]) -> Result<(), SegmentError> {
        for event in events {
            self.appender.append(event)?;
        }
        self.appender.commit()?;
        self.lines += events.len() as u64;
        Ok(())
    }

    /// Whether the live file is full, or was just begun when the process ended.
    pub(super) fn wants_checkpoint(&self) -> bool {
        self.was_cut_off() || self.rotate_after.is_some_and(|most| self.lines > most.get())
    }

    /// The live file was renamed, and the checkpoint not yet written.
    fn was_cut_off(&self) -> bool {
        self.appender.bytes() == 0 && self.last().is_some()
    }

    /// Renames the live file and begins another with this, which is a checkpoint. A crash in between leaves a live file without a line, which
    /// [`wants_checkpoint`](Self::wants_checkpoint) then tells.
    pub(super) fn rotate(&mut self, checkpoint: &[StateEvent]) -> Result<(), SegmentError> {
        if !self.was_cut_off() {
            self.appender = begin_another(&self.path, &self.appender, &self.options)?;
            self.lines = 0;
        }
        self.append(checkpoint)
    }
}

fn count_lines(path: &Path) -> io::Result<u64> {
    let (mut file, mut lines) = (BufReader::with_capacity(1 << 20, File::open(path)?), 0);
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            return Ok(lines);
        }
        lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        let length = bytes.len();
        file.consume(length);
    }
}
