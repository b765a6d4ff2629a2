//! `replay`: a log of a gigabyte, read, checked and delivered to a detached no-op component.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use hydrant::component::{Limits, SinkEngine};
use hydrant::delivery::DetachedPolicy;
use hydrant::head::{ExpectedHead, HeadFollower};
use hydrant::node::{Node, Silent};
use hydrant::sink::CloseReason;
use tokio_util::sync::CancellationToken;

use crate::detached;
use crate::process;
use crate::read::{EVENTS, parse_some, peak_memory, rate, sample, sample_of};
use crate::summary::{Bound, Line, Summary};
use crate::turns::take_turns;

pub(crate) fn run(folder: &Path, summary: &mut Summary) -> anyhow::Result<()> {
    let log = sample(folder)?;
    let quarter = sample_of(folder, "sample-1.x-quarter", EVENTS / 4)?;
    let mut peaks = Vec::new();
    let [ours, folded, serde] = take_turns(
        5,
        [
            Box::new(|| {
                let [rate, peak] = in_a_process(ALONE, &log)?;
                peaks.push(peak);
                Ok(rate)
            }),
            Box::new(|| in_a_process(WITH_HEAD, &log).map(|[rate, _]| rate)),
            Box::new(|| parse_some(&log)),
        ],
    )?;
    summary.add(&Line {
        name: "replay",
        value: ours.median(),
        unit: "MB/s",
        baseline: ("serde_json to Value", serde.median()),
        ratio: ours.ratio_to(&serde),
        bound: Bound::AtLeast(5.0),
    })?;
    // As `run` does it: the fold takes a third thread, and here there are two cores.
    summary.add(&Line {
        name: "replay/with-head",
        value: folded.median(),
        unit: "MB/s",
        baseline: ("serde_json to Value", serde.median()),
        ratio: folded.ratio_to(&serde),
        bound: Bound::None,
    })?;
    let peak = peaks.into_iter().fold(0.0, f64::max);
    let memory = |name, baseline, ratio, bound| Line { name, value: peak, unit: "MB", baseline, ratio, bound };
    summary.add(&memory("replay/memory", ("bound", 64.0), peak / 64.0, Bound::AtMost(1.0)))?;
    // For the record: the first gigabytes warm the allocator up, so a bound would measure that.
    let [_, small] = in_a_process(ALONE, &quarter)?;
    summary.add(&memory("replay/memory-growth", ("a quarter of the log", small), peak / small, Bound::None))
}

/// What a child is asked to do: deliver a log, or deliver and fold it.
pub(crate) const ALONE: &str = "--replay-log";
pub(crate) const WITH_HEAD: &str = "--replay-log-with-head";

/// Megabytes a second, and the peak of memory in megabytes.
fn in_a_process(what: &str, log: &Path) -> anyhow::Result<[f64; 2]> {
    process::measured([what.as_ref(), log.as_os_str()])
}

/// Replays a log and prints what it took.
pub(crate) fn child(target: &Path, log: &Path, folds: bool) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let rate = runtime.block_on(replay(target, log, folds))?;
    Ok(writeln!(std::io::stdout(), "{rate} {}", peak_memory()?)?)
}

async fn replay(target: &Path, log: &Path, folds: bool) -> anyhow::Result<f64> {
    let engine = SinkEngine::new(Limits::default().stack)?;
    let folder = tempfile::tempdir()?;
    let store = hydrant::sink_store::SinkStore::open(&folder.path().join("sinks.redb"))?;
    let policy = DetachedPolicy::default();
    let sink =
        detached::component(target, &engine, &store, ("sink", &detached::guest(target, "no-op")), &[], policy).await?;
    let start = Instant::now();
    let (detached, lineage, _workers) = detached::start(vec![sink], &store, log)?;
    let node = Node::new(detached::stream(), Box::new(detached::source(log)), Vec::new());
    let mut node = node.with_detached(std::sync::Arc::clone(&detached), lineage);
    if folds {
        node = node.with_head(HeadFollower::start(), ExpectedHead::default(), None);
    }
    let stop = CancellationToken::new();
    node.open().await?;
    node.hydrate(&stop, &mut Silent).await?;
    node.drain(&stop, &mut Silent).await?;
    let rate = rate(log.metadata()?.len(), start);
    let status = detached.statuses();
    anyhow::ensure!(
        status.iter().all(|status| status.lag_events == Some(0)),
        "not everything came through: {status:?}"
    );
    node.close(CloseReason::Stop).await?;
    Ok(rate)
}
