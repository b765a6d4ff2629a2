//! What detached sinks keep across restarts: cursors, key-value, parked events and which version ran when, in one redb file.
//!
//! One file, because a sink's state and its cursor have to move together; one [committer](commit::Change), because then many sinks share a sync.

mod commit;
mod committer;
mod key_value;
mod record;
mod tables;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use redb::backends::InMemoryBackend;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::event::Position;
use crate::stream::Anchor;

pub use commit::Change;
pub use key_value::{KeyValue, KeyValueError, MAX_KEY, MAX_KEYS_LISTED, MAX_VALUE, Quota};
pub use record::{ActiveVersion, Cursor, Epoch, ParkedEvent, Place, PostMortem, Saved, VersionRecord, WatchedSwap};

use committer::{Request, SharedDatabase};
use tables::{ACTIVE, ANCHORS, CURSORS, EPOCHS, HEADS, PARKED, VERSIONS};

/// Why the store could not be read or written. Nothing of the change was taken.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file could not be opened, read or written.
    #[error("the store of cursors cannot be used")]
    Database(#[source] Arc<redb::Error>),
    /// A record in it cannot be understood.
    #[error("a record of {table} in the store of cursors is damaged")]
    Damaged {
        /// Its table.
        table: &'static str,
        /// The cause.
        #[source]
        source: Arc<serde_json::Error>,
    },
    /// The committer's thread has ended.
    #[error("the store of cursors is closed")]
    Closed,
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        Self::Database(Arc::new(error.into()))
    }
}

/// The store of all detached sinks of one data directory. Clones share it.
#[derive(Clone)]
pub struct SinkStore {
    database: SharedDatabase,
    requests: Sender<Request>,
}

impl fmt::Debug for SinkStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkStore").finish_non_exhaustive()
    }
}

/// Pages of the file kept in memory. What sinks keep is small, and memory has to stay flat.
const CACHE: usize = 4 << 20;

impl SinkStore {
    /// Opens the file, creating it if it is missing. After an error of the disk it is opened anew by the next commit.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], also if another process has it open.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let path: PathBuf = path.to_owned();
        Self::on(move || Database::builder().set_cache_size(CACHE).create(&path).map_err(redb::Error::from))
    }

    /// One that is gone when it is dropped.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::on(|| Ok(Database::builder().set_cache_size(CACHE).create_with_backend(InMemoryBackend::new())?))
    }

    /// As [`open`](Self::open), on storage of the caller's own. `open` is called again after an error.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub fn on(open: impl Fn() -> Result<Database, redb::Error> + Send + Sync + 'static) -> Result<Self, StoreError> {
        let database = SharedDatabase::open(Box::new(open))?;
        let requests = committer::start(database.clone())?;
        Ok(Self { database, requests })
    }

    /// Makes changes durable together: after a crash either all of them are there or none.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then none of them was made, and it may be tried again.
    pub async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let (done, answer) = oneshot::channel();
        self.requests.send(Request { changes, done }).map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// A sink's cursor.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn cursor(&self, sink: &str) -> Result<Option<Cursor>, StoreError> {
        self.record(CURSORS, sink, "cursors")
    }

    /// The cursors of all sinks, configured or not, by name.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn cursors(&self) -> Result<Vec<(String, Cursor)>, StoreError> {
        let read = self.read()?;
        let table = read.open_table(CURSORS)?;
        let mut cursors = Vec::new();
        for row in table.iter()? {
            let (sink, cursor) = row?;
            cursors.push((sink.value().to_owned(), parse("cursors", cursor.value())?));
        }
        Ok(cursors)
    }

    /// A sink's parked events, in order.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn parked(&self, sink: &str) -> Result<Vec<ParkedEvent>, StoreError> {
        let read = self.read()?;
        let table = read.open_table(PARKED)?;
        let mut parked = Vec::new();
        for row in table.range((sink, 0, 0)..=(sink, u64::MAX, u8::MAX))? {
            parked.push(parse("parked", row?.1.value())?);
        }
        Ok(parked)
    }

    /// How many events of a sink are parked.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn parked_count(&self, sink: &str) -> Result<u64, StoreError> {
        let table = self.read()?.open_table(PARKED)?;
        let mut count = 0;
        for row in table.range((sink, 0, 0)..=(sink, u64::MAX, u8::MAX))? {
            row?;
            count += 1;
        }
        Ok(count)
    }

    /// One parked event.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn parked_at(&self, sink: &str, position: Position) -> Result<Option<ParkedEvent>, StoreError> {
        let table = self.read()?.open_table(PARKED)?;
        let row = table.get(tables::parked_key(sink, position))?;
        row.map(|row| parse("parked", row.value())).transpose()
    }

    /// Which version of a sink is in charge, if that was ever decided by a swap.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn active_version(&self, sink: &str) -> Result<Option<ActiveVersion>, StoreError> {
        self.record(ACTIVE, sink, "active")
    }

    /// What ran when, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn versions(&self, sink: &str) -> Result<Vec<VersionRecord>, StoreError> {
        let table = self.read()?.open_table(VERSIONS)?;
        let mut versions = Vec::new();
        for row in table.range((sink, 0)..=(sink, u64::MAX))? {
            versions.push(parse("versions", row?.1.value())?);
        }
        Ok(versions)
    }

    /// What ran last.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn last_version(&self, sink: &str) -> Result<Option<VersionRecord>, StoreError> {
        let table = self.read()?.open_table(VERSIONS)?;
        let last = table.range((sink, 0)..=(sink, u64::MAX))?.next_back().transpose()?;
        last.map(|(_, record)| parse("versions", record.value())).transpose()
    }

    /// How often a stream was found rewritten.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn epoch(&self, stream: &str) -> Result<Epoch, StoreError> {
        Ok(self.record(EPOCHS, stream, "epochs")?.unwrap_or_default())
    }

    /// The id of a stream's head when it was last known.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn head_id(&self, stream: &str) -> Result<Option<String>, StoreError> {
        self.record(HEADS, stream, "heads")
    }

    /// The last events of a stream when they were last kept, in order.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn anchors(&self, stream: &str) -> Result<Vec<Anchor>, StoreError> {
        Ok(self.record(ANCHORS, stream, "anchors")?.unwrap_or_default())
    }

    fn read(&self) -> Result<ReadTransaction, StoreError> {
        Ok(self.database.get()?.begin_read()?)
    }

    fn record<T: DeserializeOwned>(
        &self,
        table: redb::TableDefinition<&'static str, &'static [u8]>,
        key: &str,
        name: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let table = self.read()?.open_table(table)?;
        let row = table.get(key)?;
        row.map(|row| parse(name, row.value())).transpose()
    }
}

fn parse<T: DeserializeOwned>(table: &'static str, bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|source| StoreError::Damaged { table, source: Arc::new(source) })
}
