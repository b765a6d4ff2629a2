//! `make bench`: what hydrant costs, as ratios against baselines measured in the same run.
//!
//! Subjects take turns round by round, and a ratio is the median over the rounds, because the speed of a machine wanders by more than
//! what is measured. Names given as arguments choose some of the benches. Results go to standard output and, one JSON object a line, to `target/bench/summary.json`.

mod append;
mod bare;
mod beside;
mod detached;
mod detached_batch;
mod extism;
mod fold;
mod head_tx;
mod inline_put;
mod many;
mod process;
mod read;
mod replay;
mod summary;
mod turns;
#[allow(dead_code, clippy::panic, reason = "the hostile suite's file, of which some are of interest here")]
#[path = "../../tests/it/wat_sinks.rs"]
mod wat_sinks;

use std::path::PathBuf;

use anyhow::Context;

use summary::Summary;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == name);
    let target = std::env::current_exe()?.ancestors().nth(2).context("no target folder")?.to_owned();
    let folder = target.join("bench");
    // Some things are measured in a process of their own.
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--read-log", log] => return read::child(&PathBuf::from(log)),
        ["--fold-log", log] => return fold::child(&PathBuf::from(log)),
        [replay::ALONE, log] => return replay::child(&target, &PathBuf::from(log), false),
        [replay::WITH_HEAD, log] => return replay::child(&target, &PathBuf::from(log), true),
        ["--cold-start", data] => return many::cold_start_child(&target, &PathBuf::from(data)),
        ["--idle-sinks"] => return many::idle_sinks_child(&target),
        _ => {}
    }
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
    if wanted("fold") {
        fold::run(&folder, &mut summary)?;
    }
    if wanted("detached-batch") {
        detached_batch::run(&target, &mut summary)?;
    }
    if wanted("replay") {
        replay::run(&folder, &mut summary)?;
    }
    if wanted("cold-start") {
        many::cold_start(&mut summary)?;
    }
    if wanted("swap-pause") {
        beside::swap_pause(&target, &mut summary)?;
    }
    if wanted("neighbour") {
        beside::neighbour(&target, &mut summary)?;
    }
    if wanted("head-tx") {
        head_tx::run(&target, &mut summary)?;
    }
    if wanted("idle-sinks") {
        many::idle_sinks(&mut summary)?;
    }
    summary.finish()
}
