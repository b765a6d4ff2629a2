//! hydra-node's StateChanged: every constructor that a released version has written, each with the members of all versions.

use std::ops::ControlFlow;

use super::leaf::{Hex, Integer, Number, Raw, Str, TxId, UtcTime};
use super::typed::{Json, TypeError, record, tagged};
use super::types::{
    ChainPoint, ChainState, DecommitInvalidReason, Deposit, HeadParameters, Host, MultiSignature, Party, Snapshot, Tx,
    Utxo, ValidationError,
};
use crate::event::StateEvent;

macro_rules! constructors {
    ($($name:ident { $($field:ident = $key:literal: $type:ty,)* })*) => {
        $(record! {
            #[doc = concat!("Members of `", stringify!($name), "`.")]
            $name { $($field = $key: $type,)* }
        })*

        tagged! {
            /// What happened to the head or the node.
            StateChanged {
                $(#[doc = concat!("`", stringify!($name), "`.")] $name($name),)*
            }
        }
    };
}

constructors! {
    HeadInitialized {
        chain_state = "chainState": Json<ChainState>,
        head_id = "headId": Hex,
        head_seed = "headSeed": Hex,
        parameters = "parameters": Json<HeadParameters>,
        parties = "parties": Vec<Party>,
    }
    CommittedUTxO {
        chain_state = "chainState": Json<ChainState>,
        committed_utxo = "committedUTxO": Json<Utxo>,
        head_id = "headId": Hex,
        party = "party": Party,
    }
    HeadAborted {
        chain_state = "chainState": Json<ChainState>,
        head_id = "headId": Hex,
        utxo = "utxo": Json<Utxo>,
    }
    HeadOpened {
        chain_state = "chainState": Json<ChainState>,
        head_id = "headId": Hex,
        head_seed = "headSeed": Hex,
        initial_utxo = "initialUTxO": Json<Utxo>,
        parameters = "parameters": Json<HeadParameters>,
        parties = "parties": Vec<Party>,
    }
    IgnoredHeadInitializing {
        contestation_period = "contestationPeriod": Number,
        head_id = "headId": Hex,
        participants = "participants": Vec<Hex>,
        parties = "parties": Vec<Party>,
    }
    TransactionReceived { tx = "tx": Json<Tx>, }
    TransactionAppliedToLocalUTxO {
        head_id = "headId": Hex,
        new_local_utxo = "newLocalUTxO": Json<Utxo>,
        tx = "tx": Json<Tx>,
    }
    TxInvalid {
        head_id = "headId": Hex,
        transaction = "transaction": Json<Tx>,
        utxo = "utxo": Json<Utxo>,
        validation_error = "validationError": ValidationError,
    }
    SnapshotRequestDecided { snapshot_number = "snapshotNumber": Integer, }
    SnapshotRequested {
        new_current_deposit_tx_id = "newCurrentDepositTxId": TxId,
        new_local_txs = "newLocalTxs": Vec<Json<Tx>>,
        new_local_utxo = "newLocalUTxO": Json<Utxo>,
        requested_snapshot = "requestedSnapshot": Json<Snapshot>,
        requested_tx_ids = "requestedTxIds": Vec<TxId>,
        snapshot = "snapshot": Json<Snapshot>,
    }
    PartySignedSnapshot {
        party = "party": Party,
        signature = "signature": Hex,
        snapshot = "snapshot": Json<Snapshot>,
        snapshot_number = "snapshotNumber": Integer,
    }
    SnapshotConfirmed {
        head_id = "headId": Hex,
        signatures = "signatures": Json<MultiSignature>,
        snapshot = "snapshot": Json<Snapshot>,
    }
    LocalStateCleared { head_id = "headId": Hex, snapshot_number = "snapshotNumber": Integer, }
    CommitRecorded {
        chain_state = "chainState": Json<ChainState>,
        deadline = "deadline": UtcTime,
        deposit_tx_id = "depositTxId": TxId,
        deposited = "deposited": Json<Utxo>,
        head_id = "headId": Hex,
        new_local_utxo = "newLocalUTxO": Json<Utxo>,
        pending_deposits = "pendingDeposits": super::leaf::Map<Json<Raw>>,
    }
    CommitRecovered {
        chain_state = "chainState": Json<ChainState>,
        head_id = "headId": Hex,
        new_local_utxo = "newLocalUTxO": Json<Utxo>,
        recovered_tx_id = "recoveredTxId": TxId,
        recovered_utxo = "recoveredUTxO": Json<Utxo>,
    }
    DepositRecorded {
        chain_state = "chainState": Json<ChainState>,
        created = "created": UtcTime,
        deadline = "deadline": UtcTime,
        deposit_tx_id = "depositTxId": TxId,
        deposited = "deposited": Json<Utxo>,
        head_id = "headId": Hex,
    }
    DepositActivated {
        chain_time = "chainTime": UtcTime,
        deposit = "deposit": Json<Deposit>,
        deposit_tx_id = "depositTxId": TxId,
    }
    DepositExpired {
        chain_time = "chainTime": UtcTime,
        deposit = "deposit": Json<Deposit>,
        deposit_tx_id = "depositTxId": TxId,
    }
    DepositRecovered {
        chain_state = "chainState": Json<ChainState>,
        deposit_tx_id = "depositTxId": TxId,
        head_id = "headId": Hex,
        recovered = "recovered": Json<Utxo>,
    }
    CommitApproved { head_id = "headId": Hex, utxo_to_commit = "utxoToCommit": Json<Utxo>, }
    CommitFinalized {
        chain_state = "chainState": Json<ChainState>,
        deposit_tx_id = "depositTxId": TxId,
        head_id = "headId": Hex,
        new_version = "newVersion": Integer,
    }
    DecommitRecorded {
        decommit_tx = "decommitTx": Json<Tx>,
        head_id = "headId": Hex,
        new_local_utxo = "newLocalUTxO": Json<Utxo>,
        utxo_to_decommit = "utxoToDecommit": Json<Utxo>,
    }
    DecommitApproved {
        decommit_tx_id = "decommitTxId": TxId,
        head_id = "headId": Hex,
        utxo_to_decommit = "utxoToDecommit": Json<Utxo>,
    }
    DecommitInvalid {
        decommit_invalid_reason = "decommitInvalidReason": DecommitInvalidReason,
        decommit_tx = "decommitTx": Json<Tx>,
        head_id = "headId": Hex,
    }
    DecommitFinalized {
        chain_state = "chainState": Json<ChainState>,
        distributed_utxo = "distributedUTxO": Json<Utxo>,
        head_id = "headId": Hex,
        new_version = "newVersion": Integer,
    }
    HeadClosed {
        chain_state = "chainState": Json<ChainState>,
        contestation_deadline = "contestationDeadline": UtcTime,
        head_id = "headId": Hex,
        snapshot_number = "snapshotNumber": Integer,
    }
    HeadContested {
        chain_state = "chainState": Json<ChainState>,
        contestation_deadline = "contestationDeadline": UtcTime,
        head_id = "headId": Hex,
        snapshot_number = "snapshotNumber": Integer,
    }
    HeadIsReadyToFanout { head_id = "headId": Hex, }
    HeadFannedOut {
        chain_state = "chainState": Json<ChainState>,
        finalized_outputs = "finalizedOutputs": Json<Utxo>,
        head_id = "headId": Hex,
        utxo = "utxo": Json<Utxo>,
    }
    HeadPartialFannedOut {
        chain_state = "chainState": Json<ChainState>,
        distributed_outputs = "distributedOutputs": Json<Utxo>,
        distributed_utxo = "distributedUTxO": Json<Utxo>,
        head_id = "headId": Hex,
        mode = "mode": Json<Raw>,
        remaining_outputs = "remainingOutputs": Json<Utxo>,
        remaining_utxo = "remainingUTxO": Json<Utxo>,
    }
    HeadFanoutInitiated { head_id = "headId": Hex, remaining_outputs = "remainingOutputs": Json<Utxo>, }
    HeadPartialFanoutSelected {
        head_id = "headId": Hex,
        remaining_outputs = "remainingOutputs": Json<Utxo>,
        selection = "selection": Json<Raw>,
    }
    HeadFanoutReverted { head_id = "headId": Hex, }
    ChainRolledBack { chain_state = "chainState": Json<ChainState>, }
    TickObserved {
        chain_point = "chainPoint": Json<ChainPoint>,
        chain_slot = "chainSlot": Integer,
        chain_time = "chainTime": UtcTime,
    }
    NodeSynced {
        chain_point = "chainPoint": Json<ChainPoint>,
        chain_slot = "chainSlot": Integer,
        chain_time = "chainTime": UtcTime,
        drift = "drift": Number,
    }
    NodeUnsynced {
        chain_point = "chainPoint": Json<ChainPoint>,
        chain_slot = "chainSlot": Integer,
        chain_time = "chainTime": UtcTime,
        drift = "drift": Number,
    }
    NetworkConnected {}
    NetworkDisconnected {}
    PeerConnected { peer = "peer": Host, }
    PeerDisconnected { peer = "peer": Host, }
    NetworkVersionMismatch { our_version = "ourVersion": Integer, their_version = "theirVersion": Integer, }
    NetworkClusterIDMismatch {
        cluster_peers = "clusterPeers": Str,
        misconfigured_peers = "misconfiguredPeers": Str,
    }
    NetworkBroadcastStalled { pending_broadcasts = "pendingBroadcasts": Integer, stall_reason = "stallReason": Str, }
    NetworkBroadcastResumed {}
    Checkpoint { state = "state": super::state::NodeState, }
}

impl StateChanged {
    /// Reads what an event says. Values within it stay as they are until they are asked for.
    ///
    /// # Errors
    ///
    /// [`TypeError`].
    pub fn of(event: &StateEvent) -> Result<Self, TypeError> {
        Self::with_wanted(event, &[])
    }

    /// As [`of`](Self::of), where only some of the members matter: the others are passed over.
    pub(super) fn with_wanted(event: &StateEvent, wanted: &[&str]) -> Result<Self, TypeError> {
        let text = event.text();
        Self::of_tag(event.tag(), text, wanted, |visit| {
            let mut visit = |key: &str, value| match key {
                "tag" => ControlFlow::Continue(()),
                _ => visit(key, value),
            };
            event.state_changed(&mut visit)
        })
    }
}
