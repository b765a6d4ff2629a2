//! What clocks say to a component that was not granted the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

/// The time of the event being put, in nanoseconds since 1970; or always zero. It never goes back.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventClock(Arc<AtomicU64>);

impl EventClock {
    pub(crate) fn set(&self, seconds: i64, nanoseconds: u32) {
        let seconds = u64::try_from(seconds).unwrap_or(0);
        self.0.fetch_max(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds.into()), Ordering::Relaxed);
    }

    fn nanoseconds(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl HostWallClock for EventClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds())
    }
}

impl HostMonotonicClock for EventClock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        self.nanoseconds()
    }
}
