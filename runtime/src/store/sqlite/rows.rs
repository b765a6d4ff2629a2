//! Rows of hydra-node's table `events`, as they come out of one look.

use std::ops::Range;

use bytes::Bytes;
use bytestring::ByteString;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};

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

/// A table's first and last row, and how its rows are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) schema: Schema,
    /// None if there is no row.
    pub(super) rows: Option<(Edge, Edge)>,
}

/// The first row, or the last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) id: i64,
    /// That of an event, if there is none in the row that can be read.
    pub(super) position: Position,
}

/// The rows asked for, with nothing of one that is longer than the first parameter.
const ROWS: &str = "SELECT event_id, octet_length(event_data), CASE WHEN octet_length(event_data) <= ?1 THEN event_data END FROM events";

/// All of it in one look: what is told of the ids would not belong to what a later look finds, if the node rotates in between.
pub(super) fn bounds(connection: &Connection, max_line: usize) -> rusqlite::Result<Bounds> {
    let schema = schema(connection)?;
    if !has_table(connection)? {
        return Ok(Bounds { schema, rows: None });
    }
    let first = edge(connection, schema, "ASC", max_line)?;
    let last = edge(connection, schema, "DESC", max_line)?;
    Ok(Bounds { schema, rows: first.zip(last) })
}

fn edge(connection: &Connection, schema: Schema, order: &str, max_line: usize) -> rusqlite::Result<Option<Edge>> {
    let mut page = RowPage::new(schema);
    let query = format!("{ROWS} ORDER BY event_id {order} LIMIT 1");
    let row = connection.query_row(&query, [bound(max_line)], |row| page.push(row)).optional()?;
    Ok(row.and_then(|()| page.first().zip(page.first_position())).map(|(id, position)| Edge { id, position }))
}

fn bound(max_line: usize) -> i64 {
    i64::try_from(max_line).unwrap_or(i64::MAX)
}

pub(super) fn schema(connection: &Connection) -> rusqlite::Result<Schema> {
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
    let mut page = RowPage::new(schema(connection)?);
    if !has_table(connection)? {
        return Ok(page);
    }
    let mut statement = connection.prepare(&format!("{ROWS} WHERE event_id >= ?2 ORDER BY event_id"))?;
    let mut rows = statement.query([bound(max_line), from])?;
    while let Some(row) = rows.next()? {
        page.push(row)?;
        // The row asked for first is one that was read before: it makes no page of its own, however long it is.
        if page.rows.last().is_some_and(|row| row.id > from) && page.bytes.len() >= PAGE_BYTES {
            break;
        }
    }
    Ok(page)
}

impl RowPage {
    fn new(schema: Schema) -> Self {
        Self { schema, rows: Vec::new(), bytes: Vec::new() }
    }

    fn push(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let start = self.bytes.len();
        let data = match row.get_ref(2)? {
            ValueRef::Text(data) | ValueRef::Blob(data) => {
                self.bytes.extend_from_slice(data);
                Ok(start..self.bytes.len())
            }
            _ => Err(row.get::<_, Option<i64>>(1)?.and_then(|length| u64::try_from(length).ok()).unwrap_or(0)),
        };
        self.rows.push(RawRow { id: row.get(0)?, data });
        Ok(())
    }

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
