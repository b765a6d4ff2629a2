//! `make bench`: what hydrant costs, as ratios against baselines measured in the same run.
//!
//! Subjects take turns round by round, and a ratio is the median over the rounds, because the speed of a machine wanders by more than
//! what is measured. Names given as arguments choose some of the benches. Results go to standard output and, one JSON object a line, to `target/bench/summary.json`.

mod append;
mod inline_put;
mod read;
mod summary;
mod turns;

use std::path::PathBuf;

use anyhow::Context;

use summary::Summary;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, log] = arguments.as_slice()
        && mode == "--read-log"
    {
        return read::child(&PathBuf::from(log));
    }
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == name);
    let target = std::env::current_exe()?.ancestors().nth(2).context("no target folder")?.to_owned();
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder)?;
    let mut summary = Summary::create(&folder.join("summary.json"))?;
    if wanted("inline-put") {
        inline_put::run(&target, &mut summary)?;
    }
    if wanted("append") {
        append::run(&folder, &mut summary)?;
    }
    if wanted("read") {
        read::run(&folder, &mut summary)?;
    }
    summary.finish()
}
