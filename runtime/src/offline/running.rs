//! The step loop: inputs through the head logic, in groups that are made durable together.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

use super::change::Change;
use super::input::{Answers, Effect, Input, Now, Outcome, Refused};
use super::log::HeadLog;
use super::logic::{becomes_ready, since_epoch};
use super::source::OfflineHead;
use crate::event::{EnvelopeError, StateEvent, Time};
use crate::head::{FoldError, FoldFault, HeadFold, HeadState};
use crate::json_text;
use crate::store::{GROUP_BYTES, GROUP_EVENTS, SegmentError};

/// How long one call waits for an input, so that whoever asks can see to other things.
const WAIT: Duration = Duration::from_millis(50);

/// After this time a transaction is tried again whose inputs were not there, as hydra-node has it.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// An input, and where what has to be said about it goes.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) input: Input,
    pub(super) answers: Option<Answers>,
}

impl From<Input> for Queued {
    fn from(input: Input) -> Self {
        Self { input, answers: None }
    }
}

/// Why the head cannot be stepped any further.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error(transparent)]
    Write(#[from] SegmentError),
    #[error("what was written cannot be folded")]
    Fold(#[from] Box<FoldError>),
    #[error("the state of the head cannot be stepped")]
    State(#[from] FoldFault),
    #[error("a state change is no event")]
    Event(#[from] EnvelopeError),
    #[error("the thread that writes ended")]
    Thread(#[from] JoinError),
    #[error("an earlier write failed")]
    Broken,
}

/// What a group came to.
#[derive(Debug, Default)]
struct Group {
    events: Vec<StateEvent>,
    effects: Vec<(Effect, Option<Answers>)>,
    bytes: usize,
}

#[derive(Debug)]
enum Log {
    Idle(HeadLog),
    Writing(JoinHandle<(HeadLog, Result<(), SegmentError>)>, Group),
    Broken,
}

/// A head that is being stepped.
#[derive(Debug)]
pub(super) struct Running {
    /// The state after all changes, those included that are not durable yet.
    fold: HeadFold,
    next_id: u64,
    log: Log,
    queue: VecDeque<Queued>,
    /// Inputs that are tried again, by when.
    again: VecDeque<(Instant, Queued)>,
    /// Of the events that were given last.
    effects: Vec<(Effect, Option<Answers>)>,
    next_tick: Option<Instant>,
}

impl Running {
    /// From where the log leads to; what was under way when it ended is gone on with.
    pub(super) fn start(log: HeadLog, fold: HeadFold, head: &OfflineHead) -> Self {
        let is_new = log.last().is_none();
        let opens = is_new || matches!(fold.head(), HeadState::Initial(_));
        let first = if opens { Input::Open(Box::new(head.initial.clone())) } else { Input::Resume };
        Self {
            fold,
            next_id: log.last().map_or(0, |last| last.id + 1),
            log: Log::Idle(log),
            queue: VecDeque::from([first.into()]),
            again: VecDeque::new(),
            effects: Vec::new(),
            next_tick: head.tick.map(|tick| Instant::now() + tick),
        }
    }

    /// The next events, which are durable; none after a while without any. Those given before have been put to the sinks.
    ///
    /// May be dropped before it is ready: what is being written is then given by the next call.
    pub(super) async fn next(
        &mut self,
        head: &OfflineHead,
        inputs: &mut mpsc::Receiver<Queued>,
    ) -> Result<Vec<StateEvent>, StepError> {
        if let Some(events) = self.settle().await? {
            return Ok(events);
        }
        self.release();
        if let Some(group) = self.checkpoint()? {
            self.write(group, HeadLog::rotate);
            return Ok(self.settle().await?.unwrap_or_default());
        }
        self.wait(head, inputs).await;
        let group = self.step_all(head)?;
        if group.events.is_empty() {
            self.effects = group.effects;
            return Ok(Vec::new());
        }
        self.write(group, HeadLog::append);
        Ok(self.settle().await?.unwrap_or_default())
    }

    /// Carries out what follows from the events given last.
    fn release(&mut self) {
        for (effect, answers) in std::mem::take(&mut self.effects) {
            match (effect, answers) {
                (Effect::Send(message), answers) => {
                    self.queue.push_back(Queued { input: Input::Message(message), answers });
                }
                (Effect::Post(tx), answers) => self.queue.push_back(Queued { input: Input::Observed(tx), answers }),
                (Effect::CommandFailed { reason }, Some(answers)) => {
                    // A client that is gone, or too slow for its own answers, does not hold up the head.
                    let _ = answers.to.try_send(Refused { command: answers.command, reason });
                }
                (Effect::CommandFailed { reason }, None) => tracing::warn!("a command failed: {reason}"),
            }
        }
    }

    /// Waits for something to step.
    async fn wait(&mut self, head: &OfflineHead, inputs: &mut mpsc::Receiver<Queued>) {
        self.come_due(head);
        if self.queue.is_empty() {
            match timeout(WAIT, inputs.recv()).await {
                Ok(Some(input)) => self.queue.push_back(input),
                // Nobody is left who could put any.
                Ok(None) => sleep(WAIT).await,
                Err(_nothing) => {}
            }
        }
        while self.queue.len() < GROUP_EVENTS
            && let Ok(input) = inputs.try_recv()
        {
            self.queue.push_back(input);
        }
    }

    /// Queues what its time has come for.
    fn come_due(&mut self, head: &OfflineHead) {
        let now = Instant::now();
        while self.again.front().is_some_and(|(at, _)| *at <= now) {
            self.queue.extend(self.again.pop_front().map(|(_, queued)| queued));
        }
        if let (Some(tick), Some(at)) = (head.tick, self.next_tick)
            && at <= now
        {
            self.next_tick = Some(now + tick);
            self.queue.push_back(Input::Tick { is_told: true }.into());
        }
        if becomes_ready(self.fold.head(), wall_clock()) {
            self.queue.push_back(Input::Tick { is_told: false }.into());
        }
    }

    /// Steps what is queued, up to the bounds of a group.
    fn step_all(&mut self, head: &OfflineHead) -> Result<Group, StepError> {
        let mut group = Group::default();
        for _ in 0..GROUP_EVENTS {
            let Some(queued) = self.queue.pop_front() else { break };
            self.step(queued, head, &mut group)?;
            if group.bytes >= GROUP_BYTES {
                break;
            }
        }
        Ok(group)
    }

    fn step(&mut self, queued: Queued, head: &OfflineHead, group: &mut Group) -> Result<(), StepError> {
        let (Queued { input, answers }, now) = (queued, wall_clock());
        match head.logic.update(self.fold.head(), &input, now)? {
            Outcome::Continue { changes, effects } => {
                self.change(&changes, now, group)?;
                group.effects.extend(effects.into_iter().map(|effect| (effect, answers.clone())));
            }
            Outcome::Wait { reason, changes, again } => {
                tracing::debug!("an input is tried again: {reason}");
                self.change(&changes, now, group)?;
                self.again.push_back((Instant::now() + TRY_AGAIN, Queued { input: *again, answers }));
            }
            Outcome::Error(reason) => tracing::warn!("an input means nothing: {reason}"),
        }
        Ok(())
    }

    /// Numbers changes and folds them.
    fn change(&mut self, changes: &[Change], now: Now, group: &mut Group) -> Result<(), StepError> {
        for change in changes {
            let event = event(self.next_id, change.json(), now)?;
            self.fold.apply(&event).map_err(Box::new)?;
            self.next_id += 1;
            group.bytes += event.bytes();
            group.events.push(event);
        }
        Ok(())
    }

    /// The checkpoint that the log is to begin anew with, if it is.
    fn checkpoint(&mut self) -> Result<Option<Group>, StepError> {
        let Log::Idle(log) = &self.log else { return Ok(None) };
        let Some(last) = log.last().filter(|_| log.wants_checkpoint()) else { return Ok(None) };
        let change = json_text::object([("state", self.fold.state().to_json().as_str()), ("tag", "\"Checkpoint\"")]);
        Ok(Some(Group { events: vec![event(last.id, &change, wall_clock())?], ..Group::default() }))
    }

    fn write(&mut self, group: Group, write: fn(&mut HeadLog, &[StateEvent]) -> Result<(), SegmentError>) {
        let events = group.events.clone();
        let writing = |mut log: HeadLog| {
            spawn_blocking(move || {
                let written = write(&mut log, &events);
                (log, written)
            })
        };
        self.log = match std::mem::replace(&mut self.log, Log::Broken) {
            Log::Idle(log) => Log::Writing(writing(log), group),
            other => other,
        };
    }

    /// Waits until what is being written is durable, and gives it.
    async fn settle(&mut self) -> Result<Option<Vec<StateEvent>>, StepError> {
        let outcome = match &mut self.log {
            Log::Idle(_) => return Ok(None),
            Log::Writing(writing, _) => writing.await,
            Log::Broken => return Err(StepError::Broken),
        };
        let Log::Writing(_, group) = std::mem::replace(&mut self.log, Log::Broken) else {
            return Err(StepError::Broken);
        };
        let (log, written) = outcome?;
        written?;
        self.log = Log::Idle(log);
        self.effects = group.effects;
        Ok(Some(group.events))
    }
}

fn event(id: u64, change: &str, now: Now) -> Result<StateEvent, EnvelopeError> {
    let time = json_text::time(since_epoch(now));
    let id = id.to_string();
    StateEvent::parse(json_text::object([("eventId", id.as_str()), ("stateChanged", change), ("time", &time)]))
}

/// The time, and its slot: whole seconds since 1970, so that slots rise over restarts and every client knows them.
fn wall_clock() -> Now {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
    Now { time: Time { seconds, nanoseconds: since.subsec_nanos() }, slot: since.as_secs() }
}
