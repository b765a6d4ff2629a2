//! What happens in an open head: transactions, snapshots, deposits.

use std::collections::BTreeMap;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use super::Schema;
use super::ledger::{Transaction, ids_json, transactions_json};
use super::random::{between, random_bytes, random_hex};
use super::state::{Head, HeadLedger, Phase, Seen};
use super::story::{BEGINNING, PARTIES, Stop, Story, Told, WALLETS};
use crate::json_text::{list, object, quoted, time};

impl<W: Write, P: FnMut(u64)> Story<'_, W, P> {
    /// A few transactions and the snapshot that confirms them.
    pub(super) fn transact(&mut self, head: &Head) -> Told {
        let count = between(&mut self.rng, 1, 3);
        for _ in 0..count {
            let Phase::Open { ledger, .. } = &self.node.phase else { return Ok(()) };
            let Some(transaction) = Transaction::random(&mut self.rng, &self.wallets, &ledger.local_utxo) else {
                break;
            };
            self.receive(head, &transaction)?;
        }
        self.snapshot(head, None)
    }

    fn receive(&mut self, head: &Head, transaction: &Transaction) -> Told {
        if let Some(ledger) = self.ledger() {
            ledger.all_txs.insert(Rc::clone(&transaction.id), transaction.clone());
        }
        self.emit([("tag", Some("\"TransactionReceived\"")), ("tx", Some(&transaction.json))])?;
        let Some(ledger) = self.ledger() else { return Ok(()) };
        transaction.apply(&mut ledger.local_utxo);
        ledger.local_txs.push(transaction.clone());
        let utxo = ledger.local_utxo.json();
        self.emit([
            ("headId", self.has_head_id().then_some(head.id.as_str())),
            ("newLocalUTxO", Some(&utxo)),
            ("tag", Some("\"TransactionAppliedToLocalUTxO\"")),
            ("tx", Some(&transaction.json)),
        ])
    }

    /// Someone deposits on layer 1, and the head takes it in.
    pub(super) fn deposit(&mut self, head: &Head) -> Told {
        let amounts = [between(&mut self.rng, 10_000_000, 500_000_000), 30_000_000];
        let owner = between(&mut self.rng, 0, WALLETS as u64 - 1) as usize;
        let funding = Transaction::funding(&mut self.rng, &self.wallets, owner, &amounts);
        let (deposited, id) = (funding.outputs(), quoted(&funding.id));
        let deposited_json = deposited.json();
        let created = self.node.slot_time.clone();
        let deadline = time(BEGINNING + Duration::from_secs(self.node.slot + 7_200));
        let deposit = |status: &str| {
            object([
                ("created", created.as_str()),
                ("deadline", &deadline),
                ("deposited", &deposited_json),
                ("headId", &head.id),
                ("status", &quoted(status)),
            ])
        };
        let chain_state = self.observe_chain();
        self.node.deposits.insert(Rc::clone(&funding.id), deposit("Inactive"));
        self.emit([
            ("chainState", Some(chain_state.as_str())),
            ("created", Some(&created)),
            ("deadline", Some(&deadline)),
            ("depositTxId", Some(&id)),
            ("deposited", Some(&deposited_json)),
            ("headId", Some(&head.id)),
            ("tag", Some("\"DepositRecorded\"")),
        ])?;
        self.ticks(2)?;
        let active = deposit("Active");
        self.node.deposits.insert(Rc::clone(&funding.id), active.clone());
        let chain_time = self.node.slot_time.clone();
        self.emit([
            ("chainTime", Some(chain_time.as_str())),
            ("deposit", Some(&active)),
            ("depositTxId", Some(&id)),
            ("tag", Some("\"DepositActivated\"")),
        ])?;
        self.snapshot(head, Some((&funding.id, &deposited_json)))?;
        self.emit([
            ("headId", Some(head.id.as_str())),
            ("tag", Some("\"CommitApproved\"")),
            ("utxoToCommit", Some(&deposited_json)),
        ])?;
        self.ticks(1)?;
        let chain_state = self.observe_chain();
        self.node.deposits.remove(&funding.id);
        let Some(ledger) = self.ledger() else { return Ok(()) };
        ledger.version += 1;
        ledger.current_deposit = None;
        ledger.local_utxo.extend(&deposited);
        let version = ledger.version.to_string();
        self.emit([
            ("chainState", Some(chain_state.as_str())),
            ("depositTxId", Some(&id)),
            ("headId", Some(&head.id)),
            ("newVersion", Some(&version)),
            ("tag", Some("\"CommitFinalized\"")),
        ])
    }

    /// Everyone signs a snapshot of the local ledger, with a deposit to take in or without.
    fn snapshot(&mut self, head: &Head, commit: Option<(&Rc<str>, &str)>) -> Told {
        let Some(ledger) = self.ledger() else { return Ok(()) };
        let (last, number) = (ledger.number, ledger.number + 1);
        let number_json = number.to_string();
        if number % PARTIES as u64 == 0 {
            ledger.seen = Seen::Requested { last, requested: number };
            let tag = ("tag", Some("\"SnapshotRequestDecided\""));
            self.emit([("snapshotNumber", Some(number_json.as_str())), tag])?;
        }
        let snapshot: Rc<str> = self.snapshot_json(head, number, commit.map(|(_, utxo)| utxo)).into();
        let has_deposits = self.has_head_id();
        let Some(ledger) = self.ledger() else { return Ok(()) };
        let requested = ids_json(&std::mem::take(&mut ledger.local_txs));
        ledger.all_txs.clear();
        ledger.seen = Seen::Signing { snapshot: Rc::clone(&snapshot), signatories: BTreeMap::new() };
        ledger.current_deposit = commit.map(|(id, _)| Rc::clone(id));
        let (utxo, deposit) = (ledger.local_utxo.json(), commit.map_or("null".to_owned(), |(id, _)| quoted(id)));
        self.emit([
            ("newCurrentDepositTxId", has_deposits.then_some(deposit.as_str())),
            ("newLocalTxs", Some("[]")),
            ("newLocalUTxO", Some(&utxo)),
            ("requestedTxIds", Some(&requested)),
            ("snapshot", Some(&snapshot)),
            ("tag", Some("\"SnapshotRequested\"")),
        ])?;
        let signatures = self.sign(&snapshot)?;
        let signatures = format!("{{\"multiSignature\":{}}}", list(signatures.iter().map(String::as_str)));
        let Some(ledger) = self.ledger() else { return Ok(()) };
        ledger.number = number;
        ledger.seen = Seen::Last(number);
        let confirmed =
            [("signatures", signatures.as_str()), ("snapshot", &snapshot), ("tag", "\"ConfirmedSnapshot\"")];
        ledger.confirmed_snapshot = object(confirmed);
        self.emit([
            ("headId", has_deposits.then_some(head.id.as_str())),
            ("signatures", Some(&signatures)),
            ("snapshot", Some(&snapshot)),
            ("tag", Some("\"SnapshotConfirmed\"")),
        ])
    }

    fn snapshot_json(&mut self, head: &Head, number: u64, commit: Option<&str>) -> String {
        let accumulator = quoted(&random_hex::<48>(&mut self.rng));
        let schema = self.schema();
        let Some(ledger) = self.ledger() else { return String::new() };
        let (utxo, number, version) = (ledger.local_utxo.json(), number.to_string(), ledger.version.to_string());
        if schema == Schema::V0_16 {
            return object([
                ("confirmedTransactions", ids_json(&ledger.local_txs).as_str()),
                ("headId", &head.id),
                ("snapshotNumber", &number),
                ("utxo", &utxo),
            ]);
        }
        let confirmed = transactions_json(&ledger.local_txs);
        let members = [
            ("accumulator", (schema == Schema::V2_0).then_some(accumulator.as_str())),
            ("confirmed", Some(&confirmed)),
            ("headId", Some(&head.id)),
            ("number", Some(&number)),
            ("utxo", Some(&utxo)),
            ("utxoToCommit", Some(commit.unwrap_or("null"))),
            ("utxoToDecommit", Some("null")),
            ("version", Some(&version)),
        ];
        object(members.into_iter().filter_map(|(name, value)| Some((name, value?))))
    }

    /// Every party's signature arrives; up to 0.20 each but the last is recorded twice.
    fn sign(&mut self, snapshot: &str) -> Result<Vec<String>, Stop> {
        let mut signatures = Vec::new();
        let parties = self.parties.clone();
        for (index, (key, party)) in parties.iter().enumerate() {
            let signature = quoted(&hex::encode(random_bytes::<64>(&mut self.rng)));
            let times = if self.has_head_id() || index + 1 == parties.len() { 1 } else { 2 };
            for _ in 0..times {
                if let Some(HeadLedger { seen: Seen::Signing { signatories, .. }, .. }) = self.ledger() {
                    signatories.insert(key.clone(), signature.clone());
                }
                self.emit([
                    ("party", Some(party.as_str())),
                    ("signature", Some(&signature)),
                    ("snapshot", Some(snapshot)),
                    ("tag", Some("\"PartySignedSnapshot\"")),
                ])?;
            }
            signatures.push(signature);
        }
        Ok(signatures)
    }
}
