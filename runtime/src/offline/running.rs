//! The step loop: while the events of one group are put to the sinks, the next is stepped and made durable.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

use super::group::{Due, Group};
use super::input::{Effect, Input, Refused};
use super::log::HeadLog;
use super::source::OfflineHead;
use super::stepper::{Queued, StepError, Stepper};
use crate::event::StateEvent;
use crate::head::{HeadFold, HeadState};
use crate::store::{GROUP_EVENTS, SegmentError};

/// How long one call waits for an input, so that whoever asks can see to other things.
const WAIT: Duration = Duration::from_millis(50);

/// After this time a transaction is tried again whose inputs were not there, as hydra-node has it.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// Why the head does not run any further.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error(transparent)]
    Step(#[from] StepError),
    #[error(transparent)]
    Write(#[from] SegmentError),
    #[error("the thread that writes ended")]
    Thread(#[from] JoinError),
    #[error("an earlier write failed")]
    Broken,
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
    stepper: Stepper,
    log: Log,
    queue: VecDeque<Queued>,
    /// Inputs that are tried again, by when.
    again: VecDeque<(Instant, Queued)>,
    /// What is being put to the sinks.
    durable: Group,
    next_tick: Option<Instant>,
}

impl Running {
    /// From where the log leads to; what was under way when it ended is gone on with.
    pub(super) fn start(log: HeadLog, fold: HeadFold, head: &OfflineHead) -> Self {
        let stepper = Stepper::new(fold, log.last());
        let opens = log.last().is_none() || matches!(stepper.head(), HeadState::Initial(_));
        let first = if opens { Input::Open(Box::new(head.initial.clone())) } else { Input::Resume };
        Self {
            stepper,
            log: Log::Idle(log),
            queue: VecDeque::from([first.into()]),
            again: VecDeque::new(),
            durable: Group::default(),
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
    ) -> Result<Vec<StateEvent>, RunError> {
        self.durable.due().into_iter().for_each(|due| self.carry_out(due));
        if self.durable.is_given() {
            self.begin(head, inputs).await?;
            self.settle().await?;
        }
        self.go_ahead(head, inputs)?;
        Ok(self.durable.give())
    }

    /// Waits until nothing is being written any more.
    pub(super) async fn end(mut self) -> Result<(), RunError> {
        match self.log {
            Log::Writing(..) => self.settle().await,
            Log::Idle(_) | Log::Broken => Ok(()),
        }
    }

    /// Carries out what follows from the events that were put.
    fn carry_out(&mut self, (effect, origin): Due) {
        if let Some(input) = effect.heard() {
            self.queue.push_back(Queued { input, origin });
        } else if let Effect::CommandFailed { reason } = effect {
            match origin.answers {
                // A client that is gone, or too slow for its own answers, does not hold up the head.
                Some(answers) => drop(answers.to.try_send(Refused { command: answers.command, reason })),
                None => tracing::warn!("a command failed: {reason}"),
            }
        }
    }

    /// Begins the next group if none is under way: with a checkpoint, or once there is something to step.
    async fn begin(&mut self, head: &OfflineHead, inputs: &mut mpsc::Receiver<Queued>) -> Result<(), RunError> {
        let Log::Idle(log) = &self.log else { return Ok(()) };
        if let Some(last) = log.last().filter(|_| log.wants_checkpoint()) {
            let checkpoint = self.stepper.checkpoint(last)?;
            self.write(checkpoint, HeadLog::rotate);
            return Ok(());
        }
        self.come_due(head);
        if self.queue.is_empty() {
            self.wait(inputs).await;
        }
        self.step_all(head, inputs)
    }

    /// Begins the next group while events of the one before are put, so that neither waits for the other. But a log begins anew only when all
    /// of its events were put: a file that was rotated away may be deleted by anyone who sees that the sinks have what is in it.
    fn go_ahead(&mut self, head: &OfflineHead, inputs: &mut mpsc::Receiver<Queued>) -> Result<(), RunError> {
        match &self.log {
            Log::Idle(log) if !log.wants_checkpoint() => {
                self.come_due(head);
                self.step_all(head, inputs)
            }
            _ => Ok(()),
        }
    }

    /// Waits for an input.
    async fn wait(&mut self, inputs: &mut mpsc::Receiver<Queued>) {
        match timeout(WAIT, inputs.recv()).await {
            Ok(Some(input)) => self.queue.push_back(input),
            // Nobody is left who could put any.
            Ok(None) => sleep(WAIT).await,
            Err(_nothing) => {}
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
        if self.stepper.becomes_ready() {
            self.queue.push_back(Input::Tick { is_told: false }.into());
        }
    }

    /// Steps what is queued and begins to write what changed.
    fn step_all(&mut self, head: &OfflineHead, inputs: &mut mpsc::Receiver<Queued>) -> Result<(), RunError> {
        while self.queue.len() < GROUP_EVENTS
            && let Ok(input) = inputs.try_recv()
        {
            self.queue.push_back(input);
        }
        let stepped = self.stepper.step_all(&head.logic, &mut self.queue)?;
        let at = Instant::now() + TRY_AGAIN;
        self.again.extend(stepped.again.into_iter().map(|queued| (at, queued)));
        if stepped.group.events().is_empty() {
            self.durable.end_with(stepped.group);
        } else {
            self.write(stepped.group, HeadLog::append);
        }
        Ok(())
    }

    fn write(&mut self, group: Group, write: fn(&mut HeadLog, &[StateEvent]) -> Result<(), SegmentError>) {
        let events = group.events().to_vec();
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

    /// Waits until what is being written, if anything is, is durable; it is given next.
    async fn settle(&mut self) -> Result<(), RunError> {
        let outcome = match &mut self.log {
            Log::Idle(_) => return Ok(()),
            Log::Writing(writing, _) => writing.await,
            Log::Broken => return Err(RunError::Broken),
        };
        let Log::Writing(_, group) = std::mem::replace(&mut self.log, Log::Broken) else {
            return Err(RunError::Broken);
        };
        let (log, written) = outcome?;
        written?;
        (self.log, self.durable) = (Log::Idle(log), group);
        Ok(())
    }
}
