//! The progress bar, and standard error beside it.

use std::io::{IsTerminal, Write, stderr};
use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};

/// The bar on the screen now: lines on standard error are written around it.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

fn shown() -> std::sync::MutexGuard<'static, Option<ProgressBar>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes to standard error without spoiling the bar. If standard error is closed there is nobody to tell.
pub(super) fn write_stderr(text: &str) {
    let write = || {
        let _ = stderr().write_all(text.as_bytes());
    };
    match &*shown() {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// A bar for long work; shown on a terminal only, removed when dropped.
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    pub(super) fn bytes(what: &'static str) -> Self {
        Self::new(what, "{prefix} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}")
    }

    fn new(what: &'static str, template: &str) -> Self {
        if !stderr().is_terminal() {
            return Self(None);
        }
        let style = ProgressStyle::with_template(template);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(0).with_style(style).with_prefix(what);
        *shown() = Some(bar.clone());
        Self(Some(bar))
    }

    pub(super) fn count(what: &'static str) -> Self {
        Self::new(what, "{prefix} {bar:30} {pos}/{len} {per_sec} {eta}")
    }

    /// A bar for forms of output that a bar would spoil: none.
    pub(super) fn none() -> Self {
        Self(None)
    }

    pub(super) fn set(&self, done: u64, total: u64, message: impl FnOnce() -> String) {
        if let Some(bar) = &self.0 {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(message());
        }
    }

    /// Removes the bar from the screen.
    pub(super) fn finish(&mut self) {
        if let Some(bar) = self.0.take() {
            *shown() = None;
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}
