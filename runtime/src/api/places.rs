//! How much of a kind there may be at one time, so that clients cannot use up the node's memory or files.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http_server::files;

/// Clients at one time. More would cost the node more than they are worth to anybody.
pub const MAX_CLIENTS: usize = 1_000;

/// Answers made of the whole state of the head that may be on their way at one time; a large head has some megabytes of it.
pub const MAX_ANSWERS: usize = 16;

/// Clients that are told the history at one time, with a page of the log each; others wait for their turn.
pub const MAX_HISTORIES: usize = 16;

/// Places of one kind.
#[derive(Clone, Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    /// All that there are.
    pub(super) most: usize,
}

/// A place, until it is dropped.
pub(super) type Place = Option<OwnedSemaphorePermit>;

impl Places {
    /// For clients, each from when it connects: as many as there may be with a third of the files that this process may open.
    pub(super) fn for_clients() -> Self {
        Self::new(files(MAX_CLIENTS, 3))
    }

    pub(super) fn new(most: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(most)), most }
    }

    /// A place, if one is free.
    pub(super) fn take(&self) -> Place {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// A place, once one is free.
    pub(super) async fn wait(&self) -> Place {
        // It is never closed.
        Arc::clone(&self.free).acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_have_a_bound_and_make_room_when_they_go() {
        let places = Places::new(MAX_CLIENTS);
        let mut taken: Vec<_> = std::iter::from_fn(|| places.take()).collect();
        assert_eq!((taken.len(), places.take().is_none()), (MAX_CLIENTS, true));
        taken.pop();
        assert!(places.take().is_some());
    }

    #[tokio::test]
    async fn who_finds_no_place_may_wait_for_one() {
        let places = Places::new(1);
        let taken = places.wait().await;
        let mut waiting = std::pin::pin!(places.wait());
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), &mut waiting).await.is_err());
        drop(taken);
        assert!(waiting.await.is_some());
    }
}
