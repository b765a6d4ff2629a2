//! Pieces of JSON as hydra-node writes them: compact, keys in alphabetical order.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use rand_core::Rng;
use rand_pcg::Pcg64Mcg;

/// Random bytes as hex.
pub(super) fn random_hex<const N: usize>(rng: &mut Pcg64Mcg) -> String {
    hex::encode(random_bytes::<N>(rng))
}

pub(super) fn random_bytes<const N: usize>(rng: &mut Pcg64Mcg) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// A number from `low` to `high`, both included.
pub(super) fn between(rng: &mut Pcg64Mcg, low: u64, high: u64) -> u64 {
    low + rng.next_u64() % (high - low + 1)
}

/// A JSON list of texts that are JSON already.
pub(super) fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
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
pub(super) fn object<'a>(members: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::from("{");
    members_into(&mut text, members);
    text.push('}');
    text
}

/// The members of an object without its braces.
pub(super) fn members_into<'a>(text: &mut String, members: impl IntoIterator<Item = (&'a str, &'a str)>) {
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

/// A JSON string of a text that needs no escapes.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// A time with nine digits, as hydra-node's clock gives it.
pub(super) fn time(since_epoch: Duration) -> String {
    let mut text = String::with_capacity(32);
    // Writing to a string cannot fail.
    let _ = write!(text, "\"{}\"", humantime::format_rfc3339_nanos(SystemTime::UNIX_EPOCH + since_epoch));
    text
}
