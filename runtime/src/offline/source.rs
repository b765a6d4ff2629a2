//! The offline head as an event source: what it gives was stepped by the head logic and is durable in its log.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;

use super::change::InitialHead;
use super::input::{Answers, Input, Origin};
use super::log::HeadLog;
use super::logic::HeadLogic;
use super::running::Running;
use super::stepper::Queued;
use crate::error_chain::chain;
use crate::event::StateEvent;
use crate::head::{HeadFold, HeadFollower, HeadState};
use crate::source::{EventSource, LocalSource, Next, Page, SourceError};
use crate::store::{Finding, ReadOptions};
use crate::stream::StreamFormat;

/// Inputs that may wait: a client that sends more has to wait itself.
pub const INPUTS: usize = 1_000;

/// Bytes of commands and transactions that may be under way, those that are to be tried again included; beyond that, who sends more waits too.
/// Some dozens of the largest.
pub const INPUT_BYTES: usize = 64 << 20;

/// What an offline head is to be.
#[derive(Debug)]
pub struct OfflineHead {
    /// Its log.
    pub path: PathBuf,
    /// How that is read at start.
    pub options: ReadOptions,
    /// After so many lines the log is rotated; none: never.
    pub rotate_after: Option<NonZeroU64>,
    /// Its rules.
    pub logic: HeadLogic,
    /// What it opens with, at its first start.
    pub initial: InitialHead,
    /// How often the passing of time is written to the log; none: never.
    pub tick: Option<Duration>,
}

/// Where inputs are put. Clones feed the same head.
#[derive(Clone, Debug)]
pub struct HeadInputs {
    queue: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
}

impl HeadInputs {
    /// Puts an input, waiting while too many or too large ones are under way. What a client has to hear of it goes to `answers`.
    ///
    /// # Errors
    ///
    /// [`HeadGone`].
    pub async fn put(&self, input: Input, answers: Option<Answers>) -> Result<(), HeadGone> {
        let bytes = input.bytes() + answers.as_ref().map_or(0, |answers| answers.command.len());
        let bytes = u32::try_from(bytes.min(INPUT_BYTES)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(bytes).await.map_err(|_| HeadGone)?;
        let origin = Origin { answers, _room: Some(Arc::new(room)) };
        self.queue.send(Queued { input, origin }).await.map_err(|_| HeadGone)
    }
}

/// The head takes no more inputs: the node is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node is stopping")]
pub struct HeadGone;

/// Steps a head and gives the events that come of it (ADR 29's node, of which the rest is [`Node`](crate::node::Node)).
///
/// The order is the ADR's for each event, with the store first: inputs are stepped in memory; what changed is made durable, as one group with
/// what queued meanwhile; then it is given, and put to every sink; and when the next events are asked for, the effects follow. The group after
/// it is made durable while it is put.
#[derive(Debug)]
pub struct HeadSource {
    head: OfflineHead,
    follower: HeadFollower,
    inputs: mpsc::Receiver<Queued>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Closed,
    /// Gives what is in the log.
    History(HeadLog, Box<LocalSource>),
    /// All of it was given.
    Beginning(HeadLog),
    Running(Box<Running>),
}

impl HeadSource {
    /// A head whose events `follower` folds: whoever puts them to sinks gives them to it too.
    pub fn new(head: OfflineHead, follower: HeadFollower) -> (Self, HeadInputs) {
        let (inputs, received) = mpsc::channel(INPUTS);
        (
            Self { head, follower, inputs: received, phase: Phase::Closed },
            HeadInputs { queue: inputs, room: Arc::new(Semaphore::new(INPUT_BYTES)) },
        )
    }

    /// Where the log leads to.
    async fn folded(&mut self) -> Result<HeadFold, SourceError> {
        let unknown = || SourceError::Other("the log does not say what state the head is in".into());
        let fold = self.follower.folded().await.ok_or_else(unknown)?;
        if let HeadState::Open(open) = fold.head() {
            let utxo = open.coordinated.get().and_then(|ledger| ledger.local_utxo.get());
            let ledger = self.head.logic.ledger();
            if let Some(Err(problem)) = utxo.map(|utxo| ledger.outputs(utxo.text())) {
                let problem = format!("the outputs in the log are none of the ledger {}: {problem}", ledger.name());
                return Err(SourceError::Other(problem.into()));
            }
        }
        Ok(fold)
    }
}

/// A page that is no history. What it waited for, it waited for by itself.
fn live(events: Vec<StateEvent>, findings: Vec<Finding>) -> Page {
    let next = if events.is_empty() { Next::Wait(Duration::ZERO) } else { Next::More };
    Page { events, findings, history: false, next, progress: None }
}

fn failed(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SourceError {
    SourceError::Store { path: path.to_owned(), source: source.into() }
}

#[async_trait]
impl EventSource for HeadSource {
    fn describe(&self) -> String {
        format!("offline head, ledger {}, log {}", self.head.logic.ledger().name(), self.head.path.display())
    }

    fn format(&self) -> StreamFormat {
        StreamFormat::state_event()
    }

    async fn open(&mut self) -> Result<(), SourceError> {
        let (path, options, rotate_after) = (self.head.path.clone(), self.head.options.clone(), self.head.rotate_after);
        let opened = spawn_blocking(move || HeadLog::open(&path, options, rotate_after)).await;
        let opened = opened.map_err(|error| SourceError::Other(error.into()))?;
        let log = opened.map_err(|error| failed(&self.head.path, error))?;
        let mut history = LocalSource::file(&self.head.path, self.head.options.clone());
        history.open().await?;
        self.phase = Phase::History(log, Box::new(history));
        Ok(())
    }

    async fn get_events(&mut self) -> Result<Page, SourceError> {
        if let Phase::History(_, history) = &mut self.phase {
            let page = history.get_events().await?;
            if page.history {
                return Ok(page);
            }
            if let Phase::History(log, _) = std::mem::replace(&mut self.phase, Phase::Closed) {
                self.phase = Phase::Beginning(log);
            }
            // Whoever asked compares the head with what was configured before anything is stepped.
            return Ok(live(Vec::new(), page.findings));
        }
        if let Phase::Beginning(_) = &self.phase {
            // Nothing is taken before this is done: the call may be dropped meanwhile.
            let fold = self.folded().await?;
            if let Phase::Beginning(log) = std::mem::replace(&mut self.phase, Phase::Closed) {
                self.phase = Phase::Running(Box::new(Running::start(log, fold, &self.head)));
            }
        }
        let Phase::Running(running) = &mut self.phase else {
            return Err(SourceError::Other("the head is not open, or it failed before".into()));
        };
        match running.next(&self.head, &mut self.inputs).await {
            Ok(events) => Ok(live(events, Vec::new())),
            Err(error) => {
                // The state may be ahead of the log for good.
                self.phase = Phase::Closed;
                Err(failed(&self.head.path, error))
            }
        }
    }

    async fn close(&mut self) {
        if let Phase::Running(running) = std::mem::replace(&mut self.phase, Phase::Closed)
            && let Err(error) = running.end().await
        {
            tracing::warn!("the last step of the head failed: {}", chain(&error));
        }
    }
}
