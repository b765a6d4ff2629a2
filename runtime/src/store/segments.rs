//! Our own event store: segments of lines, the newest appended to, the oldest deleted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::appender::{AppendError, LogAppender};
use super::files::{LogFiles, with_suffix};
use super::log_file::DiskFile;
use super::owner::{OwnError, own_files};
use super::read::ReadOptions;
use crate::durable_file::sync_folder;
use crate::event::{Position, StateEvent};

/// The live segment; the others bear its name and the last id in them.
const LIVE: &str = "events";

/// Segments that make up a full store: so much of it goes at once.
const SEGMENTS: u64 = 16;

/// The largest segment, in bytes.
const MAX_SEGMENT: u64 = 64 << 20;

/// Why events could not be stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SegmentError {
    #[error(transparent)]
    Own(#[from] OwnError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error("cannot begin another segment after {path}", path = .path.display())]
    Rotate {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The path of the live segment in a store's folder.
pub(crate) fn live_segment(folder: &Path) -> PathBuf {
    folder.join(LIVE)
}

/// Whether a store holds anything.
pub(crate) fn has_segments(folder: &Path) -> io::Result<bool> {
    let files = LogFiles::new(live_segment(folder));
    match files.rotated() {
        Ok(rotated) => Ok(!rotated.is_empty() || files.live().exists()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Appends to an event store.
#[derive(Debug)]
pub struct Segments {
    path: PathBuf,
    options: ReadOptions,
    appender: LogAppender<DiskFile>,
    segment: u64,
}

impl Segments {
    /// Opens the store in a folder, which is created if it is missing, for appending after `last`. A store of `max` bytes is made of segments
    /// of a sixteenth of that.
    pub(crate) fn open(
        folder: &Path,
        options: ReadOptions,
        last: Option<Position>,
        max: u64,
    ) -> Result<Self, SegmentError> {
        let path = live_segment(folder);
        let rotate = |source| SegmentError::Rotate { path: path.clone(), source };
        fs::create_dir_all(folder).map_err(rotate)?;
        let appender = own_files(LogFiles::alone(&path), options.clone(), last)?;
        Ok(Self { path, options, appender, segment: (max / SEGMENTS).min(MAX_SEGMENT) })
    }

    /// Makes events durable.
    pub(crate) fn store(&mut self, events: &[StateEvent]) -> Result<(), SegmentError> {
        for event in events {
            self.appender.append(event)?;
        }
        self.appender.commit()?;
        if self.appender.bytes() >= self.segment {
            self.appender = begin_another(&self.path, &self.appender, &self.options)?;
        }
        Ok(())
    }
}

/// Gives the live file of a log the name of the last id in it, and begins another.
pub(crate) fn begin_another(
    path: &Path,
    appender: &LogAppender<DiskFile>,
    options: &ReadOptions,
) -> Result<LogAppender<DiskFile>, SegmentError> {
    let rotate = |source| SegmentError::Rotate { path: path.to_owned(), source };
    let last = appender.last();
    let id = last.map_or(0, |last| last.id);
    fs::rename(path, with_suffix(path, &format!("-{id}"))).map_err(rotate)?;
    sync_folder(path).map_err(rotate)?;
    Ok(own_files(LogFiles::alone(path), options.clone(), last)?)
}

/// Deletes the segments of an event store that nobody needs, or that there is no room for.
#[derive(Clone, Debug)]
pub struct Retention {
    files: LogFiles,
    /// The bytes that a store may have.
    max: u64,
}

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Bytes of all segments.
    pub bytes: u64,
    /// The last id and the path of each segment but the live one, oldest first, with its bytes.
    pub segments: Vec<(u64, PathBuf, u64)>,
}

impl Retention {
    /// For the store in a folder, which may have `max` bytes.
    pub fn new(folder: &Path, max: u64) -> Self {
        Self { files: LogFiles::new(live_segment(folder)), max }
    }

    /// The bytes that the store may have.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// What the store holds now.
    ///
    /// # Errors
    ///
    /// If its folder cannot be read.
    pub fn held(&self) -> io::Result<Held> {
        let mut held = Held::default();
        for (id, path) in self.files.rotated()? {
            let bytes = path.metadata()?.len();
            held.bytes += bytes;
            held.segments.push((id, path, bytes));
        }
        held.bytes += self.files.live().metadata().map_or(0, |metadata| metadata.len());
        Ok(held)
    }

    /// The segments that everybody has passed whose lowest position this is.
    pub fn passed<'a>(&self, held: &'a Held, lowest: Position) -> &'a [(u64, PathBuf, u64)] {
        // A segment may hold the checkpoint of its last id: passed only by who has come to the next.
        let count = held.segments.iter().take_while(|(id, ..)| *id < lowest.id).count();
        held.segments.get(..count).unwrap_or_default()
    }

    /// The oldest segments, as many as have to go for the store to stay within its bound.
    pub fn too_many<'a>(&self, held: &'a Held) -> &'a [(u64, PathBuf, u64)] {
        let mut bytes = held.bytes;
        let count = held.segments.iter().take_while(|(.., length)| {
            let goes = bytes > self.max;
            bytes = bytes.saturating_sub(*length);
            goes
        });
        held.segments.get(..count.count()).unwrap_or_default()
    }
}
