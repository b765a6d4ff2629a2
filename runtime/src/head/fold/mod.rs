//! Folds events into the state of head and node, as hydra-node does when it starts.
//!
//! A value that a later event replaces is never read: it stays a part of the page that it came in. What is kept for long is copied out
//! of its page, so that a page goes when its events do.

mod open;

use std::collections::BTreeSet;

use crate::event::{Position, StateEvent};

use super::leaf::{Bool, Hex, Integer, Map, Raw, Str, TxId, UtcTime};
use super::ledger::LedgerError;
use super::state::{HeadState, NodeMembers, NodeState};
use super::state_changed::StateChanged;
use super::typed::{Field, Json, TypeError};
use super::types::{
    ChainPoint, ChainState, Closed, ConfirmedSnapshot, CoordinatedHeadState, Deposit, Idle, Initial, InitialSnapshot, Open, SeenSnapshot, Utxo,
};

/// Why the fold cannot go on. The state is not known from here on.
#[derive(Debug, thiserror::Error)]
#[error("event {position} ({tag}) cannot be folded")]
pub struct FoldError {
    /// The event's position.
    pub position: Position,
    /// Its tag.
    pub tag: String,
    /// What is wrong.
    #[source]
    pub source: FoldFault,
}

/// What is wrong with an event that cannot be folded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FoldFault {
    /// It is not of the type that its tag says.
    #[error(transparent)]
    Type(#[from] TypeError),
    /// What it makes of the outputs cannot be worked out.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A member that every version writes is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A snapshot is confirmed that is neither in the event nor was it requested (since 2.1; hydra-node itself stops here).
    #[error("it confirms a snapshot that it does not hold, and none was requested before")]
    NoSnapshot,
}

/// So many unknown tags are remembered: hydra-node has some fifty in all, and a log may be anybody's.
const MAX_UNKNOWN_TAGS: usize = 100;

/// The state that events lead to.
#[derive(Clone, Debug, Default)]
pub struct HeadFold {
    head: HeadState,
    /// What lies beside the head since 1.0; none where a checkpoint of 0.22 has it in the head.
    node: Node,
    /// Tags that are not known here.
    unknown_tags: BTreeSet<String>,
    /// Whether an event was seen that only 2.2 and later write: from there on, events of other heads are passed over.
    is_guarded: bool,
}

#[derive(Clone, Debug)]
enum Node {
    InHead,
    Beside(Box<NodeMembers>),
}

impl Default for Node {
    fn default() -> Self {
        Self::Beside(Box::new(NodeMembers {
            current_slot: Field::Is(Integer::from(0)),
            pending_deposits: Field::Is(Map::new()),
            ..NodeMembers::default()
        }))
    }
}

impl HeadFold {
    /// Before the first event: no head.
    pub fn new() -> Self {
        Self::default()
    }

    /// The state of the head.
    pub fn head(&self) -> &HeadState {
        &self.head
    }

    /// The state of head and node, in the shape of the last checkpoint, or else in that of 1.0.
    pub fn state(&self) -> NodeState {
        match &self.node {
            Node::InHead => NodeState::Head(self.head.clone()),
            Node::Beside(node) => {
                let head_state = Field::Is(self.head.clone());
                NodeState::Node(Box::new(NodeMembers { head_state, ..NodeMembers::clone(node) }))
            }
        }
    }

    /// Folds one event. Tags that are not known have no effect.
    ///
    /// # Errors
    ///
    /// [`FoldError`]; the state is then as before the event, or partly changed, and means nothing any more.
    pub fn apply(&mut self, event: &StateEvent) -> Result<(), FoldError> {
        if has_no_effect(event.tag()) {
            return Ok(());
        }
        let changed = StateChanged::of(event).map_err(FoldFault::from).and_then(|change| match change {
            StateChanged::Unknown(_) => {
                self.unknown(event.tag());
                Ok(())
            }
            change => self.change(change),
        });
        changed.map_err(|source| FoldError { position: event.position(), tag: event.tag().to_owned(), source })
    }

    /// Tags that were met and are not known here; events of them had no effect.
    pub fn unknown_tags(&self) -> impl Iterator<Item = &str> {
        self.unknown_tags.iter().map(String::as_str)
    }

    fn unknown(&mut self, tag: &str) {
        if self.unknown_tags.len() < MAX_UNKNOWN_TAGS && self.unknown_tags.insert(tag.to_owned()) {
            tracing::warn!("events with the tag {tag:?} are not known here: they go to the sinks and have no effect on the state");
        }
    }

    fn change(&mut self, change: StateChanged) -> Result<(), FoldFault> {
        use StateChanged as C;
        self.is_guarded |= is_of_2_2(&change);
        if self.is_guarded && self.is_of_another_head(&change) {
            return Ok(());
        }
        match change {
            C::HeadInitialized(init) => {
                let pending = init.parameters.get().map(Json::get).transpose()?.and_then(|parameters| {
                    parameters.parties.get().map(Json::get)
                });
                self.head = HeadState::Initial(Box::new(Initial {
                    chain_state: apart(init.chain_state),
                    committed: Field::Is(Map::new()),
                    head_id: init.head_id,
                    head_seed: init.head_seed,
                    parameters: apart(init.parameters),
                    pending_commits: Field::Is(pending.transpose()?.unwrap_or_default()),
                    other: Vec::new(),
                }));
            }
            C::CommittedUTxO(commit) => self.commit(*commit)?,
            C::HeadAborted(abort) => self.idle(abort.chain_state),
            C::HeadOpened(opened) => self.open(*opened)?,
            C::HeadClosed(closed) => self.close(*closed),
            C::HeadContested(contest) => {
                if let HeadState::Closed(closed) = &mut self.head {
                    closed.contestation_deadline = contest.contestation_deadline;
                    closed.chain_state = apart(contest.chain_state);
                }
            }
            C::HeadIsReadyToFanout(_) => {
                if let HeadState::Closed(closed) = &mut self.head {
                    closed.ready_to_fanout_sent = Field::Is(Bool::from(true));
                }
            }
            C::HeadFannedOut(out) => {
                if let HeadState::Closed(_) | HeadState::FanoutProgress(_) = self.head {
                    self.idle(out.chain_state);
                }
            }
            C::ChainRolledBack(back) => {
                self.chain_state(&back.chain_state);
                if let Some(slot) = slot_of(&back.chain_state)? {
                    self.slot(slot, None);
                }
            }
            C::TickObserved(tick) => {
                let point = tick.chain_point.get().map(Json::get).transpose()?;
                let slot = tick.chain_slot.get().cloned().or_else(|| point.and_then(slot_of_point));
                if let Some(slot) = slot {
                    self.slot(slot, tick.chain_time.get());
                }
            }
            C::NodeSynced(_) => self.synced(true),
            C::NodeUnsynced(_) => self.synced(false),
            C::Checkpoint(checkpoint) => match checkpoint.state {
                Field::Is(state) => self.restore(state),
                _ => return Err(FoldFault::Missing("state")),
            },
            change => self.deposits_and_ledger(change)?,
        }
        Ok(())
    }

    fn deposits_and_ledger(&mut self, change: StateChanged) -> Result<(), FoldFault> {
        use StateChanged as C;
        match change {
            C::DepositRecorded(deposit) => {
                self.chain_state(&deposit.chain_state);
                let recorded = Deposit {
                    created: deposit.created,
                    deadline: deposit.deadline,
                    deposited: deposit.deposited,
                    head_id: deposit.head_id,
                    status: Field::Is(Str::from("Inactive")),
                    other: Vec::new(),
                };
                self.deposit(&deposit.deposit_tx_id, &Json::of(&recorded)?)?;
            }
            C::DepositActivated(change) => self.deposit(&change.deposit_tx_id, required(&change.deposit, "deposit")?)?,
            C::DepositExpired(change) => self.deposit(&change.deposit_tx_id, required(&change.deposit, "deposit")?)?,
            C::DepositRecovered(recovered) => {
                self.chain_state(&recovered.chain_state);
                let id = required(&recovered.deposit_tx_id, "depositTxId")?;
                self.deposits(|deposits| deposits.remove(id.as_key()));
                if let (true, HeadState::Open(open)) = (self.is_guarded, &mut self.head) {
                    open.coordinated.edit(|ledger| {
                        if ledger.current_deposit_tx_id.get() == Some(id) {
                            ledger.current_deposit_tx_id = Field::Null;
                        }
                    });
                }
            }
            C::CommitFinalized(commit) => {
                self.chain_state(&commit.chain_state);
                let id = required(&commit.deposit_tx_id, "depositTxId")?.clone();
                if let HeadState::Open(_) = self.head {
                    let deposit = self.deposits(|deposits| deposits.remove(id.as_key())).flatten();
                    self.ledger(|ledger| ledger.commit_finalized(&commit, deposit.as_ref()))?;
                }
            }
            C::CommitRecorded(commit) => {
                self.chain_state(&commit.chain_state);
                if let HeadState::Open(_) = self.head {
                    self.commit_recorded(*commit)?;
                }
            }
            C::CommitRecovered(commit) => {
                self.chain_state(&commit.chain_state);
                if let HeadState::Open(_) = self.head {
                    if let Some(id) = commit.recovered_tx_id.get() {
                        self.deposits(|deposits| deposits.remove(id.as_key()));
                    }
                    if let Field::Is(utxo) = commit.new_local_utxo {
                        self.ledger(|ledger| Ok(ledger.local_utxo = Field::Is(utxo)))?;
                    }
                }
            }
            C::DecommitFinalized(decommit) => {
                self.chain_state(&decommit.chain_state);
                self.ledger(|ledger| {
                    (ledger.decommit_tx, ledger.version) = (Field::Null, decommit.new_version.clone());
                    Ok(())
                })?;
            }
            C::HeadFanoutInitiated(fanout) => self.fanout(fanout.remaining_outputs, None, Some("AutoDrain")),
            C::HeadPartialFanoutSelected(fanout) => {
                self.fanout(fanout.remaining_outputs, None, Some("DistributingSelection"));
            }
            C::HeadPartialFannedOut(out) => {
                self.chain_state(&out.chain_state);
                self.fanout(out.remaining_outputs, Some(out.distributed_outputs), None);
            }
            C::HeadFanoutReverted(_) => {
                if let HeadState::FanoutProgress(closed) = &self.head {
                    self.head = HeadState::Closed(closed.clone());
                }
            }
            change => self.ledger(|ledger| ledger.change(change))?,
        }
        Ok(())
    }

    /// Changes the ledger of an open head; in any other state there is nothing to change.
    fn ledger(
        &mut self,
        change: impl FnOnce(&mut CoordinatedHeadState) -> Result<(), FoldFault>,
    ) -> Result<(), FoldFault> {
        match &mut self.head {
            HeadState::Open(open) => open.coordinated.edit(change),
            _ => Ok(()),
        }
    }

    fn commit(&mut self, commit: super::state_changed::CommittedUTxO) -> Result<(), FoldFault> {
        let HeadState::Initial(initial) = &mut self.head else { return Ok(()) };
        let party = required(&commit.party, "party")?;
        let key = required(&party.vkey, "vkey")?.digits().to_owned();
        let utxo = required(&commit.committed_utxo, "committedUTxO")?.apart();
        initial.committed.edit(|committed| committed.insert(key, utxo));
        initial.pending_commits.edit(|pending| pending.retain(|waiting| waiting.vkey != party.vkey));
        self.chain_state(&commit.chain_state);
        Ok(())
    }

    /// Until 1.x what was committed opens an initialised head; since 2.0 a head opens at once, with nothing in it.
    fn open(&mut self, opened: super::state_changed::HeadOpened) -> Result<(), FoldFault> {
        let (parameters, seed, id) = match (&self.head, opened.parameters.get()) {
            (_, Some(_)) => (apart(opened.parameters.clone()), opened.head_seed.clone(), opened.head_id.clone()),
            (HeadState::Initial(initial), None) => {
                (initial.parameters.clone(), initial.head_seed.clone(), initial.head_id.clone())
            }
            _ => return Ok(()),
        };
        let opens_directly = opened.parameters.get().is_some();
        let initial_utxo = if opens_directly { Field::Absent } else { apart(opened.initial_utxo.clone()) };
        let local_utxo = match &opened.initial_utxo {
            Field::Is(utxo) => Field::Is(utxo.apart()),
            _ => Field::Is(Json::of(&Utxo::default())?),
        };
        let snapshot = InitialSnapshot { head_id: id.clone(), initial_utxo, other: Vec::new() };
        let ledger = CoordinatedHeadState {
            all_txs: Field::Is(Map::new()),
            confirmed_snapshot: Field::Is(ConfirmedSnapshot::InitialSnapshot(Box::new(snapshot))),
            current_deposit_tx_id: Field::Null,
            decommit_tx: Field::Null,
            local_txs: Field::Is(Vec::new()),
            local_utxo,
            pending_deposits: if let Node::InHead = self.node { Field::Is(Map::new()) } else { Field::Absent },
            seen_snapshot: Field::Is(SeenSnapshot::NoSeenSnapshot(Box::default())),
            version: Field::Is(Integer::from(0)),
            other: Vec::new(),
        };
        self.head = HeadState::Open(Box::new(Open {
            chain_state: apart(opened.chain_state),
            coordinated: Field::Is(ledger),
            head_id: id,
            head_seed: seed,
            parameters,
            ..Open::default()
        }));
        Ok(())
    }

    fn close(&mut self, close: super::state_changed::HeadClosed) {
        let HeadState::Open(open) = &self.head else { return };
        let ledger = open.coordinated.get();
        self.head = HeadState::Closed(Box::new(Closed {
            chain_state: apart(close.chain_state),
            confirmed_snapshot: ledger.map(|ledger| ledger.confirmed_snapshot.clone()).unwrap_or_default(),
            contestation_deadline: close.contestation_deadline,
            head_id: open.head_id.clone(),
            head_seed: open.head_seed.clone(),
            parameters: open.parameters.clone(),
            ready_to_fanout_sent: Field::Is(Bool::from(false)),
            version: ledger.map(|ledger| ledger.version.clone()).unwrap_or_default(),
            ..Closed::default()
        }));
    }

    fn idle(&mut self, chain_state: Field<Json<ChainState>>) {
        self.head = HeadState::Idle(Box::new(Idle { chain_state: apart(chain_state), other: Vec::new() }));
    }

    fn fanout(
        &mut self,
        remaining: Field<Json<Utxo>>,
        distributed: Option<Field<Json<Utxo>>>,
        mode: Option<&'static str>,
    ) {
        let (HeadState::Closed(closed) | HeadState::FanoutProgress(closed)) = &self.head else { return };
        let mut closed = closed.clone();
        closed.remaining_outputs = apart(remaining);
        if let Some(distributed) = distributed {
            closed.distributed_outputs = apart(distributed);
        }
        if let Some(mode) = mode {
            closed.mode = Field::Is(raw(&format!("{{\"tag\":\"{mode}\"}}")));
        }
        self.head = HeadState::FanoutProgress(closed);
    }

    fn restore(&mut self, state: NodeState) {
        (self.head, self.node) = match state {
            NodeState::Head(head) => (head, Node::InHead),
            NodeState::Node(mut node) => match std::mem::take(&mut node.head_state) {
                Field::Is(head) => (head, Node::Beside(node)),
                _ => (HeadState::default(), Node::Beside(node)),
            },
        };
    }

    fn commit_recorded(&mut self, commit: super::state_changed::CommitRecorded) -> Result<(), FoldFault> {
        if let Field::Is(recorded) = commit.pending_deposits {
            self.deposits(|deposits| deposits.extend(recorded));
        } else if let Some(id) = commit.deposit_tx_id.get() {
            let recorded = Deposit {
                deadline: commit.deadline,
                deposited: commit.deposited,
                head_id: commit.head_id,
                ..Deposit::default()
            };
            self.deposit(&Field::Is(id.clone()), &Json::of(&recorded)?)?;
        }
        match commit.new_local_utxo {
            Field::Is(utxo) => self.ledger(|ledger| Ok(ledger.local_utxo = Field::Is(utxo))),
            _ => Ok(()),
        }
    }

    fn deposit(&mut self, id: &Field<TxId>, deposit: &Json<Deposit>) -> Result<(), FoldFault> {
        let id = required(id, "depositTxId")?.as_key().to_owned();
        let deposit = raw(deposit.as_str());
        self.deposits(|deposits| deposits.insert(id, deposit));
        Ok(())
    }

    /// Deposits that are not in the head yet: in the open head's ledger until 0.22, then beside the head.
    fn deposits<R>(&mut self, edit: impl FnOnce(&mut Map<Json<Raw>>) -> R) -> Option<R> {
        match (&mut self.node, &mut self.head) {
            (Node::InHead, HeadState::Open(open)) => {
                Some(open.coordinated.edit(|ledger| ledger.pending_deposits.edit(edit)))
            }
            (Node::InHead, _) => None,
            (Node::Beside(node), _) if node.deposits.get().is_some() => Some(node.deposits.edit(edit)),
            (Node::Beside(node), _) => Some(node.pending_deposits.edit(edit)),
        }
    }

    fn chain_state(&mut self, chain_state: &Field<Json<ChainState>>) {
        if let Field::Is(chain_state) = chain_state {
            self.head.set_chain_state(chain_state);
        }
    }

    /// Notes the slot of the last tick, where this version keeps it.
    fn slot(&mut self, slot: Integer, time: Option<&UtcTime>) {
        match (&mut self.node, &mut self.head) {
            (Node::InHead, HeadState::Open(open)) => open.current_slot = Field::Is(slot),
            (Node::InHead, _) => {}
            (Node::Beside(node), _) => match &mut node.chain_point_time {
                Field::Is(point) => {
                    point.current_slot = Field::Is(slot);
                    if let Some(time) = time {
                        point.current_chain_time = Field::Is(time.clone());
                    }
                }
                _ => node.current_slot = Field::Is(slot),
            },
        }
    }

    /// Notes whether the node is in sync with the chain, where this version keeps that (since 1.3).
    fn synced(&mut self, synced: bool) {
        if let Node::Beside(node) = &mut self.node
            && node.tag.get().is_some()
        {
            node.tag = Field::Is(Str::from(if synced { "NodeInSync" } else { "NodeCatchingUp" }));
        }
    }

    /// Since 2.2: whether state and event have a head id each, and another one. No id is taken from events that speak of other heads.
    fn is_of_another_head(&self, change: &StateChanged) -> bool {
        let of_event = head_id_of(change).map(Hex::digits);
        of_event.is_some_and(|id| self.head.head_id().is_some_and(|ours| ours != id))
    }
}

/// Events that are output or log only.
fn has_no_effect(tag: &str) -> bool {
    matches!(
        tag,
        "IgnoredHeadInitializing"
            | "CommitApproved"
            | "DecommitApproved"
            | "DecommitInvalid"
            | "NetworkConnected"
            | "NetworkDisconnected"
            | "PeerConnected"
            | "PeerDisconnected"
            | "NetworkVersionMismatch"
            | "NetworkClusterIDMismatch"
            | "NetworkBroadcastStalled"
            | "NetworkBroadcastResumed"
    )
}

/// Whether no version before 2.2 writes it so: outputs are not spelled out.
fn is_of_2_2(change: &StateChanged) -> bool {
    match change {
        StateChanged::TransactionAppliedToLocalUTxO(change) => change.new_local_utxo == Field::Absent,
        StateChanged::SnapshotRequested(change) => change.new_local_utxo == Field::Absent,
        StateChanged::DecommitRecorded(change) => change.new_local_utxo == Field::Absent,
        StateChanged::HeadPartialFannedOut(_) | StateChanged::HeadFanoutInitiated(_) => true,
        _ => false,
    }
}

fn head_id_of(change: &StateChanged) -> Option<&Hex> {
    use StateChanged as C;
    let id = match change {
        C::HeadOpened(change) => &change.head_id,
        C::TransactionAppliedToLocalUTxO(change) => &change.head_id,
        C::TxInvalid(change) => &change.head_id,
        C::SnapshotConfirmed(change) => &change.head_id,
        C::LocalStateCleared(change) => &change.head_id,
        C::DepositRecorded(change) => &change.head_id,
        C::CommitFinalized(change) => &change.head_id,
        C::DecommitRecorded(change) => &change.head_id,
        C::DecommitFinalized(change) => &change.head_id,
        C::HeadClosed(change) => &change.head_id,
        C::HeadContested(change) => &change.head_id,
        C::HeadIsReadyToFanout(change) => &change.head_id,
        C::HeadFannedOut(change) => &change.head_id,
        C::HeadPartialFannedOut(change) => &change.head_id,
        C::HeadFanoutInitiated(change) => &change.head_id,
        C::HeadPartialFanoutSelected(change) => &change.head_id,
        C::HeadFanoutReverted(change) => &change.head_id,
        _ => return None,
    };
    id.get()
}

fn slot_of(chain_state: &Field<Json<ChainState>>) -> Result<Option<Integer>, TypeError> {
    let Field::Is(chain_state) = chain_state else { return Ok(None) };
    let state = chain_state.get()?;
    match (state.slot, state.recorded_at) {
        (Field::Is(slot), _) => Ok(Some(slot)),
        (_, Field::Is(point)) => Ok(slot_of_point(point.get()?)),
        _ => Ok(None),
    }
}

fn slot_of_point(point: ChainPoint) -> Option<Integer> {
    match point {
        ChainPoint::ChainPoint(block) => block.slot.get().cloned(),
        ChainPoint::ChainPointAtGenesis(_) => Some(Integer::from(0)),
        ChainPoint::Unknown(_) => None,
    }
}

fn required<'a, T>(field: &'a Field<T>, name: &'static str) -> Result<&'a T, FoldFault> {
    field.get().ok_or(FoldFault::Missing(name))
}

/// Out of its page, for what is kept longer.
fn apart<T>(field: Field<Json<T>>) -> Field<Json<T>> {
    match field {
        Field::Is(json) => Field::Is(json.apart()),
        other => other,
    }
}

fn raw(json: &str) -> Json<Raw> {
    Json::from(crate::event::Text::from(bytestring::ByteString::from(json)))
}
