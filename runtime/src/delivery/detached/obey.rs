//! Obeying orders.

use tokio::sync::oneshot;

use super::lane::{Lane, Phase};
use super::order::{Order, OrderError};
use super::trouble::Trouble;
use crate::delivery::status::SinkState;
use crate::event::Position;
use crate::sink::CloseReason;
use crate::sink_store::{Change, Place};

type Answer = oneshot::Sender<Result<String, OrderError>>;

impl Lane {
    /// Obeys an order and answers it; true if the lane ends.
    pub(super) async fn obey(&mut self, order: Order, answer: Answer) -> bool {
        let ends = matches!(order, Order::Stop);
        let outcome = match order {
            Order::Halt(reason) => Ok(self.halt(reason).await),
            order if self.has_gap && !ends => {
                drop(order);
                let message =
                    "events that it did not have are deleted; at the next start `on-gap` decides how it goes on";
                Err(OrderError::Refused(message.to_owned()))
            }
            Order::Pause => Ok(self.pause().await),
            Order::Resume => Ok(self.resume()),
            Order::Replay { from, reset_state } => self.replay(from, reset_state).await,
            Order::Swap { new, configured } => self.swap(*new, configured).await,
            Order::PutParked(position) => self.put_parked(position).await,
            Order::DropParked(position) => self.drop_parked(position).await,
            Order::Stop => Ok(self.end().await),
        };
        // Whoever asked may have gone.
        let _ = answer.send(outcome);
        ends
    }

    /// Stops for good.
    async fn halt(&mut self, reason: String) -> String {
        self.has_gap = true;
        self.stop_for(&reason).await;
        "stopped".to_owned()
    }

    async fn pause(&mut self) -> String {
        if let Err(error) = self.rest().await {
            tracing::warn!(sink = &*self.name, "before the pause: {error}; what it accepted will be put again");
            self.forget_instance();
        }
        self.phase = Phase::Rest;
        self.reading.leave(&self.shared);
        self.say_why(SinkState::Paused, "an operator paused it");
        self.update(|progress| progress.retry_at = None);
        format!("paused after {}", self.cursor.in_words())
    }

    /// Makes everything taken durable.
    async fn rest(&mut self) -> Result<(), Trouble> {
        if self.is_open {
            self.flush().await?;
        }
        Ok(self.commit(Vec::new()).await?)
    }

    fn resume(&mut self) -> String {
        self.backoff.reset();
        (self.open_failures, self.parked_in_row) = (0, 0);
        self.phase = if self.is_open { Phase::Run } else { Phase::Open };
        self.update(|progress| progress.retry_at = None);
        self.say(SinkState::CatchingUp);
        "resumed".to_owned()
    }

    async fn replay(&mut self, from: Position, reset_state: Option<bool>) -> Result<String, OrderError> {
        let has_state = self.key_value.is_some() || self.sink.handover().is_some();
        if has_state && reset_state.is_none() {
            let message = "the sink keeps state: say with --reset-state or --keep-state what is to become of it";
            return Err(OrderError::Refused(message.to_owned()));
        }
        if !self.has_void_state && self.cursor.durable.is_none_or(|durable| from > durable.position) {
            let at = self.cursor.in_words();
            let message = format!("its cursor is {at}: replaying from {from} would pass over events");
            return Err(OrderError::Refused(message));
        }
        let resting = self.phase == Phase::Rest;
        if let Err(error) = self.rest().await {
            tracing::warn!(sink = &*self.name, "before the replay: {error}");
        }
        self.close(CloseReason::Reopen).await;
        self.forget_instance();
        let before = self.cursor.clone();
        self.cursor.durable = from.before().map(Place::from);
        let reset = reset_state == Some(true) && self.key_value.is_some();
        let changes = if reset { vec![Change::ResetState { sink: self.name.clone() }] } else { Vec::new() };
        if let Err(error) = self.commit(changes).await {
            self.cursor = before;
            self.phase = Phase::Open;
            return Err(error.into());
        }
        // A watched swap could not be returned from any more: its cursor lies elsewhere.
        self.watch = None;
        self.has_void_state = false;
        self.reading.reset();
        self.taken = self.cursor.durable;
        let is_paused = resting && self.state().0 == SinkState::Paused;
        self.phase = if is_paused { Phase::Rest } else { Phase::Open };
        Ok(format!("puts again from {from} on"))
    }

    /// Flushes, commits and closes.
    async fn end(&mut self) -> String {
        if let Err(error) = self.rest().await {
            tracing::warn!(sink = &*self.name, "while stopping: {error}; what it accepted will be put again");
            self.forget_instance();
        }
        self.close(CloseReason::Stop).await;
        self.reading.leave(&self.shared);
        "stopped".to_owned()
    }
}
