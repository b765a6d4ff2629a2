//! A node's folder as one log, across upgrades: files first, then the database that hydra-node 2.1 and later keep.

use std::path::{Path, PathBuf};

use super::files::{DATABASE, LogFiles, id_at};
use super::read::{ReadError, ReadLog, ReadOptions, ReadPage};
use super::reader::LogReader;
use super::report::Finding;
use super::sqlite::DatabaseReader;
use crate::event::Position;
use crate::stream::StreamFormat;

/// The name of hydra-node's log.
const STATE: &str = "state";

/// Reads `state-*`, then `state` or `state.migrated`, then `old-state/*`, then `hydra.db`, as one sequence of events.
///
/// While the node still appends to `state`, that is followed; when it moves to the database, so does this, at the same event.
#[derive(Debug)]
pub struct FolderReader {
    folder: PathBuf,
    options: ReadOptions,
    /// While there is something to read on files.
    files: Option<LogReader>,
    database: Option<DatabaseReader>,
    /// What is to be said with the first page.
    findings: Vec<Finding>,
}

impl FolderReader {
    /// Opens the log of the node whose persistence directory `folder` is.
    ///
    /// # Errors
    ///
    /// If there is no log in it, or one cannot be read.
    pub fn open(folder: impl Into<PathBuf>, options: ReadOptions) -> Result<Self, ReadError> {
        let folder: PathBuf = folder.into();
        let state = LogFiles::new(folder.join(STATE));
        let io = |source| ReadError::Io { path: folder.clone(), source };
        let is_there = |path: &Path| id_at(path).map(|id| id.is_some()).map_err(io);
        let has_state = is_there(state.live())?;
        // Beside a `state` that was not yet taken in, the database is one that the node is just making.
        let has_database = !has_state && is_there(&folder.join(DATABASE))?;
        let migrated = state.migrated();
        let files = if !has_state && is_there(migrated.live())? { migrated } else { state };
        let has_files = has_state || is_there(files.live())? || !files.rotated().map_err(io)?.is_empty();
        if !has_files && !has_database {
            return Err(ReadError::NoLog { folder });
        }
        let database =
            has_database.then(|| DatabaseReader::open(folder.join(DATABASE), options.clone())).transpose()?;
        let mut reader = Self { folder, options, files: None, database, findings: Vec::new() };
        let format = reader.format_of_database();
        if has_files && format == StreamFormat::state_event() {
            reader.files = Some(LogReader::open_files(files, reader.options.clone())?);
        } else if has_files {
            let why = format!("the database holds events of the format {format}");
            reader.findings.push(Finding::LeftOut { file: files.live().to_owned(), why });
        }
        Ok(reader)
    }

    fn format_of_database(&self) -> StreamFormat {
        self.database.as_ref().and_then(ReadLog::format).unwrap_or_else(StreamFormat::state_event)
    }

    /// Goes on from the files to the database.
    fn move_on(&mut self, files: LogReader) -> Result<(), ReadError> {
        let database = match &mut self.database {
            Some(database) => database,
            None => {
                let database = DatabaseReader::open(self.folder.join(DATABASE), self.options.clone())?;
                let database = self.database.insert(database);
                database.refuse_other_format(&StreamFormat::state_event())?;
                database.end_history();
                database
            }
        };
        database.go_on_after(files.into_decoder());
        Ok(())
    }

    fn current(&self) -> Option<&dyn ReadLog> {
        let database = self.database.as_ref().map(|database| database as &dyn ReadLog);
        self.files.as_ref().map(|files| files as &dyn ReadLog).or(database)
    }
}

impl ReadLog for FolderReader {
    fn format(&self) -> Option<StreamFormat> {
        Some(self.format_of_database())
    }

    fn read_history(&mut self) -> Result<Option<ReadPage>, ReadError> {
        if !self.findings.is_empty() {
            let findings = std::mem::take(&mut self.findings);
            return Ok(Some(ReadPage { findings, history: true, ..ReadPage::default() }));
        }
        if let Some(files) = &mut self.files {
            if let Some(page) = files.read_history()? {
                return Ok(Some(page));
            }
            if self.database.is_some()
                && let Some(files) = self.files.take()
            {
                self.move_on(files)?;
            }
        }
        match (&self.files, &mut self.database) {
            (None, Some(database)) => database.read_history(),
            _ => Ok(None),
        }
    }

    fn read_live(&mut self) -> Result<ReadPage, ReadError> {
        if let Some(files) = &mut self.files {
            match files.read_live() {
                Err(ReadError::Moved { .. }) if self.folder.join(DATABASE).exists() => {
                    if let Some(files) = self.files.take() {
                        self.move_on(files)?;
                    }
                }
                // The log is in the folder under another name; the database comes in a moment.
                Err(ReadError::Moved { .. }) => return Ok(ReadPage { caught_up: true, ..ReadPage::default() }),
                Ok(mut page) => {
                    // It is said to those who do not read the database.
                    page.findings.retain(|finding| !matches!(finding, Finding::DatabaseBeside { .. }));
                    return Ok(page);
                }
                error => return error,
            }
        }
        match &mut self.database {
            Some(database) => database.read_live(),
            None => Err(ReadError::NoLog { folder: self.folder.clone() }),
        }
    }

    fn last(&self) -> Option<Position> {
        self.current().and_then(ReadLog::last)
    }

    fn duplicates(&self) -> u64 {
        self.current().map_or(0, ReadLog::duplicates)
    }

    fn legacy(&self) -> u64 {
        self.current().map_or(0, ReadLog::legacy)
    }

    fn progress(&self) -> (u64, u64) {
        self.current().map_or((0, 0), ReadLog::progress)
    }
}
