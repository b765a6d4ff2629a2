//! The head logic as what it is: a function of state and input. The state is what its events fold to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hydrant::event::{StateEvent, Time};
use hydrant::head::{ConfirmedSnapshot, HeadFold, HeadState};
use hydrant::offline::ledger::{Ledger, SimpleLedger};
use hydrant::offline::{
    ChainTx, Command, Effect, HeadLogic, HydraKey, InitialHead, Input, MAX_SNAPSHOT_TXS, Message, Now, Outcome,
    signable, verify,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::harness::Folder;

const PERIOD: u64 = 60;

/// A head in memory: what [`HeadSource`](hydrant::offline::HeadSource) does, without a disk.
struct Head {
    logic: HeadLogic,
    initial: InitialHead,
    fold: HeadFold,
    events: Vec<StateEvent>,
    queue: VecDeque<Input>,
    failed: Vec<String>,
    seconds: i64,
}

fn logic(folder: &Folder) -> HeadLogic {
    let key = HydraKey::read_or_make(&folder.path("hydra.sk")).unwrap();
    HeadLogic::new(Arc::new(SimpleLedger), key, Duration::from_secs(PERIOD))
}

fn new_tx(id: i64, inputs: &[i64], outputs: &[i64]) -> Input {
    let tx = SimpleLedger.transaction(&format!(r#"{{"id":{id},"inputs":{inputs:?},"outputs":{outputs:?}}}"#)).unwrap();
    Input::Command(Command::NewTx(tx))
}

impl Head {
    fn new(folder: &Folder) -> Self {
        let logic = logic(folder);
        let utxo = SimpleLedger.outputs("[1,2,3]").unwrap();
        let initial = InitialHead::new(b"seed", logic.party(), PERIOD, utxo);
        let queue = VecDeque::from([Input::Open(Box::new(initial.clone()))]);
        let (fold, events, failed) = (HeadFold::new(), Vec::new(), Vec::new());
        Self { logic, initial, fold, events, queue, failed, seconds: 1_000_000 }
    }

    /// The same head after a crash that only these events outlived.
    fn after_crash(&self, folder: &Folder, events: &[StateEvent]) -> Self {
        let mut fold = HeadFold::new();
        events.iter().for_each(|event| fold.apply(event).unwrap());
        let opens = matches!(fold.head(), HeadState::Idle(_) | HeadState::Initial(_)) && !was_open(events);
        let first = if opens { Input::Open(Box::new(self.initial.clone())) } else { Input::Resume };
        Self { queue: VecDeque::from([first]), fold, events: events.to_vec(), ..Self::new(folder) }
    }

    fn run(&mut self) {
        while !self.queue.is_empty() {
            self.step();
        }
    }

    fn step(&mut self) {
        let Some(input) = self.queue.pop_front() else { return };
        self.seconds += 1;
        let now = Now { time: Time { seconds: self.seconds, nanoseconds: 0 }, slot: self.seconds as u64 };
        let (changes, effects) = match self.logic.update(self.fold.head(), &input, now).unwrap() {
            Outcome::Continue { changes, effects } => (changes, effects),
            Outcome::Wait { changes, again, .. } => {
                self.queue.push_back(*again);
                (changes, Vec::new())
            }
            Outcome::Error(_) => return,
        };
        for change in changes {
            let id = self.events.len();
            let json = format!(r#"{{"eventId":{id},"stateChanged":{},"time":"2026-01-01T00:00:00Z"}}"#, change.json());
            let event = StateEvent::parse(json).unwrap();
            self.fold.apply(&event).unwrap();
            self.events.push(event);
        }
        for effect in effects {
            match effect {
                Effect::Send(message) => self.queue.push_back(Input::Message(message)),
                Effect::Post(tx) => self.queue.push_back(Input::Observed(tx)),
                Effect::CommandFailed { reason } => self.failed.push(reason),
            }
        }
    }

    fn give(&mut self, inputs: impl IntoIterator<Item = Input>) {
        self.queue.extend(inputs);
        self.run();
    }

    fn tags(&self) -> Vec<&str> {
        self.events.iter().map(StateEvent::tag).collect()
    }

    fn state(&self) -> Value {
        serde_json::from_str(&self.fold.head().to_json()).unwrap()
    }
}

fn was_open(events: &[StateEvent]) -> bool {
    events.iter().any(|event| event.tag() == "HeadOpened")
}

fn changed(event: &StateEvent) -> Value {
    let event: Value = serde_json::from_str(event.json()).unwrap();
    event["stateChanged"].clone()
}

/// How often each transaction was applied, and how often it is in a confirmed snapshot.
fn counts(events: &[StateEvent]) -> BTreeMap<i64, (u32, u32)> {
    let mut counts = BTreeMap::<i64, (u32, u32)>::new();
    for event in events {
        match event.tag() {
            "TransactionAppliedToLocalUTxO" => {
                counts.entry(changed(event)["tx"]["id"].as_i64().unwrap()).or_default().0 += 1
            }
            "SnapshotConfirmed" => {
                for tx in changed(event)["snapshot"]["confirmed"].as_array().unwrap() {
                    counts.entry(tx["id"].as_i64().unwrap()).or_default().1 += 1;
                }
            }
            _ => {}
        }
    }
    counts
}

#[test]
fn a_head_opens_transacts_closes_and_gives_its_outputs_out() {
    let folder = Folder::new();
    let mut head = Head::new(&folder);
    head.run();
    head.give([new_tx(10, &[1], &[4])]);
    head.give([Input::Command(Command::Close)]);
    head.give([Input::Command(Command::Fanout)]);
    assert_eq!(head.failed, ["the contestation period is not over"]);
    head.seconds += PERIOD as i64;
    head.give([Input::Tick { is_told: true }]);
    head.give([Input::Command(Command::Fanout)]);
    let expected = [
        "HeadInitialized",
        "CommittedUTxO",
        "HeadOpened",
        "TransactionReceived",
        "TransactionAppliedToLocalUTxO",
        "SnapshotRequestDecided",
        "SnapshotRequested",
        "PartySignedSnapshot",
        "SnapshotConfirmed",
        "HeadClosed",
        // The tick after the deadline is not told, as in hydra-node.
        "HeadIsReadyToFanout",
        "HeadFannedOut",
    ];
    assert_eq!(head.tags(), expected);
    assert_eq!(changed(&head.events[11])["utxo"], serde_json::json!([2, 3, 4]));
    assert_eq!(head.fold.head().tag(), "Idle");
    head.give([new_tx(11, &[2], &[5]), Input::Command(Command::Refused("Decommit".to_owned()))]);
    assert_eq!(head.events.len(), expected.len());
    assert_eq!(head.failed[1..], ["the head is Idle", "Decommit needs a chain, and a head in offline mode has none"]);
}

#[test]
fn a_snapshot_is_signed_by_the_party_and_by_nobody_else() {
    let folder = Folder::new();
    let mut head = Head::new(&folder);
    head.give([new_tx(10, &[1], &[4])]);
    let confirmed = changed(head.events.last().unwrap());
    let signature = confirmed["signatures"]["multiSignature"][0].as_str().unwrap();
    let HeadState::Open(open) = head.fold.head() else { panic!("{:?}", head.fold.head()) };
    let ledger = open.coordinated.get().unwrap();
    let Some(ConfirmedSnapshot::ConfirmedSnapshot(signed)) = ledger.confirmed_snapshot.get() else {
        panic!("{ledger:?}")
    };
    let snapshot = signed.snapshot.get().unwrap();
    let head_id = confirmed["headId"].as_str().unwrap();
    let bytes = signable(head_id, &snapshot.get().unwrap());
    assert!(verify(&head.logic.party(), &bytes, signature));
    assert_eq!(head_id, hex::encode("offline-seed"));

    // A signature of something else changes nothing.
    head.queue.push_back(new_tx(11, &[4], &[5]));
    while !matches!(head.queue.front(), Some(Input::Message(Message::AckSn { .. }))) {
        head.step();
    }
    head.queue.clear();
    head.give([Input::Message(Message::AckSn { number: 2, signature: signature.to_owned() })]);
    assert_eq!(head.events.last().unwrap().tag(), "SnapshotRequested");
    head.give([Input::Resume]);
    assert_eq!(head.events.last().unwrap().tag(), "SnapshotConfirmed");
}

#[test]
fn transactions_that_cannot_be_applied_are_told_why_and_those_that_may_still_be_are_waited_for() {
    let folder = Folder::new();
    let mut head = Head::new(&folder);
    // 11 spends what 10 makes, and comes first.
    head.give([new_tx(11, &[4], &[5]), new_tx(10, &[1], &[4]), new_tx(12, &[2], &[3]), new_tx(13, &[99], &[])]);
    assert_eq!(counts(&head.events), BTreeMap::from([(10, (1, 1)), (11, (1, 1))]));
    let invalid: Vec<Value> = head.events.iter().filter(|event| event.tag() == "TxInvalid").map(changed).collect();
    let told: Vec<(i64, &str)> = invalid
        .iter()
        .map(|told| (told["transaction"]["id"].as_i64().unwrap(), told["validationError"]["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [(12, "its output 3 is there already"), (13, "its input 99 is not there")]);
    // Each is received once, however often it is tried.
    assert_eq!(head.tags().iter().filter(|tag| **tag == "TransactionReceived").count(), 4);
    assert!(head.state()["contents"]["coordinatedHeadState"]["allTxs"].as_object().unwrap().is_empty());
}

#[test]
fn a_snapshot_has_a_bound_and_the_next_takes_the_rest() {
    let folder = Folder::new();
    let mut head = Head::new(&folder);
    let many = 2 * MAX_SNAPSHOT_TXS as i64 + 50;
    head.give((0..many).map(|id| new_tx(id, &[], &[1_000 + id])));
    let sizes: Vec<usize> = head
        .events
        .iter()
        .filter(|event| event.tag() == "SnapshotConfirmed")
        .map(|event| changed(event)["snapshot"]["confirmed"].as_array().unwrap().len())
        .collect();
    assert_eq!((sizes.iter().max(), sizes.iter().sum()), (Some(&MAX_SNAPSHOT_TXS), many as usize), "{sizes:?}");
    assert!(counts(&head.events).values().all(|count| *count == (1, 1)));
    let outputs = head.state()["contents"]["coordinatedHeadState"]["confirmedSnapshot"]["snapshot"]["utxo"].clone();
    assert_eq!(outputs.as_array().unwrap().len(), many as usize + 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever was durable when it crashed, the head goes on: nothing applied is lost, and nothing is confirmed twice.
    #[test]
    fn after_a_crash_at_any_event_everything_applied_comes_into_one_snapshot(
        groups in prop::collection::vec(1_i64..8, 1..6),
        closes in any::<bool>(),
    ) {
        let folder = Folder::new();
        let mut head = Head::new(&folder);
        let mut id = 100;
        for group in groups {
            // A chain, whose last links come first.
            let links = (id..id + group).rev();
            let chain: Vec<Input> = links.map(|id| new_tx(id, &[if id == 100 { 1 } else { id - 1 }], &[id])).collect();
            id += group;
            head.give(chain);
        }
        if closes {
            head.give([Input::Command(Command::Close)]);
        }
        for outlived in 0..=head.events.len() {
            let mut again = head.after_crash(&folder, &head.events[..outlived]);
            again.run();
            let counts = counts(&again.events);
            let is_closed = again.tags().contains(&"HeadClosed");
            prop_assert!(is_closed || counts.values().all(|count| *count == (1, 1)), "{outlived}: {counts:?}");
            let state = again.state();
            if !is_closed {
                let ledger = &state["contents"]["coordinatedHeadState"];
                prop_assert_eq!(&ledger["localTxs"], &serde_json::json!([]));
                prop_assert_eq!(ledger["allTxs"].as_object().unwrap().len(), 0);
                prop_assert_eq!(&ledger["localUTxO"], ledger["confirmedSnapshot"]["snapshot"].get("utxo").unwrap_or(&ledger["localUTxO"]));
            }
        }
    }
}

#[test]
fn what_is_posted_is_seen_only_in_the_state_that_it_belongs_to() {
    let folder = Folder::new();
    let mut head = Head::new(&folder);
    head.run();
    let before = head.events.len();
    head.give([
        Input::Observed(ChainTx::Fanout),
        Input::Message(Message::ReqSn { number: 7 }),
        Input::Message(Message::AckSn { number: 7, signature: String::new() }),
        Input::Open(Box::new(head.initial.clone())),
        Input::Resume,
    ]);
    assert_eq!(head.events.len(), before);
    head.give([Input::Tick { is_told: true }]);
    assert_eq!(head.tags()[before..], ["TickObserved"]);
}
