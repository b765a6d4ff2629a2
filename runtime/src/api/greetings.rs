//! What a client is told of the node when it connects.

use serde_json::json;

use super::network::NetworkInfo;
use super::{ApiCommands, snapshot};
use crate::head::{HeadFold, HeadState, to_json};
use crate::json_text::{object, quoted};
use crate::offline::is_ready;

/// hydra-node's default of `--deposit-period`, in seconds. Clients expect one; without a chain there are no deposits.
const DEPOSIT_PERIOD: u64 = 3600;

/// hydra-node's Greetings, as of 1.3, without what is not known: beside a node, whose API this would be; of a log of before 1.3, whether the
/// node is in sync with the chain; of one that cannot be folded, all that concerns the head.
pub(super) fn greetings(
    fold: Option<&HeadFold>,
    commands: Option<&ApiCommands>,
    network: &NetworkInfo,
    with_utxo: bool,
) -> String {
    let mut members = vec![
        ("hydraNodeVersion", quoted(concat!("hydrant-", env!("CARGO_PKG_VERSION")))),
        ("me", commands.map_or("null".to_owned(), |commands| json!({ "vkey": commands.party }).to_string())),
        ("networkInfo", network.to_json().to_string()),
        ("tag", quoted("Greetings")),
    ];
    members.extend(commands.map(|commands| ("env", environment(commands))));
    if let Some(fold) = fold {
        let head = fold.head();
        // A head without a chain has nothing to catch up with.
        let in_sync = fold.is_in_sync().or(commands.map(|_| true));
        members.push(("headStatus", quoted(status(head))));
        members.extend(
            in_sync.map(|in_sync| ("chainSyncedStatus", quoted(if in_sync { "InSync" } else { "CatchingUp" }))),
        );
        members.extend(fold.current_slot().map(|slot| ("currentSlot", to_json(slot))));
        members.extend(head.head_id().map(|id| ("hydraHeadId", quoted(id))));
        let utxo = if with_utxo { snapshot::utxo(head) } else { None };
        members.extend(utxo.map(|utxo| ("snapshotUtxo", utxo)));
    }
    members.sort_unstable_by_key(|(name, _)| *name);
    object(members.iter().map(|(name, json)| (*name, json.as_str())))
}

/// hydra-node's Environment.
fn environment(commands: &ApiCommands) -> String {
    json!({
        "configuredPeers": "",
        "contestationPeriod": commands.contestation_period,
        "depositPeriod": DEPOSIT_PERIOD,
        "otherParties": [],
        "participants": [],
        "party": { "vkey": commands.party },
        // As hydra-node makes it of the other period.
        "unsyncedPeriod": commands.contestation_period / 2,
    })
    .to_string()
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
