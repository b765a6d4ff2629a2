//! What a sink accepted and was not yet flushed.

use tokio::time::Instant;

use super::flush_policy::FlushPolicy;
use crate::event::Position;

#[derive(Clone, Copy, Debug)]
pub(super) struct Unflushed {
    pub(super) events: u64,
    pub(super) bytes: u64,
    since: Instant,
    pub(super) up_to: Position,
}

impl Unflushed {
    /// Counts events that were accepted, the first of them or more.
    pub(super) fn add(unflushed: &mut Option<Self>, up_to: Position, events: u64, bytes: usize) -> &Self {
        let unflushed = unflushed.get_or_insert_with(|| Self { events: 0, bytes: 0, since: Instant::now(), up_to });
        unflushed.events += events;
        unflushed.bytes += bytes as u64;
        unflushed.up_to = up_to;
        unflushed
    }

    /// When they have to be flushed at the latest.
    pub(super) fn due(&self, policy: &FlushPolicy) -> Instant {
        self.since + policy.interval
    }

    /// Whether they have to be flushed now.
    pub(super) fn is_due(&self, policy: &FlushPolicy) -> bool {
        self.events >= policy.events || self.bytes >= policy.bytes || self.since.elapsed() >= policy.interval
    }
}
