//! Rows of schema 2 as JSON, item by item: `hydra.state-event.cbor-items/1`.
//!
//! hydra-node (after 2.3) writes an event as CBOR items without anything around them, and only its own types know where a member ends. So
//! nothing is interpreted here but the envelope: a row is `"StateEvent"`, the event id, the constructor's name, its members, the time.
//!
//! | CBOR | JSON |
//! | --- | --- |
//! | integer, text, array, boolean, null | the same |
//! | byte string | `{"bytes":"HEX"}` |
//! | map | `{"map":[[KEY,VALUE],…]}`, in order |
//! | tag | `{"cborTag":N,"value":ITEM}` |
//! | float | `{"float":"TEXT"}` |
//! | undefined, other simple values | `{"simple":N}` |

use std::fmt::Write;

use minicbor::Decoder;
use minicbor::data::{IanaTag, Tag, Type};

/// How deep items may lie in each other: hydra-node's come to a dozen, and Plutus data of a script to some more.
const MAX_DEPTH: usize = 128;

/// A row that is not what schema 2 says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not CBOR items of a StateEvent: {problem} (byte {at} of the row)")]
pub(super) struct NotItems {
    problem: String,
    at: usize,
}

/// Writes a row as JSON with the members `eventId`, `stateChanged` (`tag` and `items`) and, if the last item is a time, `time`.
pub(super) fn to_json(row: &[u8]) -> Result<String, NotItems> {
    let mut cbor = Decoder::new(row);
    let at = |cbor: &Decoder<'_>| cbor.position();
    let wrong = |problem: String, at| NotItems { problem, at };
    let name = cbor.str().map_err(|error| wrong(error.to_string(), 0))?;
    if name != "StateEvent" {
        return Err(wrong(format!("it begins with {:?}", name.chars().take(40).collect::<String>()), 0));
    }
    let id = cbor.u64().map_err(|error| wrong(error.to_string(), at(&cbor)))?;
    let tag = cbor.str().map_err(|error| wrong(error.to_string(), at(&cbor)))?;
    let mut json = format!("{{\"eventId\":{id},\"stateChanged\":{{\"items\":[");
    // The last item, in case it is the time.
    let (mut last, mut written) = (None, false);
    while cbor.position() < row.len() {
        let start = cbor.position();
        if let Some(item) = last.replace(start) {
            separate(&mut json, &mut written);
            self::item(&mut Decoder::new(row.get(item..start).unwrap_or_default()), &mut json, 0)
                .map_err(|problem| wrong(problem, item))?;
        }
        cbor.skip().map_err(|error| wrong(error.to_string(), start))?;
    }
    let time = last.and_then(|start| time(row.get(start..).unwrap_or_default()));
    if let (Some(start), None) = (last, &time) {
        separate(&mut json, &mut written);
        item(&mut Decoder::new(row.get(start..).unwrap_or_default()), &mut json, 0)
            .map_err(|problem| wrong(problem, start))?;
    }
    json.push_str("],\"tag\":");
    text(tag, &mut json);
    json.push('}');
    if let Some(time) = time {
        json.push_str(",\"time\":");
        text(&time, &mut json);
    }
    json.push('}');
    Ok(json)
}

fn separate(json: &mut String, written: &mut bool) {
    if std::mem::replace(written, true) {
        json.push(',');
    }
}

fn item(cbor: &mut Decoder<'_>, json: &mut String, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("items lie more than {MAX_DEPTH} deep in each other"));
    }
    let plain = |error: minicbor::decode::Error| error.to_string();
    match cbor.datatype().map_err(plain)? {
        Type::Bool => json.push_str(if cbor.bool().map_err(plain)? { "true" } else { "false" }),
        Type::Null => {
            cbor.null().map_err(plain)?;
            json.push_str("null");
        }
        Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => {
            let number = i128::from(cbor.int().map_err(plain)?);
            write(json, format_args!("{number}"));
        }
        Type::F16 => float(cbor.f16().map_err(plain)?.into(), json),
        Type::F32 => float(cbor.f32().map_err(plain)?.into(), json),
        Type::F64 => float(cbor.f64().map_err(plain)?, json),
        Type::Bytes | Type::BytesIndef => {
            json.push_str("{\"bytes\":\"");
            for chunk in cbor.bytes_iter().map_err(plain)? {
                json.push_str(&hex::encode(chunk.map_err(plain)?));
            }
            json.push_str("\"}");
        }
        Type::String | Type::StringIndef => {
            let chunks: Result<String, _> = cbor.str_iter().map_err(plain)?.collect();
            text(&chunks.map_err(plain)?, json);
        }
        Type::Array | Type::ArrayIndef => array(cbor, json, depth)?,
        Type::Map | Type::MapIndef => map(cbor, json, depth)?,
        Type::Tag => {
            let tag = cbor.tag().map_err(plain)?;
            write(json, format_args!("{{\"cborTag\":{},\"value\":", tag.as_u64()));
            item(cbor, json, depth + 1)?;
            json.push('}');
        }
        Type::Undefined => {
            cbor.undefined().map_err(plain)?;
            json.push_str("{\"simple\":23}");
        }
        Type::Simple => {
            let simple = cbor.simple().map_err(plain)?;
            write(json, format_args!("{{\"simple\":{simple}}}"));
        }
        other => return Err(format!("unexpected {other}")),
    }
    Ok(())
}

fn array(cbor: &mut Decoder<'_>, json: &mut String, depth: usize) -> Result<(), String> {
    let length = cbor.array().map_err(|error| error.to_string())?;
    json.push('[');
    let mut written = false;
    members(cbor, length, |cbor| {
        separate(json, &mut written);
        item(cbor, json, depth + 1)
    })?;
    json.push(']');
    Ok(())
}

fn map(cbor: &mut Decoder<'_>, json: &mut String, depth: usize) -> Result<(), String> {
    let length = cbor.map().map_err(|error| error.to_string())?;
    json.push_str("{\"map\":[");
    let mut written = false;
    members(cbor, length, |cbor| {
        separate(json, &mut written);
        json.push('[');
        item(cbor, json, depth + 1)?;
        json.push(',');
        item(cbor, json, depth + 1)?;
        json.push(']');
        Ok(())
    })?;
    json.push_str("]}");
    Ok(())
}

/// Reads so many members, or up to the break of an indefinite length. A length that lies ends at the end of the row.
fn members<'a>(
    cbor: &mut Decoder<'a>,
    length: Option<u64>,
    mut member: impl FnMut(&mut Decoder<'a>) -> Result<(), String>,
) -> Result<(), String> {
    let mut read = 0;
    loop {
        match length {
            Some(length) if read >= length => return Ok(()),
            None if cbor.datatype().map_err(|error| error.to_string())? == Type::Break => {
                return cbor.skip().map_err(|error| error.to_string());
            }
            _ => {}
        }
        member(cbor)?;
        read += 1;
    }
}

fn float(number: f64, json: &mut String) {
    write(json, format_args!("{{\"float\":\"{number}\"}}"));
}

fn text(text: &str, json: &mut String) {
    // A string always has a JSON form.
    json.push_str(&serde_json::to_string(text).unwrap_or_default());
}

fn write(json: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = json.write_fmt(arguments);
}

/// Days before each month of a year without a leap day.
const MONTHS: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

/// An item that is a time as cardano-binary writes it: year, day of the year from 1, picoseconds of the day.
fn time(item: &[u8]) -> Option<String> {
    let mut cbor = Decoder::new(item);
    if cbor.array().ok()? != Some(3) {
        return None;
    }
    let (year, day, picoseconds) = (integer(&mut cbor)?, integer(&mut cbor)?, integer(&mut cbor)?);
    const DAY: u64 = 86_400 * 1_000_000_000_000;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if cbor.position() != item.len() || year > 9999 || day == 0 || day > 365 + u64::from(is_leap) || picoseconds >= DAY
    {
        return None;
    }
    let before = |month: usize, days: u64| days + u64::from(is_leap && month >= 2);
    let (month, start) = MONTHS
        .iter()
        .enumerate()
        .map(|(month, days)| (month, before(month, *days)))
        .rfind(|(_, start)| *start < day)?;
    let (seconds, fraction) = (picoseconds / 1_000_000_000_000, picoseconds % 1_000_000_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let (month, day) = (month + 1, day - start);
    let fraction = match format!("{fraction:012}").trim_end_matches('0') {
        "" => String::new(),
        digits => format!(".{digits}"),
    };
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z"))
}

/// A whole number, also as a bignum, as Haskell's Integer may be written.
fn integer(cbor: &mut Decoder<'_>) -> Option<u64> {
    if cbor.datatype().ok()? == Type::Tag {
        if cbor.tag().ok()? != Tag::from(IanaTag::PosBignum) {
            return None;
        }
        return cbor
            .bytes()
            .ok()?
            .iter()
            .try_fold(0_u64, |number, byte| number.checked_mul(256).map(|number| number + u64::from(*byte)));
    }
    cbor.u64().ok()
}

#[cfg(test)]
mod tests {
    use minicbor::Encoder;

    use super::*;
    use crate::event::StateEvent;

    fn row(id: u64, tag: &str, fields: impl FnOnce(&mut Encoder<Vec<u8>>)) -> Vec<u8> {
        let mut cbor = Encoder::new(Vec::new());
        cbor.str("StateEvent").unwrap().u64(id).unwrap().str(tag).unwrap();
        fields(&mut cbor);
        cbor.into_writer()
    }

    fn at(cbor: &mut Encoder<Vec<u8>>, year: u64, day: u64, picoseconds: u64) {
        cbor.array(3).unwrap().u64(year).unwrap().u64(day).unwrap().u64(picoseconds).unwrap();
    }

    #[test]
    fn every_kind_of_item_has_its_json() {
        let json = to_json(&row(7, "Made\"Up", |cbor| {
            cbor.u64(u64::MAX).unwrap().i64(-1).unwrap().bytes(&[0xab, 1]).unwrap().str("é\n").unwrap();
            cbor.begin_array().unwrap().null().unwrap().bool(true).unwrap().end().unwrap();
            cbor.map(1).unwrap().bytes(&[2]).unwrap().array(0).unwrap();
            cbor.tag(Tag::new(258)).unwrap().array(1).unwrap().f64(0.5).unwrap();
            cbor.undefined().unwrap();
            at(cbor, 2026, 60, 1_500_000_000_000);
        }))
        .unwrap();
        let expected = r#"{"eventId":7,"stateChanged":{"items":[18446744073709551615,-1,{"bytes":"ab01"},"é\n",[null,true],{"map":[[{"bytes":"02"},[]]]},{"cborTag":258,"value":[{"float":"0.5"}]},{"simple":23}],"tag":"Made\"Up"},"time":"2026-03-01T00:00:01.5Z"}"#;
        assert_eq!(json, expected);
        let event = StateEvent::parse(json).unwrap();
        assert_eq!(event.id(), 7);
        assert!(event.time().is_some());
    }

    #[test]
    fn times_are_read_over_leap_days_and_what_is_no_time_is_an_item() {
        let time =
            |year, day, picoseconds| to_json(&row(0, "TickObserved", |cbor| at(cbor, year, day, picoseconds))).unwrap();
        assert!(time(2024, 60, 0).ends_with(r#""items":[],"tag":"TickObserved"},"time":"2024-02-29T00:00:00Z"}"#));
        assert!(time(2024, 366, 86_399_999_999_999_999).contains("2024-12-31T23:59:59.999999999999Z"));
        assert!(time(2023, 365, 0).contains("2023-12-31T"));
        for (year, day, picoseconds) in [(2023, 366, 0), (2024, 0, 0), (2024, 1, 86_400_000_000_000_000)] {
            let json = time(year, day, picoseconds);
            assert!(json.contains("\"items\":[[") && !json.contains("\"time\""), "{json}");
        }
    }

    #[test]
    fn what_is_no_row_is_refused_and_nothing_breaks() {
        let whole = row(1, "X", |cbor| {
            cbor.begin_map().unwrap().str("a").unwrap().bytes(&[1; 40]).unwrap().end().unwrap();
        });
        for cut in 0..whole.len() {
            let _ = to_json(&whole[..cut]);
        }
        assert!(to_json(b"").is_err());
        let lies = row(1, "X", |cbor| {
            cbor.array(u64::MAX).unwrap();
        });
        assert!(to_json(&lies).is_err());
        let mut other = Encoder::new(Vec::new());
        other.str("Other").unwrap();
        assert!(to_json(&other.into_writer()).unwrap_err().to_string().contains("begins with \"Other\""));
    }

    #[test]
    fn items_lie_so_deep_and_no_deeper() {
        let nested = |depth: usize| {
            row(1, "X", |cbor| {
                for _ in 0..depth {
                    cbor.array(1).unwrap();
                }
                cbor.null().unwrap();
            })
        };
        assert!(to_json(&nested(MAX_DEPTH)).is_ok());
        assert!(to_json(&nested(MAX_DEPTH + 1)).unwrap_err().to_string().contains("deep"));
        assert!(to_json(&nested(1_000_000)).is_err());
    }
}
