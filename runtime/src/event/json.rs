//! Takes the text of a JSON value apart without reading what is in the parts.

use super::scan::{Cursor, EnvelopeError};
use super::StateEvent;
use super::text::Text;

/// A text that is no JSON value of the kind that is asked for.
pub(crate) type NotJson = EnvelopeError;

impl Text {
    /// The members of an object in their order: each key as it stands between its quotes, and its value.
    pub(crate) fn members(&self) -> Result<Vec<(Text, Text)>, NotJson> {
        let mut members = Vec::with_capacity(8);
        let mut cursor = Cursor::new(self.as_bytes());
        cursor.members_at(|cursor, key| {
            let value = cursor.value_at()?;
            members.push((self.sub(key), self.sub(value)));
            Ok(())
        })?;
        cursor.end()?;
        Ok(members)
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
    /// The StateChanged and its members, found in one pass over the event.
    pub(crate) fn state_changed(&self) -> Result<(Text, Vec<(Text, Text)>), NotJson> {
        let text = self.text();
        let mut members = Vec::with_capacity(8);
        let mut place = 0..0;
        let mut cursor = Cursor::new(text.as_bytes());
        cursor.members_at(|cursor, key| {
            if text.part(key) != b"stateChanged" {
                return cursor.value_at().map(drop);
            }
            let start = cursor.at();
            cursor.members_at(|cursor, key| {
                let value = cursor.value_at()?;
                members.push((text.sub(key), text.sub(value)));
                Ok(())
            })?;
            place = start..cursor.at();
            Ok(())
        })?;
        Ok((text.sub(place), members))
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
        let members = text(r#"{"a": 1.0 ,"b":{"x":[1,{"y":"}"}]},"c\"":"é"}"#).members().unwrap();
        let members: Vec<(&str, &str)> = members.iter().map(|(key, value)| (&**key, &**value)).collect();
        assert_eq!(members, [("a", "1.0"), ("b", r#"{"x":[1,{"y":"}"}]}"#), (r#"c\""#, "\"é\"")]);
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
            assert!(text(wrong).members().is_err(), "{wrong}");
        }
    }
}
