//! `neighbour` and `swap-pause`: what others, and a new version, cost a good sink.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hydrant::component::{Limits, SinkEngine};
use hydrant::delivery::{Detached, DetachedPolicy, DetachedSink};
use hydrant::event::StateEvent;
use hydrant::sink::{Ack, CloseReason, Delivery, EventSink, OpenInfo, Opened, SinkError};
use tokio::runtime::Runtime;
use tokio::time::sleep;

use crate::detached;
use crate::inline_put::events;
use crate::summary::{Bound, Line, Summary};
use crate::turns::Measured;
use crate::wat_sinks;

/// Events put to the good sink in a run.
const EVENTS: usize = 400;

/// One scheduler slice in milliseconds, as Linux has it by default.
const SLICE: f64 = 4.0;

/// Swaps that are measured.
const SWAPS: usize = 200;

/// Measures each put of the sink in it, in milliseconds.
#[derive(Debug)]
struct Timed {
    sink: Box<dyn EventSink>,
    times: Arc<Mutex<Vec<f64>>>,
}

#[async_trait]
impl EventSink for Timed {
    fn describe(&self) -> String {
        self.sink.describe()
    }

    async fn open(&mut self, info: &OpenInfo) -> Result<Opened, SinkError> {
        self.sink.open(info).await
    }

    async fn put_event(&mut self, event: &StateEvent, delivery: Delivery) -> Result<Ack, SinkError> {
        let start = Instant::now();
        let ack = self.sink.put_event(event, delivery).await;
        let taken = start.elapsed().as_secs_f64() * 1e3;
        self.times.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(taken);
        ack
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        self.sink.flush().await
    }

    async fn close(&mut self, reason: CloseReason) -> Result<(), SinkError> {
        self.sink.close(reason).await
    }

    fn log_tail(&self) -> Vec<String> {
        self.sink.log_tail()
    }
}

fn percentile(mut values: Vec<f64>, of_hundred: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get((values.len() * of_hundred / 100).min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// A component that is after no good, with its configuration.
type Hostile = (String, PathBuf, Vec<(&'static str, &'static str)>);

pub(crate) fn neighbour(target: &Path, summary: &mut Summary) -> anyhow::Result<()> {
    let scripted = detached::guest(target, "scripted");
    let deed = |deed: &'static str| {
        let config = if deed == "leak" { vec![("leak", "200000")] } else { vec![("on", "put"), ("do", deed)] };
        (deed.to_owned(), scripted.clone(), config)
    };
    beside(target, ["neighbour", "neighbour/ratio"], &["loop", "sleep", "trap", "leak"].map(deed), summary)?;
    beside(target, ["neighbour/suite", "neighbour/suite-ratio"], &worst_of_suite(target)?, summary)
}

/// The four of the hostile suite that cost the host the most processor time before they are cut off.
fn worst_of_suite(target: &Path) -> anyhow::Result<[Hostile; 4]> {
    let folder = target.join("bench/hostile");
    std::fs::create_dir_all(&folder)?;
    let made = |name: &str, text: &str| {
        let path = folder.join(name).with_extension("wasm");
        std::fs::write(&path, wat::parse_str(text)?)?;
        anyhow::Ok((name.to_owned(), path, Vec::new()))
    };
    let start = wat_sinks::sink_wat("(func $s (loop $l (br $l))) (start $s)", wat_sinks::DURABLE);
    Ok([
        made("lists-keys", &wat_sinks::keeps(wat_sinks::lists_keys()))?,
        made("reads-clock", &wat_sinks::reads_clock())?,
        made("loops-at-start", &start)?,
        ("loops-in-open".to_owned(), detached::guest(target, "scripted"), vec![("on", "open"), ("do", "loop")]),
    ])
}

/// The good sink alone and beside others, in turns.
fn beside(target: &Path, names: [&'static str; 2], others: &[Hostile], summary: &mut Summary) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (mut alone, mut beside) = (Measured::default(), Measured::default());
    for _ in 0..5 {
        alone.0.push(p99(&runtime, target, &[])?);
        beside.0.push(p99(&runtime, target, others)?);
    }
    let (value, alone) = (beside.median(), alone.median());
    let allowed = (alone * 1.5).max(alone + SLICE);
    let [name, of_ratio] = names;
    let (baseline, ratio) = (("alone x 1.5 or + 4 ms", allowed), value / allowed);
    summary.add(&Line { name, value, unit: "ms", baseline, ratio, bound: Bound::AtMost(1.0) })?;
    let (baseline, ratio) = (("alone", alone), value / alone);
    summary.add(&Line { name: of_ratio, value, unit: "ms", baseline, ratio, bound: Bound::None })
}

/// The 99th percentile of a good sink's puts, each about a millisecond of work, beside hostile ones.
fn p99(runtime: &Runtime, target: &Path, hostile: &[Hostile]) -> anyhow::Result<f64> {
    runtime.block_on(async {
        let store = detached::store_in_memory()?;
        let engine = SinkEngine::new(Limits::default().stack)?;
        let scripted = detached::guest(target, "scripted");
        let work = [("on", "put"), ("do", "work"), ("steps", "400000")];
        let policy = DetachedPolicy::default();
        let good = detached::component(target, &engine, &store, ("good", &scripted), &work, policy).await?;
        let times = Arc::new(Mutex::new(Vec::new()));
        let timed = Timed { sink: good.sink, times: Arc::clone(&times) };
        let mut sinks = vec![DetachedSink { sink: Box::new(timed), versions: None, ..good }];
        for (name, path, config) in hostile {
            let policy = DetachedPolicy { batch_events: 10, ..DetachedPolicy::default() };
            sinks.push(detached::component(target, &engine, &store, (name, path), config, policy).await?);
        }
        let (detached, _lineage, _workers) = detached::start(sinks, &store, Path::new("none"))?;
        detached.window().end_history();
        for event in events(EVENTS)? {
            detached.window().push(vec![event]);
            sleep(Duration::from_millis(4)).await;
        }
        sleep(Duration::from_millis(200)).await;
        let statuses = detached.statuses();
        detached.stop().await;
        let times = times.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        anyhow::ensure!(times.len() == EVENTS, "the good sink was put {} events: {statuses:?}", times.len());
        Ok(percentile(times, 99))
    })
}

pub(crate) fn swap_pause(target: &Path, summary: &mut Summary) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (pauses, still, swapped) = runtime.block_on(async {
        let store = detached::store_in_memory()?;
        let engine = SinkEngine::new(Limits::default().stack)?;
        let times = Arc::new(Mutex::new(Vec::new()));
        let policy = DetachedPolicy::default();
        let sink = detached::component(
            target,
            &engine,
            &store,
            ("sink", &detached::guest(target, "no-op")),
            &[],
            policy.clone(),
        )
        .await?;
        let other =
            detached::component(target, &engine, &store, ("other", &detached::guest(target, "no-op")), &[], policy)
                .await?;
        let timed = Timed { sink: other.sink, times: Arc::clone(&times) };
        let other = DetachedSink { sink: Box::new(timed), versions: None, ..other };
        let (detached, _lineage, _workers) = detached::start(vec![sink, other], &store, Path::new("none"))?;
        detached.window().end_history();
        let load = tokio::spawn(load(Arc::clone(&detached)));
        sleep(Duration::from_secs(1)).await;
        let still = std::mem::take(&mut *times.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let pauses = swap_back_and_forth(target, &detached).await?;
        let swapped = std::mem::take(&mut *times.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        load.abort();
        detached.stop().await;
        anyhow::Ok((pauses, percentile(still, 99), percentile(swapped, 99)))
    })?;
    let value = percentile(pauses, 99);
    let (baseline, ratio) = (("bound", 5.0), value / 5.0);
    summary.add(&Line { name: "swap-pause", value, unit: "ms", baseline, ratio, bound: Bound::AtMost(1.0) })?;
    let (baseline, ratio) = (("without swaps", still), swapped / still);
    let name = "swap-pause/other-sink";
    summary.add(&Line { name, value: swapped, unit: "ms", baseline, ratio, bound: Bound::None })
}

/// Close to a thousand events a second, for half a minute.
async fn load(detached: Arc<Detached>) -> anyhow::Result<()> {
    for event in events(30_000)? {
        detached.window().push(vec![event]);
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Swaps between two versions; milliseconds that each held the sink up. The guest has no flush, save or restore of its own.
async fn swap_back_and_forth(target: &Path, detached: &Detached) -> anyhow::Result<Vec<f64>> {
    let wasm = std::fs::read(target.join("guests/no-op.wasm"))?;
    let other = [&*wasm, &[0, 3, 1, b'v', 1]].concat();
    let mut pauses = Vec::new();
    for number in 0..=SWAPS {
        let next = if number % 2 == 0 { other.clone() } else { wasm.clone() };
        detached.swap("sink", next, false).await?;
        let pause = detached.statuses().first().and_then(|status| status.swap_pause_ms);
        // The first swap compiles.
        pauses.extend(pause.filter(|_| number > 0));
        sleep(Duration::from_millis(10)).await;
    }
    Ok(pauses)
}
