//! The story that a sample tells, event by event. State is changed just before the event that says so is written.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use rand_pcg::Pcg64Mcg;

use super::ledger::{Transaction, Utxo, Wallet};
use super::random::{between, random_hex};
use super::state::{Head, HeadLedger, NodeState, Phase};
use super::{Sample, Schema};
use crate::json_text::{list, object, quoted, time};

/// Why the story stops.
pub(super) enum Stop {
    /// As many events as asked for.
    Enough,
    /// The output failed.
    Io(io::Error),
}

pub(super) type Told = Result<(), Stop>;

/// When the story begins: 2025-06-01T00:00:00Z, in seconds.
pub(super) const BEGINNING: Duration = Duration::from_secs(1_748_736_000);

/// Between two blocks on layer 1, in seconds and slots.
const BLOCK: u64 = 20;

/// Parties of a head; we are the first.
pub(super) const PARTIES: usize = 3;

/// Wallets that pay each other.
pub(super) const WALLETS: usize = 8;

/// Events between two reports of progress.
const REPORT_EVERY: u64 = 4_096;

pub(super) struct Story<'a, W, P> {
    sample: &'a Sample,
    out: &'a mut W,
    progress: P,
    pub(super) rng: Pcg64Mcg,
    pub(super) wallets: Vec<Wallet>,
    pub(super) parties: Vec<(String, String)>,
    pub(super) node: NodeState,
    clock: Duration,
    next_id: u64,
    since_checkpoint: u64,
}

impl<'a, W: Write, P: FnMut(u64)> Story<'a, W, P> {
    pub(super) fn new(sample: &'a Sample, out: &'a mut W, progress: P) -> Self {
        let mut rng = Pcg64Mcg::new(u128::from(sample.seed) ^ 0x6879_6472_616e_7421_6879_6472_616e_7421);
        let wallets = (0..WALLETS).map(|_| Wallet::random(&mut rng)).collect();
        let mut party = || {
            let key = random_hex::<32>(&mut rng);
            (key.clone(), format!("{{\"vkey\":\"{key}\"}}"))
        };
        let parties = (0..PARTIES).map(|_| party()).collect();
        let node = NodeState {
            phase: Phase::Idle,
            chain_state: "{\"recordedAt\":null,\"spendableUTxO\":{}}".to_owned(),
            slot: 0,
            slot_time: time(BEGINNING),
            deposits: BTreeMap::new(),
        };
        let (clock, next_id, since_checkpoint) = (BEGINNING, 0, 0);
        Self { sample, out, progress, rng, wallets, parties, node, clock, next_id, since_checkpoint }
    }

    pub(super) fn schema(&self) -> Schema {
        self.sample.schema
    }

    pub(super) fn has_head_id(&self) -> bool {
        self.schema() >= Schema::V0_22
    }

    /// Writes an event: the members of its StateChanged in alphabetical order, without those that are none.
    pub(super) fn emit<const N: usize>(&mut self, members: [(&str, Option<&str>); N]) -> Told {
        if self.next_id == self.sample.events {
            return Err(Stop::Enough);
        }
        let state_changed = object(members.into_iter().filter_map(|(name, value)| Some((name, value?))));
        self.write_line(self.next_id, &state_changed)?;
        self.next_id += 1;
        if self.next_id.is_multiple_of(REPORT_EVERY) {
            (self.progress)(self.next_id);
        }
        self.since_checkpoint += 1;
        if self.sample.checkpoint_every == Some(self.since_checkpoint) {
            self.since_checkpoint = 0;
            let state = self.node.checkpoint(self.schema());
            let checkpoint = object([("state", state.as_str()), ("tag", "\"Checkpoint\"")]);
            self.write_line(self.next_id - 1, &checkpoint)?;
        }
        Ok(())
    }

    fn write_line(&mut self, id: u64, state_changed: &str) -> Told {
        self.clock += Duration::from_nanos(between(&mut self.rng, 1_000_000, 400_000_000));
        let written = match self.has_head_id() {
            true => {
                let time = time(self.clock);
                writeln!(self.out, "{{\"eventId\":{id},\"stateChanged\":{state_changed},\"time\":{time}}}")
            }
            false => writeln!(self.out, "{{\"eventId\":{id},\"stateChanged\":{state_changed}}}"),
        };
        written.map_err(Stop::Io)
    }

    /// From idle to idle.
    pub(super) fn tell_one_head(&mut self) -> Told {
        self.connect()?;
        self.ticks(3)?;
        let head = self.open_head()?;
        let snapshots = between(&mut self.rng, 60, 140);
        for round in 0..snapshots {
            let is_empty = self.ledger().is_some_and(|ledger| ledger.local_utxo.len() == 0);
            if self.has_head_id() && (is_empty || round % 25 == 24) {
                self.deposit(&head)?;
            }
            self.transact(&head)?;
            let blocks = between(&mut self.rng, 2, 8);
            self.ticks(blocks)?;
        }
        self.close_head(&head)?;
        self.ticks(5)
    }

    pub(super) fn ledger(&mut self) -> Option<&mut HeadLedger> {
        match &mut self.node.phase {
            Phase::Open { ledger, .. } => Some(ledger),
            _ => None,
        }
    }

    fn connect(&mut self) -> Told {
        if !self.has_head_id() {
            return Ok(());
        }
        self.emit([("tag", Some("\"NetworkConnected\""))])?;
        for number in 2..=PARTIES {
            let peer = format!("{{\"hostname\":\"10.0.0.{number}\",\"port\":5001}}");
            self.emit([("peer", Some(&peer)), ("tag", Some("\"PeerConnected\""))])?;
        }
        if self.schema() == Schema::V2_0 {
            let (slot, chain_time) = (self.node.slot.to_string(), self.node.slot_time.clone());
            let members = [
                ("chainSlot", Some(slot.as_str())),
                ("chainTime", Some(&*chain_time)),
                ("drift", Some("0")),
                ("tag", Some("\"NodeSynced\"")),
            ];
            self.emit(members)?;
        }
        Ok(())
    }

    pub(super) fn ticks(&mut self, blocks: u64) -> Told {
        for _ in 0..blocks {
            self.node.slot += BLOCK;
            self.clock = self.clock.max(BEGINNING + Duration::from_secs(self.node.slot));
            self.node.slot_time = time(BEGINNING + Duration::from_secs(self.node.slot));
            let (slot, point) = (self.node.slot.to_string(), self.chain_point());
            let is_point = self.schema() == Schema::V2_0;
            self.emit([
                ("chainPoint", is_point.then_some(point.as_str())),
                ("chainSlot", (!is_point).then_some(slot.as_str())),
                ("tag", Some("\"TickObserved\"")),
            ])?;
        }
        Ok(())
    }

    fn chain_point(&mut self) -> String {
        let hash = random_hex::<32>(&mut self.rng);
        format!("{{\"blockHash\":\"{hash}\",\"slot\":{},\"tag\":\"ChainPoint\"}}", self.node.slot)
    }

    /// Something of the head was seen on layer 1.
    pub(super) fn observe_chain(&mut self) -> String {
        let point = self.chain_point();
        let mut spendable = Utxo::default();
        let funding = Transaction::funding(&mut self.rng, &self.wallets, 0, &[4_879_080]);
        spendable.extend(&funding.outputs());
        self.node.chain_state = object([("recordedAt", point.as_str()), ("spendableUTxO", &spendable.json())]);
        self.node.chain_state.clone()
    }

    fn open_head(&mut self) -> Result<Head, Stop> {
        let parties: Vec<String> = self.parties.iter().map(|(_, party)| party.clone()).collect();
        let parties_json = list(parties.iter().map(String::as_str));
        let parameters = object([("contestationPeriod", "600"), ("parties", parties_json.as_str())]);
        let head = Head {
            id: quoted(&random_hex::<28>(&mut self.rng)),
            seed: quoted(&random_hex::<36>(&mut self.rng)),
            parameters,
        };
        let chain_state = self.observe_chain();
        if self.schema() == Schema::V2_0 {
            let initial = object([("headId", head.id.as_str()), ("tag", "\"InitialSnapshot\"")]);
            let ledger = Box::new(HeadLedger::new(Utxo::default(), initial));
            self.node.phase = Phase::Open { head: head.clone(), ledger };
            self.emit([
                ("chainState", Some(chain_state.as_str())),
                ("headId", Some(&head.id)),
                ("headSeed", Some(&head.seed)),
                ("parameters", Some(&head.parameters)),
                ("parties", Some(&parties_json)),
                ("tag", Some("\"HeadOpened\"")),
            ])?;
            return Ok(head);
        }
        self.node.phase = Phase::Initial { head: head.clone(), pending: parties, committed: BTreeMap::new() };
        self.emit([
            ("chainState", Some(chain_state.as_str())),
            ("headId", Some(&head.id)),
            ("headSeed", Some(&head.seed)),
            ("parameters", Some(&head.parameters)),
            ("parties", self.has_head_id().then_some(parties_json.as_str())),
            ("tag", Some("\"HeadInitialized\"")),
        ])?;
        let utxo = self.commits(&head)?;
        let (chain_state, utxo_json) = (self.observe_chain(), utxo.json());
        let initial = [("headId", head.id.as_str()), ("initialUTxO", &utxo_json), ("tag", "\"InitialSnapshot\"")];
        let ledger = Box::new(HeadLedger::new(utxo, object(initial)));
        self.node.phase = Phase::Open { head: head.clone(), ledger };
        self.emit([
            ("chainState", Some(chain_state.as_str())),
            ("headId", self.has_head_id().then_some(head.id.as_str())),
            ("initialUTxO", Some(&utxo_json)),
            ("tag", Some("\"HeadOpened\"")),
        ])?;
        Ok(head)
    }

    /// Each party commits two outputs; gives them all.
    fn commits(&mut self, head: &Head) -> Result<Utxo, Stop> {
        let mut all = Utxo::default();
        for (index, (key, party)) in self.parties.clone().into_iter().enumerate() {
            let amounts = [between(&mut self.rng, 50_000_000, 900_000_000)];
            let utxo = Transaction::funding(&mut self.rng, &self.wallets, index, &amounts).outputs();
            all.extend(&utxo);
            let (chain_state, utxo_json) = (self.observe_chain(), utxo.json());
            if let Phase::Initial { pending, committed, .. } = &mut self.node.phase {
                pending.retain(|other| *other != party);
                committed.insert(key, utxo_json.clone());
            }
            self.emit([
                ("chainState", Some(chain_state.as_str())),
                ("committedUTxO", Some(&utxo_json)),
                ("headId", self.has_head_id().then_some(head.id.as_str())),
                ("party", Some(&party)),
                ("tag", Some("\"CommittedUTxO\"")),
            ])?;
        }
        Ok(all)
    }

    fn close_head(&mut self, head: &Head) -> Told {
        let chain_state = self.observe_chain();
        let deadline = time(BEGINNING + Duration::from_secs(self.node.slot + 600));
        let Some(ledger) = self.ledger() else { return Ok(()) };
        let (confirmed_snapshot, version) = (ledger.confirmed_snapshot.clone(), ledger.version);
        let (number, utxo) = (ledger.number.to_string(), ledger.local_utxo.json());
        let has_head_id = self.has_head_id();
        self.node.phase =
            Phase::Closed { head: head.clone(), confirmed_snapshot, version, deadline: deadline.clone(), ready: false };
        self.emit([
            ("chainState", Some(chain_state.as_str())),
            ("contestationDeadline", Some(&deadline)),
            ("headId", has_head_id.then_some(head.id.as_str())),
            ("snapshotNumber", has_head_id.then_some(number.as_str())),
            ("tag", Some("\"HeadClosed\"")),
        ])?;
        self.ticks(600 / BLOCK)?;
        if let Phase::Closed { ready, .. } = &mut self.node.phase {
            *ready = true;
        }
        let tag = ("tag", Some("\"HeadIsReadyToFanout\""));
        self.emit([("headId", has_head_id.then_some(head.id.as_str())), tag])?;
        let chain_state = self.observe_chain();
        self.node.phase = Phase::Idle;
        let is_v2 = self.schema() == Schema::V2_0;
        self.emit([
            ("chainState", Some(chain_state.as_str())),
            ("finalizedOutputs", is_v2.then_some(utxo.as_str())),
            ("headId", has_head_id.then_some(head.id.as_str())),
            ("tag", Some("\"HeadFannedOut\"")),
            ("utxo", (has_head_id && !is_v2).then_some(utxo.as_str())),
        ])
    }
}
