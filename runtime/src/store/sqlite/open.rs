//! Opening a database: what of it is history, and which archives come before it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Instant;

use super::archives;
use super::beside::{Look, look};
use super::reader::{DatabaseReader, LOOK_AGAIN, PATIENCE, refuse_unknown};
use super::rows::{self, Bounds, Edge, Schema};
use crate::store::decode::Decoder;
use crate::store::read::{ReadError, ReadOptions};
use crate::store::report::Finding;

impl DatabaseReader {
    /// Opens the database at `path`. Waits a while if it cannot be read at this moment.
    ///
    /// # Errors
    ///
    /// If it is not there, cannot be read, or is of a schema that is not known.
    pub fn open(path: impl Into<PathBuf>, options: ReadOptions) -> Result<Self, ReadError> {
        let decoder = Decoder::new(&options);
        let path: Arc<Path> = path.into().into();
        let limit = options.max_line;
        let Bounds { schema, rows } = patiently(&path, || look(&path, |connection| rows::bounds(connection, limit)))?;
        refuse_unknown(&path, schema)?;
        let mut reader = Self {
            path,
            options,
            decoder,
            schema,
            archives: VecDeque::new(),
            history_end: None,
            begin: rows.map(|(first, _)| first.position),
            pending: None,
            stopped: None,
            passed: None,
            quiet: None,
            extent: (0, 0, 0),
            findings: Vec::new(),
        };
        reader.find_archives(rows)?;
        Ok(reader)
    }

    /// The archives that come before the rows of the database, where history ends, and how much of it there is.
    fn find_archives(&mut self, mut rows: Option<(Edge, Edge)>) -> Result<(), ReadError> {
        let all = archives::of(&self.path).map_err(|source| self.io(source))?;
        let (begin, limit) = (rows.map_or(i64::MAX, |(first, _)| first.id), self.options.max_line);
        // One that goes on behind the database's first row is a rotation in progress: what is in it is in the database.
        for (_, path) in all.into_iter().rev().filter(|(id, _)| *id <= begin) {
            let bounds = patiently(&path, || look(&path, |connection| rows::bounds(connection, limit)))?;
            if self.schema == Schema::None {
                self.schema = bounds.schema;
            }
            if bounds.schema == self.schema {
                let last = rows.or(bounds.rows).map(|(_, last)| last);
                rows = bounds.rows.or(rows).map(|(first, _)| first).zip(last);
                self.archives.push_front(path.into());
            } else {
                let why = "its rows are of another schema than those of the database".to_owned();
                self.findings.push(Finding::LeftOut { file: path, why });
            }
        }
        let Some((first, last)) = rows else { return Ok(()) };
        let bytes = self.archives.iter().chain([&self.path]);
        let bytes = bytes.filter_map(|path| path.metadata().ok()).map(|metadata| metadata.len()).sum();
        self.extent = (first.id, last.id, bytes);
        self.history_end = Some(last.position);
        Ok(())
    }
}

/// Looks until something is seen, for a while.
fn patiently<T>(path: &Path, mut look: impl FnMut() -> Result<Look<T>, ReadError>) -> Result<T, ReadError> {
    let start = Instant::now();
    loop {
        match look()? {
            Look::Seen(seen) => return Ok(seen),
            Look::NotNow(why) if start.elapsed() > PATIENCE => {
                return Err(ReadError::NotNow { path: path.to_owned(), why });
            }
            Look::NotNow(_) => sleep(LOOK_AGAIN),
        }
    }
}
