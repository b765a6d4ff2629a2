//! Splits one file into lines, in large reads and without copying the lines.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, read};

use super::files::FileId;
use super::report::Place;

/// Bytes asked for in one read: large enough that the call costs nothing, small enough to stay in cache.
const CHUNK: usize = 512 * 1024;

/// The longest line that is taken unless configured otherwise, in bytes. Real events reach megabytes.
pub const DEFAULT_MAX_LINE: usize = 64 * 1024 * 1024;

/// One line of a file, without its newline.
#[derive(Clone, Debug)]
pub(super) struct RawLine {
    pub(super) place: Place,
    pub(super) text: RawText,
}

#[derive(Clone, Debug)]
pub(super) enum RawText {
    Whole(Bytes),
    /// Passed over because it exceeds the bound; its length.
    TooLong(u64),
}

/// Reads a file line by line and can go on where it stopped when the file has grown.
#[derive(Debug)]
pub(super) struct LineReader {
    file: File,
    path: Arc<Path>,
    max_line: usize,
    /// Whole lines that were read and not given out.
    lines: Bytes,
    /// What was read after the last newline.
    rest: Vec<u8>,
    /// Bytes dropped from the start of the line in progress because it is too long.
    dropped: u64,
    /// Where `lines` (or, when empty, the line in progress) begins in the file.
    byte: u64,
    /// Number of the next line to give out.
    line: u64,
}

impl LineReader {
    pub(super) fn new(file: File, path: &Path, max_line: usize) -> Self {
        let (lines, rest) = (Bytes::new(), Vec::new());
        Self { file, path: path.into(), max_line, lines, rest, dropped: 0, byte: 0, line: 1 }
    }

    pub(super) fn path(&self) -> &Arc<Path> {
        &self.path
    }

    pub(super) fn file_id(&self) -> io::Result<FileId> {
        Ok(FileId::of(&self.file.metadata()?))
    }

    pub(super) fn file_len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Where the next line begins.
    pub(super) fn place(&self) -> Place {
        Place { file: Arc::clone(&self.path), line: self.line, byte: self.byte }
    }

    /// How far the file has been read, in bytes.
    pub(super) fn read_to(&self) -> u64 {
        self.byte + (self.lines.len() + self.rest.len()) as u64 + self.dropped
    }

    /// The next line that ends in a newline; none at the end of what is there now. Works again when the file has grown.
    pub(super) fn next_line(&mut self) -> io::Result<Option<RawLine>> {
        while self.lines.is_empty() {
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
        let Some(end) = memchr::memchr(b'\n', &self.lines) else {
            // `lines` ends in a newline by construction.
            return Ok(None);
        };
        let text = self.lines.split_to(end);
        self.lines.advance(1);
        let place = self.place();
        let length = text.len() as u64 + self.dropped;
        self.line += 1;
        self.byte += length + 1;
        let too_long = self.dropped > 0 || text.len() > self.max_line;
        self.dropped = 0;
        Ok(Some(RawLine { place, text: if too_long { RawText::TooLong(length) } else { RawText::Whole(text) } }))
    }

    /// The bytes after the last newline, once [`next_line`](Self::next_line) has found no more.
    pub(super) fn tail(&self) -> &[u8] {
        &self.rest
    }

    /// Length of the tail, including what is not kept of a line that is too long.
    pub(super) fn tail_len(&self) -> u64 {
        self.rest.len() as u64 + self.dropped
    }

    /// Gives out the tail as if it were a line; a newline that follows later makes an empty line.
    pub(super) fn take_tail(&mut self) -> RawLine {
        let place = self.place();
        let text = Bytes::from(std::mem::take(&mut self.rest));
        self.byte += text.len() as u64;
        RawLine { place, text: RawText::Whole(text) }
    }

    /// Whether the bytes at `byte` are still these.
    pub(super) fn still_holds(&self, byte: u64, text: &[u8]) -> io::Result<bool> {
        let mut found = vec![0; text.len()];
        let mut file = &self.file;
        let back = file.stream_position()?;
        file.seek(SeekFrom::Start(byte))?;
        let read = file.read_exact(&mut found);
        file.seek(SeekFrom::Start(back))?;
        match read {
            Ok(()) => Ok(found == text),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads on; gives the number of bytes read.
    fn fill(&mut self) -> io::Result<usize> {
        let start = self.rest.len();
        self.rest.reserve(CHUNK);
        // Into memory that was not zeroed first: that would cost as much as splitting the lines.
        let read = loop {
            match read(&self.file, spare_capacity(&mut self.rest)) {
                Err(Errno::INTR) => {}
                read => break read?,
            }
        };
        let fresh = self.rest.get(start..).unwrap_or_default();
        if let Some(newline) = memchr::memrchr(b'\n', fresh) {
            let mut lines = Bytes::from(std::mem::take(&mut self.rest));
            self.rest = lines.split_off(start + newline + 1).to_vec();
            self.lines = lines;
        } else if self.rest.len() > self.max_line {
            self.dropped += self.rest.len() as u64;
            self.rest.clear();
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn reader(content: &[u8], max_line: usize) -> (tempfile::NamedTempFile, LineReader) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let reader = LineReader::new(File::open(file.path()).unwrap(), file.path(), max_line);
        (file, reader)
    }

    fn next(reader: &mut LineReader) -> Option<(u64, u64, Result<String, u64>)> {
        let line = reader.next_line().unwrap()?;
        let text = match line.text {
            RawText::Whole(text) => Ok(String::from_utf8(text.to_vec()).unwrap()),
            RawText::TooLong(length) => Err(length),
        };
        Some((line.place.line, line.place.byte, text))
    }

    #[test]
    fn lines_know_their_number_and_byte() {
        let (_file, mut reader) = reader(b"one\n\nthree\ntail", 100);
        assert_eq!(next(&mut reader), Some((1, 0, Ok("one".to_owned()))));
        assert_eq!(next(&mut reader), Some((2, 4, Ok(String::new()))));
        assert_eq!(next(&mut reader), Some((3, 5, Ok("three".to_owned()))));
        assert_eq!(next(&mut reader), None);
        assert_eq!((reader.tail(), reader.place().byte), (&b"tail"[..], 11));
    }

    #[test]
    fn goes_on_when_the_file_has_grown() {
        let (mut file, mut reader) = reader(b"one\ntw", 100);
        assert!(next(&mut reader).is_some());
        assert_eq!(next(&mut reader), None);
        file.write_all(b"o\n").unwrap();
        assert_eq!(next(&mut reader), Some((2, 4, Ok("two".to_owned()))));
    }

    #[test]
    fn a_line_of_the_longest_length_is_taken_and_a_longer_one_passed_over() {
        let (_file, mut first) = reader(b"12345\n123456\nx\n", 5);
        assert_eq!(next(&mut first), Some((1, 0, Ok("12345".to_owned()))));
        assert_eq!(next(&mut first), Some((2, 6, Err(6))));
        assert_eq!(next(&mut first), Some((3, 13, Ok("x".to_owned()))));

        let long = [vec![b'a'; 3 * CHUNK], b"\nx\n".to_vec()].concat();
        let (_file, mut second) = reader(&long, 5);
        assert_eq!(next(&mut second), Some((1, 0, Err(3 * CHUNK as u64))));
        assert_eq!(next(&mut second), Some((2, 3 * CHUNK as u64 + 1, Ok("x".to_owned()))));
    }
}
