//! The detached lane: each sink in its own task on the guest workers, with its own cursor, at its own pace.

mod guard;
mod lane;
mod obey;
mod open;
mod order;
mod park;
mod put;
mod reading;
mod settle;
mod swap;
mod trouble;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::failure::SinkFailure;
use super::lineage::{Claim, Departure, Lineage};
use super::overrun::{Among, Left, Running};
use super::policy::DetachedPolicy;
use super::status::{Progress, SinkState, SinkStatus};
use super::window::Window;
use super::workers::{GuestWorkers, Standing};
use crate::event::Position;
use crate::sink::EventSink;
use crate::sink_store::{ActiveVersion, Cursor, KeyValue, SinkStore};
use crate::source::Reopen;

pub use order::{Order, OrderError};

use lane::{Lane, Ran};
use order::{Answer, Envelope};

/// Orders that may wait for one sink.
const ORDERS: usize = 16;

/// A sink of some version, not yet open.
#[derive(Debug)]
pub struct NewVersion {
    /// The sink.
    pub sink: Box<dyn EventSink>,
    /// Its key-value, if it has one.
    pub key_value: Option<KeyValue>,
    /// sha256 of its component, in hex.
    pub digest: String,
}

/// Makes sinks of other versions of a component, and keeps the components so that a version can be returned to.
pub trait VersionLoader: fmt::Debug + Send + Sync {
    /// Loads and checks a component, and keeps it. Blocks while it is compiled.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with it. Nothing of it has run.
    fn load(&self, wasm: &[u8]) -> Result<NewVersion, Box<dyn Error + Send + Sync>>;

    /// Loads a component that was kept, by its digest.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load), or that it is not there.
    fn load_kept(&self, digest: &str) -> Result<NewVersion, Box<dyn Error + Send + Sync>>;
}

/// Loads a version without holding up other tasks.
pub(super) async fn load<E: Into<Box<dyn Error + Send + Sync>> + Send + 'static>(
    load: impl FnOnce() -> Result<NewVersion, E> + Send + 'static,
) -> Result<NewVersion, OrderError> {
    let loaded = tokio::task::spawn_blocking(load).await.map_err(|error| OrderError::Load(error.into()))?;
    loaded.map_err(|error| OrderError::Load(error.into()))
}

/// A sink to be put on the detached lane.
#[derive(Debug)]
pub struct DetachedSink {
    /// Its name, unique in the data directory: its cursor is kept under it.
    pub name: String,
    /// The sink, not yet open.
    pub sink: Box<dyn EventSink>,
    /// Its key-value, if it has one.
    pub key_value: Option<KeyValue>,
    /// How it is driven.
    pub policy: DetachedPolicy,
    /// For components: how other versions are loaded, and which is in charge.
    pub versions: Option<(Arc<dyn VersionLoader>, ActiveVersion)>,
}

/// What all lanes share.
#[derive(Clone, Debug)]
struct Shared {
    window: Arc<Window>,
    store: SinkStore,
    reopen: Reopen,
    failures: mpsc::Sender<SinkFailure>,
}

/// The detached sinks of a node, each running in its own task. Dropping this does not stop them; [`stop`](Self::stop) does.
#[derive(Debug)]
pub struct Detached {
    shared: Shared,
    lanes: Vec<LaneHandle>,
    failures: tokio::sync::Mutex<mpsc::Receiver<SinkFailure>>,
}

#[derive(Debug)]
struct LaneHandle {
    name: String,
    orders: mpsc::Sender<Envelope>,
    waiting: watch::Sender<usize>,
    progress: watch::Receiver<Progress>,
    versions: Option<Arc<dyn VersionLoader>>,
    task: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

/// How long a stop waits for a sink beyond what its own limits on flush and close allow.
const STOP_GRACE: Duration = Duration::from_secs(90);

impl Detached {
    /// Starts the sinks, each from its cursor. They read what is pushed to the window.
    ///
    /// # Errors
    ///
    /// [`Departure::Store`] if cursors cannot be read, [`Departure::OtherStream`] if one is a place in another stream.
    pub fn start(
        sinks: Vec<DetachedSink>,
        window: &Arc<Window>,
        store: &SinkStore,
        reopen: Reopen,
        workers: &GuestWorkers,
    ) -> Result<(Self, Lineage), Departure> {
        let stream = window.stream();
        let (failed, failures) = mpsc::channel(1);
        let shared = Shared { window: Arc::clone(window), store: store.clone(), reopen, failures: failed };
        let epoch = store.epoch(&stream.name)?;
        let (mut claims, mut lanes) = (Vec::new(), Vec::new());
        for sink in sinks {
            let mut cursor = store.cursor(&sink.name)?;
            if let Some(cursor) = cursor.as_ref().filter(|cursor| cursor.stream != stream.name) {
                let (of, stream) = (cursor.stream.clone(), stream.name.clone());
                return Err(Departure::OtherStream { sink: sink.name, of, stream });
            }
            let before = cursor.as_ref().and_then(|cursor| cursor.durable);
            if let Some(cursor) = &mut cursor {
                cursor.enter(epoch);
            }
            let went_back = cursor.as_ref().and_then(|cursor| cursor.durable) != before;
            claims.push(Claim {
                sink: sink.name.clone(),
                durable: cursor.as_ref().and_then(|cursor| cursor.durable),
                on_divergence: sink.policy.on_divergence,
                on_gap: sink.policy.on_gap,
            });
            lanes.push((sink, (cursor, went_back)));
        }
        let lineage = Lineage::new(stream, store.clone(), claims)?;
        let lanes = lanes.into_iter().enumerate();
        let lanes = lanes.map(|(id, (sink, cursor))| start_lane(id as u64, sink, cursor, &shared, workers)).collect();
        Ok((Self { shared, lanes, failures: failures.into() }, lineage))
    }

    /// The window that the sinks read.
    pub fn window(&self) -> &Arc<Window> {
        &self.shared.window
    }

    /// The sinks' names, in the order configured.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.lanes.iter().map(|lane| &*lane.name)
    }

    /// What each sink is doing, in the order configured.
    pub fn statuses(&self) -> Vec<SinkStatus> {
        let newest = self.shared.window.newest();
        self.lanes.iter().map(|lane| lane.progress.borrow().now(newest)).collect()
    }

    /// Gives an order to a sink and waits until it is obeyed; the answer is for the operator. A guest's call that is under way gets a
    /// moment to end, and is then cut off.
    ///
    /// # Errors
    ///
    /// [`OrderError`].
    pub async fn order(&self, sink: &str, order: Order) -> Result<String, OrderError> {
        self.lane(sink)?.order(order).await
    }

    /// Loads a component and puts it in charge of a sink. It is compiled while the version before runs on. `configured`: the component is
    /// the sink's configured file itself, which was replaced.
    ///
    /// # Errors
    ///
    /// [`OrderError`]; then the version before is still in charge.
    pub async fn swap(&self, sink: &str, wasm: Vec<u8>, configured: bool) -> Result<String, OrderError> {
        let lane = self.lane(sink)?;
        let loader = lane.versions.clone().ok_or(OrderError::NotAComponent)?;
        let new = load(move || loader.load(&wasm)).await?;
        lane.order(Order::Swap { new: Box::new(new), configured }).await
    }

    fn lane(&self, sink: &str) -> Result<&LaneHandle, OrderError> {
        let unknown =
            || OrderError::UnknownSink { sink: sink.to_owned(), known: self.names().map(str::to_owned).collect() };
        self.lanes.iter().find(|lane| lane.name == sink).ok_or_else(unknown)
    }

    /// Waits until every sink that runs has made everything in the window durable, up to `end`. Calls `watch` with the statuses now and
    /// then. A sink that is paused or stopped is not waited for.
    pub async fn drained(&self, end: Option<Position>, mut watch: impl FnMut(&[SinkStatus])) {
        let is_done = |progress: &Progress| {
            let status = &progress.status;
            match status.state {
                SinkState::Paused | SinkState::Stopped => true,
                // Until it has opened it may yet ask for events again.
                SinkState::Starting | SinkState::Retrying => false,
                _ => status.position >= end,
            }
        };
        for lane in &self.lanes {
            let mut progress = lane.progress.clone();
            // An error is a task that has ended.
            while let Err(_elapsed) = timeout(Duration::from_millis(200), progress.wait_for(is_done)).await {
                watch(&self.statuses());
            }
        }
    }

    /// The failure of a sink whose failures end the process.
    pub async fn failure(&self) -> SinkFailure {
        match self.failures.lock().await.recv().await {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }

    /// Flushes and closes every sink and waits for their tasks.
    pub async fn stop(&self) {
        let stopped = async {
            // All are told before any is waited for.
            let mut answers = Vec::new();
            for lane in &self.lanes {
                answers.push(lane.send(Order::Stop).await);
            }
            for answer in answers.into_iter().flatten() {
                let _ = answer.await;
            }
        };
        if timeout(STOP_GRACE, stopped).await.is_err() {
            tracing::warn!("some detached sinks did not end in time; what they accepted will be put again");
        }
        for lane in &self.lanes {
            if let Some(task) = lane.task.lock().await.take() {
                task.abort();
                let _ = task.await;
            }
        }
    }
}

impl LaneHandle {
    async fn order(&self, order: Order) -> Result<String, OrderError> {
        self.send(order).await?.await.map_err(|_| OrderError::Ended)?
    }

    async fn send(&self, order: Order) -> Result<Answer, OrderError> {
        let (envelope, answer) = Envelope::new(order);
        let place = self.orders.reserve().await.map_err(|_| OrderError::Ended)?;
        // Counted and sent without a pause between: whoever asks may go away at any await.
        self.waiting.send_modify(|waiting| *waiting += 1);
        place.send(envelope);
        Ok(answer)
    }
}

fn start_lane(
    id: u64,
    sink: DetachedSink,
    cursor: (Option<Cursor>, bool),
    shared: &Shared,
    workers: &GuestWorkers,
) -> LaneHandle {
    let (orders, inbox) = mpsc::channel(ORDERS);
    let waiting = watch::Sender::new(0);
    let progress = watch::Sender::new(Progress::default());
    let handle = LaneHandle {
        name: sink.name.clone(),
        orders,
        waiting: waiting.clone(),
        progress: progress.subscribe(),
        versions: sink.versions.as_ref().map(|(loader, _)| Arc::clone(loader)),
        task: None.into(),
    };
    let lane = Lane::new(id, sink, cursor, shared.clone(), inbox, waiting, progress);
    let task = tokio::spawn(supervise(lane, workers.clone()));
    LaneHandle { task: Some(task).into(), ..handle }
}

/// Runs a lane on the workers of its standing, moving it when that changes; in the middle of a call if that takes long.
async fn supervise(lane: Lane, workers: GuestWorkers) {
    let (name, progress, overrun) = (lane.name().to_owned(), lane.progress(), lane.overrun());
    let mut standing = Standing::Good;
    let mut running: Running<Ran> = Box::pin(lane.run(standing));
    loop {
        let Some(handle) = workers.handle(standing) else { return };
        let left = match standing {
            Standing::Good => handle.spawn(Among::new(running, overrun.clone())),
            // From here no call is moved any further.
            Standing::Poor => handle.spawn(async move { Left::Through(running.await) }),
        };
        match left.await {
            Ok(Left::Overran(rest)) => (running, standing) = (rest, Standing::Poor),
            Ok(Left::Through(Ran::Moves(moved))) => {
                standing = moved.standing();
                running = Box::pin(moved.run(standing));
            }
            Ok(Left::Through(Ran::Ended)) => return,
            Err(error) => {
                tracing::error!(sink = &*name, "the sink's task ended: {error}");
                progress.send_modify(|progress| {
                    progress.status.state = SinkState::Stopped;
                    progress.status.reason = Some(format!("its task ended: {error}"));
                });
                return;
            }
        }
    }
}
