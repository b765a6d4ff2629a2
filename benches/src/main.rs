//! `make bench`: what hydrant costs, as ratios against baselines measured in the same run.
//!
//! Subjects take turns round by round, and a ratio is the median over the rounds, because the speed of a machine wanders by more than
//! what is measured. Results go to standard output and, one JSON object a line, to `target/bench/summary.json`.

mod append;
mod inline_put;
mod read;
mod summary;
mod turns;

use std::path::PathBuf;

use anyhow::Context;

use summary::Summary;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    if let Some(mode) = arguments.next() {
        anyhow::ensure!(mode == "read", "unknown mode {mode:?}");
        return read::child(&PathBuf::from(arguments.next().context("usage: read LOG")?));
    }
    let target = std::env::current_exe()?.ancestors().nth(2).context("no target folder")?.to_owned();
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder)?;
    let mut summary = Summary::create(&folder.join("summary.json"))?;
    inline_put::run(&target, &mut summary)?;
    append::run(&folder, &mut summary)?;
    read::run(&folder, &mut summary)?;
    summary.finish()
}
