//! What transactions do to a set of outputs. Nothing is validated: the node did that before it wrote the event.

use super::leaf::{Integer, Map};
use super::typed::{Json, TypeError};
use super::types::{SimpleTx, Tx, TxOut, Utxo};

/// Why a set of outputs cannot be worked out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// A transaction or an output is not what hydra-node writes.
    #[error(transparent)]
    Type(#[from] TypeError),
    /// Sets of two ledgers.
    #[error("outputs of Cardano and of SimpleTx in one head")]
    Mixed,
    /// A Cardano transaction cannot be applied without its outputs being spelled out.
    #[error("transaction {0} would have to be decoded from CBOR")]
    Cbor(String),
}

/// Adds outputs to a set.
pub(crate) fn union(set: Utxo, more: Utxo) -> Result<Utxo, LedgerError> {
    match (set, more) {
        (Utxo::Cardano(mut set), Utxo::Cardano(more)) => {
            set.extend(more);
            Ok(Utxo::Cardano(set))
        }
        (Utxo::Simple(set), Utxo::Simple(more)) => Ok(Utxo::Simple(sorted(set.into_iter().chain(more)))),
        // An empty set may be written for either ledger.
        (Utxo::Cardano(set), more) if set.is_empty() => Ok(more),
        (set, Utxo::Cardano(more)) if more.is_empty() => Ok(set),
        _ => Err(LedgerError::Mixed),
    }
}

/// A set after a transaction: without what it spends, with what it makes.
pub(crate) fn apply(set: Utxo, tx: &Tx) -> Result<Utxo, LedgerError> {
    match (set, tx) {
        (Utxo::Simple(set), Tx::Simple(tx)) => Ok(Utxo::Simple(apply_simple(set, tx))),
        (Utxo::Cardano(set), Tx::Simple(tx)) if set.is_empty() => Ok(Utxo::Simple(apply_simple(Vec::new(), tx))),
        (Utxo::Cardano(set), Tx::Cardano(tx)) => {
            let (spent, made) = super::cardano::spends_and_makes(tx)?;
            let mut set: Map<Json<TxOut>> = set;
            for reference in spent {
                set.remove(&reference);
            }
            set.extend(made);
            Ok(Utxo::Cardano(set))
        }
        _ => Err(LedgerError::Mixed),
    }
}

/// A set without what a transaction made.
pub(super) fn without_outputs(set: Utxo, tx: &Tx) -> Result<Utxo, LedgerError> {
    match (set, tx) {
        (Utxo::Simple(set), Tx::Simple(tx)) => {
            let made = tx.outputs.get().cloned().unwrap_or_default();
            Ok(Utxo::Simple(set.into_iter().filter(|output| !made.contains(output)).collect()))
        }
        (Utxo::Cardano(mut set), tx @ Tx::Cardano(_)) => {
            let prefix = format!("{}#", tx.id().unwrap_or_default());
            set.retain(|reference, _| !reference.starts_with(&prefix));
            Ok(Utxo::Cardano(set))
        }
        _ => Err(LedgerError::Mixed),
    }
}

fn apply_simple(set: Vec<Integer>, tx: &SimpleTx) -> Vec<Integer> {
    let (spent, made) = (tx.inputs.get().cloned().unwrap_or_default(), tx.outputs.get().cloned().unwrap_or_default());
    sorted(set.into_iter().filter(|output| !spent.contains(output)).chain(made))
}

fn sorted(outputs: impl Iterator<Item = Integer>) -> Vec<Integer> {
    let mut outputs: Vec<Integer> = outputs.collect();
    outputs.sort_by_key(Integer::get);
    outputs.dedup();
    outputs
}
