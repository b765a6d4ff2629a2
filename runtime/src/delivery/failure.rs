//! A sink that failed: which, at what, why.

use std::error::Error;
use std::fmt;

use crate::event::Position;
use crate::sink::SinkError;

/// What a sink was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doing {
    /// To open.
    Open,
    /// To take an event.
    Put {
        /// Its position.
        position: Position,
        /// Its tag.
        tag: String,
    },
    /// To flush what it accepted, up to this position.
    Flush {
        /// The last position accepted.
        up_to: Position,
    },
    /// To save or restore its state at a swap.
    Handover,
    /// To close.
    Close,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("to open"),
            Self::Put { position, tag } => write!(f, "at event {position} ({tag})"),
            Self::Flush { up_to } => write!(f, "to flush the events up to {up_to}"),
            Self::Handover => f.write_str("to hand its state over"),
            Self::Close => f.write_str("to close"),
        }
    }
}

/// A sink failed. On the inline lane this ends the process; on the detached lane if `on-failure=terminate` says so.
#[derive(Debug)]
pub struct SinkFailure {
    /// The sink's name.
    pub sink: String,
    /// What it was asked to do.
    pub doing: Doing,
    /// What it answered.
    pub error: SinkError,
    /// The last lines it wrote to its log.
    pub log_tail: Vec<String>,
}

impl fmt::Display for SinkFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sink {:?} failed {}", self.sink, self.doing)
    }
}

impl Error for SinkFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}
