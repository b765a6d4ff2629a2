//! `hydrant run`, as the real process.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Output};
use std::thread;
use std::time::Duration;

use crate::harness::{Folder, append, assert_exit, guest, hydrant, line, lines, stderr, stdout};

/// A component on the inline lane; what the detached one does is told in `detached.rs`.
fn wasm(name: &str, parameters: &str) -> String {
    format!("wasm:{}?lane=inline&{parameters}", guest(name).display())
}

fn sample(folder: &Folder, events: u64) -> std::path::PathBuf {
    let path = folder.path("sample");
    let events = events.to_string();
    assert!(hydrant().args(["sample", "--events", &events, "--out"]).arg(&path).status().unwrap().success());
    path
}

/// Sends a signal, as Ctrl-C or systemd would.
fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn every_event_reaches_every_sink_in_order() {
    let folder = Folder::new();
    let source = sample(&folder, 500);
    let out = format!("file://{}", folder.path("out").display());
    let output = folder.run(&source, &["stdout:", &out, &wasm("printer", ""), &wasm("tally", "")], &["--once"]);
    assert_exit(&output, 0);
    let log = fs::read(&source).unwrap();
    assert_eq!(output.stdout, log);
    assert_eq!(fs::read(folder.path("out")).unwrap(), log);
    let said = stderr(&output);
    let printed: Vec<&str> =
        said.lines().filter_map(|line| line.split_once(" printer: ")).map(|(_, line)| line).collect();
    assert_eq!(printed.len(), 500);
    for (id, line) in printed.iter().enumerate() {
        assert!(line.starts_with(&format!("{id} ")), "{line}");
    }
}

#[test]
fn the_tally_prints_the_same_counts_as_log_stats() {
    let folder = Folder::new();
    let source = sample(&folder, 20_000);
    let output = folder.run(&source, &[&wasm("tally", "")], &["--once"]);
    assert_exit(&output, 0);
    let said = stderr(&output);
    let counts: String =
        said.lines().filter_map(|line| line.split_once(" tally: ")).map(|(_, line)| line.to_owned() + "\n").collect();
    let stats = hydrant().args(["log", "stats"]).arg(&source).output().unwrap();
    assert_exit(&stats, 0);
    assert_eq!(counts, stdout(&stats));
}

#[test]
fn what_will_be_delivered_is_said_before_it_starts() {
    let folder = Folder::new();
    let source = folder.file("state", lines(0..3));
    let output = folder.run(&source, &[&wasm("printer", "name=p")], &["--once"]);
    let said = stderr(&output);
    let mut said = said.lines();
    let first = said.next().unwrap();
    assert!(
        first.contains(&format!("event source file {}", source.display())) && first.contains("stream stream-"),
        "{first}"
    );
    let second = said.next().unwrap();
    assert!(
        second.contains("event sink \"p\" (component sha256:") && second.contains("every event from the first"),
        "{second}"
    );
}

#[test]
fn a_sink_that_refuses_ends_the_process_and_a_mended_one_gets_everything_again() {
    let folder = Folder::new();
    let source = folder.file("state", lines(0..1000));
    let output = folder.run(&source, &[&wasm("refuse", "config.refuse-id=500"), "stdout:"], &["--once"]);
    assert_exit(&output, 1);
    let said = stderr(&output);
    for part in [
        "sink \"refuse\"",
        "event 500",
        "TickObserved",
        "rejected: I was told to refuse 500",
        "| about to refuse 500",
        "start again",
    ] {
        assert!(said.contains(part), "{part:?} is missing in:\n{said}");
    }
    // What came before the failure was flushed to the others.
    assert_eq!(stdout(&output), lines(0..500));
    let mended = folder.run(&source, &[&wasm("refuse", ""), "stdout:"], &["--once"]);
    assert_exit(&mended, 0);
    assert_eq!(stdout(&mended), lines(0..1000));
}

#[test]
fn failures_of_every_kind_exit_1_and_name_the_remedy() {
    let folder = Folder::new();
    let source = folder.file("state", lines(0..5));
    for (sink, part) in [
        (wasm("trap", ""), "trapped: wasm `unreachable` instruction executed"),
        (wasm("endless-loop", ""), "broke its limit on fuel"),
        (wasm("sleeper", "timeout=50ms"), "broke its limit on timeout"),
        (wasm("huge-error", ""), "broke its limit on hostcall-bytes"),
        (wasm("accepted-without-flush", ""), "breaks the contract"),
        (wasm("slow-start", "open-timeout=50ms&config.sleep-ms=60000"), "failed to open"),
        (wasm("other-format", ""), "hydra.server-output/1 only"),
    ] {
        let output = folder.run(&source, &[&sink], &["--once"]);
        assert_exit(&output, 1);
        assert!(stderr(&output).contains(part), "{part:?} is missing in:\n{}", stderr(&output));
    }
}

#[test]
fn a_flood_of_log_lines_is_bounded_and_the_drops_are_said() {
    let folder = Folder::new();
    let source = folder.file("state", lines(0..2));
    let output = folder.run(&source, &[&wasm("log-flood", "fuel=100000000000&timeout=60s")], &["--once"]);
    assert_exit(&output, 0);
    let said = stderr(&output);
    let passed = said.lines().filter(|line| line.contains(": flood ")).count();
    let dropped: usize = said
        .lines()
        .filter_map(|line| line.split_once(" lines of this sink's log were dropped"))
        .map(|(before, _)| before.rsplit(' ').next().unwrap().parse::<usize>().unwrap())
        .sum();
    assert!(passed >= 10_000, "{passed} lines passed");
    // Two structured lines came beside the flood; each may have passed or been dropped.
    let all = passed + dropped;
    assert!((40_000..=40_002).contains(&all), "{passed} passed and {dropped} dropped");
}

#[test]
fn a_torn_or_nul_tail_is_warned_of_and_never_touched() {
    let folder = Folder::new();
    let whole = lines(0..5);
    for (tail, word) in [(line(5)[..30].to_owned(), "torn"), ("\0".repeat(100), "NUL-filled")] {
        let source = folder.file("state", whole.clone() + &tail);
        let output = folder.run(&source, &["stdout:"], &["--once"]);
        assert_exit(&output, 0);
        assert_eq!(stdout(&output), whole);
        let said = stderr(&output);
        let warning = said.lines().find(|line| line.contains("WARN")).expect("no warning");
        for part in [word, &source.display().to_string(), &format!("byte {}", whole.len())] {
            assert!(warning.contains(part), "{part:?} is missing in {warning}");
        }
        assert_eq!(fs::read_to_string(&source).unwrap(), whole.clone() + &tail);
    }
}

#[test]
fn an_event_without_its_newline_is_delivered_once() {
    let folder = Folder::new();
    let source = folder.file("state", lines(0..2) + &line(2));
    let output = folder.run(&source, &["stdout:"], &["--once"]);
    assert_exit(&output, 0);
    assert_eq!(stdout(&output), lines(0..3));
}

#[test]
fn a_bad_line_exits_3_with_its_place_or_is_skipped_with_4() {
    let folder = Folder::new();
    let before = lines(0..2);
    let source = folder.file("state", format!("{before}garbage\n{}", lines(2..4)));
    let output = folder.run(&source, &["stdout:"], &["--once"]);
    assert_exit(&output, 3);
    assert_eq!(stdout(&output), before);
    let place = format!("{}, line 3, byte {}", source.display(), before.len());
    assert!(stderr(&output).contains(&place) && stderr(&output).contains("on-bad-line=skip"), "{}", stderr(&output));

    let skipping = source.with_file_name("state?on-bad-line=skip");
    let output = folder.run(&skipping, &["stdout:"], &["--once"]);
    assert_exit(&output, 4);
    assert_eq!(stdout(&output), lines(0..4));
    assert!(stderr(&output).contains(&place), "{}", stderr(&output));
}

#[test]
fn repetitions_are_dropped_and_contradictions_are_bad_lines() {
    let folder = Folder::new();
    let source = folder.file("state", lines(0..6) + &lines(2..6) + &lines(6..8));
    let output = folder.run(&source, &["stdout:"], &["--once"]);
    assert_exit(&output, 0);
    assert_eq!(stdout(&output), lines(0..8));
    let said = format!("dropped 4 repeated lines from {}, line 7, byte {}", source.display(), lines(0..6).len());
    assert!(stderr(&output).contains(&said), "{}", stderr(&output));
    let source = folder.file("state", lines(0..6) + &crate::harness::tagged(3, "Other") + "\n");
    let output = folder.run(&source, &["stdout:"], &["--once"]);
    assert_exit(&output, 3);
    assert!(stderr(&output).contains("position 3 does not come after 5"), "{}", stderr(&output));
}

#[test]
fn a_source_that_is_not_there_exits_3() {
    let folder = Folder::new();
    let output = folder.run(&folder.path("missing"), &["stdout:"], &["--once"]);
    assert_exit(&output, 3);
    assert!(stderr(&output).contains("missing"), "{}", stderr(&output));
}

#[test]
fn bad_usage_exits_2_and_names_what_is_known() {
    let folder = Folder::new();
    let source = folder.file("state", lines(0..3));
    let missing = format!("wasm:{}", folder.path("none.wasm").display());
    for (sinks, part) in [
        (vec![], "no event sink is configured"),
        (vec!["stdout:", "stdout:"], "two sinks are named \"stdout\""),
        (vec!["s3://bucket"], "unknown scheme \"s3\""),
        (vec!["stdout:?lane=fast"], "expected inline or detached"),
        (vec!["stdout:?on-reject=skip"], "only sinks with lane=detached"),
        (vec!["stdout:?colour=red"], "known are flush, lane, name"),
        (
            vec![&*wasm("printer", "feul=1")],
            "known are compile-cpu, compile-memory, compile-timeout, config.NAME, digest, flush, flush-fuel",
        ),
        (vec![&*wasm("printer", "fuel=1")], "fuel takes 100000 to 1000000000000"),
        (vec![&*wasm("wrong-world", "")], "expected export hydrant:events/event-sink@0.1.0"),
        (vec![&*missing], "none.wasm"),
    ] {
        let output = folder.run(&source, &sinks, &["--once"]);
        assert_exit(&output, 2);
        assert!(stderr(&output).contains(part), "{part:?} is missing in:\n{}", stderr(&output));
    }
    assert_exit(&hydrant().args(["run", "--frobnicate"]).output().unwrap(), 2);
}

#[test]
fn a_sink_must_not_write_what_is_read() {
    let folder = Folder::new();
    let source = folder.file("state", lines(0..3));
    folder.file("state-1", "");
    fs::remove_file(folder.path("state-1")).unwrap();
    symlink(&source, folder.path("link")).unwrap();
    fs::hard_link(&source, folder.path("hard")).unwrap();
    for name in ["state", "link", "hard", "state-77"] {
        let output = folder.run(&source, &[&format!("file://{}", folder.path(name).display())], &["--once"]);
        assert_exit(&output, 2);
        assert!(stderr(&output).contains("belongs to the event source"), "{}", stderr(&output));
    }
    assert_eq!(fs::read_to_string(&source).unwrap(), lines(0..3));
    assert!(!folder.path("state-77").exists());
}

#[test]
fn a_file_sink_never_writes_in_a_nodes_folder_or_over_other_bytes() {
    let folder = Folder::new();
    let source = folder.file("state", lines(0..3));
    fs::create_dir_all(folder.path("node/etcd")).unwrap();
    let output = folder.run(&source, &[&format!("file://{}", folder.path("node/out").display())], &["--once"]);
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("etcd"), "{}", stderr(&output));
    assert!(!folder.path("node/out").exists());

    let other = folder.file("other", lines(0..1) + &crate::harness::tagged(1, "Other") + "\n");
    let output = folder.run(&source, &[&format!("file://{}", other.display())], &["--once"]);
    assert_exit(&output, 1);
    let said = stderr(&output);
    assert!(said.contains("position 1 is there already with other bytes: hash"), "{said}");
}

#[test]
fn two_runs_share_no_data_directory() {
    let folder = Folder::new();
    let source = folder.file("state", lines(0..3));
    let mut first = folder.command(&source, &["stdout:"], &[]).spawn().unwrap();
    let mut out = BufReader::new(first.stdout.take().unwrap()).lines();
    assert_eq!(out.next().unwrap().unwrap(), line(0));
    let second = folder.run(&source, &["stdout:"], &["--once"]);
    assert_exit(&second, 2);
    assert!(stderr(&second).contains(&format!("in use by process {}", first.id())), "{}", stderr(&second));
    signal(&first, "TERM");
    assert!(first.wait().unwrap().success());
}

#[test]
fn a_live_log_is_followed_and_ctrl_c_flushes_closes_and_exits_0() {
    let folder = Folder::new();
    let source = folder.file("state", lines(0..3));
    let mut child = folder.command(&source, &["stdout:", &wasm("tally", "")], &[]).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    for id in 0..3 {
        assert_eq!(out.next().unwrap().unwrap(), line(id));
    }
    // Half a line, a rotation, and more.
    append(&source, &line(3)[..25]);
    thread::sleep(Duration::from_millis(60));
    append(&source, &(line(3)[25..].to_owned() + "\n"));
    fs::rename(&source, folder.path("state-3")).unwrap();
    append(&source, &lines(4..6));
    for id in 3..6 {
        assert_eq!(out.next().unwrap().unwrap(), line(id));
    }
    signal(&child, "INT");
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{said}");
    assert!(said.contains("tally: TickObserved 6"), "the tally was not closed:\n{said}");
}

#[test]
fn ctrl_c_that_cuts_once_short_exits_1() {
    let folder = Folder::new();
    let source = sample(&folder, 200_000);
    // Slow enough: the printer's lines go through the log.
    let mut child =
        folder.command(&source, &[&wasm("log-flood", "fuel=100000000000&timeout=60s")], &["--once"]).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("flood 1")));
    signal(&child, "INT");
    let rest: Vec<String> = said.map_while(Result::ok).collect();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(rest.iter().any(|line| line.contains("stopped before everything was delivered")));
}

#[test]
fn a_log_that_diverges_while_followed_exits_3_with_both_ids() {
    let folder = Folder::new();
    let source = folder.file("state", lines(0..1000));
    let mut child = folder.command(&source, &["stdout:"], &[]).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(out.any(|seen| seen.unwrap() == line(999)));
    // In one step: a file that is written anew is empty for a moment, and the run may look just then.
    let file = std::fs::OpenOptions::new().write(true).open(&source).unwrap();
    file.set_len(lines(0..990).len() as u64).unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3), "{said}");
    assert!(said.contains("999") && said.contains("989") && said.contains("diverged"), "{said}");
}

fn run_with(folder: &Folder, configure: impl FnOnce(&mut Command)) -> Output {
    let mut command = hydrant();
    command.arg("run").current_dir(folder.path("."));
    configure(&mut command);
    command.output().unwrap()
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let folder = Folder::new();
    for (name, id) in [("state", 0), ("from-file", 1), ("from-env", 2), ("from-flag", 3)] {
        folder.file(name, lines(id..id + 1));
    }
    let config = "once = true\nevent-source = \"file://from-file\"\n[[event-sink]]\nuri = \"stdout:\"\n";
    folder.file("hydrant.toml", config);
    let sink = ["--event-sink", "stdout:", "--once"];
    assert_eq!(
        stdout(&run_with(&folder, |command| {
            command.args(sink);
        })),
        lines(0..1)
    );
    let file = |command: &mut Command| {
        command.args(["--config", "hydrant.toml"]);
    };
    assert_eq!(stdout(&run_with(&folder, file)), lines(1..2));
    let env = |command: &mut Command| {
        file(command);
        command.env("HYDRANT_EVENT_SOURCE", "file://from-env");
    };
    assert_eq!(stdout(&run_with(&folder, env)), lines(2..3));
    let flag = |command: &mut Command| {
        env(command);
        command.args(["--event-source", "file://from-flag"]);
    };
    assert_eq!(stdout(&run_with(&folder, flag)), lines(3..4));
    assert!(folder.path("hydrant-data/streams.toml").exists(), "the default data directory");
}

#[test]
fn a_mistake_in_the_configuration_file_exits_2_and_names_the_key() {
    let folder = Folder::new();
    for (text, part) in
        [("evnt-source = \"x\"", "\"evnt-source\""), ("log = \"xml\"", "\"log\""), ("= 1", "not valid TOML")]
    {
        folder.file("hydrant.toml", text);
        let output = run_with(&folder, |command| {
            command.args(["--config", "hydrant.toml", "--event-sink", "stdout:"]);
        });
        assert_exit(&output, 2);
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
}

#[test]
fn log_lines_can_be_json() {
    let folder = Folder::new();
    let source = folder.file("state", lines(0..2));
    let output = folder.run(&source, &[&wasm("tally", "")], &["--once", "--log", "json"]);
    assert_exit(&output, 0);
    let values: Vec<serde_json::Value> =
        stderr(&output).lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(values.iter().any(|value| value["sink"] == "tally" && value["message"] == "TickObserved 2"));
}

#[test]
fn the_streams_name_is_given_or_kept() {
    let folder = Folder::new();
    let source = folder.file("state", lines(0..2));
    let name = |output: &Output| {
        let said = stderr(output);
        said.split_once("stream ").unwrap().1.split(',').next().unwrap().to_owned()
    };
    let first = folder.run(&source, &["stdout:"], &["--once"]);
    assert_eq!(name(&folder.run(&source, &["stdout:"], &["--once"])), name(&first));
    let named = folder.run(&source.with_file_name("state?stream=my-head"), &["stdout:"], &["--once"]);
    assert_eq!(name(&named), "my-head");
}

#[test]
fn standard_output_that_is_full_exits_1() {
    let folder = Folder::new();
    let source = folder.file("state", lines(0..2));
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = folder.command(&source, &["stdout:"], &["--once"]).stdout(full).output().unwrap();
    assert_exit(&output, 1);
    assert!(stderr(&output).contains("cannot write to standard output"), "{}", stderr(&output));
}
