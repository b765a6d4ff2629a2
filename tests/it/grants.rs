//! What a component can do with what it was granted, and without.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use hydrant::component::{
    ClockGrant, ComponentSink, FolderGrant, Grants, HttpGrants, Limits, RandomGrant, SecretPlace,
};
use hydrant::event::StateEvent;
use hydrant::sink::{Delivery, EventSink, SinkError};

use crate::harness::{Folder, assert_exit, block_on, guest, lines, load, open_info, stderr, wasm};

/// A folder to be granted, with things in and around it.
fn folder() -> Folder {
    let folder = Folder::new();
    let granted = folder.path("granted");
    fs::create_dir(&granted).unwrap();
    fs::write(granted.join("inside"), "within").unwrap();
    fs::write(granted.join("gone"), "").unwrap();
    fs::write(folder.path("outside"), "secret").unwrap();
    symlink(folder.path("outside"), granted.join("link")).unwrap();
    symlink("/dev/zero", granted.join("device")).unwrap();
    folder
}

fn all(folder: &Folder, writable: bool) -> Grants {
    let token = folder.file("token", "sesame\n");
    Grants {
        key_value: false,
        folders: vec![FolderGrant { path: folder.path("granted"), writable }],
        secrets: [("token".to_owned(), SecretPlace::File(token))].into(),
        env: vec!["PROBE".to_owned()],
        http: HttpGrants::default(),
        clock: ClockGrant::Real,
        random: RandomGrant::Real,
    }
}

fn sink(name: &str, folder: &Folder, grants: Grants) -> ComponentSink {
    let limits = Limits::default();
    let component = load(&fs::read(guest(name)).unwrap(), &limits).unwrap();
    let config = vec![("folder".to_owned(), folder.path("granted").display().to_string())];
    ComponentSink::new(name, component, limits, config).with_grants(grants)
}

/// What a prober found, by what it tried.
fn probe(name: &str, folder: &Folder, grants: Grants) -> BTreeMap<String, String> {
    let mut sink = sink(name, folder, grants);
    block_on(async {
        sink.open(&open_info()).await.unwrap();
        sink.put_event(&timed(), Delivery::default()).await.unwrap();
    });
    let lines = sink.log_tail();
    lines
        .iter()
        .filter_map(|line| line.split_once('='))
        .map(|(what, found)| (what.to_owned(), found.to_owned()))
        .collect()
}

/// An event of the second 1,700,000,000.
fn timed() -> StateEvent {
    let json = r#"{"eventId":0,"stateChanged":{"tag":"TickObserved"},"time":"2023-11-14T22:13:20Z"}"#;
    StateEvent::parse(json.to_owned()).unwrap()
}

const REFUSED: [&str; 12] = [
    "read",
    "parent",
    "link",
    "absolute",
    "root",
    "device",
    "write",
    "rename",
    "remove",
    "make-link",
    "resolve",
    "connect",
];

#[test]
fn a_component_that_asks_for_nothing_can_compute_and_log_and_nothing_else() {
    let folder = folder();
    // All of it was granted, and none of it asked for.
    let granted = Grants { clock: ClockGrant::None, random: RandomGrant::None, ..all(&folder, true) };
    for grants in [Grants::default(), granted] {
        let found = probe("modest-prober", &folder, grants);
        for what in REFUSED {
            assert!(found[what].starts_with("refused"), "{what}: {}", found[what]);
        }
        assert!(found["bind"].starts_with("refused"), "{}", found["bind"]);
        assert_eq!((&*found["time"], &*found["passed"]), ("0", "0"));
        assert_eq!((&*found["env"], &*found["arguments"]), ("[]", "0"));
        assert_eq!((&*found["secret"], &*found["other-secret"]), ("None", "None"));
    }
    let random = |_| probe("modest-prober", &folder, Grants::default()).remove("random").unwrap();
    assert_eq!(random(0), random(1));
    assert_eq!(fs::read_to_string(folder.path("granted/inside")).unwrap(), "within");
}

#[test]
fn what_is_granted_and_asked_for_is_given_and_no_more() {
    let folder = folder();
    let output = run(&folder, "prober", "grant.clock=real&grant.random=real&grant.env=PROBE,PATH", true);
    assert_exit(&output, 0);
    let said = stderr(&output);
    for expected in ["secret=Some(\"sesame\")", "other-secret=None", "env=[(\"PROBE\", \"here\")]", "read=within"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    for refused in ["parent", "link", "absolute", "root", "device", "write", "rename", "remove", "make-link", "connect"]
    {
        assert!(said.contains(&format!(" {refused}=refused")), "{refused}: {said}");
    }
    assert!(!said.contains("time=0\n") && !said.contains("passed=0\n"), "{said}");
    // Nothing was given to `describe`.
    assert!(said.contains("describe: secret=None env=0"), "{said}");
}

/// Runs the real process over one event with what a prober needs, but for some clocks and numbers.
fn run(folder: &Folder, name: &str, grants: &str, with_secret: bool) -> std::process::Output {
    let log = folder.file("log", lines(0..1));
    let source = format!("file://{}", log.display());
    let granted = folder.path("granted");
    let secret = if with_secret { "&secret.token=env:SESAME" } else { "" };
    let parameters = format!("config.folder={}&grant.dir={}:ro&{grants}{secret}", granted.display(), granted.display());
    let mut command = folder.command_at(&source, &[&wasm(name, &parameters)], &["--once"]);
    command.env("PROBE", "here").env("SESAME", "sesame").output().unwrap()
}

#[test]
fn a_missing_grant_fails_at_open_by_name_with_the_reason_and_the_remedy() {
    let folder = folder();
    for (grants, secret, missing) in [
        ("grant.clock=real&grant.random=real&grant.env=PROBE", false, "secret:token"),
        ("grant.clock=real&grant.random=real", true, "env:PROBE"),
        ("grant.random=real&grant.env=PROBE", true, "clock"),
        ("grant.clock=real&grant.env=PROBE", true, "random"),
    ] {
        let output = run(&folder, "prober", grants, secret);
        let said = stderr(&output);
        assert!(!output.status.success(), "{said}");
        assert!(said.contains(&format!("needs {missing:?} (\"to probe\")")) && said.contains("grants it"), "{said}");
        assert!(!said.contains("sesame"), "{said}");
    }
    let log = folder.file("log", lines(0..1));
    let kv = format!("wasm:{}", guest("kv-tally").display());
    let output = folder.command_at(&format!("file://{}", log.display()), &[&kv], &["--once"]).output().unwrap();
    assert!(stderr(&output).contains("grant.key-value=yes"), "{}", stderr(&output));
    assert!(!output.status.success());
}

#[test]
fn what_is_granted_and_not_there_is_named() {
    let folder = folder();
    let open = |grants: Grants| match block_on(sink("prober", &folder, grants).open(&open_info())) {
        Err(SinkError::Fatal { message }) => message,
        other => panic!("{other:?}"),
    };
    let mut grants = all(&folder, false);
    grants.env.clear();
    grants.env.push("PROBE".to_owned());
    let message = open(grants.clone());
    assert!(message.contains("variable PROBE was granted and cannot be given"), "{message}");
    grants.folders[0].path = "/nowhere".into();
    let message = open(grants);
    assert!(message.contains("folder /nowhere was granted and cannot be given"), "{message}");
}

#[test]
fn a_folder_may_be_granted_for_writing_and_there_is_no_way_out_of_it() {
    let folder = folder();
    let granted = folder.path("granted").display().to_string();
    let log = folder.file("log", lines(0..1));
    let parameters = format!(
        "config.folder={granted}&grant.dir={granted}:rw&grant.clock=real&grant.random=real&grant.env=PROBE&secret.token=env:PROBE"
    );
    let source = format!("file://{}", log.display());
    let mut command = folder.command_at(&source, &[&wasm("prober", &parameters)], &["--once"]);
    let output = command.env("PROBE", "here").output().unwrap();
    assert_exit(&output, 0);
    let said = stderr(&output);
    for done in ["write=done", "rename=done", "remove=done"] {
        assert!(said.contains(done), "{done}: {said}");
    }
    for refused in ["parent", "link", "absolute", "root", "device", "make-link"] {
        assert!(said.contains(&format!(" {refused}=refused")), "{refused}: {said}");
    }
    assert_eq!(fs::read_to_string(folder.path("granted/written")).unwrap(), "x");
    assert_eq!(fs::read_to_string(folder.path("outside")).unwrap(), "secret");
}

#[test]
fn time_and_numbers_can_be_those_of_the_event_and_the_component() {
    let folder = folder();
    let grants = Grants { clock: ClockGrant::EventTime, random: RandomGrant::Seeded, ..Grants::default() };
    let first = probe("modest-prober", &folder, grants.clone());
    let second = probe("modest-prober", &folder, grants);
    assert_eq!((&*first["time"], &*first["passed"]), ("1700000000000000000", "0"));
    assert_eq!(first["random"], second["random"]);
    let none = probe("modest-prober", &folder, Grants::default());
    assert_ne!(first["random"], none["random"]);
    let real = Grants { clock: ClockGrant::Real, random: RandomGrant::Real, ..Grants::default() };
    let (one, other) = (probe("modest-prober", &folder, real.clone()), probe("modest-prober", &folder, real));
    assert_ne!(one["random"], other["random"]);
    assert!(one["passed"].parse::<u64>().unwrap() >= 5_000_000 && one["time"].len() == 19, "{one:?}");
}
