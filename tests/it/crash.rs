//! What a crash, a full disk and a kill leave behind.

use std::io::{self, BufRead, BufReader};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fs, thread};

use hydrant::event::StateEvent;
use hydrant::store::{AppendError, GroupCommit, LogAppender, LogFile, OwnError, own};
use proptest::prelude::*;

use crate::harness::{Folder, append, assert_exit, block_on, events, hydrant, line, lines, read_log, stderr};
use crate::torture::rounds;

/// A file that loses whatever was not synced, and fails on demand.
#[derive(Clone, Debug, Default)]
struct LosingFile(Arc<Mutex<Image>>);

#[derive(Debug, Default)]
struct Image {
    content: Vec<u8>,
    synced: usize,
    /// Bytes the disk has room for.
    room: Option<usize>,
    fails_sync: bool,
    syncs: u32,
}

impl LosingFile {
    /// What is on disk after a power loss: what was synced, and any part of the rest.
    fn after_crash(&self, kept: usize) -> Vec<u8> {
        let image = self.0.lock().unwrap();
        let end = image.synced + kept.min(image.content.len() - image.synced);
        image.content[..end].to_vec()
    }
}

impl LogFile for LosingFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().content.len() as u64)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut image = self.0.lock().unwrap();
        let room = image.room.map_or(bytes.len(), |room| room.saturating_sub(image.content.len()).min(bytes.len()));
        image.content.extend_from_slice(&bytes[..room]);
        if room < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut image = self.0.lock().unwrap();
        image.content.truncate(len as usize);
        image.synced = image.synced.min(len as usize);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut image = self.0.lock().unwrap();
        image.syncs += 1;
        if image.fails_sync {
            return Err(io::Error::other("the disk is gone"));
        }
        image.synced = image.content.len();
        Ok(())
    }
}

fn read(content: &[u8]) -> Vec<StateEvent> {
    let folder = Folder::new();
    read_log(&folder.file("state", content))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_committed_survives_a_power_loss(groups in prop::collection::vec(1_u64..20, 1..10), unsynced in 0_u64..20, kept in 0_usize..4096) {
        let file = LosingFile::default();
        let mut appender = LogAppender::new(file.clone(), None).unwrap();
        let mut next = 0;
        for group in groups {
            for event in events(next..next + group) {
                appender.append(&event).unwrap();
            }
            appender.commit().unwrap();
            next += group;
        }
        for event in events(next..next + unsynced) {
            appender.append(&event).unwrap();
        }
        let left = read(&file.after_crash(kept));
        prop_assert!(left.len() as u64 >= next, "{} of {next} committed events are left", left.len());
        prop_assert_eq!(&left[..], &events(0..left.len() as u64)[..]);
    }
}

#[test]
fn every_client_of_a_group_is_answered_after_its_sync() {
    let file = LosingFile::default();
    let group = GroupCommit::start(LogAppender::new(file.clone(), None).unwrap()).unwrap();
    block_on(async {
        for event in events(0..200) {
            group.append(event.clone()).await.unwrap();
            // The answer is out: from now on a crash must not take the event.
            assert!(read_ids(&file.after_crash(0)).contains(&event.id()));
        }
    });
}

fn read_ids(content: &[u8]) -> Vec<u64> {
    read(content).iter().map(StateEvent::id).collect()
}

#[test]
fn clients_that_come_together_share_a_sync() {
    let file = LosingFile::default();
    let group = GroupCommit::start(LogAppender::new(file.clone(), None).unwrap()).unwrap();
    let appended = block_on(async {
        let mut queued = Vec::new();
        for event in events(0..64) {
            queued.push(group.queue(event).await.unwrap());
        }
        let mut appended = Vec::new();
        for queued in queued {
            appended.push(queued.durable().await);
        }
        appended
    });
    assert!(appended.iter().all(Result::is_ok));
    assert_eq!(read_ids(&file.after_crash(0)), (0..64).collect::<Vec<_>>());
    assert!(file.0.lock().unwrap().syncs < 64);
}

#[test]
fn a_full_disk_is_an_error_and_leaves_whole_lines() {
    let file = LosingFile::default();
    let mut appender = LogAppender::new(file.clone(), None).unwrap();
    appender.append(&events(0..1)[0]).unwrap();
    appender.commit().unwrap();
    file.0.lock().unwrap().room = Some(lines(0..1).len() + 10);
    appender.append(&events(1..2)[0]).unwrap();
    assert!(matches!(appender.commit(), Err(AppendError::Write(_))));
    assert_eq!(file.after_crash(usize::MAX), lines(0..1).into_bytes());
    assert!(matches!(appender.append(&events(1..2)[0]), Err(AppendError::Broken)));
}

#[test]
fn a_failed_sync_is_never_tried_again() {
    let file = LosingFile::default();
    file.0.lock().unwrap().fails_sync = true;
    let mut appender = LogAppender::new(file.clone(), None).unwrap();
    appender.append(&events(0..1)[0]).unwrap();
    assert!(matches!(appender.commit(), Err(AppendError::Sync(_))));
    file.0.lock().unwrap().fails_sync = false;
    assert!(matches!(appender.commit(), Err(AppendError::Broken)));
    assert_eq!(file.0.lock().unwrap().syncs, 1);
}

#[test]
fn another_writer_is_noticed_and_a_second_owner_refused() {
    let folder = Folder::new();
    let path = folder.path("out");
    let mut appender = own(&path).unwrap();
    assert!(matches!(own(&path), Err(OwnError::Locked { .. })));
    append(&path, "intruder");
    appender.append(&events(0..1)[0]).unwrap();
    assert!(matches!(appender.commit(), Err(AppendError::SharedLog { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"intruder");
}

#[test]
fn a_folder_of_a_node_is_refused() {
    for name in ["hydra.db", "etcd", "acks"] {
        let folder = Folder::new();
        folder.file(name, "");
        let error = own(&folder.path("out")).unwrap_err();
        assert!(matches!(error, OwnError::NodeFolder { .. }), "{error}");
        assert!(!folder.path("out").exists());
    }
}

#[test]
fn an_owner_moves_a_torn_tail_aside() {
    let folder = Folder::new();
    let torn = &line(3)[..25];
    let path = folder.file("out", lines(0..3) + torn);
    let mut appender = own(&path).unwrap();
    appender.append(&events(3..4)[0]).unwrap();
    appender.commit().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), lines(0..4));
    let side = folder.path(&format!("out.tail-{}", lines(0..3).len()));
    assert_eq!(fs::read_to_string(side).unwrap(), torn);
}

/// A disk that is full for the real process: a bound on the size of its files.
#[test]
fn a_full_disk_ends_the_process_with_a_message_and_the_next_run_finishes() {
    let folder = Folder::new();
    let source = folder.file("state", lines(0..3_000));
    let out = folder.path("out");
    let script = format!(
        "trap '' XFSZ; ulimit -f 100; exec {} run --once --data-dir {} --event-source file://{} --event-sink file://{}",
        env!("CARGO_BIN_EXE_hydrant"),
        folder.path("data").display(),
        source.display(),
        out.display()
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_exit(&output, 1);
    assert!(stderr(&output).contains("sink \"out\" failed to flush the events up to"), "{}", stderr(&output));
    let left = fs::read_to_string(&out).unwrap();
    assert!(left.is_empty() || left.ends_with('\n'), "only whole lines are left");
    assert_exit(&folder.run(&source, &[&format!("file://{}", out.display())], &["--once"]), 0);
    assert_eq!(fs::read_to_string(&out).unwrap(), lines(0..3_000));
}

#[test]
fn nothing_acknowledged_is_missing_after_kill_9() {
    let folder = Folder::new();
    let source = folder.path("state");
    let written = hydrant().args(["sample", "--events", "30000", "--out"]).arg(&source).status().unwrap();
    assert!(written.success());
    let whole = fs::read(&source).unwrap();
    let out = folder.path("out");
    let sink = format!("file://{}?flush=20", out.display());
    let mut acknowledged_at_all = 0;
    for round in 0..rounds() {
        if round % 5 == 0 {
            let _ = fs::remove_file(&out);
        }
        let mut child = folder.command(&source, &[&sink], &["--once", "--log-level", "debug"]).spawn().unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap());
        let acknowledged = Arc::new(Mutex::new(None));
        let seen = Arc::clone(&acknowledged);
        let reader = thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                if let Some((_, id)) = line.split_once("flushed up to ") {
                    *seen.lock().unwrap() = id.trim().parse::<u64>().ok();
                }
            }
        });
        // A different point each round, from before the first flush to near the end.
        thread::sleep(Duration::from_millis(20 + round * 37 % 400));
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap();
        let left = fs::read(&out).unwrap_or_default();
        assert!(whole.starts_with(&left), "round {round}: what is left is not a beginning of the log");
        if let Some(id) = *acknowledged.lock().unwrap() {
            acknowledged_at_all += 1;
            let lines = memchr_count(&left);
            assert!(lines > id, "round {round}: event {id} was acknowledged, but only {lines} lines are left");
        }
    }
    assert!(acknowledged_at_all > 0, "no round got as far as an acknowledgement");
    assert_exit(&folder.run(&source, &[&sink], &["--once"]), 0);
    assert_eq!(fs::read(&out).unwrap(), whole);
}

fn memchr_count(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}
