//! Who is told of outputs: every client has a bounded backlog, and one that does not keep up is let go.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::output::Output;
use crate::event::Position;

/// Bytes of outputs that may wait for one client: some of the largest snapshots.
pub const MAX_BACKLOG_BYTES: usize = 16 << 20;

/// Outputs that may wait for one client: at a thousand a second it may be away for some seconds.
pub const MAX_BACKLOG: usize = 10_000;

/// An output on its way to clients, whole and as JSON.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) output: Output,
    pub(super) json: String,
}

/// What is put to clients, and how far.
#[derive(Clone, Debug, Default)]
pub(super) struct Hub(Arc<Mutex<Clients>>);

#[derive(Debug, Default)]
struct Clients {
    last: Option<Position>,
    next: u64,
    backlogs: BTreeMap<u64, Backlog>,
}

#[derive(Debug)]
struct Backlog {
    outputs: mpsc::UnboundedSender<Arc<Told>>,
    bytes: Arc<AtomicUsize>,
    count: Arc<AtomicUsize>,
    too_slow: CancellationToken,
}

/// One client's backlog, until it is dropped.
#[derive(Debug)]
pub(super) struct Subscription {
    hub: Hub,
    number: u64,
    outputs: mpsc::UnboundedReceiver<Arc<Told>>,
    bytes: Arc<AtomicUsize>,
    count: Arc<AtomicUsize>,
    /// What was put before it began.
    pub(super) after: Option<Position>,
    /// Cancelled when the client was let go.
    pub(super) too_slow: CancellationToken,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, Clients> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last position that was put.
    pub(super) fn last(&self) -> Option<Position> {
        self.lock().last
    }

    /// Passes an event: clients are told what it says, if anything. Never waits.
    pub(super) fn put(&self, position: Position, output: Option<Output>) {
        let mut clients = self.lock();
        clients.last = Some(position);
        // Written once for all, and not for nobody.
        let Some(output) = output.filter(|_| !clients.backlogs.is_empty()) else { return };
        let told = Arc::new(Told { json: output.json(true), output });
        let bytes = told.json.len();
        clients.backlogs.retain(|_, backlog| {
            let waiting = backlog.bytes.fetch_add(bytes, Ordering::Relaxed);
            let count = backlog.count.fetch_add(1, Ordering::Relaxed);
            // One that is alone may be as large as it is.
            let keeps_up = waiting == 0 || (waiting + bytes <= MAX_BACKLOG_BYTES && count < MAX_BACKLOG);
            if !keeps_up {
                backlog.too_slow.cancel();
            }
            keeps_up && backlog.outputs.send(Arc::clone(&told)).is_ok()
        });
    }

    /// A backlog of what is put from now on.
    pub(super) fn subscribe(&self) -> Subscription {
        let mut clients = self.lock();
        let (sender, outputs) = mpsc::unbounded_channel();
        let (bytes, count, too_slow) = (Arc::default(), Arc::default(), CancellationToken::new());
        let (number, after) = (clients.next, clients.last);
        clients.next += 1;
        let (ours, theirs) = (Arc::clone(&bytes), Arc::clone(&count));
        clients
            .backlogs
            .insert(number, Backlog { outputs: sender, bytes: ours, count: theirs, too_slow: too_slow.clone() });
        Subscription { hub: self.clone(), number, outputs, bytes, count, after, too_slow }
    }
}

impl Subscription {
    /// The next output; none once the client was let go.
    pub(super) async fn next(&mut self) -> Option<Arc<Told>> {
        let told = self.outputs.recv().await?;
        self.bytes.fetch_sub(told.json.len(), Ordering::Relaxed);
        self.count.fetch_sub(1, Ordering::Relaxed);
        Some(told)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.lock().backlogs.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::output::Outputs;
    use crate::event::StateEvent;

    /// Puts an output whose JSON has so many bytes, or the few that it cannot do without.
    fn put(hub: &Hub, id: u64, json_bytes: usize) {
        let output = |pad: usize| {
            let peer = "x".repeat(pad);
            let event = format!(r#"{{"eventId":{id},"stateChanged":{{"tag":"PeerConnected","peer":"{peer}"}}}}"#);
            Outputs::default().of(&StateEvent::parse(event).unwrap()).unwrap().unwrap()
        };
        let pad = json_bytes.saturating_sub(output(0).json(true).len());
        hub.put(Position::event(id), Some(output(pad)));
    }

    #[tokio::test]
    async fn a_client_may_be_behind_by_so_many_outputs_and_so_many_bytes() {
        for (bytes, most) in [(1, MAX_BACKLOG), (MAX_BACKLOG_BYTES / 2, 2), (MAX_BACKLOG_BYTES + 1, 1)] {
            let hub = Hub::default();
            let mut slow = hub.subscribe();
            for id in 0..most as u64 {
                put(&hub, id, bytes);
            }
            assert!(!slow.too_slow.is_cancelled(), "{bytes}");
            put(&hub, most as u64, bytes);
            assert!(slow.too_slow.is_cancelled(), "{bytes}");
            // What gathered is still there; nothing comes any more.
            for _ in 0..most {
                assert!(slow.next().await.is_some());
            }
            assert!(slow.next().await.is_none());
        }
    }

    #[tokio::test]
    async fn a_client_that_keeps_up_is_told_everything_from_when_it_came() {
        let hub = Hub::default();
        put(&hub, 0, 10);
        let mut client = hub.subscribe();
        assert_eq!((client.after, hub.last()), (Some(Position::event(0)), Some(Position::event(0))));
        for id in 1..=2 * MAX_BACKLOG as u64 {
            put(&hub, id, 10);
            assert!(client.next().await.is_some());
        }
        assert!(!client.too_slow.is_cancelled());
    }
}
