//! The tables of the store.

use redb::TableDefinition;

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
