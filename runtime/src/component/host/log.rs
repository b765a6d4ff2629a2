//! `hydrant:events/log`: structured log lines.

use std::fmt::Write;

use tracing::Level;

use super::guest_log::GuestLog;
use crate::component::bindings::log::{Host, Level as GuestLevel};

impl Host for GuestLog {
    fn log(&mut self, level: GuestLevel, mut message: String, fields: Vec<(String, String)>) {
        for (name, value) in fields {
            // Writing to a string cannot fail.
            let _ = write!(message, " {name}={value:?}");
        }
        let level = match level {
            GuestLevel::Trace => Level::TRACE,
            GuestLevel::Debug => Level::DEBUG,
            GuestLevel::Info => Level::INFO,
            GuestLevel::Warn => Level::WARN,
            GuestLevel::Error => Level::ERROR,
        };
        for line in message.lines() {
            self.line(level, line);
        }
    }
}
