//! Takes apart a line in which a whole event stands behind a piece of a torn one.
//!
//! A node that restarts after a torn write appends onto the torn line. What it appended is whole, and ends where the line ends.

use std::ops::Range;

use bytes::Bytes;
use serde::de::IgnoredAny;

use crate::event::scan;

/// A run of bytes of a glued line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Torn(Range<usize>),
    Whole(Range<usize>),
}

/// How a wrapped event begins: hydra-node writes keys in alphabetical order.
const WRAPPED_START: &[u8] = b"{\"eventId\":";

/// Places in one line that are tried as the start of a bare event, which has no marker of its own. A bound on work, as each try reads
/// to the end of the line.
const MAX_BARE_TRIES: usize = 256;

/// Whole events in one line; more cannot come of crashes, and each costs a search.
const MAX_WHOLE: usize = 16;

/// Whether the bytes are one event, grammar included.
pub(super) fn is_whole_event(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| scan(text).is_ok() && serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// The pieces of a line in order, if it ends in a whole event.
pub(super) fn split(line: &Bytes) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut end = line.len();
    while end > 0 {
        let bytes = line.get(..end)?;
        let start = match pieces.len() {
            // Inside a wrapped event lies what looks like a bare one, so those are sought only where there is no wrapper at all.
            0 if memchr::memmem::find(bytes, WRAPPED_START).is_none() => start_of_bare_event(bytes),
            0 => start_of_last_event(bytes),
            // An object inside a torn bare event can look like one itself, so before the last event only a whole rest counts.
            1..MAX_WHOLE => start_of_last_event(bytes).or_else(|| is_whole_event(bytes).then_some(0)),
            _ => None,
        };
        let Some(start) = start else {
            pieces.push(Piece::Torn(0..end));
            break;
        };
        pieces.push(Piece::Whole(start..end));
        end = start;
    }
    pieces.reverse();
    matches!(pieces.last(), Some(Piece::Whole(_))).then_some(pieces)
}

fn start_of_last_event(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::rfind(bytes, WRAPPED_START).filter(|start| bytes.get(*start..).is_some_and(is_whole_event))
}

fn start_of_bare_event(bytes: &[u8]) -> Option<usize> {
    let mut starts = memchr::memmem::find_iter(bytes, b"{\"").take(MAX_BARE_TRIES);
    starts.find(|start| bytes.get(*start..).is_some_and(is_whole_event))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = r#"{"eventId":4,"stateChanged":{"headId":"ab","tag":"HeadOpened","u":{"x":[1]}}}"#;
    const SECOND: &str = r#"{"eventId":5,"stateChanged":{"headId":"ab","tag":"HeadClosed","u":{"x":[1]}}}"#;
    const BARE: &str = r#"{"chainState":{"tag":"ChainPoint","slot":1},"tag":"HeadAborted"}"#;

    fn pieces(line: &str) -> Option<Vec<Piece>> {
        split(&Bytes::copy_from_slice(line.as_bytes()))
    }

    #[test]
    fn an_event_behind_any_torn_piece_is_found() {
        for cut in 1..FIRST.len() {
            let found = pieces(&format!("{}{SECOND}", &FIRST[..cut])).unwrap();
            assert_eq!(found, [Piece::Torn(0..cut), Piece::Whole(cut..cut + SECOND.len())], "cut at {cut}");
        }
    }

    #[test]
    fn an_event_behind_nul_bytes_is_found() {
        let found = pieces(&format!("\0\0\0{SECOND}")).unwrap();
        assert_eq!(found, [Piece::Torn(0..3), Piece::Whole(3..3 + SECOND.len())]);
    }

    #[test]
    fn two_whole_events_without_a_newline_between_are_both_found() {
        let found = pieces(&format!("{FIRST}{SECOND}")).unwrap();
        assert_eq!(found, [Piece::Whole(0..FIRST.len()), Piece::Whole(FIRST.len()..FIRST.len() + SECOND.len())]);
    }

    #[test]
    fn a_bare_event_behind_a_torn_bare_one_is_found() {
        for cut in 1..BARE.len() {
            let found = pieces(&format!("{}{BARE}", &BARE[..cut])).unwrap();
            assert_eq!(found, [Piece::Torn(0..cut), Piece::Whole(cut..cut + BARE.len())], "cut at {cut}");
        }
    }

    #[test]
    fn a_line_that_does_not_end_in_an_event_has_none() {
        assert_eq!(pieces("nonsense"), None);
        assert_eq!(pieces(&SECOND[..SECOND.len() - 1]), None);
        assert_eq!(pieces(&format!("{SECOND}x")), None);
    }
}
