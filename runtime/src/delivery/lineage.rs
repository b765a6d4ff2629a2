//! Whether the source's history is the one that was delivered before.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::policy::{OnDivergence, OnGap};
use crate::event::{Position, StateEvent, last_event};
use crate::sink_store::{Change, Epoch, Place, SinkStore, StoreError};
use crate::stream::{Anchor, Anchors, Stream};

/// How often the last events are kept. They may be older than a cursor, which has a hash of its own.
const KEEP_EVERY: Duration = Duration::from_secs(5);

/// Where a stream's history parts from what was delivered before.
#[derive(Debug, thiserror::Error)]
#[error(
    "stream {stream} has diverged: {expected} was there before, now {found}{}; detached sinks with a cursor: {}",
    common.map_or_else(String::new, |common| format!("; both have event {} and what is before it", common.position)),
    sinks.join(", ")
)]
pub struct Divergence {
    /// The stream.
    pub stream: String,
    /// What was there.
    pub expected: Anchor,
    /// What is there now, in words.
    pub found: String,
    /// The last event known to be in both.
    pub common: Option<Place>,
    /// Sinks with a cursor in the stream.
    pub sinks: Vec<String>,
}

/// The source's history is not what was delivered from it before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Departure {
    /// It has other events under the same ids, or ends before them.
    #[error(transparent)]
    Diverged(Box<Divergence>),
    /// It no longer reaches back to a cursor.
    #[error(
        "stream {stream} has a gap: sink {sink:?} has everything up to event {last}, the oldest event there now is {oldest}"
    )]
    Gap {
        /// The stream.
        stream: String,
        /// The sink.
        sink: String,
        /// Its cursor.
        last: Position,
        /// The oldest position there is.
        oldest: Position,
    },
    /// A cursor is a place in another stream.
    #[error("the cursor of sink {sink:?} is a place in stream {of}, but the event source is stream {stream}")]
    OtherStream {
        /// The sink.
        sink: String,
        /// The cursor's stream.
        of: String,
        /// The source's.
        stream: String,
    },
    /// What is known of the stream could not be read or kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A sink's cursor and what the sink says about a history that does not fit it.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) sink: String,
    pub(super) durable: Option<Place>,
    pub(super) on_divergence: OnDivergence,
    pub(super) on_gap: OnGap,
}

/// Compares history, as it is read at start, with the stream's last events and the sinks' cursors; keeps the last events for the next
/// start.
#[derive(Debug)]
pub struct Lineage {
    stream: Stream,
    store: SinkStore,
    claims: Vec<Claim>,
    /// What has to be found in the history, in order.
    known: VecDeque<Anchor>,
    oldest: Option<Position>,
    newest: Option<Position>,
    common: Option<Place>,
    anchors: Anchors,
    kept_at: Instant,
    keeping: Option<JoinHandle<Result<(), StoreError>>>,
}

/// The stream begins another epoch.
#[derive(Clone, Debug)]
pub(crate) struct Rewritten {
    pub(crate) stream: Stream,
    pub(crate) common: Option<Place>,
}

impl Lineage {
    pub(super) fn new(stream: Stream, store: SinkStore, claims: Vec<Claim>) -> Result<Self, StoreError> {
        let cursors = claims.iter().filter_map(|claim| claim.durable?.anchor());
        let mut known: Vec<Anchor> = store.anchors(&stream.name)?.into_iter().chain(cursors).collect();
        known.sort_by_key(|anchor| anchor.position);
        known.dedup();
        Ok(Self {
            stream,
            store,
            claims,
            known: known.into(),
            oldest: None,
            newest: None,
            common: None,
            anchors: Anchors::default(),
            kept_at: Instant::now(),
            keeping: None,
        })
    }

    /// Looks at events of history before they are delivered. If they show that history was rewritten and all sinks want it put again,
    /// the stream begins another epoch.
    pub(crate) async fn check(&mut self, events: &[StateEvent]) -> Result<Option<Rewritten>, Departure> {
        let mut rewritten = None;
        if let (None, Some(first)) = (self.oldest, events.first()) {
            self.begin(first.position())?;
        }
        for event in events {
            while let Some(known) = self.known.front().copied().filter(|known| known.position <= event.position()) {
                let here = Anchor::of(event);
                if known == here {
                    self.common = Some(here.into());
                    self.known.pop_front();
                    continue;
                }
                let found = if known.position == here.position {
                    format!("{here} is in its place")
                } else {
                    format!("it is missing before event {}", here.position)
                };
                rewritten = Some(self.diverged(known, found).await?);
            }
            self.anchors.push(event);
        }
        self.newest = events.last().map(StateEvent::position).or(self.newest);
        Ok(rewritten)
    }

    /// Looks at the end of history.
    pub(crate) async fn check_end(&mut self) -> Result<Option<Rewritten>, Departure> {
        let Some(known) = self.known.front().copied() else { return Ok(None) };
        let found = match self.newest {
            Some(newest) => format!("the log ends at event {newest}"),
            None => "the log is empty".to_owned(),
        };
        self.diverged(known, found).await.map(Some)
    }

    /// Takes note of events that were delivered after history.
    pub(crate) fn follow(&mut self, events: &[StateEvent]) {
        for event in events {
            self.anchors.push(event);
        }
    }

    /// Keeps the last events now and then, waiting for nothing.
    pub(crate) fn keep_now_and_then(&mut self) {
        let busy = self.keeping.as_ref().is_some_and(|keeping| !keeping.is_finished());
        if !busy && self.known.is_empty() && self.kept_at.elapsed() >= KEEP_EVERY {
            self.kept_at = Instant::now();
            self.keeping = self.changes().map(|changes| {
                let store = self.store.clone();
                tokio::spawn(async move { store.commit(changes).await })
            });
        }
    }

    /// Keeps the last events.
    pub(crate) async fn keep(&mut self) -> Result<(), StoreError> {
        match self.changes().filter(|_| self.known.is_empty()) {
            Some(changes) => self.store.commit(changes).await,
            None => Ok(()),
        }
    }

    fn changes(&self) -> Option<Vec<Change>> {
        self.anchors.last()?;
        Some(vec![Change::Anchors { stream: self.stream.name.clone(), anchors: self.anchors.iter().collect() }])
    }

    /// The oldest event is known: whoever needs what came before it has a gap.
    fn begin(&mut self, oldest: Position) -> Result<(), Departure> {
        self.oldest = Some(oldest);
        self.known.retain(|known| known.position >= oldest);
        for claim in &self.claims {
            let Some(last) = claim.durable.map(|place| place.position).filter(|last| *last < oldest) else { continue };
            // A place named by an operator may lie before the oldest event; no event of it was ever seen.
            if claim.durable.is_none_or(|place| place.hash.is_none()) {
                continue;
            }
            if claim.on_gap == OnGap::Stop {
                let (stream, sink) = (self.stream.name.clone(), claim.sink.clone());
                return Err(Departure::Gap { stream, sink, last, oldest });
            }
            tracing::warn!(
                sink = &*claim.sink,
                "the source has a gap: the cursor is event {last}, the oldest event there is {oldest}; going on from there"
            );
        }
        Ok(())
    }

    async fn diverged(&mut self, expected: Anchor, found: String) -> Result<Rewritten, Departure> {
        let common = self.common;
        let concerned = self.claims.iter().filter(|claim| claim.durable.is_some());
        if concerned.clone().any(|claim| claim.on_divergence == OnDivergence::Stop) {
            let sinks = concerned.map(|claim| claim.sink.clone()).collect();
            let stream = self.stream.name.clone();
            return Err(Departure::Diverged(Box::new(Divergence { stream, expected, found, common, sinks })));
        }
        self.stream.epoch += 1;
        tracing::warn!(
            "stream {} has diverged: {expected} was there before, now {found}; everything after {} is put again as epoch {}",
            self.stream.name,
            last_event(common.map(|common| common.position)),
            self.stream.epoch
        );
        self.known.clear();
        let epoch = Epoch { number: self.stream.epoch, common };
        let change = Change::Epoch { stream: self.stream.name.clone(), epoch };
        let anchors = Change::Anchors { stream: self.stream.name.clone(), anchors: self.anchors.iter().collect() };
        self.store.commit(vec![change, anchors]).await?;
        Ok(Rewritten { stream: self.stream.clone(), common })
    }
}
