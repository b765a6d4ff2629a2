//! Lines that somebody gives, read as those of a log file are.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::decode::{Decoded, Decoder};
use super::line_reader::{RawLine, RawText};
use super::read::{OnBadLine, ReadOptions};
use super::report::{At, BadLine, Finding, Place};
use crate::event::{Position, StateEvent};
use crate::stream::EventHash;

/// Reads lines from elsewhere by the rules of a log file: lines without an id are given one, repetitions are dropped.
#[derive(Debug)]
pub struct GivenLines {
    from: Arc<Path>,
    options: ReadOptions,
    decoder: Decoder,
    line: u64,
}

impl GivenLines {
    /// Nothing was read yet. `from` stands in what is said about lines.
    pub fn new(from: &Path, options: ReadOptions) -> Self {
        let decoder = Decoder::new(&options);
        Self { from: from.into(), options, decoder, line: 0 }
    }

    /// The last event read.
    pub fn last(&self) -> Option<(Position, EventHash)> {
        self.decoder.last()
    }

    /// Reads lines that follow those before. What came before a bad line is in `events` all the same.
    ///
    /// # Errors
    ///
    /// The first bad line, if they are not to be skipped.
    pub fn read(
        &mut self,
        lines: impl IntoIterator<Item = String>,
        events: &mut Vec<StateEvent>,
        findings: &mut Vec<Finding>,
    ) -> Result<(), BadLine> {
        let mut decoded = Decoded::default();
        let mut outcome = Ok(());
        for line in lines {
            self.line += 1;
            let place = Place { file: Arc::clone(&self.from), at: At::Given { line: self.line } };
            let too_long = line.len() > self.options.max_line;
            let text = if too_long { RawText::TooLong(line.len() as u64) } else { RawText::Bytes(Bytes::from(line)) };
            match self.decoder.line(RawLine { place, text }, self.options.max_line, &mut decoded) {
                Ok(()) => {}
                Err(bad) if self.options.on_bad_line == OnBadLine::Skip => {
                    decoded.findings.push(Finding::Skipped(bad));
                }
                Err(bad) => {
                    outcome = Err(bad);
                    break;
                }
            }
        }
        events.append(&mut decoded.events);
        findings.append(&mut decoded.findings);
        outcome
    }
}
