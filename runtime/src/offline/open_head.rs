//! What the logic reads of an open head's state.

use crate::event::Text;
use crate::head::{
    CoordinatedHeadState, Field, FoldFault, Integer, Json, Open, SeenSnapshot, Snapshot, Tx, Utxo, apply,
};
use crate::json_text::{list, object, quoted};

/// An open head.
pub(super) struct OpenHead<'a> {
    /// Hexadecimal digits.
    pub(super) id: &'a str,
    ledger: &'a CoordinatedHeadState,
    pub(super) confirmed: Confirmed,
    pub(super) flight: Flight,
}

/// What all agreed on last.
pub(super) struct Confirmed {
    /// 0 before the first snapshot.
    pub(super) number: i128,
    utxo: Json<Utxo>,
}

/// The snapshot that is under way.
pub(super) enum Flight {
    None,
    /// It was asked for.
    Requested {
        number: i128,
    },
    /// It is being signed.
    Signing {
        snapshot: Json<Snapshot>,
        number: i128,
    },
}

/// A snapshot to be signed.
pub(super) struct NextSnapshot<'a> {
    pub(super) snapshot: Json<Snapshot>,
    /// Ids of the transactions in it, as JSON.
    pub(super) ids: Vec<String>,
    /// Local transactions that are not in it.
    pub(super) left: &'a [Json<Tx>],
}

impl<'a> OpenHead<'a> {
    pub(super) fn of(open: &'a Open) -> Result<Self, FoldFault> {
        let id = open.head_id.get().ok_or(FoldFault::Missing("headId"))?.digits();
        let ledger = open.coordinated.get().ok_or(FoldFault::Missing("coordinatedHeadState"))?;
        Ok(Self { id, ledger, confirmed: confirmed(ledger)?, flight: flight(ledger)? })
    }

    pub(super) fn local_utxo(&self) -> Result<&'a Json<Utxo>, FoldFault> {
        self.ledger.local_utxo.get().ok_or(FoldFault::Missing("localUTxO"))
    }

    /// Transactions that were applied and are in no snapshot yet.
    pub(super) fn local_txs(&self) -> &'a [Json<Tx>] {
        self.ledger.local_txs.get().map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a transaction was received and neither refused nor taken into a snapshot.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.ledger.all_txs.get().is_some_and(|all| all.contains_key(id))
    }

    /// Transactions that were received and not applied.
    pub(super) fn received_only(&self) -> Result<Vec<Json<Tx>>, FoldFault> {
        let mut applied = std::collections::BTreeSet::new();
        for tx in self.local_txs() {
            applied.extend(tx.get()?.id().map(str::to_owned));
        }
        let all = self.ledger.all_txs.get().into_iter().flatten();
        Ok(all.filter(|(id, _)| !applied.contains(*id)).map(|(_, tx)| tx.clone()).collect())
    }

    /// Outputs after a transaction that the ledger lets pass.
    pub(super) fn apply(utxo: Utxo, tx: &Tx) -> Result<Json<Utxo>, FoldFault> {
        Ok(Json::of(&apply(utxo, tx)?)?)
    }

    /// The next snapshot, with up to `most` of the local transactions.
    pub(super) fn next_snapshot(&self, number: i128, most: usize) -> Result<NextSnapshot<'a>, FoldFault> {
        let local = self.local_txs();
        let (taken, left) = local.split_at(most.min(local.len()));
        let mut ids = Vec::with_capacity(taken.len());
        let mut utxo = None;
        for json in taken {
            let tx = json.get()?;
            ids.extend(tx.id_json());
            // Whoever takes them all has the local outputs already.
            if !left.is_empty() {
                let before = utxo.as_ref().unwrap_or(&self.confirmed.utxo).get()?;
                utxo = Some(Self::apply(before, &tx)?);
            }
        }
        let utxo = match utxo {
            Some(utxo) => utxo,
            None => self.local_utxo()?.clone(),
        };
        let version = self.ledger.version.get().map_or("0", Integer::as_json);
        let snapshot = object([
            ("confirmed", list(taken.iter().map(Json::text)).as_str()),
            ("headId", &quoted(self.id)),
            ("number", &number.to_string()),
            ("utxo", utxo.text()),
            ("utxoToCommit", "null"),
            ("utxoToDecommit", "null"),
            ("version", version),
        ]);
        Ok(NextSnapshot { snapshot: Json::from(Text::from(snapshot)), ids, left })
    }
}

fn confirmed(ledger: &CoordinatedHeadState) -> Result<Confirmed, FoldFault> {
    let confirmed = ledger.confirmed_snapshot.get().ok_or(FoldFault::Missing("confirmedSnapshot"))?;
    let number = confirmed.number()?.as_ref().and_then(Integer::get).ok_or(FoldFault::Missing("number"))?;
    Ok(Confirmed { number, utxo: confirmed.utxo()?.ok_or(FoldFault::Missing("utxo"))? })
}

fn flight(ledger: &CoordinatedHeadState) -> Result<Flight, FoldFault> {
    match ledger.seen_snapshot.get() {
        Some(SeenSnapshot::RequestedSnapshot(requested)) => {
            Ok(Flight::Requested { number: number(&requested.requested)? })
        }
        Some(SeenSnapshot::SeenSnapshot(signing)) => {
            let snapshot = signing.snapshot.get().ok_or(FoldFault::Missing("snapshot"))?.clone();
            let number = number(&snapshot.get()?.number)?;
            Ok(Flight::Signing { snapshot, number })
        }
        _ => Ok(Flight::None),
    }
}

fn number(field: &Field<Integer>) -> Result<i128, FoldFault> {
    field.get().and_then(Integer::get).ok_or(FoldFault::Missing("number"))
}
