//! Which component runs, and what can be known of one before it does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

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

/// A configuration with one sink, its component in the same folder.
fn configured(folder: &Folder, name: &str, more: &str) -> PathBuf {
    let component = folder.path("s.wasm");
    fs::copy(guest(name), &component).unwrap();
    let log = folder.file("log", lines(0..3));
    let (log, component, data) = (log.display(), component.display(), folder.path("data"));
    let text = format!(
        "event-source = \"file://{log}\"\ndata-dir = \"{}\"\n[[event-sink]]\nuri = \"wasm:{component}\"\nname = \"s\"\n{more}\n",
        data.display()
    );
    folder.file("hydrant.toml", text)
}

fn sink(arguments: &[&str], config: &Path) -> Output {
    hydrant().arg("sink").args(arguments).arg("--config").arg(config).output().unwrap()
}

fn run(config: &Path) -> Output {
    hydrant().args(["run", "--once", "--config"]).arg(config).output().unwrap()
}

#[test]
fn the_first_use_is_written_down_and_a_changed_component_is_not_started_before_it_is_accepted() {
    let folder = Folder::new();
    let config = configured(&folder, "printer", "");
    let first = run(&config);
    assert_exit(&first, 0);
    assert!(stderr(&first).contains("first use of sha256:"), "{}", stderr(&first));
    let lock = fs::read_to_string(folder.path("hydrant.lock")).unwrap();
    assert!(lock.contains(&digest("printer")), "{lock}");
    assert_exit(&run(&config), 0);
    assert_eq!(fs::read_to_string(folder.path("hydrant.lock")).unwrap(), lock);

    // A changed component that asks for more.
    let changed = folder.path("s.wasm");
    fs::copy(guest("requester"), &changed).unwrap();
    let refused = run(&config);
    assert_exit(&refused, 2);
    assert!(stderr(&refused).contains("hydrant sink accept s --config"), "{}", stderr(&refused));
    let seen = sink(&["inspect", changed.to_str().unwrap(), "--sink", "s"], &config);
    assert_exit(&seen, 0);
    assert!(stdout(&seen).contains("it needs http now: \"to ask\""), "{}", stdout(&seen));
    let seen = sink(&["inspect", "--json", changed.to_str().unwrap(), "--sink", "s"], &config);
    let seen: Value = serde_json::from_str(&stdout(&seen)).unwrap();
    assert_eq!(seen["differences"].as_array().unwrap().len(), 3, "{seen}");

    let accepted = sink(&["accept", "s"], &config);
    assert_exit(&accepted, 0);
    assert!(stdout(&accepted).contains("it needs http now"), "{}", stdout(&accepted));
    // Consent is no grant.
    let ungranted = run(&config);
    assert!(stderr(&ungranted).contains("grant.http="), "{}", stderr(&ungranted));
    // What was accepted once may be returned to.
    fs::copy(guest("printer"), &changed).unwrap();
    assert_exit(&run(&config), 0);
}

#[test]
fn a_version_is_swapped_in_once_it_is_accepted() {
    let folder = Folder::new();
    let config = configured(&folder, "printer", "");
    let other = another_version("printer", &folder.path("other.wasm"), 1);
    let other = other.to_str().unwrap().to_owned();
    let arguments = ["--config".to_owned(), config.display().to_string()];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let log = folder.path("log");
    let running = Running::start_at(folder, &format!("file://{}", log.display()), &[], &arguments);
    running.until_at("s", "2");
    let refused = running.ask(&["swap", "s", &other]);
    assert_exit(&refused, 1);
    assert!(stderr(&refused).contains("hydrant sink accept s"), "{}", stderr(&refused));
    assert_exit(&sink(&["accept", "s", "--component", &other], &config), 0);
    assert_exit(&running.ask(&["swap", "s", &other]), 0);
    append(&log, &lines(3..5));
    running.until_at("s", "4");
    running.stop();
}

#[test]
fn what_cannot_be_accepted_is_said() {
    let folder = Folder::new();
    let config = configured(&folder, "printer", "[[event-sink]]\nuri = \"stdout:\"");
    for (arguments, words) in [
        (vec!["accept", "t"], "no sink \"t\"; it has s, stdout"),
        (vec!["accept", "stdout"], "is no component"),
        (vec!["accept", "s", "--component", "/nowhere.wasm"], "/nowhere.wasm"),
    ] {
        let refused = sink(&arguments, &config);
        assert_exit(&refused, 2);
        assert!(stderr(&refused).contains(words), "{}", stderr(&refused));
    }
    folder.file("hydrant.lock", "nonsense");
    let refused = run(&config);
    assert_exit(&refused, 2);
    assert!(stderr(&refused).contains("hydrant.lock"), "{}", stderr(&refused));
}

#[test]
fn limits_are_proposed_from_what_a_component_used_and_then_suffice() {
    let folder = Folder::new();
    let log = folder.path("log");
    let sample = ["sample", "--events", "300", "--out", log.to_str().unwrap()];
    assert_exit(&hydrant().args(sample).output().unwrap(), 0);
    let check = |sink: &str, more: &[&str]| {
        let against = ["--against", log.to_str().unwrap()];
        hydrant().args(["sink", "check", sink]).args(against).args(more).output().unwrap()
    };
    let guest = guest("utxo-balance");
    let said = check(guest.to_str().unwrap(), &[]);
    assert_exit(&said, 0);
    for part in ["SnapshotConfirmed", "FUEL P50", "memory: ", "fuel="] {
        assert!(stdout(&said).contains(part), "{part}: {}", stdout(&said));
    }
    let said = check(&wasm("tally", "fuel-per-byte=0&grant.key-value=yes"), &["--json"]);
    let said: Value = serde_json::from_str(&stdout(&said)).unwrap();
    let used = said["fuel"].as_array().unwrap().iter().map(|tag| tag["max"].as_u64().unwrap()).max().unwrap();
    let proposal: Vec<&str> =
        said["proposal"].as_array().unwrap().iter().map(|limit| limit.as_str().unwrap()).collect();
    assert!(said["memory"].as_u64().unwrap() >= 65_536 && used > 2_000, "{said}");
    let under = |limits: &str| check(&wasm("tally", &format!("fuel-per-byte=0&{limits}")), &[]);
    assert_exit(&under(&proposal.join("&")), 0);
    let broken = check(&wasm("endless-loop", "fuel=100000"), &[]);
    assert_exit(&broken, 1);
    assert!(
        stderr(&broken).contains("at event 0 (") && stderr(&broken).contains("limit on fuel"),
        "{}",
        stderr(&broken)
    );
    let missing = check("/nowhere.wasm", &[]);
    assert_exit(&missing, 2);
    assert!(stderr(&missing).contains("/nowhere.wasm"), "{}", stderr(&missing));
}
