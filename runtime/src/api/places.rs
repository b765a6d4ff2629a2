//! How many clients there may be.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http_server::files;

/// Clients at one time. More would cost the node more than they are worth to anybody.
pub const MAX_CLIENTS: usize = 1_000;

/// Places for clients, each taken from when a client connects, so that those count too that are still being told the history.
#[derive(Clone, Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    /// All that there are.
    pub(super) most: usize,
}

impl Default for Places {
    /// As many as there may be, while half of the files that this process may open are left: a client has its connection, and of the history the
    /// file that it is told and the one that comes next.
    fn default() -> Self {
        Self::new(files(MAX_CLIENTS, 6))
    }
}

impl Places {
    fn new(most: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(most)), most }
    }

    /// A place until it is dropped, if one is free.
    pub(super) fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
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
}
