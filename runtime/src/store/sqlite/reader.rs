//! Reads a database with the archives of its rotations in order, and follows it.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::archives;
use super::beside::{Look, Traces, look};
use super::rows::{self, Bounds, RowPage, Schema};
use crate::event::{Kind, Position};
use crate::store::decode::{Decoder, One};
use crate::store::read::{OnBadLine, ReadError, ReadLog, ReadOptions, ReadPage};
use crate::store::report::{At, BadLine, Finding, LineFault, Place};
use crate::stream::StreamFormat;

/// How long a database at open may be in a state in which it cannot be read: a node that starts or stops takes moments.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked at meanwhile.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A database whose files were written to longer ago than this, in seconds, and have not changed since the last look, has nothing new: the
/// clock of the file system ticks much finer.
const SETTLED: i64 = 2;

/// Reads hydra-node's database, with the archives of its rotations, as one sequence of events.
///
/// Each page is read in a transaction of its own, which has ended when the page is given out.
#[derive(Debug)]
pub struct DatabaseReader {
    pub(super) path: Arc<Path>,
    pub(super) options: ReadOptions,
    pub(super) decoder: Decoder,
    pub(super) schema: Schema,
    /// To be read before the database itself.
    pub(super) archives: VecDeque<Arc<Path>>,
    /// The last position of history, while that is being read.
    pub(super) history_end: Option<Position>,
    /// The first position at open, until something was read.
    pub(super) begin: Option<Position>,
    /// What was read with the last of history and comes after it.
    pub(super) pending: Option<ReadPage>,
    /// The bad row that reading stopped at.
    pub(super) stopped: Option<BadLine>,
    /// The last bad row that was passed over.
    pub(super) passed: Option<i64>,
    /// The database when it had nothing new.
    pub(super) quiet: Option<Traces>,
    /// The first and the last id at open, and the bytes of all files.
    pub(super) extent: (i64, i64, u64),
    /// What is to be said with the first page.
    pub(super) findings: Vec<Finding>,
}

const OTHER_FORMAT: &str = "and what was read before is of another: its events have another format from here on, which is another stream; start \
                            again";

/// What a step came to.
enum Step {
    /// Something was read.
    Page(ReadPage),
    /// Reading goes on elsewhere.
    On,
    /// There is nothing further now.
    Nothing,
    /// It cannot be read at this moment.
    NotNow(String),
}

impl DatabaseReader {
    /// Goes on behind the last event that another reader of the same log has read.
    pub(in crate::store) fn go_on_after(&mut self, decoder: Decoder) {
        if let Some((last, _)) = decoder.last() {
            self.archives.retain(|archive| archives::last_id(archive, &self.path).is_none_or(|id| is_after(id, last)));
        }
        self.decoder = decoder;
    }

    /// Refuses to go on if the events are of another format than those before.
    pub(in crate::store) fn refuse_other_format(&self, format: &StreamFormat) -> Result<(), ReadError> {
        match self.schema.format() == *format {
            true => Ok(()),
            false => Err(ReadError::Schema {
                path: self.path.to_path_buf(),
                found: self.schema.version(),
                expected: OTHER_FORMAT,
            }),
        }
    }

    /// Treats all that follows as live.
    pub(in crate::store) fn end_history(&mut self) {
        self.history_end = None;
    }

    /// Reads a page of rows, from an archive while there are any.
    fn step(&mut self) -> Result<Step, ReadError> {
        if let Some(bad) = self.stopped.clone() {
            return Err(ReadError::BadLine(bad));
        }
        let archive = self.archives.front();
        let in_archive = archive.is_some();
        let path = Arc::clone(archive.unwrap_or(&self.path));
        let before = match Traces::of(&path) {
            Ok(traces) => traces,
            // The database is gone; it may be about to come back.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !in_archive => return Ok(Step::Nothing),
            Err(source) => return Err(ReadError::Io { path: path.to_path_buf(), source }),
        };
        if !in_archive && self.quiet == Some(before) {
            return Ok(Step::Nothing);
        }
        let (from, limit) = (self.from(), self.options.max_line);
        let page = match look(&path, |connection| rows::read(connection, from, limit))? {
            Look::Seen(page) => page,
            Look::NotNow(why) => return Ok(Step::NotNow(why)),
        };
        self.check_schema(&path, page.schema)?;
        let step = self.take(&path, in_archive, page)?;
        if matches!(step, Step::Nothing) {
            let now = UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs().cast_signed());
            self.quiet = (before.modified() < now - SETTLED).then_some(before);
        }
        Ok(step)
    }

    /// The id from which on rows are asked for: the last one read is looked at again, to know that it is still there.
    fn from(&self) -> i64 {
        self.decoder.last().map_or(i64::MIN, |(last, _)| i64::try_from(last.id).unwrap_or(i64::MAX))
    }

    fn check_schema(&mut self, path: &Path, schema: Schema) -> Result<(), ReadError> {
        refuse_unknown(path, schema)?;
        match (self.schema, schema) {
            // The first rows of a new database; they are of the format that was announced.
            (Schema::None, Schema::Json) => self.schema = schema,
            (before, now) if before == now || now == Schema::None => {}
            (_, now) => {
                return Err(ReadError::Schema { path: path.to_owned(), found: now.version(), expected: OTHER_FORMAT });
            }
        }
        Ok(())
    }

    fn take(&mut self, path: &Arc<Path>, in_archive: bool, rows: RowPage) -> Result<Step, ReadError> {
        let Some(first) = rows.first() else { return self.end_of(in_archive) };
        if let Some(last) = self.last().filter(|last| first > id_of(*last)) {
            return self.bridge(in_archive, last, first, &rows);
        }
        if let Some(begin) = self.begin.take_if(|_| !in_archive)
            && self.last().is_none()
            && rows.first_position().is_some_and(|first| first > begin)
        {
            return self.bridge(false, begin, first, &rows);
        }
        let page = self.decode(path, rows)?;
        if !page.events.is_empty() || !page.findings.is_empty() || self.stopped.is_some() {
            return Ok(Step::Page(page));
        }
        Ok(if in_archive { self.leave_archive() } else { Step::Nothing })
    }

    fn leave_archive(&mut self) -> Step {
        self.archives.pop_front();
        Step::On
    }

    /// No row is there from the last event read on.
    fn end_of(&mut self, in_archive: bool) -> Result<Step, ReadError> {
        match (in_archive, self.decoder.last()) {
            (true, _) => Ok(self.leave_archive()),
            (false, None) => Ok(Step::Nothing),
            (false, Some((last, expected))) => {
                let limit = self.options.max_line;
                let newest = |seen: Bounds| seen.rows.map(|(_, newest)| newest.id);
                let found = match look(&self.path, |connection| rows::bounds(connection, limit).map(newest))? {
                    Look::Seen(Some(newest)) if newest >= id_of(last) => return Ok(Step::On),
                    Look::Seen(Some(newest)) => format!("the database ends at event {newest}"),
                    Look::Seen(None) => "the database is empty".to_owned(),
                    Look::NotNow(why) => return Ok(Step::NotNow(why)),
                };
                Err(ReadError::Diverged { path: self.path.to_path_buf(), last, expected, found })
            }
        }
    }

    /// The first row comes after an event that is not there any more: it was rotated away.
    fn bridge(&mut self, in_archive: bool, last: Position, first: i64, rows: &RowPage) -> Result<Step, ReadError> {
        if !in_archive {
            let all = archives::of(&self.path).map_err(|source| self.io(source))?;
            self.archives = all
                .into_iter()
                .filter(|(id, _)| *id <= first && is_after(*id, last))
                .map(|(_, path)| path.into())
                .collect();
        }
        if in_archive || self.archives.is_empty() {
            let oldest = rows.first_position().unwrap_or(last);
            return Err(ReadError::Gap { path: self.path.to_path_buf(), last, oldest });
        }
        Ok(Step::On)
    }

    fn decode(&mut self, path: &Arc<Path>, rows: RowPage) -> Result<ReadPage, ReadError> {
        let mut page = ReadPage::default();
        for (id, text) in rows.texts(self.options.max_line) {
            let last = self.decoder.last();
            let outcome = text.and_then(|text| self.decoder.row(id, &text));
            let fault = match outcome {
                Ok(One::Event(event)) => {
                    if self.options.check_grammar {
                        page.places.push(Place { file: Arc::clone(path), at: At::Row { id } });
                    }
                    page.events.push(event);
                    continue;
                }
                // The last one read, looked at again.
                Ok(One::Duplicate) => continue,
                Err(fault) => fault,
            };
            if let (LineFault::NotAbove { position, hashes, .. }, Some((last, expected))) = (&fault, last)
                && *position == last
            {
                let hash = hashes.1;
                let found = format!("event {position} (hash {hash}) is in its place");
                return Err(ReadError::Diverged { path: self.path.to_path_buf(), last, expected, found });
            }
            // A bad row is said once, though it is looked at again until a good one comes after it.
            if self.passed.is_some_and(|passed| id <= passed) {
                continue;
            }
            self.passed = Some(id);
            let bad = BadLine { place: Place { file: Arc::clone(path), at: At::Row { id } }, fault };
            match self.options.on_bad_line {
                OnBadLine::Skip => page.findings.push(Finding::Skipped(bad)),
                OnBadLine::Stop => {
                    self.stopped = Some(bad);
                    break;
                }
            }
        }
        match &self.stopped {
            Some(bad) if page.events.is_empty() => Err(ReadError::BadLine(bad.clone())),
            _ => Ok(page),
        }
    }

    /// Takes what comes after history out of a page and keeps it for later.
    fn split(&mut self, mut page: ReadPage, end: Position) -> ReadPage {
        let history = page.events.partition_point(|event| event.position() <= end);
        if history < page.events.len() {
            let places = page.places.split_off(history.min(page.places.len()));
            self.pending = Some(ReadPage { events: page.events.split_off(history), places, ..ReadPage::default() });
        }
        page.history = true;
        page
    }

    pub(super) fn io(&self, source: io::Error) -> ReadError {
        ReadError::Io { path: self.path.to_path_buf(), source }
    }
}

impl ReadLog for DatabaseReader {
    fn format(&self) -> Option<StreamFormat> {
        Some(self.schema.format())
    }

    fn read_history(&mut self) -> Result<Option<ReadPage>, ReadError> {
        let since = Instant::now();
        while let Some(end) = self.history_end {
            if self.pending.is_some() || self.last().is_some_and(|last| last >= end) {
                self.history_end = None;
                break;
            }
            match self.step()? {
                Step::Page(page) => {
                    let mut page = self.split(page, end);
                    page.findings.splice(0..0, self.findings.drain(..));
                    if page.events.is_empty() && page.findings.is_empty() {
                        continue;
                    }
                    return Ok(Some(page));
                }
                Step::On => {}
                // The last row was a bad one.
                Step::Nothing => self.history_end = None,
                Step::NotNow(why) if since.elapsed() > PATIENCE => {
                    return Err(ReadError::NotNow { path: self.path.to_path_buf(), why });
                }
                Step::NotNow(_) => sleep(LOOK_AGAIN),
            }
        }
        let findings = std::mem::take(&mut self.findings);
        Ok((!findings.is_empty()).then(|| ReadPage { findings, history: true, ..ReadPage::default() }))
    }

    fn read_live(&mut self) -> Result<ReadPage, ReadError> {
        if let Some(page) = self.pending.take() {
            return Ok(page);
        }
        loop {
            match self.step()? {
                Step::Page(page) => return Ok(page),
                Step::On => {}
                Step::Nothing => return Ok(ReadPage { caught_up: true, ..ReadPage::default() }),
                Step::NotNow(why) => {
                    tracing::debug!("{} cannot be read at this moment: {why}", self.path.display());
                    return Ok(ReadPage { caught_up: true, ..ReadPage::default() });
                }
            }
        }
    }

    fn last(&self) -> Option<Position> {
        self.decoder.last().map(|(position, _)| position)
    }

    fn duplicates(&self) -> u64 {
        self.decoder.duplicates
    }

    fn legacy(&self) -> u64 {
        0
    }

    fn progress(&self) -> (u64, u64) {
        let (first, end, bytes) = self.extent;
        let (whole, done) = (end.saturating_sub(first).max(1), self.from().saturating_sub(first).max(0));
        let share = done.min(whole) as f64 / whole as f64;
        ((bytes as f64 * share) as u64, bytes)
    }
}

impl Schema {
    fn format(self) -> StreamFormat {
        match self {
            Self::CborItems => StreamFormat::cbor_items(),
            _ => StreamFormat::state_event(),
        }
    }

    fn version(self) -> i64 {
        match self {
            Self::None => 0,
            Self::Json => 1,
            Self::CborItems => 2,
            Self::Unknown(version) => version,
        }
    }
}

pub(super) fn refuse_unknown(path: &Path, schema: Schema) -> Result<(), ReadError> {
    let expected = "which is newer than this hydrant; known are 1 and 2";
    match schema {
        Schema::Unknown(found) => Err(ReadError::Schema { path: path.to_owned(), found, expected }),
        _ => Ok(()),
    }
}

fn id_of(position: Position) -> i64 {
    i64::try_from(position.id).unwrap_or(i64::MAX)
}

/// Whether an archive that ends with this id has something after a position. It does not hold the checkpoint of its last id.
fn is_after(id: i64, position: Position) -> bool {
    match position.kind {
        Kind::Event => id >= id_of(position),
        Kind::Checkpoint => id > id_of(position),
    }
}
