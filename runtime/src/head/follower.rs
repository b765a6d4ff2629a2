//! Folds a stream beside its delivery, on a thread of its own.

use std::fmt;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;

use super::fold::HeadFold;
use super::state::HeadState;
use crate::error_chain::chain;
use crate::event::{Kind, Position, StateEvent};

/// Pages that may wait to be folded: one more than is being folded, so that neither side waits for the other between pages.
const PAGES: usize = 2;

/// What is known of the head.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HeadReport {
    /// `Idle`, `Initial`, `Open`, `Closed` or `FanoutProgress`; none: it is not known.
    pub state: Option<String>,
    /// The head's id in hexadecimal digits; none while there is no head or none is known.
    pub head_id: Option<String>,
    /// The last event folded.
    pub as_of: Option<Position>,
    /// Why the state is not known.
    pub reason: Option<String>,
}

impl fmt::Display for HeadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.state, &self.head_id, &self.reason) {
            (Some(state), Some(id), _) => write!(f, "{state}, id {id}"),
            (Some(state), None, _) => f.write_str(state),
            (None, _, Some(reason)) => write!(f, "unknown: {reason}"),
            (None, _, None) => f.write_str("unknown"),
        }
    }
}

enum Work {
    /// Events that follow those before, and what was lost before the last of them.
    Events(Vec<StateEvent>, Option<String>),
    Ask(oneshot::Sender<Option<HeadFold>>),
}

/// Folds the events that it is given, in order. An event that cannot be folded makes the state unknown, until a checkpoint says it again;
/// it never holds up or fails anything else. Clones are of the same fold.
#[derive(Clone, Debug)]
pub struct HeadFollower {
    work: mpsc::Sender<Work>,
    report: watch::Receiver<HeadReport>,
    caught_up: watch::Sender<bool>,
}

impl HeadFollower {
    /// Starts folding from no head. Must be called on a tokio runtime.
    pub fn start() -> Self {
        let (work, mut inbox) = mpsc::channel(PAGES);
        let (publish, report) = watch::channel(HeadReport::default());
        spawn_blocking(move || {
            let mut following = Following::default();
            while let Some(work) = inbox.blocking_recv() {
                match work {
                    Work::Events(events, lost) => following.events(&events, lost),
                    Work::Ask(answer) => {
                        // Whoever asked may be gone.
                        let _ = answer.send(following.fold.as_ref().ok().cloned());
                        continue;
                    }
                }
                publish.send_replace(following.report());
            }
        });
        Self { work, report, caught_up: watch::Sender::new(false) }
    }

    /// Takes events that follow those before. `lost`: why something before the last of them is missing. Waits while two pages are waiting.
    pub async fn fold(&self, events: &[StateEvent], lost: Option<String>) {
        if !events.is_empty() || lost.is_some() {
            self.send(Work::Events(events.to_vec(), lost)).await;
        }
    }

    /// The state after all events given; none if it is not known.
    pub async fn state(&self) -> Option<HeadState> {
        self.folded().await.map(HeadFold::into_head)
    }

    /// The fold after all events given; none if the state is not known.
    pub async fn folded(&self) -> Option<HeadFold> {
        let (answer, answered) = oneshot::channel();
        self.send(Work::Ask(answer)).await;
        answered.await.ok().flatten()
    }

    /// Says that what was there at start has been given.
    pub(crate) fn end_history(&self) {
        self.caught_up.send_replace(true);
    }

    /// Returns once what was there at start has been given: before that the state is one of the past.
    pub(crate) async fn caught_up(&self) {
        // It cannot fail while this is here.
        let _ = self.caught_up.subscribe().wait_for(|caught_up| *caught_up).await;
    }

    /// What is known, as it changes.
    pub fn report(&self) -> watch::Receiver<HeadReport> {
        self.report.clone()
    }

    async fn send(&self, work: Work) {
        // It ends only when this does, or by a panic; delivery goes on either way.
        let _ = self.work.send(work).await;
    }
}

/// The fold, or why there is none.
#[derive(Debug)]
struct Following {
    fold: Result<HeadFold, String>,
    last: Option<Position>,
}

impl Default for Following {
    fn default() -> Self {
        Self { fold: Ok(HeadFold::new()), last: None }
    }
}

impl Following {
    fn events(&mut self, events: &[StateEvent], lost: Option<String>) {
        if let (None, Some(first)) = (self.last, events.first().map(StateEvent::position))
            && first.id > 0
            && first.kind == Kind::Event
        {
            self.lose(format!("the log begins with event {first}, and what came before it is not there"));
        }
        for event in events {
            self.event(event);
        }
        if let Some(reason) = lost {
            self.lose(reason);
        }
    }

    fn event(&mut self, event: &StateEvent) {
        self.last = Some(event.position());
        // A checkpoint is the whole state: nothing before it matters.
        if self.fold.is_err() && event.position().kind == Kind::Checkpoint {
            self.fold = Ok(HeadFold::new());
        }
        let Ok(fold) = &mut self.fold else { return };
        if let Err(error) = fold.apply(event) {
            self.lose(chain(&error));
        }
    }

    fn lose(&mut self, reason: String) {
        if self.fold.is_ok() {
            tracing::warn!(
                "the state of the head is not known from here on: {reason}; events are delivered all the same"
            );
            self.fold = Err(reason);
        }
    }

    fn report(&self) -> HeadReport {
        match &self.fold {
            Ok(fold) => HeadReport {
                state: Some(fold.head().tag().to_owned()),
                head_id: fold.head().head_id().map(str::to_owned),
                as_of: self.last,
                reason: None,
            },
            Err(reason) => HeadReport { as_of: self.last, reason: Some(reason.clone()), ..HeadReport::default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: u64, change: &str) -> StateEvent {
        StateEvent::parse(format!(r#"{{"eventId":{id},"stateChanged":{change}}}"#)).unwrap()
    }

    const OPENED: &str =
        r#"{"tag":"HeadOpened","chainState":{},"headId":"ab","headSeed":"00","parameters":{},"parties":[]}"#;
    const BROKEN: &str = r#"{"tag":"HeadClosed","chainState":7,"contestationDeadline":[]}"#;
    const CHECKPOINT: &str = r#"{"state":{"contents":{"chainState":{}},"tag":"Idle"},"tag":"Checkpoint"}"#;

    async fn report(follower: &HeadFollower) -> HeadReport {
        follower.state().await;
        follower.report().borrow().clone()
    }

    #[tokio::test]
    async fn the_state_is_known_until_an_event_cannot_be_folded_and_again_after_a_checkpoint() {
        let follower = HeadFollower::start();
        follower.fold(&[event(0, OPENED)], None).await;
        let open = report(&follower).await;
        assert_eq!((open.state.as_deref(), open.head_id.as_deref()), (Some("Open"), Some("ab")));
        assert_eq!(open.as_of, Some(Position::event(0)));

        follower.fold(&[event(1, BROKEN), event(2, OPENED)], None).await;
        let lost = report(&follower).await;
        assert!(lost.reason.as_deref().is_some_and(|reason| reason.contains("event 1 (HeadClosed)")), "{lost}");
        assert_eq!((lost.state, lost.as_of), (None, Some(Position::event(2))));

        follower.fold(&[event(2, CHECKPOINT)], None).await;
        assert_eq!(report(&follower).await.to_string(), "Idle");
    }

    #[tokio::test]
    async fn a_log_without_its_beginning_or_with_a_hole_leads_to_no_state() {
        let follower = HeadFollower::start();
        follower.fold(&[event(5, OPENED)], None).await;
        assert!(report(&follower).await.to_string().contains("begins with event 5"));

        let follower = HeadFollower::start();
        follower.fold(&[event(4, CHECKPOINT)], None).await;
        assert_eq!(report(&follower).await.to_string(), "Idle");
        follower.fold(&[event(5, OPENED)], Some("a bad line was skipped".to_owned())).await;
        assert_eq!(report(&follower).await.to_string(), "unknown: a bad line was skipped");
        assert_eq!(follower.state().await, None);
    }
}
