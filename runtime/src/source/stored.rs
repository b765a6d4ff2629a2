//! A remote source with an event store of our own: what it gives is durable here before any sink sees it.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tokio::task::{JoinHandle, spawn_blocking};

use super::local::LocalSource;
use super::resume::Resume;
use super::{EventSource, Next, Page, SourceError};
use crate::event::{Position, StateEvent};
use crate::store::{LineForm, LocalLog, ReadOptions, SegmentError, Segments, has_segments, live_segment};
use crate::stream::StreamFormat;

/// Gives what is in the store, and then what a source has beyond it, which is stored first.
///
/// The source gives its history from its start. In it the last event stored is looked up: a source that does not have it any more has a gap,
/// one that has another in its place has diverged.
#[derive(Debug)]
pub struct StoredSource {
    inner: Box<dyn EventSource>,
    folder: PathBuf,
    options: ReadOptions,
    max: u64,
    resume: Resume,
    last: Option<Position>,
    in_history: bool,
    phase: Phase,
    /// Read, and being stored.
    waiting: Option<Page>,
}

#[derive(Debug)]
enum Phase {
    /// Gives what is stored.
    Stored(Box<LocalSource>),
    /// Opens the store for appending.
    Opening(JoinHandle<Result<Segments, SegmentError>>),
    Idle(Segments),
    Storing(JoinHandle<(Segments, Result<(), SegmentError>)>),
    Closed,
}

/// How the lines of a store are read.
pub(crate) fn read_options(format: &StreamFormat, options: &ReadOptions) -> ReadOptions {
    let form = if *format == StreamFormat::server_output() { LineForm::ServerOutput } else { LineForm::StateEvent };
    ReadOptions { form, ..options.clone() }
}

impl StoredSource {
    /// A source whose events are kept in a folder, in up to `max` bytes.
    pub fn new(inner: Box<dyn EventSource>, folder: &Path, options: &ReadOptions, max: u64) -> Self {
        let options = read_options(&inner.format(), options);
        let (resume, phase) = (Resume::default(), Phase::Closed);
        Self {
            inner,
            folder: folder.to_owned(),
            options,
            max,
            resume,
            last: None,
            in_history: true,
            phase,
            waiting: None,
        }
    }

    /// A reader of a store alone, for sinks that are behind.
    pub fn reader(folder: &Path, format: &StreamFormat, options: &ReadOptions) -> Box<dyn EventSource> {
        let log = LocalLog::File(live_segment(folder));
        Box::new(LocalSource::new(log, format.clone(), read_options(format, options)))
    }

    fn failed(&self, source: SegmentError) -> SourceError {
        SourceError::Store { path: live_segment(&self.folder), source: source.into() }
    }

    /// Everything stored was given: from here on the source is asked.
    fn begin(&mut self) {
        let (folder, options, last, max) = (self.folder.clone(), self.options.clone(), self.last, self.max);
        self.phase = Phase::Opening(spawn_blocking(move || Segments::open(&folder, options, last, max)));
        self.resume.begin();
    }

    /// Leaves out what is stored already.
    fn fresh(&mut self, events: Vec<StateEvent>, history: bool) -> Result<Vec<StateEvent>, SourceError> {
        let name = self.inner.describe();
        let mut fresh = Vec::with_capacity(events.len());
        for event in events {
            fresh.extend(self.resume.take(event, true, &name)?);
        }
        if !history && std::mem::take(&mut self.in_history) {
            self.resume.end(&name)?;
        }
        Ok(fresh)
    }

    /// Waits until the store is open, and what is being stored durable. Both go on if the wait is dropped.
    async fn settle(&mut self) -> Result<(), SourceError> {
        let outcome = match &mut self.phase {
            Phase::Opening(opening) => opening.await.map(|opened| opened.map(|segments| (segments, Ok(())))),
            Phase::Storing(storing) => storing.await.map(Ok),
            _ => return Ok(()),
        };
        self.phase = Phase::Closed;
        let settled = outcome.map_err(|error| SourceError::Other(error.into()))?;
        let (segments, stored) = settled.map_err(|error| self.failed(error))?;
        stored.map_err(|error| self.failed(error))?;
        self.phase = Phase::Idle(segments);
        Ok(())
    }

    fn store(&mut self, events: Vec<StateEvent>) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Idle(mut segments) => Phase::Storing(spawn_blocking(move || {
                let outcome = segments.store(&events);
                (segments, outcome)
            })),
            other => other,
        };
    }
}

#[async_trait]
impl EventSource for StoredSource {
    fn describe(&self) -> String {
        format!("{}, kept in {}", self.inner.describe(), self.folder.display())
    }

    fn format(&self) -> StreamFormat {
        self.inner.format()
    }

    async fn open(&mut self) -> Result<(), SourceError> {
        let io =
            |source: std::io::Error| SourceError::Store { path: live_segment(&self.folder), source: source.into() };
        if has_segments(&self.folder).map_err(io)? {
            let mut stored = LocalSource::file(live_segment(&self.folder), self.options.clone());
            stored.open().await?;
            self.phase = Phase::Stored(Box::new(stored));
        } else {
            self.begin();
        }
        self.inner.open().await
    }

    async fn get_events(&mut self) -> Result<Page, SourceError> {
        if let Phase::Stored(stored) = &mut self.phase {
            let page = stored.get_events().await?;
            if page.history {
                page.events.iter().for_each(|event| self.resume.note(event));
                self.last = page.events.last().map(StateEvent::position).or(self.last);
                return Ok(Page { next: Next::More, ..page });
            }
            self.begin();
        }
        if self.waiting.is_none() {
            self.settle().await?;
            let mut page = self.inner.get_events().await?;
            page.events = self.fresh(page.events, page.history)?;
            if page.events.is_empty() {
                return Ok(page);
            }
            self.store(page.events.clone());
            self.waiting = Some(page);
        }
        self.settle().await?;
        self.waiting.take().ok_or_else(|| SourceError::Other("the source failed before".into()))
    }

    async fn close(&mut self) {
        self.inner.close().await;
    }
}
