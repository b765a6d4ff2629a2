//! State changes of an offline head, in the form of hydra-node 1.x.

use ring::rand::{SecureRandom, SystemRandom};

use super::key::KeyError;
use crate::head::{Json, Snapshot, Tx, Utxo};
use crate::json_text::{list, object, quoted, text};

/// One StateChanged, as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change(String);

/// The head that a change is of, and what every change about the chain says of that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Of<'a> {
    /// Hexadecimal digits.
    pub(super) head_id: &'a str,
    /// JSON.
    pub(super) chain_state: &'a str,
}

/// What a head opens with. All of it is settled before it begins: there is no chain to agree on it.
#[derive(Clone, Debug)]
pub struct InitialHead {
    /// Hexadecimal digits.
    pub head_id: String,
    /// Hexadecimal digits.
    pub head_seed: String,
    /// The verification key of the one party, in hexadecimal digits.
    pub party: String,
    /// In seconds.
    pub contestation_period: u64,
    /// What the party commits.
    pub utxo: Json<Utxo>,
}

impl InitialHead {
    /// A head of one party. As in hydra-node's offline mode its id is made of its seed.
    pub fn new(seed: &[u8], party: String, contestation_period: u64, utxo: Json<Utxo>) -> Self {
        let head_id = hex::encode([b"offline-", seed].concat());
        Self { head_id, head_seed: hex::encode(seed), party, contestation_period, utxo }
    }

    /// A seed that no other head has.
    ///
    /// # Errors
    ///
    /// [`KeyError::Random`].
    pub fn random_seed() -> Result<[u8; 16], KeyError> {
        let mut seed = [0; 16];
        SystemRandom::new().fill(&mut seed).map_err(|_| KeyError::Random)?;
        Ok(seed)
    }
}

/// A change of this tag and these members, which must be in alphabetical order.
fn tagged<const N: usize>(tag: &str, members: [(&str, &str); N]) -> Change {
    let tag = quoted(tag);
    let (before, after) = members.split_at(members.partition_point(|(name, _)| *name < "tag"));
    Change(object(before.iter().copied().chain([("tag", &*tag)]).chain(after.iter().copied())))
}

fn party_json(vkey: &str) -> String {
    object([("vkey", quoted(vkey).as_str())])
}

impl Change {
    /// The JSON.
    pub fn json(&self) -> &str {
        &self.0
    }

    /// The three with which a head opens: all of one party, with what it commits.
    pub(super) fn opening(head: &InitialHead, chain_state: &str) -> [Self; 3] {
        let (id, seed, party) = (quoted(&head.head_id), quoted(&head.head_seed), party_json(&head.party));
        let parties = list([party.as_str()].into_iter());
        let period = head.contestation_period.to_string();
        let parameters = object([("contestationPeriod", period.as_str()), ("parties", &parties)]);
        let initialized = tagged(
            "HeadInitialized",
            [
                ("chainState", chain_state),
                ("headId", &id),
                ("headSeed", &seed),
                ("parameters", &parameters),
                ("parties", &parties),
            ],
        );
        let utxo = head.utxo.text();
        let committed = tagged(
            "CommittedUTxO",
            [("chainState", chain_state), ("committedUTxO", utxo), ("headId", &id), ("party", &party)],
        );
        let opened = tagged("HeadOpened", [("chainState", chain_state), ("headId", &id), ("initialUTxO", utxo)]);
        [initialized, committed, opened]
    }

    pub(super) fn transaction_received(tx: &Json<Tx>) -> Self {
        tagged("TransactionReceived", [("tx", tx.text())])
    }

    pub(super) fn transaction_applied(of: Of<'_>, tx: &Json<Tx>, utxo: &str) -> Self {
        let members = [("headId", &*quoted(of.head_id)), ("newLocalUTxO", utxo), ("tx", tx.text())];
        tagged("TransactionAppliedToLocalUTxO", members)
    }

    pub(super) fn tx_invalid(of: Of<'_>, tx: &Json<Tx>, utxo: &str, reason: &str) -> Self {
        let error = object([("reason", text(reason).as_str())]);
        let head_id = quoted(of.head_id);
        tagged(
            "TxInvalid",
            [("headId", &*head_id), ("transaction", tx.text()), ("utxo", utxo), ("validationError", &error)],
        )
    }

    pub(super) fn snapshot_request_decided(number: i128) -> Self {
        tagged("SnapshotRequestDecided", [("snapshotNumber", &*number.to_string())])
    }

    /// `left`: what stays of the local transactions; `utxo`: of the local outputs.
    pub(super) fn snapshot_requested(snapshot: &Json<Snapshot>, ids: &[String], left: &[Json<Tx>], utxo: &str) -> Self {
        let (ids, left) = (list(ids.iter().map(String::as_str)), list(left.iter().map(Json::text)));
        tagged(
            "SnapshotRequested",
            [
                ("newCurrentDepositTxId", "null"),
                ("newLocalTxs", &left),
                ("newLocalUTxO", utxo),
                ("requestedTxIds", &ids),
                ("snapshot", snapshot.text()),
            ],
        )
    }

    pub(super) fn party_signed(snapshot: &Json<Snapshot>, party: &str, signature: &str) -> Self {
        let (party, signature) = (party_json(party), quoted(signature));
        tagged("PartySignedSnapshot", [("party", &*party), ("signature", &signature), ("snapshot", snapshot.text())])
    }

    pub(super) fn snapshot_confirmed(of: Of<'_>, snapshot: &Json<Snapshot>, signature: &str) -> Self {
        let signatures = list([&*quoted(signature)].into_iter());
        let signatures = object([("multiSignature", signatures.as_str())]);
        let head_id = quoted(of.head_id);
        tagged("SnapshotConfirmed", [("headId", &*head_id), ("signatures", &signatures), ("snapshot", snapshot.text())])
    }

    /// `deadline` as JSON.
    pub(super) fn head_closed(of: Of<'_>, deadline: &str, number: i128) -> Self {
        let (head_id, number) = (quoted(of.head_id), number.to_string());
        tagged(
            "HeadClosed",
            [
                ("chainState", of.chain_state),
                ("contestationDeadline", deadline),
                ("headId", &head_id),
                ("snapshotNumber", &number),
            ],
        )
    }

    pub(super) fn ready_to_fanout(of: Of<'_>) -> Self {
        tagged("HeadIsReadyToFanout", [("headId", &*quoted(of.head_id))])
    }

    pub(super) fn head_fanned_out(of: Of<'_>, utxo: &str) -> Self {
        tagged("HeadFannedOut", [("chainState", of.chain_state), ("headId", &*quoted(of.head_id)), ("utxo", utxo)])
    }

    pub(super) fn tick_observed(slot: u64) -> Self {
        tagged("TickObserved", [("chainSlot", &*slot.to_string())])
    }
}
