//! `file:` as a source: hydra-node's log, read beside the node and followed.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{EventSource, Next, Page, Progress, SourceError};
use crate::store::{LogReader, ReadError, ReadOptions, ReadPage};
use crate::stream::StreamFormat;

/// How long to wait before looking again for what was appended. Looking costs two system calls.
const POLL: Duration = Duration::from_millis(20);

type Reading = JoinHandle<(LogReader, Result<ReadPage, ReadError>)>;

/// Reads a log with its rotated files and follows it. Nothing is ever written.
///
/// Files are read on a thread of their own, one page ahead of delivery.
#[derive(Debug)]
pub struct FileSource {
    path: PathBuf,
    options: ReadOptions,
    state: State,
}

#[derive(Debug)]
enum State {
    Closed,
    Idle(Box<LogReader>),
    Reading(Reading),
}

impl FileSource {
    /// The log whose live file is at `path`.
    pub fn new(path: impl Into<PathBuf>, options: ReadOptions) -> Self {
        Self { path: path.into(), options, state: State::Closed }
    }
}

fn start_reading(mut reader: LogReader) -> Reading {
    spawn_blocking(move || {
        let page = reader.read_page();
        (reader, page)
    })
}

#[async_trait]
impl EventSource for FileSource {
    fn describe(&self) -> String {
        format!("file {}", self.path.display())
    }

    fn format(&self) -> StreamFormat {
        StreamFormat::state_event()
    }

    async fn open(&mut self) -> Result<(), SourceError> {
        let (path, options) = (self.path.clone(), self.options.clone());
        let reader = spawn_blocking(move || LogReader::open(path, options)).await;
        self.state = State::Idle(Box::new(reader.map_err(|error| SourceError::Other(error.into()))??));
        Ok(())
    }

    async fn get_events(&mut self) -> Result<Page, SourceError> {
        // The reading task stays in `state` while it is awaited, so a call that is dropped loses nothing.
        self.state = match std::mem::replace(&mut self.state, State::Closed) {
            State::Idle(reader) => State::Reading(start_reading(*reader)),
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
            false => State::Idle(Box::new(reader)),
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
