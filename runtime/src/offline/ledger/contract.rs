//! The duties of a [`Ledger`] as checks that any implementation can be put through.

use serde_json::Value;

use super::{Ledger, Refusal};
use crate::head::{Json, Tx, Utxo, apply};
use crate::source::contract::{ContractViolation, violation};

/// What the checks are made with.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// Outputs, as JSON that a client could give.
    pub outputs: &'a str,
    /// A transaction that may be applied to them, likewise.
    pub valid: &'a str,
    /// One that spends an output that is not there.
    pub early: &'a str,
    /// One that can never be applied.
    pub never: &'a str,
    /// The slot that it is.
    pub slot: u64,
}

fn broken(duty: impl Into<String>) -> ContractViolation {
    violation("Ledger", duty)
}

/// Puts a ledger through all that a head relies on.
///
/// # Errors
///
/// The first duty that was not kept.
pub fn check(ledger: &dyn Ledger, sample: &Sample<'_>) -> Result<(), ContractViolation> {
    check_words(ledger)?;
    let utxo = outputs(ledger, sample.outputs)?;
    let tx = read(ledger, sample.valid)?;
    same_text(outputs(ledger, utxo.text())?.text(), utxo.text())?;
    same_text(read(ledger, tx.text())?.text(), tx.text())?;
    check_strangers(ledger)?;

    let judge = |tx: &Json<Tx>, utxo: &Json<Utxo>| -> Result<Result<(), Refusal>, ContractViolation> {
        let (tx, utxo) = (get(tx)?, get(utxo)?);
        let verdict = ledger.validate(&tx, &utxo, sample.slot);
        if verdict == ledger.validate(&tx, &utxo, sample.slot) {
            Ok(verdict)
        } else {
            Err(broken("validate is pure: the same question was answered in two ways"))
        }
    };
    if let Err(refusal) = judge(&tx, &utxo)? {
        return Err(broken(format!("a valid transaction is let pass, and not refused: {}", refusal.reason)));
    }
    check_applied(&tx, &utxo, |after| judge(&tx, after))?;
    for (other, may_pass) in [(sample.early, true), (sample.never, false)] {
        match judge(&read(ledger, other)?, &utxo)? {
            Err(refusal) if refusal.may_pass == may_pass && !refusal.reason.is_empty() => {}
            verdict => return Err(broken(format!("{other}: may pass later: {may_pass}, and not {verdict:?}"))),
        }
    }
    Ok(())
}

/// What is written to the log and told to clients is JSON, and operators are told the rules.
fn check_words(ledger: &dyn Ledger) -> Result<(), ContractViolation> {
    for text in [ledger.chain_state(), ledger.protocol_parameters(), ledger.no_outputs()] {
        if serde_json::from_str::<Value>(text).is_err() {
            return Err(broken(format!("{text:?} is to be JSON")));
        }
    }
    outputs(ledger, ledger.no_outputs())?;
    if ledger.enforced().is_empty() || ledger.not_enforced().is_empty() {
        return Err(broken("rules are told, those that are not enforced too"));
    }
    Ok(())
}

/// What is of no ledger is refused, in words.
fn check_strangers(ledger: &dyn Ledger) -> Result<(), ContractViolation> {
    for text in ["", "{", "null", "7", "\"x\"", "[[]]", r#"{"id":{}}"#] {
        if ledger.transaction(text).is_ok() || ledger.outputs(text).is_ok() {
            return Err(broken(format!("{text:?} is neither a transaction nor outputs")));
        }
    }
    Ok(())
}

/// What is let pass can be applied, and cannot be applied again to what comes of it.
fn check_applied(
    tx: &Json<Tx>,
    utxo: &Json<Utxo>,
    judge: impl Fn(&Json<Utxo>) -> Result<Result<(), Refusal>, ContractViolation>,
) -> Result<(), ContractViolation> {
    let after = apply(get(utxo)?, &get(tx)?).map_err(|error| broken(format!("it can be applied: {error}")))?;
    let after = Json::of(&after).map_err(|error| broken(format!("what comes of it can be written: {error}")))?;
    match judge(&after)? {
        Ok(()) => Err(broken("a transaction spends its inputs, but it was let pass twice")),
        Err(_) => Ok(()),
    }
}

fn outputs(ledger: &dyn Ledger, json: &str) -> Result<Json<Utxo>, ContractViolation> {
    ledger.outputs(json).map_err(|problem| broken(format!("outputs {json} are read, and not refused: {problem}")))
}

fn read(ledger: &dyn Ledger, json: &str) -> Result<Json<Tx>, ContractViolation> {
    ledger
        .transaction(json)
        .map_err(|problem| broken(format!("transaction {json} is read, and not refused: {problem}")))
}

fn get<T: crate::head::Typed>(json: &Json<T>) -> Result<T, ContractViolation> {
    json.get().map_err(|error| broken(format!("texts are of hydra-node's form: {error}")))
}

fn same_text(again: &str, text: &str) -> Result<(), ContractViolation> {
    if again == text { Ok(()) } else { Err(broken(format!("{text} is read as it was written, and not as {again}"))) }
}
