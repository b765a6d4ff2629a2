//! What lies beside the head: deposits that are not in it yet, and where the node is on the chain.

use super::{FoldFault, HeadFold, Node, required};
use crate::head::leaf::{Integer, Map, Raw, Str, TxId, UtcTime};
use crate::head::state::{HeadState, NodeState};
use crate::head::state_changed::{CommitRecorded, StateChanged};
use crate::head::typed::{Field, Json};
use crate::head::types::Deposit;

impl HeadFold {
    /// Deposits as they are seen on the chain, beside whatever the head is doing.
    pub(super) fn change_deposits(&mut self, change: StateChanged) -> Result<(), FoldFault> {
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
                self.deposit(&deposit.deposit_tx_id, &Json::of(&recorded)?)
            }
            C::DepositActivated(change) => self.deposit(&change.deposit_tx_id, required(&change.deposit, "deposit")?),
            C::DepositExpired(change) => self.deposit(&change.deposit_tx_id, required(&change.deposit, "deposit")?),
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
                Ok(())
            }
            change => self.change_ledger(change),
        }
    }

    /// What changes the ledger of an open head; most of it concerns nothing else.
    fn change_ledger(&mut self, change: StateChanged) -> Result<(), FoldFault> {
        use StateChanged as C;
        match change {
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
                        self.local_utxo(utxo);
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
            change => self.ledger(|ledger| ledger.change(change))?,
        }
        Ok(())
    }

    pub(super) fn restore(&mut self, state: NodeState) {
        (self.head, self.node) = match state {
            NodeState::Head(head) => (head, Node::InHead),
            NodeState::Node(mut node) => match std::mem::take(&mut node.head_state) {
                Field::Is(head) => (head, Node::Beside(node)),
                _ => (HeadState::default(), Node::Beside(node)),
            },
        };
    }

    pub(super) fn commit_recorded(&mut self, commit: CommitRecorded) -> Result<(), FoldFault> {
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
        if let Field::Is(utxo) = commit.new_local_utxo {
            self.local_utxo(utxo);
        }
        Ok(())
    }

    pub(super) fn deposit(&mut self, id: &Field<TxId>, deposit: &Json<Deposit>) -> Result<(), FoldFault> {
        let id = required(id, "depositTxId")?.as_key().to_owned();
        let deposit = deposit.cast();
        self.deposits(|deposits| deposits.insert(id, deposit));
        Ok(())
    }

    /// Deposits that are not in the head yet: in the open head's ledger until 0.22, then beside the head.
    pub(super) fn deposits<R>(&mut self, edit: impl FnOnce(&mut Map<Json<Raw>>) -> R) -> Option<R> {
        match (&mut self.node, &mut self.head) {
            (Node::InHead, HeadState::Open(open)) => {
                Some(open.coordinated.edit(|ledger| ledger.pending_deposits.edit(edit)))
            }
            (Node::InHead, _) => None,
            (Node::Beside(node), _) if node.deposits.get().is_some() => Some(node.deposits.edit(edit)),
            (Node::Beside(node), _) => Some(node.pending_deposits.edit(edit)),
        }
    }

    /// Notes the slot of the last tick, where this version keeps it.
    pub(super) fn slot(&mut self, slot: Integer, time: Option<&UtcTime>) {
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

    /// The slot of the last tick, where this version keeps it.
    pub fn current_slot(&self) -> Option<&Integer> {
        match (&self.node, &self.head) {
            (Node::InHead, HeadState::Open(open)) => open.current_slot.get(),
            (Node::InHead, _) => None,
            (Node::Beside(node), _) => match node.chain_point_time.get() {
                Some(point) => point.current_slot.get(),
                None => node.current_slot.get(),
            },
        }
    }

    /// Whether the node is in sync with the chain, where this version keeps that (since 1.3).
    pub fn is_in_sync(&self) -> Option<bool> {
        let Node::Beside(node) = &self.node else { return None };
        node.tag.get().map(|tag| tag.content() == "NodeInSync")
    }

    /// Notes whether the node is in sync with the chain, where this version keeps that (since 1.3).
    pub(super) fn synced(&mut self, synced: bool) {
        if let Node::Beside(node) = &mut self.node
            && node.tag.get().is_some()
        {
            node.tag = Field::Is(Str::from(if synced { "NodeInSync" } else { "NodeCatchingUp" }));
        }
    }
}
