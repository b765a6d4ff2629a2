//! `file:` as a sink: a log of our own, in the form that hydra-node reads.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::path::PathBuf;

use async_trait::async_trait;
use tokio::task::spawn_blocking;

use super::{Ack, CloseReason, Delivery, EventSink, OpenInfo, Opened, SinkError};
use crate::event::{Position, StateEvent};
use crate::store::{DiskFile, LogAppender, LogReader, ReadLog, ReadOptions, own};
use crate::stream::StreamFormat;

/// Appends each event's json to a file, durable after a flush.
///
/// What the file holds already is recognised by position: the same bytes are passed over, other bytes are an error. The file is
/// locked while the sink is open, and never in a folder in which a hydra-node keeps its state.
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    appender: Option<LogAppender<DiskFile>>,
    /// Reads what the file held at open, in step with the events that are put again.
    held: Option<Held>,
}

impl FileSink {
    /// A sink that appends to the file at `path`, which is created if it is missing.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), appender: None, held: None }
    }

    /// Compares an event that the file should hold with what it holds.
    fn compare(&mut self, event: &StateEvent) -> Result<(), SinkError> {
        let position = event.position();
        let held = match self.held.take().filter(|held| held.passed.is_none_or(|passed| passed < position)) {
            Some(held) => self.held.insert(held),
            None => self.held.insert(Held::open(&self.path)?),
        };
        match held.find(position)? {
            Some(there) if there.json() == event.json() => Ok(()),
            Some(there) => {
                let (there, put) = (there.hash(), event.hash());
                Err(SinkError::Conflict { position, there, put })
            }
            None => Err(SinkError::Rejected {
                message: format!(
                    "{} has no event {position}, though it goes on behind it; an event cannot be put in between",
                    self.path.display()
                ),
            }),
        }
    }
}

#[async_trait]
impl EventSink for FileSink {
    fn describe(&self) -> String {
        format!("file {}", self.path.display())
    }

    async fn open(&mut self, info: &OpenInfo) -> Result<Opened, SinkError> {
        if info.stream.format != StreamFormat::state_event() {
            let message = format!("a file sink takes {} only, not {}", StreamFormat::state_event(), info.stream.format);
            return Err(SinkError::Fatal { message });
        }
        // Opened once more after a call that was cut off: the lock of before goes first.
        (self.appender, self.held) = (None, None);
        let path = self.path.clone();
        let appender = spawn_blocking(move || own(&path)).await.map_err(SinkError::target)?;
        let appender = appender.map_err(SinkError::target)?;
        let opened = appender.last().map_or(Opened::Beginning, Opened::After);
        self.appender = Some(appender);
        Ok(opened)
    }

    async fn put_event(&mut self, event: &StateEvent, _delivery: Delivery) -> Result<Ack, SinkError> {
        let Some(appender) = &mut self.appender else { return Err(not_open()) };
        if appender.last().is_some_and(|last| event.position() <= last) {
            // An event that was put in this run may still be in the appender's buffer.
            appender.commit().map_err(SinkError::target)?;
            self.compare(event)?;
            return Ok(Ack::Durable);
        }
        appender.append(event).map_err(SinkError::target)?;
        Ok(Ack::Accepted)
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        let mut appender = self.appender.take().ok_or_else(not_open)?;
        let committed = spawn_blocking(move || {
            let committed = appender.commit();
            (appender, committed)
        });
        let (appender, committed) = committed.await.map_err(SinkError::target)?;
        self.appender = Some(appender);
        committed.map_err(SinkError::target)
    }

    async fn close(&mut self, _reason: CloseReason) -> Result<(), SinkError> {
        self.appender = None;
        self.held = None;
        Ok(())
    }
}

fn not_open() -> SinkError {
    SinkError::target("the file sink is not open")
}

/// Walks through what a log holds.
#[derive(Debug)]
struct Held {
    reader: LogReader,
    ahead: VecDeque<StateEvent>,
    passed: Option<Position>,
}

impl Held {
    fn open(path: &PathBuf) -> Result<Self, SinkError> {
        let reader = LogReader::open(path, ReadOptions::default()).map_err(SinkError::target)?;
        Ok(Self { reader, ahead: VecDeque::new(), passed: None })
    }

    /// The event at a position, which must come after the one asked for last.
    fn find(&mut self, position: Position) -> Result<Option<StateEvent>, SinkError> {
        loop {
            while let Some(event) = self.ahead.pop_front() {
                match event.position().cmp(&position) {
                    Ordering::Less => {}
                    Ordering::Equal => {
                        self.passed = Some(position);
                        return Ok(Some(event));
                    }
                    Ordering::Greater => {
                        self.ahead.push_front(event);
                        return Ok(None);
                    }
                }
            }
            let Some(page) = self.reader.read_history().map_err(SinkError::target)? else { return Ok(None) };
            self.ahead.extend(page.events);
        }
    }
}
