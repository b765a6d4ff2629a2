//! Which component runs, and what can be known of one before it does.

use std::fs;

use serde_json::Value;

use crate::harness::{
    Folder, another_version, append, assert_exit, guest, hydrant, lines, ndjson_source, stderr, stdout, wasm,
};
use crate::operate::Running;

fn inspect(name: &str) -> Value {
    let output = hydrant().args(["sink", "inspect", "--json"]).arg(guest(name)).output().unwrap();
    assert_exit(&output, 0);
    serde_json::from_str(&stdout(&output)).unwrap()
}

fn digest(name: &str) -> String {
    inspect(name)["digest"].as_str().unwrap().to_owned()
}

#[test]
fn a_component_is_described_without_granting_it_anything() {
    let prober = inspect("prober");
    assert_eq!((&prober["role"], &prober["manifest"]["name"]), (&"sink".into(), &"prober".into()));
    let needs: Vec<&str> =
        prober["manifest"]["needs"].as_array().unwrap().iter().map(|need| need["grant"].as_str().unwrap()).collect();
    assert_eq!(needs, ["dir", "env:PROBE", "secret:token", "clock", "random"]);
    assert!(prober["exports"].as_array().unwrap().contains(&"hydrant:events/event-sink@0.1.0".into()));
    let imports = prober["imports"].as_array().unwrap();
    assert!(imports.iter().any(|import| import["name"].as_str().unwrap().starts_with("wasi:sockets/")));
    assert!(imports.iter().all(|import| import["means"] != "not provided"), "{imports:?}");

    assert_eq!(inspect("ndjson-source")["role"], "source");
    assert_eq!(inspect("printer")["manifest"], Value::Null);

    let output = hydrant().args(["sink", "inspect"]).arg(guest("prober")).output().unwrap();
    let text = stdout(&output);
    for part in ["an event sink", "digest     sha256:", "needs      secret:token: \"to probe\"", "there are no sockets"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(stderr(&output), "");
}

#[test]
fn what_is_no_component_cannot_be_inspected() {
    let folder = Folder::new();
    let output = hydrant().args(["sink", "inspect"]).arg(folder.file("x.wasm", "nonsense")).output().unwrap();
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("x.wasm") && stderr(&output).contains("not a valid"), "{}", stderr(&output));
    let output = hydrant().args(["sink", "inspect"]).arg(guest("slow-describe")).output().unwrap();
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("asked to describe itself"), "{}", stderr(&output));
}

#[test]
fn a_pinned_component_runs_and_another_does_not() {
    let folder = Folder::new();
    let log = folder.file("log", lines(0..3));
    let source = format!("file://{}", log.display());
    let run = |digest: &str| {
        let sink = wasm("printer", &format!("digest={digest}"));
        folder.command_at(&source, &[&sink], &["--once"]).output().unwrap()
    };
    assert_exit(&run(&digest("printer")), 0);
    let refused = run(&digest("tally"));
    assert_exit(&refused, 2);
    assert!(stderr(&refused).contains("pins another"), "{}", stderr(&refused));
    let wrong = run("sha256:12");
    assert_exit(&wrong, 2);
    assert!(stderr(&wrong).contains("64 hexadecimal digits"), "{}", stderr(&wrong));
}

#[test]
fn no_other_version_is_swapped_in_for_a_pinned_one() {
    let folder = Folder::new();
    let log = folder.file("log", lines(0..3));
    let other = another_version("printer", &folder.path("other.wasm"), 1);
    let sink = wasm("printer", &format!("name=s&digest={}", digest("printer")));
    let running = Running::start_at(folder, &format!("file://{}", log.display()), &[&sink], &[]);
    running.until_at("s", "2");
    let refused = running.ask(&["swap", "s", other.to_str().unwrap()]);
    assert_exit(&refused, 1);
    assert!(stderr(&refused).contains("pins another"), "{}", stderr(&refused));
    append(&log, &lines(3..5));
    running.until_at("s", "4");
    running.stop();
}

#[test]
fn a_source_can_be_pinned_too() {
    let folder = Folder::new();
    let log = folder.file("log", lines(0..3));
    let run = |digest: &str| {
        let source = format!("{}&digest={digest}", ndjson_source(&folder, &log));
        folder.command_at(&source, &["stdout:"], &["--once"]).output().unwrap()
    };
    assert_exit(&run(&digest("ndjson-source")), 0);
    let refused = run(&digest("printer"));
    assert_exit(&refused, 2);
    assert!(stderr(&refused).contains("pins another"), "{}", stderr(&refused));
    assert!(fs::read_to_string(&log).unwrap() == lines(0..3));
}
