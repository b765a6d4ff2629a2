//! Flushing, committing, and what follows from trouble: the rules of DESIGN's "detached sink" in one place.

use std::time::Duration;

use tokio::time::Instant;

use super::lane::{Lane, Phase};
use super::trouble::{Span, Trouble};
use crate::component::{FailureKind, GuestFailure};
use crate::delivery::failure::{Doing, SinkFailure};
use crate::delivery::isolation::Verdict;
use crate::delivery::policy::OnFailure;
use crate::delivery::status::SinkState;
use crate::delivery::workers::Standing;
use crate::error_chain::chain;
use crate::event::StateEvent;
use crate::sink::{CloseReason, SinkError};
use crate::sink_store::{Change, Place, StoreError};

/// Before something is looked at again that will be there in a moment.
pub(super) const SOON: Duration = Duration::from_millis(5);

/// The longest wait that a sink may ask for: an operator would take a longer silence for a fault.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// So many instances in a row may fail to start.
const OPEN_FAILURES: u32 = 5;

impl Lane {
    /// Flushes if something was accepted: everything taken so far is durable then.
    pub(super) async fn flush(&mut self) -> Result<(), Trouble> {
        let Some(unflushed) = self.unflushed else { return Ok(()) };
        if let Some(key_value) = &self.key_value {
            key_value.begin();
        }
        let flushed = self.guard.call(self.sink.flush()).await.ok_or(Trouble::Cut)?;
        if let Err(error) = flushed {
            self.take_back_writes(&error);
            return Err(self.charge_store(Trouble::at(Doing::Flush { up_to: unflushed.up_to })(error)));
        }
        self.unflushed = None;
        self.cursor.durable = self.taken;
        tracing::debug!(sink = &*self.name, "flushed up to {}", unflushed.up_to);
        Ok(())
    }

    /// A call failed: what it wrote is taken back, unless the instance goes and all its uncommitted writes with it. True if it was.
    pub(super) fn take_back_writes(&self, error: &SinkError) -> bool {
        match &self.key_value {
            Some(key_value) if !matches!(error, SinkError::Guest(_)) => {
                key_value.roll_back();
                true
            }
            _ => false,
        }
    }

    /// Makes cursor and key-value durable, with other changes.
    pub(super) async fn commit(&mut self, more: Vec<Change>) -> Result<(), StoreError> {
        let mut changes = vec![Change::Cursor { sink: self.name.clone(), cursor: self.cursor.clone() }];
        let staged = self.key_value.as_ref().filter(|_| self.unflushed.is_none());
        changes.extend(staged.map(|key_value| key_value.staged()).unwrap_or_default());
        changes.extend(more);
        self.shared.store.commit(changes).await?;
        if let Some(key_value) = self.key_value.as_ref().filter(|_| self.unflushed.is_none()) {
            key_value.discard();
        }
        self.committed = self.cursor.clone();
        self.has_cursor = true;
        self.committed_now();
        self.show_position();
        Ok(())
    }

    /// Shows how far the sink is. A place that no event was seen at may be none of this stream's, which turns out at its end.
    pub(super) fn show_position(&self) {
        let newest = self.shared.window.newest().map(|newest| newest.position);
        let is_certain =
            |place: &Place| place.hash.is_some() || Some(place.position) <= newest || self.has_checked_start;
        // Durable at the target, and known to be so after a crash.
        let behind =
            self.cursor.durable.map(|place| place.position) < self.committed.durable.map(|place| place.position);
        let durable = if behind { self.cursor.durable } else { self.committed.durable };
        let position = durable.filter(|_| self.cursor.durable.is_none_or(|place| is_certain(&place)));
        let position = position.map(|place| place.position);
        self.update(|progress| progress.status.position = position);
    }

    /// Something good happened: the next wait is short again.
    pub(super) fn recovered(&mut self) {
        if self.open_failures == 0 {
            self.backoff.reset();
        }
    }

    /// Deals with what went wrong, if anything did.
    pub(super) async fn settle(&mut self, result: Result<(), Trouble>) {
        let Err(trouble) = result else { return };
        match trouble {
            Trouble::Cut => {
                self.forget_instance();
                self.phase = Phase::Open;
            }
            Trouble::Store(_) => self.retry(trouble.to_string(), None, !self.is_open),
            Trouble::Source(_) => {
                self.reading.reset();
                self.retry(trouble.to_string(), None, !self.is_open);
            }
            Trouble::Rejected { event, message } => {
                let rejected = self.reject(&event, message).await;
                // Parking flushes and commits; what goes wrong there is no rejection.
                if let Err(trouble) = rejected {
                    Box::pin(self.settle(Err(trouble))).await;
                }
            }
            Trouble::Sink { doing, error, events } => self.sink_failed(doing, *error, events).await,
        }
    }

    async fn sink_failed(&mut self, doing: Doing, error: SinkError, events: Option<Box<Span>>) {
        if self.returns_on(&error) {
            return self.return_to_version_before(&doing, &error).await;
        }
        match error {
            SinkError::Retry { after, message } => {
                let reopen = doing == Doing::Open;
                if reopen {
                    self.forget_instance();
                }
                self.retry(message, after, reopen);
            }
            SinkError::Guest(failure) => {
                if matches!(failure.kind, FailureKind::Limit { .. }) {
                    (self.standing, self.good) = (Standing::Poor, 0);
                }
                self.guest_failed(doing, failure, events).await;
            }
            SinkError::Target(_) => {
                // A native sink's target: unavailable until it is there again. A new instance finds out what it holds.
                self.close(CloseReason::Failure).await;
                self.retry(format!("failed {doing}: {}", chain(&error)), None, true);
            }
            error => self.stop(doing, error).await,
        }
    }

    /// A trap or a broken limit: a new instance, and the search for the event that causes it.
    async fn guest_failed(&mut self, doing: Doing, failure: GuestFailure, events: Option<Box<Span>>) {
        self.forget_instance();
        let reason = format!("failed {doing}: {}", chain(&failure));
        let verdict = match &events {
            Some(span) => self.isolation.failed(span.first.position(), span.last.position()),
            None => {
                self.open_failures += 1;
                if self.open_failures >= OPEN_FAILURES {
                    return self.stop(doing, failure.into()).await;
                }
                Verdict::Again
            }
        };
        self.update(|progress| progress.status.restarts += 1);
        self.count("hydrant_restarts_total", 1);
        match (verdict, events) {
            (Verdict::Park(_), Some(span)) => {
                // Parking may stop the sink, and then nothing is opened.
                self.phase = Phase::Open;
                let parked = self.park(&span.first, reason, Some(&failure)).await;
                if let Err(trouble) = parked {
                    Box::pin(self.settle(Err(trouble))).await;
                }
            }
            _ => self.retry(reason, None, true),
        }
    }

    /// Waits, and goes on with the same instance or a new one.
    pub(super) fn retry(&mut self, reason: String, after: Option<Duration>, reopen: bool) {
        let after = after.unwrap_or_default().min(MAX_RETRY_AFTER);
        let wait = self.backoff.wait().max(after);
        let until = Instant::now() + wait;
        self.phase = Phase::Wait { until, reopen };
        self.count("hydrant_retries_total", 1);
        let is_new = self.say_why(SinkState::Retrying, &reason);
        self.update(|progress| {
            progress.status.last_error = Some(reason.clone());
            progress.retry_at = Some(until);
        });
        if is_new {
            tracing::warn!(sink = &*self.name, "{reason}; trying again in {wait:?}");
        } else {
            tracing::debug!(sink = &*self.name, "{reason}; trying again in {wait:?}");
        }
    }

    /// Shows a state with its reason; true if that was not the state and reason before.
    pub(super) fn say_why(&self, state: SinkState, reason: &str) -> bool {
        self.show(state, Some(reason.to_owned()))
    }

    /// Shows a state, with its reason if it has one; true if that was not shown before.
    pub(super) fn show(&self, state: SinkState, reason: Option<String>) -> bool {
        self.progress.send_if_modified(|progress| {
            let status = &mut progress.status;
            let is_new = status.state != state || status.reason != reason;
            (status.state, status.reason) = (state, reason);
            is_new
        })
    }

    /// The sink stops, or the process does.
    pub(super) async fn stop(&mut self, doing: Doing, error: SinkError) {
        let failure = SinkFailure { sink: self.name.clone(), doing, error, log_tail: self.sink.log_tail() };
        let reason = format!("failed {}: {}", failure.doing, chain(&failure.error));
        self.report_tail();
        if self.policy.on_failure == OnFailure::Terminate {
            // One failure ends the process; a second one changes nothing. It is told before the sink counts as stopped.
            let _ = self.shared.failures.try_send(failure);
        }
        self.stop_for(&reason).await;
    }

    /// The sink stops for a reason of the host's own.
    pub(super) async fn stop_for(&mut self, reason: &str) {
        self.phase = Phase::Rest;
        self.close(CloseReason::Failure).await;
        self.forget_instance();
        // What is known durable is kept; a failing store changes nothing about that the sink stops.
        let kept = if self.is_dirty() { self.commit(Vec::new()).await } else { Ok(()) };
        if let Err(error) = kept {
            tracing::warn!(sink = &*self.name, "its cursor could not be kept: {}", chain(&error));
        }
        self.reading.leave(&self.shared);
        self.say_why(SinkState::Stopped, reason);
        self.update(|progress| {
            progress.status.last_error = Some(reason.to_owned());
            progress.retry_at = None;
        });
        tracing::error!(
            sink = &*self.name,
            "stopped: {reason}; durable up to {}; mend the cause, then `hydrant resume {}`",
            self.cursor.in_words(),
            self.name
        );
    }

    fn report_tail(&self) {
        let tail = self.sink.log_tail();
        if !tail.is_empty() {
            tracing::error!(sink = &*self.name, "its last lines:");
        }
        for line in tail {
            tracing::error!(sink = &*self.name, "  | {line}");
        }
    }

    /// Rejected by the sink: parked, passed over, or the end.
    async fn reject(&mut self, event: &StateEvent, message: String) -> Result<(), Trouble> {
        use crate::delivery::policy::OnReject;
        self.count("hydrant_rejected_total", 1);
        match self.policy.on_reject {
            OnReject::Park => self.park(event, format!("rejected: {message}"), None).await,
            OnReject::Skip => {
                tracing::warn!(sink = &*self.name, "event {} is passed over, rejected: {message}", event.position());
                self.passed_over(std::slice::from_ref(event));
                self.update(|progress| progress.status.skipped += 1);
                Ok(())
            }
            OnReject::Stop => {
                let doing = Doing::Put { position: event.position(), tag: event.tag().to_owned() };
                self.stop(doing, SinkError::Rejected { message }).await;
                Ok(())
            }
        }
    }
}
