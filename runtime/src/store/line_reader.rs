//! Gives one file line by line. The lines of a read are moved together, and not copied again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use bytes::Bytes;

use super::chunks::{Ahead, Chunk, Chunks};
use super::files::FileId;
use super::report::{At, Place};
use crate::event::Text;

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
    /// A line of a page that is all UTF-8.
    Text(Text),
    /// A line of another page, or what has no newline yet.
    Bytes(Bytes),
    /// Passed over because it exceeds the bound; its length.
    TooLong(u64),
}

/// Reads a file line by line and can go on where it stopped when the file has grown.
#[derive(Debug)]
pub(super) struct LineReader {
    file: Arc<File>,
    path: Arc<Path>,
    max_line: usize,
    /// Lines that were read together.
    chunk: Chunk,
    /// Where the next line begins in the chunk.
    at: usize,
    /// Reads the next, if nobody does so ahead.
    chunks: Chunks,
    /// Where the next ones come from as long as there is much to be read.
    ahead: Option<Receiver<Ahead>>,
    /// How far the file has been read, in bytes.
    read_to: u64,
    /// Where the next line begins in the file.
    byte: u64,
    /// Number of the next line to give out.
    line: u64,
}

impl LineReader {
    pub(super) fn new(file: File, path: &Path, max_line: usize) -> Self {
        let file = Arc::new(file);
        let chunks = Chunks::new(Arc::clone(&file), max_line);
        let (chunk, path) = (Chunk::default(), path.into());
        Self { file, path, max_line, chunk, at: 0, chunks, ahead: None, read_to: 0, byte: 0, line: 1 }
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
        Place { file: Arc::clone(&self.path), at: At::Line { line: self.line, byte: self.byte } }
    }

    /// Where the next line begins, in bytes.
    pub(super) fn byte(&self) -> u64 {
        self.byte
    }

    /// How far the file has been read, in bytes.
    pub(super) fn read_to(&self) -> u64 {
        self.read_to
    }

    /// The next line that ends in a newline; none at the end of what is there now. Works again when the file has grown.
    pub(super) fn next_line(&mut self) -> io::Result<Option<RawLine>> {
        let end = loop {
            match self.chunk.ends.pop_front() {
                Some(end) => break end,
                None if self.fill()? == 0 => return Ok(None),
                None => {}
            }
        };
        let range = std::mem::replace(&mut self.at, end)..end;
        let place = self.place();
        let dropped = std::mem::take(&mut self.chunk.dropped);
        let length = range.len() as u64 + dropped;
        self.line += 1;
        self.byte += length + 1;
        let too_long = dropped > 0 || range.len() > self.max_line;
        Ok(Some(RawLine { place, text: if too_long { RawText::TooLong(length) } else { self.chunk.line(range) } }))
    }

    /// The bytes after the last newline, once [`next_line`](Self::next_line) has found no more.
    pub(super) fn tail(&self) -> &[u8] {
        &self.chunks.rest
    }

    /// Length of the tail, including what is not kept of a line that is too long.
    pub(super) fn tail_len(&self) -> u64 {
        self.chunks.rest.len() as u64 + self.chunks.dropped
    }

    /// Gives out the tail as if it were a line; a newline that follows later makes an empty line.
    pub(super) fn take_tail(&mut self) -> RawLine {
        let place = self.place();
        let text = Bytes::from(std::mem::take(&mut self.chunks.rest));
        self.byte += text.len() as u64;
        RawLine { place, text: RawText::Bytes(text) }
    }

    /// Whether the bytes at `byte` are still these.
    pub(super) fn still_holds(&self, byte: u64, text: &[u8]) -> io::Result<bool> {
        let mut found = vec![0; text.len()];
        match self.file.read_exact_at(&mut found, byte) {
            Ok(()) => Ok(found == text),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads on; gives the number of bytes read.
    fn fill(&mut self) -> io::Result<usize> {
        let chunk = match self.ahead.as_ref().map(Receiver::recv) {
            None => {
                let chunk = self.chunks.read()?;
                self.ahead = chunk.is_full().then(|| self.chunks.read_ahead()).transpose()?;
                chunk
            }
            Some(Ok(Ahead::Chunk(chunk))) => chunk,
            Some(Ok(Ahead::Last(last, chunks))) => {
                (self.chunks, self.ahead) = (chunks, None);
                last?
            }
            Some(Err(ended)) => return Err(io::Error::other(ended)),
        };
        let read = chunk.read;
        self.read_to += read as u64;
        if !chunk.ends.is_empty() {
            (self.chunk, self.at) = (chunk, 0);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::store::chunks::{AHEAD, CHUNK};

    fn reader(content: &[u8], max_line: usize) -> (tempfile::NamedTempFile, LineReader) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let reader = LineReader::new(File::open(file.path()).unwrap(), file.path(), max_line);
        (file, reader)
    }

    fn next(reader: &mut LineReader) -> Option<(u64, u64, Result<String, u64>)> {
        let line = reader.next_line().unwrap()?;
        let text = match line.text {
            RawText::Text(text) => Ok(text.to_string()),
            RawText::Bytes(text) => Ok(String::from_utf8(text.to_vec()).unwrap()),
            RawText::TooLong(length) => Err(length),
        };
        let At::Line { line, byte } = line.place.at else { panic!("not a line") };
        Some((line, byte, text))
    }

    #[test]
    fn lines_know_their_number_and_byte() {
        let (_file, mut reader) = reader(b"one\n\nthree\ntail", 100);
        assert_eq!(next(&mut reader), Some((1, 0, Ok("one".to_owned()))));
        assert_eq!(next(&mut reader), Some((2, 4, Ok(String::new()))));
        assert_eq!(next(&mut reader), Some((3, 5, Ok("three".to_owned()))));
        assert_eq!(next(&mut reader), None);
        assert_eq!((reader.tail(), reader.byte()), (&b"tail"[..], 11));
    }

    #[test]
    fn a_line_that_is_no_utf8_leaves_its_neighbours_alone() {
        let (_file, mut reader) = reader(b"one\n\xff\nthree\n", 100);
        let lines: Vec<RawText> = std::iter::from_fn(|| reader.next_line().unwrap()).map(|line| line.text).collect();
        let bytes = |text: &RawText| match text {
            RawText::Bytes(bytes) => bytes.to_vec(),
            other => panic!("{other:?}"),
        };
        assert_eq!(lines.iter().map(bytes).collect::<Vec<_>>(), [b"one".to_vec(), vec![0xff], b"three".to_vec()]);
    }

    #[test]
    fn the_lines_of_a_read_lie_end_to_end() {
        let (_file, mut reader) = reader("öne\n\nthree\n".as_bytes(), 100);
        let texts: Vec<Text> = std::iter::from_fn(|| reader.next_line().unwrap())
            .map(|line| match line.text {
                RawText::Text(text) => text,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(Text::joined(&texts), Some("önethree"));
        assert_eq!(reader.read_to(), 12);
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
    fn a_long_file_is_read_ahead_and_then_followed() {
        let line = |number: usize| format!("{number:09}\n");
        // More than the thread may have in hand.
        let count = (AHEAD + 4) * CHUNK / 10;
        let (mut file, mut reader) = reader((0..count).map(line).collect::<String>().as_bytes(), 100);
        let mut numbers = std::iter::from_fn(|| next(&mut reader)).map(|(_, byte, text)| (byte, text.unwrap()));
        assert!((0..count).all(|number| numbers.next() == Some((10 * number as u64, format!("{number:09}")))));
        assert_eq!(numbers.next(), None);
        assert!(reader.still_holds(10, b"000000001").unwrap());
        file.write_all(b"more\nrest").unwrap();
        assert_eq!(next(&mut reader), Some((count as u64 + 1, 10 * count as u64, Ok("more".to_owned()))));
        assert_eq!(next(&mut reader), None);
        assert_eq!((reader.tail(), reader.read_to()), (&b"rest"[..], 10 * count as u64 + 9));
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
