//! Our own event store: what a remote source gave is there for whoever comes later, within its bound.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use hydrant::event::{Position, StateEvent};
use hydrant::source::{self, EventSource, LocalSource, StoredSource};
use hydrant::store::{ReadOptions, Retention};
use serde_json::Value;

use crate::api_source::{Api, output, outputs, rotated};
use crate::harness::{
    Folder, append, assert_exit, block_on, counted, events, lines, ndjson_source, read_log, stderr, stdout, wasm,
};
use crate::operate::Running;
use hydrant::sink_store::SinkStore;

fn stored(folder: &Folder, log: &str, max: u64) -> StoredSource {
    let options = ReadOptions::default();
    let inner = LocalSource::file(folder.path(log), options.clone());
    StoredSource::new(Box::new(inner), &folder.path("store"), &options, max)
}

#[test]
fn a_stored_source_keeps_the_contract_with_an_empty_store_and_with_a_full_one() {
    let folder = Folder::new();
    let log = folder.file("state", lines(0..2_000));
    for expected in [2_000, 2_000, 3_500] {
        if expected == 3_500 {
            append(&log, &lines(2_000..3_500));
        }
        let mut source = stored(&folder, "state", 1 << 20);
        block_on(source::contract::check(&mut source, &events(0..expected))).unwrap();
        assert_eq!(read_log(&folder.path("store/events")).len() as u64, expected);
    }
    // Some of it is in segments that are full.
    let segments = fs::read_dir(folder.path("store")).unwrap().count();
    assert!(segments >= 3, "{segments}");
    let mut reader = StoredSource::reader(&folder.path("store"), &source_format(), &ReadOptions::default());
    block_on(source::contract::check(&mut *reader, &events(0..3_500))).unwrap();
}

fn source_format() -> hydrant::stream::StreamFormat {
    hydrant::stream::StreamFormat::state_event()
}

/// Opens a source over the store and reads its history.
fn history(folder: &Folder, log: &str) -> Result<Vec<StateEvent>, String> {
    block_on(async {
        let mut source = stored(folder, log, 1 << 20);
        source.open().await.map_err(|error| error.to_string())?;
        let mut events = Vec::new();
        loop {
            let page = source.get_events().await.map_err(|error| error.to_string())?;
            if !page.history {
                return Ok(events);
            }
            events.extend(page.events);
        }
    })
}

#[test]
fn a_source_that_is_not_the_one_from_before_is_refused() {
    let folder = Folder::new();
    folder.file("state", lines(0..10));
    assert_eq!(history(&folder, "state").unwrap().len(), 10);
    for (log, said) in [
        (lines(0..5), "its history ends before it"),
        (lines(0..10).replace("2025", "2024"), "is in its place"),
        (lines(12..15), "it is missing before event 12"),
    ] {
        folder.file("other", log);
        let error = history(&folder, "other").unwrap_err();
        assert!(error.contains(said), "{error}");
    }
    // None of it reached the store.
    assert_eq!(history(&folder, "state").unwrap(), events(0..10));
}

#[test]
fn a_torn_end_of_the_store_is_cut_and_given_again_by_the_source() {
    let folder = Folder::new();
    folder.file("state", lines(0..10));
    assert_eq!(history(&folder, "state").unwrap().len(), 10);
    let store = folder.path("store/events");
    let whole = fs::read_to_string(&store).unwrap();
    fs::write(&store, &whole[..whole.len() - 30]).unwrap();
    assert_eq!(history(&folder, "state").unwrap(), events(0..10));
    assert_eq!(fs::read_to_string(&store).unwrap(), whole);
}

#[test]
fn what_the_node_has_forgotten_is_in_the_store() {
    let api = Api::start(outputs(0..5));
    let folder = Folder::new();
    let source = api.uri("stream=api");
    let first = wasm("kv-tally", "name=first");
    assert_exit(&folder.command_at(&source, &[&first], &["--once"]).output().unwrap(), 0);
    // The node rotates right after; who comes later is put everything all the same.
    *api.history.lock().unwrap() = vec![rotated(4), output(5)];
    let second = wasm("kv-tally", "name=second");
    let once = folder.command_at(&source, &[&first, &second, "stdout:"], &["--once"]).output().unwrap();
    assert_exit(&once, 0);
    let mut all = outputs(0..5);
    all.extend([rotated(4), output(5)]);
    assert_eq!(stdout(&once).lines().collect::<Vec<_>>(), all);
    let store = SinkStore::open(&folder.path("data/sinks.redb")).unwrap();
    assert_eq!((counted(&store, "first"), counted(&store, "second")), (7, 7));
    drop(store);
    // What it forgot before it was stored is a gap.
    *api.history.lock().unwrap() = vec![rotated(9)];
    let gap = folder.command_at(&source, &["stdout:"], &["--once"]).output().unwrap();
    assert_exit(&gap, 3);
    assert!(stderr(&gap).contains("the oldest there now is 9:checkpoint"), "{}", stderr(&gap));
}

#[test]
fn a_killed_run_has_stored_each_event_once() {
    let api = Api::start(outputs(0..10));
    let folder = Folder::new();
    let (source, sink) = (api.uri("stream=api"), wasm("kv-tally", "name=s"));
    let mut next = 10;
    for round in 0..6 {
        let mut child = folder.command_at(&source, &[&sink], &[]).spawn().unwrap();
        for _ in 0..(20 + 7 * round) {
            api.say(output(next));
            next += 1;
            thread::sleep(Duration::from_millis(3));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let once = folder.command_at(&source, &[&sink, "stdout:"], &["--once"]).output().unwrap();
    assert_exit(&once, 0);
    assert_eq!(stdout(&once).lines().collect::<Vec<_>>(), outputs(0..next));
    assert_eq!(fs::read_to_string(folder.path("data/events/api/events")).unwrap(), stdout(&once));
    assert_eq!(counted(&SinkStore::open(&folder.path("data/sinks.redb")).unwrap(), "s"), next);
}

fn segments(folder: &Folder) -> Vec<PathBuf> {
    fs::read_dir(folder.path("data/events/s")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn bytes(folder: &Folder) -> u64 {
    segments(folder).iter().filter_map(|path| path.metadata().ok()).map(|metadata| metadata.len()).sum()
}

#[test]
fn segments_go_when_every_sink_has_passed_them_and_laggards_are_stopped_when_it_is_full() {
    let folder = Folder::new();
    let log = folder.file("log", lines(0..10));
    let source = ndjson_source(&folder, &log);
    let fast = wasm("kv-tally", "name=fast");
    let stuck = wasm("scripted", "name=stuck&config.on=put&config.do=retry&config.when=20");
    let full = ["--event-store-max", "1MiB"];
    let running = Running::start_at(folder, &source, &[&fast, &stuck], &full);
    running.until_at("fast", "9");
    append(&log, &lines(10..12_000));
    running.until_at("fast", "11999");
    running.until("the laggard to be stopped", || running.status("stuck")["state"] == "stopped");
    let reason = running.status("stuck")["reason"].to_string();
    assert!(reason.contains("the event store is full (1.0 MiB)") && reason.contains("a gap"), "{reason}");
    assert!(running.said().iter().any(|line| line.contains("WARN") && line.contains("of 1.0 MiB")), "no warning");
    let refused = running.ask(&["resume", "stuck"]);
    assert_exit(&refused, 1);
    assert!(stderr(&refused).contains("at the next start `on-gap` decides"), "{}", stderr(&refused));
    // Without it nobody needs what the other has passed.
    running.until("segments to go", || bytes(&running.folder) < 200 * 1024);
    append(&log, &lines(12_000..12_010));
    running.until_at("fast", "12009");
    let folder = running.stop();
    // At the next start it has a gap, and says so.
    let gap = folder.command_at(&source, &[&fast, &stuck], &["--once"]).output().unwrap();
    assert_exit(&gap, 3);
    assert!(stderr(&gap).contains("has a gap: sink \"stuck\""), "{}", stderr(&gap));
    assert_exit(&folder.command_at(&source, &[&fast], &["--once"]).output().unwrap(), 0);
    assert_eq!(counted(&SinkStore::open(&folder.path("data/sinks.redb")).unwrap(), "fast"), 12_010);
}

#[test]
fn an_inline_sink_keeps_everything_up_to_the_bound() {
    let folder = Folder::new();
    let log = folder.file("log", lines(0..3_000));
    let source = ndjson_source(&folder, &log);
    let out = format!("file://{}", folder.path("out").display());
    let running = Running::start_at(folder, &source, &[&out], &["--event-store-max", "1MiB"]);
    running.until("history to end", || {
        let report: Value = serde_json::from_str(&running.told(&["status", "--json"])).unwrap();
        report["head"]["as-of"] == "2999"
    });
    thread::sleep(Duration::from_millis(1_500));
    assert!(bytes(&running.folder) > 300 * 1024, "{}", bytes(&running.folder));
    append(&log, &lines(3_000..12_000));
    running.until("the warning", || {
        running.said().iter().any(|line| line.contains("will not be put to it at the next start"))
    });
    // It is said first, and the store is looked at once a second.
    running.until("the store to be within its bound", || bytes(&running.folder) <= 1 << 20);
}

#[test]
fn without_a_store_a_remote_source_feeds_inline_sinks_only() {
    let api = Api::start(outputs(0..3));
    let folder = Folder::new();
    let off = ["--once", "--event-store", "off"];
    let refused = folder.command_at(&api.uri(""), &[&wasm("kv-tally", "")], &off).output().unwrap();
    assert_exit(&refused, 2);
    assert!(stderr(&refused).contains("inline sinks only"), "{}", stderr(&refused));
    let inline = folder.command_at(&api.uri(""), &["stdout:"], &off).output().unwrap();
    assert_exit(&inline, 0);
    assert!(!folder.path("data/events").exists());
    for bad in ["1023KiB", "2PiB", "much"] {
        let more = ["--once", "--event-store-max", bad];
        let refused = folder.command_at(&api.uri(""), &["stdout:"], &more).output().unwrap();
        assert_exit(&refused, 2);
        assert!(stderr(&refused).contains("event-store-max"), "{}", stderr(&refused));
    }
    for good in ["1MiB", "1PiB"] {
        let more = ["--once", "--event-store-max", good];
        assert_exit(&folder.command_at(&api.uri(""), &["stdout:"], &more).output().unwrap(), 0);
    }
    // A log on files needs none, unless it is asked for.
    let log = folder.file("state", lines(0..3));
    let source = format!("file://{}?stream=files", log.display());
    assert_exit(&folder.command_at(&source, &["stdout:"], &["--once"]).output().unwrap(), 0);
    assert!(!folder.path("data/events/files").exists());
    assert_exit(&folder.command_at(&source, &["stdout:"], &["--once", "--event-store", "on"]).output().unwrap(), 0);
    assert!(folder.path("data/events/files").exists());
}

#[test]
fn what_goes_is_what_all_have_passed_or_the_oldest() {
    let folder = Folder::new();
    let store = folder.path("store");
    fs::create_dir(&store).unwrap();
    for (name, bytes) in [("events-9", 100), ("events-19", 100), ("events-29", 100), ("events", 50)] {
        fs::write(store.join(name), "x".repeat(bytes)).unwrap();
    }
    let retention = Retention::new(&store, 220);
    let held = retention.held().unwrap();
    assert_eq!(held.bytes, 350);
    let passed = |lowest| retention.passed(&held, lowest).len();
    assert_eq!(passed(Position::event(9)), 0);
    // The segment may end with the checkpoint of its last id.
    assert_eq!(passed(Position::event(10)), 1);
    assert_eq!(passed(Position::checkpoint(29)), 2);
    assert_eq!(passed(Position::event(1_000)), 3);
    assert_eq!(retention.too_many(&held).len(), 2);
    assert_eq!(Retention::new(&store, 350).too_many(&held).len(), 0);
    assert_eq!(Retention::new(&store, 1).too_many(&held).len(), 3);
}
