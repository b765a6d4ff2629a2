//! How long to wait before trying again.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// The first wait.
const FIRST: Duration = Duration::from_millis(10);

/// The longest wait before jitter: a target that comes back is found within a minute.
const LONGEST: Duration = Duration::from_secs(30);

/// Waits that double from 10 ms to 30 s, each with up to as much again of jitter, so that sinks of one target do not come all at once.
#[derive(Debug, Default)]
pub(crate) struct Backoff(Option<ExponentialBackoff>);

impl Backoff {
    /// The next wait is the first again.
    pub(crate) fn reset(&mut self) {
        self.0 = None;
    }

    /// The next wait.
    pub(crate) fn wait(&mut self) -> Duration {
        self.0.get_or_insert_with(delays).next().unwrap_or(LONGEST)
    }
}

fn delays() -> ExponentialBackoff {
    let delays = ExponentialBuilder::new().with_min_delay(FIRST).with_max_delay(LONGEST);
    delays.with_factor(2.0).with_jitter().without_max_times().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_bound() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..20).map(|_| backoff.wait()).collect();
        for (number, wait) in waits.iter().enumerate() {
            let least = FIRST.saturating_mul(1 << number).min(LONGEST);
            assert!((least..=least * 2).contains(wait), "wait {number} is {wait:?}");
        }
    }
}
