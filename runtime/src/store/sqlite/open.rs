//! Opening a database: what of it is history, and which archives come before it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Instant;

use super::archives;
use super::beside::{Look, look};
use super::reader::{DatabaseReader, LOOK_AGAIN, PATIENCE, refuse_unknown};
use super::rows::{self, Bounds, Schema};
use crate::event::Position;
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
        let Bounds { schema, ids } = patiently(&path, || look(&path, rows::bounds))?;
        refuse_unknown(&path, schema)?;
        let mut reader = Self {
            path,
            options,
            decoder,
            schema,
            archives: VecDeque::new(),
            history_end: None,
            begin: None,
            pending: None,
            stopped: None,
            passed: None,
            quiet: None,
            extent: (0, 0, 0),
            findings: Vec::new(),
        };
        reader.find_archives(ids)?;
        if let Some((first, _)) = ids {
            let limit = reader.options.max_line;
            let page =
                patiently(&reader.path, || look(&reader.path, |connection| rows::read(connection, first, limit)))?;
            reader.begin = page.first_position();
        }
        reader.history_end = reader.find_end(ids)?;
        Ok(reader)
    }

    /// The archives that come before the rows of the database.
    fn find_archives(&mut self, ids: Option<(i64, i64)>) -> Result<(), ReadError> {
        let all = archives::of(&self.path).map_err(|source| self.io(source))?;
        let first = ids.map_or(i64::MAX, |(first, _)| first);
        // One that goes on behind the database's first row is a rotation in progress: what is in it is in the database.
        for (_, path) in all.into_iter().filter(|(id, _)| *id <= first) {
            let Bounds { schema, .. } = patiently(&path, || look(&path, rows::bounds))?;
            if schema == self.schema || self.schema == Schema::None {
                self.archives.push_back(path.into());
            } else {
                let why = "its rows are of another schema than those of the database".to_owned();
                self.findings.push(Finding::LeftOut { file: path, why });
            }
        }
        Ok(())
    }

    /// Where history ends, and how much of it there is.
    fn find_end(&mut self, ids: Option<(i64, i64)>) -> Result<Option<Position>, ReadError> {
        let end = match (ids, self.archives.back()) {
            (Some((_, last)), _) => Some((Arc::clone(&self.path), last)),
            (None, Some(archive)) => {
                let Bounds { ids, .. } = patiently(archive, || look(archive, rows::bounds))?;
                ids.map(|(_, last)| (Arc::clone(archive), last))
            }
            (None, None) => None,
        };
        let Some((path, last)) = end else { return Ok(None) };
        let limit = self.options.max_line;
        let page = patiently(&path, || look(&path, |connection| rows::read(connection, last, limit)))?;
        let newest = page.first_position();
        let first = match self.archives.front() {
            Some(archive) => patiently(archive, || look(archive, rows::bounds))?.ids.map_or(0, |(first, _)| first),
            None => ids.map_or(0, |(first, _)| first),
        };
        let bytes = self.archives.iter().chain([&self.path]);
        let bytes = bytes.filter_map(|path| path.metadata().ok()).map(|metadata| metadata.len()).sum();
        self.extent = (first, last, bytes);
        Ok(newest)
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
