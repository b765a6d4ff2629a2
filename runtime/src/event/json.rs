//! Takes the text of a JSON value apart without reading what is in the parts.

use std::ops::ControlFlow;

use super::StateEvent;
use super::scan::{Cursor, EnvelopeError};
use super::text::Text;

/// A text that is no JSON value of the kind that is asked for.
pub(crate) type NotJson = EnvelopeError;

/// What is done with a member: its key as it stands between its quotes, and its value. Breaking off ends the walk.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&str, Text) -> ControlFlow<()>;

impl Text {
    /// Walks the members of an object in their order.
    pub(crate) fn members(&self, visit: Visit<'_>) -> Result<(), NotJson> {
        let mut cursor = Cursor::new(self.as_bytes());
        if self.walk(&mut cursor, visit, &|_| false)?.is_continue() && !self.is_open() {
            cursor.end()?;
        }
        Ok(())
    }

    /// Walks members up to the one that is `last`, whose value is given out open: nobody has looked for its end.
    fn walk(
        &self,
        cursor: &mut Cursor<'_>,
        visit: Visit<'_>,
        last: &dyn Fn(&str) -> bool,
    ) -> Result<ControlFlow<()>, NotJson> {
        cursor.members_at(|cursor, key| {
            let key = self.get(key).unwrap_or_default();
            if last(key) {
                let _ = visit(key, self.open_at(cursor.at()));
                return Ok(ControlFlow::Break(()));
            }
            let value = cursor.value_at()?;
            Ok(visit(key, self.sub(value)))
        })
    }

    /// The value alone, of a text that may be open.
    pub(crate) fn closed(&self) -> Result<Text, NotJson> {
        if !self.is_open() {
            return Ok(self.clone());
        }
        let value = Cursor::new(self.as_bytes()).value_at()?;
        Ok(self.sub(value))
    }

    /// The elements of an array in their order.
    pub(crate) fn elements(&self) -> Result<Vec<Text>, NotJson> {
        let mut elements = Vec::new();
        let mut cursor = Cursor::new(self.as_bytes());
        cursor.elements_at(|cursor| {
            let value = cursor.value_at()?;
            elements.push(self.sub(value));
            Ok(())
        })?;
        cursor.end()?;
        Ok(elements)
    }
}

impl StateEvent {
    /// Walks the members of the StateChanged, in one pass over the event, up to the one that is `last`.
    pub(crate) fn state_changed(&self, visit: Visit<'_>, last: &dyn Fn(&str) -> bool) -> Result<(), NotJson> {
        let text = self.text();
        let mut cursor = Cursor::knowing(text.as_bytes(), self.escapes);
        let walked = cursor.members_at(|cursor, key| {
            if text.part(key) == b"stateChanged" {
                let _ = text.walk(cursor, visit, last)?;
                return Ok(ControlFlow::Break(()));
            }
            cursor.value_at()?;
            Ok(ControlFlow::Continue(()))
        });
        walked.map(drop)
    }

    /// The text of the StateChanged.
    pub(crate) fn state_changed_text(&self) -> Result<Text, NotJson> {
        let mut found = None;
        self.text().members(&mut |key, value| {
            if key == "stateChanged" {
                found = Some(value);
            }
            ControlFlow::Continue(())
        })?;
        found.ok_or(NotJson::NoTag)
    }
}

#[cfg(test)]
mod tests {
    use bytestring::ByteString;

    use super::*;

    fn text(json: &str) -> Text {
        Text::from(ByteString::from(json))
    }

    #[test]
    fn members_keep_their_texts() {
        let json = text(r#"{"a": 1.0 ,"b":{"x":[1,{"y":"}"}]},"c\"":"é"}"#);
        let walk = |until: usize| {
            let mut members = Vec::new();
            json.members(&mut |key, value| {
                members.push((key.to_owned(), value.to_string()));
                if members.len() == until { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .unwrap();
            members
        };
        let all = [("a", "1.0"), ("b", r#"{"x":[1,{"y":"}"}]}"#), (r#"c\""#, "\"é\"")];
        let all = all.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(walk(9), all);
        assert_eq!(walk(2), all[..2]);
    }

    #[test]
    fn elements_keep_their_texts() {
        let elements = text(r#"[1, "two" ,[3],{"four":4}]"#).elements().unwrap();
        let elements: Vec<&str> = elements.iter().map(|element| &**element).collect();
        assert_eq!(elements, ["1", "\"two\"", "[3]", r#"{"four":4}"#]);
        assert!(text("[ ]").elements().unwrap().is_empty());
    }

    #[test]
    fn what_is_no_object_or_array_is_refused() {
        for wrong in ["", "1", "[1", "[1 2]", "[1]]", "[,]"] {
            assert!(text(wrong).elements().is_err(), "{wrong}");
        }
        for wrong in ["", "[]", "{\"a\"}", "{\"a\":1", "{\"a\":1}}", "{a:1}"] {
            let walked = text(wrong).members(&mut |_, _| ControlFlow::Continue(()));
            assert!(walked.is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_walk_ends_at_the_last_member_wanted_and_leaves_its_end_for_later() {
        let line = r#"{"eventId":1,"stateChanged":{"a":1,"b":[2,"]"],"c":3,"tag":"X"},"time":"2025-01-01T00:00:00Z"}"#;
        let event = StateEvent::parse(line).unwrap();
        let mut members = Vec::new();
        let mut visit = |key: &str, value: Text| {
            members.push((key.to_owned(), value));
            ControlFlow::Continue(())
        };
        event.state_changed(&mut visit, &|key| key == "b").unwrap();
        let [(a, one), (b, list)] = members.as_slice() else { panic!("{members:?}") };
        assert_eq!((&**a, &**one, one.is_open()), ("a", "1", false));
        assert_eq!((&**b, list.is_open(), &*list.closed().unwrap()), ("b", true, r#"[2,"]"]"#));
        assert_eq!(&*event.state_changed_text().unwrap(), r#"{"a":1,"b":[2,"]"],"c":3,"tag":"X"}"#);
    }

    #[test]
    fn an_open_text_is_read_as_far_as_it_is_meant() {
        let open = text(r#"x{"a":1,"b":2},"c":3}"#).open_at(1);
        let mut keys = Vec::new();
        open.members(&mut |key, _| {
            keys.push(key.to_owned());
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(keys, ["a", "b"]);
        assert_eq!(&*open.closed().unwrap(), r#"{"a":1,"b":2}"#);
    }
}
