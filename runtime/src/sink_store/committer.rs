//! The one thread that writes: what queued while the last sync ran is written and synced together.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;

use redb::Database;
use tokio::sync::oneshot;

use super::StoreError;
use super::commit::Change;
use super::tables::{create_tables, has_all_tables};

/// Most commits in one group: bounds what a failure makes many sinks repeat.
const MAX_GROUP: usize = 1_024;

/// Changes to be made durable together, and who waits for them.
pub(super) struct Request {
    pub(super) changes: Vec<Change>,
    pub(super) done: oneshot::Sender<Result<(), StoreError>>,
}

type Open = Box<dyn Fn() -> Result<Database, redb::Error> + Send + Sync>;

/// The database, opened anew after an error: redb refuses all further work on one that met an error of the disk.
#[derive(Clone)]
pub(super) struct SharedDatabase {
    open: Arc<Open>,
    current: Arc<RwLock<Option<Arc<Database>>>>,
}

impl SharedDatabase {
    pub(super) fn open(open: Open) -> Result<Self, StoreError> {
        let database = Self { open: Arc::new(open), current: Arc::default() };
        database.get()?;
        Ok(database)
    }

    pub(super) fn get(&self) -> Result<Arc<Database>, StoreError> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(database) = current {
            return Ok(database);
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &*current {
            return Ok(Arc::clone(database));
        }
        let database = (self.open)()?;
        if !has_all_tables(&database)? {
            let write = database.begin_write()?;
            create_tables(&write)?;
            write.commit()?;
        }
        Ok(Arc::clone(current.insert(Arc::new(database))))
    }

    fn drop_current(&self) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Starts the thread; it ends when the last sender is dropped.
pub(super) fn start(database: SharedDatabase) -> Result<Sender<Request>, StoreError> {
    let (sender, receiver) = channel();
    let run = move || run(&database, &receiver);
    thread::Builder::new().name("cursors".to_owned()).spawn(run).map_err(redb::Error::Io)?;
    Ok(sender)
}

fn run(database: &SharedDatabase, requests: &Receiver<Request>) {
    while let Ok(first) = requests.recv() {
        let mut group = vec![first];
        group.extend(requests.try_iter().take(MAX_GROUP - 1));
        let outcome = write(database, &group);
        if outcome.is_err() {
            database.drop_current();
        }
        for request in group {
            // Nobody waits any more when a sink was dropped meanwhile.
            let _ = request.done.send(outcome.clone());
        }
    }
}

fn write(database: &SharedDatabase, group: &[Request]) -> Result<(), StoreError> {
    let write = database.get()?.begin_write()?;
    for change in group.iter().flat_map(|request| &request.changes) {
        change.apply(&write)?;
    }
    Ok(write.commit()?)
}
