//! A sink's own log: what it writes to standard output and error and through `hydrant:events/log`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::Level;

use crate::component::printable::printable;

/// Lines that pass in one second. More would push everything else out of the operator's log, and cost the host more than the guest.
pub(crate) const LINES_PER_SECOND: u32 = 10_000;

/// Bytes of one line; what is longer is cut. Enough for a message with a stack trace in one line.
pub(crate) const LINE_BYTES: usize = 8 * 1024;

/// Lines kept for the report of a failure.
pub(crate) const TAIL_LINES: usize = 20;

/// One sink's log. Clones write to the same log.
#[derive(Clone, Debug)]
pub(crate) struct GuestLog {
    sink: Arc<str>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    tail: VecDeque<String>,
    second: Option<Instant>,
    passed: u32,
    dropped: u64,
}

impl GuestLog {
    pub(crate) fn new(sink: &str) -> Self {
        let state = State { tail: VecDeque::with_capacity(TAIL_LINES), second: None, passed: 0, dropped: 0 };
        Self { sink: sink.into(), state: Arc::new(Mutex::new(state)) }
    }

    /// Whose log this is.
    pub(crate) fn sink(&self) -> &str {
        &self.sink
    }

    /// The last lines, whether they passed or were dropped.
    pub(crate) fn tail(&self) -> Vec<String> {
        self.lock().tail.iter().cloned().collect()
    }

    /// Writes one line.
    pub(super) fn line(&self, level: Level, line: &str) {
        let line = cut(line);
        let (passes, dropped) = self.lock().take(&line, Instant::now());
        self.report(dropped);
        if passes {
            self.emit(level, &line);
        }
    }

    /// Says how many lines were dropped, if any were and it has not been said.
    pub(crate) fn report_dropped(&self) {
        let dropped = std::mem::take(&mut self.lock().dropped);
        self.report(dropped);
    }

    fn report(&self, dropped: u64) {
        if dropped > 0 {
            tracing::warn!(
                sink = &*self.sink,
                "{dropped} lines of this sink's log were dropped: {LINES_PER_SECOND} a second pass"
            );
        }
    }

    fn emit(&self, level: Level, line: &str) {
        let sink = &*self.sink;
        match level {
            Level::ERROR => tracing::error!(sink, "{line}"),
            Level::WARN => tracing::warn!(sink, "{line}"),
            Level::INFO => tracing::info!(sink, "{line}"),
            Level::DEBUG => tracing::debug!(sink, "{line}"),
            Level::TRACE => tracing::trace!(sink, "{line}"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole after each of its methods, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the line passes, and how many were dropped before it in seconds now over.
    fn take(&mut self, line: &str, now: Instant) -> (bool, u64) {
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line.to_owned());
        let mut dropped = 0;
        if self.second.is_none_or(|second| now.duration_since(second) >= Duration::from_secs(1)) {
            self.second = Some(now);
            self.passed = 0;
            dropped = std::mem::take(&mut self.dropped);
        }
        let passes = self.passed < LINES_PER_SECOND;
        if passes {
            self.passed += 1;
        } else {
            self.dropped += 1;
        }
        (passes, dropped)
    }
}

/// The line within its bound.
fn cut(line: &str) -> String {
    let end = line.floor_char_boundary(LINE_BYTES);
    let mut kept = printable(line.get(..end).unwrap_or_default());
    if end < line.len() {
        kept.push_str(&format!("… ({} bytes more)", line.len() - end));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State { tail: VecDeque::new(), second: None, passed: 0, dropped: 0 }
    }

    #[test]
    fn ten_thousand_lines_pass_in_a_second_and_the_drops_are_counted() {
        let (mut state, start) = (state(), Instant::now());
        for _ in 0..LINES_PER_SECOND {
            assert_eq!(state.take("x", start), (true, 0));
        }
        assert_eq!(state.take("x", start), (false, 0));
        assert_eq!(state.take("x", start + Duration::from_millis(999)), (false, 0));
        assert_eq!(state.take("x", start + Duration::from_secs(1)), (true, 2));
        assert_eq!(state.take("x", start + Duration::from_secs(1)), (true, 0));
    }

    #[test]
    fn the_tail_keeps_the_last_lines() {
        let mut state = state();
        for number in 0..TAIL_LINES + 5 {
            state.take(&number.to_string(), Instant::now());
        }
        assert_eq!(state.tail.front().map(String::as_str), Some("5"));
        assert_eq!(state.tail.len(), TAIL_LINES);
    }

    #[test]
    fn a_long_line_is_cut_and_control_characters_are_replaced() {
        assert_eq!(cut(&"é".repeat(LINE_BYTES / 2)).len(), LINE_BYTES);
        assert!(cut(&"é".repeat(LINE_BYTES)).ends_with("bytes more)"));
        assert_eq!(cut("a\u{1b}[2Jb\tc"), "a\u{fffd}[2Jb\tc");
    }
}
