//! Putting single events aside, and putting them again.

use tokio::time::timeout;

use super::guard::ORDERED;
use super::lane::{Lane, Phase};
use super::order::OrderError;
use super::trouble::Trouble;
use crate::component::GuestFailure;
use crate::error_chain::chain;
use crate::event::{Position, StateEvent};
use crate::sink::{Ack, Delivery, SinkError};
use crate::sink_store::{Change, ParkedEvent, Place, PostMortem};
use crate::stream::Anchor;

/// Most parked events: more is not an exception any more but the rule, and somebody has to look.
const MAX_PARKED: u64 = 100;

/// So many parked without a good event between them: the sink, not the event, is what is wrong.
const MAX_IN_ROW: u32 = 10;

impl Lane {
    /// Puts an event aside, durably, and goes on behind it.
    pub(super) async fn park(
        &mut self,
        event: &StateEvent,
        error: String,
        failure: Option<&GuestFailure>,
    ) -> Result<(), Trouble> {
        let place = Place::from(Anchor::of(event));
        if self.is_open {
            // What was accepted before it becomes durable first: the cursor passes all of it.
            self.flush().await?;
        }
        let digest = self.sink.version().map(|version| version.digest);
        let parked = ParkedEvent {
            post_mortem: failure.map(PostMortem::from),
            log_tail: self.sink.log_tail(),
            ..ParkedEvent::now(event, self.stream.epoch, error.clone(), digest)
        };
        let before = (self.cursor.clone(), self.taken);
        self.cursor.durable = Some(place);
        self.cursor.put = self.cursor.put.max(Some(place.position));
        self.taken = Some(place);
        let committed = self.commit(vec![Change::Park { sink: self.name.clone(), event: parked }]).await;
        if let Err(error) = committed {
            (self.cursor, self.taken) = before;
            return Err(error.into());
        }
        self.isolation.passed(place.position, 1);
        if !self.reading.is_empty() {
            let count = self.reading.pass(1);
            self.update(|progress| progress.count = count);
        }
        tracing::warn!(sink = &*self.name, "event {} ({}) is parked: {error}", event.position(), event.tag());
        self.count("hydrant_parked_total", 1);
        self.update(|progress| progress.status.last_error = Some(format!("event {}: {error}", event.position())));
        self.parked_in_row += 1;
        self.backoff.reset();
        let parked = self.count_parked();
        if parked > MAX_PARKED {
            self.stop_for(&format!("more than {MAX_PARKED} events are parked, the last with: {error}")).await;
        } else if self.parked_in_row >= MAX_IN_ROW {
            self.stop_for(&format!("{MAX_IN_ROW} events in a row were parked, the last with: {error}")).await;
        }
        Ok(())
    }

    /// Counts the parked events; what cannot be read is shown as none and reported by the next commit.
    pub(super) fn count_parked(&mut self) -> u64 {
        let parked = self.shared.store.parked_count(&self.name).unwrap_or(0);
        self.update(|progress| progress.status.parked = parked);
        parked
    }

    fn chosen(&self, position: Option<Position>) -> Result<Vec<ParkedEvent>, OrderError> {
        let Some(position) = position else { return Ok(self.shared.store.parked(&self.name)?) };
        let parked = self.shared.store.parked_at(&self.name, position)?;
        parked.map(|event| vec![event]).ok_or_else(|| OrderError::Refused(format!("no event {position} is parked")))
    }

    pub(super) async fn drop_parked(&mut self, position: Option<Position>) -> Result<String, OrderError> {
        let parked = self.chosen(position)?;
        let unpark = |event: &ParkedEvent| Change::Unpark { sink: self.name.clone(), position: event.position };
        self.shared.store.commit(parked.iter().map(unpark).collect()).await?;
        self.count_parked();
        Ok(format!("{} parked events dropped", parked.len()))
    }

    /// Puts parked events again, each removed in the transaction that has its key-value writes. The cursor stays where it is.
    pub(super) async fn put_parked(&mut self, position: Option<Position>) -> Result<String, OrderError> {
        if !self.is_open {
            return Err(OrderError::Refused("the sink has no running instance now; resume it first".to_owned()));
        }
        let parked = self.chosen(position)?;
        let before = async {
            self.flush().await?;
            Ok(self.commit(Vec::new()).await?)
        };
        if let Err(trouble) = before.await {
            self.settle(Err(trouble)).await;
            return Err(OrderError::Refused("what was put before could not be made durable first".to_owned()));
        }
        for (done, event) in parked.iter().enumerate() {
            if let Err(error) = self.put_one_parked(event).await {
                return Err(OrderError::Refused(format!(
                    "event {} stays parked: {error}; {done} of {} were put",
                    event.position,
                    parked.len()
                )));
            }
        }
        Ok(format!("{} parked events put", parked.len()))
    }

    async fn put_one_parked(&mut self, parked: &ParkedEvent) -> Result<(), String> {
        let event = StateEvent::parse(parked.json.clone()).map_err(|error| error.to_string())?;
        if let Some(key_value) = &self.key_value {
            key_value.begin();
        }
        let delivery = Delivery { redelivered: true, unparked: true, catching_up: false };
        let put = async {
            match self.sink.put_event(&event, delivery).await? {
                Ack::Durable => Ok(()),
                Ack::Accepted => self.sink.flush().await,
            }
        };
        match timeout(ORDERED, put).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                if matches!(error, SinkError::Guest(_)) {
                    self.forget_instance();
                    self.phase = Phase::Open;
                } else if let Some(key_value) = &self.key_value {
                    key_value.roll_back();
                }
                return Err(chain(&error));
            }
            Err(_elapsed) => {
                self.forget_instance();
                self.phase = Phase::Open;
                return Err("the call took too long".to_owned());
            }
        }
        let unpark = Change::Unpark { sink: self.name.clone(), position: parked.position };
        let committed = self.commit(vec![unpark]).await;
        self.count_parked();
        committed.map_err(|error| {
            // The event is still parked, so what it wrote is dropped and it can be put again.
            self.forget_instance();
            self.phase = Phase::Open;
            chain(&error)
        })
    }
}
