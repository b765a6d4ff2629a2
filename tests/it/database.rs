//! A node's database: rotated, stopped, killed, replaced, moved to; read beside a real writer.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hydrant::sink::{Delivery, EventSink, SqliteSink};
use hydrant::source::{self, EventSource, LocalSource};
use hydrant::store::{At, LocalLog, OnBadLine, ReadError, ReadLog, ReadOptions};
use hydrant::stream::StreamFormat;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rusqlite::Connection;

use crate::events::say;
use crate::harness::{
    Folder, append, assert_exit, block_on, counted, drain, events, hydrant, line, lines, open_info, root, stderr,
    stdout, wasm,
};
use crate::operate::Running;
use hydrant::sink_store::SinkStore;

/// What hydra-node does to its folder, from 0.21 to 2.3.
struct Node {
    folder: PathBuf,
    /// The id of the next event.
    next: u64,
    /// While it runs, from 2.1 on.
    database: Option<Connection>,
    /// Everything it ever wrote, as positions in words.
    wrote: Vec<String>,
    /// The next id at its last rotation. It rotates when there is more than the checkpoint.
    rotated: u64,
}

impl Node {
    fn new(folder: &Folder) -> Self {
        let path = folder.path("node");
        fs::create_dir(&path).unwrap();
        Self { folder: path, next: 0, database: None, wrote: Vec::new(), rotated: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn database(&self) -> PathBuf {
        self.path("hydra.db")
    }

    fn start(&mut self) -> &Connection {
        let path = self.database();
        self.database.get_or_insert_with(|| {
            let database = Connection::open(path).unwrap();
            database.pragma_update(None, "journal_mode", "wal").unwrap();
            database.pragma_update(None, "synchronous", "normal").unwrap();
            database.busy_timeout(Duration::from_secs(5)).unwrap();
            let table =
                "CREATE TABLE IF NOT EXISTS events (event_id INTEGER NOT NULL PRIMARY KEY, event_data BLOB NOT NULL)";
            database.execute(table, []).unwrap();
            let version: i64 = database.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
            database.pragma_update(None, "user_version", version.max(1)).unwrap();
            database
        })
    }

    fn stop(&mut self) {
        self.database = None;
    }

    fn row(&mut self, id: u64, data: &[u8]) {
        self.start().execute("INSERT INTO events VALUES (?1, ?2)", (id.cast_signed(), data)).unwrap();
    }

    /// Writes events to the database in one transaction.
    fn write(&mut self, count: u64) {
        let first = self.next;
        self.start().execute_batch("BEGIN").unwrap();
        for id in first..first + count {
            self.row(id, line(id).as_bytes());
            self.wrote.push(id.to_string());
        }
        self.start().execute_batch("COMMIT").unwrap();
        self.next += count;
    }

    /// Appends events to the log on files.
    fn append(&mut self, count: u64) {
        let path = self.path("state");
        fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
        append(&path, &lines(self.next..self.next + count));
        self.wrote.extend((self.next..self.next + count).map(|id| id.to_string()));
        self.next += count;
    }

    fn checkpoint(&mut self) -> (u64, String) {
        self.rotated = self.next;
        let last = self.next - 1;
        self.wrote.push(format!("{last}:checkpoint"));
        (last, format!(r#"{{"eventId":{last},"stateChanged":{{"state":{{}},"tag":"Checkpoint"}}}}"#))
    }

    /// As 2.3 does it, or as 2.1 does, which keeps nothing.
    fn rotate(&mut self, keeps: bool) {
        if self.rotated == self.next {
            return;
        }
        let (last, checkpoint) = self.checkpoint();
        if keeps {
            fs::create_dir_all(self.path("old-state")).unwrap();
            let archive = self.path(&format!("old-state/hydra-{last}.db"));
            self.start().execute("VACUUM INTO ?1", [archive.to_str().unwrap()]).unwrap();
        }
        let database = self.start();
        database.execute_batch("BEGIN IMMEDIATE; DELETE FROM events").unwrap();
        self.row(last, checkpoint.as_bytes());
        self.start().execute_batch("COMMIT").unwrap();
    }

    fn rotate_files(&mut self) {
        if self.rotated == self.next {
            return;
        }
        let (last, checkpoint) = self.checkpoint();
        fs::rename(self.path("state"), self.path(&format!("state-{last}"))).unwrap();
        fs::write(self.path("state"), checkpoint + "\n").unwrap();
    }

    /// As 2.1 does when it starts for the first time.
    fn move_to_database(&mut self) {
        let log = fs::read_to_string(self.path("state")).unwrap_or_default();
        self.start().execute_batch("BEGIN").unwrap();
        for line in log.lines() {
            let id = hydrant::event::StateEvent::parse(line.to_owned()).unwrap().id();
            // The checkpoint at the head of a rotated log has an id of its own there.
            self.row(id, line.as_bytes());
        }
        self.start().execute_batch("COMMIT").unwrap();
        fs::rename(self.path("state"), self.path("state.migrated")).unwrap();
    }

    fn uri(&self) -> String {
        format!("sqlite://{}", self.database().display())
    }

    fn folder_uri(&self) -> String {
        format!("file://{}/", self.folder.display())
    }
}

fn open(log: &LocalLog) -> Box<dyn ReadLog> {
    log.open(ReadOptions::default()).unwrap()
}

/// Everything there is to read now, as positions in words.
fn run_once(folder: &Folder, source: &str, sinks: &[&str]) -> std::process::Output {
    folder.command_at(source, sinks, &["--once"]).output().unwrap()
}

#[test]
fn a_database_and_a_folder_keep_the_contract_of_a_source() {
    let folder = Folder::new();
    let mut node = Node::new(&folder);
    node.write(3_000);
    let options = ReadOptions::default();
    let source = |log: LocalLog| {
        let format = log.format().unwrap();
        LocalSource::new(log, format, options.clone())
    };
    for log in [LocalLog::Database(node.database()), LocalLog::Folder(node.folder.clone())] {
        let mut source = source(log);
        block_on(source::contract::check(&mut source, &events(0..3_000))).unwrap();
    }
    let files = folder.path("files");
    fs::create_dir(&files).unwrap();
    fs::write(files.join("state-9"), lines(0..10)).unwrap();
    fs::write(files.join("state"), lines(10..5_000)).unwrap();
    let mut source = source(LocalLog::Folder(files));
    block_on(source::contract::check(&mut source, &events(0..5_000))).unwrap();
}

#[test]
fn rows_come_out_byte_for_byte_in_use_and_at_rest() {
    let folder = Folder::new();
    let mut node = Node::new(&folder);
    node.write(500);
    // A pre-release wrote text.
    node.start().execute("UPDATE events SET event_data = CAST(event_data AS TEXT) WHERE event_id = 7", []).unwrap();
    for source in [node.uri(), node.folder_uri()] {
        let output = run_once(&folder, &source, &["stdout:"]);
        assert_exit(&output, 0);
        assert_eq!(stdout(&output), lines(0..500));
    }
    node.stop();
    let before: Vec<_> = fs::read_dir(&node.folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(stdout(&run_once(&folder, &node.uri(), &["stdout:"])), lines(0..500));
    let after: Vec<_> = fs::read_dir(&node.folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(before, after);
}

#[test]
fn a_follower_is_given_what_is_written_across_rotations_and_restarts() {
    let folder = Folder::new();
    let mut node = Node::new(&folder);
    node.write(10);
    let mut reader = open(&LocalLog::Database(node.database()));
    let mut read = drain(&mut *reader).unwrap();
    node.write(5);
    node.rotate(true);
    node.write(2);
    read.extend(drain(&mut *reader).unwrap());
    node.stop();
    read.extend(drain(&mut *reader).unwrap());
    node.write(3);
    node.rotate(true);
    node.write(4);
    node.rotate(true);
    read.extend(drain(&mut *reader).unwrap());
    assert_eq!(read, node.wrote);
    // And from the start, by way of the archives.
    assert_eq!(drain(&mut *open(&LocalLog::Database(node.database()))).unwrap(), node.wrote);
}

#[test]
fn a_reader_between_two_pages_holds_nothing_that_keeps_the_wal_from_starting_over() {
    let folder = Folder::new();
    let mut node = Node::new(&folder);
    node.write(20_000);
    let mut reader = open(&LocalLog::Database(node.database()));
    let mut pages = 0;
    loop {
        let page = reader.read_page().unwrap();
        pages += 1;
        // Blocked, frames in the WAL, frames written back: a transaction that is held would block.
        let blocked: i64 = node.start().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
        assert_eq!((blocked, fs::metadata(node.path("hydra.db-wal")).unwrap().len()), (0, 0), "after page {pages}");
        if page.caught_up {
            break;
        }
        if pages < 5 {
            node.write(10);
        }
    }
    assert!(pages > 5, "{pages}");
}

#[test]
fn what_a_rotation_threw_away_before_it_was_read_is_a_gap() {
    let folder = Folder::new();
    let mut node = Node::new(&folder);
    node.write(10);
    let mut reader = open(&LocalLog::Database(node.database()));
    drain(&mut *reader).unwrap();
    node.rotate(false);
    assert_eq!(drain(&mut *reader).unwrap(), ["9:checkpoint"]);
    node.write(5);
    node.rotate(false);
    let error = drain(&mut *reader).unwrap_err().to_string();
    assert!(error.contains("gap") && error.contains("9:checkpoint") && error.contains("14:checkpoint"), "{error}");
}

#[test]
fn a_database_that_is_not_what_it_was_is_refused_with_both_ids() {
    for (change, said) in [
        ("UPDATE events SET event_data = replace(event_data, '2025', '2024') WHERE event_id = 9", "is in its place"),
        ("DELETE FROM events WHERE event_id > 4", "the database ends at event 4"),
        ("DELETE FROM events", "the database is empty"),
    ] {
        let folder = Folder::new();
        let mut node = Node::new(&folder);
        node.write(10);
        let mut reader = open(&LocalLog::Database(node.database()));
        drain(&mut *reader).unwrap();
        node.start().execute(change, []).unwrap();
        let error = drain(&mut *reader).unwrap_err().to_string();
        assert!(error.contains("has diverged: event 9") && error.contains(said), "{error}");
    }
}

#[test]
fn bad_rows_stop_or_are_skipped_and_said_once() {
    let folder = Folder::new();
    let mut node = Node::new(&folder);
    node.write(3);
    node.row(3, b"{\"eventId\":3,");
    node.row(4, line(5).as_bytes());
    node.row(5, format!(r#"{{"eventId":5,"stateChanged":{{"tag":"X","x":"{}"}}}}"#, "x".repeat(2_000)).as_bytes());
    node.row(6, &[0xff]);
    let options = |on_bad_line| ReadOptions { on_bad_line, max_line: 1_500, ..ReadOptions::default() };
    let log = LocalLog::Database(node.database());
    let mut stops = log.open(options(OnBadLine::Stop)).unwrap();
    let Err(ReadError::BadLine(bad)) = drain(&mut *stops) else { panic!("it did not stop") };
    assert_eq!(bad.place.at, At::Row { id: 3 });
    assert!(bad.to_string().ends_with("hydra.db, row 3"), "{bad}");

    let mut skips = log.open(options(OnBadLine::Skip)).unwrap();
    let mut said = Vec::new();
    for _ in 0..6 {
        let page = skips.read_page().unwrap();
        said.extend(page.findings.iter().map(ToString::to_string));
    }
    assert_eq!(said.len(), 4, "{said:#?}");
    for (said, words) in
        said.iter().zip(["row 3: ", "the row bears the id 4, the event in it 5", "max-line", "not UTF-8"])
    {
        assert!(said.contains(words), "{said}");
    }
    node.row(7, line(7).as_bytes());
    assert_eq!(drain(&mut *skips).unwrap(), ["7"]);
}

fn cbor_row(id: u64) -> Vec<u8> {
    let mut row = b"\x6aStateEvent\x1b".to_vec();
    row.extend(id.to_be_bytes());
    row.extend(b"\x6cTickObserved\x82\x01\x9f\xf5\xff\x83\x19\x07\xea\x18\x98\x1b");
    row.extend((id * 1_000_000_000_000).to_be_bytes());
    row
}

#[test]
fn rows_of_schema_2_are_transcoded_and_have_a_format_of_their_own() {
    let folder = Folder::new();
    let mut node = Node::new(&folder);
    node.start().pragma_update(None, "user_version", 2).unwrap();
    (0..3).for_each(|id| node.row(id, &cbor_row(id)));
    let output = run_once(&folder, &node.uri(), &["stdout:"]);
    assert_exit(&output, 0);
    let event = |id| {
        format!(
            r#"{{"eventId":{id},"stateChanged":{{"items":[[1,[true]]],"tag":"TickObserved"}},"time":"2026-06-01T00:00:0{id}Z"}}"#
        ) + "\n"
    };
    assert_eq!(stdout(&output), (0..3).map(event).collect::<String>());
    assert!(stderr(&output).contains("format hydra.state-event.cbor-items/1"), "{}", stderr(&output));

    // A log of another format is none that hydra-node could read, and its events are another stream.
    let out = folder.path("out");
    let refused = run_once(&folder, &node.uri(), &[&format!("file://{}", out.display())]);
    assert_exit(&refused, 1);
    assert!(stderr(&refused).contains("takes hydra.state-event/1 only"), "{}", stderr(&refused));

    let log = LocalLog::Database(node.database());
    assert_eq!(log.format().unwrap(), StreamFormat::cbor_items());
    let mut other = LocalSource::new(log, StreamFormat::state_event(), ReadOptions::default());
    let error = block_on(other.open()).unwrap_err().to_string();
    assert!(error.contains("hydra.state-event.cbor-items/1 now, and hydra.state-event/1 before"), "{error}");

    for arguments in [["stats", "--state"], ["verify", "--decode"]] {
        let refused = hydrant().arg("log").args(arguments).arg(node.database()).output().unwrap();
        assert_exit(&refused, 3);
        assert!(stderr(&refused).contains("which are not read into types"), "{}", stderr(&refused));
    }

    node.start().pragma_update(None, "user_version", 3).unwrap();
    let refused = run_once(&folder, &node.uri(), &["stdout:"]);
    assert_exit(&refused, 3);
    assert!(stderr(&refused).contains("schema 3") && stderr(&refused).contains("newer"), "{}", stderr(&refused));
}

#[test]
fn an_empty_database_has_the_format_of_its_newest_archive() {
    let folder = Folder::new();
    let mut node = Node::new(&folder);
    node.start().pragma_update(None, "user_version", 2).unwrap();
    (0..3).for_each(|id| node.row(id, &cbor_row(id)));
    node.stop();
    let archives = node.folder.join("old-state");
    fs::create_dir_all(&archives).unwrap();
    fs::rename(node.database(), archives.join("hydra-2.db")).unwrap();
    Connection::open(node.database()).unwrap().execute_batch("CREATE TABLE other (n)").unwrap();
    let log = LocalLog::Database(node.database());
    assert_eq!(log.format().unwrap(), StreamFormat::cbor_items());
    let page = log.open(ReadOptions::default()).unwrap().read_history().unwrap().unwrap();
    assert_eq!(page.events.len(), 3);
}

#[test]
fn a_database_that_changes_its_schema_while_it_is_followed_ends_the_stream() {
    let folder = Folder::new();
    let mut node = Node::new(&folder);
    node.write(3);
    let mut reader = open(&LocalLog::Database(node.database()));
    drain(&mut *reader).unwrap();
    node.start().execute_batch("BEGIN; DELETE FROM events; PRAGMA user_version = 2; COMMIT").unwrap();
    (0..4).for_each(|id| node.row(id, &cbor_row(id)));
    let error = drain(&mut *reader).unwrap_err().to_string();
    assert!(error.contains("schema 2") && error.contains("start again"), "{error}");
}

#[test]
fn a_folder_is_one_log_across_all_that_a_node_left_in_it() {
    let folder = Folder::new();
    let mut node = Node::new(&folder);
    node.append(5);
    node.rotate_files();
    node.append(5);
    node.move_to_database();
    node.write(5);
    node.rotate(true);
    node.write(5);
    node.rotate(true);
    node.write(1);
    assert_eq!(drain(&mut *open(&LocalLog::Folder(node.folder.clone()))).unwrap(), node.wrote);
    let verified = hydrant().args(["log", "verify"]).arg(&node.folder).output().unwrap();
    assert_exit(&verified, 0);
    assert!(stdout(&verified).starts_with("whole: 21 events and 3 checkpoints"), "{}", stdout(&verified));
    // A node that never had files, and one that has nothing.
    assert_eq!(drain(&mut *open(&LocalLog::Database(node.database()))).unwrap().len(), 19);
    let nothing = run_once(&folder, &format!("file://{}/", folder.path("").display()), &["stdout:"]);
    assert_exit(&nothing, 3);
    assert!(stderr(&nothing).contains("holds no log of a hydra-node"), "{}", stderr(&nothing));
}

#[test]
fn a_follower_of_files_is_told_where_the_log_went_and_cursors_hold() {
    let folder = Folder::new();
    let mut node = Node::new(&folder);
    node.append(10);
    let sink = wasm("kv-tally", "name=s");
    let data = folder.path("data");
    let state = node.path("state");
    let mut following = folder.command(&state, &[&sink], &[]).spawn().unwrap();
    let ask = |arguments: &[&str]| hydrant().args(arguments).arg("--data-dir").arg(&data).output().unwrap();
    let at = |position: &str| {
        (0..1_000).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            stdout(&ask(&["status", "--json"])).contains(&format!(r#""position":"{position}""#))
        })
    };
    assert!(at("9"));
    node.append(2);
    node.move_to_database();
    node.write(3);
    let output = following.wait().map(|_| following.wait_with_output().unwrap()).unwrap();
    assert_exit(&output, 3);
    let said = stderr(&output);
    assert!(said.contains(&format!("with {} as the event source", node.folder_uri())), "{said}");

    // By the URI it named, and by the database's own.
    let output = run_once(&folder, &node.folder_uri(), &[&sink]);
    assert_exit(&output, 0);
    assert!(stderr(&output).contains("durable up to event 14"), "{}", stderr(&output));
    node.write(2);
    let output = run_once(&folder, &node.uri(), &[&sink]);
    assert_exit(&output, 0);
    assert!(stderr(&output).contains("durable up to event 16"), "{}", stderr(&output));
    let store = SinkStore::open(&data.join("sinks.redb")).unwrap();
    assert_eq!(counted(&store, "s"), 17);
    // Started on what is not there any more, it says so too.
    let output = run_once(&folder, &format!("file://{}", state.display()), &["stdout:"]);
    assert_exit(&output, 3);
    assert!(stderr(&output).contains("not in") && stderr(&output).contains("hydra.db"), "{}", stderr(&output));
}

#[test]
fn a_database_beside_a_followed_log_is_pointed_out() {
    let folder = Folder::new();
    let mut node = Node::new(&folder);
    node.append(3);
    let log = folder.file("state", "");
    fs::remove_file(&log).unwrap();
    std::os::unix::fs::symlink(node.path("state"), &log).unwrap();
    let mut reader = open(&LocalLog::File(node.path("state")));
    drain(&mut *reader).unwrap();
    node.start();
    let said: Vec<String> =
        (0..3).flat_map(|_| reader.read_page().unwrap().findings).map(|finding| finding.to_string()).collect();
    assert_eq!(said.len(), 1);
    assert!(said[0].contains("keep their events there"), "{said:?}");
}

#[test]
fn nothing_is_written_where_the_node_writes() {
    let folder = Folder::new();
    let mut node = Node::new(&folder);
    node.write(1);
    for (source, sink) in [(node.uri(), "copy"), (node.folder_uri(), "copy"), (node.folder_uri(), "old-state/copy")] {
        fs::create_dir_all(node.path("old-state")).unwrap();
        let output = run_once(&folder, &source, &[&format!("file://{}", node.path(sink).display())]);
        assert_exit(&output, 2);
    }
}

/// A node that does at random what nodes do, and a reader that looks now and then.
fn random_schedule(seed: u64, begins_on_files: bool) {
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let mut below = |bound: u32| random.next_u32() % bound;
    let folder = Folder::new();
    let mut node = Node::new(&folder);
    let mut on_files = begins_on_files;
    if on_files {
        node.append(1)
    } else {
        node.write(1)
    }
    let mut reader = open(&LocalLog::Folder(node.folder.clone()));
    let mut read = Vec::new();
    for _ in 0..60 {
        match (below(12), on_files) {
            (0, true) => node.rotate_files(),
            (1, true) => {
                node.move_to_database();
                on_files = false;
            }
            (2..8, true) => node.append(below(20).into()),
            (0..2, false) if node.database.is_some() => node.rotate(true),
            (2, false) => node.stop(),
            (3, false) => {
                // As kill -9 leaves it, and as the next start finds it.
                let dead = node.database.take();
                std::mem::forget(dead);
            }
            (4..8, false) => node.write(below(200).into()),
            _ => read.extend(drain(&mut *reader).unwrap_or_else(|error| panic!("seed {seed}: {error}"))),
        }
    }
    read.extend(drain(&mut *reader).unwrap());
    assert_eq!(read, node.wrote, "seed {seed}");
    let again = drain(&mut *open(&LocalLog::Folder(node.folder.clone()))).unwrap();
    assert_eq!(again, node.wrote, "seed {seed}, from the start");
}

#[test]
fn every_event_is_read_once_over_random_schedules_of_rotations_and_moves() {
    for seed in 0..50 {
        random_schedule(seed, seed % 2 == 0);
    }
}

/// A user that is neither us nor root, if we may become one.
fn stranger(number: u32) -> Option<u32> {
    rustix::process::geteuid().is_root().then_some(number)
}

struct Writer {
    child: Child,
    says: BufReader<std::process::ChildStdout>,
}

impl Writer {
    fn start(folder: &Path, arguments: [u64; 4], user: Option<u32>) -> Self {
        let mut command = Command::new("python3");
        command.arg(root().join("tests/writer.py")).arg(folder.join("hydra.db"));
        command.args(arguments.map(|argument| argument.to_string()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let mut child = command.spawn().unwrap();
        let says = BufReader::new(child.stdout.take().unwrap());
        let mut writer = Self { child, says };
        writer.until("ready");
        writer
    }

    fn until(&mut self, word: &str) {
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), word);
    }

    fn stop(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The real process beside a real writer of another user, which is stopped, killed and started: it gives every event once and leaves nothing
/// behind that the writer could stumble over.
#[test]
fn beside_a_writer_of_another_user_that_is_stopped_and_started() {
    let folder = Folder::new();
    let node = folder.path("node");
    fs::create_dir(&node).unwrap();
    let (writes, reads) = (stranger(60_001), stranger(60_002));
    for (path, user) in [(folder.path(""), None), (node.clone(), writes)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        if let Some(user) = user {
            chown(&path, Some(user), Some(user)).unwrap();
        }
    }
    let out = folder.file("out", "");
    let data = folder.path("data");
    fs::create_dir(&data).unwrap();
    let mut command = hydrant();
    if let Some(user) = reads {
        chown(&data, Some(user), Some(user)).unwrap();
        command.uid(user).gid(user);
    }
    let writer = Writer::start(&node, [0, 200, 1, 70], writes);
    command.args(["run", "--event-source", &format!("file://{}/", node.display()), "--event-sink", "stdout:"]);
    command.arg("--data-dir").arg(&data).stdout(fs::File::create(&out).unwrap()).stderr(Stdio::null());
    let mut hydrant = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            return say(&format!("a writer of another user: skipped, that user cannot run the program ({error})"));
        }
    };
    let mut writer = Some(writer);
    for round in 1..5 {
        let mut running = writer.take().unwrap();
        running.until("done");
        if round % 2 == 0 {
            running.kill()
        } else {
            running.stop()
        }
        writer = Some(Writer::start(&node, [round * 200, 200, 1, 70], writes));
    }
    let mut running = writer.unwrap();
    running.until("done");
    running.stop();
    let delivered = || {
        let text = fs::read_to_string(&out).unwrap();
        let events = text.lines().map(|line| hydrant::event::StateEvent::parse(line.to_owned()).unwrap());
        events.map(|event| event.position()).collect::<Vec<_>>()
    };
    for _ in 0..500 {
        if delivered().iter().any(|position| position.id == 999) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    hydrant.kill().unwrap();
    hydrant.wait().unwrap();
    let positions = delivered();
    assert!(positions.is_sorted() && positions.windows(2).all(|pair| pair[0] != pair[1]));
    let ids: Vec<u64> = positions.iter().filter(|at| at.to_string() == at.id.to_string()).map(|at| at.id).collect();
    assert_eq!(ids, (0..1_000).collect::<Vec<_>>());
    let left: Vec<PathBuf> = fs::read_dir(&node).unwrap().map(|entry| entry.unwrap().path()).collect();
    if let Some(user) = writes {
        assert!(left.iter().all(|path| path.metadata().unwrap().uid() == user), "{left:?}");
    }
    assert!(!left.iter().any(|path| path.ends_with("hydra.db-wal")), "{left:?}");
    say(match writes {
        Some(_) => "a writer of another user: ran, reader and writer are two users",
        None => "a writer of another user: ran as one user, only root can become others",
    });
}

fn sqlite_sink(path: &Path, more: &str) -> String {
    format!("sqlite://{}?{more}", path.display())
}

fn rows(path: &Path) -> Vec<String> {
    drain(&mut *open(&LocalLog::Database(path.to_owned()))).unwrap()
}

#[test]
fn a_database_of_our_own_takes_a_log_and_gives_it_back() {
    let folder = Folder::new();
    let log = folder.path("log");
    assert!(
        hydrant().args(["sample", "--events", "400", "--schema", "2.0", "--out"]).arg(&log).status().unwrap().success()
    );
    let copy = folder.path("copy.db");
    for _ in 0..2 {
        assert_exit(&folder.run(&log, &[&sqlite_sink(&copy, "")], &["--once"]), 0);
        let back = run_once(&folder, &sqlite_sink(&copy, "stream=copy"), &["stdout:"]);
        assert_eq!(stdout(&back), fs::read_to_string(&log).unwrap());
    }
}

#[test]
fn a_checkpoint_is_a_row_only_where_its_events_are_not() {
    let folder = Folder::new();
    let checkpoint = |id| format!(r#"{{"eventId":{id},"stateChanged":{{"state":{{}},"tag":"Checkpoint"}}}}"#) + "\n";
    let log = folder.file("state", checkpoint(4) + &lines(5..8) + &checkpoint(7) + &lines(8..9));
    let copy = folder.path("copy.db");
    for _ in 0..2 {
        assert_exit(&folder.run(&log, &[&sqlite_sink(&copy, "")], &["--once"]), 0);
        assert_eq!(rows(&copy), ["4:checkpoint", "5", "6", "7", "8"]);
    }
    // What does not fit behind it is said by name.
    let other = folder.file("other", lines(5..6) + &lines(6..7).replace("2025", "2024"));
    let output = folder.run(&other, &[&sqlite_sink(&copy, "")], &["--once"]);
    assert_exit(&output, 1);
    assert!(stderr(&output).contains("position 6 is there already with other bytes"), "{}", stderr(&output));
    let before = folder.file("before", lines(4..5));
    let output = folder.run(&before, &[&sqlite_sink(&copy, "")], &["--once"]);
    assert_exit(&output, 1);
    assert!(stderr(&output).contains("has no event 4"), "{}", stderr(&output));
    let huge = folder.file("huge", lines([i64::MAX.cast_unsigned()]));
    assert_exit(&folder.run(&huge, &[&sqlite_sink(&copy, "")], &["--once"]), 0);
    append(&huge, &lines([i64::MAX.cast_unsigned() + 1]));
    let output = folder.run(&huge, &[&sqlite_sink(&copy, "")], &["--once"]);
    assert_exit(&output, 1);
    assert!(stderr(&output).contains("no ids beyond 9223372036854775807"), "{}", stderr(&output));
    assert_eq!(rows(&copy).last().unwrap(), "9223372036854775807");
}

#[test]
fn a_database_that_is_not_ours_is_not_written_to() {
    let folder = Folder::new();
    let log = folder.file("state", lines(0..3));
    let mut node = Node::new(&folder);
    node.write(1);
    let copy = folder.path("copy.db");
    fs::copy(node.database(), &copy).unwrap();
    for suffix in ["-wal", "-shm"] {
        fs::copy(node.path(&format!("hydra.db{suffix}")), folder.path(&format!("copy.db{suffix}"))).unwrap();
    }
    for (target, said) in [
        (copy, "was not made by hydrant"),
        (folder.path("hydra.db"), "the name of a node's database"),
        (node.path("mine.db"), "a hydra-node owns the logs in it"),
    ] {
        let output = folder.run(&log, &[&sqlite_sink(&target, "")], &["--once"]);
        assert_ne!(output.status.code(), Some(0));
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
}

#[test]
fn two_writers_of_one_database_are_told_apart() {
    let folder = Folder::new();
    let copy = folder.path("copy.db");
    block_on(async {
        let (mut first, mut second) = (SqliteSink::new(&copy), SqliteSink::new(&copy));
        first.open(&open_info()).await.unwrap();
        second.open(&open_info()).await.unwrap();
        for (sink, event) in [(&mut first, &events(0..1)[0]), (&mut second, &events(0..1)[0])] {
            sink.put_event(event, Delivery::default()).await.unwrap();
        }
        first.flush().await.unwrap();
        let error = second.flush().await.unwrap_err().to_string();
        assert!(error.contains("ends at event 0") && error.contains("something else writes to it"), "{error}");
    });
}

/// kill -9 in the middle; the run after it finishes the copy.
#[test]
fn a_killed_run_leaves_a_copy_that_the_next_one_finishes() {
    let folder = Folder::new();
    let log = folder.file("state", lines(0..20_000));
    let copy = folder.path("copy.db");
    for round in 0..4 {
        let mut child = folder.command(&log, &[&sqlite_sink(&copy, "flush=100,1MiB,1s")], &[]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(60 + 90 * round));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_exit(&folder.run(&log, &[&sqlite_sink(&copy, "")], &["--once"]), 0);
    assert_eq!(rows(&copy), (0..20_000).map(|id| id.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_running_hydrant_follows_a_node_through_its_move() {
    let folder = Folder::new();
    let mut node = Node::new(&folder);
    node.append(10);
    let sink = wasm("kv-tally", "name=s");
    let running = Running::start_at(folder, &node.folder_uri(), &[&sink], &[]);
    running.until_at("s", "9");
    node.append(5);
    node.move_to_database();
    node.write(5);
    running.until_at("s", "19");
    node.rotate(true);
    node.write(1);
    running.until_at("s", "20");
    drop(running);
}
