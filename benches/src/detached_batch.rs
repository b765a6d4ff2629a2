//! `detached-batch`: batches of 100 events of 1 KB to a no-op component, the events already in memory.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use hydrant::component::{CompileCache, Compiler, ComponentSink, Limits, SinkComponent, SinkEngine};
use hydrant::delivery::DetachedPolicy;
use hydrant::event::StateEvent;
use hydrant::sink::{Batch, Delivery, EventSink, OpenInfo};
use hydrant::store::{LogReader, ReadLog, ReadOptions};
use wasmtime::component::Component;

use crate::bare::Bare;
use crate::detached;
use crate::extism::Extism;
use crate::inline_put::{BYTES, events};
use crate::summary::{Bound, Line, Summary};
use crate::turns::take_turns;

/// Events in a batch.
const BATCH: usize = 100;

/// Batches in one measurement.
const BATCHES: usize = 4_000;

pub(crate) fn run(target: &Path, summary: &mut Summary) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let wasm = std::fs::read(target.join("guests/no-op.wasm")).context("run `make guests`")?;
    let scattered = events(BATCH)?;
    let batch = read_from_log(&scattered)?;
    let engine = SinkEngine::new(Limits::default().stack)?;
    let cache = CompileCache::open(target.join("bench/components"), Compiler::InProcess)?;
    let component = SinkComponent::from_bytes(&engine, &cache, &wasm, &Limits::default())?;
    let start = || -> anyhow::Result<ComponentSink> {
        let mut sink = ComponentSink::new("no-op", component.clone(), Limits::default(), Vec::new());
        runtime.block_on(sink.open(&OpenInfo { stream: detached::stream(), head_id: None, resume: None }))?;
        Ok(sink)
    };
    let (mut sink, mut other) = (start()?, start()?);
    let mut bare = runtime.block_on(Bare::start(&engine, &Component::new(engine.engine(), &wasm)?))?;
    let mut extism = Extism::start(target, BYTES)?;
    let [ours, apart, lane, bare, extism] = take_turns(
        11,
        [
            Box::new(|| runtime.block_on(put_all(&mut sink, &batch))),
            Box::new(|| runtime.block_on(put_all(&mut other, &scattered))),
            Box::new(|| runtime.block_on(through_lane(target, &engine))),
            Box::new(|| runtime.block_on(bare.put_columns(&batch, BATCHES))),
            Box::new(|| extism.measure(20_000)),
        ],
    )?;
    let line = |name, value, baseline, ratio, bound| Line { name, value, unit: "ns", baseline, ratio, bound };
    let baseline = ("bare columnar call", bare.median());
    let ratio = ours.ratio_to(&bare);
    summary.add(&line("detached-batch", ours.median(), baseline, ratio, Bound::AtMost(1.5)))?;
    summary.add(&line("detached-batch/apart", apart.median(), baseline, apart.ratio_to(&bare), Bound::None))?;
    summary.add(&line("detached-batch/lane", lane.median(), baseline, lane.ratio_to(&bare), Bound::None))?;
    let faster = extism.ratio_to(&ours);
    let call = ("Extism call", extism.median());
    summary.add(&line("detached-batch/extism", ours.median(), call, faster, Bound::AtLeast(60.0)))?;
    let per_batch = ours.median() * BATCH as f64;
    let slower = ("Extism call", extism.median());
    summary.add(&line("detached-batch/per-batch", per_batch, slower, extism.median() / per_batch, Bound::None))
}

/// The same events as they are once they were read from a log: end to end in memory.
fn read_from_log(events: &[StateEvent]) -> anyhow::Result<Vec<StateEvent>> {
    let mut log = tempfile::NamedTempFile::new()?;
    for event in events {
        writeln!(log, "{}", event.json())?;
    }
    let page = LogReader::open(log.path(), ReadOptions::default())?.read_history()?;
    Ok(page.context("the log is empty")?.events)
}

/// Nanoseconds an event takes into the component.
async fn put_all(sink: &mut ComponentSink, events: &[StateEvent]) -> anyhow::Result<f64> {
    let start = Instant::now();
    for _ in 0..BATCHES {
        let progress = sink.put_events(events, Delivery::default()).await?;
        anyhow::ensure!(progress.durable == BATCH, "not every event was durable");
    }
    Ok(start.elapsed().as_nanos() as f64 / (BATCHES * BATCH) as f64)
}

/// Nanoseconds an event takes from the window through the lane, cursor commits included.
async fn through_lane(target: &Path, engine: &SinkEngine) -> anyhow::Result<f64> {
    let store = detached::store_in_memory()?;
    let policy = DetachedPolicy { batch_events: BATCH, ..DetachedPolicy::default() };
    let sink =
        detached::component(target, engine, &store, ("sink", &detached::guest(target, "no-op")), &[], policy).await?;
    let (detached, _lineage, _workers) = detached::start(vec![sink], &store, Path::new("none"))?;
    let all = events(BATCHES * BATCH / 10)?;
    let pages: Vec<Vec<StateEvent>> = all.chunks(500).map(<[StateEvent]>::to_vec).collect();
    let last = all.last().map(StateEvent::position);
    let start = Instant::now();
    for page in pages {
        detached.window().push_history(page).await;
    }
    detached.window().end_history();
    detached.window().end();
    detached.drained(last, |_| {}).await;
    let elapsed = start.elapsed();
    detached.stop().await;
    Ok(elapsed.as_nanos() as f64 / all.len() as f64)
}
