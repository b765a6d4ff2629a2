//! `append` and `append-group`: what a durable append costs.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use hydrant::event::StateEvent;
use hydrant::store::{DiskFile, GroupCommit, LogAppender};
use rusqlite::Connection;

use crate::summary::{Bound, Line, Summary};
use crate::turns::take_turns;

/// Appends in one measurement of one client.
const APPENDS: usize = 100;

/// Clients that append at once.
const CLIENTS: usize = 64;

/// Appends of each client in one measurement.
const EACH: usize = 20;

fn event(id: u64) -> anyhow::Result<StateEvent> {
    let pad = "x".repeat(900);
    let text =
        format!(r#"{{"eventId":{id},"stateChanged":{{"pad":"{pad}","tag":"X"}},"time":"2025-06-01T00:00:00Z"}}"#);
    Ok(StateEvent::parse(text)?)
}

fn create(path: &Path) -> anyhow::Result<File> {
    Ok(OpenOptions::new().create(true).truncate(false).append(true).open(path)?)
}

/// Microseconds a piece.
fn micros(start: Instant, pieces: usize) -> f64 {
    start.elapsed().as_nanos() as f64 / 1_000.0 / pieces as f64
}

pub(crate) fn run(folder: &Path, summary: &mut Summary) -> anyhow::Result<()> {
    let scratch = tempfile::tempdir_in(folder)?;
    let path = |name: &str| scratch.path().join(name);
    let mut bare = create(&path("bare"))?;
    let mut appender = LogAppender::new(DiskFile::new(create(&path("appender"))?), None)?;
    let group = GroupCommit::start(LogAppender::new(DiskFile::new(create(&path("group"))?), None)?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let sqlite = Connection::open(path("hydra.db"))?;
    sqlite.pragma_update(None, "journal_mode", "WAL")?;
    sqlite.pragma_update(None, "synchronous", "FULL")?;
    sqlite.execute("CREATE TABLE events (event_id INTEGER NOT NULL PRIMARY KEY, event_data BLOB NOT NULL)", ())?;
    let (mut next_appended, mut next_grouped, mut next_row) = (0, 0, 0_i64);
    let [ours, bare, grouped, sqlite] = take_turns(
        9,
        [
            Box::new(|| {
                let start = Instant::now();
                for _ in 0..APPENDS {
                    appender.append(&event(next_appended)?)?;
                    appender.commit()?;
                    next_appended += 1;
                }
                Ok(micros(start, APPENDS))
            }),
            Box::new(|| {
                let start = Instant::now();
                for id in 0..APPENDS as u64 {
                    let event = event(id)?;
                    bare.write_all(format!("{}\n", event.json()).as_bytes())?;
                    bare.sync_data()?;
                }
                Ok(micros(start, APPENDS))
            }),
            Box::new(|| {
                let first = next_grouped;
                next_grouped += (CLIENTS * EACH) as u64;
                runtime.block_on(append_together(&group, first))
            }),
            Box::new(|| {
                let start = Instant::now();
                for _ in 0..APPENDS {
                    let event = event(next_row.unsigned_abs())?;
                    sqlite.execute("INSERT INTO events VALUES (?1, ?2)", (next_row, event.json().as_bytes()))?;
                    next_row += 1;
                }
                Ok(micros(start, APPENDS))
            }),
        ],
    )?;
    summary.add(&Line {
        name: "append",
        value: ours.median(),
        unit: "us",
        baseline: ("write + fdatasync", bare.median()),
        ratio: ours.ratio_to(&bare),
        bound: Bound::AtMost(1.15),
    })?;
    summary.add(&Line {
        name: "append-group",
        value: grouped.median(),
        unit: "us",
        baseline: ("SQLite WAL FULL", sqlite.median()),
        ratio: sqlite.ratio_to(&grouped),
        bound: Bound::AtLeast(3.0),
    })
}

/// Microseconds an event takes when many clients append at once. Ids must rise in the order of the queue, so the clients take them and
/// queue under one lock; what they wait for is the sync.
async fn append_together(group: &GroupCommit, first: u64) -> anyhow::Result<f64> {
    let next = std::sync::Arc::new(tokio::sync::Mutex::new(first));
    let start = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (group, next) = (group.clone(), std::sync::Arc::clone(&next));
            tokio::spawn(async move {
                for _ in 0..EACH {
                    let queued = {
                        let mut id = next.lock().await;
                        let queued = group.queue(event(*id)?).await?;
                        *id += 1;
                        queued
                    };
                    queued.durable().await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for client in clients {
        client.await??;
    }
    Ok(micros(start, CLIENTS * EACH))
}
