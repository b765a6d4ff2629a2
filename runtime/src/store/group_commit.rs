//! Lets many clients append durably at the price of few syncs.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::appender::{AppendError, LogAppender};
use super::log_file::LogFile;
use crate::event::StateEvent;

/// Events in one group at most: bounds how long the first of them waits.
pub const GROUP_EVENTS: usize = 256;

/// Bytes of json in one group at most, for the same reason.
pub const GROUP_BYTES: usize = 1024 * 1024;

struct Request {
    event: StateEvent,
    done: oneshot::Sender<Result<(), Arc<AppendError>>>,
}

/// Appends to a log for any number of clients; each is answered when its event is durable.
///
/// A group is what queued while the last sync ran, up to [`GROUP_EVENTS`] or [`GROUP_BYTES`]; there is no timer, so a single client
/// waits for nothing but its own sync. Clones append to the same log. When the last clone is dropped, the writer ends.
#[derive(Clone, Debug)]
pub struct GroupCommit {
    queue: mpsc::Sender<Request>,
}

impl GroupCommit {
    /// Starts the writer on a thread of its own.
    ///
    /// # Errors
    ///
    /// If no thread can be started.
    pub fn start<F: LogFile + 'static>(appender: LogAppender<F>) -> io::Result<Self> {
        let (queue, requests) = mpsc::channel(GROUP_EVENTS);
        thread::Builder::new().name("group-commit".to_owned()).spawn(move || write_groups(appender, requests))?;
        Ok(Self { queue })
    }

    /// Puts an event into the queue: the order of the calls is the order in the log.
    ///
    /// # Errors
    ///
    /// [`AppendError::Broken`] if the writer has ended.
    pub async fn queue(&self, event: StateEvent) -> Result<Queued, Arc<AppendError>> {
        let (done, answer) = oneshot::channel();
        self.queue.send(Request { event, done }).await.map_err(|_| Arc::new(AppendError::Broken))?;
        Ok(Queued { answer })
    }

    /// Appends an event and returns when it is durable.
    ///
    /// # Errors
    ///
    /// As [`LogAppender`]; every event of a group that failed gets the same error, and every later one
    /// [`AppendError::Broken`].
    pub async fn append(&self, event: StateEvent) -> Result<(), Arc<AppendError>> {
        self.queue(event).await?.durable().await
    }
}

/// An event in the queue.
#[derive(Debug)]
pub struct Queued {
    answer: oneshot::Receiver<Result<(), Arc<AppendError>>>,
}

impl Queued {
    /// Returns when the event is durable.
    ///
    /// # Errors
    ///
    /// As [`GroupCommit::append`].
    pub async fn durable(self) -> Result<(), Arc<AppendError>> {
        self.answer.await.map_err(|_| Arc::new(AppendError::Broken))?
    }
}

fn write_groups<F: LogFile>(mut appender: LogAppender<F>, mut requests: mpsc::Receiver<Request>) {
    let mut group = Vec::with_capacity(GROUP_EVENTS);
    while let Some(first) = requests.blocking_recv() {
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(Request { event, done }) = next.take() {
            bytes += event.bytes();
            match appender.append(&event) {
                Ok(()) => group.push(done),
                // Refused by itself: the others of the group are not concerned.
                Err(error) => drop(done.send(Err(Arc::new(error)))),
            }
            if group.len() < GROUP_EVENTS && bytes < GROUP_BYTES {
                next = requests.try_recv().ok();
            }
        }
        let outcome = appender.commit().map_err(Arc::new);
        for done in group.drain(..) {
            // A client that no longer waits does not mind.
            let _ = done.send(outcome.clone());
        }
    }
}
