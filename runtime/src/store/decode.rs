//! Turns lines into events: gives legacy lines their ids, drops repetitions, takes glued lines apart.

use bytes::Bytes;
use bytestring::ByteString;
use serde::de::IgnoredAny;

use super::glued::{self, Piece};
use super::line_reader::{RawLine, RawText};
use super::read::{LineForm, ReadOptions};
use super::report::{BadLine, Finding, LineFault, Place, TailKind};
use crate::event::{EnvelopeError, Position, StateEvent, Text, scan};
use crate::stream::{Anchors, EventHash};

/// What is known of a log up to the line that is read next.
#[derive(Clone, Debug, Default)]
pub(super) struct Decoder {
    pub(super) anchors: Anchors,
    /// The id that was last seen or used up; the next legacy line gets the one after it.
    last_id: Option<u64>,
    /// Lines that repeated an event just read.
    pub(super) duplicates: u64,
    /// Lines without an id.
    pub(super) legacy: u64,
    /// Whether each line's whole grammar is checked.
    check_grammar: bool,
    form: LineForm,
}

/// What a line came to.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    pub(super) events: Vec<StateEvent>,
    pub(super) findings: Vec<Finding>,
}

/// What a text that should be one event came to.
pub(super) enum One {
    Event(StateEvent),
    Duplicate,
}

impl Decoder {
    pub(super) fn new(options: &ReadOptions) -> Self {
        Self { check_grammar: options.check_grammar, form: options.form, ..Self::default() }
    }

    /// The last event read.
    pub(super) fn last(&self) -> Option<(Position, EventHash)> {
        self.anchors.last()
    }

    /// Reads one line. On an error nothing of it was taken, though a line without an id has used up its id.
    pub(super) fn line(&mut self, line: RawLine, limit: usize, into: &mut Decoded) -> Result<(), BadLine> {
        let RawLine { place, text } = line;
        let (outcome, bytes) = match text {
            RawText::Text(text) => match self.one(&text) {
                Ok(One::Event(event)) => {
                    into.events.push(event);
                    return Ok(());
                }
                outcome => (outcome, text.bytes()),
            },
            RawText::Bytes(bytes) => (utf8(bytes.clone()).and_then(|text| self.one(&text)), bytes),
            RawText::TooLong(length) => {
                self.use_up_id();
                return Err(BadLine { place, fault: LineFault::TooLong { length, limit } });
            }
        };
        match outcome {
            Ok(One::Event(event)) => into.events.push(event),
            Ok(One::Duplicate) => self.repeated(place, into),
            Err(_) if bytes.trim_ascii().is_empty() => {}
            Err(fault @ (LineFault::Utf8 { .. } | LineFault::Envelope(EnvelopeError::Structure { .. }))) => {
                if !self.glued(&place, &bytes, into) {
                    self.pass_over(&bytes);
                    return Err(BadLine { place, fault });
                }
            }
            Err(fault) => {
                self.pass_over(&bytes);
                return Err(BadLine { place, fault });
            }
        }
        Ok(())
    }

    /// Reads a row that should be the event of this id.
    pub(super) fn row(&mut self, id: i64, text: &Text) -> Result<One, LineFault> {
        let event = scan(text)?.id.ok_or(EnvelopeError::NoEventId)?;
        if i64::try_from(event) != Ok(id) {
            return Err(LineFault::OtherId { row: id, event });
        }
        self.one(text)
    }

    /// Reads a text that should be one event above all before it.
    fn one(&mut self, text: &Text) -> Result<One, LineFault> {
        if self.form == LineForm::ServerOutput {
            let output = StateEvent::of_output(text.clone()).map_err(LineFault::Grammar)?;
            return self.take(output.ok_or(EnvelopeError::NoEventId)?, false);
        }
        let envelope = scan(text)?;
        if self.check_grammar {
            serde_json::from_str::<IgnoredAny>(text).map_err(|error| LineFault::Grammar(error.to_string()))?;
        }
        let is_legacy = envelope.id.is_none();
        let event = match envelope.id {
            Some(id) => StateEvent::from_envelope(id, envelope, text.clone()),
            None => StateEvent::wrap_legacy(self.next_id().ok_or(LineFault::IdsExhausted)?, text)?,
        };
        self.take(event, is_legacy)
    }

    /// Takes an event if it comes after those before.
    fn take(&mut self, event: StateEvent, is_legacy: bool) -> Result<One, LineFault> {
        let (position, hash) = (event.position(), event.hash());
        if let Some((last, _)) = self.anchors.last().filter(|(last, _)| position <= *last) {
            if self.anchors.contains(&event) {
                return Ok(One::Duplicate);
            }
            let hashes = Box::new((self.anchors.get(position), hash));
            return Err(LineFault::NotAbove { position, last, hashes });
        }
        self.legacy += u64::from(is_legacy);
        self.anchors.push(&event);
        self.last_id = Some(position.id);
        Ok(One::Event(event))
    }

    fn repeated(&mut self, place: Place, into: &mut Decoded) {
        self.duplicates += 1;
        match into.findings.last_mut() {
            Some(Finding::Repeated { lines, .. }) => *lines += 1,
            _ => into.findings.push(Finding::Repeated { place, lines: 1 }),
        }
    }

    /// Takes what is whole in a glued line; false if nothing is.
    fn glued(&mut self, place: &Place, line: &Bytes, into: &mut Decoded) -> bool {
        let Some(pieces) = glued::split(line) else { return false };
        let final_id = pieces.last().and_then(|piece| id_of(line, piece));
        let mut pieces = pieces.iter().peekable();
        while let Some(piece) = pieces.next() {
            let (Piece::Torn(range) | Piece::Whole(range)) = piece;
            let bytes = line.slice(range.clone());
            // A whole event whose newline was lost counts only if the node went on after it; if it used the id again, the
            // node had not taken it for written.
            let superseded = pieces.peek().is_some() && id_of(line, piece).is_some_and(|id| Some(id) >= final_id);
            let taken = match piece {
                Piece::Whole(_) if !superseded => utf8(bytes.clone()).and_then(|text| self.one(&text)).ok(),
                _ => None,
            };
            match taken {
                Some(One::Event(event)) => into.events.push(event),
                Some(One::Duplicate) => self.repeated(place.clone(), into),
                None => {
                    let kind = TailKind::of(&bytes);
                    into.findings.push(Finding::Glued { place: place.clone(), bytes: bytes.len(), kind });
                }
            }
        }
        true
    }

    fn next_id(&self) -> Option<u64> {
        self.last_id.map_or(Some(0), |last| last.checked_add(1))
    }

    fn use_up_id(&mut self) {
        self.last_id = self.next_id().or(self.last_id);
    }

    /// A line that is skipped still uses up its id, so that the lines after it get the ids that they would have had.
    fn pass_over(&mut self, text: &[u8]) {
        match id_at_start(text) {
            Some(id) => self.last_id = self.last_id.max(Some(id)),
            None if text.starts_with(b"{\"eventId\"") => {}
            None => self.use_up_id(),
        }
    }
}

pub(super) fn utf8(bytes: Bytes) -> Result<Text, LineFault> {
    let text = ByteString::try_from(bytes).map_err(|error| LineFault::Utf8 { at: error.valid_up_to() })?;
    Ok(text.into())
}

/// The id that a piece carries.
fn id_of(line: &Bytes, piece: &Piece) -> Option<u64> {
    let (Piece::Torn(range) | Piece::Whole(range)) = piece;
    scan(std::str::from_utf8(line.get(range.clone())?).ok()?).ok()?.id
}

/// The id of a line that begins as hydra-node's do.
fn id_at_start(text: &[u8]) -> Option<u64> {
    let rest = text.strip_prefix(b"{\"eventId\":")?;
    let digits = rest.get(..rest.iter().take_while(|byte| byte.is_ascii_digit()).count())?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::At;

    fn decode(decoder: &mut Decoder, lines: &[&str]) -> Vec<Result<u64, String>> {
        let mut results = Vec::new();
        for line in lines {
            let place = Place { file: Path::new("state").into(), at: At::Line { line: 1, byte: 0 } };
            let raw = RawLine { place, text: RawText::Bytes(Bytes::copy_from_slice(line.as_bytes())) };
            let mut decoded = Decoded::default();
            let outcome = decoder.line(raw, 1024, &mut decoded);
            results.extend(decoded.events.iter().map(|event| Ok(event.id())));
            let faults = decoded.findings.iter().filter(|finding| finding.is_fault());
            results.extend(faults.map(|finding| Err(finding.to_string())));
            results.extend(outcome.err().map(|bad| Err(bad.fault.to_string())));
        }
        results
    }

    fn wrapped(id: u64) -> String {
        format!(r#"{{"eventId":{id},"stateChanged":{{"tag":"X"}}}}"#)
    }

    const BARE: &str = r#"{"tag":"X"}"#;

    #[test]
    fn legacy_lines_count_on_from_the_last_id_seen() {
        let mut decoder = Decoder::default();
        let ids = decode(&mut decoder, &[BARE, BARE, &wrapped(7), BARE, "", "  ", BARE]);
        assert_eq!(ids, [Ok(0), Ok(1), Ok(7), Ok(8), Ok(9)]);
        assert_eq!(decoder.legacy, 4);
    }

    #[test]
    fn a_bad_legacy_line_uses_up_its_id() {
        let ids = decode(&mut Decoder::default(), &[BARE, r#"{"tag":"#, BARE]);
        assert!(matches!(ids.as_slice(), [Ok(0), Err(_), Ok(2)]), "{ids:?}");
    }

    #[test]
    fn a_bad_wrapped_line_uses_up_the_id_it_names() {
        let ids = decode(&mut Decoder::default(), &[&wrapped(3), r#"{"eventId":4,"stateChanged":"#, BARE]);
        assert!(matches!(ids.as_slice(), [Ok(3), Err(_), Ok(5)]), "{ids:?}");
    }

    #[test]
    fn a_repetition_is_dropped_and_counted_and_a_contradiction_is_bad() {
        let mut decoder = Decoder::default();
        let other = r#"{"eventId":1,"stateChanged":{"tag":"Y"}}"#;
        let found = decode(&mut decoder, &[&wrapped(0), &wrapped(1), &wrapped(0), &wrapped(1), other]);
        assert_eq!(decoder.duplicates, 2);
        assert!(
            matches!(found.as_slice(), [Ok(0), Ok(1), Err(text)] if text.contains("does not come after")),
            "{found:?}"
        );
    }

    #[test]
    fn a_whole_event_that_lost_its_newline_counts_unless_its_id_was_used_again() {
        let went_on = format!("{}{}", wrapped(4), wrapped(5));
        assert_eq!(decode(&mut Decoder::default(), &[&went_on]), [Ok(4), Ok(5)]);
        let again = format!(r#"{}{{"eventId":4,"stateChanged":{{"tag":"Y"}}}}"#, wrapped(4));
        let found = decode(&mut Decoder::default(), &[&again]);
        assert!(matches!(found.as_slice(), [Ok(4), Err(_)]), "{found:?}");
    }

    #[test]
    fn no_id_comes_after_the_largest() {
        let found = decode(&mut Decoder::default(), &[&wrapped(u64::MAX), BARE]);
        assert!(matches!(found.as_slice(), [Ok(u64::MAX), Err(text)] if text.contains("no id is left")), "{found:?}");
    }
}
