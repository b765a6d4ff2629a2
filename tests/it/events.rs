//! Every constructor that hydra-node has persisted, our own fixtures and, where they are at hand, upstream's.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use hydrant::event::{Kind, StateEvent};
use hydrant::store::{LogReader, OnBadLine, ReadLog, ReadOptions};
use serde_json::Value;

use crate::harness::{Folder, assert_exit, hydrant, root, stderr, stdout};

fn read(path: &Path) -> Vec<StateEvent> {
    let options = ReadOptions { check_grammar: true, ..ReadOptions::default() };
    let mut reader = LogReader::open(path, options).unwrap();
    let mut events = Vec::new();
    while let Some(page) = reader.read_history().unwrap() {
        assert!(page.findings.is_empty(), "{:?}", page.findings);
        events.extend(page.events);
    }
    events
}

#[test]
fn every_constructor_is_read_and_comes_out_byte_for_byte() {
    let path = root().join("tests/fixtures/constructors.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let events = read(&path);
    assert_eq!(events.len(), text.lines().count());
    for (event, line) in events.iter().zip(text.lines()) {
        let parsed: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event.json(), line);
        assert_eq!(event.tag(), parsed["stateChanged"]["tag"]);
        assert_eq!(event.id(), parsed["eventId"]);
        assert!(event.time().is_some());
        assert_eq!(event.position().kind == Kind::Checkpoint, event.tag() == "Checkpoint");
    }
}

#[test]
fn every_constructor_passes_through_the_process_and_verifies() {
    let folder = Folder::new();
    let path = root().join("tests/fixtures/constructors.jsonl");
    let output = folder.run(&path, &["stdout:"], &["--once"]);
    assert_exit(&output, 0);
    assert_eq!(output.stdout, fs::read(&path).unwrap());
    let verified = hydrant().args(["log", "verify"]).arg(&path).output().unwrap();
    assert_exit(&verified, 0);
    assert!(stdout(&verified).starts_with("whole: 51 events and 1 checkpoints"), "{}", stdout(&verified));
}

/// The lines that upstream's samples stand for: StateChanged as legacy lines, StateEvent as wrapped ones.
pub(crate) fn golden_lines(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for sub in ["StateChanged", "older", "newer", "StateEvent"] {
        let Ok(entries) = fs::read_dir(folder.join(sub)) else { continue };
        for entry in entries {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            // Taken apart by hand where numbers are concerned: the samples' own text is what a node would have written.
            let samples: Vec<Box<serde_json::value::RawValue>> = {
                #[derive(serde::Deserialize)]
                struct Golden {
                    samples: Vec<Box<serde_json::value::RawValue>>,
                }
                serde_json::from_str::<Golden>(&text).unwrap().samples
            };
            // A line has no newline in it; in JSON one can only stand between tokens.
            lines.extend(samples.into_iter().map(|sample| sample.get().replace('\n', " ")));
        }
    }
    lines
}

/// Prints past the capture of the test harness, so that a passing run says it too.
pub(crate) fn say(text: &str) {
    let mut past_the_capture = std::io::stderr();
    writeln!(past_the_capture, "{text}").unwrap();
}

/// Where upstream's goldens are; if they are not at hand, says that all were skipped.
pub(crate) fn golden_folder(what: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("HYDRANT_GOLDEN_DIR").map(PathBuf::from);
    if folder.is_none() {
        say(&format!("{what}: 0 ran, all skipped: HYDRANT_GOLDEN_DIR is not set"));
    }
    folder
}

#[test]
fn upstream_goldens_are_read() {
    let Some(folder) = golden_folder("goldens") else { return };
    let samples = golden_lines(&folder);
    assert!(samples.len() > 30, "only {} samples in {}", samples.len(), folder.display());
    for sample in &samples {
        let scratch = Folder::new();
        let options = ReadOptions { check_grammar: true, on_bad_line: OnBadLine::Stop, ..ReadOptions::default() };
        let path = scratch.file("state", format!("{sample}\n"));
        let page = LogReader::open(&path, options).unwrap().read_page().unwrap();
        let [event] = page.events.as_slice() else { panic!("{sample} gave {:?}", page.events) };
        let parsed: Value = serde_json::from_str(sample).unwrap();
        match parsed.get("stateChanged") {
            Some(state_changed) => {
                assert_eq!(event.json(), sample);
                assert_eq!(event.tag(), state_changed["tag"]);
                assert_eq!(event.time().is_some(), parsed.get("time").is_some());
            }
            None => {
                assert_eq!(event.tag(), parsed["tag"]);
                assert!(event.json().contains(sample.trim()));
            }
        }
    }
    say(&format!("goldens: {} ran, 0 skipped", samples.len()));
}

#[test]
fn a_log_of_the_oldest_nodes_comes_out_wrapped_with_its_ids() {
    let folder = Folder::new();
    let bare = r#"{"chainState":{"slot":1},"tag":"HeadAborted"}"#;
    let wrapped = r#"{"eventId":7,"stateChanged":{"tag":"X"}}"#;
    let path = folder.file("state", format!("{bare}\n{bare}\n{wrapped}\n{bare}\n"));
    let output = folder.run(&path, &["stdout:"], &["--once"]);
    assert_exit(&output, 0);
    let expected: String = [(0, bare), (1, bare), (8, bare)]
        .map(|(id, bare)| format!("{{\"eventId\":{id},\"stateChanged\":{bare}}}\n"))
        .to_vec()
        .concat();
    let (first, last) = expected.split_at(expected.find("{\"eventId\":8").unwrap());
    assert_eq!(stdout(&output), format!("{first}{wrapped}\n{last}"), "{}", stderr(&output));
}
