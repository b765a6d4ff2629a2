//! Texts that lie end to end in the page they were read in.

use std::fmt;
use std::ops::{Deref, Range};

use bytes::Bytes;
use bytestring::ByteString;

/// A text in a page of texts. Cloning shares the page.
///
/// Events read together lie end to end, so that a batch of them is one string already: `wasmtime` lowers a string from one place.
#[derive(Clone)]
pub struct Text {
    page: ByteString,
    range: Range<usize>,
}

impl Text {
    /// The text in a range of a page; none if the range does not fall on characters of the page.
    pub(crate) fn of(page: &ByteString, range: Range<usize>) -> Option<Self> {
        page.get(range.clone())?;
        Some(Self { page: page.clone(), range })
    }

    /// A part of this text.
    pub(crate) fn sub(&self, range: Range<usize>) -> Self {
        let range = self.range.start.saturating_add(range.start)..self.range.start.saturating_add(range.end);
        debug_assert!(self.page.get(range.clone()).is_some());
        Self { page: self.page.clone(), range }
    }

    /// This text in a page of its own: what is kept for long must not hold the page of its neighbours.
    pub(crate) fn apart(&self) -> Self {
        if self.range == (0..self.page.len()) {
            return self.clone();
        }
        Self::from(ByteString::from(&**self))
    }

    /// Length in bytes, without a look at the page.
    pub(crate) fn len(&self) -> usize {
        self.range.len()
    }

    /// The bytes of a part of this text, without a look at the characters around it: that costs a cache miss for each event of a batch.
    pub(crate) fn part(&self, range: Range<usize>) -> &[u8] {
        let (from, to) = (self.range.start.saturating_add(range.start), self.range.start.saturating_add(range.end));
        self.page.as_bytes().get(from..to).unwrap_or_default()
    }

    /// This text's bytes.
    pub(crate) fn bytes(&self) -> Bytes {
        self.page.as_bytes().slice(self.range.clone())
    }

    /// The text that all of these are together, if they lie end to end in one page.
    pub(crate) fn joined<'a>(texts: impl IntoIterator<Item = &'a Self>) -> Option<&'a str> {
        let mut texts = texts.into_iter();
        let first = texts.next()?;
        let mut end = first.range.end;
        for text in texts {
            if text.range.start != end || !std::ptr::eq(text.page.as_ptr(), first.page.as_ptr()) {
                return None;
            }
            end = text.range.end;
        }
        first.page.get(first.range.start..end)
    }
}

impl From<ByteString> for Text {
    fn from(page: ByteString) -> Self {
        let range = 0..page.len();
        Self { page, range }
    }
}

impl From<String> for Text {
    fn from(page: String) -> Self {
        Self::from(ByteString::from(page))
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.page.get(self.range.clone()).unwrap_or_default()
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text {}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_one_page_are_one_text() {
        let page = ByteString::from("onetwothree");
        let [one, two, three] = [0..3, 3..6, 6..11].map(|range| Text::of(&page, range).unwrap());
        assert_eq!(Text::joined([&one, &two, &three]), Some("onetwothree"));
        assert_eq!(Text::joined([&two, &three]), Some("twothree"));
        assert_eq!(Text::joined([&one, &three]), None);
        assert_eq!(Text::joined([&two, &one]), None);
        assert_eq!(Text::joined([]), None);
    }

    #[test]
    fn texts_of_two_pages_are_not_joined() {
        let (first, second) = (ByteString::from("onetwo"), ByteString::from("onetwo"));
        let texts = [Text::of(&first, 0..3).unwrap(), Text::of(&second, 3..6).unwrap()];
        assert_eq!(Text::joined(&texts), None);
    }

    #[test]
    fn a_text_apart_has_a_page_of_its_own_and_is_copied_once() {
        let page = ByteString::from("onetwo");
        let apart = Text::of(&page, 3..6).unwrap().apart();
        assert_eq!((&*apart, apart.page.len()), ("two", 3));
        assert_eq!(apart.apart().page.as_ptr(), apart.page.as_ptr());
    }

    #[test]
    fn a_range_off_the_characters_is_no_text() {
        let page = ByteString::from("é");
        assert!(Text::of(&page, 0..1).is_none());
        assert!(Text::of(&page, 0..3).is_none());
    }
}
