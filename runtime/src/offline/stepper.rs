//! Steps inputs through the head logic: what changes is numbered and folded into the state at once, and waits to be written.

use std::collections::VecDeque;
use std::time::SystemTime;

use super::change::Change;
use super::group::Group;
use super::input::{Input, Now, Origin, Outcome};
use super::logic::{HeadLogic, becomes_ready, since_epoch};
use crate::event::{EnvelopeError, Position, StateEvent, Time};
use crate::head::{FoldError, FoldFault, HeadFold, HeadState};
use crate::json_text;

/// An input that waits for its turn.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) input: Input,
    pub(super) origin: Origin,
}

impl From<Input> for Queued {
    fn from(input: Input) -> Self {
        Self { input, origin: Origin::default() }
    }
}

/// Why an input cannot be stepped.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error("what was written cannot be folded")]
    Fold(#[from] Box<FoldError>),
    #[error("the state of the head cannot be stepped")]
    State(#[from] FoldFault),
    #[error("a state change is no event")]
    Event(#[from] EnvelopeError),
}

/// The state of a head.
#[derive(Debug)]
pub(super) struct Stepper {
    /// After all changes, those included that are not durable yet.
    fold: HeadFold,
    next_id: u64,
}

/// What stepping a queue came to.
#[derive(Debug, Default)]
pub(super) struct Stepped {
    pub(super) group: Group,
    /// What is to be tried again after a while.
    pub(super) again: Vec<Queued>,
}

impl Stepper {
    /// From where the log leads to, which ends with `last`.
    pub(super) fn new(fold: HeadFold, last: Option<Position>) -> Self {
        Self { fold, next_id: last.map_or(0, |last| last.id + 1) }
    }

    pub(super) fn head(&self) -> &HeadState {
        self.fold.head()
    }

    /// Whether time alone has changed what the head can do.
    pub(super) fn becomes_ready(&self) -> bool {
        becomes_ready(self.fold.head(), wall_clock())
    }

    /// The checkpoint with which a log goes on after `last`.
    pub(super) fn checkpoint(&self, last: Position) -> Result<Group, StepError> {
        let state = self.fold.state().to_json();
        let change = json_text::object([("state", state.as_str()), ("tag", "\"Checkpoint\"")]);
        let mut group = Group::default();
        group.change(vec![event(last.id, &change, wall_clock())?]);
        Ok(group)
    }

    /// Steps what is queued, up to the bounds of a group.
    pub(super) fn step_all(&mut self, logic: &HeadLogic, queue: &mut VecDeque<Queued>) -> Result<Stepped, StepError> {
        let mut stepped = Stepped::default();
        while !stepped.group.is_full()
            && let Some(queued) = queue.pop_front()
        {
            self.step(logic, queued, queue, &mut stepped)?;
        }
        Ok(stepped)
    }

    fn step(
        &mut self,
        logic: &HeadLogic,
        Queued { input, origin }: Queued,
        queue: &mut VecDeque<Queued>,
        stepped: &mut Stepped,
    ) -> Result<(), StepError> {
        let now = wall_clock();
        match logic.update(self.fold.head(), &input, now)? {
            Outcome::Continue { changes, effects } => {
                stepped.group.change(self.fold(&changes, now)?);
                for effect in effects {
                    match effect.heard().filter(|_| changes.is_empty()) {
                        // Without a change nothing has to be put before.
                        Some(input) => queue.push_back(Queued { input, origin: origin.clone() }),
                        None => stepped.group.then((effect, origin.clone())),
                    }
                }
            }
            Outcome::Wait { reason, changes, again } => {
                tracing::debug!("an input is tried again: {reason}");
                stepped.group.change(self.fold(&changes, now)?);
                stepped.again.push(Queued { input: *again, origin });
            }
            Outcome::Error(reason) => tracing::warn!("an input means nothing: {reason}"),
        }
        Ok(())
    }

    /// Numbers changes and folds them.
    fn fold(&mut self, changes: &[Change], now: Now) -> Result<Vec<StateEvent>, StepError> {
        let mut events = Vec::with_capacity(changes.len());
        for change in changes {
            let event = event(self.next_id, change.json(), now)?;
            self.fold.apply(&event).map_err(Box::new)?;
            self.next_id += 1;
            events.push(event);
        }
        Ok(events)
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
