//! What a detached sink is to do when things go wrong, and how much it is put at once. All of it is given in the sink's URI.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::filter::TagFilter;
use super::flush_policy::FlushPolicy;
use crate::event::Position;

/// What happens to an event that the sink rejects (`on-reject`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnReject {
    /// It is put aside, to be looked at and put again.
    #[default]
    Park,
    /// It is passed over and counted.
    Skip,
    /// The sink stops.
    Stop,
}

/// What the failure of a sink means for the others (`on-failure`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// Only that sink stops.
    #[default]
    Stop,
    /// The process ends, as ADR 29 has it.
    Terminate,
}

/// What to do when the source's history is not the one that the cursor is a place in (`on-divergence`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDivergence {
    /// The process ends with a report.
    #[default]
    Stop,
    /// From the last event in common on, everything is put again, as another epoch.
    Redeliver,
}

/// What to do when the source no longer reaches back to the cursor (`on-gap`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnGap {
    /// The process ends with a report.
    #[default]
    Stop,
    /// The sink goes on at the oldest event there is.
    Continue,
}

/// Where a sink begins that has no cursor yet (`from`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum From {
    /// At the source's oldest event.
    #[default]
    Oldest,
    /// After what is in the source at start.
    Now,
    /// At this position.
    At(Position),
}

/// A text that names none of the choices.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, not {found:?}")]
pub struct ChoiceError {
    expected: &'static str,
    found: String,
}

macro_rules! choice {
    ($type:ty, $expected:literal, $($text:literal => $value:expr),+) => {
        impl FromStr for $type {
            type Err = ChoiceError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok($value),)+
                    other => Err(ChoiceError { expected: $expected, found: other.to_owned() }),
                }
            }
        }
    };
}

choice!(OnReject, "park, skip or stop", "park" => Self::Park, "skip" => Self::Skip, "stop" => Self::Stop);
choice!(OnFailure, "stop or terminate", "stop" => Self::Stop, "terminate" => Self::Terminate);
choice!(OnDivergence, "stop or redeliver", "stop" => Self::Stop, "redeliver" => Self::Redeliver);
choice!(OnGap, "stop or continue", "stop" => Self::Stop, "continue" => Self::Continue);

impl FromStr for From {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "oldest" => Ok(Self::Oldest),
            "now" => Ok(Self::Now),
            other => other
                .parse()
                .map(Self::At)
                .map_err(|_| ChoiceError { expected: "oldest, now, ID or ID:checkpoint", found: other.to_owned() }),
        }
    }
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oldest => f.write_str("oldest"),
            Self::Now => f.write_str("now"),
            Self::At(position) => position.fmt(f),
        }
    }
}

/// How a detached sink is driven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachedPolicy {
    /// When accepted events are flushed.
    pub flush: FlushPolicy,
    /// Which events it is put.
    pub filter: TagFilter,
    /// Most events in one call.
    pub batch_events: usize,
    /// Bytes of json after which a call takes no further event.
    pub batch_bytes: usize,
    /// Where it begins without a cursor.
    pub from: From,
    /// What happens to rejected events.
    pub on_reject: OnReject,
    /// What its failure means.
    pub on_failure: OnFailure,
    /// What to do about rewritten history.
    pub on_divergence: OnDivergence,
    /// What to do about missing history.
    pub on_gap: OnGap,
    /// Calls after which the instance is replaced by a fresh one.
    pub recycle_calls: u64,
    /// Bytes of linear memory after which the instance is replaced by a fresh one.
    pub recycle_memory: u64,
    /// How long after a swap a failure returns to the version before.
    pub swap_watch: Duration,
}

impl DetachedPolicy {
    /// Most events in one call: an index of a batch's tags has 16 bits.
    pub const MAX_BATCH_EVENTS: usize = 65_536;
    /// Most bytes in one call: they are held twice, in the page and in the batch.
    pub const MAX_BATCH_BYTES: usize = 64 << 20;
    /// Most calls before an instance is replaced.
    pub const MAX_RECYCLE_CALLS: u64 = 1 << 40;
    /// Longest watch over a swap: a day.
    pub const MAX_SWAP_WATCH: Duration = Duration::from_secs(24 * 3600);
}

impl Default for DetachedPolicy {
    /// Batches of 1,000 events or 256 KiB, fresh instances after a million calls or 96 MiB of memory, swaps watched for a minute.
    fn default() -> Self {
        Self {
            flush: FlushPolicy::default(),
            filter: TagFilter::default(),
            batch_events: 1_000,
            batch_bytes: 256 << 10,
            from: From::default(),
            on_reject: OnReject::default(),
            on_failure: OnFailure::default(),
            on_divergence: OnDivergence::default(),
            on_gap: OnGap::default(),
            recycle_calls: 1_000_000,
            recycle_memory: 96 << 20,
            swap_watch: Duration::from_secs(60),
        }
    }
}
