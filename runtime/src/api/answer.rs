//! What clients are told that is in no log: greetings, and complaints about what they sent.

use crate::head::{HeadState, Json, Utxo};
use crate::json_text::{object, quoted, text};
use crate::offline::is_ready;

/// The greetings of hydra-node, without what only a network or a chain could tell.
pub(super) fn greetings(state: Option<&HeadState>, party: Option<&str>, with_utxo: bool) -> String {
    let me = party.map_or("null".to_owned(), |vkey| object([("vkey", quoted(vkey).as_str())]));
    let mut members = vec![("tag", quoted("Greetings")), ("me", me)];
    members.push(("hydraNodeVersion", quoted(concat!("hydrant-", env!("CARGO_PKG_VERSION")))));
    if let Some(state) = state {
        members.push(("headStatus", quoted(status(state))));
        members.extend(state.head_id().map(|id| ("hydraHeadId", quoted(id))));
        let utxo = snapshot_utxo(state).filter(|_| with_utxo);
        members.extend(utxo.map(|utxo| ("snapshotUtxo", utxo.text().to_owned())));
    }
    members.sort_unstable_by_key(|(name, _)| *name);
    object(members.iter().map(|(name, json)| (*name, json.as_str())))
}

/// hydra-node's HeadStatus.
fn status(state: &HeadState) -> &'static str {
    match state {
        HeadState::Idle(_) => "Idle",
        HeadState::Initial(_) => "Initializing",
        HeadState::Open(_) => "Open",
        HeadState::Closed(closed) if is_ready(closed) => "FanoutPossible",
        HeadState::Closed(_) => "Closed",
        HeadState::FanoutProgress(_) => "FanningOut",
    }
}

/// The outputs of the snapshot that all agreed on last.
pub(super) fn snapshot_utxo(state: &HeadState) -> Option<Json<Utxo>> {
    state.confirmed_snapshot()?.utxo().ok()?
}

/// A command could not be carried out in this state.
pub(super) fn command_failed(command: &str, state: Option<&HeadState>, reason: &str) -> String {
    let state = state.map_or("null".to_owned(), HeadState::to_json);
    object([("clientInput", command), ("reason", &text(reason)), ("state", &state), ("tag", "\"CommandFailed\"")])
}

/// What was sent is no command.
pub(super) fn invalid_input(input: &str, reason: &str) -> String {
    object([("input", text(input).as_str()), ("reason", &text(reason)), ("tag", "\"InvalidInput\"")])
}
