//! SimpleTx: hydra-node's ledger for tests, in which outputs are whole numbers.

use serde::{Deserialize, Serialize};

use super::{Ledger, Refusal};
use crate::event::Text;
use crate::head::{Integer, Json, Tx, Utxo};

/// A transaction as clients send it. Numbers are those of 64 bits, where hydra-node's have no bound.
#[derive(Serialize, Deserialize)]
struct Sent {
    id: i64,
    inputs: Vec<i64>,
    outputs: Vec<i64>,
}

/// Inputs and outputs of one transaction at most: bounds the work of one step.
const MAX_PLACES: usize = 1_000;

/// The ledger SimpleTx.
#[derive(Clone, Copy, Debug, Default)]
pub struct SimpleLedger;

impl Ledger for SimpleLedger {
    fn name(&self) -> &'static str {
        "simple"
    }

    fn chain_state(&self) -> &'static str {
        r#"{"slot":0}"#
    }

    fn enforced(&self) -> &'static [&'static str] {
        &["every input is among the outputs that are there", "no output is there already", "nothing is named twice"]
    }

    fn not_enforced(&self) -> &'static [&'static str] {
        &["there are no amounts, owners, signatures or times in it"]
    }

    fn protocol_parameters(&self) -> &str {
        "{}"
    }

    fn no_outputs(&self) -> &'static str {
        "[]"
    }

    fn transaction(&self, json: &str) -> Result<Json<Tx>, String> {
        let sent: Sent = serde_json::from_str(json).map_err(|error| error.to_string())?;
        if sent.inputs.len() + sent.outputs.len() > MAX_PLACES {
            return Err(format!("it has more than {MAX_PLACES} inputs and outputs"));
        }
        let text = serde_json::to_string(&sent).map_err(|error| error.to_string())?;
        Ok(Json::from(Text::from(text)))
    }

    fn outputs(&self, json: &str) -> Result<Json<Utxo>, String> {
        let mut outputs: Vec<i64> = serde_json::from_str(json).map_err(|error| error.to_string())?;
        outputs.sort_unstable();
        outputs.dedup();
        let text = serde_json::to_string(&outputs).map_err(|error| error.to_string())?;
        Ok(Json::from(Text::from(text)))
    }

    fn validate(&self, tx: &Tx, utxo: &Utxo, _slot: u64) -> Result<(), Refusal> {
        let never = |reason: String| Refusal { reason, may_pass: false };
        let (Tx::Simple(tx), Some(utxo)) = (tx, simple(utxo)) else {
            return Err(never("it is no transaction of SimpleTx".to_owned()));
        };
        let places = |field: Option<&Vec<Integer>>| field.cloned().unwrap_or_default();
        let (inputs, outputs) = (places(tx.inputs.get()), places(tx.outputs.get()));
        for places in [&inputs, &outputs] {
            if let Some(twice) =
                (1..).zip(places).find(|(after, place)| places.iter().skip(*after).any(|other| other == *place))
            {
                return Err(never(format!("it names {} twice", twice.1.as_json())));
            }
        }
        if let Some(input) = inputs.iter().find(|input| !utxo.contains(input)) {
            let reason = format!("its input {} is not there", input.as_json());
            return Err(Refusal { reason, may_pass: true });
        }
        match outputs.iter().find(|output| utxo.contains(output)) {
            Some(output) => Err(never(format!("its output {} is there already", output.as_json()))),
            None => Ok(()),
        }
    }
}

/// The numbers of a set; an empty one may be written for either ledger.
fn simple(utxo: &Utxo) -> Option<&[Integer]> {
    match utxo {
        Utxo::Simple(outputs) => Some(outputs),
        Utxo::Cardano(outputs) => outputs.is_empty().then_some(&[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn come_of(tx: &str, utxo: &str) -> Result<(), Refusal> {
        let tx = SimpleLedger.transaction(tx).unwrap().get().unwrap();
        SimpleLedger.validate(&tx, &SimpleLedger.outputs(utxo).unwrap().get().unwrap(), 0)
    }

    #[test]
    fn a_transaction_spends_what_is_there_and_makes_what_is_not() {
        assert_eq!(come_of(r#"{"id":1,"inputs":[1,-2],"outputs":[3]}"#, "[1,-2]"), Ok(()));
        for (tx, reason, may_pass) in [
            (r#"{"id":1,"inputs":[4],"outputs":[]}"#, "input 4 is not there", true),
            (r#"{"id":1,"inputs":[],"outputs":[1]}"#, "output 1 is there already", false),
            // Spending it in the same transaction does not make room for it.
            (r#"{"id":1,"inputs":[1],"outputs":[1]}"#, "output 1 is there already", false),
            (r#"{"id":1,"inputs":[1,1],"outputs":[]}"#, "names 1 twice", false),
            (r#"{"id":1,"inputs":[1],"outputs":[5,6,5]}"#, "names 5 twice", false),
        ] {
            let refusal = come_of(tx, "[1,-2]").unwrap_err();
            assert!(refusal.reason.contains(reason), "{refusal:?}");
            assert_eq!(refusal.may_pass, may_pass, "{refusal:?}");
        }
    }

    #[test]
    fn texts_hold_nothing_but_what_the_ledger_knows() {
        let tx = SimpleLedger.transaction(r#" {"outputs":[2], "id":7, "inputs":[], "more":"x"}"#).unwrap();
        assert_eq!(tx.text(), r#"{"id":7,"inputs":[],"outputs":[2]}"#);
        assert_eq!(SimpleLedger.outputs("[3,1,3]").unwrap().text(), "[1,3]");
        for none in ["{}", "[]", r#"{"id":"x","inputs":[],"outputs":[]}"#, r#"{"id":1,"inputs":[1.5],"outputs":[]}"#] {
            assert!(SimpleLedger.transaction(none).is_err(), "{none}");
        }
    }

    #[test]
    fn a_transaction_has_a_bound() {
        let tx = |places: usize| {
            let inputs: Vec<String> = (0..places).map(|place| place.to_string()).collect();
            SimpleLedger.transaction(&format!(r#"{{"id":1,"inputs":[{}],"outputs":[]}}"#, inputs.join(",")))
        };
        assert!(tx(MAX_PLACES).is_ok());
        assert!(tx(MAX_PLACES + 1).unwrap_err().contains("1000"));
    }
}
