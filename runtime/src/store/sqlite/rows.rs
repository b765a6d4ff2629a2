//! Rows of hydra-node's table `events`, as they come out of one look.

use std::ops::Range;

use bytes::Bytes;
use bytestring::ByteString;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension};

use super::cbor_items;
use crate::event::{Position, StateEvent, Text};
use crate::store::decode::utf8;
use crate::store::report::LineFault;

/// Bytes of rows in one page, as for files.
const PAGE_BYTES: usize = 512 * 1024;

/// How a database's rows are written: hydra-node's `user_version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Schema {
    /// Nothing was written yet.
    None,
    /// 1: StateEvent as JSON.
    Json,
    /// 2: StateEvent as CBOR items.
    CborItems,
    /// Written by a node that is newer than this.
    Unknown(i64),
}

/// The ids in a table, and how its rows are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) schema: Schema,
    /// The lowest and the highest id; none if there is no row.
    pub(super) ids: Option<(i64, i64)>,
}

pub(super) fn bounds(connection: &Connection) -> rusqlite::Result<Bounds> {
    let schema = schema(connection)?;
    if !has_table(connection)? {
        return Ok(Bounds { schema, ids: None });
    }
    let ids = connection.query_row("SELECT min(event_id), max(event_id) FROM events", [], |row| {
        Ok(row.get::<_, Option<i64>>(0)?.zip(row.get::<_, Option<i64>>(1)?))
    })?;
    Ok(Bounds { schema, ids })
}

fn schema(connection: &Connection) -> rusqlite::Result<Schema> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok(match version {
        0 => Schema::None,
        1 => Schema::Json,
        2 => Schema::CborItems,
        other => Schema::Unknown(other),
    })
}

/// A node that starts for the first time has made the file, but not the table.
fn has_table(connection: &Connection) -> rusqlite::Result<bool> {
    let found =
        connection.query_row("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'events'", [], |_| Ok(()));
    found.optional().map(|found| found.is_some())
}

/// Rows in order.
#[derive(Debug)]
pub(super) struct RowPage {
    pub(super) schema: Schema,
    rows: Vec<RawRow>,
    /// Their bytes, end to end.
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct RawRow {
    id: i64,
    /// Where it lies; or its length, if that is beyond the bound.
    data: Result<Range<usize>, u64>,
}

/// Reads rows from an id on, about a page of them.
pub(super) fn read(connection: &Connection, from: i64, max_line: usize) -> rusqlite::Result<RowPage> {
    let mut page = RowPage { schema: schema(connection)?, rows: Vec::new(), bytes: Vec::new() };
    if !has_table(connection)? {
        return Ok(page);
    }
    let mut statement = connection.prepare(
        "SELECT event_id, octet_length(event_data), CASE WHEN octet_length(event_data) <= ?2 THEN event_data END \
         FROM events WHERE event_id >= ?1 ORDER BY event_id",
    )?;
    let mut rows = statement.query((from, i64::try_from(max_line).unwrap_or(i64::MAX)))?;
    while let Some(row) = rows.next()? {
        let start = page.bytes.len();
        let data = match row.get_ref(2)? {
            ValueRef::Text(data) | ValueRef::Blob(data) => {
                page.bytes.extend_from_slice(data);
                Ok(start..page.bytes.len())
            }
            _ => Err(row.get::<_, Option<i64>>(1)?.and_then(|length| u64::try_from(length).ok()).unwrap_or(0)),
        };
        page.rows.push(RawRow { id: row.get(0)?, data });
        // The row asked for first is one that was read before: it makes no page of its own, however long it is.
        if page.rows.last().is_some_and(|row| row.id > from) && page.bytes.len() >= PAGE_BYTES {
            break;
        }
    }
    Ok(page)
}

impl RowPage {
    /// The id of the first row.
    pub(super) fn first(&self) -> Option<i64> {
        self.rows.first().map(|row| row.id)
    }

    /// The position of the first row; that of an event, if there is none in it that can be read.
    pub(super) fn first_position(&self) -> Option<Position> {
        let row = self.rows.first()?;
        let bytes = row.data.clone().ok().and_then(|range| self.bytes.get(range)).unwrap_or_default();
        let text = text_of(self.schema, Bytes::copy_from_slice(bytes)).ok();
        let event = text.and_then(|text| StateEvent::of_text(text).ok());
        let of_row = || Position::event(u64::try_from(row.id).unwrap_or(0));
        Some(event.map_or_else(of_row, |event| event.position()))
    }

    /// Each row's id and json. The texts of a page of JSON lie end to end.
    pub(super) fn texts(self, max_line: usize) -> impl Iterator<Item = (i64, Result<Text, LineFault>)> {
        let is_json = self.schema != Schema::CborItems;
        let bytes = Bytes::from(self.bytes);
        // Checked for all rows at once; the rows of a page with a bad one are checked one by one.
        let page = ByteString::try_from(bytes.clone()).ok().filter(|_| is_json);
        self.rows.into_iter().map(move |row| {
            let range = row.data.map_err(|length| LineFault::TooLong { length, limit: max_line });
            let text = range.and_then(|range| match &page {
                Some(page) => Text::of(page, range).ok_or(LineFault::Utf8 { at: 0 }),
                None => text_of(self.schema, bytes.slice(range)),
            });
            (row.id, text)
        })
    }
}

fn text_of(schema: Schema, row: Bytes) -> Result<Text, LineFault> {
    match schema {
        Schema::CborItems => {
            let json = cbor_items::to_json(&row);
            json.map(Text::from).map_err(|error| LineFault::NotItems(error.to_string()))
        }
        _ => utf8(row),
    }
}
