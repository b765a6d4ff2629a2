//! `stdout:`: one json line an event.

use std::io::{self, BufWriter, Stdout, Write};

use async_trait::async_trait;

use super::{Ack, CloseReason, Delivery, EventSink, OpenInfo, Opened, SinkError};
use crate::event::StateEvent;

/// Writes each event's json to standard output, followed by a newline: a log of hydra-node 0.21 or later comes out byte for byte as
/// it went in.
///
/// Events are accepted, and out after a flush.
#[derive(Debug)]
pub struct StdoutSink {
    output: BufWriter<Stdout>,
}

impl StdoutSink {
    /// There should be one of these at most.
    pub fn new() -> Self {
        Self { output: BufWriter::with_capacity(256 * 1024, io::stdout()) }
    }
}

impl Default for StdoutSink {
    fn default() -> Self {
        Self::new()
    }
}

/// Standard output could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
struct StdoutError(#[source] io::Error);

fn failed(error: io::Error) -> SinkError {
    SinkError::target(StdoutError(error))
}

#[async_trait]
impl EventSink for StdoutSink {
    fn describe(&self) -> String {
        "standard output".to_owned()
    }

    async fn open(&mut self, _info: &OpenInfo) -> Result<Opened, SinkError> {
        Ok(Opened::Cursor)
    }

    async fn put_event(&mut self, event: &StateEvent, _delivery: Delivery) -> Result<Ack, SinkError> {
        self.output.write_all(event.json().as_bytes()).and_then(|()| self.output.write_all(b"\n")).map_err(failed)?;
        Ok(Ack::Accepted)
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        self.output.flush().map_err(failed)
    }

    async fn close(&mut self, _reason: CloseReason) -> Result<(), SinkError> {
        self.flush().await
    }
}
