//! What the sample's events add up to, so that a checkpoint can say it at any moment.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::Schema;
use super::ledger::{Transaction, Utxo, transactions_json};
use crate::json_text::{list, members_into, object, quoted};

/// The node's state: the head's, and what lies beside it.
pub(super) struct NodeState {
    pub(super) phase: Phase,
    pub(super) chain_state: String,
    pub(super) slot: u64,
    /// The time of that slot, as JSON.
    pub(super) slot_time: String,
    /// Deposits by id, as JSON.
    pub(super) deposits: BTreeMap<Rc<str>, String>,
}

/// What the head is doing.
pub(super) enum Phase {
    Idle,
    /// Parties commit; those that have not yet, and what the others did.
    Initial {
        head: Head,
        pending: Vec<String>,
        committed: BTreeMap<String, String>,
    },
    Open {
        head: Head,
        ledger: Box<HeadLedger>,
    },
    Closed {
        head: Head,
        confirmed_snapshot: String,
        version: u64,
        deadline: String,
        ready: bool,
    },
}

/// What identifies a head. All texts are JSON.
#[derive(Clone)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) seed: String,
    pub(super) parameters: String,
}

/// hydra-node's coordinatedHeadState.
pub(super) struct HeadLedger {
    pub(super) local_utxo: Utxo,
    pub(super) local_txs: Vec<Transaction>,
    pub(super) all_txs: BTreeMap<Rc<str>, Transaction>,
    /// JSON of the ConfirmedSnapshot.
    pub(super) confirmed_snapshot: String,
    pub(super) number: u64,
    pub(super) version: u64,
    pub(super) seen: Seen,
    pub(super) current_deposit: Option<Rc<str>>,
}

/// hydra-node's seenSnapshot.
pub(super) enum Seen {
    None,
    Last(u64),
    Requested { last: u64, requested: u64 },
    Signing { snapshot: Rc<str>, signatories: BTreeMap<String, String> },
}

impl NodeState {
    /// What a checkpoint of this schema holds.
    pub(super) fn checkpoint(&self, schema: Schema) -> String {
        let head_state = self.head_state(schema);
        let deposits = self.deposits_json();
        let slot = self.slot.to_string();
        match schema {
            Schema::V0_16 | Schema::V0_22 => head_state,
            Schema::V1 => {
                object([("currentSlot", slot.as_str()), ("headState", &head_state), ("pendingDeposits", &deposits)])
            }
            Schema::V2_0 => {
                let time =
                    object([("currentChainTime", self.slot_time.as_str()), ("currentSlot", &slot), ("drift", "0")]);
                object([
                    ("chainPointTime", time.as_str()),
                    ("headState", &head_state),
                    ("pendingDeposits", &deposits),
                    ("tag", "\"NodeInSync\""),
                ])
            }
        }
    }

    fn deposits_json(&self) -> String {
        let mut text = String::from("{");
        members_into(&mut text, self.deposits.iter().map(|(id, deposit)| (&**id, deposit.as_str())));
        text.push('}');
        text
    }

    fn head_state(&self, schema: Schema) -> String {
        let (tag, contents) = match &self.phase {
            Phase::Idle => ("Idle", object([("chainState", self.chain_state.as_str())])),
            Phase::Initial { head, pending, committed } => {
                let committed = object(committed.iter().map(|(party, utxo)| (party.as_str(), utxo.as_str())));
                let pending = list(pending.iter().map(String::as_str));
                let members = [
                    ("chainState", self.chain_state.as_str()),
                    ("committed", &committed),
                    ("headId", &head.id),
                    ("headSeed", &head.seed),
                    ("parameters", &head.parameters),
                    ("pendingCommits", &pending),
                ];
                ("Initial", object(members))
            }
            Phase::Open { head, ledger } => ("Open", self.open(head, ledger, schema)),
            Phase::Closed { head, confirmed_snapshot, version, deadline, ready } => {
                let members = [
                    ("chainState", self.chain_state.as_str()),
                    ("confirmedSnapshot", confirmed_snapshot),
                    ("contestationDeadline", deadline),
                    ("headId", &head.id),
                    ("headSeed", &head.seed),
                    ("parameters", &head.parameters),
                    ("readyToFanoutSent", &ready.to_string()),
                    ("version", &version.to_string()),
                ];
                ("Closed", object(members))
            }
        };
        object([("contents", contents.as_str()), ("tag", &quoted(tag))])
    }

    fn open(&self, head: &Head, ledger: &HeadLedger, schema: Schema) -> String {
        let deposits = (schema == Schema::V0_22).then(|| self.deposits_json());
        let coordinated = ledger.json(deposits.as_deref());
        let slot = (schema == Schema::V0_22).then(|| self.slot.to_string());
        let members = [
            ("chainState", Some(self.chain_state.as_str())),
            ("coordinatedHeadState", Some(&coordinated)),
            ("currentSlot", slot.as_deref()),
            ("headId", Some(&head.id)),
            ("headSeed", Some(&head.seed)),
            ("parameters", Some(&head.parameters)),
        ];
        object(members.into_iter().filter_map(|(name, value)| Some((name, value?))))
    }
}

impl HeadLedger {
    /// A ledger as a head opens with it.
    pub(super) fn new(utxo: Utxo, confirmed_snapshot: String) -> Self {
        Self {
            local_utxo: utxo,
            local_txs: Vec::new(),
            all_txs: BTreeMap::new(),
            confirmed_snapshot,
            number: 0,
            version: 0,
            seen: Seen::None,
            current_deposit: None,
        }
    }

    fn json(&self, deposits: Option<&str>) -> String {
        let all = object(self.all_txs.iter().map(|(id, transaction)| (&**id, &*transaction.json)));
        let current = self.current_deposit.as_deref().map_or_else(|| "null".to_owned(), quoted);
        let members = [
            ("allTxs", Some(all.as_str())),
            ("confirmedSnapshot", Some(&self.confirmed_snapshot)),
            ("currentDepositTxId", Some(&current)),
            ("decommitTx", Some("null")),
            ("localTxs", Some(&transactions_json(&self.local_txs))),
            ("localUTxO", Some(&self.local_utxo.json())),
            ("pendingDeposits", deposits),
            ("seenSnapshot", Some(&self.seen.json())),
            ("version", Some(&self.version.to_string())),
        ];
        object(members.into_iter().filter_map(|(name, value)| Some((name, value?))))
    }
}

impl Seen {
    fn json(&self) -> String {
        match self {
            Self::None => object([("tag", "\"NoSeenSnapshot\"")]),
            Self::Last(last) => object([("lastSeen", last.to_string().as_str()), ("tag", "\"LastSeenSnapshot\"")]),
            Self::Requested { last, requested } => object([
                ("lastSeen", last.to_string().as_str()),
                ("requested", &requested.to_string()),
                ("tag", "\"RequestedSnapshot\""),
            ]),
            Self::Signing { snapshot, signatories } => {
                let signatories =
                    object(signatories.iter().map(|(party, signature)| (party.as_str(), signature.as_str())));
                object([("signatories", signatories.as_str()), ("snapshot", snapshot), ("tag", "\"SeenSnapshot\"")])
            }
        }
    }
}
