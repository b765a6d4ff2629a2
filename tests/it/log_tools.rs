//! `hydrant log`

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Output, Stdio};

use crate::harness::{Folder, append, assert_exit, hydrant, line, lines, stderr, stdout, tagged};

fn log(command: &str, path: &Path) -> Output {
    hydrant().args(["log", command]).arg(path).output().unwrap()
}

#[test]
fn verify_says_whether_every_line_is_an_event() {
    let folder = Folder::new();
    let good = log("verify", &folder.file("good", lines(0..10) + &line(9) + "\n"));
    assert_exit(&good, 0);
    assert!(stdout(&good).contains("whole: 10 events") && stdout(&good).contains("1 repeated"), "{}", stdout(&good));

    let whole = lines(0..3);
    for (name, content, said) in [
        ("torn", whole.clone() + &line(3)[..20], "torn tail of 20 bytes"),
        ("nul", whole.clone() + &"\0".repeat(50), "NUL-filled tail of 50 bytes"),
        ("no-newline", whole.clone() + &line(3), "no newline after the last event"),
        ("bad", whole.clone() + "{}\n" + &lines(3..4), "bad, line 4, byte"),
        ("glued", whole.clone() + &line(3)[..30] + &lines(3..4), "30 bytes of a torn line"),
        ("grammar", whole.clone() + &line(3).replace("\"chainSlot\":3", "\"chainSlot\":[tru]") + "\n", "not JSON"),
        ("backwards", whole.clone() + &tagged(1, "Other") + "\n", "position 1 does not come after 2"),
    ] {
        let output = log("verify", &folder.file(name, content));
        assert_exit(&output, 3);
        assert!(stdout(&output).starts_with("NOT whole: "), "{}", stdout(&output));
        assert!(stderr(&output).contains(said), "{name}: {}", stderr(&output));
    }
    assert_exit(&log("verify", &folder.path("missing")), 3);
    assert_exit(&hydrant().args(["log", "verify"]).output().unwrap(), 2);
}

#[test]
fn stats_counts_by_tag() {
    let folder = Folder::new();
    folder.file("state-1", tagged(0, "B") + "\n" + &tagged(1, "A") + "\n");
    let output = log("stats", &folder.file("state", tagged(2, "B") + "\n"));
    assert_exit(&output, 0);
    assert_eq!(stdout(&output), "A 1\nB 2\n");
}

#[test]
fn repair_moves_the_tail_aside_and_leaves_the_rest_alone() {
    let folder = Folder::new();
    for (name, tail) in [("torn", line(3)[..20].to_owned()), ("nul", "\0".repeat(5000))] {
        let path = folder.file(name, lines(0..3) + &tail);
        let output = log("repair", &path);
        assert_exit(&output, 0);
        assert_eq!(fs::read_to_string(&path).unwrap(), lines(0..3));
        let side = folder.path(&format!("{name}.tail-{}", lines(0..3).len()));
        assert!(stdout(&output).contains(&side.display().to_string()), "{}", stdout(&output));
        assert_eq!(fs::read_to_string(side).unwrap(), tail);
        assert_exit(&log("verify", &path), 0);
        assert!(stdout(&log("repair", &path)).contains("nothing to mend"));
    }
    let path = folder.file("no-newline", lines(0..3) + &line(3));
    assert_exit(&log("repair", &path), 0);
    assert_eq!(fs::read_to_string(&path).unwrap(), lines(0..4));

    let content = lines(0..3) + "nonsense\n" + &lines(3..5) + &line(5)[..9];
    let path = folder.file("middle", content);
    let output = log("repair", &path);
    assert_exit(&output, 3);
    assert!(stderr(&output).contains("line 4"), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(&path).unwrap(), lines(0..3) + "nonsense\n" + &lines(3..5));
}

#[test]
fn repair_never_touches_a_log_in_a_nodes_folder() {
    let folder = Folder::new();
    fs::create_dir(folder.path("etcd")).unwrap();
    let torn = lines(0..3) + "{";
    let path = folder.file("state", &torn);
    let output = log("repair", &path);
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("etcd"), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(&path).unwrap(), torn);
}

#[test]
fn tail_prints_the_last_events_and_goes_on() {
    let folder = Folder::new();
    let path = folder.file("state", lines(0..20));
    let output = hydrant().args(["log", "tail", "-n", "2"]).arg(&path).output().unwrap();
    assert_exit(&output, 0);
    assert_eq!(stdout(&output), lines(18..20));

    let mut follow = hydrant();
    follow.args(["log", "tail", "-n", "1", "--follow"]).arg(&path).stdout(Stdio::piped());
    let mut child = follow.spawn().unwrap();
    let mut printed = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(printed.next().unwrap().unwrap(), line(19));
    append(&path, &lines(20..21));
    assert_eq!(printed.next().unwrap().unwrap(), line(20));
    child.kill().unwrap();
    child.wait().unwrap();
}
