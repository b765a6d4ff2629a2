//! Finds the envelope of a persisted line in one pass over its structure.
//!
//! The scan follows strings, brackets and the two outer levels of keys; it is what decides whether a line is whole. It does not check
//! the grammar of what lies deeper, nor that a closing bracket matches the kind of its opening one: that is the job of `hydrant log verify`.
//! Every torn or glued line fails it nevertheless: cutting an object short leaves a string or a bracket open, and gluing another object
//! behind the cut never closes it.

use std::ops::{ControlFlow, Range};

use super::structure::{BLOCK, Quotes, Structure, inside};
use super::time::Time;

/// Why a line is not a state event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The object, or a string in it, does not end where the line ends, or something else stands where it should not.
    #[error("not one whole JSON object (byte {at} of the line)")]
    Structure {
        /// Offset into the line, in bytes from 0.
        at: usize,
    },
    /// Neither `stateChanged.tag` nor, in a bare line, `tag` is there.
    #[error("no StateChanged tag")]
    NoTag,
    /// There is a `stateChanged` but no `eventId`, or a bare StateChanged where an id is required.
    #[error("no eventId")]
    NoEventId,
    /// `eventId` is not a whole number from 0 to 2^64 - 1.
    #[error("eventId is not a whole number from 0 to 2^64 - 1")]
    EventId,
    /// `time` is not an ISO 8601 time in UTC.
    #[error("time is not ISO 8601 in UTC")]
    Time,
}

/// What the outer levels of a line say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// `eventId`; none in a bare StateChanged.
    pub(crate) id: Option<u64>,
    /// Where the tag stands in the line.
    pub(crate) tag: Range<usize>,
    /// `time`, if there is one.
    pub(crate) time: Option<Time>,
    /// Whether there is a backslash anywhere in the line.
    pub(crate) escapes: bool,
    /// Where `stateChanged` lies; of a bare line nothing is known.
    pub(crate) change: ChangePlaces,
}

/// Where the object `stateChanged` begins in the line, and where the values of its first members end, so that who walks them later has not to
/// look for it again: 0 where that is not known. Six are all members but the last of the events that there are many of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChangePlaces {
    begin: usize,
    ends: [u32; 6],
}

impl ChangePlaces {
    pub(super) fn begin(self) -> Option<usize> {
        Some(self.begin).filter(|begin| *begin > 0)
    }

    /// Where the value of the member with this number, from 0, ends.
    pub(super) fn end(self, member: usize) -> Option<usize> {
        self.ends.get(member).filter(|end| **end > 0).map(|end| *end as usize)
    }

    fn set_end(&mut self, member: usize, end: usize) {
        if let Some(known) = self.ends.get_mut(member) {
            *known = u32::try_from(end).unwrap_or(0);
        }
    }
}

/// Reads the envelope of a whole line, wrapped or bare.
pub(crate) fn scan(line: &str) -> Result<Envelope, EnvelopeError> {
    let mut cursor = Cursor::new(line.as_bytes());
    let (mut id, mut wrapped_tag, mut bare_tag, mut time, mut wrapped) = (None, None, None, None, false);
    let mut change = ChangePlaces::default();
    cursor.members(|cursor, key| {
        match key {
            b"eventId" => {
                let digits = cursor.scalar()?;
                id = Some(text(line, digits).parse().map_err(|_| EnvelopeError::EventId)?);
            }
            b"stateChanged" => {
                wrapped = true;
                (wrapped_tag, change) = cursor.tag_of_object()?;
            }
            b"tag" if cursor.peek() == Some(b'"') => bare_tag = Some(cursor.string()?),
            b"time" if cursor.peek() == Some(b'"') => time = Some(cursor.string()?),
            _ => cursor.value()?,
        }
        Ok(())
    })?;
    cursor.end()?;
    let tag = if wrapped { wrapped_tag } else { bare_tag };
    let tag = tag.filter(|tag| !tag.is_empty()).ok_or(EnvelopeError::NoTag)?;
    if wrapped && id.is_none() {
        return Err(EnvelopeError::NoEventId);
    }
    // A bare StateChanged may have fields of these names that mean something else.
    let (id, time) = if wrapped { (id, time) } else { (None, None) };
    let time = time.map(|at| Time::parse(text(line, at)).ok_or(EnvelopeError::Time)).transpose()?;
    Ok(Envelope { id, tag, time, escapes: cursor.escapes, change })
}

fn text(line: &str, at: Range<usize>) -> &str {
    line.get(at).unwrap_or_default()
}

/// A place in the bytes of a line. Everything it steps over is valid UTF-8, and it stops at ASCII bytes only.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Every quote from here on.
    quotes: Quotes<'a>,
    /// Whether there is a backslash anywhere; without one, every quote begins or ends a string.
    escapes: bool,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self::within(bytes, 0, memchr::memchr(b'\\', bytes).is_some())
    }

    /// From `at` on in bytes that were scanned before: looking for a backslash once more costs as much as a short walk.
    pub(super) fn within(bytes: &'a [u8], at: usize, escapes: bool) -> Self {
        Self { bytes, at, quotes: Quotes::from(bytes, at), escapes }
    }

    /// Steps over any value and tells where it stands.
    pub(super) fn value_at(&mut self) -> Result<Range<usize>, EnvelopeError> {
        self.peek();
        let start = self.at;
        self.value()?;
        Ok(start..self.at)
    }

    /// As [`value_at`](Self::value_at), where it may be known where the value ends.
    pub(super) fn value_until(&mut self, end: Option<usize>) -> Result<Range<usize>, EnvelopeError> {
        self.peek();
        match end {
            Some(end) if end > self.at => {
                self.quotes = Quotes::from(self.bytes, end);
                Ok(std::mem::replace(&mut self.at, end)..end)
            }
            _ => self.value_at(),
        }
    }

    /// Walks the elements of the array that begins here; `element` must step over it.
    pub(super) fn elements_at(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), EnvelopeError>,
    ) -> Result<(), EnvelopeError> {
        self.expect(b'[')?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            element(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.fault()),
            }
        }
    }

    fn fault(&self) -> EnvelopeError {
        EnvelopeError::Structure { at: self.at.min(self.bytes.len()) }
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    fn expect(&mut self, wanted: u8) -> Result<(), EnvelopeError> {
        if self.peek() != Some(wanted) {
            return Err(self.fault());
        }
        self.at += 1;
        Ok(())
    }

    pub(super) fn end(&mut self) -> Result<(), EnvelopeError> {
        if self.peek().is_some() { Err(self.fault()) } else { Ok(()) }
    }

    /// Walks the members of the object that begins here; `member` must step over the value.
    fn members(
        &mut self,
        mut member: impl FnMut(&mut Self, &[u8]) -> Result<(), EnvelopeError>,
    ) -> Result<(), EnvelopeError> {
        let bytes = self.bytes;
        let walked = self.members_at(|cursor, key| {
            member(cursor, bytes.get(key).unwrap_or_default())?;
            Ok(ControlFlow::Continue(()))
        });
        walked.map(drop)
    }

    /// As `members`, with the place of each key; ends early where the walker says so, somewhere in the object.
    pub(super) fn members_at(
        &mut self,
        mut member: impl FnMut(&mut Self, Range<usize>) -> Result<ControlFlow<()>, EnvelopeError>,
    ) -> Result<ControlFlow<()>, EnvelopeError> {
        self.expect(b'{')?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(ControlFlow::Continue(()));
        }
        loop {
            let key = self.string()?;
            self.expect(b':')?;
            if member(self, key)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(ControlFlow::Continue(()));
                }
                _ => return Err(self.fault()),
            }
        }
    }

    /// Steps over the object that begins here and finds its `tag`, and where it and its values lie.
    fn tag_of_object(&mut self) -> Result<(Option<Range<usize>>, ChangePlaces), EnvelopeError> {
        self.peek();
        let (mut tag, mut places, mut member) = (None, ChangePlaces { begin: self.at, ends: [0; 6] }, 0);
        self.members(|cursor, key| {
            if key == b"tag" && cursor.peek() == Some(b'"') {
                tag = Some(cursor.string()?);
            } else {
                cursor.value()?;
            }
            places.set_end(member, cursor.at);
            member += 1;
            Ok(())
        })?;
        Ok((tag, places))
    }

    /// Steps over any value.
    fn value(&mut self) -> Result<(), EnvelopeError> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{' | b'[') if self.escapes => self.nested(),
            Some(b'{' | b'[') => self.nested_without_escapes(),
            _ => self.scalar().map(drop),
        }
    }

    /// Steps over an object or array by counting brackets outside strings.
    fn nested(&mut self) -> Result<(), EnvelopeError> {
        let mut depth = 0_usize;
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.string()?;
                    continue;
                }
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') => depth -= 1,
                Some(byte) if is_between_strings(*byte) => {}
                _ => return Err(self.fault()),
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// As [`nested`](Self::nested), a block at a time.
    fn nested_without_escapes(&mut self) -> Result<(), EnvelopeError> {
        let (mut depth, mut in_string) = (0, 0);
        while let Some(Structure { quotes, opens, closes }) = Structure::at(self.bytes, self.at) {
            let strings = inside(quotes) ^ in_string;
            in_string = if strings >> (BLOCK - 1) == 1 { u64::MAX } else { 0 };
            if let Some(end) = end_of_value(opens & !strings, closes & !strings, &mut depth) {
                self.at += end;
                self.quotes = Quotes::from(self.bytes, self.at);
                return Ok(());
            }
            self.at += BLOCK;
        }
        Err(self.fault())
    }

    /// Steps over a number, `true`, `false` or `null`.
    fn scalar(&mut self) -> Result<Range<usize>, EnvelopeError> {
        self.peek();
        let start = self.at;
        while matches!(self.bytes.get(self.at), Some(b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'-' | b'.')) {
            self.at += 1;
        }
        if self.at == start { Err(self.fault()) } else { Ok(start..self.at) }
    }

    /// Steps over a string and gives what lies between its quotes, escapes as they stand.
    fn string(&mut self) -> Result<Range<usize>, EnvelopeError> {
        if self.peek() != Some(b'"') || self.quotes.next() != Some(self.at) {
            return Err(self.fault());
        }
        let start = self.at + 1;
        while let Some(quote) = self.quotes.next() {
            if !self.is_escaped(start, quote) {
                self.at = quote + 1;
                return Ok(start..quote);
            }
        }
        Err(EnvelopeError::Structure { at: self.bytes.len() })
    }

    /// Whether an odd number of backslashes stands before the quote, in the string that begins at `start`.
    fn is_escaped(&self, start: usize, quote: usize) -> bool {
        if !self.escapes {
            return false;
        }
        let before = self.bytes.get(start..quote).unwrap_or_default();
        before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
    }
}

/// Follows a block's brackets; where the value has ended, counted from the block's start. The first bracket of a value opens it. Most blocks have
/// few, and counting them first, to pass over those that cannot end the value, costs more than it saves.
fn end_of_value(opens: u64, closes: u64, depth: &mut u32) -> Option<usize> {
    let mut brackets = opens | closes;
    while brackets != 0 {
        let bracket = brackets & brackets.wrapping_neg();
        brackets ^= bracket;
        *depth = if opens & bracket != 0 { *depth + 1 } else { depth.saturating_sub(1) };
        if *depth == 0 {
            return Some(bracket.trailing_zeros() as usize + 1);
        }
    }
    None
}

/// What may stand between strings and brackets inside a value: separators, numbers, `true`, `false`, `null`, white space.
fn is_between_strings(byte: u8) -> bool {
    b",:0123456789-+. \t\reEtrufalsn".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag_of(line: &str) -> Result<(Option<u64>, &str), EnvelopeError> {
        scan(line).map(|envelope| (envelope.id, text(line, envelope.tag)))
    }

    const WHOLE: &str = r#"{"eventId":12,"stateChanged":{"headId":"a\"{","snapshot":{"tag":"Inner","n":[1,{"x":null}]},"tag":"SnapshotConfirmed","utxo":{}},"time":"2025-01-02T03:04:05.5Z"}"#;

    #[test]
    fn finds_id_tag_and_time_at_their_level_only() {
        let envelope = scan(WHOLE).unwrap();
        assert_eq!(tag_of(WHOLE), Ok((Some(12), "SnapshotConfirmed")));
        assert_eq!(envelope.time, Time::parse("2025-01-02T03:04:05.5Z"));
    }

    #[test]
    fn keys_may_come_in_any_order_with_white_space() {
        let line = " {\t\"time\" : \"2025-01-02T03:04:05Z\" , \"extra\":{\"tag\":\"No\"}, \"stateChanged\" : { \"tag\" : \"X\" } , \"eventId\" : 3 } \r";
        assert_eq!(tag_of(line), Ok((Some(3), "X")));
    }

    #[test]
    fn a_bare_state_changed_has_no_id() {
        assert_eq!(tag_of(r#"{"chainState":{"slot":1},"tag":"HeadAborted"}"#), Ok((None, "HeadAborted")));
    }

    #[test]
    fn every_line_cut_short_fails() {
        for end in (0..WHOLE.len()).filter(|end| WHOLE.is_char_boundary(*end)) {
            assert!(matches!(scan(&WHOLE[..end]), Err(EnvelopeError::Structure { .. })), "cut at {end}");
        }
    }

    #[test]
    fn every_line_glued_behind_a_cut_one_fails() {
        for end in 1..=WHOLE.len() {
            let glued = format!("{}{WHOLE}", &WHOLE[..end]);
            assert!(scan(&glued).is_err(), "glued at {end}");
        }
    }

    #[test]
    fn names_what_is_missing() {
        for (line, error) in [
            (r#"{"eventId":1,"stateChanged":{"x":1}}"#, EnvelopeError::NoTag),
            (r#"{"eventId":1,"stateChanged":{"tag":""}}"#, EnvelopeError::NoTag),
            (r#"{"x":1}"#, EnvelopeError::NoTag),
            (r#"{"stateChanged":{"tag":"X"}}"#, EnvelopeError::NoEventId),
            (r#"{"eventId":-1,"stateChanged":{"tag":"X"}}"#, EnvelopeError::EventId),
            (r#"{"eventId":1.5,"stateChanged":{"tag":"X"}}"#, EnvelopeError::EventId),
            (r#"{"eventId":18446744073709551616,"stateChanged":{"tag":"X"}}"#, EnvelopeError::EventId),
            (r#"{"eventId":1,"stateChanged":{"tag":"X"},"time":"yesterday"}"#, EnvelopeError::Time),
        ] {
            assert_eq!(scan(line), Err(error), "{line}");
        }
    }

    #[test]
    fn a_line_with_a_backslash_is_read_as_one_without() {
        let plain = WHOLE.replace("a\\\"{", "a{");
        let deep =
            format!(r#"{{"eventId":1,"stateChanged":{{"a":{},"tag":"X"}}}}"#, "[".repeat(200) + &"]".repeat(200));
        for line in [plain.as_str(), &deep, &deep.replace("\"X\"", "\"X{[\"")] {
            let escaped = line.replacen("\"tag\"", r#""n":"\\","tag""#, 1);
            assert_eq!(tag_of(&escaped).map(|found| found.0), tag_of(line).map(|found| found.0), "{line}");
            for end in 0..line.len() {
                assert!(scan(&line[..end]).is_err(), "cut at {end}");
                assert!(scan(&format!("{}{line}", &line[..end.max(1)])).is_err(), "glued at {end}");
            }
        }
    }

    #[test]
    fn the_largest_id_is_read() {
        let line = r#"{"eventId":18446744073709551615,"stateChanged":{"tag":"X"}}"#;
        assert_eq!(tag_of(line), Ok((Some(u64::MAX), "X")));
    }
}
