//! The end of the stream in memory, which the node fills and detached sinks read from.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::event::{Position, StateEvent, Time};
use crate::sink_store::Place;
use crate::stream::Stream;

/// Bytes of json kept. A sink that is further behind reads the log for itself.
const WINDOW_BYTES: usize = 8 << 20;

/// Events kept, which bounds the memory of many small ones.
const WINDOW_EVENTS: usize = 65_536;

/// How long reading history may be held up by sinks that are about to fall out of the window. One that needs longer falls out.
const PACE: Duration = Duration::from_millis(50);

/// Events in order, and how many came before them in the log.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) events: Arc<[StateEvent]>,
    /// Events of the log up to and including the last of these.
    pub(super) end: u64,
}

/// What the window has for a reader.
#[derive(Debug)]
pub(super) enum Glance {
    /// A run with the events that follow, from this index on.
    Run(Run, usize),
    /// Nothing follows yet.
    CaughtUp,
    /// What follows has left the window: it has to be read from the log.
    Behind,
    /// The stream was rewritten: everything after this place is void, and the epoch is another.
    Rewritten(Box<Stream>, Option<Place>),
}

/// The newest event of the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newest {
    pub(super) position: Position,
    pub(super) time: Option<Time>,
    /// Events of the log up to it.
    pub(super) count: u64,
}

/// A bounded number of the stream's last events. Writing to it waits for nobody, except that history may be read at the pace of sinks
/// that keep up.
#[derive(Debug)]
pub struct Window {
    inner: Mutex<Inner>,
    version: watch::Sender<u64>,
    drained: Notify,
    /// Counts the head ids that were known.
    heads: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    stream: Stream,
    head_id: Option<String>,
    /// What the rewritten stream has in common with the one before.
    common: Option<Place>,
    runs: VecDeque<Run>,
    bytes: usize,
    events: usize,
    /// The last event that has left the window.
    floor: Option<Position>,
    newest: Option<Newest>,
    /// The last event that was there at start, once it was read.
    history_end: Option<Option<Position>>,
    ended: bool,
    readers: BTreeMap<u64, Reader>,
}

#[derive(Debug)]
struct Reader {
    /// What it has taken from the window.
    after: Option<Position>,
    /// Whether it keeps up with the window.
    attached: bool,
}

impl Window {
    /// An empty window on a stream.
    pub fn new(stream: Stream) -> Self {
        let inner = Inner {
            stream,
            head_id: None,
            common: None,
            runs: VecDeque::new(),
            bytes: 0,
            events: 0,
            floor: None,
            newest: None,
            history_end: None,
            ended: false,
            readers: BTreeMap::new(),
        };
        Self {
            inner: Mutex::new(inner),
            version: watch::Sender::new(0),
            drained: Notify::new(),
            heads: AtomicU64::new(0),
        }
    }

    /// Adds events that follow those there.
    pub fn push(&self, events: Vec<StateEvent>) {
        if events.is_empty() {
            return;
        }
        self.lock().push(events);
        self.changed();
    }

    /// As [`push`](Self::push), but waits a little for sinks that keep up, so that history is read once for all of them.
    pub async fn push_history(&self, events: Vec<StateEvent>) {
        if timeout(PACE, self.room()).await.is_err() {
            self.lock().detach_slow();
        }
        self.push(events);
    }

    /// Says that all of history is there.
    pub fn end_history(&self) {
        {
            let mut inner = self.lock();
            inner.history_end = Some(inner.newest.map(|newest| newest.position));
        }
        self.changed();
    }

    /// Says that nothing will follow.
    pub fn end(&self) {
        self.lock().ended = true;
        self.changed();
    }

    /// Declares everything after a place void, and the stream another epoch.
    pub fn rewrite(&self, stream: Stream, common: Option<Place>) {
        {
            let mut inner = self.lock();
            inner.stream = stream;
            inner.common = common;
        }
        self.changed();
    }

    /// Says which head the newest events are of.
    pub fn set_head_id(&self, head_id: String) {
        {
            let mut inner = self.lock();
            inner.head_id = Some(head_id);
            self.heads.fetch_add(1, Ordering::Release);
        }
        self.changed();
    }

    /// The head's id, where it is known.
    pub(super) fn head_id(&self) -> Option<String> {
        self.lock().head_id.clone()
    }

    /// How many head ids were known so far, at the price of one load.
    pub(super) fn heads_known(&self) -> u64 {
        self.heads.load(Ordering::Acquire)
    }

    async fn room(&self) {
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            if self.lock().has_room() {
                return;
            }
            drained.await;
        }
    }

    fn changed(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    pub(super) fn stream(&self) -> Stream {
        self.lock().stream.clone()
    }

    pub(super) fn newest(&self) -> Option<Newest> {
        self.lock().newest
    }

    /// The last event that was there at start, once it was read; the inner option is none for an empty source.
    pub(super) fn history_end(&self) -> Option<Option<Position>> {
        self.lock().history_end
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// What follows a position, for a reader in an epoch.
    pub(super) fn look(&self, reader: u64, after: Option<Position>, epoch: u64) -> Glance {
        let mut inner = self.lock();
        if inner.stream.epoch != epoch {
            return Glance::Rewritten(Box::new(inner.stream.clone()), inner.common);
        }
        let glance = inner.look(after);
        let attached = !matches!(glance, Glance::Behind);
        let taken = match &glance {
            Glance::Run(run, _) => run.events.last().map(StateEvent::position),
            _ => after,
        };
        inner.note(reader, taken, attached);
        drop(inner);
        self.drained.notify_one();
        glance
    }

    /// Adds a reader that has everything up to a position.
    pub(super) fn join(&self, reader: u64, after: Option<Position>) {
        self.lock().note(reader, after, true);
    }

    /// Takes a reader that will take nothing for a while, or ever, off the list of those waited for.
    pub(super) fn leave(&self, reader: u64) {
        self.lock().readers.remove(&reader);
        self.drained.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Each method leaves the state whole, so a panic elsewhere does not spoil it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn push(&mut self, events: Vec<StateEvent>) {
        let Some(last) = events.last() else { return };
        let count = self.newest.map_or(0, |newest| newest.count) + events.len() as u64;
        self.newest = Some(Newest { position: last.position(), time: last.time(), count });
        self.bytes += bytes(&events);
        self.events += events.len();
        self.runs.push_back(Run { events: events.into(), end: count });
        // The last run stays however large it is: it may be a single huge event.
        while self.runs.len() > 1 && self.is_full() {
            let Some(gone) = self.runs.pop_front() else { return };
            self.bytes -= bytes(&gone.events);
            self.events -= gone.events.len();
            self.floor = gone.events.last().map(StateEvent::position).or(self.floor);
        }
    }

    fn is_full(&self) -> bool {
        self.bytes > WINDOW_BYTES || self.events > WINDOW_EVENTS
    }

    fn look(&self, after: Option<Position>) -> Glance {
        if self.floor.is_some_and(|floor| after.is_none_or(|after| after < floor)) {
            return Glance::Behind;
        }
        let follows = |event: &StateEvent| after.is_none_or(|after| event.position() > after);
        let index = self.runs.partition_point(|run| run.events.last().is_none_or(|last| !follows(last)));
        match self.runs.get(index) {
            Some(run) => Glance::Run(run.clone(), run.events.partition_point(|event| !follows(event))),
            None => Glance::CaughtUp,
        }
    }

    fn note(&mut self, reader: u64, after: Option<Position>, attached: bool) {
        self.readers.insert(reader, Reader { after, attached });
    }

    /// Whether a further page pushes nothing out that a reader that keeps up has yet to take.
    fn has_room(&self) -> bool {
        let half_full = self.bytes > WINDOW_BYTES / 2 || self.events > WINDOW_EVENTS / 2;
        let next_out = self.runs.front().and_then(|run| run.events.last()).map(StateEvent::position);
        !half_full || !self.readers.values().any(|reader| reader.attached && reader.after < next_out)
    }

    fn detach_slow(&mut self) {
        let next_out = self.runs.front().and_then(|run| run.events.last()).map(StateEvent::position);
        for reader in self.readers.values_mut() {
            reader.attached &= reader.after >= next_out;
        }
    }
}

fn bytes(events: &[StateEvent]) -> usize {
    events.iter().map(|event| event.bytes()).sum()
}
