//! What transactions an offline head takes: ledgers behind one trait.

mod cardano;
pub mod contract;
mod simple;

use std::fmt;

use crate::head::{Json, Tx, Utxo};

pub use cardano::{
    CardanoLedger, MAX_FEE_FIXED, MAX_FEE_PER_BYTE, MAX_TX_BYTES, MAX_UTXO_COST_PER_BYTE, ParametersError,
    ProtocolParameters,
};
pub use simple::SimpleLedger;

/// The rules of what may be spent.
///
/// # Duties
///
/// They are checked by [`contract::check`], which both ledgers pass.
///
/// * `validate` is pure: the same transaction, outputs and slot always come to the same answer.
/// * What it lets pass can be applied: its inputs are among the outputs, and none of what it makes is there already.
/// * The texts that `transaction` and `outputs` give hold nothing but what the ledger knows of, in hydra-node's form: they are written to the
///   log as they stand.
pub trait Ledger: fmt::Debug + Send + Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// What `chainState` holds in a head that no chain has seen.
    fn chain_state(&self) -> &'static str;

    /// Rules that transactions are held to, in words.
    fn enforced(&self) -> &'static [&'static str];

    /// Rules of the real ledger that they are not held to, in words.
    fn not_enforced(&self) -> &'static [&'static str];

    /// The protocol parameters, as JSON.
    fn protocol_parameters(&self) -> &str;

    /// No outputs, as JSON.
    fn no_outputs(&self) -> &'static str;

    /// Reads a transaction that a client sent.
    ///
    /// # Errors
    ///
    /// Why it is none of this ledger, in words.
    fn transaction(&self, json: &str) -> Result<Json<Tx>, String>;

    /// Reads the outputs that a head opens with.
    ///
    /// # Errors
    ///
    /// Why they are none of this ledger, in words.
    fn outputs(&self, json: &str) -> Result<Json<Utxo>, String>;

    /// Says whether a transaction may be applied to these outputs in this slot.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    fn validate(&self, tx: &Tx, utxo: &Utxo, slot: u64) -> Result<(), Refusal>;
}

/// Why a transaction may not be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In words.
    pub reason: String,
    /// Whether it may be applied after other transactions that are still to come.
    pub may_pass: bool,
}
