//! `read`: the reading half of a replay, from a log on disk to checked events.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use hydrant::sample::{Sample, Schema};
use hydrant::store::{LogReader, ReadLog, ReadOptions};

use crate::process;
use crate::summary::{Bound, Line, Summary};
use crate::turns::take_turns;

/// Events in the log: about a gigabyte.
pub(crate) const EVENTS: u64 = 1_000_000;

/// Events that the baseline parses in one measurement; it is too slow for all of them each time.
const PARSED: usize = 50_000;

pub(crate) fn run(folder: &Path, summary: &mut Summary) -> anyhow::Result<()> {
    let path = sample(folder)?;
    let [ours, serde] = take_turns(5, [Box::new(|| read_all(&path)), Box::new(|| parse_some(&path))])?;
    summary.add(&Line {
        name: "read",
        value: ours.median(),
        unit: "MB/s",
        baseline: ("serde_json to Value", serde.median()),
        ratio: ours.ratio_to(&serde),
        bound: Bound::AtLeast(5.0),
    })?;
    let [peak] = process::measured(["--read-log".as_ref(), path.as_os_str()])?;
    summary.add(&Line {
        name: "read/memory",
        value: peak,
        unit: "MB",
        baseline: ("bound", 64.0),
        ratio: peak / 64.0,
        bound: Bound::AtMost(1.0),
    })
}

/// The log that is read, made at the first run.
pub(crate) fn sample(folder: &Path) -> anyhow::Result<PathBuf> {
    sample_of(folder, "sample-1.x", EVENTS)
}

/// A log of so many events, made at the first run.
pub(crate) fn sample_of(folder: &Path, name: &str, events: u64) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    if !path.exists() {
        let mut out = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(&path)?);
        Sample { events, seed: 1, schema: Schema::V1, checkpoint_every: None }.write(&mut out, |_| {})?;
    }
    Ok(path)
}

/// Megabytes a second.
pub(crate) fn rate(bytes: u64, start: Instant) -> f64 {
    bytes as f64 / 1e6 / start.elapsed().as_secs_f64()
}

pub(crate) fn read_all(path: &Path) -> anyhow::Result<f64> {
    let start = Instant::now();
    let mut reader = LogReader::open(path, ReadOptions::default())?;
    let mut events = 0;
    while let Some(page) = reader.read_history()? {
        events += page.events.len() as u64;
    }
    anyhow::ensure!(events == EVENTS, "read {events} events");
    Ok(rate(path.metadata()?.len(), start))
}

pub(crate) fn parse_some(path: &Path) -> anyhow::Result<f64> {
    let mut lines = BufReader::with_capacity(1 << 20, std::fs::File::open(path)?);
    let (mut line, mut bytes, start) = (Vec::new(), 0, Instant::now());
    for _ in 0..PARSED {
        line.clear();
        bytes += lines.read_until(b'\n', &mut line)? as u64;
        let value: serde_json::Value = serde_json::from_slice(&line)?;
        std::hint::black_box(value);
    }
    Ok(rate(bytes, start))
}

/// Reads a log through and prints the peak of this process's memory in megabytes.
pub(crate) fn child(path: &Path) -> anyhow::Result<()> {
    read_all(path)?;
    use std::io::Write;
    Ok(writeln!(std::io::stdout(), "{}", peak_memory()?)?)
}

/// The peak of this process's memory in megabytes.
pub(crate) fn peak_memory() -> anyhow::Result<f64> {
    memory("VmHWM:")
}

/// A line of what the system says of this process's memory, in megabytes.
pub(crate) fn memory(line: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kilobytes = status.lines().find_map(|text| text.strip_prefix(line)).context("no such line")?;
    Ok(kilobytes.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
