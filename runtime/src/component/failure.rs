//! How a component's call can end badly, told apart so that the operator knows what to do.

use std::fmt;
use std::time::Duration;

use wasmtime::{Trap, WasmBacktrace};

use super::printable::printable;
use crate::sink_store::PostMortem;

/// A call into a component ended in a trap or was cut off. The instance is gone.
#[derive(Debug)]
pub struct GuestFailure {
    /// What happened.
    pub kind: FailureKind,
    /// Functions of the guest on the stack, innermost first, where known.
    pub frames: Vec<String>,
    /// Fuel used by the call.
    pub fuel_used: u64,
    /// Linear memory of the instance, in bytes.
    pub memory: usize,
}

/// What ended a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// A limit was broken; `allowed` is how much there was, in words.
    Limit {
        /// The limit's name, which is also the parameter that raises it.
        name: &'static str,
        /// What was allowed.
        allowed: String,
    },
    /// The guest trapped on its own.
    Trap {
        /// wasmtime's words.
        message: String,
    },
    /// The instance ended in an earlier failure.
    Gone,
}

impl GuestFailure {
    /// The host could not even begin.
    pub(super) fn of_host(error: &wasmtime::Error) -> Self {
        let kind = FailureKind::Trap { message: error.to_string() };
        Self { kind, frames: Vec::new(), fuel_used: 0, memory: 0 }
    }
}

impl fmt::Display for GuestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            FailureKind::Limit { name, allowed } => {
                write!(f, "broke its limit on {name} ({allowed}; a larger one can be given with {name}=)")?;
            }
            FailureKind::Trap { message } => write!(f, "trapped: {message}")?,
            FailureKind::Gone => return f.write_str("its instance ended in an earlier failure"),
        }
        if !self.frames.is_empty() {
            write!(f, ", in {}", self.frames.join(" < "))?;
        }
        write!(f, " (fuel used {}, memory {} bytes)", self.fuel_used, self.memory)
    }
}

impl std::error::Error for GuestFailure {}

impl From<&GuestFailure> for PostMortem {
    fn from(failure: &GuestFailure) -> Self {
        let limit = match &failure.kind {
            FailureKind::Limit { name, .. } => Some((*name).to_owned()),
            _ => None,
        };
        Self { limit, functions: failure.frames.clone(), fuel_used: failure.fuel_used, memory: failure.memory as u64 }
    }
}

/// What limits were in force during a call, to name the one that broke.
pub(super) struct InForce {
    pub(super) fuel: (&'static str, u64),
    pub(super) time: (&'static str, Duration),
    /// Bytes copied out of the guest.
    pub(super) copies: (&'static str, u64),
    pub(super) stack: u64,
    pub(super) handles: u64,
    pub(super) random: u64,
    /// A limit of the store at which growth was refused.
    pub(super) refused: Option<(&'static str, u64)>,
}

/// Guest functions named in a report: enough to get from a panic's machinery to the guest's own code.
const FRAMES: usize = 16;

impl InForce {
    pub(super) fn timed_out(&self) -> FailureKind {
        let (name, allowed) = self.time;
        FailureKind::Limit { name, allowed: humantime::format_duration(allowed).to_string() }
    }

    /// Tells what an error of wasmtime means.
    pub(super) fn explain(&self, error: &wasmtime::Error) -> FailureKind {
        let limit = |name, allowed: u64| FailureKind::Limit { name, allowed: allowed.to_string() };
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => return limit(self.fuel.0, self.fuel.1),
            Some(Trap::StackOverflow) => return limit("stack", self.stack),
            Some(Trap::Interrupt) => return self.timed_out(),
            _ => {}
        }
        // These have no type of their own.
        let cause = error.root_cause().to_string();
        let cause = cause.strip_prefix("wasm trap: ").unwrap_or(&cause);
        if cause.contains("fuel allocated for hostcalls") {
            return limit(self.copies.0, self.copies.1);
        }
        if cause.contains("resource table has no free keys") {
            return limit("handles", self.handles);
        }
        if cause.starts_with("requested len") && cause.contains("exceeds limit") {
            return limit("random-bytes", self.random);
        }
        if let Some((name, allowed)) = self.refused {
            // A guest that cannot grow usually gives up with a trap of its own.
            return limit(name, allowed);
        }
        FailureKind::Trap { message: cause.to_owned() }
    }
}

/// The guest's functions on the stack when the error came up.
pub(super) fn frames(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let names = backtrace.frames().iter().filter_map(|frame| frame.func_name());
    names.take(FRAMES).map(|name| printable(&format!("{:#}", rustc_demangle::demangle(name)))).collect()
}
