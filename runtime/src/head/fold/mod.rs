//! Folds events into the state of head and node, as hydra-node does when it starts.
//!
//! A value that a later event replaces is never read: it stays a part of the page that it came in. What is kept for long is copied out
//! of its page, so that a page goes when its events do: transactions, most of which go soon, only if they are still there after a while.

mod beside;
mod open;
mod phases;

use std::collections::BTreeSet;

use crate::event::{Position, StateEvent};

use super::leaf::{Bool, Hex, Integer, Map, Raw};
use super::ledger::LedgerError;
use super::state::{HeadState, NodeMembers, NodeState};
use super::state_changed::StateChanged;
use super::typed::{Field, Json, TypeError};
use super::types::{ChainPoint, ChainState, CoordinatedHeadState, Utxo};

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

/// After so many bytes of events, transactions that are still there are copied out of their pages: the pages that they hold are no more than
/// these. It is twenty pages or so; most transactions are in a snapshot long before.
const HELD: usize = 8 << 20;

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
    /// Bytes of events since transactions were last copied out of their pages.
    held: usize,
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

    /// The state of the head alone.
    pub fn into_head(self) -> HeadState {
        self.head
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

    /// Ids of deposits that are not in the head yet.
    pub fn deposit_ids(&self) -> Vec<String> {
        let deposits = match (&self.node, &self.head) {
            (Node::Beside(node), _) => node.deposits.get().or(node.pending_deposits.get()),
            (Node::InHead, HeadState::Open(open)) => {
                open.coordinated.get().and_then(|ledger| ledger.pending_deposits.get())
            }
            (Node::InHead, _) => None,
        };
        deposits.map(|deposits| deposits.keys().cloned().collect()).unwrap_or_default()
    }

    /// Folds one event. Tags that are not known have no effect.
    ///
    /// # Errors
    ///
    /// [`FoldError`]; the state is then as before the event, or partly changed, and means nothing any more.
    pub fn apply(&mut self, event: &StateEvent) -> Result<(), FoldError> {
        self.let_pages_go(event.text().len());
        let tag = event.tag();
        if has_no_effect(tag) {
            return Ok(());
        }
        let changed = match StateChanged::with_wanted(event, wanted(tag)) {
            Ok(StateChanged::Unknown(_)) => {
                self.unknown(tag);
                Ok(())
            }
            Ok(change) => self.change(change),
            Err(error) => Err(error.into()),
        };
        changed.map_err(|source| FoldError { position: event.position(), tag: tag.to_owned(), source })
    }

    /// Tags that were met and are not known here; events of them had no effect.
    pub fn unknown_tags(&self) -> impl Iterator<Item = &str> {
        self.unknown_tags.iter().map(String::as_str)
    }

    fn let_pages_go(&mut self, bytes: usize) {
        self.held += bytes;
        if self.held < HELD {
            return;
        }
        self.held = 0;
        if let HeadState::Open(open) = &mut self.head {
            open.coordinated.edit(CoordinatedHeadState::set_apart);
        }
    }

    fn unknown(&mut self, tag: &str) {
        if self.unknown_tags.len() < MAX_UNKNOWN_TAGS && self.unknown_tags.insert(tag.to_owned()) {
            tracing::warn!(
                "events with the tag {tag:?} are not known here: they go to the sinks and have no effect on the state"
            );
        }
    }

    fn change(&mut self, change: StateChanged) -> Result<(), FoldFault> {
        use StateChanged as C;
        self.is_guarded |= is_of_2_2(&change);
        if self.is_guarded && self.is_of_another_head(&change) {
            return Ok(());
        }
        match change {
            C::HeadInitialized(init) => self.initialise(*init)?,
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
                let slot = match (tick.chain_slot, tick.chain_point) {
                    (Field::Is(slot), _) => Some(slot),
                    (_, Field::Is(point)) => slot_of_point(point.get()?),
                    _ => None,
                };
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
            change => self.change_fanout(change)?,
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

    fn local_utxo(&mut self, utxo: Json<Utxo>) {
        if let HeadState::Open(open) = &mut self.head {
            open.coordinated.edit(|ledger| ledger.local_utxo = Field::Is(utxo));
        }
    }

    fn chain_state(&mut self, chain_state: &Field<Json<ChainState>>) {
        if let Field::Is(chain_state) = chain_state {
            self.head.set_chain_state(chain_state);
        }
    }

    /// Since 2.2: whether state and event have a head id each, and another one. No id is taken from events that speak of other heads.
    fn is_of_another_head(&self, change: &StateChanged) -> bool {
        let of_event = head_id_of(change).map(Hex::digits);
        of_event.is_some_and(|id| self.head.head_id().is_some_and(|ours| ours != id))
    }
}

/// The members that matter, of the events that there are many of; none: all.
fn wanted(tag: &str) -> &'static [&'static str] {
    match tag {
        "TransactionReceived" => &["tx"],
        "TransactionAppliedToLocalUTxO" => &["headId", "newLocalUTxO", "tx"],
        "TickObserved" => &["chainPoint", "chainSlot", "chainTime"],
        "PartySignedSnapshot" => &["party", "signature"],
        "SnapshotConfirmed" => &["headId", "signatures", "snapshot"],
        "SnapshotRequested" => {
            &["newCurrentDepositTxId", "newLocalTxs", "newLocalUTxO", "requestedSnapshot", "requestedTxIds", "snapshot"]
        }
        _ => &[],
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

#[cfg(test)]
mod tests {
    use bytestring::ByteString;

    use super::*;
    use crate::event::Text;

    #[test]
    fn a_transaction_that_stays_does_not_keep_the_page_that_it_came_in() {
        let opened = r#"{"eventId":0,"stateChanged":{"tag":"HeadOpened","chainState":{},"headId":"ab","headSeed":"00","parameters":{},"parties":[]}}"#;
        let received =
            r#"{"eventId":1,"stateChanged":{"tag":"TransactionReceived","tx":{"cborHex":"00","txId":"aa"}}}"#;
        let page = ByteString::from(format!("{received}{}", " ".repeat(HELD)));
        let mut fold = HeadFold::new();
        fold.apply(&StateEvent::parse(opened).unwrap()).unwrap();
        fold.apply(&StateEvent::of_text(Text::of(&page, 0..received.len()).unwrap()).unwrap()).unwrap();
        assert!(!page.as_bytes().is_unique());
        let large = format!(r#"{{"eventId":2,"stateChanged":{{"tag":"CommitApproved","of":"{}"}}}}"#, "x".repeat(HELD));
        fold.apply(&StateEvent::parse(large).unwrap()).unwrap();
        assert!(page.as_bytes().is_unique());
        assert!(fold.state().to_json().contains(r#""allTxs":{"aa":{"cborHex":"00","txId":"aa"}}"#));
    }
}
