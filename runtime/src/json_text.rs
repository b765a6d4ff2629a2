//! Pieces of JSON as hydra-node writes them: compact, keys in alphabetical order.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

/// A JSON list of texts that are JSON already.
pub(crate) fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::from("[");
    for item in items {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(item);
    }
    text.push(']');
    text
}

/// A JSON object from names and texts that are JSON already, in the order given, which must be alphabetical.
pub(crate) fn object<'a>(members: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::from("{");
    members_into(&mut text, members);
    text.push('}');
    text
}

/// The members of an object without its braces.
pub(crate) fn members_into<'a>(text: &mut String, members: impl IntoIterator<Item = (&'a str, &'a str)>) {
    let mut first = true;
    for (name, value) in members {
        if !first {
            text.push(',');
        }
        first = false;
        text.push('"');
        text.push_str(name);
        text.push_str("\":");
        text.push_str(value);
    }
}

/// A JSON string of any words.
pub(crate) fn text(words: &str) -> String {
    serde_json::Value::from(words).to_string()
}

/// A JSON string of a text that needs no escapes.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// A time with nine digits, as hydra-node's clock gives it.
pub(crate) fn time(since_epoch: Duration) -> String {
    let mut text = String::with_capacity(32);
    // Writing to a string cannot fail.
    let _ = write!(text, "\"{}\"", humantime::format_rfc3339_nanos(SystemTime::UNIX_EPOCH + since_epoch));
    text
}
