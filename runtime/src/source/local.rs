//! `file:` and `sqlite:` as sources: the log that a node keeps on this machine, read beside the node and followed.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{EventSource, Next, Page, Progress, SourceError, check_format};
use crate::store::{LocalLog, ReadError, ReadLog, ReadOptions, ReadPage};
use crate::stream::StreamFormat;

/// How long to wait before looking again for what was appended. Looking costs a few system calls.
const POLL: Duration = Duration::from_millis(20);

type Reading = JoinHandle<(Box<dyn ReadLog>, Result<ReadPage, ReadError>)>;

/// Reads a log with what its rotations leave behind, and follows it. Nothing is ever written.
///
/// Files are read on a thread of their own, one page ahead of delivery.
#[derive(Debug)]
pub struct LocalSource {
    log: LocalLog,
    options: ReadOptions,
    format: StreamFormat,
    state: State,
}

#[derive(Debug)]
enum State {
    Closed,
    Idle(Box<dyn ReadLog>),
    Reading(Reading),
}

impl LocalSource {
    /// The log at this place, whose events are of this format: [`LocalLog::format`] tells it.
    pub fn new(log: LocalLog, format: StreamFormat, options: ReadOptions) -> Self {
        Self { log, options, format, state: State::Closed }
    }

    /// The log on files whose live file is at `path`.
    pub fn file(path: impl Into<PathBuf>, options: ReadOptions) -> Self {
        Self::new(LocalLog::File(path.into()), StreamFormat::state_event(), options)
    }
}

fn start_reading(mut reader: Box<dyn ReadLog>) -> Reading {
    spawn_blocking(move || {
        let page = reader.read_page();
        (reader, page)
    })
}

#[async_trait]
impl EventSource for LocalSource {
    fn describe(&self) -> String {
        self.log.to_string()
    }

    fn format(&self) -> StreamFormat {
        self.format.clone()
    }

    async fn open(&mut self) -> Result<(), SourceError> {
        let (log, options) = (self.log.clone(), self.options.clone());
        let reader = spawn_blocking(move || log.open(options)).await;
        let reader = reader.map_err(|error| SourceError::Other(error.into()))??;
        check_format(&self.describe(), reader.format().as_ref(), &self.format)?;
        self.state = State::Idle(reader);
        Ok(())
    }

    async fn get_events(&mut self) -> Result<Page, SourceError> {
        // The reading task stays in `state` while it is awaited, so a call that is dropped loses nothing.
        self.state = match std::mem::replace(&mut self.state, State::Closed) {
            State::Idle(reader) => State::Reading(start_reading(reader)),
            other => other,
        };
        let State::Reading(reading) = &mut self.state else {
            return Err(SourceError::Other("the source is not open, or it failed before".into()));
        };
        let outcome = reading.await;
        self.state = State::Closed;
        let (reader, page) = outcome.map_err(|error| SourceError::Other(error.into()))?;
        let page = page?;
        let (done, total) = reader.progress();
        self.state = match page.history {
            true => State::Reading(start_reading(reader)),
            false => State::Idle(reader),
        };
        Ok(Page {
            next: if page.caught_up { Next::Wait(POLL) } else { Next::More },
            events: page.events,
            findings: page.findings,
            history: page.history,
            progress: Some(Progress { done, total }),
        })
    }
}
