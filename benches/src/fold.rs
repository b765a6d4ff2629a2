//! `fold`: what it costs to know the state that a log leads to, beside reading the log alone. It is done as `hydrant log stats --state` and `run` do
//! it, the fold on a thread beside the reader's; `fold/one-thread` is the same work on one.

use std::path::Path;
use std::time::Instant;

use hydrant::head::{FoldThread, HeadFold};
use hydrant::store::{LogReader, ReadLog, ReadOptions};

use crate::process;
use crate::read::{peak_memory, rate, read_all, sample};
use crate::summary::{Bound, Line, Summary};
use crate::turns::take_turns;

pub(crate) fn run(folder: &Path, summary: &mut Summary) -> anyhow::Result<()> {
    let log = sample(folder)?;
    let [folded, alone, read] =
        take_turns(5, [Box::new(|| fold_all(&log)), Box::new(|| fold_alone(&log)), Box::new(|| read_all(&log))])?;
    // Rates: the cost is the other way round.
    summary.add(&Line {
        name: "fold",
        value: folded.median(),
        unit: "MB/s",
        baseline: ("reading and splitting", read.median()),
        ratio: read.ratio_to(&folded),
        bound: Bound::AtMost(1.5),
    })?;
    summary.add(&Line {
        name: "fold/one-thread",
        value: alone.median(),
        unit: "MB/s",
        baseline: ("reading and splitting", read.median()),
        ratio: read.ratio_to(&alone),
        bound: Bound::None,
    })?;
    let [peak] = process::measured(["--fold-log".as_ref(), log.as_os_str()])?;
    let (baseline, ratio) = (("bound", 64.0), peak / 64.0);
    summary.add(&Line { name: "fold/memory", value: peak, unit: "MB", baseline, ratio, bound: Bound::AtMost(1.0) })
}

/// Folds a log and prints the peak of memory in megabytes.
pub(crate) fn child(log: &Path) -> anyhow::Result<()> {
    use std::io::Write;
    fold_all(log)?;
    Ok(writeln!(std::io::stdout(), "{}", peak_memory()?)?)
}

fn fold_all(path: &Path) -> anyhow::Result<f64> {
    let start = Instant::now();
    let (mut reader, fold) = (LogReader::open(path, ReadOptions::default())?, FoldThread::start()?);
    while let Some(page) = reader.read_history()? {
        fold.push(page.events);
    }
    anyhow::ensure!(fold.finish()?.head().tag() != "Initial", "the sample ends in another state");
    Ok(rate(path.metadata()?.len(), start))
}

fn fold_alone(path: &Path) -> anyhow::Result<f64> {
    let start = Instant::now();
    let (mut reader, mut fold) = (LogReader::open(path, ReadOptions::default())?, HeadFold::new());
    while let Some(page) = reader.read_history()? {
        page.events.iter().try_for_each(|event| fold.apply(event))?;
    }
    anyhow::ensure!(fold.head().tag() != "Initial", "the sample ends in another state");
    Ok(rate(path.metadata()?.len(), start))
}
