//! Outputs in hydra-node's JSON, as far as rules look at them.

use std::collections::BTreeMap;

use pallas_addresses::{Address, ShelleyAddress, ShelleyPaymentPart};
use pallas_primitives::conway::{PostAlonzoTransactionOutput, TransactionOutput, Value};
use pallas_primitives::{Bytes, Hash, PositiveCoin};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::head::{Optional, output_json};
use crate::json_text;

/// Bytes of a token's name at most, as the ledger has it.
const MAX_TOKEN_NAME: usize = 32;

/// An output as clients give it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Given {
    address: String,
    #[serde(default, rename = "datum")]
    _datum: Option<()>,
    #[serde(default)]
    datumhash: Option<String>,
    #[serde(default)]
    inline_datum: Option<Box<RawValue>>,
    #[serde(default)]
    inline_datum_raw: Option<String>,
    #[serde(default, rename = "inlineDatumhash")]
    _inline_datumhash: Option<String>,
    #[serde(default)]
    reference_script: Option<ReferenceScript>,
    value: BTreeMap<String, Amount>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ReferenceScript {
    script: Envelope,
    script_language: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Envelope {
    cbor_hex: String,
    description: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Amount {
    Lovelace(u64),
    Tokens(BTreeMap<String, u64>),
}

/// Amounts of tokens by policy and name.
pub(super) type Tokens = BTreeMap<Hash<28>, BTreeMap<Bytes, u64>>;

/// What rules look at of an output.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Output {
    pub(super) address: ShelleyAddress,
    pub(super) lovelace: u64,
    /// Amounts are positive.
    pub(super) tokens: Tokens,
}

impl Output {
    pub(super) fn read(json: &str) -> Result<Self, String> {
        Self::of(&given(json)?)
    }

    fn of(given: &Given) -> Result<Self, String> {
        let mut output = Self { address: address(&given.address)?, lovelace: 0, tokens: Tokens::new() };
        for (key, amount) in &given.value {
            match amount {
                Amount::Lovelace(lovelace) if key == "lovelace" => output.lovelace = *lovelace,
                Amount::Tokens(names) if key != "lovelace" => {
                    let policy = key.parse().map_err(|_| format!("{key:?} is no policy's id"))?;
                    let names = names.iter().map(token).collect::<Result<_, _>>()?;
                    output.tokens.insert(policy, names);
                }
                _ => return Err(format!("it holds {key:?}, which is neither lovelace nor a policy with its tokens")),
            }
        }
        Ok(output)
    }

    /// Whether its spending takes a script.
    pub(super) fn takes_script(&self) -> bool {
        matches!(self.address.payment(), ShelleyPaymentPart::Script(_))
    }

    /// In the library's form, without what is of use to scripts alone.
    pub(super) fn to_pallas(&self) -> TransactionOutput<'static> {
        let output = PostAlonzoTransactionOutput {
            address: self.address.to_vec().into(),
            value: self.value(),
            datum_option: None,
            script_ref: None,
        };
        TransactionOutput::PostAlonzo(output.into())
    }

    /// Its amounts in the library's form.
    pub(super) fn value(&self) -> Value {
        let positive = |(name, amount): (&Bytes, &u64)| Some((name.clone(), PositiveCoin::try_from(*amount).ok()?));
        let tokens = self.tokens.iter().map(|(policy, names)| (*policy, names.iter().filter_map(positive).collect()));
        if self.tokens.is_empty() {
            Value::Coin(self.lovelace)
        } else {
            Value::Multiasset(self.lovelace, tokens.collect())
        }
    }
}

/// An output, and its JSON with nothing in it but what the ledger knows of.
pub(super) fn rewritten(json: &str) -> Result<(Output, String), String> {
    let given = given(json)?;
    let output = Output::of(&given)?;
    if given.inline_datum_raw.is_none() && given.inline_datum.is_some() {
        return Err("it has an inlineDatum and no inlineDatumRaw, the CBOR of which its hash is made".to_owned());
    }
    let bytes =
        |digits: Option<String>| digits.map(hex::decode).transpose().map_err(|_| "a datum is not in hexadecimal");
    let hash = bytes(given.datumhash)?.map(hex::encode);
    if hash.as_ref().is_some_and(|digits| digits.len() != 64) {
        return Err("its datumhash is none".to_owned());
    }
    let script = given.reference_script.map(|script| serde_json::to_string(&script)).transpose();
    let optional = Optional {
        datum_hash: hash,
        inline: bytes(given.inline_datum_raw)?,
        script: script.map_err(|error| error.to_string())?,
    };
    let address = output.address.to_bech32().map_err(|error| error.to_string())?;
    let text = output_json(&address, &value_json(&output), optional);
    Ok((output, text.map_err(|error| format!("its inlineDatumRaw: {error}"))?))
}

fn value_json(output: &Output) -> String {
    let mut members = vec![("lovelace".to_owned(), output.lovelace.to_string())];
    for (policy, names) in &output.tokens {
        let names: Vec<_> = names.iter().map(|(name, amount)| (hex::encode(&**name), amount.to_string())).collect();
        members.push((policy.to_string(), object(&names)));
    }
    object(&members)
}

fn object(members: &[(String, String)]) -> String {
    json_text::object(members.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

fn given(json: &str) -> Result<Given, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

fn address(text: &str) -> Result<ShelleyAddress, String> {
    match Address::from_bech32(text) {
        // Another prefix than the address has inside would come out as another text.
        Ok(Address::Shelley(address)) if address.to_bech32().is_ok_and(|own| own == text) => Ok(address),
        _ => Err(format!("{text:?} is no payment address of Shelley's or later")),
    }
}

fn token((name, amount): (&String, &u64)) -> Result<(Bytes, u64), String> {
    let bytes = hex::decode(name).ok().filter(|bytes| bytes.len() <= MAX_TOKEN_NAME);
    let bytes =
        bytes.ok_or_else(|| format!("{name:?} is no token's name: at most {MAX_TOKEN_NAME} bytes in hexadecimal"))?;
    if *amount == 0 { Err(format!("it holds none of token {name:?}")) } else { Ok((bytes.into(), *amount)) }
}
