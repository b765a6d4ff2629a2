//! What a Cardano transaction spends and makes, in hydra-node's JSON. Needed from 2.2 on, where events do not say what the outputs are any more.
//!
//! Reads the CBOR of the ledger's CDDL (Babbage and Conway) and writes outputs as cardano-api does.

use std::collections::BTreeSet;

use bech32::{Bech32, Hrp};
use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use minicbor::Decoder;
use minicbor::data::{Tag, Type};

use super::leaf::Map;
use super::ledger::LedgerError;
use super::plutus;
use super::typed::Json;
use super::types::{CardanoTx, TxOut};
use crate::event::Text;

type Cbor<T> = Result<T, minicbor::decode::Error>;

/// The references that a transaction spends, and the outputs that it makes by reference.
pub(crate) fn spends_and_makes(tx: &CardanoTx) -> Result<(Vec<String>, Map<Json<TxOut>>), LedgerError> {
    let id = tx.tx_id.get().map(|id| id.as_key().to_owned());
    let unreadable = || LedgerError::Cbor(id.clone().unwrap_or_else(|| "without an id".to_owned()));
    let hex = tx.cbor_hex.get().ok_or_else(unreadable)?.get()?;
    let bytes = hex::decode(hex.digits()).map_err(|_| unreadable())?;
    let body = Body::read(&bytes).map_err(|_| unreadable())?;
    let id = id.unwrap_or_else(|| hex::encode(Blake2b::<U32>::digest(body.bytes)));
    let made = body
        .outputs
        .into_iter()
        .enumerate()
        .map(|(index, json)| (format!("{id}#{index}"), Json::from(Text::from(json))));
    Ok((body.inputs, made.collect()))
}

/// The outputs that a transaction makes.
pub(crate) fn makes(tx: &CardanoTx) -> Result<Vec<Json<TxOut>>, LedgerError> {
    spends_and_makes(tx).map(|(_, made)| made.into_values().collect())
}

struct Body<'a> {
    /// As they were hashed.
    bytes: &'a [u8],
    inputs: Vec<String>,
    outputs: Vec<String>,
}

impl<'a> Body<'a> {
    fn read(transaction: &'a [u8]) -> Cbor<Self> {
        let mut cbor = Decoder::new(transaction);
        cbor.array()?;
        let start = cbor.position();
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        keyed(&mut cbor, Decoder::u64, |cbor, key| {
            match key {
                0 => elements(cbor, |cbor| input(cbor).map(|input| inputs.push(input)))?,
                1 => elements(cbor, |cbor| output(cbor).map(|output| outputs.push(output)))?,
                _ => cbor.skip()?,
            }
            Ok(())
        })?;
        let bytes = transaction.get(start..cbor.position()).unwrap_or_default();
        Ok(Self { bytes, inputs, outputs })
    }
}

/// Walks a map; `member` reads key and value.
pub(super) fn members<'b>(cbor: &mut Decoder<'b>, mut member: impl FnMut(&mut Decoder<'b>) -> Cbor<()>) -> Cbor<()> {
    walk(cbor, Decoder::map, &mut member)
}

/// Walks a map in which no key stands twice, as the ledger has it: two readers would come to two opinions of what a transaction makes.
fn keyed<'b, K: Ord + Copy>(
    cbor: &mut Decoder<'b>,
    key: impl Fn(&mut Decoder<'b>) -> Cbor<K>,
    mut value: impl FnMut(&mut Decoder<'b>, K) -> Cbor<()>,
) -> Cbor<()> {
    let mut seen = BTreeSet::new();
    members(cbor, |cbor| {
        let key = key(cbor)?;
        if !seen.insert(key) {
            return Err(minicbor::decode::Error::message("a key twice in one map"));
        }
        value(cbor, key)
    })
}

/// Walks an array, with or without the tag of a set.
pub(super) fn elements(cbor: &mut Decoder<'_>, mut element: impl FnMut(&mut Decoder<'_>) -> Cbor<()>) -> Cbor<()> {
    /// The tag of a set.
    const SET: Tag = Tag::new(258);
    if cbor.datatype()? == Type::Tag && cbor.tag()? != SET {
        return Err(minicbor::decode::Error::message("another tag than that of a set"));
    }
    walk(cbor, Decoder::array, &mut element)
}

fn walk<'b>(
    cbor: &mut Decoder<'b>,
    begin: impl FnOnce(&mut Decoder<'b>) -> Cbor<Option<u64>>,
    item: &mut dyn FnMut(&mut Decoder<'b>) -> Cbor<()>,
) -> Cbor<()> {
    match begin(cbor)? {
        Some(count) => (0..count).try_for_each(|_| item(cbor)),
        None => {
            while cbor.datatype()? != Type::Break {
                item(cbor)?;
            }
            cbor.skip()
        }
    }
}

fn input(cbor: &mut Decoder<'_>) -> Cbor<String> {
    cbor.array()?;
    let id = hex::encode(cbor.bytes()?);
    Ok(format!("{id}#{}", cbor.u64()?))
}

/// The members of an output that are not always there.
#[derive(Default)]
pub(crate) struct Optional {
    /// Hexadecimal digits.
    pub(crate) datum_hash: Option<String>,
    /// CBOR of the datum.
    pub(crate) inline: Option<Vec<u8>>,
    /// JSON.
    pub(crate) script: Option<String>,
}

fn output(cbor: &mut Decoder<'_>) -> Cbor<String> {
    let (mut address, mut value, mut optional) = (String::new(), String::new(), Optional::default());
    if matches!(cbor.datatype()?, Type::Array | Type::ArrayIndef) {
        let mut index = 0;
        elements(cbor, |cbor| {
            match index {
                0 => address = address_of(cbor.bytes()?),
                1 => value = value_of(cbor)?,
                _ => optional.datum_hash = Some(hex::encode(cbor.bytes()?)),
            }
            index += 1;
            Ok(())
        })?;
    } else {
        keyed(cbor, Decoder::u64, |cbor, key| {
            match key {
                0 => address = address_of(cbor.bytes()?),
                1 => value = value_of(cbor)?,
                2 => datum(cbor, &mut optional)?,
                3 => optional.script = Some(script(cbor)?),
                _ => cbor.skip()?,
            }
            Ok(())
        })?;
    }
    output_json(&address, &value, optional)
}

/// An output as cardano-api writes it, its value given as JSON.
pub(crate) fn output_json(address: &str, value: &str, optional: Optional) -> Cbor<String> {
    let datums = match &optional.inline {
        Some(raw) => format!(
            r#""inlineDatum":{},"inlineDatumRaw":"{}","inlineDatumhash":"{}""#,
            plutus::json(raw)?,
            hex::encode(raw),
            hex::encode(Blake2b::<U32>::digest(raw))
        ),
        None => {
            let hash = optional.datum_hash.map_or_else(|| "null".to_owned(), |hash| format!("\"{hash}\""));
            format!(r#""datumhash":{hash},"inlineDatum":null,"inlineDatumRaw":null"#)
        }
    };
    let script = optional.script.unwrap_or_else(|| "null".to_owned());
    Ok(format!(r#"{{"address":"{address}","datum":null,{datums},"referenceScript":{script},"value":{value}}}"#))
}

/// Base58 for Byron, bech32 for all later addresses; the low bit of the header's second half tells the network.
fn address_of(bytes: &[u8]) -> String {
    let header = bytes.first().copied().unwrap_or_default();
    if header >> 4 == 0b1000 {
        return bs58::encode(bytes).into_string();
    }
    let hrp = if header & 0xf == 1 { "addr" } else { "addr_test" };
    bech32::encode::<Bech32>(Hrp::parse_unchecked(hrp), bytes).unwrap_or_default()
}

fn value_of(cbor: &mut Decoder<'_>) -> Cbor<String> {
    if !matches!(cbor.datatype()?, Type::Array | Type::ArrayIndef) {
        return Ok(format!(r#"{{"lovelace":{}}}"#, cbor.u64()?));
    }
    cbor.array()?;
    let mut text = format!(r#"{{"lovelace":{}"#, cbor.u64()?);
    keyed(cbor, Decoder::bytes, |cbor, policy| {
        text.push_str(&format!(r#","{}":{{"#, hex::encode(policy)));
        let mut separator = "";
        keyed(cbor, Decoder::bytes, |cbor, name| {
            let name = hex::encode(name);
            text.push_str(&format!(r#"{separator}"{name}":{}"#, cbor.u64()?));
            separator = ",";
            Ok(())
        })?;
        text.push('}');
        Ok(())
    })?;
    text.push('}');
    Ok(text)
}

fn datum(cbor: &mut Decoder<'_>, optional: &mut Optional) -> Cbor<()> {
    cbor.array()?;
    match cbor.u64()? {
        0 => optional.datum_hash = Some(hex::encode(cbor.bytes()?)),
        _ => {
            cbor.tag()?;
            optional.inline = Some(cbor.bytes()?.to_vec());
        }
    }
    Ok(())
}

/// A reference script in a text envelope, as cardano-api writes it.
fn script(cbor: &mut Decoder<'_>) -> Cbor<String> {
    cbor.tag()?;
    let bytes = cbor.bytes()?;
    let mut inner = Decoder::new(bytes);
    inner.array()?;
    let version = inner.u64()?;
    let envelope = hex::encode(bytes.get(inner.position()..).unwrap_or_default());
    let (language, kind) = match version {
        0 => ("SimpleScriptLanguage".to_owned(), "SimpleScript".to_owned()),
        version => (format!("PlutusScriptLanguage PlutusScriptV{version}"), format!("PlutusScriptV{version}")),
    };
    Ok(format!(
        r#"{{"script":{{"cborHex":"{envelope}","description":"","type":"{kind}"}},"scriptLanguage":"{language}"}}"#
    ))
}
