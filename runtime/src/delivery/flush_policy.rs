//! When accepted events are flushed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

/// A sink is flushed as soon as one of these is reached by what it accepted since the last flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushPolicy {
    /// This many events.
    pub events: u64,
    /// This many bytes of json.
    pub bytes: u64,
    /// The first of them has waited this long, also when no further event comes.
    pub interval: Duration,
}

impl FlushPolicy {
    /// Most events that may wait: what a crash makes the next start put again.
    pub const MAX_EVENTS: u64 = 1_000_000;
    /// Most bytes that may wait, for the same reason.
    pub const MAX_BYTES: u64 = 1 << 30;
    /// Shortest interval: below it the flushes themselves are the load.
    pub const MIN_INTERVAL: Duration = Duration::from_millis(1);
    /// Longest interval: an hour.
    pub const MAX_INTERVAL: Duration = Duration::from_secs(3600);
}

impl Default for FlushPolicy {
    /// 1,000 events, 1 MiB, 1 second.
    fn default() -> Self {
        Self { events: 1_000, bytes: 1 << 20, interval: Duration::from_secs(1) }
    }
}

impl fmt::Display for FlushPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}B,{}", self.events, self.bytes, humantime::format_duration(self.interval))
    }
}

/// A text that is no flush policy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{part:?} is neither a number of events (1 to 1000000), nor bytes (1B to 1GiB, such as 1MiB), nor a time (1ms to 1h, such as 1s)"
)]
pub struct FlushPolicyError {
    part: String,
}

impl FromStr for FlushPolicy {
    type Err = FlushPolicyError;

    /// Reads `1000,1MiB,1s`; what is left out keeps its default.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut policy = Self::default();
        for part in text.split(',') {
            let part = part.trim();
            let known = policy.set_events(part) || policy.set_interval(part) || policy.set_bytes(part);
            if !known {
                return Err(FlushPolicyError { part: part.to_owned() });
            }
        }
        Ok(policy)
    }
}

impl FlushPolicy {
    fn set_events(&mut self, part: &str) -> bool {
        let events = part.parse().ok().filter(|events| (1..=Self::MAX_EVENTS).contains(events));
        events.map(|events| self.events = events).is_some()
    }

    fn set_interval(&mut self, part: &str) -> bool {
        let range = Self::MIN_INTERVAL..=Self::MAX_INTERVAL;
        let interval = humantime::parse_duration(part).ok().filter(|interval| range.contains(interval));
        interval.map(|interval| self.interval = interval).is_some()
    }

    fn set_bytes(&mut self, part: &str) -> bool {
        let bytes = part.parse::<ByteSize>().ok().map(|size| size.as_u64());
        let bytes = bytes.filter(|bytes| part.parse::<u64>().is_err() && (1..=Self::MAX_BYTES).contains(bytes));
        bytes.map(|bytes| self.bytes = bytes).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_by_their_unit_and_may_be_left_out() {
        let policy: FlushPolicy = "50,2KiB,250ms".parse().unwrap();
        assert_eq!(policy, FlushPolicy { events: 50, bytes: 2048, interval: Duration::from_millis(250) });
        assert_eq!("1".parse::<FlushPolicy>().unwrap(), FlushPolicy { events: 1, ..FlushPolicy::default() });
        assert_eq!(FlushPolicy::default().to_string().parse::<FlushPolicy>().unwrap(), FlushPolicy::default());
    }

    #[test]
    fn bounds_are_taken_and_what_lies_outside_is_refused() {
        for text in ["1", "1000000", "1B", "1GiB", "1ms", "1h"] {
            assert!(text.parse::<FlushPolicy>().is_ok(), "{text}");
        }
        for text in ["0", "1000001", "0B", "2GiB", "0ms", "2h", "", "x", "-1", "1,,2"] {
            assert!(text.parse::<FlushPolicy>().is_err(), "{text}");
        }
    }
}
