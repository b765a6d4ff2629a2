//! `cold-start` and `idle-sinks`: how soon sinks run, and what they cost when nothing happens.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use hydrant::component::{Limits, SinkEngine};
use hydrant::delivery::DetachedPolicy;
use hydrant::event::StateEvent;
use hydrant::sink_store::SinkStore;

use crate::detached;
use crate::inline_put::events;
use crate::process;
use crate::read::memory;
use crate::summary::{Bound, Line, Summary};
use crate::turns::Measured;

/// Sinks of the cold start.
const COLD: usize = 10;

/// Idle sinks.
const IDLE: usize = 1_000;

pub(crate) fn cold_start(summary: &mut Summary) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut measured = Measured::default();
    for round in 0..12 {
        let [millis] = process::measured(["--cold-start".as_ref(), folder.path().as_os_str()])?;
        // The first start compiles and creates.
        if round > 0 {
            measured.0.push(millis);
        }
    }
    let value = measured.median();
    let (baseline, ratio) = (("bound", 50.0), value / 50.0);
    summary.add(&Line { name: "cold-start", value, unit: "ms", baseline, ratio, bound: Bound::AtMost(1.0) })
}

/// Starts ten sinks of different components in a process of its own and prints the milliseconds until all are open.
pub(crate) fn cold_start_child(target: &Path, folder: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let millis = runtime.block_on(async {
        let start = Instant::now();
        let store = SinkStore::open(&folder.join("sinks.redb"))?;
        let engine = SinkEngine::new(Limits::default().stack)?;
        let guests = [
            "tally",
            "printer",
            "utxo-balance",
            "kv-tally",
            "no-op",
            "scripted",
            "refuse",
            "witness",
            "trap",
            "log-flood",
        ];
        let mut sinks = Vec::new();
        for guest in guests {
            let policy = DetachedPolicy::default();
            sinks.push(
                detached::component(target, &engine, &store, (guest, &detached::guest(target, guest)), &[], policy)
                    .await?,
            );
        }
        anyhow::ensure!(sinks.len() == COLD, "not ten sinks");
        let (detached, _lineage, _workers) = detached::start(sinks, &store, Path::new("none"))?;
        detached.window().end_history();
        detached.drained(None, |_| {}).await;
        let millis = start.elapsed().as_secs_f64() * 1e3;
        detached.stop().await;
        anyhow::Ok(millis)
    })?;
    Ok(writeln!(std::io::stdout(), "{millis}")?)
}

pub(crate) fn idle_sinks(summary: &mut Summary) -> anyhow::Result<()> {
    let [each, guest] = process::measured(["--idle-sinks"])?;
    let value = each - guest;
    summary.add(&Line {
        name: "idle-sinks",
        value,
        unit: "KB",
        baseline: ("bound", 100.0),
        ratio: value / 100.0,
        bound: Bound::AtMost(1.0),
    })?;
    let (baseline, ratio) = (("with the guest's own", each), value / each);
    summary.add(&Line { name: "idle-sinks/in-all", value: each, unit: "KB", baseline, ratio, bound: Bound::None })
}

/// Runs a thousand idle sinks and prints the kilobytes that each costs, and those of them that are the guest's own memory.
pub(crate) fn idle_sinks_child(target: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (each, guest) = runtime.block_on(async {
        let store = detached::store_in_memory()?;
        let engine = SinkEngine::new(Limits::default().stack)?;
        let sink = async |number: usize| {
            let name = format!("s{number}");
            let policy = DetachedPolicy::default();
            detached::component(target, &engine, &store, (&name, &detached::guest(target, "tally")), &[], policy).await
        };
        // What is there once for all of them.
        let first = sink(0).await?;
        let before = memory("VmRSS:")?;
        let mut sinks = vec![first];
        for number in 1..=IDLE {
            sinks.push(sink(number).await?);
        }
        let (detached, _lineage, _workers) = detached::start(sinks, &store, Path::new("none"))?;
        let put = events(3)?;
        let last = put.last().map(StateEvent::position);
        detached.window().push(put);
        detached.window().end_history();
        detached.window().end();
        detached.drained(last, |_| {}).await;
        let each = (memory("VmRSS:")? - before) * 1024.0 / IDLE as f64;
        anyhow::Ok((each, guest_pages()?))
    })?;
    Ok(writeln!(std::io::stdout(), "{each} {guest}")?)
}

/// Kilobytes of its own linear memory that an instance has touched: mappings of the size that wasmtime reserves for one are counted.
fn guest_pages() -> anyhow::Result<f64> {
    let maps = std::fs::read_to_string("/proc/self/smaps")?;
    let (mut in_guest, mut kilobytes) = (false, 0.0);
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let first = fields.next().unwrap_or_default();
        if let Some((from, to)) = first.split_once('-').filter(|_| !first.ends_with(':')) {
            let length = u64::from_str_radix(to, 16)? - u64::from_str_radix(from, 16)?;
            // tally has 17 pages of 64 KiB at first, and grows by few.
            in_guest = (17 * 65_536..=40 * 65_536).contains(&length) && fields.next() == Some("rw-p");
        } else if in_guest && first == "Rss:" {
            kilobytes += fields.next().and_then(|number| number.parse::<f64>().ok()).unwrap_or(0.0);
        }
    }
    Ok(kilobytes / IDLE as f64)
}
