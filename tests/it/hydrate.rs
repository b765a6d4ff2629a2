//! Hydrating: what a running hydrant knows of the head, and what it compares.

use serde_json::Value;

use crate::harness::{Folder, append, assert_exit, line, stderr, stdout, wasm};
use crate::operate::Running;

const KEY: &str = "0101010101010101010101010101010101010101010101010101010101010101";

fn event(id: u64, change: &str) -> String {
    format!(r#"{{"eventId":{id},"stateChanged":{change},"time":"2026-01-01T00:00:00Z"}}"#) + "\n"
}

fn opened(id: u64, head: &str) -> String {
    let parameters = format!(r#"{{"contestationPeriod":60,"parties":[{{"vkey":"{KEY}"}}]}}"#);
    let chain = r#"{"recordedAt":null,"spendableUTxO":{}}"#;
    let change = format!(
        r#"{{"chainState":{chain},"headId":"{head}","headSeed":"00","parameters":{parameters},"parties":[],"tag":"HeadOpened"}}"#
    );
    event(id, &change)
}

fn broken(id: u64) -> String {
    event(id, r#"{"chainState":7,"contestationDeadline":[],"tag":"HeadClosed"}"#)
}

fn run_with(parameters: &str, log: &str) -> std::process::Output {
    let folder = Folder::new();
    folder.file("state", log);
    let source = folder.path(&format!("state?{parameters}"));
    folder.run(&source, &["stdout:"], &["--once"])
}

#[test]
fn a_head_that_is_not_the_configured_one_is_refused_with_both_shown() {
    let log = opened(0, "ab");
    for good in ["head-id=AB".to_owned(), format!("parties={KEY}"), "contestation-period=60s".to_owned()] {
        assert_exit(&run_with(&good, &log), 0);
    }
    let other = "02".repeat(32);
    let wrong = [
        ("head-id=cd".to_owned(), "head-id is configured as cd, the log has ab".to_owned()),
        (format!("parties={other}"), format!("parties is configured as {other}, the log has {KEY}")),
        ("contestation-period=43200".to_owned(), "is configured as 43200s, the log has 60s".to_owned()),
    ];
    for (parameter, said) in wrong {
        let output = run_with(&parameter, &log);
        assert_exit(&output, 2);
        assert!(stderr(&output).contains(&said), "{}", stderr(&output));
    }
}

#[test]
fn an_event_that_cannot_be_folded_does_not_stop_delivery() {
    let log = opened(0, "ab") + &broken(1) + &line(2) + "\n";
    let output = run_with("head-id=cd", &log);
    assert_exit(&output, 0);
    assert_eq!(stdout(&output), log);
    let said = stderr(&output);
    assert!(said.contains("event 1 (HeadClosed) cannot be folded") && said.contains("could not be compared"), "{said}");
    assert_eq!(said.matches("not known from here on").count(), 1);
}

#[test]
fn unknown_tags_are_delivered_and_warned_of_once() {
    let log: String = (0..5).map(|id| event(id, r#"{"tag":"NotYetInvented"}"#)).collect();
    let output = run_with("", &log);
    assert_exit(&output, 0);
    assert_eq!(stdout(&output), log);
    assert_eq!(stderr(&output).matches("NotYetInvented").count(), 1, "{}", stderr(&output));
}

fn head(running: &Running) -> Value {
    let report: Value = serde_json::from_str(&running.told(&["status", "--json"])).unwrap();
    report["head"].clone()
}

#[test]
fn status_shows_the_head_and_what_became_of_it() {
    let folder = Folder::new();
    let log = folder.file("state", opened(0, "ab"));
    let running = Running::start(folder, &["stdout:"], &[]);
    running.until("the head", || head(&running)["state"] == "Open");
    assert_eq!((head(&running)["head-id"].as_str(), head(&running)["as-of"].as_str()), (Some("ab"), Some("0")));
    assert!(running.told(&["status"]).contains("head Open, id ab, as of event 0"));

    append(&log, &broken(1));
    running.until("the state to be lost", || head(&running)["state"].is_null());
    assert!(running.told(&["status"]).contains("head unknown: event 1 (HeadClosed) cannot be folded"));

    append(&log, &event(1, r#"{"state":{"contents":{"chainState":{}},"tag":"Idle"},"tag":"Checkpoint"}"#));
    running.until("the checkpoint", || head(&running)["state"] == "Idle");
}

/// The heads that a scripted sink was opened with.
fn heads_told(running: &Running, sink: &str) -> Vec<String> {
    running.printed(sink).iter().filter_map(|line| line.strip_prefix("head ").map(str::to_owned)).collect()
}

#[test]
fn a_sink_is_opened_with_the_head_and_again_for_another() {
    let folder = Folder::new();
    let log = folder.file("state", opened(0, "ab"));
    let sinks = [wasm("scripted", "name=i&lane=inline&config.print=yes"), wasm("scripted", "name=d&config.print=yes")];
    let sinks = sinks.each_ref().map(String::as_str);
    let running = Running::start(folder, &sinks, &[]);
    let both_know = |running: &Running, head: &str| {
        ["i", "d"].iter().all(|sink| heads_told(running, sink).last().is_some_and(|last| last == head))
    };
    running.until("the head to be known", || heads_told(&running, "d").last().is_some_and(|last| last.contains("ab")));
    append(&log, &opened(1, "cd"));
    running.until("both to know the other head", || both_know(&running, r#"Some("cd")"#));
    running.until_at("d", "1");

    // Kept for the next start: told at once, and no second time.
    let running = Running::start(running.stop(), &sinks, &[]);
    running.until("history to end", || head(&running)["as-of"] == "1");
    running.until("both to be open", || ["i", "d"].iter().all(|sink| !heads_told(&running, sink).is_empty()));
    for sink in ["i", "d"] {
        assert_eq!(heads_told(&running, sink), [r#"Some("cd")"#]);
    }
    // The inline sink kept its memory while the first head became known, and was put all of history by one instance.
    let inline = running.printed("i");
    assert!(!inline.iter().any(|line| line.starts_with("close")), "{inline:?}");
}
