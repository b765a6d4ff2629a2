//! What is answered about snapshots, as hydra-node 1.x does in each phase of a head.

use crate::head::{
    ConfirmedSnapshot, Field, HeadState, InitialSnapshot, Json, LastSeen, Map, SeenSnapshot, Utxo, to_json, union,
};

/// The snapshot that all agreed on last, as JSON; while parties commit, the one that the head would open with.
pub(super) fn confirmed(state: &HeadState) -> Option<String> {
    let HeadState::Initial(initial) = state else { return state.confirmed_snapshot().map(to_json) };
    let initial_utxo = Field::Is(committed(&initial.committed)?);
    let snapshot = InitialSnapshot { head_id: initial.head_id.clone(), initial_utxo, other: Vec::new() };
    Some(to_json(&ConfirmedSnapshot::InitialSnapshot(Box::new(snapshot))))
}

/// The outputs of that snapshot with those that it takes in, as JSON.
pub(super) fn utxo(state: &HeadState) -> Option<String> {
    let utxo = match state {
        HeadState::Initial(initial) => committed(&initial.committed)?,
        _ => with_commit(state.confirmed_snapshot()?)?,
    };
    Some(utxo.text().to_owned())
}

/// How far the signing of the next snapshot is, as JSON.
pub(super) fn seen(state: &HeadState) -> Option<String> {
    match state {
        HeadState::Idle(_) | HeadState::Initial(_) => Some(to_json(&SeenSnapshot::NoSeenSnapshot(Box::default()))),
        HeadState::Open(open) => open.coordinated.get()?.seen_snapshot.get().map(to_json),
        HeadState::Closed(closed) | HeadState::FanoutProgress(closed) => {
            let last_seen = Field::Is(closed.confirmed_snapshot.get()?.number().ok()??);
            Some(to_json(&SeenSnapshot::LastSeenSnapshot(Box::new(LastSeen { last_seen, other: Vec::new() }))))
        }
    }
}

fn with_commit(snapshot: &ConfirmedSnapshot) -> Option<Json<Utxo>> {
    let utxo = snapshot.utxo().ok()?;
    match (utxo, snapshot.utxo_to_commit().ok()?) {
        // As it stands, without being read.
        (Some(utxo), None) => Some(utxo),
        (utxo, more) => all(utxo.into_iter().chain(more)),
    }
}

fn committed(committed: &Field<Map<Json<Utxo>>>) -> Option<Json<Utxo>> {
    all(committed.get()?.values().cloned())
}

/// All outputs of some sets; none if one is no set.
fn all(sets: impl Iterator<Item = Json<Utxo>>) -> Option<Json<Utxo>> {
    let read = |set: Json<Utxo>| set.get().ok();
    let all = sets.map(read).try_fold(Utxo::default(), |all, set| union(all, set?).ok())?;
    Json::of(&all).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::StateEvent;
    use crate::head::HeadFold;

    fn after(changes: &[Value]) -> HeadState {
        let mut fold = HeadFold::new();
        for (id, changed) in changes.iter().enumerate() {
            let event = json!({ "eventId": id, "stateChanged": changed, "time": "2026-01-01T00:00:00Z" });
            fold.apply(&StateEvent::parse(event.to_string()).unwrap()).unwrap();
        }
        fold.into_head()
    }

    fn answers(state: &HeadState) -> [Value; 3] {
        [confirmed(state), utxo(state), seen(state)]
            .map(|answer| answer.map_or(Value::Null, |answer| serde_json::from_str(&answer).unwrap()))
    }

    fn commit(party: &str, utxo: &Value) -> Value {
        json!({ "tag": "CommittedUTxO", "chainState": {}, "committedUTxO": utxo, "headId": "ab", "party": { "vkey": party } })
    }

    #[test]
    fn without_a_head_no_snapshot_was_seen() {
        assert_eq!(answers(&HeadState::default()), [Value::Null, Value::Null, json!({ "tag": "NoSeenSnapshot" })]);
    }

    #[test]
    fn while_parties_commit_it_is_what_they_committed() {
        let parties = json!([{ "vkey": "0a" }, { "vkey": "0b" }]);
        let parameters = json!({ "contestationPeriod": 60, "parties": parties });
        let init = json!({ "tag": "HeadInitialized", "chainState": {}, "headId": "ab", "headSeed": "cd", "parameters": parameters, "parties": parties });
        let state = after(&[init, commit("0a", &json!([3])), commit("0b", &json!([1, 2]))]);
        let initial = json!({ "tag": "InitialSnapshot", "headId": "ab", "initialUTxO": [1, 2, 3] });
        assert_eq!(answers(&state), [initial, json!([1, 2, 3]), json!({ "tag": "NoSeenSnapshot" })]);
    }

    #[test]
    fn outputs_are_those_of_the_snapshot_and_what_it_takes_in_and_the_last_seen_stays_when_the_head_closes() {
        let opened = json!({ "tag": "HeadOpened", "chainState": {}, "headId": "ab", "headSeed": "cd", "parameters": {}, "parties": [] });
        let state = after(std::slice::from_ref(&opened));
        assert_eq!(answers(&state)[1..], [json!({}), json!({ "tag": "NoSeenSnapshot" })]);

        let snapshot = json!({ "headId": "ab", "number": 4, "version": 1, "confirmed": [], "utxo": [1, 2], "utxoToCommit": [7], "utxoToDecommit": null });
        let requested = json!({ "tag": "SnapshotRequested", "snapshot": snapshot, "requestedTxIds": [], "newLocalUTxO": [1, 2], "newLocalTxs": [] });
        let confirmed = json!({ "tag": "SnapshotConfirmed", "headId": "ab", "snapshot": snapshot, "signatures": { "multiSignature": [] } });
        let closed = json!({ "tag": "HeadClosed", "chainState": {}, "contestationDeadline": "2026-01-01T00:00:00Z", "headId": "ab", "snapshotNumber": 4 });
        let seen = json!({ "tag": "LastSeenSnapshot", "lastSeen": 4 });
        let story = [opened, requested, confirmed, closed];
        for events in [3, 4] {
            let [confirmed, utxo, last] = answers(&after(&story[..events]));
            assert_eq!((&confirmed["snapshot"]["number"], utxo, last), (&json!(4), json!([1, 2, 7]), seen.clone()));
        }
    }
}
