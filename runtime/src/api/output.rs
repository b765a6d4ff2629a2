//! What clients are told of a state change: hydra-node's TimedServerOutput.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::event::{NotJson, StateEvent, Text};
use crate::head::{Json, Snapshot, Tx, TxOut, first_of, makes};
use crate::json_text::{object, quoted};

/// What an output is made of.
struct Mapping {
    /// The StateChanged.
    from: &'static str,
    /// The output.
    tag: &'static str,
    /// Its members.
    members: &'static [Member],
}

struct Member {
    name: &'static str,
    /// Where it stands in the StateChanged: the name of a member of it, then of a member of that.
    path: &'static [&'static str],
}

macro_rules! outputs {
    ($($from:ident => $tag:ident { $($name:ident $(= $($member:ident).+)?),* })*) => {
        /// hydra-node's outputs. It has none for StateChanged of other tags; members that a version does not write are left out.
        const OUTPUTS: &[Mapping] = &[$(Mapping {
            from: stringify!($from),
            tag: stringify!($tag),
            members: &[$(outputs!(@ $name $($($member)+)?)),*],
        }),*];
    };
    (@ $name:ident) => { outputs!(@ $name $name) };
    (@ $name:ident $($member:ident)+) => { Member { name: stringify!($name), path: &[$(stringify!($member)),+] } };
}

outputs! {
    HeadInitialized => HeadIsInitializing { headId, parties }
    CommittedUTxO => Committed { headId, party, utxo = committedUTxO }
    HeadOpened => HeadIsOpen { headId, parties, utxo = initialUTxO }
    HeadClosed => HeadIsClosed { contestationDeadline, headId, snapshotNumber }
    HeadContested => HeadIsContested { contestationDeadline, headId, snapshotNumber }
    HeadIsReadyToFanout => ReadyToFanout { headId }
    HeadAborted => HeadIsAborted { headId, utxo }
    HeadFannedOut => HeadIsFinalized { finalizedUTxO = finalizedOutputs, headId, utxo }
    TransactionAppliedToLocalUTxO => TxValid { headId }
    TxInvalid => TxInvalid { headId, transaction, utxo, validationError }
    SnapshotConfirmed => SnapshotConfirmed { headId, signatures, snapshot }
    IgnoredHeadInitializing => IgnoredHeadInitializing { contestationPeriod, headId, participants, parties }
    DecommitRecorded => DecommitRequested { decommitTx, headId, utxoToDecommit }
    DecommitInvalid => DecommitInvalid { decommitInvalidReason, decommitTx, headId }
    DecommitApproved => DecommitApproved { decommitTxId, headId, utxoToDecommit }
    DecommitFinalized => DecommitFinalized { distributedUTxO, headId }
    CommitApproved => CommitApproved { headId, utxoToCommit }
    CommitFinalized => CommitFinalized { depositTxId, headId }
    DepositRecorded => CommitRecorded { deadline, headId, pendingDeposit = depositTxId, utxoToCommit = deposited }
    DepositActivated => DepositActivated { chainTime, deadline = deposit.deadline, depositTxId, headId = deposit.headId }
    DepositExpired => DepositExpired { chainTime, deadline = deposit.deadline, depositTxId, headId = deposit.headId }
    DepositRecovered => CommitRecovered { headId, recoveredTxId = depositTxId, recoveredUTxO = recovered }
    LocalStateCleared => SnapshotSideLoaded { headId, snapshotNumber }
    NetworkConnected => NetworkConnected {}
    NetworkDisconnected => NetworkDisconnected {}
    NetworkVersionMismatch => NetworkVersionMismatch { ourVersion, theirVersion }
    NetworkClusterIDMismatch => NetworkClusterIDMismatch { clusterPeers, misconfiguredPeers }
    NetworkBroadcastStalled => NetworkBroadcastStalled { pendingBroadcasts, stallReason }
    NetworkBroadcastResumed => NetworkBroadcastResumed {}
    PeerConnected => PeerConnected { peer }
    PeerDisconnected => PeerDisconnected { peer }
    NodeSynced => NodeSynced { chainSlot, chainTime, drift }
    NodeUnsynced => NodeUnsynced { chainSlot, chainTime, drift }
    Checkpoint => EventLogRotated { checkpoint = state }
}

/// One output.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) tag: &'static str,
    /// The transaction's id, for what is about one.
    pub(super) tx_id: Option<String>,
    members: BTreeMap<&'static str, Text>,
    /// `seq`, `tag` and `timestamp`, as JSON.
    own: Vec<(&'static str, String)>,
    /// Transactions whose outputs a filter by address looks at; none for what passes every filter.
    transactions: Option<Vec<Json<Tx>>>,
}

/// Makes outputs of the events of a log, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Outputs {
    /// The snapshot asked for last: since 2.1 its confirmation does not repeat it.
    requested: Option<Text>,
}

impl Outputs {
    /// What clients are told of an event, if anything.
    pub(super) fn of(&mut self, event: &StateEvent) -> Result<Option<Output>, NotJson> {
        let known = OUTPUTS.iter().find(|mapping| mapping.from == event.tag());
        let Some(Mapping { tag, members: wanted, .. }) = known else {
            if event.tag() == "SnapshotRequested" {
                let mut members = members(event)?;
                self.requested = members.remove("requestedSnapshot").or_else(|| members.remove("snapshot"));
            }
            return Ok(None);
        };
        let mut given = members(event)?;
        let tx = given.remove("tx").or_else(|| given.get("transaction").cloned());
        let mut kept: BTreeMap<&'static str, Text> = BTreeMap::new();
        for Member { name, path } in *wanted {
            kept.extend(at(&given, path).map(|value| (*name, value)));
        }
        if *tag == "SnapshotConfirmed" && kept.get("snapshot").is_none_or(|snapshot| &**snapshot == "null") {
            kept.remove("snapshot");
            kept.extend(self.requested.take().map(|snapshot| ("snapshot", snapshot)));
        }
        let tx = tx.map(Json::<Tx>::from);
        let read = tx.as_ref().and_then(|tx| tx.get().ok());
        let tx_id = read.as_ref().and_then(|tx| tx.id().map(str::to_owned));
        let mut own = vec![("seq", event.id().to_string()), ("tag", quoted(tag))];
        own.extend(timestamp(event).map(|time| ("timestamp", time)));
        if *tag == "TxValid" {
            own.extend(read.as_ref().and_then(Tx::id_json).map(|id| ("transactionId", id)));
        }
        let transactions = match *tag {
            "TxValid" | "TxInvalid" => Some(tx.into_iter().collect()),
            "SnapshotConfirmed" => Some(kept.get("snapshot").map(confirmed).unwrap_or_default()),
            _ => None,
        };
        Ok(Some(Output { tag, tx_id, members: kept, own, transactions }))
    }
}

/// What stands at a path.
fn at(members: &BTreeMap<String, Text>, path: &[&str]) -> Option<Text> {
    let (first, within) = path.split_first()?;
    let found = members.get(*first)?.clone();
    within.iter().try_fold(found, |object, name| first_of(&object, &[name]).ok().flatten())
}

fn members(event: &StateEvent) -> Result<BTreeMap<String, Text>, NotJson> {
    let mut members = BTreeMap::new();
    event.state_changed(&mut |name, value| {
        members.insert(name.to_owned(), event.text().sub(value));
        ControlFlow::Continue(())
    })?;
    Ok(members)
}

/// The time as it stands in the event.
pub(super) fn timestamp(event: &StateEvent) -> Option<String> {
    first_of(event.text(), &["time"]).ok()?.map(|time| time.to_string())
}

/// Transactions in a snapshot.
fn confirmed(snapshot: &Text) -> Vec<Json<Tx>> {
    let snapshot: Json<Snapshot> = Json::from(snapshot.clone());
    let confirmed = snapshot.get().ok().and_then(|snapshot| snapshot.confirmed.get().cloned());
    confirmed.and_then(|txs| txs.cast::<Vec<Json<Tx>>>().get().ok()).unwrap_or_default()
}

impl Output {
    /// The JSON; without the outputs of the snapshot if the client does not want them.
    pub(super) fn json(&self, with_utxo: bool) -> String {
        let snapshot = self.members.get("snapshot").filter(|_| !with_utxo && self.tag == "SnapshotConfirmed");
        let snapshot = snapshot.map(|snapshot| without(snapshot, "utxo"));
        let mut members: Vec<(&str, &str)> = self.own.iter().map(|(name, json)| (*name, json.as_str())).collect();
        for (name, value) in &self.members {
            let value = if *name == "snapshot" { snapshot.as_deref().unwrap_or(value) } else { value };
            members.push((name, value));
        }
        members.sort_unstable_by_key(|(name, _)| *name);
        object(members)
    }

    /// Whether a client that asked for this address is told: of transactions, only those with an output at it.
    pub(super) fn concerns(&self, address: &str) -> bool {
        let Some(transactions) = &self.transactions else { return true };
        transactions.iter().any(|tx| tx.get().is_ok_and(|tx| pays(&tx, address)))
    }

    /// Whether it confirms a snapshot with this transaction.
    pub(super) fn confirms(&self, tx_id: &str) -> bool {
        let confirmed = self.transactions.as_ref().filter(|_| self.tag == "SnapshotConfirmed");
        confirmed.is_some_and(|txs| txs.iter().any(|tx| tx.get().is_ok_and(|tx| tx.id() == Some(tx_id))))
    }

    /// The number of the snapshot in it, as JSON.
    pub(super) fn snapshot_number(&self) -> Option<String> {
        first_of(self.members.get("snapshot")?, &["number"]).ok()?.map(|number| number.to_string())
    }

    /// A member, as JSON.
    pub(super) fn member(&self, name: &str) -> Option<&Text> {
        self.members.get(name)
    }
}

fn pays(tx: &Tx, address: &str) -> bool {
    let Tx::Cardano(tx) = tx else { return false };
    let at = |output: &Json<TxOut>| {
        output.get().is_ok_and(|output| output.address.get().is_some_and(|found| found.content() == address))
    };
    makes(tx).is_ok_and(|outputs| outputs.iter().any(at))
}

/// An object without one of its members.
fn without(json: &Text, name: &str) -> String {
    let mut members = Vec::new();
    let _ = json.members(&mut |key, value| {
        if key != name {
            members.push((key.to_owned(), json.sub(value)));
        }
        ControlFlow::Continue(())
    });
    object(members.iter().map(|(name, value)| (name.as_str(), &**value)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::head::StateChanged;
    use crate::sample::{Sample, Schema};

    fn event(id: u64, changed: &Value) -> StateEvent {
        let event = json!({ "eventId": id, "stateChanged": changed, "time": "2026-01-01T00:00:00.123456789012Z" });
        StateEvent::parse(event.to_string()).unwrap()
    }

    fn told(outputs: &mut Outputs, changed: &Value) -> Value {
        let output = outputs.of(&event(7, changed)).unwrap();
        output.map_or(Value::Null, |output| serde_json::from_str(&output.json(true)).unwrap())
    }

    #[test]
    fn outputs_have_hydra_nodes_names_with_the_events_id_and_time() {
        let cases = [
            (
                json!({ "tag": "HeadOpened", "chainState": {}, "headId": "ab", "initialUTxO": [1] }),
                json!({ "tag": "HeadIsOpen", "headId": "ab", "utxo": [1] }),
            ),
            (
                json!({ "tag": "HeadOpened", "chainState": {}, "headId": "ab", "headSeed": "00", "parameters": {}, "parties": [] }),
                json!({ "tag": "HeadIsOpen", "headId": "ab", "parties": [] }),
            ),
            (
                json!({ "tag": "TransactionAppliedToLocalUTxO", "headId": "ab", "newLocalUTxO": {}, "tx": { "cborHex": "00", "txId": "cd" } }),
                json!({ "tag": "TxValid", "headId": "ab", "transactionId": "cd" }),
            ),
            (
                json!({ "tag": "DepositRecorded", "chainState": {}, "created": "x", "deadline": "y", "depositTxId": "cd", "deposited": {}, "headId": "ab" }),
                json!({ "tag": "CommitRecorded", "deadline": "y", "headId": "ab", "pendingDeposit": "cd", "utxoToCommit": {} }),
            ),
            (
                json!({ "tag": "HeadFannedOut", "chainState": {}, "headId": "ab", "finalizedOutputs": {} }),
                json!({ "tag": "HeadIsFinalized", "headId": "ab", "finalizedUTxO": {} }),
            ),
            (
                json!({ "tag": "Checkpoint", "state": { "tag": "Idle" } }),
                json!({ "tag": "EventLogRotated", "checkpoint": { "tag": "Idle" } }),
            ),
            (
                json!({ "tag": "DepositExpired", "chainTime": "x", "depositTxId": "cd", "deposit": { "deadline": "y", "deposited": {}, "headId": "ab" } }),
                json!({ "tag": "DepositExpired", "chainTime": "x", "deadline": "y", "depositTxId": "cd", "headId": "ab" }),
            ),
            (
                json!({ "tag": "NetworkVersionMismatch", "ourVersion": 1, "theirVersion": null }),
                json!({ "tag": "NetworkVersionMismatch", "ourVersion": 1, "theirVersion": null }),
            ),
        ];
        for (changed, mut expected) in cases {
            expected["seq"] = json!(7);
            expected["timestamp"] = json!("2026-01-01T00:00:00.123456789012Z");
            assert_eq!(told(&mut Outputs::default(), &changed), expected);
        }
        for silent in ["TransactionReceived", "TickObserved", "PartySignedSnapshot", "NotYetKnown"] {
            assert_eq!(told(&mut Outputs::default(), &json!({ "tag": silent })), Value::Null);
        }
    }

    #[test]
    fn a_snapshot_that_its_confirmation_does_not_repeat_is_the_one_asked_for() {
        let mut outputs = Outputs::default();
        let snapshot = json!({ "number": 3, "utxo": {}, "confirmed": [] });
        told(&mut outputs, &json!({ "tag": "SnapshotRequested", "requestedSnapshot": snapshot }));
        let confirmed = json!({ "tag": "SnapshotConfirmed", "headId": "ab", "signatures": {}, "snapshot": null });
        assert_eq!(told(&mut outputs, &confirmed)["snapshot"], snapshot);
        assert_eq!(told(&mut outputs, &confirmed).get("snapshot"), None);
    }

    #[test]
    fn members_of_any_other_type_are_told_as_they_stand_or_left_out() {
        let anything = [
            json!(null),
            json!(-1.5e300),
            json!("\u{1F600}\""),
            json!([[]]),
            json!({ "deadline": [], "confirmed": 7 }),
        ];
        let names = ["tx", "snapshot", "deposit", "state", "peer", "transaction", "validationError", "headId"];
        for mapping in OUTPUTS {
            for value in &anything {
                let mut changed = json!({ "tag": mapping.from });
                let paths = mapping.members.iter().filter_map(|member| member.path.first());
                paths.chain(&names).for_each(|name| changed[*name] = value.clone());
                let output = Outputs::default().of(&event(7, &changed)).unwrap().unwrap();
                for with_utxo in [true, false] {
                    let told: Value = serde_json::from_str(&output.json(with_utxo)).unwrap();
                    assert_eq!((&told["tag"], &told["seq"]), (&json!(mapping.tag), &json!(7)), "{changed}");
                }
                output.concerns("addr_test1nobody");
                assert!(!output.confirms("cd"));
            }
        }
    }

    #[test]
    fn an_address_is_looked_for_in_what_transactions_make() {
        let mut log = Vec::new();
        let sample = Sample { events: 400, seed: 5, schema: Schema::V1, checkpoint_every: None };
        sample.write(&mut log, |_| {}).unwrap();
        let (mut outputs, mut seen) = (Outputs::default(), 0);
        for line in String::from_utf8(log).unwrap().lines() {
            let event = StateEvent::parse(line).unwrap();
            let Some(output) = outputs.of(&event).unwrap() else { continue };
            let StateChanged::TransactionAppliedToLocalUTxO(applied) = StateChanged::of(&event).unwrap() else {
                let is_of_transactions = matches!(output.tag, "SnapshotConfirmed" | "TxInvalid");
                assert_eq!(output.concerns("addr_test1nobody"), !is_of_transactions);
                continue;
            };
            let Tx::Cardano(tx) = applied.tx.get().unwrap().get().unwrap() else { panic!("no Cardano transaction") };
            let address = makes(&tx).unwrap()[0].get().unwrap().address.get().unwrap().content();
            assert!(output.concerns(&address) && !output.concerns("addr_test1nobody"), "{address}");
            seen += 1;
        }
        assert!(seen > 20, "{seen}");
    }
}
