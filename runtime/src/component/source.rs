//! A component as an [`EventSource`].

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::bindings::event_source::{self, SourceError as Said};
use super::convert;
use super::failure::GuestFailure;
use super::grants::{Grants, Need};
use super::host::{GuestLog, HostState, system_resolver};
use super::limits::Limits;
use super::manifest::Manifest;
use super::printable::printable;
use super::source_instance::{SourceComponent, SourceInstance};
use crate::backoff::Backoff;
use crate::event::{Position, StateEvent};
use crate::source::{EventSource, Next, Page, SourceError, check_format};
use crate::store::{BadLine, Finding, GivenLines, ReadError, ReadOptions};
use crate::stream::StreamFormat;

/// Events asked for in one page.
const PAGE_EVENTS: u32 = 1_000;

/// The longest token taken back, in bytes: a place in a source is a number or a name.
const MAX_TOKEN: usize = 64 * 1024;

/// The longest a source may ask to be left alone: a source that waits longer for itself is not asked what there is.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// How long to wait after a page that has nothing and asks for more at once.
const NO_EVENTS: Duration = Duration::from_millis(10);

/// How often a component may fail in a row before the source has failed.
const MAX_FAILURES: u32 = 5;

/// How long a source may take to become reachable at start.
const OPEN_PATIENCE: Duration = Duration::from_secs(60);

/// Reads from a component that exports `event-source`.
///
/// An instance that traps or breaks a limit is replaced by a fresh one, which is asked for fewer events at once; so an event that alone is
/// too much fails the source in the end. What it gives is read as the lines of a log file are.
#[derive(Debug)]
pub struct ComponentSource {
    description: String,
    format: StreamFormat,
    lines: GivenLines,
    history_end: Option<Position>,
    /// What was read with the last of history and comes after it.
    pending: Option<Page>,
    stopped: Option<BadLine>,
    state: State,
}

#[derive(Debug)]
enum State {
    Idle(Box<Connection>),
    /// A call that is dropped would leave its instance unusable, so it has a task of its own.
    Asking(JoinHandle<(Box<Connection>, Result<Got, SourceError>)>),
    Failed,
}

/// What asking came to.
#[derive(Debug)]
enum Got {
    Page(event_source::Page),
    /// Nothing yet: it cannot be reached, or has failed and is started anew.
    Later(Duration),
}

/// An instance and what it takes to start another.
#[derive(Debug)]
struct Connection {
    name: String,
    component: SourceComponent,
    limits: Limits,
    config: Vec<(String, String)>,
    grants: Grants,
    /// What the component cannot work without, once it was asked.
    needs: Option<Vec<Need>>,
    log: GuestLog,
    instance: Option<SourceInstance>,
    format: Option<StreamFormat>,
    token: Option<Vec<u8>>,
    events: u32,
    failures: u32,
    backoff: Backoff,
}

impl ComponentSource {
    /// A source that reads from this component. `path` is its file, `config` is given to it when it is opened, and it has what was granted as far as its
    /// manifest asks for it.
    pub fn new(
        path: &Path,
        component: SourceComponent,
        limits: Limits,
        config: Vec<(String, String)>,
        grants: Grants,
        options: ReadOptions,
    ) -> Self {
        let name = path.file_stem().map_or_else(|| "source".to_owned(), |stem| stem.to_string_lossy().into_owned());
        let connection = Connection {
            log: GuestLog::new(&name),
            name,
            component,
            limits,
            config,
            grants,
            needs: None,
            instance: None,
            format: None,
            token: None,
            events: PAGE_EVENTS,
            failures: 0,
            backoff: Backoff::default(),
        };
        Self {
            description: format!("component {}", path.display()),
            format: StreamFormat::state_event(),
            lines: GivenLines::new(path, options),
            history_end: None,
            pending: None,
            stopped: None,
            state: State::Idle(Box::new(connection)),
        }
    }

    /// Starts the component and asks for the format of its events, which is known from then on.
    ///
    /// # Errors
    ///
    /// If it fails, says that it cannot go on, or cannot be reached within a minute.
    pub async fn connect(&mut self) -> Result<(), SourceError> {
        let State::Idle(connection) = &mut self.state else { return Err(not_open()) };
        let start = Instant::now();
        while let Some(wait) = connection.connect().await? {
            connection.be_patient(start, wait).await?;
        }
        self.format = connection.format.clone().unwrap_or_else(StreamFormat::state_event);
        Ok(())
    }

    /// Asks for events, or waits for the answer to what was asked before.
    async fn ask(&mut self) -> Result<Got, SourceError> {
        let after = self.lines.last().map(|(last, _)| last);
        self.state = match std::mem::replace(&mut self.state, State::Failed) {
            State::Idle(mut connection) => State::Asking(tokio::spawn(async move {
                let got = connection.ask(after).await;
                (connection, got)
            })),
            other => other,
        };
        let State::Asking(asking) = &mut self.state else { return Err(not_open()) };
        let outcome = asking.await;
        self.state = State::Failed;
        let (connection, got) = outcome.map_err(|error| SourceError::Other(error.into()))?;
        let got = got?;
        check_format(&self.description, connection.format.as_ref(), &self.format)?;
        self.state = State::Idle(connection);
        Ok(got)
    }

    /// Reads the lines of a page.
    fn read(&mut self, page: event_source::Page) -> Result<Page, SourceError> {
        let (mut events, mut findings) = (Vec::new(), Vec::new());
        let outcome = self.lines.read(page.lines, &mut events, &mut findings);
        if let Err(bad) = outcome {
            if events.is_empty() {
                return Err(ReadError::BadLine(bad).into());
            }
            // What came before the bad line is given out first.
            self.stopped = Some(bad);
        }
        let next = match page.next {
            _ if self.stopped.is_some() => Next::More,
            event_source::Next::More if events.is_empty() => Next::Wait(NO_EVENTS),
            event_source::Next::More => Next::More,
            event_source::Next::Wait(millis) => {
                Next::Wait(Duration::from_millis(millis.into()).clamp(NO_EVENTS, MAX_WAIT))
            }
            event_source::Next::End => Next::End,
        };
        Ok(self.split(events, findings, next))
    }

    /// Tells history from what comes after it.
    fn split(&mut self, mut events: Vec<StateEvent>, findings: Vec<Finding>, next: Next) -> Page {
        let Some(end) = self.history_end else {
            return Page { events, findings, history: false, next, progress: None };
        };
        let live = events.split_off(events.partition_point(|event| event.position() <= end));
        let has_reached = !live.is_empty() || events.last().is_some_and(|last| last.position() >= end);
        // A source that says to wait has nothing more, whatever it said before.
        if has_reached || next != Next::More {
            self.history_end = None;
        }
        let page = |events, findings, history, next| Page { events, findings, history, next, progress: None };
        if live.is_empty() {
            return page(events, findings, true, next);
        }
        self.pending = Some(page(live, Vec::new(), false, next));
        page(events, findings, true, Next::More)
    }
}

#[async_trait]
impl EventSource for ComponentSource {
    fn describe(&self) -> String {
        self.description.clone()
    }

    fn format(&self) -> StreamFormat {
        self.format.clone()
    }

    async fn open(&mut self) -> Result<(), SourceError> {
        self.connect().await?;
        let State::Idle(connection) = &mut self.state else { return Err(not_open()) };
        let start = Instant::now();
        loop {
            match connection.bounds().await? {
                Ok(newest) => {
                    self.history_end = newest;
                    return Ok(());
                }
                Err(wait) => connection.be_patient(start, wait).await?,
            }
        }
    }

    async fn get_events(&mut self) -> Result<Page, SourceError> {
        if let Some(page) = self.pending.take() {
            return Ok(page);
        }
        if let Some(bad) = self.stopped.clone() {
            return Err(ReadError::BadLine(bad).into());
        }
        match self.ask().await? {
            Got::Page(page) => self.read(page),
            Got::Later(wait) => {
                let history = self.history_end.is_some();
                Ok(Page { events: Vec::new(), findings: Vec::new(), history, next: Next::Wait(wait), progress: None })
            }
        }
    }

    async fn close(&mut self) {
        if let State::Asking(asking) = &mut self.state {
            self.state = asking.await.map_or(State::Failed, |(connection, _)| State::Idle(connection));
        }
        if let State::Idle(connection) = &mut self.state
            && let Some(mut instance) = connection.instance.take()
            && let Err(failure) = instance.close().await
        {
            tracing::warn!("while closing the source component {}: {failure}", connection.name);
        }
    }
}

impl Connection {
    /// Starts and opens an instance, unless there is one; a wait if it cannot be reached or has failed.
    async fn connect(&mut self) -> Result<Option<Duration>, SourceError> {
        if self.instance.is_some() {
            return Ok(None);
        }
        if let Err(failure) = self.ask_manifest().await {
            return self.failed(failure).map(Some);
        }
        let state = self.state()?;
        let opened = match SourceInstance::start(&self.component, &self.limits, state).await {
            Ok(mut instance) => instance.open(&self.config).await.map(|opened| (instance, opened)),
            Err(failure) => Err(failure),
        };
        match opened {
            Ok((instance, Ok(format))) => {
                self.format = Some(StreamFormat { name: format.name, version: format.version });
                (self.instance, self.token) = (Some(instance), None);
                Ok(None)
            }
            Ok((_, Err(said))) => self.said(said, None).map(Some),
            Err(failure) => self.failed(failure).map(Some),
        }
    }

    /// Asks the component what it needs, in an instance that has no rights. It answers the same each time, so it is asked once.
    async fn ask_manifest(&mut self) -> Result<(), GuestFailure> {
        if self.needs.is_some() {
            return Ok(());
        }
        let state = HostState::bare(&self.limits, &self.log);
        let mut instance = SourceInstance::start(&self.component, &self.limits, state).await?;
        let Manifest { name, version, needs, .. } = instance.describe().await?.into();
        tracing::debug!("the source component {} is {name} {version}", self.name);
        self.needs = Some(needs);
        Ok(())
    }

    /// The state of an instance that has the rights that were granted and asked for.
    fn state(&self) -> Result<HostState, SourceError> {
        let needs = self.needs.as_deref().unwrap_or_default();
        let rights = self.grants.asked(needs, &self.name).map_err(|missing| self.refused(missing.to_string()))?;
        let state =
            HostState::new(&self.limits, &self.log, &rights, self.component.digest().seed(), &system_resolver());
        state.map_err(|error| self.refused(error.to_string()))
    }

    /// The newest position there is, or a wait.
    async fn bounds(&mut self) -> Result<Result<Option<Position>, Duration>, SourceError> {
        if let Some(wait) = self.connect().await? {
            return Ok(Err(wait));
        }
        let Some(instance) = &mut self.instance else { return Err(not_open()) };
        match instance.bounds().await {
            Ok(Ok(extent)) => Ok(Ok(extent.newest.map(convert::position))),
            Ok(Err(said)) => self.said(said, None).map(Err),
            Err(failure) => self.failed(failure).map(Err),
        }
    }

    /// Asks for events after a position.
    async fn ask(&mut self, after: Option<Position>) -> Result<Got, SourceError> {
        if let Some(wait) = self.connect().await? {
            return Ok(Got::Later(wait));
        }
        let Some(instance) = &mut self.instance else { return Err(not_open()) };
        match instance.get_events(after.map(convert::to_position), self.token.as_deref(), self.events).await {
            Ok(Ok(mut page)) => {
                if page.token.len() > MAX_TOKEN {
                    let message = format!("its token has {} bytes, more than the {MAX_TOKEN} taken", page.token.len());
                    return Err(self.refused(message));
                }
                self.token = Some(std::mem::take(&mut page.token));
                self.failures = 0;
                self.backoff.reset();
                self.events = self.events.saturating_mul(2).min(PAGE_EVENTS);
                Ok(Got::Page(page))
            }
            Ok(Err(said)) => self.said(said, after).map(Got::Later),
            Err(failure) => self.failed(failure).map(Got::Later),
        }
    }

    /// What to do about the component's own words: a wait, or an error.
    fn said(&mut self, said: Said, last: Option<Position>) -> Result<Duration, SourceError> {
        match said {
            Said::Retry(retry) => {
                let asked = retry.after_ms.map_or(Duration::ZERO, |millis| Duration::from_millis(millis.into()));
                tracing::warn!(
                    "the source component {} cannot reach its source: {}",
                    self.name,
                    printable(&retry.message)
                );
                Ok(self.backoff.wait().max(asked.min(MAX_WAIT)))
            }
            Said::Gap(oldest) => {
                let oldest = convert::position(oldest);
                Err(SourceError::Gap { name: format!("the source component {}", self.name), last, oldest })
            }
            Said::Fatal(message) => Err(self.refused(printable(&message))),
        }
    }

    /// Drops the instance; a wait before the next, which is asked for half as many events.
    fn failed(&mut self, failure: GuestFailure) -> Result<Duration, SourceError> {
        self.log.report_dropped();
        (self.instance, self.token) = (None, None);
        self.failures += 1;
        self.events = (self.events / 2).max(1);
        if self.failures > MAX_FAILURES && self.events == 1 {
            let (name, failures) = (self.name.clone(), self.failures);
            return Err(SourceError::Component { name, failures, source: failure });
        }
        tracing::warn!("the source component {} {failure}; it is started again", self.name);
        Ok(self.backoff.wait())
    }

    /// Waits before the component is asked again, unless it was asked for too long.
    async fn be_patient(&mut self, start: Instant, wait: Duration) -> Result<(), SourceError> {
        if start.elapsed() + wait > OPEN_PATIENCE {
            return Err(self.refused(format!("it cannot be reached within {OPEN_PATIENCE:?}")));
        }
        sleep(wait).await;
        Ok(())
    }

    fn refused(&self, message: String) -> SourceError {
        SourceError::Refused { name: self.name.clone(), message }
    }
}

fn not_open() -> SourceError {
    SourceError::Other("the source component is not open, or it failed before".into())
}
