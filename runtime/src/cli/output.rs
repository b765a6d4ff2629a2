//! What is printed to standard output.

use std::io::{ErrorKind, Write, stdout};

use super::{Exit, Failure};

/// Prints a text and ends well.
pub(super) fn print(text: &str) -> Result<Exit, Failure> {
    match stdout().write_all(text.as_bytes()) {
        // Whoever read it has seen enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Exit::SinkFailed.because()(error)),
        _ => Ok(Exit::Success),
    }
}

/// Columns as wide as their widest entry.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|text| text.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}
