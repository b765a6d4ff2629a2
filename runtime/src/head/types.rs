//! What hydra-node's events and states are made of: the union of the shapes that its versions wrote.
//!
//! Sources: the versions' golden files and changelogs; which member belongs to which version is said where a fold depends on it.

use super::leaf::{Bool, Hex, Integer, Map, Number, Raw, Str, TxId, UtcTime};
use super::typed::{Json, JsonWriter, TypeError, Typed, first_of, record, tagged};
use crate::event::Text;

record! {
    /// A participant of a head.
    Party { vkey = "vkey": Hex, }
}
record! {
    /// What the participants agreed on when the head was opened.
    HeadParameters {
        contestation_period = "contestationPeriod": Number,
        parties = "parties": Json<Vec<Party>>,
    }
}
record! {
    /// Signatures in the order of the parties.
    MultiSignature { signatures = "multiSignature": Vec<Hex>, }
}
record! {
    /// A block of the chain.
    Block { block_hash = "blockHash": Hex, slot = "slot": Integer, }
}
record! {
    /// Nothing besides a tag.
    Nothing {}
}
tagged! {
    /// A point of the chain.
    ChainPoint {
        /// Before the first block.
        ChainPointAtGenesis(Nothing),
        /// At a block.
        ChainPoint(Block),
    }
}
record! {
    /// What the node knows of the chain: on Cardano a point and what can be spent there, with SimpleTx a slot.
    ChainState {
        recorded_at = "recordedAt": Json<ChainPoint>,
        slot = "slot": Integer,
        spendable_utxo = "spendableUTxO": Json<Utxo>,
    }
}
record! {
    /// A script in a text envelope.
    ScriptEnvelope { cbor_hex = "cborHex": Hex, description = "description": Str, kind = "type": Str, }
}
record! {
    /// A script that an output carries.
    ReferenceScript { script = "script": ScriptEnvelope, language = "scriptLanguage": Str, }
}
record! {
    /// An output of a Cardano transaction. With an inline datum its hash is `inlineDatumhash` and `datumhash` is absent.
    TxOut {
        address = "address": Str,
        datum = "datum": Json<Raw>,
        datum_hash = "datumhash": Hex,
        inline_datum = "inlineDatum": Json<Raw>,
        inline_datum_raw = "inlineDatumRaw": Hex,
        inline_datum_hash = "inlineDatumhash": Hex,
        reference_script = "referenceScript": ReferenceScript,
        value = "value": Value,
    }
}
record! {
    /// A Cardano transaction, since 0.16 as CBOR in a text envelope; before that a JSON body, whose members are kept as they stand.
    CardanoTx {
        cbor_hex = "cborHex": Json<Hex>,
        description = "description": Str,
        tx_id = "txId": TxId,
        kind = "type": Str,
        id = "id": TxId,
    }
}
record! {
    /// A transaction of the ledger SimpleTx.
    SimpleTx { id = "id": Integer, inputs = "inputs": Vec<Integer>, outputs = "outputs": Vec<Integer>, }
}
record! {
    /// The state that all parties sign.
    Snapshot {
        accumulator = "accumulator": Hex,
        applied_accumulator = "appliedAccumulator": Hex,
        confirmed = "confirmed": Json<Vec<Tx>>,
        confirmed_transactions = "confirmedTransactions": Json<Vec<TxId>>,
        deposit_tx_id = "depositTxId": TxId,
        head_id = "headId": Hex,
        number = "number": Integer,
        snapshot_number = "snapshotNumber": Integer,
        utxo = "utxo": Json<Utxo>,
        utxo_to_commit = "utxoToCommit": Json<Utxo>,
        utxo_to_decommit = "utxoToDecommit": Json<Utxo>,
        version = "version": Integer,
    }
}
record! {
    /// The snapshot that a head opens with.
    InitialSnapshot { head_id = "headId": Hex, initial_utxo = "initialUTxO": Json<Utxo>, }
}
record! {
    /// A snapshot that all parties signed.
    SignedSnapshot { signatures = "signatures": Json<MultiSignature>, snapshot = "snapshot": Json<Snapshot>, }
}
tagged! {
    /// The last snapshot that all agreed on.
    ConfirmedSnapshot {
        /// None was signed yet.
        InitialSnapshot(InitialSnapshot),
        /// All parties signed it.
        ConfirmedSnapshot(SignedSnapshot),
    }
}
record! {
    /// Outputs on the chain that are to enter the head.
    Deposit {
        created = "created": UtcTime,
        deadline = "deadline": UtcTime,
        deposited = "deposited": Json<Utxo>,
        head_id = "headId": Hex,
        status = "status": Str,
    }
}
record! {
    /// Where a peer listens.
    Host { hostname = "hostname": Str, port = "port": Integer, }
}
record! {
    /// Why a transaction is not valid.
    ValidationError { reason = "reason": Str, }
}
record! {
    /// A decommit that cannot be applied.
    DecommitTxInvalid { local_utxo = "localUTxO": Json<Utxo>, validation_error = "validationError": ValidationError, }
}
record! {
    /// Another decommit is under way.
    DecommitAlreadyInFlight { other_decommit_tx_id = "otherDecommitTxId": TxId, }
}
tagged! {
    /// Why a decommit was refused.
    DecommitInvalidReason {
        /// It cannot be applied.
        DecommitTxInvalid(DecommitTxInvalid),
        /// Another is under way.
        DecommitAlreadyInFlight(DecommitAlreadyInFlight),
    }
}

impl ConfirmedSnapshot {
    /// Its number; 0 of the one that a head opens with.
    ///
    /// # Errors
    ///
    /// [`TypeError`] if the snapshot is none.
    pub fn number(&self) -> Result<Option<Integer>, TypeError> {
        match self {
            Self::InitialSnapshot(_) => Ok(Some(Integer::from(0))),
            Self::ConfirmedSnapshot(signed) => {
                Ok(signed.snapshot()?.and_then(|snapshot| snapshot.number.get().cloned()))
            }
            Self::Unknown(_) => Ok(None),
        }
    }

    /// Outputs on the chain that it takes in, if it does.
    ///
    /// # Errors
    ///
    /// [`TypeError`] if the snapshot is none.
    pub fn utxo_to_commit(&self) -> Result<Option<Json<Utxo>>, TypeError> {
        let Self::ConfirmedSnapshot(signed) = self else { return Ok(None) };
        Ok(signed.snapshot()?.and_then(|snapshot| snapshot.utxo_to_commit.get().cloned()))
    }

    /// Its outputs; a head of 2.0 and later opens without any.
    ///
    /// # Errors
    ///
    /// [`TypeError`] if the snapshot is none.
    pub fn utxo(&self) -> Result<Option<Json<Utxo>>, TypeError> {
        match self {
            Self::InitialSnapshot(initial) => Ok(initial.initial_utxo.get().cloned()),
            Self::ConfirmedSnapshot(signed) => Ok(signed.snapshot()?.and_then(|snapshot| snapshot.utxo.get().cloned())),
            Self::Unknown(_) => Ok(None),
        }
    }
}

impl SignedSnapshot {
    fn snapshot(&self) -> Result<Option<Snapshot>, TypeError> {
        self.snapshot.get().map(Json::get).transpose()
    }
}

/// An amount: lovelace, and tokens by policy and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value(pub Map<Amount>);

/// A part of a [`Value`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Of lovelace.
    Lovelace(Integer),
    /// Of the tokens of a policy, by name; the empty name is one.
    Tokens(Map<Integer>),
}

impl Typed for Value {
    fn read(text: &Text) -> Result<Self, TypeError> {
        Map::read(text).map(Self)
    }

    fn write(&self, out: &mut JsonWriter) -> Result<(), TypeError> {
        self.0.write(out)
    }
}

impl Typed for Amount {
    fn read(text: &Text) -> Result<Self, TypeError> {
        if text.starts_with('{') { Map::read(text).map(Self::Tokens) } else { Integer::read(text).map(Self::Lovelace) }
    }

    fn write(&self, out: &mut JsonWriter) -> Result<(), TypeError> {
        match self {
            Self::Lovelace(amount) => amount.write(out),
            Self::Tokens(amounts) => amounts.write(out),
        }
    }
}

/// Unspent outputs: by reference `<txid>#<index>` on Cardano, whole numbers in the ledger SimpleTx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Utxo {
    /// On Cardano.
    Cardano(Map<Json<TxOut>>),
    /// In the ledger SimpleTx, in order.
    Simple(Vec<Integer>),
}

impl Default for Utxo {
    fn default() -> Self {
        Self::Cardano(Map::new())
    }
}

impl Typed for Utxo {
    fn read(text: &Text) -> Result<Self, TypeError> {
        if text.starts_with('[') { Vec::read(text).map(Self::Simple) } else { Map::read(text).map(Self::Cardano) }
    }

    fn write(&self, out: &mut JsonWriter) -> Result<(), TypeError> {
        match self {
            Self::Cardano(outputs) => outputs.write(out),
            Self::Simple(outputs) => outputs.write(out),
        }
    }
}

/// A transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tx {
    /// On Cardano.
    Cardano(Box<CardanoTx>),
    /// In the ledger SimpleTx.
    Simple(Box<SimpleTx>),
}

impl Tx {
    /// Its id, as it stands where it is the key of a map.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Cardano(tx) => tx.tx_id.get().or(tx.id.get()).map(TxId::as_key),
            Self::Simple(tx) => tx.id.get().map(Integer::as_json),
        }
    }
}

impl Tx {
    /// Its id as JSON.
    pub fn id_json(&self) -> Option<String> {
        match self {
            Self::Cardano(_) => self.id().map(crate::json_text::quoted),
            Self::Simple(_) => self.id().map(str::to_owned),
        }
    }
}

impl Typed for Tx {
    fn read(text: &Text) -> Result<Self, TypeError> {
        if first_of(text, &["cborHex", "inputs"])?.is_some_and(|member| member.starts_with('[')) {
            return SimpleTx::read(text).map(|tx| Self::Simple(Box::new(tx)));
        }
        CardanoTx::read(text).map(|tx| Self::Cardano(Box::new(tx)))
    }

    fn write(&self, out: &mut JsonWriter) -> Result<(), TypeError> {
        match self {
            Self::Cardano(tx) => tx.write(out),
            Self::Simple(tx) => tx.write(out),
        }
    }
}

record! {
    /// Which snapshot was seen last.
    LastSeen { last_seen = "lastSeen": Integer, }
}
record! {
    /// A snapshot was asked for.
    Requested { last_seen = "lastSeen": Integer, requested = "requested": Integer, }
}
record! {
    /// A snapshot is being signed.
    Signing { signatories = "signatories": Map<Hex>, snapshot = "snapshot": Json<Snapshot>, }
}
tagged! {
    /// How far the signing of the next snapshot is.
    SeenSnapshot {
        /// None was seen.
        NoSeenSnapshot(Nothing),
        /// The last one is confirmed.
        LastSeenSnapshot(LastSeen),
        /// This node asked for one.
        RequestedSnapshot(Requested),
        /// It is being signed.
        SeenSnapshot(Signing),
    }
}
record! {
    /// The ledger of an open head: hydra-node's coordinatedHeadState.
    CoordinatedHeadState {
        all_txs = "allTxs": Map<Json<Tx>>,
        confirmed_snapshot = "confirmedSnapshot": ConfirmedSnapshot,
        current_deposit_tx_id = "currentDepositTxId": TxId,
        decommit_tx = "decommitTx": Json<Tx>,
        local_txs = "localTxs": Vec<Json<Tx>>,
        local_utxo = "localUTxO": Json<Utxo>,
        pending_deposits = "pendingDeposits": Map<Json<Raw>>,
        seen_snapshot = "seenSnapshot": SeenSnapshot,
        version = "version": Integer,
    }
}
record! {
    /// No head.
    Idle { chain_state = "chainState": Json<ChainState>, }
}
record! {
    /// A head in which parties commit; until 1.x.
    Initial {
        chain_state = "chainState": Json<ChainState>,
        committed = "committed": Map<Json<Utxo>>,
        head_id = "headId": Hex,
        head_seed = "headSeed": Hex,
        parameters = "parameters": Json<HeadParameters>,
        pending_commits = "pendingCommits": Vec<Party>,
    }
}
record! {
    /// An open head.
    Open {
        chain_state = "chainState": Json<ChainState>,
        coordinated = "coordinatedHeadState": CoordinatedHeadState,
        current_slot = "currentSlot": Integer,
        head_id = "headId": Hex,
        head_seed = "headSeed": Hex,
        parameters = "parameters": Json<HeadParameters>,
    }
}
record! {
    /// A closed head. The members from `distributedOutputs` on are those of a fanout in progress (after 2.3).
    Closed {
        chain_state = "chainState": Json<ChainState>,
        confirmed_snapshot = "confirmedSnapshot": ConfirmedSnapshot,
        contestation_deadline = "contestationDeadline": UtcTime,
        head_id = "headId": Hex,
        head_seed = "headSeed": Hex,
        parameters = "parameters": Json<HeadParameters>,
        ready_to_fanout_sent = "readyToFanoutSent": Bool,
        version = "version": Integer,
        distributed_outputs = "distributedOutputs": Json<Utxo>,
        mode = "mode": Json<Raw>,
        remaining_outputs = "remainingOutputs": Json<Utxo>,
    }
}
