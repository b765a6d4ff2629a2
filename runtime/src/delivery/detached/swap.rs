//! Another version takes charge, and the way back.

use tokio::time::{Instant, timeout};

use super::guard::ORDERED;
use super::lane::{Lane, Phase};
use super::order::OrderError;
use super::trouble::Trouble;
use super::{NewVersion, load};
use crate::component::short_digest;
use crate::delivery::failure::Doing;
use crate::delivery::handover::{TakesOver, take_over};
use crate::delivery::policy::DetachedPolicy;
use crate::delivery::status::SinkState;
use crate::error_chain::chain;
use crate::event::last_event;
use crate::sink::{CloseReason, Opened, SinkError};
use crate::sink_store::{ActiveVersion, Change, Place, Saved, VersionRecord, WatchedSwap};

/// A swap whose failure would be returned from.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) until: Instant,
    swap: WatchedSwap,
}

impl Watch {
    /// Goes on watching a swap from before a restart.
    pub(super) fn resume(active: &ActiveVersion, policy: &DetachedPolicy) -> Option<Self> {
        active.watched.clone().map(|swap| Self { until: Instant::now() + policy.swap_watch, swap })
    }
}

impl Lane {
    /// Puts a new version in charge at the place where this one is. If anything fails before the switch, this one stays in charge.
    pub(super) async fn swap(&mut self, new: NewVersion, configured: bool) -> Result<String, OrderError> {
        let Some(active) = self.active.clone() else { return Err(OrderError::NotAComponent) };
        if new.digest == active.digest {
            return Ok(format!("version {} is in charge already", short_digest(&new.digest)));
        }
        let ((before, reason), start) = (self.state(), Instant::now());
        self.say(SinkState::Swapping);
        let swapped = self.try_swap(new, &active, configured).await;
        if swapped.is_ok() && before == SinkState::Paused {
            self.phase = Phase::Rest;
            self.say_why(SinkState::Paused, "an operator paused it");
        }
        let pause = start.elapsed().as_secs_f64() * 1e3;
        self.update(|progress| progress.status.swap_pause_ms = Some(pause));
        match &swapped {
            Ok(message) => tracing::info!(sink = &*self.name, "{message}"),
            Err(error) => {
                // Bringing the running version to rest may have led to another state, which tells more.
                if self.state().0 == SinkState::Swapping {
                    self.show(before, reason);
                }
                tracing::error!(
                    sink = &*self.name,
                    "swap refused, version {} stays in charge: {}",
                    short_digest(&active.digest),
                    chain(error)
                );
            }
        }
        swapped
    }

    /// The state shown, with its reason.
    pub(super) fn state(&self) -> (SinkState, Option<String>) {
        let status = &self.progress.borrow().status;
        (status.state, status.reason.clone())
    }

    async fn try_swap(
        &mut self,
        mut new: NewVersion,
        active: &ActiveVersion,
        configured: bool,
    ) -> Result<String, OrderError> {
        let saved = match self.quiesce().await {
            Ok(saved) => saved,
            Err(trouble) => {
                let words = trouble.to_string();
                self.settle(Err(trouble)).await;
                return Err(OrderError::Refused(format!("the running version could not be brought to rest: {words}")));
            }
        };
        let opened = timeout(ORDERED, self.open_new(&mut new, saved.as_ref())).await;
        match opened.unwrap_or_else(|_| Err(format!("it took longer than {ORDERED:?}"))) {
            Ok(start) => self.switch(new, active, configured, saved, start).await,
            Err(reason) => Err(OrderError::Refused(format!("the new version does not start: {reason}"))),
        }
    }

    /// Flushes, commits and saves.
    async fn quiesce(&mut self) -> Result<Option<Saved>, Trouble> {
        if !self.is_open {
            return Ok(None);
        }
        self.flush().await?;
        self.commit(Vec::new()).await?;
        self.save().await
    }

    /// The sink's state, if it hands any over.
    pub(super) async fn save(&mut self) -> Result<Option<Saved>, Trouble> {
        let Some(handover) = self.sink.handover() else { return Ok(None) };
        let saved = self.guard.call(handover.save()).await.ok_or(Trouble::Cut)?;
        saved.map(Some).map_err(Trouble::at(Doing::Handover))
    }

    /// Opens the new version and gives it the state; its place, or why it cannot take over.
    async fn open_new(&mut self, new: &mut NewVersion, saved: Option<&Saved>) -> Result<Option<Place>, String> {
        match take_over(&mut *new.sink, &self.open_info(), saved).await? {
            TakesOver::WithState => Ok(self.cursor.durable),
            TakesOver::At(opened) => {
                if new.key_value.is_some() && opened != Opened::Cursor && self.cursor.durable.is_some() {
                    return Err("it keeps state with key-value and asks for another place than the cursor".to_owned());
                }
                self.start_of(opened).map_err(|trouble| trouble.to_string())
            }
        }
    }

    /// The moment from which the new version is in charge is one commit.
    async fn switch(
        &mut self,
        new: NewVersion,
        active: &ActiveVersion,
        configured: bool,
        saved: Option<Saved>,
        start: Option<Place>,
    ) -> Result<String, OrderError> {
        let swap = WatchedSwap { from: active.digest.clone(), cursor: self.cursor.clone(), saved };
        let watched = (!self.policy.swap_watch.is_zero()).then_some(swap);
        let in_charge = ActiveVersion {
            configured: if configured { new.digest.clone() } else { active.configured.clone() },
            digest: new.digest.clone(),
            watched: watched.clone(),
        };
        let record = self.record(&new.digest, "swap");
        let change = Change::Activate { sink: self.name.clone(), active: in_charge.clone(), record };
        self.shared.store.commit(vec![change]).await?;
        let mut old = std::mem::replace(&mut self.sink, new.sink);
        self.key_value = new.key_value;
        self.active = Some(in_charge);
        self.watch = watched.map(|swap| Watch { until: Instant::now() + self.policy.swap_watch, swap });
        let was_open = std::mem::replace(&mut self.is_open, true);
        self.starts_over = self.sink.handover().is_none() && start.is_none();
        self.has_opened = true;
        // Closing is the old version's own affair and need not hold up the new one.
        let name = self.name.clone();
        tokio::spawn(async move {
            let closed = if was_open { old.close(CloseReason::Swap).await } else { Ok(()) };
            if let Err(error) = closed {
                tracing::warn!(sink = &*name, "while closing the version before: {error}");
            }
        });
        self.start_at(start);
        (self.open_failures, self.parked_in_row) = (0, 0);
        self.isolation = crate::delivery::isolation::Isolation::new(self.policy.batch_events);
        self.phase = Phase::Run;
        self.say(SinkState::CatchingUp);
        self.count("hydrant_swaps_total", 1);
        self.show_version();
        self.update(|progress| {
            progress.status.swaps += 1;
            progress.retry_at = None;
        });
        let (new, before) = (short_digest(&new.digest), short_digest(&active.digest));
        Ok(format!("version {new} took over from {before} after {}", last_event(start.map(|place| place.position))))
    }

    fn record(&self, digest: &str, reason: &str) -> VersionRecord {
        VersionRecord::now(digest, self.cursor.durable.map(|place| place.position), reason)
    }

    /// Whether this failure makes the version before take charge again.
    pub(super) fn returns_on(&self, error: &SinkError) -> bool {
        let failed = matches!(error, SinkError::Guest(_) | SinkError::Fatal { .. } | SinkError::Contract { .. });
        failed && self.watch.is_some()
    }

    /// The version before takes charge again, with cursor, state and key-value as they were at the switch.
    pub(super) async fn return_to_version_before(&mut self, doing: &Doing, error: &SinkError) {
        let reason = format!("failed {doing}: {}", chain(error));
        let irreversible = self.sink.version().is_some_and(|version| version.irreversible);
        self.forget_instance();
        let Some(watch) = self.watch.take() else { return };
        let swap = &watch.swap;
        let acked = self.cursor.durable.map(|place| place.position) > swap.cursor.durable.map(|place| place.position);
        if irreversible && acked {
            let why = "what it did cannot be taken back, so the version before is not put in charge again";
            return self.stop_for(&format!("{reason}; {why}")).await;
        }
        match self.try_return(swap, &reason).await {
            Ok(()) => {}
            Err(OrderError::Store(error)) => {
                // The store holds the sink up; the failure will show again, and the way back is tried again.
                self.watch = Some(watch);
                self.retry(Trouble::Store(error).to_string(), None, true);
            }
            Err(error) => {
                let why = format!("{reason}; the version before cannot be put in charge again: {}", chain(&error));
                self.stop_for(&why).await;
            }
        }
    }

    async fn try_return(&mut self, swap: &WatchedSwap, reason: &str) -> Result<(), OrderError> {
        let (Some(loader), Some(active)) = (self.loader.clone(), self.active.clone()) else {
            return Err(OrderError::NotAComponent);
        };
        let digest = swap.from.clone();
        let old = load(move || loader.load_kept(&digest)).await?;
        let mut cursor = swap.cursor.clone();
        cursor.put = self.cursor.put.max(cursor.put);
        let now = std::mem::replace(&mut self.cursor, cursor);
        let returned = ActiveVersion { configured: active.configured, digest: swap.from.clone(), watched: None };
        let why = format!("return, because {} {reason}", short_digest(&active.digest));
        let record = self.record(&swap.from, &why);
        let sink = self.name.clone();
        let changes = vec![
            Change::UndoWrites { sink: sink.clone() },
            Change::Activate { sink, active: returned.clone(), record },
        ];
        if let Err(error) = self.commit(changes).await {
            self.cursor = now;
            return Err(error.into());
        }
        tracing::error!(
            sink = &*self.name,
            "version {} {reason}; version {} is in charge again and is put everything after the swap once more",
            short_digest(&active.digest),
            short_digest(&swap.from)
        );
        (self.sink, self.key_value, self.active) = (old.sink, old.key_value, Some(returned));
        self.restore = swap.saved.clone();
        self.isolation = crate::delivery::isolation::Isolation::new(self.policy.batch_events);
        self.phase = Phase::Open;
        self.update(|progress| {
            progress.status.swaps += 1;
            progress.status.last_error = Some(reason.to_owned());
        });
        Ok(())
    }

    /// A version that has run well for its time stays.
    pub(super) async fn end_watch_when_over(&mut self) -> Result<(), Trouble> {
        if self.watch.as_ref().is_none_or(|watch| Instant::now() < watch.until) {
            return Ok(());
        }
        if let Some(active) = &mut self.active {
            let stays = ActiveVersion { watched: None, ..active.clone() };
            let change = Change::EndWatch { sink: self.name.clone(), active: stays.clone() };
            self.shared.store.commit(vec![change]).await?;
            *active = stays;
        }
        self.watch = None;
        Ok(())
    }
}
