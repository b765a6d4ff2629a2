//! A guest's standard output and error become its log, line by line.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::AsyncWrite;
use tracing::Level;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::guest_log::{GuestLog, LINE_BYTES};

/// Bytes a guest may write in one call: well below what one call may copy out of a guest (limit `hostcall-bytes`), so that plain
/// printing never breaks that limit.
const PERMIT: usize = 16 * 1024;

/// Standard output or error of one instance. All streams made of it share one line in progress.
#[derive(Clone)]
pub(super) struct LogLines {
    shared: Arc<Shared>,
}

struct Shared {
    log: GuestLog,
    line: Mutex<Vec<u8>>,
}

impl LogLines {
    pub(super) fn new(log: &GuestLog) -> Self {
        Self { shared: Arc::new(Shared { log: log.clone(), line: Mutex::new(Vec::new()) }) }
    }
}

impl Shared {
    fn write(&self, bytes: &[u8]) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(part.strip_suffix(b"\n").unwrap_or(part));
            // A line without an end is given out in pieces, so that it does not grow in the host.
            if part.ends_with(b"\n") || line.len() >= LINE_BYTES {
                self.emit(&line);
                line.clear();
            }
        }
    }

    fn emit(&self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        self.log.line(Level::INFO, text.trim_end_matches('\r'));
    }
}

impl Drop for Shared {
    /// A last line without a newline is not lost.
    fn drop(&mut self) {
        let line = std::mem::take(self.line.get_mut().unwrap_or_else(PoisonError::into_inner));
        if !line.is_empty() {
            self.emit(&line);
        }
    }
}

impl IsTerminal for LogLines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogLines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this form, and it is not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for LogLines {
    async fn ready(&mut self) {}
}

impl OutputStream for LogLines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.shared.write(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}
