//! Reads a file on in large reads, each split into lines; a long file on a thread of its own, ahead of who takes them.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Builder;

use bytes::Bytes;
use bytestring::ByteString;
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, pread};

use super::line_reader::RawText;
use crate::event::Text;

/// Bytes asked for in one read: large enough that the call costs nothing, small enough to stay in cache.
pub(super) const CHUNK: usize = 512 * 1024;

/// Chunks that may wait to be taken, 4 MB. Reading is faster than what comes after it, so one would do for the reader alone; but where a third
/// thread folds on two cores, the three wake each other for every chunk, and with more in hand that takes a tenth off the whole.
pub(super) const AHEAD: usize = 8;

/// Lines that were read together.
#[derive(Debug)]
enum Page {
    Utf8(ByteString),
    Other(Bytes),
}

impl Default for Page {
    fn default() -> Self {
        Self::Other(Bytes::new())
    }
}

/// What one read gave.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// Whole lines, end to end without their newlines.
    page: Page,
    /// Where each line ends in the page.
    pub(super) ends: VecDeque<usize>,
    /// Bytes dropped from the start of the first line because it is too long.
    pub(super) dropped: u64,
    /// Bytes read; none at the end of what is there now.
    pub(super) read: usize,
}

impl Chunk {
    /// The lines of a page, which are checked to be UTF-8 all at once; those of a page with a bad one are checked one by one.
    fn of(mut lines: Vec<u8>, dropped: u64, read: usize) -> Self {
        let ends = take_out_newlines(&mut lines);
        let bytes = Bytes::from(lines);
        let page = ByteString::try_from(bytes.clone()).map_or(Page::Other(bytes), Page::Utf8);
        Self { page, ends, dropped, read }
    }

    /// Whether there is more where it came from.
    pub(super) fn is_full(&self) -> bool {
        self.read >= CHUNK
    }

    /// The text in a part of the page.
    pub(super) fn line(&self, range: Range<usize>) -> RawText {
        match &self.page {
            Page::Utf8(page) => match Text::of(page, range.clone()) {
                Some(text) => RawText::Text(text),
                None => RawText::Bytes(page.as_bytes().slice(range)),
            },
            Page::Other(page) => RawText::Bytes(page.slice(range)),
        }
    }
}

/// Moves lines together over their newlines; where each ends then.
fn take_out_newlines(lines: &mut Vec<u8>) -> VecDeque<usize> {
    let (mut ends, mut from, mut to) = (VecDeque::new(), 0, 0);
    while let Some(length) = lines.get(from..).and_then(|rest| memchr::memchr(b'\n', rest)) {
        if from > to {
            lines.copy_within(from..from + length, to);
        }
        from += length + 1;
        to += length;
        ends.push_back(to);
    }
    lines.truncate(to);
    ends
}

/// Where reading a file has come to.
#[derive(Debug)]
pub(super) struct Chunks {
    file: Arc<File>,
    /// The byte that the next read begins at.
    at: u64,
    max_line: usize,
    /// What was read after the last newline.
    pub(super) rest: Vec<u8>,
    /// Bytes dropped from the start of the line in progress because it is too long.
    pub(super) dropped: u64,
}

impl Chunks {
    pub(super) fn new(file: Arc<File>, max_line: usize) -> Self {
        Self { file, at: 0, max_line, rest: Vec::new(), dropped: 0 }
    }

    /// Reads on.
    pub(super) fn read(&mut self) -> io::Result<Chunk> {
        let start = self.rest.len();
        self.rest.reserve(CHUNK);
        // Into memory that was not zeroed first: that would cost as much as splitting the lines.
        let read = loop {
            match pread(&self.file, spare_capacity(&mut self.rest), self.at) {
                Err(Errno::INTR) => {}
                read => break read?,
            }
        };
        self.at += read as u64;
        let fresh = self.rest.get(start..).unwrap_or_default();
        if let Some(newline) = memchr::memrchr(b'\n', fresh) {
            let rest = self.rest.split_off(start + newline + 1);
            let lines = std::mem::replace(&mut self.rest, rest);
            return Ok(Chunk::of(lines, std::mem::take(&mut self.dropped), read));
        }
        if self.rest.len() > self.max_line {
            self.dropped += self.rest.len() as u64;
            self.rest.clear();
        }
        Ok(Chunk { read, ..Chunk::default() })
    }

    /// Goes on reading on a thread until the end of what is there. What is left here is at the start of the file.
    ///
    /// # Errors
    ///
    /// If the system gives no thread.
    pub(super) fn read_ahead(&mut self) -> io::Result<Receiver<Ahead>> {
        let fresh = Self::new(Arc::clone(&self.file), self.max_line);
        let mut chunks = std::mem::replace(self, fresh);
        let (given, taken) = sync_channel(AHEAD);
        Builder::new().name("read-ahead".to_owned()).spawn(move || {
            loop {
                let ahead = match chunks.read() {
                    Ok(chunk) if chunk.is_full() => Ahead::Chunk(chunk),
                    last => {
                        // Nobody may want it any more.
                        let _ = given.send(Ahead::Last(last, chunks));
                        return;
                    }
                };
                if given.send(ahead).is_err() {
                    return;
                }
            }
        })?;
        Ok(taken)
    }
}

/// What was read ahead.
#[derive(Debug)]
pub(super) enum Ahead {
    Chunk(Chunk),
    /// The last one before the end of what is there, and where reading goes on.
    Last(io::Result<Chunk>, Chunks),
}
