//! Reads a log in order, from its oldest rotated file into the live one, and follows it.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::decode::{Decoded, Decoder};
use super::files::{LogFiles, id_at};
use super::glued::is_whole_event;
use super::line_reader::{LineReader, RawLine};
use super::read::{OnBadLine, ReadError, ReadLog, ReadOptions, ReadPage};
use super::report::{BadLine, Finding, TailKind};
use crate::event::{Position, StateEvent};

/// Bytes of lines in one page: enough that what a page costs does not matter, little enough to hold a few at once.
const PAGE_BYTES: u64 = 512 * 1024;

/// Reads a log with its rotated files as one sequence of events.
///
/// Only ever opens files for reading. What was whole when the log was opened is history; then come events as they are appended,
/// across rotations. When the file is truncated or replaced, the last event read is looked up in what is there now: reading goes on
/// behind it, or ends in [`ReadError::Diverged`] or [`ReadError::Gap`].
#[derive(Debug)]
pub struct LogReader {
    pub(super) files: LogFiles,
    pub(super) options: ReadOptions,
    pub(super) decoder: Decoder,
    pub(super) current: LineReader,
    /// Rotated files still to be read before the live one.
    upcoming: VecDeque<PathBuf>,
    /// The live file as it was opened, for after the rotated ones.
    live: Option<LineReader>,
    /// While reading history: the length of its last file at open.
    history_end: Option<u64>,
    /// A line that was read while looking for the end of history and comes after it.
    pending: Option<RawLine>,
    /// The bad line that reading stopped at.
    stopped: Option<BadLine>,
    /// The last line of the last page and where it stood, to notice a file that was rewritten in place.
    pub(super) last_line: Option<(u64, StateEvent)>,
    /// Whether it was said that there is a database beside the log.
    pub(super) has_said_database: bool,
    bytes_total: u64,
    bytes_done: u64,
}

impl LogReader {
    /// Opens the log whose live file is at `path`.
    ///
    /// # Errors
    ///
    /// If there is neither that file nor a rotated one, or one cannot be read.
    pub fn open(path: impl Into<PathBuf>, options: ReadOptions) -> Result<Self, ReadError> {
        let files = LogFiles::new(path);
        if let Some(found) =
            files.moved_to().map_err(|source| ReadError::Io { path: files.live().to_owned(), source })?
        {
            return Err(ReadError::moved(files.live(), found));
        }
        Self::open_files(files, options)
    }

    pub(super) fn open_files(files: LogFiles, options: ReadOptions) -> Result<Self, ReadError> {
        let fail = |path: &Path| {
            let path = path.to_owned();
            |source| ReadError::Io { path, source }
        };
        // The live file first: if it is rotated from now on, its new name is recognised by its identity.
        let live = open_file(files.live(), &options);
        let live_id = live.as_ref().ok().map(LineReader::file_id).transpose().map_err(fail(files.live()))?;
        let mut upcoming = VecDeque::new();
        for (_, path) in files.rotated().map_err(fail(files.folder()))? {
            if live_id.is_none() || id_at(&path).map_err(fail(&path))? != live_id {
                upcoming.push_back(path);
            }
        }
        let live = match (live, upcoming.pop_back()) {
            (Ok(live), last) => {
                upcoming.extend(last);
                live
            }
            (Err(ReadError::Io { source, .. }), Some(last)) if source.kind() == io::ErrorKind::NotFound => {
                open_file(&last, &options)?
            }
            (Err(error), _) => return Err(error),
        };
        let end = live.file_len().map_err(fail(live.path()))?;
        let rotated_bytes = upcoming.iter().filter_map(|path| path.metadata().ok()).map(|meta| meta.len());
        let bytes_total = end + rotated_bytes.sum::<u64>();
        let (current, live) = match upcoming.pop_front() {
            Some(first) => (open_file(&first, &options)?, Some(live)),
            None => (live, None),
        };
        let decoder = Decoder::new(&options);
        Ok(Self {
            files,
            options,
            decoder,
            current,
            upcoming,
            live,
            history_end: Some(end),
            pending: None,
            stopped: None,
            last_line: None,
            has_said_database: false,
            bytes_total,
            bytes_done: 0,
        })
    }

    /// Goes on to the next file of history; false if there is none.
    fn next_file(&mut self) -> Result<bool, ReadError> {
        let next = match self.upcoming.pop_front() {
            Some(path) => Some(self.open_file(&path)?),
            None => self.live.take(),
        };
        let Some(next) = next else { return Ok(false) };
        self.bytes_done += self.current.read_to();
        self.switch_to(next);
        Ok(true)
    }

    pub(super) fn switch_to(&mut self, next: LineReader) {
        self.current = next;
        self.last_line = None;
    }

    pub(super) fn open_file(&self, path: &Path) -> Result<LineReader, ReadError> {
        open_file(path, &self.options)
    }

    /// Reads lines of the current file into the page; false once nothing (of history) is left in it.
    pub(super) fn read_lines(&mut self, page: &mut ReadPage) -> Result<bool, ReadError> {
        let start = self.current.byte();
        let mut decoded = Decoded::default();
        let mut more = true;
        while more && self.current.byte() - start < PAGE_BYTES {
            let Some(line) = self.next_line()? else {
                more = false;
                break;
            };
            let place = self.options.check_grammar.then(|| line.place.clone());
            let outcome = self.decoder.line(line, self.options.max_line, &mut decoded);
            if let Some(place) = place {
                page.places.resize(page.events.len() + decoded.events.len(), place);
            }
            if let Err(bad) = outcome {
                match self.options.on_bad_line {
                    OnBadLine::Skip => decoded.findings.push(Finding::Skipped(bad)),
                    OnBadLine::Stop => {
                        more = false;
                        self.stopped = Some(bad);
                    }
                }
            }
        }
        self.add(page, decoded);
        match &self.stopped {
            // What came before the bad line is given out first.
            Some(bad) if page.events.is_empty() => Err(ReadError::BadLine(bad.clone())),
            Some(_) => Ok(true),
            None => Ok(more),
        }
    }

    /// Puts what lines came to into a page.
    fn add(&mut self, page: &mut ReadPage, mut decoded: Decoded) {
        if let Some(event) = decoded.events.last() {
            let byte = self.current.byte().checked_sub(event.bytes() as u64 + 1);
            self.last_line = byte.map(|byte| (byte, event.clone()));
        }
        page.events.append(&mut decoded.events);
        page.findings.append(&mut decoded.findings);
    }

    /// The next line; while reading history, only one whose text was there when the log was opened.
    fn next_line(&mut self) -> Result<Option<RawLine>, ReadError> {
        if let Some(line) = self.pending.take_if(|_| self.history_end.is_none()) {
            return Ok(Some(line));
        }
        if self.pending.is_some() {
            return Ok(None);
        }
        let line = self.current.next_line();
        let line = line.map_err(|source| ReadError::Io { path: self.current.path().to_path_buf(), source })?;
        let newline_at = self.current.byte().saturating_sub(1);
        match self.history_end {
            Some(end) if line.is_some() && self.in_last_file() && newline_at > end => {
                self.pending = line;
                Ok(None)
            }
            _ => Ok(line),
        }
    }

    /// What is known of the log up to here, for another reader to go on with.
    pub(super) fn into_decoder(self) -> Decoder {
        self.decoder
    }

    /// Treats all that follows as live; further files are found by following.
    pub(super) fn end_history(&mut self) {
        self.history_end = None;
        self.upcoming.clear();
        self.live = None;
    }

    /// Whether history ends in the current file.
    fn in_last_file(&self) -> bool {
        self.upcoming.is_empty() && self.live.is_none()
    }

    /// The bytes after the last newline of a file of history: an event whose newline is missing, or a torn line.
    pub(super) fn read_tail(&mut self, page: &mut ReadPage) -> Result<(), ReadError> {
        let grown = self.in_last_file() && self.history_end.is_some_and(|end| self.current.read_to() > end);
        if self.stopped.is_some() || self.pending.is_some() || self.current.tail_len() == 0 || grown {
            return Ok(());
        }
        let place = self.current.place();
        if !is_whole_event(self.current.tail()) {
            let (kind, bytes) = (TailKind::of(self.current.tail()), self.current.tail_len());
            page.findings.push(Finding::Tail { kind, place, bytes });
            return Ok(());
        }
        let mut decoded = Decoded::default();
        let line = self.current.take_tail();
        match (self.decoder.line(line, self.options.max_line, &mut decoded), self.options.on_bad_line) {
            (Ok(()), _) => decoded.findings.push(Finding::NoNewline { place }),
            (Err(bad), OnBadLine::Skip) => decoded.findings.push(Finding::Skipped(bad)),
            (Err(bad), OnBadLine::Stop) => self.stopped = Some(bad),
        }
        self.add(page, decoded);
        self.last_line = None;
        Ok(())
    }
}

impl ReadLog for LogReader {
    fn read_history(&mut self) -> Result<Option<ReadPage>, ReadError> {
        if let Some(bad) = self.stopped.clone() {
            return Err(ReadError::BadLine(bad));
        }
        let mut page = ReadPage { history: true, ..ReadPage::default() };
        while self.history_end.is_some() && page.events.is_empty() {
            if self.read_lines(&mut page)? {
                continue;
            }
            self.read_tail(&mut page)?;
            if !self.next_file()? {
                self.history_end = None;
            }
        }
        let is_empty = page.events.is_empty() && page.findings.is_empty();
        Ok((!is_empty).then_some(page))
    }

    fn read_live(&mut self) -> Result<ReadPage, ReadError> {
        self.follow()
    }

    fn last(&self) -> Option<Position> {
        self.decoder.last().map(|(position, _)| position)
    }

    fn duplicates(&self) -> u64 {
        self.decoder.duplicates
    }

    fn legacy(&self) -> u64 {
        self.decoder.legacy
    }

    fn progress(&self) -> (u64, u64) {
        ((self.bytes_done + self.current.read_to()).min(self.bytes_total), self.bytes_total)
    }
}

fn open_file(path: &Path, options: &ReadOptions) -> Result<LineReader, ReadError> {
    let fail = |source| ReadError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(fail)?;
    if !file.metadata().map_err(fail)?.is_file() {
        return Err(ReadError::NotAFile { path: path.to_owned() });
    }
    Ok(LineReader::new(file, path, options.max_line))
}
