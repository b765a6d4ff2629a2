//! What a sink is doing, for operators.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::event::{Position, Time};
use crate::sink::Usage;

/// What a sink is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SinkState {
    /// Its instance is being opened for the first time.
    #[default]
    Starting,
    /// It is put events that were in the source at start.
    CatchingUp,
    /// It is put events as they come.
    Live,
    /// Something failed and will be tried again.
    Retrying,
    /// An operator has paused it.
    Paused,
    /// A new version takes over.
    Swapping,
    /// It will not be put anything more until an operator resumes it, or a restart.
    Stopped,
}

impl fmt::Display for SinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::CatchingUp => "catching-up",
            Self::Live => "live",
            Self::Retrying => "retrying",
            Self::Paused => "paused",
            Self::Swapping => "swapping",
            Self::Stopped => "stopped",
        })
    }
}

/// One sink as `hydrant status` shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SinkStatus {
    /// The sink's name.
    pub sink: String,
    /// `inline` or `detached`.
    pub lane: String,
    /// The sink in words.
    pub description: String,
    /// What it is doing.
    pub state: SinkState,
    /// Why, where that is not plain.
    pub reason: Option<String>,
    /// The last position known durable.
    pub position: Option<Position>,
    /// Events of the source that are not yet taken; none while that is not known.
    pub lag_events: Option<u64>,
    /// Seconds between the times of the newest event and the last one taken.
    pub lag_seconds: Option<f64>,
    /// Events a second, over the last ten seconds or so.
    pub rate: f64,
    /// Events and checkpoints taken since the start, repetitions included.
    pub delivered: u64,
    /// The last error, whether or not it is over.
    pub last_error: Option<String>,
    /// Milliseconds to the next attempt.
    pub next_retry_ms: Option<u64>,
    /// Parked events.
    pub parked: u64,
    /// Rejected events passed over since the start.
    pub skipped: u64,
    /// New instances after a failure since the start.
    pub restarts: u64,
    /// Versions that took charge since the start.
    pub swaps: u64,
    /// Milliseconds that the last swap held the sink up, calls of the guests included.
    pub swap_pause_ms: Option<f64>,
    /// sha256 of the component.
    pub digest: Option<String>,
    /// Fuel and memory of the last event and the worst one, and calls, of this instance.
    pub usage: Usage,
}

/// What a sink's task keeps up to date and others look at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    pub(super) status: SinkStatus,
    /// Events of the log up to the last one taken.
    pub(super) count: u64,
    /// The time of the last one taken.
    pub(super) time: Option<Time>,
    /// The last position taken.
    pub(super) taken: Option<Position>,
    pub(super) retry_at: Option<Instant>,
    rate: Rate,
}

impl Progress {
    pub(super) fn delivered(&mut self, events: u64) {
        self.status.delivered += events;
        self.rate.add(events);
    }

    /// The status now, beside the newest event of the stream.
    pub(super) fn now(&self, newest: Option<super::window::Newest>) -> SinkStatus {
        let mut status = self.status.clone();
        status.rate = self.rate.get();
        status.next_retry_ms = self.retry_at.map(|at| at.saturating_duration_since(Instant::now()).as_millis() as u64);
        status.lag_events = newest.map(|newest| newest.count.saturating_sub(self.count));
        status.lag_seconds = match (status.lag_events, newest.and_then(|newest| newest.time), self.time) {
            (Some(0), ..) => Some(0.0),
            (_, Some(newest), Some(taken)) => Some((newest.seconds - taken.seconds).max(0) as f64),
            _ => None,
        };
        status
    }
}

/// Counts over the current stretch of time and the one before.
#[derive(Clone, Debug)]
struct Rate {
    since: Instant,
    current: u64,
    before: u64,
}

impl Default for Rate {
    fn default() -> Self {
        Self { since: Instant::now(), current: 0, before: 0 }
    }
}

const STRETCH: Duration = Duration::from_secs(5);

impl Rate {
    fn add(&mut self, events: u64) {
        let elapsed = self.since.elapsed();
        if elapsed >= STRETCH {
            self.before = if elapsed < STRETCH * 2 { self.current } else { 0 };
            self.current = 0;
            self.since = Instant::now();
        }
        self.current += events;
    }

    fn get(&self) -> f64 {
        let elapsed = self.since.elapsed();
        if elapsed >= STRETCH * 2 {
            return 0.0;
        }
        let (events, stretch) = match self.before {
            0 => (self.current, elapsed.max(Duration::from_secs(1))),
            before => (before + self.current, elapsed + STRETCH),
        };
        events as f64 / stretch.as_secs_f64()
    }
}
