//! Plutus data from CBOR to cardano-api's detailed JSON.

use minicbor::Decoder;
use minicbor::data::Type;

use super::cardano::{elements, members};

type Cbor<T> = Result<T, minicbor::decode::Error>;

/// Deeper data is refused: reading goes as deep into the stack.
const MAX_DEPTH: usize = 128;

/// The JSON of data.
pub(super) fn json(cbor: &[u8]) -> Cbor<String> {
    let mut text = String::new();
    data(&mut Decoder::new(cbor), &mut text, MAX_DEPTH)?;
    Ok(text)
}

fn data(cbor: &mut Decoder<'_>, text: &mut String, depth: usize) -> Cbor<()> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(minicbor::decode::Error::message("data within data, too deep"));
    };
    match cbor.datatype()? {
        Type::Bytes | Type::BytesIndef => text.push_str(&format!(r#"{{"bytes":"{}"}}"#, hex::encode(bytes(cbor)?))),
        Type::Array | Type::ArrayIndef => {
            text.push_str(r#"{"list":"#);
            list(cbor, text, depth)?;
            text.push('}');
        }
        Type::Map | Type::MapIndef => map(cbor, text, depth)?,
        Type::Tag => tagged(cbor, text, depth)?,
        _ => text.push_str(&format!(r#"{{"int":{}}}"#, cbor.int()?)),
    }
    Ok(())
}

fn list(cbor: &mut Decoder<'_>, text: &mut String, depth: usize) -> Cbor<()> {
    text.push('[');
    let mut separator = "";
    elements(cbor, |cbor| {
        text.push_str(separator);
        separator = ",";
        data(cbor, text, depth)
    })?;
    text.push(']');
    Ok(())
}

fn map(cbor: &mut Decoder<'_>, text: &mut String, depth: usize) -> Cbor<()> {
    text.push_str(r#"{"map":["#);
    let mut separator = "";
    members(cbor, |cbor| {
        text.push_str(separator);
        separator = ",";
        text.push_str(r#"{"k":"#);
        data(cbor, text, depth)?;
        text.push_str(r#","v":"#);
        data(cbor, text, depth)?;
        text.push('}');
        Ok(())
    })?;
    text.push_str("]}");
    Ok(())
}

/// Constructors have tags of their own; 2 and 3 are numbers of more than 64 bits.
fn tagged(cbor: &mut Decoder<'_>, text: &mut String, depth: usize) -> Cbor<()> {
    let tag = cbor.tag()?.as_u64();
    let constructor = match tag {
        2 => return big(cbor, text, false),
        3 => return big(cbor, text, true),
        121..=127 => tag - 121,
        1280..=1400 => tag - 1280 + 7,
        102 => {
            cbor.array()?;
            cbor.u64()?
        }
        _ => return Err(minicbor::decode::Error::message("a tag that Plutus data does not have")),
    };
    text.push_str(&format!(r#"{{"constructor":{constructor},"fields":"#));
    list(cbor, text, depth)?;
    text.push('}');
    Ok(())
}

fn big(cbor: &mut Decoder<'_>, text: &mut String, negative: bool) -> Cbor<()> {
    let mut number = num_bigint::BigInt::from_bytes_be(num_bigint::Sign::Plus, &bytes(cbor)?);
    if negative {
        number = -number - 1;
    }
    text.push_str(&format!(r#"{{"int":{number}}}"#));
    Ok(())
}

fn bytes(cbor: &mut Decoder<'_>) -> Cbor<Vec<u8>> {
    let mut bytes = Vec::new();
    for chunk in cbor.bytes_iter()? {
        bytes.extend_from_slice(chunk?);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(hex: &str) -> String {
        json(&hex::decode(hex).unwrap()).unwrap()
    }

    #[test]
    fn every_kind_of_data_is_written_as_cardano_api_does() {
        for (cbor, expected) in [
            ("00", r#"{"int":0}"#),
            ("3903e7", r#"{"int":-1000}"#),
            ("3bffffffffffffffff", r#"{"int":-18446744073709551616}"#),
            ("c249010000000000000000", r#"{"int":18446744073709551616}"#),
            ("c349010000000000000000", r#"{"int":-18446744073709551617}"#),
            ("43010203", r#"{"bytes":"010203"}"#),
            ("5f41014102ff", r#"{"bytes":"0102"}"#),
            ("9f0102ff", r#"{"list":[{"int":1},{"int":2}]}"#),
            ("a1014102", r#"{"map":[{"k":{"int":1},"v":{"bytes":"02"}}]}"#),
            ("d87980", r#"{"constructor":0,"fields":[]}"#),
            ("d87f9f01ff", r#"{"constructor":6,"fields":[{"int":1}]}"#),
            ("d9050080", r#"{"constructor":7,"fields":[]}"#),
            ("d8668219012c80", r#"{"constructor":300,"fields":[]}"#),
        ] {
            assert_eq!(of(cbor), expected, "{cbor}");
        }
    }

    #[test]
    fn data_as_deep_as_allowed_is_read_and_deeper_is_refused() {
        let nested = |depth: usize| [vec![0x81; depth - 1], vec![0x00]].concat();
        assert!(json(&nested(MAX_DEPTH)).is_ok());
        assert!(json(&nested(MAX_DEPTH + 1)).is_err());
    }
}
