//! Changes to the store, and how each is written.

use redb::{ReadableTable, WriteTransaction};
use serde::Serialize;

use super::record::{ActiveVersion, Cursor, Epoch, ParkedEvent, VersionRecord};
use super::tables::{
    ACTIVE, ANCHORS, CURSORS, EPOCHS, HEADS, KEY_VALUE, KEY_VALUE_USAGE, PARKED, UNDO, VERSIONS, WATCHED, parked_key,
};
use crate::event::Position;
use crate::stream::Anchor;

/// How many records of versions are kept for a sink: enough to look back over years of swaps.
const MAX_VERSIONS: u64 = 1_000;

/// One change. Changes committed together are durable together.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change {
    /// Moves a sink's cursor.
    Cursor {
        /// The sink.
        sink: String,
        /// Where it stands now.
        cursor: Cursor,
    },
    /// Writes or removes a key of a sink.
    Write {
        /// The sink.
        sink: String,
        /// The key.
        key: String,
        /// The value; none removes the key.
        value: Option<Vec<u8>>,
    },
    /// Removes all keys of a sink.
    ResetState {
        /// The sink.
        sink: String,
    },
    /// Puts an event aside.
    Park {
        /// The sink.
        sink: String,
        /// The event.
        event: ParkedEvent,
    },
    /// Removes a parked event.
    Unpark {
        /// The sink.
        sink: String,
        /// Its position.
        position: Position,
    },
    /// Puts a version in charge, with its entry in the history. If the swap is watched, what key-value writes replace from now on is kept.
    Activate {
        /// The sink.
        sink: String,
        /// The version.
        active: ActiveVersion,
        /// The entry.
        record: VersionRecord,
    },
    /// Adds an entry to the history of versions alone.
    Record {
        /// The sink.
        sink: String,
        /// The entry.
        record: VersionRecord,
    },
    /// Ends the watch over a swap: the version before is not returned to any more.
    EndWatch {
        /// The sink.
        sink: String,
        /// The version that stays.
        active: ActiveVersion,
    },
    /// Gives a sink's keys the values they had when the watched swap took place.
    UndoWrites {
        /// The sink.
        sink: String,
    },
    /// Keeps the last events of a stream.
    Anchors {
        /// The stream.
        stream: String,
        /// The events, in order.
        anchors: Vec<Anchor>,
    },
    /// Keeps the id of a stream's head.
    Head {
        /// The stream.
        stream: String,
        /// The id in hexadecimal digits.
        head_id: String,
    },
    /// Sets a stream's epoch.
    Epoch {
        /// The stream.
        stream: String,
        /// The epoch.
        epoch: Epoch,
    },
}

impl Change {
    pub(super) fn apply(&self, write: &WriteTransaction) -> Result<(), redb::Error> {
        match self {
            Self::Cursor { sink, cursor } => insert(write, CURSORS, sink, cursor),
            Self::Write { sink, key, value } => {
                keep_for_undo(write, sink, key)?;
                write_key(write, sink, key, value.as_deref())
            }
            Self::ResetState { sink } => {
                for key in keys(write, sink)? {
                    keep_for_undo(write, sink, &key)?;
                    write_key(write, sink, &key, None)?;
                }
                Ok(())
            }
            Self::Park { sink, event } => {
                let mut table = write.open_table(PARKED)?;
                table.insert(parked_key(sink, event.position), &*json(event)?)?;
                Ok(())
            }
            Self::Unpark { sink, position } => {
                write.open_table(PARKED)?.remove(parked_key(sink, *position))?;
                Ok(())
            }
            Self::Activate { sink, active, record } => {
                forget_undo(write, sink)?;
                if active.watched.is_some() {
                    write.open_table(WATCHED)?.insert(&**sink, ())?;
                }
                insert(write, ACTIVE, sink, active)?;
                add_version(write, sink, record)
            }
            Self::Record { sink, record } => add_version(write, sink, record),
            Self::EndWatch { sink, active } => {
                forget_undo(write, sink)?;
                insert(write, ACTIVE, sink, active)
            }
            Self::UndoWrites { sink } => undo(write, sink),
            Self::Anchors { stream, anchors } => insert(write, ANCHORS, stream, anchors),
            Self::Head { stream, head_id } => insert(write, HEADS, stream, head_id),
            Self::Epoch { stream, epoch } => insert(write, EPOCHS, stream, epoch),
        }
    }
}

fn json(record: &impl Serialize) -> Result<Vec<u8>, redb::Error> {
    serde_json::to_vec(record).map_err(|error| redb::Error::Io(error.into()))
}

fn insert(
    write: &WriteTransaction,
    table: super::tables::Records,
    key: &str,
    record: &impl Serialize,
) -> Result<(), redb::Error> {
    write.open_table(table)?.insert(key, &*json(record)?)?;
    Ok(())
}

fn write_key(write: &WriteTransaction, sink: &str, key: &str, value: Option<&[u8]>) -> Result<(), redb::Error> {
    let mut table = write.open_table(KEY_VALUE)?;
    let before = match value {
        Some(value) => table.insert((sink, key), value)?,
        None => table.remove((sink, key))?,
    };
    let before = before.map(|before| before.value().len());
    let mut usage = write.open_table(KEY_VALUE_USAGE)?;
    let (mut keys, mut bytes) = usage.get(sink)?.map_or((0, 0), |usage| usage.value());
    if let Some(before) = before {
        keys = keys.saturating_sub(1);
        bytes = bytes.saturating_sub((key.len() + before) as u64);
    }
    if let Some(value) = value {
        keys += 1;
        bytes += (key.len() + value.len()) as u64;
    }
    usage.insert(sink, (keys, bytes))?;
    Ok(())
}

fn keys(write: &WriteTransaction, sink: &str) -> Result<Vec<String>, redb::Error> {
    let table = write.open_table(KEY_VALUE)?;
    let mut keys = Vec::new();
    for row in table.range((sink, "")..)? {
        let (key, _) = row?;
        if key.value().0 != sink {
            break;
        }
        keys.push(key.value().1.to_owned());
    }
    Ok(keys)
}

/// While a swap is watched: keeps a key's value before its first write.
fn keep_for_undo(write: &WriteTransaction, sink: &str, key: &str) -> Result<(), redb::Error> {
    if write.open_table(WATCHED)?.get(sink)?.is_none() {
        return Ok(());
    }
    let mut undo = write.open_table(UNDO)?;
    if undo.get((sink, key))?.is_none() {
        let table = write.open_table(KEY_VALUE)?;
        let before = table.get((sink, key))?;
        undo.insert((sink, key), before.as_ref().map(|before| before.value()))?;
    }
    Ok(())
}

/// A key, and its value before the swap if it was there.
type Kept = (String, Option<Vec<u8>>);

fn kept_for_undo(write: &WriteTransaction, sink: &str) -> Result<Vec<Kept>, redb::Error> {
    let table = write.open_table(UNDO)?;
    let mut kept = Vec::new();
    for row in table.range((sink, "")..)? {
        let (key, value) = row?;
        if key.value().0 != sink {
            break;
        }
        kept.push((key.value().1.to_owned(), value.value().map(<[u8]>::to_vec)));
    }
    Ok(kept)
}

fn forget_undo(write: &WriteTransaction, sink: &str) -> Result<(), redb::Error> {
    let kept = kept_for_undo(write, sink)?;
    let mut table = write.open_table(UNDO)?;
    for (key, _) in kept {
        table.remove((sink, &*key))?;
    }
    write.open_table(WATCHED)?.remove(sink)?;
    Ok(())
}

fn undo(write: &WriteTransaction, sink: &str) -> Result<(), redb::Error> {
    for (key, value) in kept_for_undo(write, sink)? {
        write_key(write, sink, &key, value.as_deref())?;
    }
    forget_undo(write, sink)
}

fn add_version(write: &WriteTransaction, sink: &str, record: &VersionRecord) -> Result<(), redb::Error> {
    let mut table = write.open_table(VERSIONS)?;
    let last = table.range((sink, 0)..=(sink, u64::MAX))?.next_back().transpose()?.map(|(key, _)| key.value().1);
    let number = last.map_or(0, |last| last + 1);
    table.insert((sink, number), &*json(record)?)?;
    if let Some(old) = number.checked_sub(MAX_VERSIONS) {
        table.remove((sink, old))?;
    }
    Ok(())
}
