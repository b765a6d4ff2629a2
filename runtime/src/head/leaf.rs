//! Numbers, strings, lists and maps of hydra-node's JSON.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::typed::{Json, JsonWriter, TypeError, Typed};
use crate::event::{Text, Time};
use crate::json_text;

/// Any value, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw(Text);

impl Typed for Raw {
    fn read(text: &Text) -> Result<Self, TypeError> {
        Ok(Self(text.clone()))
    }

    fn write(&self, out: &mut JsonWriter) -> Result<(), TypeError> {
        out.raw(&self.0);
        Ok(())
    }
}

/// A leaf, kept as it stands. Reading looks at no more than the kind of value; the rest of the condition is checked when values are written
/// through their types.
macro_rules! leaf {
    ($(#[$doc:meta])* $name:ident: $expected:literal, $begins:expr, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The JSON.
            pub fn as_json(&self) -> &str {
                &self.0
            }
        }

        impl Typed for $name {
            fn read(text: &Text) -> Result<Self, TypeError> {
                let begins: fn(&str) -> bool = $begins;
                if begins(text) { Ok(Self(text.to_string())) } else { Err(TypeError::new($expected, text)) }
            }

            fn write(&self, out: &mut JsonWriter) -> Result<(), TypeError> {
                let check: fn(&str) -> bool = $check;
                if out.is_through_types() && !check(&self.0) {
                    return Err(TypeError::new($expected, &self.0));
                }
                out.raw(&self.0);
                Ok(())
            }
        }
    };
}

leaf!(
    /// A whole number of any size: amounts of tokens come close to 2^63, lovelace goes beyond 2^53.
    Integer: "a whole number", is_integer, is_integer
);
leaf!(
    /// A number; durations may have a fraction and be negative.
    Number: "a number", is_number, |text| serde_json::from_str::<serde_json::Number>(text).is_ok()
);
leaf!(
    /// `true` or `false`.
    Bool: "true or false", is_bool, is_bool
);
leaf!(
    /// A string.
    Str: "a string", is_string, |text| serde_json::from_str::<String>(text).is_ok()
);
leaf!(
    /// Bytes in hexadecimal digits.
    Hex: "a string of hexadecimal digits", is_string, |text| inner(text).is_some_and(is_hex)
);
leaf!(
    /// A time in ISO 8601 and UTC, with up to twelve digits of a second's fraction.
    UtcTime: "a time in UTC", is_string, |text| inner(text).is_some_and(|time| Time::parse(time).is_some())
);
leaf!(
    /// A transaction's id: hexadecimal digits, or a whole number in the ledger SimpleTx.
    TxId: "a transaction id", |text| is_string(text) || is_integer(text), |text| is_integer(text) || inner(text).is_some_and(is_hex)
);

fn is_string(text: &str) -> bool {
    text.starts_with('"')
}

fn is_number(text: &str) -> bool {
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

fn is_bool(text: &str) -> bool {
    matches!(text, "true" | "false")
}

fn inner(json: &str) -> Option<&str> {
    json.strip_prefix('"')?.strip_suffix('"')
}

fn is_hex(text: &str) -> bool {
    text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let leading_zero = digits.len() > 1 && digits.starts_with('0');
    !digits.is_empty() && !leading_zero && digits.bytes().all(|byte| byte.is_ascii_digit())
}

impl Integer {
    /// As a number of the host, if it fits.
    pub fn get(&self) -> Option<i128> {
        self.0.parse().ok()
    }
}

impl From<i128> for Integer {
    fn from(number: i128) -> Self {
        Self(number.to_string())
    }
}

impl Bool {
    /// As a value of the host.
    pub fn get(&self) -> bool {
        self.0 == "true"
    }
}

impl From<bool> for Bool {
    fn from(value: bool) -> Self {
        Self(value.to_string())
    }
}

impl Str {
    /// The string's content.
    pub fn content(&self) -> String {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl From<&str> for Str {
    fn from(content: &str) -> Self {
        Self(json_text::text(content))
    }
}

impl TxId {
    /// As it stands where it is the key of a map.
    pub fn as_key(&self) -> &str {
        inner(&self.0).unwrap_or(&self.0)
    }
}

impl UtcTime {
    /// As a time of the host, to the nanosecond.
    pub fn get(&self) -> Option<Time> {
        inner(&self.0).and_then(Time::parse)
    }
}

impl Hex {
    /// The digits.
    pub fn digits(&self) -> &str {
        inner(&self.0).unwrap_or_default()
    }
}

impl<T: Typed> Typed for Vec<T> {
    fn read(text: &Text) -> Result<Self, TypeError> {
        let elements = text.elements().map_err(TypeError::not_json(text))?;
        let read =
            |(index, element): (usize, &Text)| T::read(element).map_err(|error| error.within(&format!("[{index}]")));
        elements.iter().enumerate().map(read).collect()
    }

    fn write(&self, out: &mut JsonWriter) -> Result<(), TypeError> {
        out.bracket('[');
        for (index, element) in self.iter().enumerate() {
            out.next();
            element.write(out).map_err(|error| error.within(&format!("[{index}]")))?;
        }
        out.bracket(']');
        Ok(())
    }
}

/// A map; keys are as they stand between their quotes.
pub type Map<T> = BTreeMap<String, T>;

impl<T: Typed> Typed for Map<T> {
    fn read(text: &Text) -> Result<Self, TypeError> {
        let (mut map, mut outcome) = (Self::new(), Ok(()));
        let walked = text.members(&mut |key, value| match T::read(&text.sub(value)) {
            Ok(value) => {
                map.insert(key.to_owned(), value);
                ControlFlow::Continue(())
            }
            Err(error) => {
                outcome = Err(error.within(key));
                ControlFlow::Break(())
            }
        });
        walked.map_err(TypeError::not_json(text))?;
        outcome.map(|()| map)
    }

    fn write(&self, out: &mut JsonWriter) -> Result<(), TypeError> {
        out.bracket('{');
        self.iter().try_for_each(|(key, value)| out.member(key, value))?;
        out.bracket('}');
        Ok(())
    }
}

/// Whether two texts are the same JSON, numbers compared as they are written.
pub(super) fn is_same(one: &Text, other: &Text) -> Result<bool, TypeError> {
    if one == other {
        return Ok(true);
    }
    match (one.chars().next(), other.chars().next()) {
        (Some('{'), Some('{')) => {
            let (one, other) = (Map::<Json<Raw>>::read(one)?, Map::<Json<Raw>>::read(other)?);
            let same_keys = one.len() == other.len() && one.keys().eq(other.keys());
            all_same(same_keys, one.into_values().zip(other.into_values()))
        }
        (Some('['), Some('[')) => {
            let (one, other) = (Vec::<Json<Raw>>::read(one)?, Vec::<Json<Raw>>::read(other)?);
            let same_length = one.len() == other.len();
            all_same(same_length, one.into_iter().zip(other))
        }
        _ => Ok(false),
    }
}

fn all_same(same: bool, pairs: impl Iterator<Item = (Json<Raw>, Json<Raw>)>) -> Result<bool, TypeError> {
    if !same {
        return Ok(false);
    }
    for (one, other) in pairs {
        if !is_same(&one.get()?.0, &other.get()?.0)? {
            return Ok(false);
        }
    }
    Ok(true)
}
