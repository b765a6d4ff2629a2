//! `sqlite:` as a sink: a database of our own, in the form of hydra-node's schema 1.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::task::spawn_blocking;

use super::{Ack, CloseReason, Delivery, EventSink, OpenInfo, Opened, SinkError};
use crate::durable_file::sync_folder;
use crate::event::{Kind, Position, StateEvent};
use crate::store::{OwnError, refuse_node_folder};
use crate::stream::{EventHash, StreamFormat};

/// Marks a database as one of ours (`PRAGMA application_id`): "hydr". A node's is never written to.
const APPLICATION_ID: i32 = 0x6879_6472;

/// How long another process may hold the database before that is an error.
const BUSY: Duration = Duration::from_secs(5);

/// Bytes of json taken before they are written, whatever the flush policy says: they are held in memory.
const MAX_PENDING: usize = 8 << 20;

/// The largest id of a row: SQLite's integers have a sign.
const MAX_ID: u64 = i64::MAX.cast_unsigned();

/// Why a database could not be opened as a target.
#[derive(Debug, thiserror::Error)]
enum TargetError {
    #[error(transparent)]
    Own(#[from] OwnError),
    #[error("{path} was not made by hydrant, and might be a node's; write to a new file", path = .0.display())]
    NotOurs(PathBuf),
    #[error("hydra.db is the name of a node's database; give yours another")]
    NodesName,
    #[error("cannot write to {path}", path = .0.display())]
    Sqlite(PathBuf, #[source] rusqlite::Error),
    #[error("cannot make the name {path} durable", path = .0.display())]
    Folder(PathBuf, #[source] io::Error),
    #[error("{path} ends at {found}, and we left it at {left}: something else writes to it", path = .path.display())]
    Shared { path: PathBuf, left: String, found: String },
}

/// Inserts each event's json as a row under its id, durable after a flush.
///
/// What the database holds already is recognised by id: the same bytes are passed over, other bytes are an error. A checkpoint has the id of
/// the event before it, and rows have their ids to themselves: so it is stored only where the events that it sums up are not.
#[derive(Debug)]
pub struct SqliteSink {
    path: PathBuf,
    database: Option<Connection>,
    /// Taken, and not yet written.
    pending: Vec<StateEvent>,
    pending_bytes: usize,
    /// The last row, written or not.
    last: Option<Position>,
    /// The last row written.
    written: Option<Position>,
}

impl SqliteSink {
    /// A sink that inserts into the database at `path`, which is created if it is missing.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { path, database: None, pending: Vec::new(), pending_bytes: 0, last: None, written: None }
    }

    fn connection(&self) -> Result<&Connection, SinkError> {
        self.database.as_ref().ok_or_else(not_open)
    }

    fn failed(&self, error: rusqlite::Error) -> SinkError {
        SinkError::target(TargetError::Sqlite(self.path.clone(), error))
    }

    /// Compares an event that the database should hold with what it holds.
    fn compare(&self, event: &StateEvent) -> Result<(), SinkError> {
        let position = event.position();
        let query = "SELECT event_data FROM events WHERE event_id = ?1";
        let row = self.connection()?.query_row(query, [key(position)], |row| row.get::<_, Vec<u8>>(0)).optional();
        let there = row.map_err(|error| self.failed(error))?;
        match there.and_then(|row| String::from_utf8(row).ok()) {
            Some(there) if there == event.json() => Ok(()),
            Some(there) => {
                let kind = StateEvent::parse(there.clone()).map(|event| event.position().kind);
                match (position.kind, kind) {
                    (Kind::Checkpoint, Ok(Kind::Event)) => Ok(()),
                    (Kind::Event, Ok(Kind::Checkpoint)) => Err(self.not_there(position)),
                    _ => {
                        let (there, put) = (EventHash::of(&there), event.hash());
                        Err(SinkError::Conflict { position, there, put })
                    }
                }
            }
            None => Err(self.not_there(position)),
        }
    }

    fn not_there(&self, position: Position) -> SinkError {
        let path = self.path.display();
        let message =
            format!("{path} has no event {position}, though it goes on behind it; an event cannot be put in between");
        SinkError::Rejected { message }
    }

    /// Writes what was taken. After a failure the sink has to be opened anew: what reached the disk is not known.
    async fn write(&mut self) -> Result<(), SinkError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let database = self.database.take().ok_or_else(not_open)?;
        let (pending, path, left) = (std::mem::take(&mut self.pending), self.path.clone(), self.written);
        self.pending_bytes = 0;
        let written = spawn_blocking(move || {
            insert(&database, &pending, left, &path)?;
            Ok::<_, TargetError>(database)
        });
        let database = written.await.map_err(SinkError::target)?.map_err(SinkError::target)?;
        self.database = Some(database);
        self.written = self.last;
        Ok(())
    }
}

#[async_trait]
impl EventSink for SqliteSink {
    fn describe(&self) -> String {
        format!("database {}", self.path.display())
    }

    async fn open(&mut self, info: &OpenInfo) -> Result<Opened, SinkError> {
        if info.stream.format != StreamFormat::state_event() {
            let message =
                format!("a sqlite sink takes {} only, not {}", StreamFormat::state_event(), info.stream.format);
            return Err(SinkError::Fatal { message });
        }
        *self = Self::new(std::mem::take(&mut self.path));
        let path = self.path.clone();
        let opened = spawn_blocking(move || open(&path)).await.map_err(SinkError::target)?;
        let (database, last) = opened.map_err(SinkError::target)?;
        (self.database, self.last, self.written) = (Some(database), last, last);
        Ok(last.map_or(Opened::Beginning, Opened::After))
    }

    async fn put_event(&mut self, event: &StateEvent, _delivery: Delivery) -> Result<Ack, SinkError> {
        self.connection()?;
        let position = event.position();
        if position.id > MAX_ID {
            let message = format!("a database has no ids beyond {MAX_ID}");
            return Err(SinkError::Rejected { message });
        }
        if self.last.is_some_and(|last| position.id <= last.id) {
            // What it is compared with may not be written yet.
            self.write().await?;
            self.compare(event)?;
            return Ok(Ack::Durable);
        }
        self.last = Some(position);
        self.pending.push(event.clone());
        self.pending_bytes += event.bytes();
        if self.pending_bytes >= MAX_PENDING {
            self.write().await?;
        }
        Ok(Ack::Accepted)
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        self.connection()?;
        self.write().await
    }

    async fn close(&mut self, _reason: CloseReason) -> Result<(), SinkError> {
        *self = Self::new(std::mem::take(&mut self.path));
        Ok(())
    }
}

fn not_open() -> SinkError {
    SinkError::target("the sqlite sink is not open")
}

/// An id as SQLite has them.
fn key(position: Position) -> i64 {
    position.id.cast_signed()
}

fn open(path: &Path) -> Result<(Connection, Option<Position>), TargetError> {
    if path.file_name().is_some_and(|name| name == "hydra.db") {
        return Err(TargetError::NodesName);
    }
    refuse_node_folder(path)?;
    let is_new = !path.exists();
    let failed = |error| TargetError::Sqlite(path.to_owned(), error);
    let database = Connection::open(path).map_err(failed)?;
    database.busy_timeout(BUSY).map_err(failed)?;
    if !is_ours(&database).map_err(failed)? {
        return Err(TargetError::NotOurs(path.to_owned()));
    }
    prepare(&database).map_err(failed)?;
    if is_new {
        sync_folder(path).map_err(|error| TargetError::Folder(path.to_owned(), error))?;
    }
    let last = last(&database).map_err(failed)?;
    Ok((database, last))
}

/// Whether a database is empty or bears our mark.
fn is_ours(database: &Connection) -> rusqlite::Result<bool> {
    let mark: i32 = database.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = database.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    Ok(mark == APPLICATION_ID || tables == 0)
}

fn prepare(database: &Connection) -> rusqlite::Result<()> {
    database.pragma_update(None, "journal_mode", "wal")?;
    // A commit is durable when it returns; NORMAL, as hydra-node has it, may lose the last ones.
    database.pragma_update(None, "synchronous", "full")?;
    database.pragma_update(None, "application_id", APPLICATION_ID)?;
    database.pragma_update(None, "user_version", 1)?;
    let table = "CREATE TABLE IF NOT EXISTS events (event_id INTEGER NOT NULL PRIMARY KEY, event_data BLOB NOT NULL)";
    database.execute(table, []).map(drop)
}

/// The position of the last row.
fn last(database: &Connection) -> rusqlite::Result<Option<Position>> {
    let query = "SELECT event_id, event_data FROM events ORDER BY event_id DESC LIMIT 1";
    let row = database.query_row(query, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))).optional()?;
    Ok(row.map(|(id, data)| {
        let event = String::from_utf8(data).ok().and_then(|json| StateEvent::parse(json).ok());
        event.map_or_else(|| Position::event(id.cast_unsigned()), |event| event.position())
    }))
}

/// Inserts events in one transaction, which is durable when this returns.
fn insert(
    database: &Connection,
    events: &[StateEvent],
    left: Option<Position>,
    path: &Path,
) -> Result<(), TargetError> {
    let failed = |error| TargetError::Sqlite(path.to_owned(), error);
    let in_words = |position: Option<Position>| crate::event::last_event(position);
    database.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
    let found = last(database).map_err(failed)?;
    if found != left {
        return Err(TargetError::Shared { path: path.to_owned(), left: in_words(left), found: in_words(found) });
    }
    let mut insert = database.prepare_cached("INSERT INTO events VALUES (?1, ?2)").map_err(failed)?;
    for event in events {
        insert.execute(params![key(event.position()), event.json().as_bytes()]).map_err(failed)?;
    }
    database.execute_batch("COMMIT").map_err(failed)
}
