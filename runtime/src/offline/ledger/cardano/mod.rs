//! Conway transactions: payments that keys authorise, held to the rules of the library pallas-validate.

mod form;
mod output;
mod parameters;
mod transaction;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pallas_primitives::TransactionInput;
use pallas_primitives::conway::Tx as ConwayTx;
use pallas_traverse::{MultiEraInput, MultiEraOutput, MultiEraTx, OutputRef};
use pallas_validate::phase1::validate_tx;
use pallas_validate::utils::{CertState, Environment, PostAlonzoError, UTxOs, ValidationError};
use serde::Deserialize;

use self::output::Output;
use super::{Ledger, Refusal};
use crate::event::Text;
use crate::head::{CardanoTx, Json, Map, Tx, TxOut, Utxo};
use crate::json_text::{object, quoted};

pub use parameters::{
    MAX_FEE_FIXED, MAX_FEE_PER_BYTE, MAX_TX_BYTES, MAX_UTXO_COST_PER_BYTE, ParametersError, ProtocolParameters,
};

/// A transaction as clients send it. Which type they call it is not looked at, as hydra-node does not.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    cbor_hex: String,
    #[serde(default)]
    tx_id: Option<String>,
}

/// The ledger of Cardano's Conway era.
#[derive(Clone, Debug)]
pub struct CardanoLedger {
    parameters: ProtocolParameters,
}

impl CardanoLedger {
    /// The ledger with these parameters.
    pub fn new(parameters: ProtocolParameters) -> Self {
        Self { parameters }
    }

    fn check(&self, json: &CardanoTx, outputs: &Map<Json<TxOut>>, slot: u64) -> Result<(), Refusal> {
        let digits = json.cbor_hex.get().and_then(|hex| hex.get().ok());
        let bytes = digits.and_then(|hex| hex::decode(hex.digits()).ok());
        let bytes = bytes.ok_or_else(|| never("it has no CBOR".to_owned()))?;
        let tx = transaction::read(&bytes, self.parameters.max_tx_bytes()).map_err(never)?;
        let conway = tx.as_conway().ok_or_else(|| never("it is not of Conway's era".to_owned()))?;
        transaction::check(conway).map_err(never)?;
        transaction::check_made(json, &conway.transaction_body).map_err(never)?;
        check_end(conway, slot)?;
        let spent = look_up(conway, outputs)?;
        self.rules(&tx, conway, &spent, slot)
    }

    /// The library's rules.
    fn rules(
        &self,
        tx: &MultiEraTx<'_>,
        conway: &ConwayTx<'_>,
        spent: &[(TransactionInput, Output)],
        slot: u64,
    ) -> Result<(), Refusal> {
        let environment = Environment {
            prot_params: self.parameters.rules.clone(),
            prot_magic: 0,
            block_slot: slot,
            // Inputs come first among what is looked up.
            network_id: spent.first().map_or(0, |(_, output)| output.address.network().value()),
            acnt: None,
        };
        let held: Vec<_> = spent.iter().map(|(input, output)| (input, output.to_pallas())).collect();
        let utxos: UTxOs<'_> = held
            .iter()
            .map(|(input, output)| (MultiEraInput::from_alonzo_compatible(input), MultiEraOutput::from_conway(output)))
            .collect();
        validate_tx(tx, 0, &environment, &utxos, &mut CertState::default())
            .map_err(|error| refusal(&error, conway, slot))
    }
}

impl Ledger for CardanoLedger {
    fn name(&self) -> &'static str {
        "cardano"
    }

    fn chain_state(&self) -> &'static str {
        r#"{"recordedAt":null,"spendableUTxO":{}}"#
    }

    fn enforced(&self) -> &'static [&'static str] {
        &[
            "every input, collateral and reference input is among the outputs that are there, and no input is named twice",
            "the keys of all inputs, and all required signers, signed it",
            "what goes in is what comes out and the fee",
            "the slot, which is the second since 1970, is in the validity interval",
            "the fee is at least txFeeFixed and txFeePerByte for each byte",
            "the size is at most maxTxSize",
            "outputs are at payment addresses of the network of the inputs",
            "each output's lovelace is at least utxoCostPerByte for the size of its value and 160, and its value is within maxValueSize; \
             both counted in words of 8 bytes",
            "metadata has the hash that the body names",
        ]
    }

    fn not_enforced(&self) -> &'static [&'static str] {
        &[
            "scripts are not run: whatever would take one, native or Plutus, is refused, and minting with it",
            "certificates, withdrawals, votes, proposals and donations are refused",
            "outputs at Byron addresses are refused",
            "least lovelace and greatest value go by words where Conway's ledger goes by bytes",
            "datums and reference scripts of outputs are kept and not looked at",
            "whether the end of the validity interval is too far away to be told as a time",
        ]
    }

    fn protocol_parameters(&self) -> &str {
        self.parameters.json()
    }

    fn no_outputs(&self) -> &'static str {
        "{}"
    }

    fn transaction(&self, json: &str) -> Result<Json<Tx>, String> {
        let sent: Sent = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let bytes = hex::decode(&sent.cbor_hex).map_err(|error| format!("its cborHex: {error}"))?;
        let id =
            unharmed(|| transaction::read(&bytes, self.parameters.max_tx_bytes()).map(|tx| tx.hash().to_string()))?;
        if sent.tx_id.is_some_and(|given| given != id) {
            return Err(format!("its txId is not that of its CBOR, which is {id}"));
        }
        let members = [
            ("cborHex", quoted(&hex::encode(bytes))),
            ("description", quoted("")),
            ("txId", quoted(&id)),
            ("type", quoted("Tx ConwayEra")),
        ];
        Ok(Json::from(Text::from(object(members.iter().map(|(name, value)| (*name, value.as_str()))))))
    }

    fn outputs(&self, json: &str) -> Result<Json<Utxo>, String> {
        let given: BTreeMap<String, Box<serde_json::value::RawValue>> =
            serde_json::from_str(json).map_err(|error| error.to_string())?;
        let (mut outputs, mut texts) = (Vec::with_capacity(given.len()), Vec::with_capacity(given.len()));
        for (at, output) in &given {
            let of = |problem: String| format!("output {at}: {problem}");
            // Written as it is looked up.
            if !at.parse::<OutputRef>().is_ok_and(|own| own.to_string() == *at) {
                return Err(of("this is no reference, which is a transaction's id, # and an index".to_owned()));
            }
            let (output, text) = output::rewritten(output.get()).map_err(of)?;
            outputs.push(output);
            texts.push((at, text));
        }
        transaction::check_sums(outputs.iter(), 0)?;
        let members = texts.iter().map(|(at, text)| (at.as_str(), text.as_str()));
        Ok(Json::from(Text::from(object(members))))
    }

    fn validate(&self, tx: &Tx, utxo: &Utxo, slot: u64) -> Result<(), Refusal> {
        let (Tx::Cardano(tx), Utxo::Cardano(outputs)) = (tx, utxo) else {
            return Err(never("it is no transaction of Cardano".to_owned()));
        };
        unharmed(|| self.check(tx, outputs, slot))
    }
}

/// A call of the library that reads what a stranger sent. Its authors leave panics to bytes that no chain lets pass, and a head must go on.
fn unharmed<T, E: From<Panicked>>(call: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    // Nothing is changed by it that could be left halfway.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(Panicked.into()))
}

struct Panicked;

impl From<Panicked> for String {
    fn from(_: Panicked) -> Self {
        "the rules of the ledger do not come to an answer on it".to_owned()
    }
}

impl From<Panicked> for Refusal {
    fn from(panicked: Panicked) -> Self {
        never(panicked.into())
    }
}

fn never(reason: String) -> Refusal {
    Refusal { reason, may_pass: false }
}

/// The outputs that have to be there.
fn look_up(conway: &ConwayTx<'_>, outputs: &Map<Json<TxOut>>) -> Result<Vec<(TransactionInput, Output)>, Refusal> {
    let look_up = |input: &TransactionInput| {
        let at = transaction::reference(input);
        let json = outputs.get(&at);
        let json = json.ok_or_else(|| Refusal { reason: format!("output {at} is not there"), may_pass: true })?;
        let output = Output::read(json.text()).map_err(|problem| never(format!("output {at}: {problem}")))?;
        if output.takes_script() {
            return Err(never(format!("output {at} takes a script, and this ledger runs none")));
        }
        Ok((input.clone(), output))
    };
    transaction::looked_up(&conway.transaction_body).map(look_up).collect()
}

/// As the ledger has it, the slot at which it ends is no longer in the interval; the library lets that one pass.
fn check_end(conway: &ConwayTx<'_>, slot: u64) -> Result<(), Refusal> {
    match conway.transaction_body.ttl {
        Some(end) if slot >= end => Err(never(format!("it was valid before slot {end}, and this is slot {slot}"))),
        _ => Ok(()),
    }
}

fn refusal(error: &ValidationError, conway: &ConwayTx<'_>, slot: u64) -> Refusal {
    match error {
        ValidationError::PostAlonzo(PostAlonzoError::BlockPrecedesValInt) => {
            let start = conway.transaction_body.validity_interval_start.unwrap_or_default();
            Refusal { reason: format!("it is valid from slot {start} on, and this is slot {slot}"), may_pass: true }
        }
        error => never(error.to_string()),
    }
}
