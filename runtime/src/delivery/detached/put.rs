//! Putting the events in hand.

use super::lane::Lane;
use super::trouble::{Span, Trouble};
use crate::delivery::failure::Doing;
use crate::delivery::status::SinkState;
use crate::delivery::unflushed::Unflushed;
use crate::event::StateEvent;
use crate::sink::{Ack, BatchError, BatchProgress, Delivery, SinkError};
use crate::sink_store::Place;
use crate::stream::Anchor;

impl Lane {
    /// Puts the next events in hand, or passes over those that are not wanted.
    pub(super) async fn put_next(&mut self) -> Result<(), Trouble> {
        let (events, from) = self.reading.events();
        let events = events.get(from..).unwrap_or_default();
        let unwanted = events.iter().take_while(|event| !self.wants(event)).count();
        if unwanted > 0 {
            self.passed_over(events.get(..unwanted).unwrap_or_default());
            return Ok(());
        }
        let Some(delivery) = events.first().map(|event| self.delivery(event)) else { return Ok(()) };
        let count = self.how_many(events, delivery);
        let call = events.get(..count).unwrap_or_default();
        self.say(if delivery.catching_up { SinkState::CatchingUp } else { SinkState::Live });
        let result = self.put(call, delivery).await?;
        self.after_put(call, result).await
    }

    fn wants(&self, event: &StateEvent) -> bool {
        self.policy.filter.passes(event.tag()) && self.sink.wants(event.tag())
    }

    fn delivery(&self, event: &StateEvent) -> Delivery {
        let position = event.position();
        Delivery {
            catching_up: self.is_history(position),
            redelivered: self.cursor.put.is_some_and(|put| position <= put),
            unparked: false,
        }
    }

    /// How many of the events go into one call: wanted ones under the same circumstances, within all bounds.
    fn how_many(&mut self, events: &[StateEvent], delivery: Delivery) -> usize {
        let (taken, taken_bytes) = self.unflushed.map_or((0, 0), |unflushed| (unflushed.events, unflushed.bytes));
        let room = usize::try_from(self.policy.flush.events.saturating_sub(taken)).unwrap_or(usize::MAX);
        let room_bytes = usize::try_from(self.policy.flush.bytes.saturating_sub(taken_bytes)).unwrap_or(usize::MAX);
        let limit = self.next_limit.take().unwrap_or_else(|| self.isolation.limit()).min(room).max(1);
        let (mut count, mut bytes) = (0, 0);
        for event in events.iter().take(limit) {
            let same = count == 0 || (self.wants(event) && self.delivery(event) == delivery);
            let full = bytes >= room_bytes || bytes + event.bytes() > self.policy.batch_bytes;
            if !same || (count > 0 && full) {
                break;
            }
            count += 1;
            bytes += event.bytes();
        }
        count
    }

    /// Puts events, in a batch if the sink takes any.
    async fn put(
        &mut self,
        events: &[StateEvent],
        delivery: Delivery,
    ) -> Result<Result<BatchProgress, BatchError>, Trouble> {
        if let Some(key_value) = &self.key_value {
            key_value.begin();
        }
        if let (true, Some(batch)) = (events.len() > 1, self.sink.batch()) {
            return self.guard.call(batch.put_events(events, delivery)).await.ok_or(Trouble::Cut);
        }
        let mut progress = BatchProgress::default();
        for event in events {
            match self.guard.call(self.sink.put_event(event, delivery)).await.ok_or(Trouble::Cut)? {
                Ok(ack) => {
                    progress.taken += 1;
                    // Leading ones only: what follows an accepted event waits for its flush.
                    progress.durable += usize::from(ack == Ack::Durable && progress.durable + 1 == progress.taken);
                }
                Err(error) => return Ok(Err(BatchError { progress, error })),
            }
            if self.guard.is_called() {
                break;
            }
            if let Some(key_value) = &self.key_value {
                key_value.begin();
            }
        }
        Ok(Ok(progress))
    }

    /// Takes note of what a call came to.
    async fn after_put(
        &mut self,
        events: &[StateEvent],
        result: Result<BatchProgress, BatchError>,
    ) -> Result<(), Trouble> {
        let (progress, error) = match result {
            Ok(progress) => (progress, None),
            Err(BatchError { progress, error }) => (progress, Some(error)),
        };
        let usage = self.sink.usage();
        self.update(|progress| progress.status.usage = usage);
        let Some(error) = error else {
            self.took(events, progress);
            if self.isolation.is_active() {
                // One by one: what fails is charged to this event.
                let flushed = self.flush().await;
                flushed.map_err(|trouble| charge(trouble, events))?;
            }
            self.passed_isolation(events, progress.taken);
            return Ok(());
        };
        let was_batch = events.len() > 1 && self.sink.batch().is_some();
        if self.take_back_writes(&error) && was_batch && progress.taken > 0 {
            // The writes of the events taken cannot be told from those of the one refused: the former go again by themselves.
            self.next_limit = Some(progress.taken);
            return Ok(());
        }
        let refused = events.get(progress.taken).or(events.last()).cloned();
        let failed_alone = !was_batch;
        self.took(events, progress);
        self.passed_isolation(events, progress.taken);
        Err(self.trouble(events, refused, failed_alone, error))
    }

    fn trouble(&self, events: &[StateEvent], refused: Option<StateEvent>, alone: bool, error: SinkError) -> Trouble {
        let (event, error) = match (refused, error) {
            (Some(event), SinkError::Rejected { message }) => {
                return Trouble::Rejected { event: Box::new(event), message };
            }
            (event, error) => (event, error),
        };
        let Some(event) = event else { return Trouble::at(Doing::Open)(error) };
        let doing = Doing::Put { position: event.position(), tag: event.tag().to_owned() };
        let one = std::slice::from_ref(&event);
        // A trap in a batch tells nothing about which event it was.
        let events = if alone { Span::of(one) } else { Span::of(events) };
        self.charge_store(Trouble::Sink { doing, error: Box::new(error), events })
    }

    /// Leading events were taken by the sink.
    fn took(&mut self, events: &[StateEvent], progress: BatchProgress) {
        let events = events.get(..progress.taken).unwrap_or_default();
        let Some(last) = events.last() else { return };
        let bytes = |events: &[StateEvent]| events.iter().map(|event| event.bytes()).sum::<usize>();
        match &mut self.unflushed {
            Some(_) => drop(Unflushed::add(&mut self.unflushed, last.position(), events.len() as u64, bytes(events))),
            None => {
                let (durable, accepted) = events.split_at_checked(progress.durable).unwrap_or((events, &[]));
                if let Some(durable) = durable.last() {
                    self.cursor.durable = Some(Anchor::of(durable).into());
                }
                if !accepted.is_empty() {
                    Unflushed::add(&mut self.unflushed, last.position(), accepted.len() as u64, bytes(accepted));
                }
            }
        }
        self.cursor.put = self.cursor.put.max(Some(last.position()));
        self.moved(last, events.len(), true);
    }

    fn passed_isolation(&mut self, events: &[StateEvent], taken: usize) {
        let Some(last) = taken.checked_sub(1).and_then(|last| events.get(last)) else { return };
        self.isolation.passed(last.position(), taken);
        self.good += taken as u64;
        self.parked_in_row = 0;
        self.recovered();
    }

    /// Events that are not put count as durable, once what was accepted before them is.
    pub(super) fn passed_over(&mut self, events: &[StateEvent]) {
        let Some(last) = events.last() else { return };
        if self.unflushed.is_none() {
            self.cursor.durable = Some(Anchor::of(last).into());
        }
        self.isolation.passed(last.position(), 0);
        self.moved(last, events.len(), false);
    }

    /// The lane's place is behind this event.
    fn moved(&mut self, last: &StateEvent, events: usize, delivered: bool) {
        self.taken = Some(Place::from(Anchor::of(last)));
        let count = self.reading.pass(events);
        if delivered {
            self.count("hydrant_events_delivered_total", events as u64);
        }
        let (time, position) = (last.time(), last.position());
        self.update(|progress| {
            if delivered {
                progress.delivered(events as u64);
            }
            (progress.count, progress.time, progress.taken) = (count, time, Some(position));
        });
    }
}

/// A failed flush after a single event is about that event.
fn charge(trouble: Trouble, events: &[StateEvent]) -> Trouble {
    match trouble {
        Trouble::Sink { doing, error, .. } => Trouble::Sink { doing, error, events: Span::of(events) },
        other => other,
    }
}
