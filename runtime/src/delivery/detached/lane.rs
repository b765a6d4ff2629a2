//! One detached sink: its state, and the loop that drives it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::guard::Guard;
use super::order::Envelope;
use super::reading::{Found, Reading};
use super::swap::Watch;
use super::trouble::Trouble;
use super::{DetachedSink, Shared, VersionLoader};
use crate::backoff::Backoff;
use crate::delivery::isolation::Isolation;
use crate::delivery::overrun::Overrun;
use crate::delivery::policy::DetachedPolicy;
use crate::delivery::status::{Progress, SinkState};
use crate::delivery::unflushed::Unflushed;
use crate::delivery::workers::Standing;
use crate::event::Position;
use crate::sink::EventSink;
use crate::sink_store::{ActiveVersion, Cursor, KeyValue, Place, Saved};
use crate::stream::Stream;

/// The least time between two commits of one sink: a sink that is as fast as the log would otherwise sync the disk for every page.
const COMMIT_EVERY: Duration = Duration::from_millis(50);

/// Uncommitted key-value bytes after which there is no waiting.
const COMMIT_BYTES: usize = 1 << 20;

/// Good events after which a sink that overran or broke a limit is in good standing again.
const REDEEMED_AFTER: u64 = 1_000;

/// What a lane is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Start an instance.
    Open,
    /// Put, flush, commit.
    Run,
    /// Wait until then, and go on with the same instance or another.
    Wait { until: Instant, reopen: bool },
    /// Nothing, until an operator says so.
    Rest,
}

/// How a lane's run came to an end.
pub(super) enum Ran {
    /// It goes on among sinks of another standing.
    Moves(Box<Lane>),
    /// It was told to end.
    Ended,
}

/// A detached sink.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) name: String,
    pub(super) sink: Box<dyn EventSink>,
    pub(super) key_value: Option<KeyValue>,
    pub(super) policy: DetachedPolicy,
    pub(super) loader: Option<Arc<dyn VersionLoader>>,
    pub(super) active: Option<ActiveVersion>,
    pub(super) shared: Shared,
    pub(super) stream: Stream,
    pub(super) guard: Guard,
    orders: mpsc::Receiver<Envelope>,
    waiting: watch::Sender<usize>,
    pub(super) progress: watch::Sender<Progress>,
    changed: watch::Receiver<u64>,
    pub(super) phase: Phase,
    /// Whether the sink has an instance that may be called.
    pub(super) is_open: bool,
    pub(super) has_opened: bool,
    /// Whether there is a cursor: it is not the sink's first start.
    pub(super) has_cursor: bool,
    /// The cursor as it is to be committed.
    pub(super) cursor: Cursor,
    pub(super) committed: Cursor,
    committed_at: Instant,
    /// The last event taken by this instance, or passed over for it.
    pub(super) taken: Option<Place>,
    pub(super) unflushed: Option<Unflushed>,
    pub(super) reading: Reading,
    pub(super) isolation: Isolation,
    pub(super) backoff: Backoff,
    /// Fewer events than usual for the next call.
    pub(super) next_limit: Option<usize>,
    pub(super) open_failures: u32,
    /// Whether what comes next for it is deleted.
    pub(super) has_gap: bool,
    /// How many ids of heads were known when the instance was opened.
    pub(super) heads_known: u64,
    pub(super) parked_in_row: u32,
    /// What the next instance is to restore.
    pub(super) restore: Option<Saved>,
    pub(super) watch: Option<Watch>,
    /// Whether its key-value speaks of events that are void since the stream was rewritten.
    pub(super) has_void_state: bool,
    /// Whether a fresh instance would be put everything from the beginning.
    pub(super) starts_over: bool,
    /// Whether the place where it started was found to be one of this stream's.
    pub(super) has_checked_start: bool,
    pub(super) standing: Standing,
    /// Good events since it overran or broke a limit.
    pub(super) good: u64,
    order: Option<Envelope>,
}

impl Lane {
    pub(super) fn new(
        id: u64,
        sink: DetachedSink,
        (cursor, went_back): (Option<Cursor>, bool),
        shared: Shared,
        orders: mpsc::Receiver<Envelope>,
        waiting: watch::Sender<usize>,
        progress: watch::Sender<Progress>,
    ) -> Self {
        let stream = shared.window.stream();
        let has_cursor = cursor.is_some();
        let has_void_state = has_cursor && went_back && sink.key_value.is_some();
        let mut cursor = cursor.unwrap_or_default();
        (cursor.stream, cursor.epoch) = (stream.name.clone(), stream.epoch);
        let (loader, active) = sink.versions.unzip();
        shared.window.join(id, cursor.durable.map(|place| place.position));
        progress.send_modify(|progress| {
            let status = &mut progress.status;
            status.sink = sink.name.clone();
            status.lane = "detached".to_owned();
            status.position = cursor.durable.map(|place| place.position);
        });
        let watch = active.as_ref().and_then(|active: &ActiveVersion| Watch::resume(active, &sink.policy));
        let lane = Self {
            isolation: Isolation::new(sink.policy.batch_events),
            guard: Guard::new(&waiting),
            changed: shared.window.watch(),
            reading: Reading::new(id),
            committed: cursor.clone(),
            name: sink.name,
            sink: sink.sink,
            key_value: sink.key_value,
            policy: sink.policy,
            loader,
            active,
            shared,
            stream,
            orders,
            waiting,
            progress,
            phase: Phase::Open,
            is_open: false,
            has_opened: false,
            has_cursor,
            cursor,
            committed_at: Instant::now(),
            taken: None,
            unflushed: None,
            backoff: Backoff::default(),
            next_limit: None,
            open_failures: 0,
            has_gap: false,
            heads_known: 0,
            parked_in_row: 0,
            restore: None,
            watch,
            has_void_state,
            starts_over: false,
            has_checked_start: false,
            standing: Standing::Good,
            good: 0,
            order: None,
        };
        lane.show_version();
        lane
    }

    /// Tells of its calls that take long on a processor.
    pub(super) fn overrun(&self) -> Overrun {
        self.guard.overrun.clone()
    }

    /// Which workers it is to run on.
    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn progress(&self) -> watch::Sender<Progress> {
        self.progress.clone()
    }

    /// Runs until told to end, or until the sink's standing is another.
    pub(super) async fn run(mut self, standing: Standing) -> Ran {
        self.count_parked();
        loop {
            if let Some(envelope) = self.order.take().or_else(|| self.orders.try_recv().ok()) {
                self.waiting.send_modify(|waiting| *waiting = waiting.saturating_sub(1));
                self.guard.obeying = true;
                let ends = self.obey(envelope.order, envelope.answer).await;
                self.guard.obeying = false;
                if ends {
                    return Ran::Ended;
                }
                continue;
            }
            match self.phase {
                Phase::Rest => self.order = self.next_order().await,
                Phase::Wait { until, reopen } => self.wait(until, reopen).await,
                Phase::Open => {
                    let opened = self.open().await;
                    self.settle(opened).await;
                }
                Phase::Run => {
                    let turned = self.turn().await;
                    self.settle(turned).await;
                }
            }
            if self.guard.overrun.take() {
                (self.standing, self.good) = (Standing::Poor, 0);
            }
            if self.standing != standing {
                return Ran::Moves(Box::new(self));
            }
        }
    }

    async fn next_order(&mut self) -> Option<Envelope> {
        match self.orders.recv().await {
            Some(order) => Some(order),
            // Nobody is left to give orders; `stop` aborts this task.
            None => std::future::pending().await,
        }
    }

    /// Waits before another attempt; what was accepted is flushed meanwhile.
    async fn wait(&mut self, until: Instant, reopen: bool) {
        let flush = self.unflushed.filter(|_| !reopen).map(|unflushed| unflushed.due(&self.policy.flush));
        let wake = flush.map_or(until, |flush| flush.min(until));
        tokio::select! {
            order = self.orders.recv() => self.order = order,
            () = sleep_until(wake) => {
                if wake < until {
                    let flushed = self.flush().await;
                    self.settle(flushed).await;
                } else {
                    self.phase = if reopen { Phase::Open } else { Phase::Run };
                    self.update(|progress| progress.retry_at = None);
                }
            }
        }
    }

    /// Does the next thing there is to do.
    async fn turn(&mut self) -> Result<(), Trouble> {
        self.end_watch_when_over().await?;
        if self.unflushed.is_some_and(|unflushed| unflushed.is_due(&self.policy.flush)) {
            self.flush().await?;
        }
        if self.recycle_is_due() || self.has_another_head() {
            return self.recycle().await;
        }
        if self.reading.is_empty() && !self.look().await? {
            return Ok(());
        }
        self.put_next().await?;
        if self.commit_is_due() {
            self.commit(Vec::new()).await?;
        }
        if self.standing == Standing::Poor && self.good >= REDEEMED_AFTER {
            self.standing = Standing::Good;
        }
        Ok(())
    }

    /// Looks for events; if there are none, finishes what there is and waits. True if events are in hand.
    async fn look(&mut self) -> Result<bool, Trouble> {
        self.changed.borrow_and_update();
        let after = self.taken.map(|place| place.position);
        match self.reading.fill(&self.shared, after, self.stream.epoch).await? {
            Found::Events => return Ok(true),
            Found::Rewritten(stream, common) => self.enter_epoch(*stream, common).await?,
            Found::Nothing => {
                self.caught_up()?;
                // At the end of the source there is nothing to wait for.
                if self.shared.window.has_ended() && self.unflushed.is_some() {
                    self.flush().await?;
                }
                let at_end = self.shared.window.has_ended() && self.has_to_commit();
                if at_end || self.commit_is_due() {
                    self.commit(Vec::new()).await?;
                    return Ok(false);
                }
                self.idle().await;
            }
        }
        Ok(false)
    }

    /// Nothing follows for now.
    fn caught_up(&mut self) -> Result<(), Trouble> {
        let newest = self.shared.window.newest();
        let at_end = match (newest, self.taken) {
            (Some(newest), Some(taken)) => taken.position >= newest.position,
            (newest, _) => newest.is_none(),
        };
        if self.shared.window.history_end().is_none() || !at_end {
            return Ok(());
        }
        self.check_start()?;
        self.has_checked_start = true;
        self.show_position();
        self.update(|progress| {
            if let Some(newest) = newest {
                (progress.count, progress.time) = (newest.count, newest.time);
            }
        });
        self.say(SinkState::Live);
        Ok(())
    }

    /// Waits for events, an order, or the next thing that is due.
    async fn idle(&mut self) {
        let flush = self.unflushed.map(|unflushed| unflushed.due(&self.policy.flush));
        let watch = self.watch.as_ref().map(|watch| watch.until);
        let commit = self.has_to_commit().then(|| self.committed_at + COMMIT_EVERY);
        let due = [flush, watch, commit].into_iter().flatten().min();
        tokio::select! {
            order = self.orders.recv() => self.order = order,
            _ = self.changed.changed() => {}
            () = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            } => {}
        }
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.cursor.durable != self.committed.durable
            || self.cursor.epoch != self.committed.epoch
            || !self.has_cursor
            || self.key_value.as_ref().is_some_and(|key_value| key_value.has_staged())
    }

    /// Whether there is something to commit that may be: key-value writes of puts that are not durable yet may not.
    fn has_to_commit(&self) -> bool {
        self.is_dirty() && (self.key_value.is_none() || self.unflushed.is_none())
    }

    fn commit_is_due(&self) -> bool {
        if !self.has_to_commit() {
            return false;
        }
        let large = || self.key_value.as_ref().is_some_and(|key_value| key_value.staged_bytes() >= COMMIT_BYTES);
        self.isolation.is_active() || self.committed_at.elapsed() >= COMMIT_EVERY || large()
    }

    pub(super) fn committed_now(&mut self) {
        self.committed_at = Instant::now();
    }

    /// Adds to one of the sink's counters.
    pub(super) fn count(&self, metric: &'static str, by: u64) {
        metrics::counter!(metric, "sink" => self.name.clone()).increment(by);
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(change);
    }

    /// Shows a state, without a reason.
    pub(super) fn say(&self, state: SinkState) {
        self.show(state, None);
    }

    /// Whether an event was there when hydrant started.
    pub(super) fn is_history(&self, position: Position) -> bool {
        self.shared.window.history_end().is_none_or(|end| end.is_some_and(|end| position <= end))
    }
}
