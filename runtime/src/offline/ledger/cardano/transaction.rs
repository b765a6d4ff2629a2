//! A transaction before the library's rules see it: what they take for granted, and what they do not look at.

use std::collections::BTreeSet;

use pallas_primitives::conway::{TransactionBody, Tx as ConwayTx, WitnessSet};
use pallas_primitives::{TransactionInput, conway};
use pallas_traverse::{Era, MultiEraOutput, MultiEraTx};

use super::form;
use super::output::{Output, Tokens};
use crate::head::{CardanoTx, spends_and_makes};

/// All the lovelace there will ever be; with it no sum leaves 64 bits.
const MAX_LOVELACE: u64 = 45_000_000_000_000_000;

/// Of one token in all outputs at most: what the ledger lets one transaction mint. No sum leaves 64 bits.
const MAX_TOKENS: u64 = i64::MAX as u64;

/// Inputs of all kinds at most: for each a signature is verified. Mainnet's size has room for about 450.
const MAX_INPUTS: usize = 1_000;

/// Signatures at most: for each input they are searched from the first on. Mainnet's size has room for about 160.
const MAX_SIGNATURES: usize = 200;

/// Bytes of a verification key, and of a signature.
const WITNESS: (usize, usize) = (32, 64);

/// Reads a transaction of Conway's era, of at most so many bytes.
pub(super) fn read(bytes: &[u8], most: usize) -> Result<MultiEraTx<'_>, String> {
    if bytes.len() > most {
        return Err(format!("it has {} bytes, more than {most}", bytes.len()));
    }
    form::check(bytes).map_err(|error| error.to_string())?;
    MultiEraTx::decode_for_era(Era::Conway, bytes)
        .map_err(|error| format!("it is no transaction of Conway's era: {error}"))
}

/// Refuses what is not run or not counted here, by name, and what the library's rules would stumble over.
pub(super) fn check(tx: &ConwayTx<'_>) -> Result<(), String> {
    let (body, witnesses) = (&*tx.transaction_body, &*tx.transaction_witness_set);
    match unsupported(body, witnesses) {
        Some(part) => Err(format!("it has {part}, and this ledger takes none")),
        None if !tx.success => Err("it says of itself that its scripts fail".to_owned()),
        None if !has_whole_signatures(witnesses) => {
            Err("a key or a signature of it is too short or too long".to_owned())
        }
        None => check_counts(body, witnesses).and_then(|()| check_inputs(body)),
    }
}

fn check_counts(body: &TransactionBody<'_>, witnesses: &WitnessSet<'_>) -> Result<(), String> {
    for (what, count, most) in [
        ("inputs", looked_up(body).count(), MAX_INPUTS),
        ("signatures", witnesses.vkeywitness.iter().flatten().count(), MAX_SIGNATURES),
        ("required signers", body.required_signers.iter().flatten().count(), MAX_SIGNATURES),
    ] {
        if count > most {
            return Err(format!("it has {count} {what}, more than {most}"));
        }
    }
    Ok(())
}

fn unsupported(body: &TransactionBody<'_>, witnesses: &WitnessSet<'_>) -> Option<&'static str> {
    let parts = [
        (body.certificates.is_some(), "certificates"),
        (body.withdrawals.is_some(), "withdrawals"),
        (body.mint.is_some(), "tokens to mint or burn"),
        (body.voting_procedures.is_some(), "votes"),
        (body.proposal_procedures.is_some(), "proposals"),
        (body.treasury_value.is_some() || body.donation.is_some(), "a donation"),
        (witnesses.native_script.is_some(), "a native script"),
        (
            witnesses.plutus_v1_script.is_some()
                || witnesses.plutus_v2_script.is_some()
                || witnesses.plutus_v3_script.is_some(),
            "a Plutus script",
        ),
        (witnesses.redeemer.is_some() || body.script_data_hash.is_some(), "redeemers of Plutus scripts"),
        (witnesses.bootstrap_witness.is_some(), "a witness of Byron's era"),
    ];
    parts.into_iter().find_map(|(is_there, part)| is_there.then_some(part))
}

fn has_whole_signatures(witnesses: &WitnessSet<'_>) -> bool {
    let mut keys = witnesses.vkeywitness.iter().flatten();
    keys.all(|witness| (witness.vkey.len(), witness.signature.len()) == WITNESS)
}

/// What is named twice would be counted twice.
fn check_inputs(body: &TransactionBody<'_>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for input in body.inputs.iter().chain(body.reference_inputs.iter().flatten()) {
        if !seen.insert((input.transaction_id, input.index)) {
            return Err(format!("it names {} twice", reference(input)));
        }
    }
    Ok(())
}

/// All outputs that have to be there.
pub(super) fn looked_up<'a>(body: &'a TransactionBody<'_>) -> impl Iterator<Item = &'a TransactionInput> {
    body.inputs.iter().chain(body.collateral.iter().flatten()).chain(body.reference_inputs.iter().flatten())
}

/// As hydra-node names an output.
pub(super) fn reference(input: &TransactionInput) -> String {
    format!("{}#{}", input.transaction_id, input.index)
}

/// What the head will hold after it, read as the fold reads it; refused if the library reads something else, or if amounts do not add up to
/// anything that can be.
pub(super) fn check_made(json: &CardanoTx, body: &TransactionBody<'_>) -> Result<(), String> {
    let (spent, made) = spends_and_makes(json).map_err(|error| error.to_string())?;
    let unlike = "it can be read in two ways";
    let by_library: Vec<_> = body.inputs.iter().map(reference).collect();
    // Outputs stand by reference, of which the index is not sorted as a number.
    let mut outputs: Vec<(usize, Output)> = Vec::with_capacity(made.len());
    for (at, json) in &made {
        let index = at.rsplit_once('#').and_then(|(_, index)| index.parse().ok()).ok_or(unlike)?;
        outputs.push((index, Output::read(json.text())?));
    }
    outputs.sort_unstable_by_key(|(index, _)| *index);
    let is_same = |((_, output), library): (&(usize, Output), &conway::TransactionOutput<'_>)| {
        let library = MultiEraOutput::from_conway(library);
        library.address().is_ok_and(|address| address.to_vec() == output.address.to_vec())
            && library.value().into_conway() == output.value()
    };
    let same_outputs = outputs.len() == body.outputs.len() && outputs.iter().zip(&body.outputs).all(is_same);
    if spent != by_library || !same_outputs {
        return Err(unlike.to_owned());
    }
    check_sums(outputs.iter().map(|(_, output)| output), body.fee)
}

/// Checks that no sum over outputs leaves the bounds of what can be.
pub(super) fn check_sums<'a>(outputs: impl Iterator<Item = &'a Output>, fee: u64) -> Result<(), String> {
    let (mut lovelace, mut tokens) = (fee, Tokens::new());
    for output in outputs {
        lovelace = lovelace.saturating_add(output.lovelace);
        for (policy, names) in &output.tokens {
            let sums = tokens.entry(*policy).or_default();
            for (name, amount) in names {
                let sum = sums.entry(name.clone()).or_default();
                *sum = sum.saturating_add(*amount);
                if *sum > MAX_TOKENS {
                    return Err(format!("more than {MAX_TOKENS} of one token"));
                }
            }
        }
    }
    if lovelace > MAX_LOVELACE { Err(format!("more than {MAX_LOVELACE} lovelace")) } else { Ok(()) }
}
