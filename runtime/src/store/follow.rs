//! Follows a log after its history: notices that the file has grown, was rotated, truncated, replaced or rewritten.

use std::io;
use std::path::PathBuf;

use super::files::id_at;
use super::read::{ReadError, ReadLog, ReadPage};
use super::reader::LogReader;
use super::report::Finding;
use crate::event::Position;
use crate::stream::EventHash;

enum Change {
    None,
    /// The current file bears a rotated name now; this one comes after it.
    Rotated(PathBuf),
    /// The node has taken the log into its database, which is there; nothing is appended here any more.
    Moved(PathBuf),
    /// The current file is not part of the log any more, or is not what it was.
    Replaced,
}

impl LogReader {
    pub(super) fn follow(&mut self) -> Result<ReadPage, ReadError> {
        if self.was_rewritten().map_err(|source| self.io(source))? {
            return self.relocate();
        }
        let mut page = ReadPage::default();
        loop {
            let more = self.read_lines(&mut page)?;
            if more || !page.events.is_empty() || !page.findings.is_empty() {
                return Ok(page);
            }
            match self.change().map_err(|source| self.io(source))? {
                Change::None => {
                    self.look_for_database(&mut page);
                    page.caught_up = true;
                    return Ok(page);
                }
                Change::Moved(found) => {
                    return if self.read_rest(&mut page)? {
                        Ok(page)
                    } else {
                        Err(ReadError::moved(self.files.live(), found))
                    };
                }
                Change::Rotated(next) => {
                    if self.read_rest(&mut page)? {
                        return Ok(page);
                    }
                    match self.open_file(&next) {
                        Ok(next) => self.switch_to(next),
                        Err(ReadError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                            page.caught_up = true;
                            return Ok(page);
                        }
                        Err(error) => return Err(error),
                    }
                }
                Change::Replaced => return self.relocate(),
            }
        }
    }

    /// Reads what came between the last read and the renaming of the file; false if that was nothing.
    fn read_rest(&mut self, page: &mut ReadPage) -> Result<bool, ReadError> {
        self.read_lines(page)?;
        self.read_tail(page)?;
        Ok(!page.events.is_empty() || !page.findings.is_empty())
    }

    /// Says once that a newer node has begun to keep its events elsewhere.
    fn look_for_database(&mut self, page: &mut ReadPage) {
        let database = self.files.database();
        if !self.has_said_database && database.exists() {
            self.has_said_database = true;
            page.findings.push(Finding::DatabaseBeside { log: self.files.live().to_owned(), database });
        }
    }

    fn io(&self, source: io::Error) -> ReadError {
        ReadError::Io { path: self.current.path().to_path_buf(), source }
    }

    /// What became of the current file, once it has been read to its end.
    fn change(&self) -> io::Result<Change> {
        let current = self.current.file_id()?;
        match id_at(self.files.live())? {
            Some(live) if live == current => {
                let shorter = self.current.file_len()? < self.current.read_to();
                Ok(if shorter { Change::Replaced } else { Change::None })
            }
            live => match self.files.rotated_name_of(current)? {
                Some(id) => self.files.successor_of(id).map(Change::Rotated),
                // The log is gone; without a database in its place it may be about to come back.
                None if live.is_none() => Ok(self.files.moved_to()?.map_or(Change::None, Change::Moved)),
                None => Ok(Change::Replaced),
            },
        }
    }

    /// Whether the file was written over in place: it has changed in length, and the line read last is not where it was.
    fn was_rewritten(&mut self) -> io::Result<bool> {
        let Some((byte, event)) = &self.last_line else { return Ok(false) };
        if self.current.file_len()? == self.current.read_to() {
            return Ok(false);
        }
        self.current.still_holds(*byte, event.json().as_bytes()).map(|holds| !holds)
    }

    /// Opens the log anew and goes on behind the last event read.
    fn relocate(&mut self) -> Result<ReadPage, ReadError> {
        let options = self.options.clone();
        let mut fresh = LogReader::open_files(self.files.clone(), options)?;
        let (duplicates, legacy) = (self.duplicates(), self.legacy());
        let mut page = match self.decoder.anchors.last() {
            Some((last, hash)) => fresh.seek(last, hash)?,
            None => fresh.read_history()?.unwrap_or_default(),
        };
        page.history = false;
        fresh.end_history();
        (fresh.decoder.duplicates, fresh.decoder.legacy) = (duplicates, legacy);
        fresh.has_said_database = self.has_said_database;
        *self = fresh;
        Ok(page)
    }

    /// Reads up to the event at `last`, which must be the one with this hash; gives what follows it in its page.
    fn seek(&mut self, last: Position, expected: EventHash) -> Result<ReadPage, ReadError> {
        let path = self.files.live().to_owned();
        let mut oldest = None;
        loop {
            let Some(mut page) = self.read_history()? else {
                let found = match self.last() {
                    Some(newest) => format!("the log ends at event {newest}"),
                    None => "the log is empty".to_owned(),
                };
                return Err(ReadError::Diverged { path, last, expected, found });
            };
            oldest = oldest.or(page.events.first().map(|event| event.position()));
            if let Some(oldest) = oldest.filter(|oldest| *oldest > last) {
                return Err(ReadError::Gap { path, last, oldest });
            }
            if let Some(found) = page.events.iter().position(|event| event.position() >= last) {
                let event = page.events.get(found).map(|event| (event.position(), event.hash()));
                return match event {
                    Some((position, hash)) if position == last && hash == expected => {
                        page.events.drain(..=found);
                        Ok(page)
                    }
                    Some((position, hash)) => {
                        let found = format!("event {position} (hash {hash}) is in its place");
                        Err(ReadError::Diverged { path, last, expected, found })
                    }
                    None => Ok(page),
                };
            }
        }
    }
}
