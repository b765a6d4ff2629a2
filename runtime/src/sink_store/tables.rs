//! The tables of the store.

use redb::{Database, ReadableDatabase, TableDefinition, TableHandle, WriteTransaction};

use crate::event::{Kind, Position};

/// A record as JSON under a name.
pub(super) type Records = TableDefinition<'static, &'static str, &'static [u8]>;

/// Sink to [`Cursor`](super::Cursor).
pub(super) const CURSORS: Records = TableDefinition::new("cursors");
/// Sink to [`ActiveVersion`](super::ActiveVersion).
pub(super) const ACTIVE: Records = TableDefinition::new("active");
/// Stream to its last [`Anchor`](crate::stream::Anchor)s.
pub(super) const ANCHORS: Records = TableDefinition::new("anchors");
/// Stream to its [`Epoch`](super::Epoch).
pub(super) const EPOCHS: Records = TableDefinition::new("epochs");
/// Stream to the id of its head, as JSON.
pub(super) const HEADS: Records = TableDefinition::new("heads");
/// Sink and key to value.
pub(super) const KEY_VALUE: TableDefinition<'static, (&'static str, &'static str), &'static [u8]> =
    TableDefinition::new("key-value");
/// Sink to the number of its keys and the bytes of its keys and values.
pub(super) const KEY_VALUE_USAGE: TableDefinition<'static, &'static str, (u64, u64)> =
    TableDefinition::new("key-value-usage");
/// Sink and key to the value before the swap that is watched; none: the key was not there.
pub(super) const UNDO: TableDefinition<'static, (&'static str, &'static str), Option<&'static [u8]>> =
    TableDefinition::new("key-value-undo");
/// Sinks whose key-value writes are kept in [`UNDO`].
pub(super) const WATCHED: TableDefinition<'static, &'static str, ()> = TableDefinition::new("watched");
/// Sink, event id and kind to [`ParkedEvent`](super::ParkedEvent).
pub(super) const PARKED: TableDefinition<'static, (&'static str, u64, u8), &'static [u8]> =
    TableDefinition::new("parked");
/// Sink and number to [`VersionRecord`](super::VersionRecord).
pub(super) const VERSIONS: TableDefinition<'static, (&'static str, u64), &'static [u8]> =
    TableDefinition::new("versions");

pub(super) fn parked_key(sink: &str, position: Position) -> (&str, u64, u8) {
    (sink, position.id, u8::from(position.kind == Kind::Checkpoint))
}

/// Creates every table, so that reading need not tell a missing table from an empty one.
pub(super) fn create_tables(write: &WriteTransaction) -> Result<(), redb::Error> {
    write.open_table(CURSORS)?;
    write.open_table(ACTIVE)?;
    write.open_table(ANCHORS)?;
    write.open_table(EPOCHS)?;
    write.open_table(HEADS)?;
    write.open_table(KEY_VALUE)?;
    write.open_table(KEY_VALUE_USAGE)?;
    write.open_table(UNDO)?;
    write.open_table(WATCHED)?;
    write.open_table(PARKED)?;
    write.open_table(VERSIONS)?;
    Ok(())
}

/// Whether [`create_tables`] has nothing left to do: creating costs a sync of the disk.
pub(super) fn has_all_tables(database: &Database) -> Result<bool, redb::Error> {
    let all = [
        CURSORS.name(),
        ACTIVE.name(),
        ANCHORS.name(),
        EPOCHS.name(),
        HEADS.name(),
        KEY_VALUE.name(),
        KEY_VALUE_USAGE.name(),
        UNDO.name(),
        WATCHED.name(),
        PARKED.name(),
        VERSIONS.name(),
    ];
    let there: Vec<String> = database.begin_read()?.list_tables()?.map(|table| table.name().to_owned()).collect();
    Ok(all.iter().all(|name| there.iter().any(|there| there == name)))
}
