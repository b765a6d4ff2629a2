//! A running hydrant and its operator: the real process, its admin API, swaps, hostile guests.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{
    Folder, another_version, append, assert_exit, counted, guest, hydrant, lines, stderr, stdout, wasm,
};
use hydrant::sink_store::SinkStore;

/// A hydrant that follows a log.
pub(crate) struct Running {
    pub(crate) folder: Folder,
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    pub(crate) fn start(folder: Folder, sinks: &[&str], more: &[&str]) -> Self {
        let source = format!("file://{}", folder.path("state").display());
        Self::start_at(folder, &source, sinks, more)
    }

    /// One that follows any source.
    pub(crate) fn start_at(folder: Folder, source: &str, sinks: &[&str], more: &[&str]) -> Self {
        let command = folder.command_at(source, sinks, more);
        Self::of(folder, command)
    }

    /// Whatever this command starts.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn of(folder: Folder, mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap());
        let said = Arc::new(Mutex::new(Vec::new()));
        let saying = Arc::clone(&said);
        thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                saying.lock().unwrap().push(line);
            }
        });
        let running = Self { folder, child, said };
        running.until("the admin API", || running.ask(&["status"]).status.success());
        running
    }

    /// kill -9; gives the folder, to start again in.
    pub(crate) fn kill(mut self) -> Folder {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.folder, Folder::new())
    }

    pub(crate) fn ask(&self, arguments: &[&str]) -> Output {
        hydrant().args(arguments).arg("--data-dir").arg(self.folder.path("data")).output().unwrap()
    }

    #[track_caller]
    pub(crate) fn told(&self, arguments: &[&str]) -> String {
        let output = self.ask(arguments);
        assert_exit(&output, 0);
        stdout(&output)
    }

    pub(crate) fn status(&self, sink: &str) -> Value {
        let report: Value = serde_json::from_str(&self.told(&["status", "--json"])).unwrap();
        let sinks = report["sinks"].as_array().unwrap();
        sinks.iter().find(|status| status["sink"] == sink).unwrap_or_else(|| panic!("no sink {sink}")).clone()
    }

    #[track_caller]
    pub(crate) fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        for _ in 0..1_500 {
            if holds() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("{what} did not come about; it said:\n{}", self.said().join("\n"));
    }

    pub(crate) fn until_at(&self, sink: &str, position: &str) {
        self.until(&format!("{sink} at {position}"), || self.status(sink)["position"] == position);
    }

    pub(crate) fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// The lines that a sink printed.
    pub(crate) fn printed(&self, sink: &str) -> Vec<String> {
        let mark = format!(" {sink}: ");
        self.said().iter().filter_map(|line| Some(line.split_once(&mark)?.1.to_owned())).collect()
    }

    /// Ends it with Ctrl-C and leaves its folder.
    pub(crate) fn stop(mut self) -> Folder {
        self.interrupt();
        std::mem::replace(&mut self.folder, Folder::new())
    }

    /// Ctrl-C; the exit code, and how long it took.
    fn interrupt(&mut self) -> (Option<i32>, Duration) {
        let start = Instant::now();
        assert!(Command::new("kill").args(["-INT", &self.pid().to_string()]).status().unwrap().success());
        (self.child.wait().unwrap().code(), start.elapsed())
    }
}

fn with_log(log: &str) -> Folder {
    let folder = Folder::new();
    folder.file("state", log);
    folder
}

fn path(name: &str) -> String {
    guest(name).display().to_string()
}

/// The ids that a scripted sink printed as put, by the marks in front.
fn ids(lines: &[String]) -> Vec<(String, u64)> {
    let put = |line: &String| {
        let (note, rest) = line.split_once("put ")?;
        Some((note.to_owned(), rest.split(' ').next()?.parse().ok()?))
    };
    lines.iter().filter_map(put).collect()
}

#[test]
fn a_sink_is_paused_resumed_replayed_and_shown() {
    let sinks = [wasm("scripted", "name=s&config.print=yes"), "stdout:".to_owned()];
    let running = Running::start(with_log(&lines(0..10)), &[&sinks[0], &sinks[1]], &[]);
    running.until_at("s", "9");
    let table = running.told(&["status"]);
    assert!(table.contains("SINK") && table.contains("detached  live") && table.contains("inline"), "{table}");
    assert_eq!(running.status("s")["lag-events"], 0);
    assert!(running.status("s")["digest"].as_str().unwrap().len() == 64);
    assert!(running.told(&["pause", "s"]).contains("paused after event 9"));
    append(&running.folder.path("state"), &lines(10..15));
    running.until("the lag", || running.status("s")["lag-events"] == 5);
    assert_eq!(running.status("s")["state"], "paused");
    assert_eq!(running.status("s")["position"], "9");
    running.told(&["resume", "s"]);
    running.until_at("s", "14");
    running.until("live", || running.status("s")["state"] == "live");
    assert!(running.told(&["replay", "s", "--from", "12", "--keep-state"]).contains("12"));
    running.until("the replay", || ids(&running.printed("s")).len() == 18);
    let put: Vec<u64> = ids(&running.printed("s")).into_iter().map(|(_, id)| id).collect();
    assert_eq!(put, (0..15).chain(12..15).collect::<Vec<_>>());
    assert!(running.printed("s").contains(&"put 14 r".to_owned()), "put again, and live by now");
    // What cannot be done is said.
    let inline = running.ask(&["pause", "stdout"]);
    assert_exit(&inline, 1);
    assert!(stderr(&inline).contains("inline lane"), "{}", stderr(&inline));
    let unknown = running.ask(&["pause", "nobody"]);
    assert_exit(&unknown, 1);
    assert!(stderr(&unknown).contains("there are stdout, s"), "{}", stderr(&unknown));
    let elsewhere = hydrant().args(["status", "--data-dir", "/nowhere"]).output().unwrap();
    assert_exit(&elsewhere, 1);
    assert!(stderr(&elsewhere).contains("no hydrant is running"), "{}", stderr(&elsewhere));
}

#[test]
fn parked_events_are_listed_put_again_and_dropped() {
    let sink = wasm("refuse", "config.refuse-id=3&name=r");
    let running = Running::start(with_log(&lines(0..6)), &[&sink], &[]);
    running.until_at("r", "5");
    let list = running.told(&["parked", "list", "r"]);
    assert!(list.contains("TickObserved") && list.contains("rejected: I was told to refuse 3"), "{list}");
    let json: Value = serde_json::from_str(&running.told(&["parked", "list", "r", "--json"])).unwrap();
    assert_eq!(json[0]["json"].as_str().unwrap(), lines(3..4).trim_end());
    let refused = running.ask(&["parked", "put", "r", "3"]);
    assert_exit(&refused, 1);
    assert!(stderr(&refused).contains("event 3 stays parked"), "{}", stderr(&refused));
    // A version that takes it.
    running.told(&["swap", "r", &path("no-op")]);
    assert!(running.told(&["parked", "put", "r", "--all"]).contains("1 parked events put"));
    assert_eq!(running.status("r")["parked"], 0);
    assert_exit(&running.ask(&["parked", "drop", "r", "3"]), 1);
}

#[test]
fn what_led_to_a_parked_event_is_kept_with_it() {
    for (what, limit) in [("trap", "none: it trapped on its own"), ("loop", "fuel")] {
        let script = format!("config.on=put&config.do={what}&config.when=3&name=s&fuel=1000000");
        let running = Running::start(with_log(&lines(0..6)), &[&wasm("scripted", &script)], &[]);
        running.until_at("s", "5");
        let shown = running.told(&["parked", "show", "s", "3"]);
        for part in ["event 3 (TickObserved)", &format!("limit     {limit}"), "fuel      ", "memory    ", "in        "]
        {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(shown.contains("#put-event"), "{shown}");
        let json: Value = serde_json::from_str(&running.told(&["parked", "list", "s", "--json"])).unwrap();
        assert!(json[0]["post_mortem"]["fuel_used"].as_u64().unwrap() > 0, "{json}");
        assert_exit(&running.ask(&["parked", "show", "s", "4"]), 1);
    }
    let script = "config.refuse-id=3&name=s";
    let running = Running::start(with_log(&lines(0..6)), &[&wasm("refuse", script)], &[]);
    running.until_at("s", "5");
    let shown = running.told(&["parked", "show", "s", "3"]);
    assert!(shown.contains("rejected: I was told to refuse 3") && !shown.contains("fuel"), "{shown}");
}

#[test]
fn metrics_have_their_documented_names() {
    let sink = wasm("refuse", "config.refuse-id=3&name=r");
    let token = "0123456789abcdef";
    let folder = with_log(&lines(0..6));
    let token_file = folder.file("token", token);
    let more = ["--listen", "127.0.0.1:0", "--token-file", token_file.to_str().unwrap()];
    let running = Running::start(folder, &[&sink], &more);
    running.until_at("r", "5");
    let said = running.said();
    let address = said.iter().find_map(|line| line.split_once("admin API on ")).unwrap().1.to_owned();
    let metrics = |token: &str| {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer = metrics(token);
    for part in [
        "hydrant_events_delivered_total{sink=\"r\"} 5",
        "hydrant_parked_total{sink=\"r\"} 1",
        "hydrant_lag_events{sink=\"r\"} 0",
        "hydrant_sink_state{sink=\"r\",state=\"live\"} 1",
    ] {
        assert!(answer.contains(part), "{part:?} is missing in:\n{answer}");
    }
    for (name, ..) in hydrant::admin::METRICS {
        let page = fs::read_to_string(crate::harness::root().join("docs/guide/operate.md")).unwrap();
        assert!(page.contains(name), "docs/guide/operate.md does not name {name}");
    }
    assert!(metrics("another token").starts_with("HTTP/1.1 401"));
    // The same from the command line.
    let token_file = token_file_of(&running);
    let reach = ["status", "--connect", &address, "--token-file", &token_file];
    assert_exit(&hydrant().args(reach).output().unwrap(), 0);
    let without = running.folder.command(&running.folder.path("state"), &["stdout:"], &["--listen", "127.0.0.1:0"]);
    let mut without = without;
    assert_exit(&without.output().unwrap(), 2);
}

fn token_file_of(running: &Running) -> String {
    running.folder.path("token").display().to_string()
}

#[test]
fn a_swap_hands_state_over_and_loses_or_reorders_nothing() {
    for (note, lane) in [("detached", "detached"), ("inline", "inline")] {
        let sink = wasm("scripted", &format!("name=s&lane={lane}&config.print=yes&config.ack=accepted&flush=5"));
        let mut running = Running::start(with_log(&lines(0..50)), &[&sink], &[]);
        running.until("the first events", || ids(&running.printed("s")).len() == 50);
        // The same program with other bytes at its end is another version.
        let next = running.folder.path("next.wasm");
        another_version("scripted", &next, 1);
        let said = running.told(&["swap", "s", next.to_str().unwrap()]);
        assert!(said.contains("took over from"), "{note}: {said}");
        append(&running.folder.path("state"), &lines(50..60));
        running.until("the rest", || ids(&running.printed("s")).len() == 60);
        let put: Vec<u64> = ids(&running.printed("s")).into_iter().map(|(_, id)| id).collect();
        assert_eq!(put, (0..60).collect::<Vec<_>>(), "{note}");
        let history = running.told(&["status", "--history", "s"]);
        assert_eq!(history.lines().count(), 3, "{history}");
        assert!(history.contains("start") && history.contains("swap"), "{history}");
        assert_eq!(running.interrupt().0, Some(0));
        running.until("the last words", || {
            running.printed("s").iter().any(|line| line.contains("close CloseReason::Stop"))
        });
        // What it counted went along: 60 events, though this instance saw ten.
        let closed = running.printed("s").join("\n");
        assert!(closed.contains("close CloseReason::Swap after 50"), "{closed}");
        assert!(closed.contains("close CloseReason::Stop after 60"), "{closed}");
    }
}

#[test]
fn state_that_nobody_takes_over_is_not_thrown_away() {
    for lane in ["detached", "inline"] {
        let sink = wasm("scripted", &format!("name=s&lane={lane}"));
        let running = Running::start(with_log(&lines(0..10)), &[&sink], &[]);
        running.until_at("s", "9");
        let refused = running.ask(&["swap", "s", &path("no-op")]);
        assert_exit(&refused, 1);
        assert!(stderr(&refused).contains("neither takes it nor asks for the events again"), "{}", stderr(&refused));
        append(&running.folder.path("state"), &lines(10..12));
        running.until_at("s", "11");
    }
}

/// What a sink says when it ends.
fn last_words(mut running: Running, sink: &str) -> Vec<String> {
    assert_eq!(running.interrupt().0, Some(0));
    thread::sleep(Duration::from_millis(200));
    let mut counts: Vec<String> =
        running.printed(sink).into_iter().filter(|line| line.split(' ').count() == 2).collect();
    // A tally is printed in the order of tags at each close; the sink is opened anew when the head becomes known.
    let last = counts.windows(2).rposition(|pair| pair[1] <= pair[0]).map_or(0, |end| end + 1);
    counts.drain(last..).collect()
}

#[test]
fn a_new_version_that_keeps_all_in_memory_is_put_everything_from_the_log() {
    for lane in ["detached", "inline"] {
        let folder = Folder::new();
        let log = folder.path("state");
        assert!(hydrant().args(["sample", "--events", "300", "--out"]).arg(&log).status().unwrap().success());
        let position = serde_json::Value::from("299");
        let tally = wasm("tally", &format!("name=s&lane={lane}"));
        let running = Running::start(folder, &[&tally], &[]);
        running.until("the end", || running.status("s")["position"] == position);
        let folder = with_log(&fs::read_to_string(&log).unwrap());
        let expected = last_words(running, "s");
        // The other way there: a sink without state first.
        let first = wasm("no-op", &format!("name=s&lane={lane}"));
        let running = Running::start(folder, &[&first], &[]);
        running.until("the end", || running.status("s")["position"] == position);
        running.told(&["swap", "s", &path("tally")]);
        running.until("the events put again", || running.status("s")["position"] == position);
        assert_eq!(last_words(running, "s"), expected, "{lane}");
    }
}

#[test]
fn a_version_that_does_not_start_changes_nothing() {
    let sink = wasm("no-op", "name=s");
    let running = Running::start(with_log(&lines(0..10)), &[&sink], &[]);
    running.until_at("s", "9");
    let before = running.status("s")["digest"].clone();
    for (name, part) in
        [("wrong-world", "expected export"), ("other-format", "does not start"), ("slow-describe", "fuel")]
    {
        let refused = running.ask(&["swap", "s", &path(name)]);
        assert_exit(&refused, 1);
        assert!(stderr(&refused).contains(part), "{}", stderr(&refused));
    }
    assert_eq!(running.status("s")["digest"], before);
    append(&running.folder.path("state"), &lines(10..12));
    running.until_at("s", "11");
}

#[test]
fn a_version_that_fails_while_it_is_watched_is_returned_from_with_its_state() {
    let sink = wasm("kv-tally", "name=s");
    let running = Running::start(with_log(&lines(0..1)), &[&sink], &[]);
    running.until_at("s", "0");
    let first = running.status("s")["digest"].clone();
    // It takes two events, and traps at event 3.
    running.told(&["swap", "s", &path("trap")]);
    append(&running.folder.path("state"), &lines(1..30));
    running.until("the return", || running.status("s")["digest"] == first);
    running.until_at("s", "29");
    let history = running.told(&["status", "--history", "s"]);
    assert!(history.lines().last().unwrap().contains("return, because"), "{history}");
    assert_eq!(running.status("s")["parked"], 0);
    // The counts are those of all thirty, each once.
    let data = running.folder.path("data/sinks.redb");
    let mut running = running;
    assert_eq!(running.interrupt().0, Some(0));
    assert_eq!(counted(&SinkStore::open(&data).unwrap(), "s"), 30);
}

#[test]
fn a_watched_file_is_taken_when_it_changes_and_a_swap_survives_a_restart() {
    let folder = with_log(&lines(0..5));
    let file = folder.path("sink.wasm");
    fs::copy(guest("no-op"), &file).unwrap();
    let sink = format!("wasm:{}?name=s&watch=true", file.display());
    let mut running = Running::start(folder, &[&sink], &[]);
    running.until_at("s", "4");
    let first = running.status("s")["digest"].clone();
    another_version("no-op", &file, 2);
    running.until("the new file", || running.status("s")["digest"] != first);
    let second = running.status("s")["digest"].clone();
    // By hand another one, which stays in charge over a restart: the configured file is the same.
    let third = running.folder.path("third.wasm");
    another_version("no-op", &third, 3);
    running.told(&["swap", "s", third.to_str().unwrap()]);
    let in_charge = running.status("s")["digest"].clone();
    assert!(in_charge != second && in_charge != first);
    assert_eq!(running.interrupt().0, Some(0));
    let folder = std::mem::replace(&mut running.folder, Folder::new());
    let running = Running::start(folder, &[&sink], &[]);
    running.until("the version in charge", || running.status("s")["digest"] == in_charge);
    assert!(running.said().join("\n").contains("is in charge since a swap"));
}

/// With a hostile guest in each function in turn, the operator is answered and obeyed.
#[test]
fn no_hostile_guest_keeps_the_operator_from_being_answered_and_obeyed() {
    let places = ["open", "put", "flush", "save", "close"];
    let mut hostile = vec![path_with("slow-describe", "name=describe&open-fuel=10000000000000&open-timeout=60s")];
    for deed in ["loop", "sleep"] {
        for place in places {
            let limits = "fuel=1000000000000&open-fuel=10000000000000&flush-fuel=10000000000000&timeout=60s&open-timeout=60s\
                          &flush-timeout=60s&flush=1";
            hostile.push(path_with(
                "scripted",
                &format!("name={deed}-{place}&config.on={place}&config.do={deed}&config.ack=accepted&{limits}"),
            ));
        }
    }
    for sink in hostile {
        let name = sink.split_once("name=").unwrap().1.split('&').next().unwrap().to_owned();
        let good = wasm("no-op", "name=good");
        let mut running = Running::start(with_log(&lines(0..3)), &[&sink, &good], &[]);
        running.until_at("good", "2");
        let bounded = Duration::from_secs(25);
        let answered = |what: &str, arguments: &[&str]| {
            let start = Instant::now();
            let output = running.ask(arguments);
            let took = start.elapsed();
            assert!(took < bounded, "{name}: {what} took {took:?}");
            (output, took)
        };
        // The middle of five: a process that asks may have to be read from disk before.
        let is_answered_at_once = || {
            let mut took = [(); 5].map(|()| {
                let (output, took) = answered("status", &["status"]);
                assert_exit(&output, 0);
                took
            });
            took.sort();
            let quick = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 100 });
            assert!(took[2] < quick, "{name}: status took {took:?}");
        };
        is_answered_at_once();
        // A swap may be refused, if the running version cannot be brought to rest; it must not hang.
        answered("swap", &["swap", &name, &path("no-op")]);
        is_answered_at_once();
        assert_exit(&answered("pause", &["pause", &name]).0, 0);
        assert_eq!(running.status(&name)["state"], "paused");
        let (code, took) = running.interrupt();
        assert_eq!(code, Some(0), "{name}");
        assert!(took < bounded, "{name}: Ctrl-C took {took:?}");
    }
}

fn path_with(name: &str, parameters: &str) -> String {
    wasm(name, parameters)
}

#[test]
fn cursors_without_a_sink_are_named_and_another_stream_is_refused() {
    let folder = with_log(&lines(0..5));
    let source = folder.path("state");
    assert_exit(&folder.run(&source, &[&wasm("no-op", "name=old")], &["--once"]), 0);
    let output = folder.run(&source, &[&wasm("no-op", "name=new")], &["--once"]);
    assert_exit(&output, 0);
    assert!(stderr(&output).contains("no sink is named \"old\" any more; its cursor is kept, at event 4"));
    let other = folder.file("other", lines(0..5));
    let output = folder.run(&other, &[&wasm("no-op", "name=old")], &["--once"]);
    assert_exit(&output, 3);
    assert!(stderr(&output).contains("the cursor of sink \"old\" is a place in stream"), "{}", stderr(&output));
    assert!(stderr(&output).contains("--data-dir"), "{}", stderr(&output));
}

#[test]
fn once_ends_with_4_when_events_were_parked_and_with_1_when_a_sink_stopped() {
    let folder = with_log(&lines(0..5));
    let source = folder.path("state");
    assert_exit(&folder.run(&source, &[&wasm("refuse", "config.refuse-id=2&name=a")], &["--once"]), 4);
    let stopped = folder.run(&source, &[&wasm("refuse", "config.refuse-id=2&config.with=fatal&name=b")], &["--once"]);
    assert_exit(&stopped, 1);
    assert!(stderr(&stopped).contains("hydrant resume b"), "{}", stderr(&stopped));
    let inline_state = folder.run(&source, &[&wasm("kv-tally", "lane=inline&name=c")], &["--once"]);
    assert_exit(&inline_state, 2);
    assert!(stderr(&inline_state).contains("lane=detached"), "{}", stderr(&inline_state));
}
