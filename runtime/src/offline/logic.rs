//! What a head of one party does with an input: pure, so that the same state and input always come to the same outcome.

use std::sync::Arc;
use std::time::Duration;

use super::change::{Change, InitialHead, Of};
use super::input::{ChainTx, Command, Effect, Input, Message, Now, Outcome};
use super::key::{HydraKey, verify};
use super::ledger::Ledger;
use super::open_head::{Flight, OpenHead};
use super::signable::signable;
use crate::head::{Closed, ConfirmedSnapshot, FoldFault, HeadState, Initial, Json, Snapshot, Tx, UtcTime};
use crate::json_text;

/// Transactions in one snapshot at most, as hydra-node has it in 1.x: bounds what one event holds.
pub const MAX_SNAPSHOT_TXS: usize = 100;

/// How often a transaction is tried again whose inputs are not there yet, as hydra-node does.
pub const TRIES: u32 = 5;

/// The rules of a head in offline mode, which has one party.
#[derive(Debug)]
pub struct HeadLogic {
    ledger: Arc<dyn Ledger>,
    key: HydraKey,
    contestation_period: Duration,
}

impl HeadLogic {
    /// Rules with this ledger, whose one party has this key.
    pub fn new(ledger: Arc<dyn Ledger>, key: HydraKey, contestation_period: Duration) -> Self {
        Self { ledger, key, contestation_period }
    }

    /// The ledger.
    pub fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.ledger
    }

    /// The verification key of the one party, in hexadecimal digits.
    pub fn party(&self) -> String {
        self.key.vkey()
    }

    /// What comes of an input in this state.
    ///
    /// # Errors
    ///
    /// [`FoldFault`] if the state is none that hydra-node writes.
    pub fn update(&self, state: &HeadState, input: &Input, now: Now) -> Result<Outcome, FoldFault> {
        match (input, state) {
            (Input::Open(head), HeadState::Idle(_)) => {
                Ok(go_on(Change::opening(head, self.ledger.chain_state()).into(), Vec::new()))
            }
            (Input::Open(head), HeadState::Initial(initial)) => Ok(self.open_on(head, initial)),
            (Input::Open(_), _) => Ok(Outcome::Error("there is a head already".to_owned())),
            (Input::Resume, HeadState::Open(open)) => self.resume(&OpenHead::of(open)?),
            (Input::Resume, _) => Ok(go_on(Vec::new(), Vec::new())),
            (Input::Tick { is_told }, state) => Ok(self.tick(state, *is_told, now)),
            (Input::Command(command), state) => Ok(command_given(command, state)),
            (Input::Message(message), HeadState::Open(open)) => self.message(message, &OpenHead::of(open)?, now),
            (Input::Observed(ChainTx::Close), HeadState::Open(open)) => self.close(&OpenHead::of(open)?, now),
            (Input::Observed(ChainTx::Fanout), HeadState::Closed(closed)) => self.fan_out(closed),
            (Input::Message(_) | Input::Observed(_), state) => {
                Ok(Outcome::Error(format!("it means nothing to a head in the state {}", state.tag())))
            }
        }
    }

    fn of<'a>(&self, head_id: &'a str) -> Of<'a> {
        Of { head_id, chain_state: self.ledger.chain_state() }
    }

    /// Opens a head whose opening was cut off.
    fn open_on(&self, head: &InitialHead, initial: &Initial) -> Outcome {
        let head_id = initial.head_id.get().map_or(&*head.head_id, |id| id.digits()).to_owned();
        let committed = initial.committed.get().and_then(|committed| committed.values().next());
        let utxo = committed.unwrap_or(&head.utxo).clone();
        let is_committed = committed.is_some();
        let [_initialized, commit, opened] =
            Change::opening(&InitialHead { head_id, utxo, ..head.clone() }, self.ledger.chain_state());
        go_on(if is_committed { vec![opened] } else { vec![commit, opened] }, Vec::new())
    }

    /// What was under way when the node stopped, wherever that was.
    fn resume(&self, head: &OpenHead<'_>) -> Result<Outcome, FoldFault> {
        let mut effects: Vec<Effect> =
            head.received_only()?.into_iter().map(|tx| Effect::Send(Message::ReqTx { tx, tries: TRIES })).collect();
        let mut changes = Vec::new();
        match &head.flight {
            Flight::None if head.local_txs().is_empty() => {}
            Flight::None => decide(head.confirmed.number + 1, &mut changes, &mut effects),
            Flight::Requested { number } => effects.push(Effect::Send(Message::ReqSn { number: *number })),
            Flight::Signing { snapshot, number } => effects.push(self.acknowledge(head, snapshot, *number)?),
        }
        Ok(go_on(changes, effects))
    }

    fn message(&self, message: &Message, head: &OpenHead<'_>, now: Now) -> Result<Outcome, FoldFault> {
        match message {
            Message::ReqTx { tx, tries } => self.request_tx(tx, *tries, head, now),
            Message::ReqSn { number } => self.request_snapshot(*number, head),
            Message::AckSn { number, signature } => self.confirm(*number, signature, head),
        }
    }

    fn request_tx(&self, json: &Json<Tx>, tries: u32, head: &OpenHead<'_>, now: Now) -> Result<Outcome, FoldFault> {
        let tx = json.get()?;
        let (of, local) = (self.of(head.id), head.local_utxo()?);
        let mut changes = Vec::new();
        // Said once and not at every try: a log full of one transaction that never comes through helps nobody (hydra-node's issue 2863).
        if tx.id().is_none_or(|id| !head.knows(id)) {
            changes.push(Change::transaction_received(json));
        }
        let utxo = local.get()?;
        match self.ledger.validate(&tx, &utxo, now.slot) {
            Ok(()) => {}
            Err(refusal) if refusal.may_pass && tries > 0 => {
                let again = Box::new(Input::Message(Message::ReqTx { tx: json.clone(), tries: tries - 1 }));
                return Ok(Outcome::Wait { reason: refusal.reason, changes, again });
            }
            Err(refusal) => {
                changes.push(Change::tx_invalid(of, json, local.text(), &refusal.reason));
                return Ok(go_on(changes, Vec::new()));
            }
        }
        let applied = OpenHead::apply(utxo, &tx)?;
        changes.push(Change::transaction_applied(of, json, applied.text()));
        let mut effects = Vec::new();
        if let Flight::None = head.flight {
            decide(head.confirmed.number + 1, &mut changes, &mut effects);
        }
        Ok(go_on(changes, effects))
    }

    fn request_snapshot(&self, number: i128, head: &OpenHead<'_>) -> Result<Outcome, FoldFault> {
        let requested = match head.flight {
            Flight::Requested { number: requested } => requested,
            _ => return Ok(Outcome::Error(format!("snapshot {number} was not asked for"))),
        };
        if requested != number {
            return Ok(Outcome::Error(format!("snapshot {requested} was asked for, not {number}")));
        }
        let next = head.next_snapshot(number, MAX_SNAPSHOT_TXS)?;
        let local = head.local_utxo()?;
        let changes = vec![Change::snapshot_requested(&next.snapshot, &next.ids, next.left, local.text())];
        let effects = vec![self.acknowledge(head, &next.snapshot, number)?];
        Ok(go_on(changes, effects))
    }

    fn acknowledge(&self, head: &OpenHead<'_>, snapshot: &Json<Snapshot>, number: i128) -> Result<Effect, FoldFault> {
        let signature = self.key.sign(&signable(head.id, &snapshot.get()?));
        Ok(Effect::Send(Message::AckSn { number, signature }))
    }

    fn confirm(&self, number: i128, signature: &str, head: &OpenHead<'_>) -> Result<Outcome, FoldFault> {
        let snapshot = match &head.flight {
            Flight::Signing { snapshot, number: signing } if *signing == number => snapshot,
            _ => return Ok(Outcome::Error(format!("snapshot {number} is not being signed"))),
        };
        let party = self.party();
        if !verify(&party, &signable(head.id, &snapshot.get()?), signature) {
            return Ok(Outcome::Error(format!("the signature of snapshot {number} is not the party's")));
        }
        let mut changes = vec![
            Change::party_signed(snapshot, &party, signature),
            Change::snapshot_confirmed(self.of(head.id), snapshot, signature),
        ];
        let mut effects = Vec::new();
        if !head.local_txs().is_empty() {
            decide(number + 1, &mut changes, &mut effects);
        }
        Ok(go_on(changes, effects))
    }

    fn close(&self, head: &OpenHead<'_>, now: Now) -> Result<Outcome, FoldFault> {
        let deadline = json_text::time(since_epoch(now) + self.contestation_period);
        Ok(go_on(vec![Change::head_closed(self.of(head.id), &deadline, head.confirmed.number)], Vec::new()))
    }

    fn tick(&self, state: &HeadState, is_told: bool, now: Now) -> Outcome {
        if becomes_ready(state, now) {
            let head_id = state.head_id().unwrap_or_default();
            return go_on(vec![Change::ready_to_fanout(self.of(head_id))], Vec::new());
        }
        go_on(if is_told { vec![Change::tick_observed(now.slot)] } else { Vec::new() }, Vec::new())
    }

    fn fan_out(&self, closed: &Closed) -> Result<Outcome, FoldFault> {
        if !is_ready(closed) {
            return Ok(Outcome::Error("the contestation period is not over".to_owned()));
        }
        let head_id = closed.head_id.get().map(|id| id.digits()).unwrap_or_default();
        let utxo = closed.confirmed_snapshot.get().map(ConfirmedSnapshot::utxo).transpose()?.flatten();
        let utxo = utxo.as_ref().map_or("{}", Json::text);
        Ok(go_on(vec![Change::head_fanned_out(self.of(head_id), utxo)], Vec::new()))
    }
}

fn go_on(changes: Vec<Change>, effects: Vec<Effect>) -> Outcome {
    Outcome::Continue { changes, effects }
}

/// Asks for a snapshot. The one party leads them all.
fn decide(number: i128, changes: &mut Vec<Change>, effects: &mut Vec<Effect>) {
    changes.push(Change::snapshot_request_decided(number));
    effects.push(Effect::Send(Message::ReqSn { number }));
}

fn command_given(command: &Command, state: &HeadState) -> Outcome {
    let effect = match (command, state) {
        (Command::NewTx(tx), HeadState::Open(_)) => Effect::Send(Message::ReqTx { tx: tx.clone(), tries: TRIES }),
        (Command::Close, HeadState::Open(_)) => Effect::Post(ChainTx::Close),
        (Command::Fanout, HeadState::Closed(closed)) if is_ready(closed) => Effect::Post(ChainTx::Fanout),
        (Command::Fanout, HeadState::Closed(_)) => {
            Effect::CommandFailed { reason: "the contestation period is not over".to_owned() }
        }
        (Command::Refused(tag), _) => {
            Effect::CommandFailed { reason: format!("{tag} needs a chain, and a head in offline mode has none") }
        }
        (_, state) => Effect::CommandFailed { reason: format!("the head is {}", state.tag()) },
    };
    go_on(Vec::new(), vec![effect])
}

/// Whether the event that fanout is possible was written.
pub(crate) fn is_ready(closed: &Closed) -> bool {
    closed.ready_to_fanout_sent.get().is_some_and(|sent| sent.get())
}

/// Whether the contestation period is over and no event says so yet.
pub(super) fn becomes_ready(state: &HeadState, now: Now) -> bool {
    let HeadState::Closed(closed) = state else { return false };
    let deadline = closed.contestation_deadline.get().and_then(UtcTime::get);
    !is_ready(closed) && deadline.is_some_and(|deadline| now.time >= deadline)
}

pub(super) fn since_epoch(now: Now) -> Duration {
    Duration::new(u64::try_from(now.time.seconds).unwrap_or_default(), now.time.nanoseconds)
}
