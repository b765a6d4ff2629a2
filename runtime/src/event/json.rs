//! Takes the text of a JSON value apart without reading what is in the parts.

use std::ops::{ControlFlow, Range};

use super::StateEvent;
use super::scan::{ChangePlaces, Cursor, EnvelopeError};
use super::text::Text;

/// A text that is no JSON value of the kind that is asked for.
pub(crate) type NotJson = EnvelopeError;

/// What is done with a member: its key as it stands between its quotes, and where its value stands in the text that is walked. Breaking off
/// ends the walk.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&str, Range<usize>) -> ControlFlow<()>;

impl Text {
    /// Walks the members of an object in their order.
    pub(crate) fn members(&self, visit: Visit<'_>) -> Result<(), NotJson> {
        let mut cursor = Cursor::new(self.as_bytes());
        if self.walk(&mut cursor, ChangePlaces::default(), visit)?.is_continue() {
            cursor.end()?;
        }
        Ok(())
    }

    fn walk(
        &self,
        cursor: &mut Cursor<'_>,
        places: ChangePlaces,
        visit: Visit<'_>,
    ) -> Result<ControlFlow<()>, NotJson> {
        let mut member = 0;
        cursor.members_at(|cursor, key| {
            let value = cursor.value_until(places.end(member))?;
            member += 1;
            Ok(visit(self.get(key).unwrap_or_default(), value))
        })
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
    /// Walks the members of the StateChanged; places are those in the event's text. Where it begins and what ends where was found when the
    /// event was read. An output of the API has none.
    pub(crate) fn state_changed(&self, visit: Visit<'_>) -> Result<(), NotJson> {
        let Some(begin) = self.change.begin() else { return Ok(()) };
        let mut cursor = Cursor::within(self.text().as_bytes(), begin, self.escapes);
        self.text().walk(&mut cursor, self.change, visit).map(drop)
    }

    /// The text of the StateChanged.
    pub(crate) fn state_changed_text(&self) -> Result<Text, NotJson> {
        let begin = self.change.begin().ok_or(NotJson::NoTag)?;
        let change = Cursor::within(self.text().as_bytes(), begin, self.escapes).value_at()?;
        Ok(self.text().sub(change))
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
                members.push((key.to_owned(), json.sub(value).to_string()));
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
    fn what_was_found_when_an_event_was_read_is_what_a_walk_finds() {
        for members in [
            r#""a":1,"b":[2,"]"],"tag":"X""#,
            r#""tag":"X" , "a" : {"b":"}"} , "c":"d""#,
            r#""a":"\"","b":1,"c":2,"d":[],"e":{},"f":"","g":[7,"]"],"tag":"X","h":8"#,
        ] {
            let line = format!(r#"{{"eventId":1,"stateChanged":{{{members}}},"time":"2025-01-01T00:00:00Z"}}"#);
            let event = StateEvent::parse(line).unwrap();
            let (mut known, mut walked) = (Vec::new(), Vec::new());
            let visit = |key: &str, value: Range<usize>| {
                known.push((key.to_owned(), event.text().sub(value)));
                ControlFlow::Continue(())
            };
            event.state_changed(&mut { visit }).unwrap();
            let change = event.state_changed_text().unwrap();
            assert_eq!(&*change, format!("{{{members}}}"));
            change
                .members(&mut |key, value| {
                    walked.push((key.to_owned(), change.sub(value)));
                    ControlFlow::Continue(())
                })
                .unwrap();
            assert_eq!(known, walked);
        }
    }

    #[test]
    fn of_two_state_changes_in_a_line_the_last_one_counts() {
        let line =
            r#"{"eventId":1,"stateChanged":{"a":[1,2],"tag":"X"}, "stateChanged" : {"tag":"Y","b":"}"},"time":null}"#;
        let event = StateEvent::parse(line).unwrap();
        let mut keys = Vec::new();
        let visit = |key: &str, value: Range<usize>| {
            keys.push(format!("{key}={}", &*event.text().sub(value)));
            ControlFlow::Continue(())
        };
        event.state_changed(&mut { visit }).unwrap();
        assert_eq!((event.tag(), keys.join(" ").as_str()), ("Y", r#"tag="Y" b="}""#));
        assert_eq!(&*event.state_changed_text().unwrap(), r#"{"tag":"Y","b":"}"}"#);
    }
}
