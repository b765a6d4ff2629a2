//! What events do to the ledger of an open head.

use super::{FoldFault, required};
use crate::head::leaf::{Integer, Map, Raw, TxId};
use crate::head::ledger::{apply, union, without_outputs};
use crate::head::state_changed::{
    CommitFinalized, DecommitRecorded, SnapshotConfirmed, SnapshotRequested, StateChanged,
};
use crate::head::typed::{Field, Json, TypeError, Typed};
use crate::head::types::{
    ConfirmedSnapshot, CoordinatedHeadState, Deposit, LastSeen, Requested, SeenSnapshot, SignedSnapshot, Signing,
    Snapshot, Tx, Utxo,
};

impl CoordinatedHeadState {
    /// An event that concerns nothing but the ledger.
    pub(super) fn change(&mut self, change: StateChanged) -> Result<(), FoldFault> {
        use StateChanged as C;
        match change {
            C::TransactionReceived(received) => {
                let tx = required(&received.tx, "tx")?;
                let id = tx_id(tx)?;
                self.all_txs.edit(|all| all.insert(id, tx.clone()));
            }
            C::TransactionAppliedToLocalUTxO(applied) => {
                let tx = required(&applied.tx, "tx")?.clone();
                self.local_utxo = match applied.new_local_utxo {
                    Field::Is(utxo) => Field::Is(utxo),
                    _ => self.with(&tx)?,
                };
                self.local_txs.edit(|txs| txs.push(tx));
            }
            C::TxInvalid(invalid) => {
                let id = tx_id(required(&invalid.transaction, "transaction")?)?;
                self.all_txs.edit(|all| all.remove(&id));
            }
            C::SnapshotRequestDecided(decided) => {
                let last_seen = Field::Is(self.last_seen()?);
                let requested = Requested { last_seen, requested: decided.snapshot_number, other: Vec::new() };
                self.seen_snapshot = Field::Is(SeenSnapshot::RequestedSnapshot(Box::new(requested)));
            }
            C::SnapshotRequested(requested) => self.snapshot_requested(*requested)?,
            C::PartySignedSnapshot(signed) => {
                if let Field::Is(SeenSnapshot::SeenSnapshot(signing)) = &mut self.seen_snapshot {
                    let key = required(&required(&signed.party, "party")?.vkey, "vkey")?.digits().to_owned();
                    let signature = required(&signed.signature, "signature")?.clone();
                    signing.signatories.edit(|signatories| signatories.insert(key, signature));
                }
            }
            C::SnapshotConfirmed(confirmed) => self.snapshot_confirmed(*confirmed)?,
            C::LocalStateCleared(_) => self.clear()?,
            C::DecommitRecorded(decommit) => self.decommit_recorded(*decommit)?,
            _ => {}
        }
        Ok(())
    }

    /// Takes the transactions that are still there out of the pages that they came in.
    pub(super) fn set_apart(&mut self) {
        if let Field::Is(all) = &mut self.all_txs {
            all.values_mut().for_each(|tx| *tx = tx.apart());
        }
        if let Field::Is(local) = &mut self.local_txs {
            local.iter_mut().for_each(|tx| *tx = tx.apart());
        }
    }

    fn with(&self, tx: &Json<Tx>) -> Result<Field<Json<Utxo>>, FoldFault> {
        let set = required(&self.local_utxo, "localUTxO")?.get()?;
        Ok(Field::Is(Json::of(&apply(set, &tx.get()?)?)?))
    }

    /// Signing begins: what the snapshot takes in leaves the local transactions.
    fn snapshot_requested(&mut self, requested: SnapshotRequested) -> Result<(), FoldFault> {
        let snapshot = requested.snapshot.get().or(requested.requested_snapshot.get());
        let snapshot = snapshot.ok_or(FoldFault::Missing("snapshot"))?.clone();
        let in_snapshot: Vec<String> = match requested.requested_tx_ids {
            Field::Is(ids) => ids.iter().map(|id| id.as_key().to_owned()).collect(),
            _ => confirmed_ids(&snapshot)?,
        };
        self.all_txs.edit(|all| in_snapshot.iter().for_each(|id| drop(all.remove(id))));
        let txs = match requested.new_local_txs {
            Field::Is(txs) => txs,
            _ => Vec::new(),
        };
        self.local_utxo = match requested.new_local_utxo {
            Field::Is(utxo) => Field::Is(utxo),
            _ => {
                let mut set = self.settled(&snapshot.get()?)?;
                for tx in &txs {
                    set = apply(set, &tx.get()?)?;
                }
                Field::Is(Json::of(&set)?)
            }
        };
        self.local_txs = Field::Is(txs);
        if requested.new_current_deposit_tx_id != Field::Absent {
            self.current_deposit_tx_id = requested.new_current_deposit_tx_id;
        }
        let signing = Signing { signatories: Field::Is(Map::new()), snapshot: Field::Is(snapshot), other: Vec::new() };
        self.seen_snapshot = Field::Is(SeenSnapshot::SeenSnapshot(Box::new(signing)));
        Ok(())
    }

    /// What a snapshot leaves in the head: a deposit counts once the version says that it has come in.
    fn settled(&self, snapshot: &Snapshot) -> Result<Utxo, FoldFault> {
        let set = required(&snapshot.utxo, "utxo")?.get()?;
        let version = |field: &Field<Integer>| field.get().and_then(Integer::get).unwrap_or_default();
        match &snapshot.utxo_to_commit {
            Field::Is(deposit) if version(&self.version) > version(&snapshot.version) => {
                Ok(union(set, deposit.get()?)?)
            }
            _ => Ok(set),
        }
    }

    fn snapshot_confirmed(&mut self, confirmed: SnapshotConfirmed) -> Result<(), FoldFault> {
        let snapshot = match (confirmed.snapshot, &self.seen_snapshot) {
            (Field::Is(snapshot), _) => snapshot,
            (_, Field::Is(SeenSnapshot::SeenSnapshot(signing))) => required(&signing.snapshot, "snapshot")?.clone(),
            _ => return Err(FoldFault::NoSnapshot),
        };
        let number = number_of(&snapshot)?;
        let signed =
            SignedSnapshot { signatures: confirmed.signatures, snapshot: Field::Is(snapshot), other: Vec::new() };
        self.confirmed_snapshot = Field::Is(ConfirmedSnapshot::ConfirmedSnapshot(Box::new(signed)));
        self.saw(number);
        Ok(())
    }

    fn saw(&mut self, number: Integer) {
        let last = LastSeen { last_seen: Field::Is(number), other: Vec::new() };
        self.seen_snapshot = Field::Is(SeenSnapshot::LastSeenSnapshot(Box::new(last)));
    }

    fn last_seen(&self) -> Result<Integer, FoldFault> {
        match &self.seen_snapshot {
            Field::Is(SeenSnapshot::LastSeenSnapshot(last)) => required(&last.last_seen, "lastSeen").cloned(),
            Field::Is(SeenSnapshot::RequestedSnapshot(last)) => required(&last.last_seen, "lastSeen").cloned(),
            Field::Is(SeenSnapshot::SeenSnapshot(signing)) => Ok(number_of(required(&signing.snapshot, "snapshot")?)?),
            _ => Ok(Integer::from(0)),
        }
    }

    /// A snapshot was loaded from beside: everything local goes.
    fn clear(&mut self) -> Result<(), FoldFault> {
        let confirmed = required(&self.confirmed_snapshot, "confirmedSnapshot")?.clone();
        self.local_utxo = match &confirmed {
            ConfirmedSnapshot::ConfirmedSnapshot(signed) => {
                let snapshot = required(&signed.snapshot, "snapshot")?;
                self.saw(number_of(snapshot)?);
                snapshot.get()?.utxo
            }
            ConfirmedSnapshot::InitialSnapshot(initial) => {
                self.seen_snapshot = Field::Is(SeenSnapshot::NoSeenSnapshot(Box::default()));
                match &initial.initial_utxo {
                    Field::Is(utxo) => Field::Is(utxo.clone()),
                    _ => Field::Is(Json::of(&Utxo::default())?),
                }
            }
            ConfirmedSnapshot::Unknown(_) => return Err(FoldFault::NoSnapshot),
        };
        self.local_txs = Field::Is(Vec::new());
        self.all_txs = Field::Is(Map::new());
        (self.decommit_tx, self.current_deposit_tx_id) = (Field::Null, Field::Null);
        Ok(())
    }

    fn decommit_recorded(&mut self, decommit: DecommitRecorded) -> Result<(), FoldFault> {
        let tx = required(&decommit.decommit_tx, "decommitTx")?.apart();
        self.local_utxo = match decommit.new_local_utxo {
            Field::Is(utxo) => Field::Is(utxo),
            _ => {
                let (set, tx) = (required(&self.local_utxo, "localUTxO")?.get()?, tx.get()?);
                Field::Is(Json::of(&without_outputs(apply(set, &tx)?, &tx)?)?)
            }
        };
        self.decommit_tx = Field::Is(tx);
        Ok(())
    }

    /// A deposit has come in on the chain; it was taken out of the pending ones, or is none if it was not among them.
    pub(super) fn commit_finalized(
        &mut self,
        commit: &CommitFinalized,
        deposit: Option<&Json<Raw>>,
    ) -> Result<(), FoldFault> {
        if let Some(deposit) = deposit {
            let set = required(&self.local_utxo, "localUTxO")?.get()?;
            self.local_utxo = Field::Is(Json::of(&union(set, deposited(deposit)?)?)?);
        }
        (self.version, self.current_deposit_tx_id) = (commit.new_version.clone(), Field::Null);
        Ok(())
    }
}

/// The outputs of a deposit: in 0.20 the outputs themselves, later a record that has them.
fn deposited(deposit: &Json<Raw>) -> Result<Utxo, FoldFault> {
    let record: Json<Deposit> = deposit.cast();
    if let Ok(Deposit { deposited: Field::Is(utxo), .. }) = record.get() {
        return Ok(utxo.get()?);
    }
    Ok(deposit.cast::<Utxo>().get()?)
}

/// Only as much of the snapshot is read as it takes.
fn number_of(snapshot: &Json<Snapshot>) -> Result<Integer, TypeError> {
    let number = snapshot.first_of(&["number", "snapshotNumber"])?;
    Integer::read(&number.ok_or_else(|| TypeError::new("a snapshot with a number", "one without"))?)
}

/// The ids of the transactions that a snapshot takes in.
fn confirmed_ids(snapshot: &Json<Snapshot>) -> Result<Vec<String>, FoldFault> {
    let snapshot = snapshot.get()?;
    if let Field::Is(ids) = &snapshot.confirmed_transactions {
        return Ok(ids.get()?.iter().map(|id| id.as_key().to_owned()).collect());
    }
    let txs = snapshot.confirmed.get().map(Json::get).transpose()?.unwrap_or_default();
    Ok(txs.iter().filter_map(|tx| tx.id().map(str::to_owned)).collect())
}

/// Only as much of the transaction is read as it takes.
fn tx_id(tx: &Json<Tx>) -> Result<String, FoldFault> {
    let id = tx.first_of(&["txId", "id"])?.ok_or(FoldFault::Missing("txId"))?;
    Ok(TxId::read(&id)?.as_key().to_owned())
}
