//! Following a live log: appended, rotated while being read, truncated, replaced, rewritten.

use std::fs;
use std::path::Path;

use hydrant::event::Position;
use hydrant::store::{At, Finding, LogReader, OnBadLine, ReadError, ReadLog, ReadOptions};

use crate::harness::{Folder, append, drain, line, lines};

fn open(path: &Path) -> LogReader {
    LogReader::open(path, ReadOptions::default()).unwrap()
}

/// Everything there is to read now, as positions in words.
fn ids(reader: &mut LogReader) -> Vec<String> {
    drain(reader).unwrap()
}

fn numbers(range: impl IntoIterator<Item = u64>) -> Vec<String> {
    range.into_iter().map(|id| id.to_string()).collect()
}

fn checkpoint(id: u64) -> String {
    format!("{{\"eventId\":{id},\"stateChanged\":{{\"state\":{{}},\"tag\":\"Checkpoint\"}}}}\n")
}

#[test]
fn a_line_in_progress_is_waited_for() {
    let folder = Folder::new();
    let path = folder.file("state", lines(0..3));
    let mut reader = open(&path);
    assert_eq!(ids(&mut reader), numbers(0..3));
    let next = line(3);
    append(&path, &next[..20]);
    assert!(ids(&mut reader).is_empty());
    append(&path, &next[20..]);
    assert!(ids(&mut reader).is_empty(), "the newline is still missing");
    append(&path, "\n");
    assert_eq!(ids(&mut reader), numbers(3..4));
}

#[test]
fn what_was_there_at_open_is_history_and_the_rest_is_not() {
    let folder = Folder::new();
    let path = folder.file("state", lines(0..3) + &line(3)[..20]);
    let mut reader = open(&path);
    append(&path, &(line(3)[20..].to_owned() + "\n" + &lines(4..6)));
    let history = reader.read_history().unwrap().unwrap();
    assert_eq!(history.events.len(), 3);
    assert!(reader.read_history().unwrap().is_none());
    assert_eq!(ids(&mut reader), numbers(3..6));
}

#[test]
fn rotated_files_come_first_and_a_checkpoint_keeps_the_id_of_the_event_before() {
    let folder = Folder::new();
    folder.file("state-4", lines(0..5));
    folder.file("state-10", checkpoint(4) + &lines(5..11));
    let path = folder.file("state", checkpoint(10) + &lines(11..13));
    let mut expected = numbers(0..5);
    expected.push("4:checkpoint".to_owned());
    expected.extend(numbers(5..11));
    expected.push("10:checkpoint".to_owned());
    expected.extend(numbers(11..13));
    assert_eq!(ids(&mut open(&path)), expected);
}

#[test]
fn a_log_that_is_rotated_while_being_read_is_read_to_its_end_first() {
    let folder = Folder::new();
    let path = folder.file("state", lines(0..3));
    let mut reader = open(&path);
    assert_eq!(ids(&mut reader), numbers(0..3));
    append(&path, &lines(3..5));
    fs::rename(&path, folder.path("state-4")).unwrap();
    // Between the renaming and the new file there is no live file at all.
    assert_eq!(ids(&mut reader), numbers(3..5));
    folder.file("state", checkpoint(4) + &lines(5..6));
    assert_eq!(ids(&mut reader), ["4:checkpoint", "5"]);
}

#[test]
fn several_rotations_between_two_looks_are_all_read() {
    let folder = Folder::new();
    let path = folder.file("state", lines(0..3));
    let mut reader = open(&path);
    assert_eq!(ids(&mut reader), numbers(0..3));
    fs::rename(&path, folder.path("state-2")).unwrap();
    folder.file("state-5", checkpoint(2) + &lines(3..6));
    folder.file("state-100", checkpoint(5) + &lines(6..8));
    folder.file("state", checkpoint(100).replace("100", "7") + &lines(8..9));
    assert_eq!(ids(&mut reader), ["2:checkpoint", "3", "4", "5", "5:checkpoint", "6", "7", "7:checkpoint", "8"]);
}

#[test]
fn a_rotation_while_history_is_being_read_loses_nothing() {
    let folder = Folder::new();
    // More than a page, so that the renaming comes while the file is being read.
    let path = folder.file("state", lines(0..20_000));
    let mut reader = open(&path);
    let first = reader.read_history().unwrap().unwrap().events.len() as u64;
    assert!(first < 20_000);
    append(&path, &lines(20_000..20_010));
    fs::rename(&path, folder.path("state-20009")).unwrap();
    folder.file("state", checkpoint(20_009) + &lines(20_010..20_011));
    let mut expected = numbers(first..20_010);
    expected.extend(["20009:checkpoint".to_owned(), "20010".to_owned()]);
    assert_eq!(ids(&mut reader), expected);
}

#[test]
fn a_log_replaced_by_a_longer_copy_goes_on_where_it_was() {
    let folder = Folder::new();
    let path = folder.file("state", lines(0..5));
    let mut reader = open(&path);
    ids(&mut reader);
    folder.file("copy", lines(0..8));
    fs::rename(folder.path("copy"), &path).unwrap();
    assert_eq!(ids(&mut reader), numbers(5..8));
    append(&path, &lines(8..9));
    assert_eq!(ids(&mut reader), numbers(8..9));
}

#[test]
fn a_log_cut_short_has_diverged() {
    let folder = Folder::new();
    let path = folder.file("state", lines(0..1000));
    let mut reader = open(&path);
    ids(&mut reader);
    folder.file("state", lines(0..990));
    let error = drain(&mut reader).unwrap_err();
    assert!(matches!(error, ReadError::Diverged { last, .. } if last == Position::event(999)), "{error}");
    assert!(error.to_string().contains("999") && error.to_string().contains("989"), "{error}");
}

#[test]
fn a_log_that_went_on_with_other_events_under_the_same_ids_has_diverged() {
    let folder = Folder::new();
    let path = folder.file("state", lines(0..1000));
    let mut reader = open(&path);
    ids(&mut reader);
    let others: String = (990..1010).map(|id| crate::harness::tagged(id, "Other") + "\n").collect();
    // Written over in place: the same file, and longer than before.
    fs::write(&path, lines(0..990) + &others).unwrap();
    let error = drain(&mut reader).unwrap_err();
    assert!(matches!(error, ReadError::Diverged { last, .. } if last == Position::event(999)), "{error}");
}

#[test]
fn a_log_that_begins_after_what_was_read_has_a_gap() {
    let folder = Folder::new();
    let path = folder.file("state", lines(0..5));
    let mut reader = open(&path);
    ids(&mut reader);
    fs::remove_file(&path).unwrap();
    assert!(ids(&mut reader).is_empty(), "a log that is gone may come back");
    folder.file("state", lines(7..9));
    let error = drain(&mut reader).unwrap_err();
    let ReadError::Gap { last, oldest, .. } = error else { panic!("{error}") };
    assert_eq!((last, oldest), (Position::event(4), Position::event(7)));
}

#[test]
fn a_node_that_restarts_after_a_torn_write_glues_and_the_event_is_delivered() {
    let folder = Folder::new();
    let path = folder.file("state", lines(0..3) + &line(3)[..30]);
    let mut reader = open(&path);
    assert_eq!(ids(&mut reader), numbers(0..3));
    append(&path, &lines(3..5));
    let page = reader.read_page().unwrap();
    assert_eq!(page.events.iter().map(|event| event.id()).collect::<Vec<_>>(), [3, 4]);
    let [Finding::Glued { place, bytes: 30, .. }] = page.findings.as_slice() else { panic!("{:?}", page.findings) };
    assert_eq!(place.at, At::Line { line: 4, byte: lines(0..3).len() as u64 });
}

#[test]
fn a_bad_line_stops_after_what_came_before_it_or_is_skipped() {
    let folder = Folder::new();
    let path = folder.file("state", lines(0..3) + "nonsense\n" + &lines(3..5));
    let mut reader = open(&path);
    assert_eq!(reader.read_page().unwrap().events.len(), 3);
    for _ in 0..2 {
        let error = reader.read_page().unwrap_err();
        let ReadError::BadLine(bad) = &error else { panic!("{error}") };
        assert_eq!(bad.place.at, At::Line { line: 4, byte: lines(0..3).len() as u64 });
        assert!(error.to_string().contains("state, line 4, byte"), "{error}");
    }
    let options = ReadOptions { on_bad_line: OnBadLine::Skip, ..ReadOptions::default() };
    assert_eq!(ids(&mut LogReader::open(&path, options).unwrap()), numbers(0..5));
}

#[test]
fn a_line_of_the_longest_length_is_read_and_a_longer_one_is_bad() {
    let folder = Folder::new();
    let (short, long) = (line(1), line(1_000_000));
    let path = folder.file("state", format!("{short}\n{long}\n{}\n", line(1_000_001)));
    for (max_line, expected) in [(long.len(), 3), (long.len() - 1, 1)] {
        let options = ReadOptions { max_line, on_bad_line: OnBadLine::Skip, ..ReadOptions::default() };
        assert_eq!(ids(&mut LogReader::open(&path, options).unwrap()).len(), expected);
    }
}
