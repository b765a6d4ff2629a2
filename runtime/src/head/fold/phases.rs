//! From one phase of a head to the next.

use super::{FoldFault, HeadFold, Node, apart, raw, required};
use crate::head::leaf::{Bool, Integer, Map};
use crate::head::state::HeadState;
use crate::head::state_changed::{CommittedUTxO, HeadClosed, HeadInitialized, HeadOpened, StateChanged};
use crate::head::typed::{Field, Json};
use crate::head::types::{
    ChainState, Closed, ConfirmedSnapshot, CoordinatedHeadState, Idle, Initial, InitialSnapshot, Open, SeenSnapshot,
    Utxo,
};

impl HeadFold {
    pub(super) fn initialise(&mut self, init: HeadInitialized) -> Result<(), FoldFault> {
        let pending = init
            .parameters
            .get()
            .map(Json::get)
            .transpose()?
            .and_then(|parameters| parameters.parties.get().map(Json::get));
        self.head = HeadState::Initial(Box::new(Initial {
            chain_state: apart(init.chain_state),
            committed: Field::Is(Map::new()),
            head_id: init.head_id,
            head_seed: init.head_seed,
            parameters: apart(init.parameters),
            pending_commits: Field::Is(pending.transpose()?.unwrap_or_default()),
            other: Vec::new(),
        }));
        Ok(())
    }

    pub(super) fn commit(&mut self, commit: CommittedUTxO) -> Result<(), FoldFault> {
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
    pub(super) fn open(&mut self, opened: HeadOpened) -> Result<(), FoldFault> {
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

    pub(super) fn close(&mut self, close: HeadClosed) {
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

    pub(super) fn idle(&mut self, chain_state: Field<Json<ChainState>>) {
        self.head = HeadState::Idle(Box::new(Idle { chain_state: apart(chain_state), other: Vec::new() }));
    }

    /// A head that leaves for the chain in steps; anything else is no change of phase.
    pub(super) fn change_fanout(&mut self, change: StateChanged) -> Result<(), FoldFault> {
        use StateChanged as C;
        match change {
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
            change => return self.change_deposits(change),
        }
        Ok(())
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
}
