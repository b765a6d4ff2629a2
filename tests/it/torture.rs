//! Faults under load: kill -9 and swaps at random, sinks of unequal quality side by side, a clock that jumps.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use hydrant::sink_store::SinkStore;

use crate::harness::{Folder, another_version, append, assert_exit, counted, guest, hydrant, line, lines, wasm};

/// Rounds of a fault test; many more in `make torture`.
pub(crate) fn rounds() -> u64 {
    std::env::var("HYDRANT_TORTURE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(20)
}

/// A small generator of numbers, the same at each run.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Appends events to a log until told to stop, some thousand a second.
struct Writer {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    fn start(log: PathBuf) -> Self {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopping, counting) = (Arc::clone(&stop), Arc::clone(&written));
        let thread = thread::spawn(move || {
            let mut file = fs::File::options().append(true).create(true).open(log).unwrap();
            while !stopping.load(Ordering::Relaxed) {
                let next = counting.load(Ordering::Relaxed);
                file.write_all(lines(next..next + 10).as_bytes()).unwrap();
                counting.store(next + 10, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
        });
        Self { stop, written, thread: Some(thread) }
    }

    fn end(&mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.written.load(Ordering::Relaxed)
    }
}

/// What sinks printed: by sink, the ids put, with the moment of each line.
type Printed = Arc<Mutex<BTreeMap<String, Vec<(u64, Instant)>>>>;

fn collect(child: &mut Child) -> (Printed, thread::JoinHandle<()>) {
    let printed = Printed::default();
    let collecting = Arc::clone(&printed);
    let errors = BufReader::new(child.stderr.take().unwrap());
    let thread = thread::spawn(move || {
        for line in errors.lines().map_while(Result::ok) {
            let Some((before, rest)) = line.split_once(": put ") else { continue };
            let sink = before.rsplit(' ').next().unwrap().to_owned();
            // Ranges, where single lines would be more than the log of a sink lets pass in a second.
            let said = rest.split(' ').next().unwrap();
            let (first, last) = said.split_once('-').unwrap_or((said, said));
            let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>()) else { continue };
            let ids = (first..=last).map(|id| (id, Instant::now()));
            collecting.lock().unwrap().entry(sink).or_default().extend(ids);
        }
    });
    (printed, thread)
}

/// What kv-tally counted, and the id of its cursor, in a copy of the store: what a crash left is looked at, not mended.
fn kept(folder: &Folder, sink: &str) -> Option<(u64, u64)> {
    let copy = folder.path("copy.redb");
    fs::copy(folder.path("data/sinks.redb"), &copy).ok()?;
    let store = SinkStore::open(&copy).unwrap();
    let counted = counted(&store, sink);
    let cursor = store.cursor(sink).unwrap()?;
    let found = (counted, cursor.durable.map_or(0, |durable| durable.position.id + 1));
    drop(store);
    // The store's thread lets go of the file in its own time.
    thread::sleep(Duration::from_millis(5));
    let _ = fs::remove_file(copy);
    Some(found)
}

/// Every how many events a sink traps: seldom enough that it does not stop for too many parked events.
fn trap_every() -> u64 {
    rounds() * 100
}

fn six_sinks(folder: &Folder) -> Vec<String> {
    vec![
        format!("file://{}", folder.path("inline").display()),
        format!("file://{}?lane=detached&name=detached&flush=30", folder.path("detached").display()),
        wasm("kv-tally", "name=kv&batch-events=50"),
        wasm("scripted", "name=accepts&config.print=ranges&config.ack=accepted&flush=40,1MiB,20ms"),
        wasm(
            "scripted",
            "name=refuses&config.print=ranges&config.on=put&config.do=reject&config.every=100&on-reject=skip",
        ),
        wasm(
            "scripted",
            &format!(
                "name=traps&config.print=ranges&config.on=put&config.do=trap&config.every={}&batch-events=20",
                trap_every()
            ),
        ),
    ]
}

/// Each life puts ids in order without a gap, and begins no later than right behind where the one before ended.
fn check_lives(sink: &str, lives: &[Vec<u64>], left_out: impl Fn(u64) -> bool) {
    let mut reached = 0;
    for (number, life) in lives.iter().enumerate() {
        let Some(first) = life.first() else { continue };
        assert!(
            (reached..*first).all(&left_out),
            "{sink}, life {number}: begins at {first}, but {reached} was not put"
        );
        for pair in life.windows(2) {
            let goes_back = pair[1] <= pair[0];
            assert!(goes_back || (pair[0] + 1..pair[1]).all(&left_out), "{sink}, life {number}: a gap at {pair:?}");
        }
        reached = reached.max(life.iter().max().unwrap() + 1);
    }
}

/// First and last id of each life.
fn ends(lives: &[Vec<u64>]) -> Vec<Option<(u64, u64)>> {
    lives.iter().map(|life| Some((*life.first()?, *life.last()?))).collect()
}

#[test]
fn kill_9_and_swaps_under_load_lose_nothing_and_count_nothing_twice() {
    let folder = Folder::new();
    let log = folder.file("state", "");
    let versions = |name: &str| {
        let other = |number| another_version(name, &folder.path(&format!("{name}-{number}.wasm")), number);
        [guest(name), other(1), other(2)]
    };
    let (scripted, kv_tally) = (versions("scripted"), versions("kv-tally"));
    let sinks = six_sinks(&folder);
    let sinks: Vec<&str> = sinks.iter().map(String::as_str).collect();
    let mut lives: BTreeMap<String, Vec<Vec<u64>>> = BTreeMap::new();
    let (mut chance, mut swaps) = (Chance::new(7), 0);
    // Compiled once, so that a life is about delivery.
    assert_exit(&folder.run(&log, &sinks, &["--once"]), 0);
    let mut writer = Writer::start(log.clone());
    for round in 0..rounds() {
        let mut child = folder.command(&log, &sinks, &[]).spawn().unwrap();
        let (printed, collector) = collect(&mut child);
        let deadline = Instant::now() + Duration::from_secs(10);
        // One life in four may end before it has begun.
        let begins = chance.below(4) > 0;
        while begins && printed.lock().unwrap().is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        let end = Instant::now() + Duration::from_millis(chance.below(400));
        // A swap at a random moment, which the kill may meet at any of its steps.
        thread::sleep(Duration::from_millis(chance.below(150)));
        let which = chance.below(3) as usize;
        let (sink, version) = match chance.below(3) {
            0 => ("kv", &kv_tally[which]),
            1 => ("accepts", &scripted[which]),
            _ => ("refuses", &scripted[which]),
        };
        let mut swap = hydrant();
        swap.args(["swap", sink]).arg(version).arg("--data-dir").arg(folder.path("data"));
        let mut swap = swap.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(end.saturating_duration_since(Instant::now()));
        child.kill().unwrap();
        child.wait().unwrap();
        swaps += u64::from(swap.wait().unwrap().success());
        collector.join().unwrap();
        for (sink, ids) in std::mem::take(&mut *printed.lock().unwrap()) {
            lives.entry(sink).or_default().push(ids.into_iter().map(|(id, _)| id).collect());
        }
        if let Some((counted, before_cursor)) = kept(&folder, "kv") {
            assert_eq!(counted, before_cursor, "round {round}: key-value and cursor do not agree");
        }
    }
    let written = writer.end();
    // One life to its end.
    let mut child = folder.command(&log, &sinks, &["--once"]).spawn().unwrap();
    let (printed, collector) = collect(&mut child);
    let code = child.wait().unwrap().code();
    collector.join().unwrap();
    assert_eq!(code, Some(4), "events were parked or passed over, and nothing worse");
    for (sink, ids) in std::mem::take(&mut *printed.lock().unwrap()) {
        lives.entry(sink).or_default().push(ids.into_iter().map(|(id, _)| id).collect());
    }
    let whole = fs::read(&log).unwrap();
    assert_eq!(fs::read(folder.path("inline")).unwrap(), whole);
    assert_eq!(fs::read(folder.path("detached")).unwrap(), whole);
    assert_eq!(kept(&folder, "kv"), Some((written, written)));
    for (sink, every) in [("accepts", u64::MAX), ("refuses", 100), ("traps", trap_every())] {
        let left_out = |id: u64| id % every == every - 1;
        check_lives(sink, &lives[sink], left_out);
        let last = lives[sink].iter().flatten().max().unwrap();
        assert!(
            (last + 1..written).all(left_out),
            "{sink} ends at {last} of {written}, its lives: {:?}",
            ends(&lives[sink])
        );
    }
    println!("{} rounds, {written} events, {swaps} swaps", rounds());
    assert!(swaps > 0, "no swap came through");
}

#[test]
fn bad_neighbours_change_nothing_for_a_good_sink_and_stall_it_for_no_second_in_a_fault() {
    let folder = Folder::new();
    let log = folder.file("state", "");
    let sinks = [
        wasm("scripted", "name=good&config.print=yes"),
        wasm("kv-tally", "name=kv"),
        wasm("scripted", "name=slow&config.on=put&config.do=slow&config.slow-ms=30"),
        wasm("scripted", "name=traps&config.on=put&config.do=trap"),
        wasm("scripted", "name=refuses&config.on=put&config.do=reject&config.every=100"),
        wasm("scripted", "name=retries&config.on=put&config.do=retry&config.when=50"),
        wasm("scripted", "name=leaks&config.leak=20000&memory=4MiB"),
        wasm("scripted", "name=loops&config.on=put&config.do=loop"),
    ];
    let sinks: Vec<&str> = sinks.iter().map(String::as_str).collect();
    let mut child = folder.command(&log, &sinks, &[]).spawn().unwrap();
    let (printed, collector) = collect(&mut child);
    thread::sleep(Duration::from_millis(1_500));
    let mut writer = Writer::start(log.clone());
    thread::sleep(Duration::from_millis(200 * rounds().min(100)));
    let written = writer.end();
    let deadline = Instant::now() + Duration::from_secs(20);
    let at_end = || {
        printed
            .lock()
            .unwrap()
            .get("good")
            .and_then(|ids| ids.last().copied())
            .is_some_and(|last| last.0 + 1 == written)
    };
    while !at_end() {
        assert!(Instant::now() < deadline, "the good sink does not come to the end");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    child.wait().unwrap();
    collector.join().unwrap();
    let good = printed.lock().unwrap().remove("good").unwrap();
    let ids: Vec<u64> = good.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, (0..written).collect::<Vec<_>>(), "each event once, in order");
    let stall = good.windows(2).map(|pair| pair[1].1 - pair[0].1).max().unwrap();
    println!("{written} events, longest silence of the good sink {stall:?}");
    assert!(stall < Duration::from_secs(1), "the good sink was silent for {stall:?}");
    assert_eq!(kept(&folder, "kv"), Some((written, written)));
}

/// A library that makes the wall clock jump by days at every call, forwards and backwards.
fn jumping_clock(folder: &Folder) -> PathBuf {
    let source = folder.file(
        "clock.c",
        r#"
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <time.h>
        int clock_gettime(clockid_t clock, struct timespec *time) {
            static int (*real)(clockid_t, struct timespec *);
            static int calls;
            if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
            int result = real(clock, time);
            if (clock == CLOCK_REALTIME) time->tv_sec += (calls++ % 2 ? 1 : -1) * 86400L * (calls % 30);
            return result;
        }
        "#,
    );
    let library = folder.path("clock.so");
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl").status();
    assert!(built.unwrap().success());
    library
}

#[test]
fn a_wall_clock_that_jumps_changes_no_retry_and_no_flush_in_a_fault() {
    let folder = Folder::new();
    let clock = jumping_clock(&folder);
    let log = folder.file("state", lines(0..200));
    let wasm = |parameters: &str| wasm("scripted", parameters);
    let sinks = [
        wasm("name=flushes&config.print=yes&config.ack=accepted&flush=1000,1MiB,100ms"),
        wasm("name=retries&config.on=put&config.do=retry&config.when=100"),
    ];
    let sinks: Vec<&str> = sinks.iter().map(String::as_str).collect();
    let mut child = folder.command(&log, &sinks, &[]).env("LD_PRELOAD", &clock).spawn().unwrap();
    let (_printed, _collector) = collect(&mut child);
    let status = || -> serde_json::Value {
        let mut ask = hydrant();
        let output = ask.args(["status", "--json", "--data-dir"]).arg(folder.path("data")).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    };
    let until_at = |position: &str| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while status()["sinks"][0]["position"] != position {
            assert!(Instant::now() < deadline, "not flushed by time: {}", status());
            thread::sleep(Duration::from_millis(50));
        }
    };
    until_at("199");
    let mut retried = Vec::new();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        let report = status();
        if report["sinks"][1]["state"] == "retrying" {
            retried.push(report["sinks"][1]["next-retry-ms"].as_u64().unwrap_or(0));
        }
        thread::sleep(Duration::from_millis(50));
    }
    assert!(!retried.is_empty() && retried.iter().all(|millis| *millis <= 60_000), "{retried:?}");
    append(&log, &line(200));
    append(&log, "\n");
    until_at("200");
    child.kill().unwrap();
    child.wait().unwrap();
    // It ends as it would with a clock that stands still.
    assert_exit(&folder.run(&log, &sinks[..1], &["--once"]), 0);
}
