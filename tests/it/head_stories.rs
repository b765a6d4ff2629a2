//! Stories of heads with their outcomes worked out by hand from hydra-node's rules, not by the generator of samples. Most are in the
//! ledger SimpleTx, where outputs are numbers.

use hydrant::event::StateEvent;
use hydrant::head::{FoldFault, HeadFold};
use serde_json::{Value, json};

fn events(changes: &[Value]) -> Vec<StateEvent> {
    let line = |(id, change): (usize, &Value)| json!({"eventId": id, "stateChanged": change}).to_string();
    changes.iter().enumerate().map(line).map(|line| StateEvent::parse(line).unwrap()).collect()
}

fn fold(changes: &[Value]) -> HeadFold {
    let mut fold = HeadFold::new();
    for event in events(changes) {
        fold.apply(&event).unwrap();
    }
    fold
}

/// The state of the head, taken apart.
fn head(changes: &[Value]) -> Value {
    serde_json::from_str(&fold(changes).head().to_json()).unwrap()
}

fn ledger(changes: &[Value]) -> Value {
    let head = head(changes);
    assert_eq!(head["tag"], "Open", "{head}");
    head["contents"]["coordinatedHeadState"].clone()
}

/// The state of the node, taken apart.
fn node(changes: &[Value]) -> Value {
    serde_json::from_str(&fold(changes).state().to_json()).unwrap()
}

const ALICE: &str = "aa";
const BOB: &str = "bb";
const HEAD: &str = "00aa";

fn slot(slot: u64) -> Value {
    json!({"slot": slot})
}

fn parameters() -> Value {
    json!({"contestationPeriod": 10, "parties": [{"vkey": ALICE}, {"vkey": BOB}]})
}

fn init() -> Value {
    json!({"tag": "HeadInitialized", "chainState": slot(1), "headId": HEAD, "headSeed": "0b", "parameters": parameters()})
}

fn commit(party: &str, utxo: &[i64]) -> Value {
    json!({"tag": "CommittedUTxO", "chainState": slot(2), "committedUTxO": utxo, "party": {"vkey": party}})
}

/// Up to 1.x: initialised, committed, opened with 1, 2 and 3.
fn opened() -> Vec<Value> {
    let open = json!({"tag": "HeadOpened", "chainState": slot(3), "initialUTxO": [1, 2, 3]});
    vec![init(), commit(ALICE, &[1]), commit(BOB, &[2, 3]), open]
}

/// Since 2.0: opened at once, with nothing in it.
fn opened_directly() -> Vec<Value> {
    vec![json!({
        "tag": "HeadOpened", "chainState": slot(3), "headId": HEAD, "headSeed": "0b", "parameters": parameters(), "parties": [],
    })]
}

fn tx(id: i64, inputs: &[i64], outputs: &[i64]) -> Value {
    json!({"id": id, "inputs": inputs, "outputs": outputs})
}

fn received(tx: &Value) -> Value {
    json!({"tag": "TransactionReceived", "tx": tx})
}

fn applied(tx: &Value, utxo: &[i64]) -> Value {
    json!({"tag": "TransactionAppliedToLocalUTxO", "tx": tx, "newLocalUTxO": utxo})
}

/// Since 2.2.
fn applied_slim(tx: &Value) -> Value {
    json!({"tag": "TransactionAppliedToLocalUTxO", "headId": HEAD, "tx": tx})
}

fn snapshot(number: u64, utxo: &[i64], confirmed: &[&Value]) -> Value {
    json!({
        "headId": HEAD, "version": 0, "number": number, "utxo": utxo, "confirmed": confirmed,
        "utxoToCommit": null, "utxoToDecommit": null,
    })
}

fn requested(snapshot: &Value, ids: &[i64], txs: &[&Value], utxo: &[i64]) -> Value {
    json!({
        "tag": "SnapshotRequested", "snapshot": snapshot, "requestedTxIds": ids, "newLocalTxs": txs, "newLocalUTxO": utxo,
        "newCurrentDepositTxId": null,
    })
}

fn signed(snapshot: &Value, party: &str, signature: &str) -> Value {
    json!({"tag": "PartySignedSnapshot", "snapshot": snapshot, "party": {"vkey": party}, "signature": signature})
}

fn confirmed(snapshot: &Value) -> Value {
    let signatures = json!({"multiSignature": ["0a", "0b"]});
    json!({"tag": "SnapshotConfirmed", "headId": HEAD, "snapshot": snapshot, "signatures": signatures})
}

fn and(mut story: Vec<Value>, more: &[Value]) -> Vec<Value> {
    story.extend_from_slice(more);
    story
}

#[test]
fn story_1_parties_commit_and_the_head_opens() {
    let story = opened();
    let after_one = head(&story[..2]);
    assert_eq!(after_one["tag"], "Initial");
    assert_eq!(after_one["contents"]["pendingCommits"], json!([{"vkey": BOB}]));
    assert_eq!(after_one["contents"]["committed"], json!({"aa": [1]}));
    let expected = json!({
        "tag": "Open",
        "contents": {
            "chainState": {"slot": 3}, "headId": HEAD, "headSeed": "0b", "parameters": parameters(),
            "coordinatedHeadState": {
                "localUTxO": [1, 2, 3], "localTxs": [], "allTxs": {}, "version": 0, "decommitTx": null,
                "currentDepositTxId": null, "seenSnapshot": {"tag": "NoSeenSnapshot"},
                "confirmedSnapshot": {"tag": "InitialSnapshot", "headId": HEAD, "initialUTxO": [1, 2, 3]},
            },
        },
    });
    assert_eq!(head(&story), expected);
}

#[test]
fn story_2_a_head_is_aborted_from_whatever_state() {
    let abort = json!({"tag": "HeadAborted", "chainState": slot(9), "utxo": []});
    let idle = json!({"tag": "Idle", "contents": {"chainState": {"slot": 9}}});
    for story in [vec![], vec![init()], opened()] {
        assert_eq!(head(&and(story, std::slice::from_ref(&abort))), idle);
    }
}

#[test]
fn story_3_transactions_are_received_applied_and_confirmed() {
    let (first, second) = (tx(10, &[1], &[4]), tx(11, &[2], &[5, 6]));
    let snapshot = snapshot(1, &[2, 3, 4], &[&first]);
    let mut story =
        and(opened(), &[received(&first), applied(&first, &[2, 3, 4]), received(&second), received(&second)]);
    assert_eq!(ledger(&story)["allTxs"], json!({"10": first, "11": second}), "a retry is received again");
    story = and(story, &[applied(&second, &[3, 4, 5, 6])]);
    assert_eq!(ledger(&story)["localTxs"], json!([first, second]));
    story = and(story, &[json!({"tag": "SnapshotRequestDecided", "snapshotNumber": 1})]);
    assert_eq!(ledger(&story)["seenSnapshot"], json!({"tag": "RequestedSnapshot", "lastSeen": 0, "requested": 1}));
    story = and(story, &[requested(&snapshot, &[10], &[&second], &[3, 4, 5, 6])]);
    let requested = ledger(&story);
    assert_eq!(requested["seenSnapshot"], json!({"tag": "SeenSnapshot", "snapshot": snapshot, "signatories": {}}));
    assert_eq!((&requested["allTxs"], &requested["localTxs"]), (&json!({"11": second}), &json!([second])));
    // Twice per signature but for the last, up to 0.20.
    story = and(story, &[signed(&snapshot, ALICE, "0a"), signed(&snapshot, ALICE, "0a"), signed(&snapshot, BOB, "0b")]);
    assert_eq!(ledger(&story)["seenSnapshot"]["signatories"], json!({"aa": "0a", "bb": "0b"}));
    story = and(story, &[confirmed(&snapshot), signed(&snapshot, BOB, "0c")]);
    let expected = json!({
        "localUTxO": [3, 4, 5, 6], "localTxs": [second], "allTxs": {"11": second}, "version": 0, "decommitTx": null,
        "currentDepositTxId": null, "seenSnapshot": {"tag": "LastSeenSnapshot", "lastSeen": 1},
        "confirmedSnapshot": {
            "tag": "ConfirmedSnapshot", "snapshot": snapshot, "signatures": {"multiSignature": ["0a", "0b"]},
        },
    });
    assert_eq!(ledger(&story), expected);
}

#[test]
fn story_4_a_head_closes_is_contested_and_fans_out() {
    let one = snapshot(1, &[2], &[]);
    let mut story = and(opened(), &[requested(&one, &[], &[], &[2]), confirmed(&one)]);
    let close = json!({"tag": "HeadClosed", "chainState": slot(20), "contestationDeadline": "2025-01-01T00:00:10Z"});
    story = and(story, &[close]);
    let closed = |deadline: &str, ready: bool, at: u64| {
        json!({
            "tag": "Closed",
            "contents": {
                "chainState": {"slot": at}, "headId": HEAD, "headSeed": "0b", "parameters": parameters(), "version": 0,
                "contestationDeadline": deadline, "readyToFanoutSent": ready,
                "confirmedSnapshot": {
                    "tag": "ConfirmedSnapshot", "snapshot": one, "signatures": {"multiSignature": ["0a", "0b"]},
                },
            },
        })
    };
    assert_eq!(head(&story), closed("2025-01-01T00:00:10Z", false, 20));
    let contest =
        json!({"tag": "HeadContested", "chainState": slot(21), "contestationDeadline": "2025-01-01T00:00:20Z"});
    story = and(story, &[contest]);
    assert_eq!(head(&story), closed("2025-01-01T00:00:20Z", false, 21));
    // With and without a head id, by version.
    for ready in [json!({"tag": "HeadIsReadyToFanout"}), json!({"tag": "HeadIsReadyToFanout", "headId": HEAD})] {
        assert_eq!(head(&and(story.clone(), &[ready])), closed("2025-01-01T00:00:20Z", true, 21));
    }
    let out = json!({"tag": "HeadFannedOut", "chainState": slot(30)});
    story = and(story, &[out]);
    assert_eq!(head(&story), json!({"tag": "Idle", "contents": {"chainState": {"slot": 30}}}));
}

#[test]
fn story_5_a_deposit_comes_in_only_while_it_is_pending() {
    let deposit = |status: &str| {
        json!({
            "created": "2025-01-01T00:00:00Z", "deadline": "2025-01-02T00:00:00.000000000001Z", "deposited": [7, 8],
            "headId": HEAD, "status": status,
        })
    };
    let recorded = json!({
        "tag": "DepositRecorded", "chainState": slot(5), "headId": HEAD, "depositTxId": 70, "deposited": [7, 8],
        "created": "2025-01-01T00:00:00Z", "deadline": "2025-01-02T00:00:00.000000000001Z",
    });
    let activated = json!({
        "tag": "DepositActivated", "depositTxId": 70, "chainTime": "2025-01-01T01:00:00Z", "deposit": deposit("Active"),
    });
    let finalized =
        json!({"tag": "CommitFinalized", "chainState": slot(6), "headId": HEAD, "depositTxId": 70, "newVersion": 1});
    let mut story = and(opened(), &[recorded]);
    assert_eq!(node(&story)["pendingDeposits"], json!({"70": deposit("Inactive")}));
    story = and(story, &[activated]);
    assert_eq!(node(&story)["pendingDeposits"], json!({"70": deposit("Active")}));
    story = and(story, std::slice::from_ref(&finalized));
    assert_eq!(node(&story)["pendingDeposits"], json!({}));
    let after = ledger(&story);
    assert_eq!((&after["localUTxO"], &after["version"]), (&json!([1, 2, 3, 7, 8]), &json!(1)));
    // Nobody knows of it any more: nothing is added.
    assert_eq!(ledger(&and(opened(), &[finalized]))["localUTxO"], json!([1, 2, 3]));
}

#[test]
fn story_6_a_deposit_expires_and_is_recovered() {
    let deposit = json!({"deposited": [7], "headId": HEAD, "status": "Expired"});
    let expired =
        json!({"tag": "DepositExpired", "depositTxId": 70, "chainTime": "2025-01-03T00:00:00Z", "deposit": deposit});
    let story = and(opened(), &[expired]);
    assert_eq!(node(&story)["pendingDeposits"]["70"]["status"], "Expired");
    let recovered =
        json!({"tag": "DepositRecovered", "chainState": slot(7), "headId": HEAD, "depositTxId": 70, "recovered": [7]});
    assert_eq!(node(&and(story, &[recovered]))["pendingDeposits"], json!({}));
}

#[test]
fn story_7_commits_as_0_20_recorded_them() {
    let recorded = json!({"tag": "CommitRecorded", "pendingDeposits": {"70": [7]}, "newLocalUTxO": [1, 2, 3, 7]});
    let story = and(opened(), &[recorded]);
    assert_eq!(ledger(&story)["localUTxO"], json!([1, 2, 3, 7]));
    let recovered =
        json!({"tag": "CommitRecovered", "recoveredTxId": 70, "recoveredUTxO": [7], "newLocalUTxO": [1, 2, 3]});
    assert_eq!(ledger(&and(story.clone(), &[recovered]))["localUTxO"], json!([1, 2, 3]));
    // It is in the local outputs already, so the union changes nothing.
    let finalized = json!({"tag": "CommitFinalized", "depositTxId": 70, "newVersion": 1});
    let story = and(story, &[finalized]);
    assert_eq!((&ledger(&story)["localUTxO"], &node(&story)["pendingDeposits"]), (&json!([1, 2, 3, 7]), &json!({})));
}

#[test]
fn story_8_outputs_leave_the_head() {
    let leaving = tx(20, &[3], &[9]);
    let recorded = json!({"tag": "DecommitRecorded", "decommitTx": leaving, "newLocalUTxO": [1, 2]});
    let story = and(opened(), &[recorded]);
    let after = ledger(&story);
    assert_eq!((&after["localUTxO"], &after["decommitTx"]), (&json!([1, 2]), &leaving));
    let finalized = json!({"tag": "DecommitFinalized", "newVersion": 1});
    let after = ledger(&and(story, &[finalized]));
    assert_eq!((&after["decommitTx"], &after["version"]), (&json!(null), &json!(1)));
    // Since 2.2 the outputs are worked out.
    let slim = json!({"tag": "DecommitRecorded", "headId": HEAD, "decommitTx": leaving});
    assert_eq!(ledger(&and(opened(), &[slim]))["localUTxO"], json!([1, 2]));
}

#[test]
fn story_9_a_null_snapshot_is_the_one_requested_also_across_a_checkpoint() {
    let one = json!({"headId": HEAD, "version": 0, "number": 1, "utxo": [2], "confirmed": [tx(10, &[], &[2])]});
    let asked = json!({"tag": "SnapshotRequested", "requestedSnapshot": one, "newLocalTxs": [], "newLocalUTxO": [2]});
    let null =
        json!({"tag": "SnapshotConfirmed", "headId": HEAD, "snapshot": null, "signatures": {"multiSignature": []}});
    let story = and(opened(), &[received(&tx(10, &[], &[2])), asked]);
    assert_eq!(ledger(&story)["allTxs"], json!({}), "since 2.1 the snapshot says what it takes in");
    let after = ledger(&and(story.clone(), std::slice::from_ref(&null)));
    assert_eq!(after["confirmedSnapshot"]["snapshot"], one);
    let checkpoint = json!({"tag": "Checkpoint", "state": node(&story)});
    assert_eq!(ledger(&[checkpoint, null.clone()]), after);
    let (mut fold, none) = (fold(&opened()), null);
    let error = fold.apply(&StateEvent::parse(json!({"eventId": 9, "stateChanged": none}).to_string()).unwrap());
    assert!(matches!(error.unwrap_err().source, FoldFault::NoSnapshot));
}

#[test]
fn story_10_since_2_2_outputs_are_worked_out_and_other_heads_passed_over() {
    let (first, second) = (tx(10, &[], &[4, 5]), tx(11, &[4], &[-6]));
    let mut story = and(opened_directly(), &[applied_slim(&first), applied_slim(&second)]);
    assert_eq!(ledger(&story)["localUTxO"], json!([-6, 5]));
    let other = json!({"tag": "TransactionAppliedToLocalUTxO", "headId": "00ff", "tx": tx(12, &[5], &[])});
    let closed = json!({"tag": "HeadClosed", "chainState": slot(9), "headId": "00ff", "contestationDeadline": "2025-01-01T00:00:00Z"});
    story = and(story, &[other, closed]);
    assert_eq!(ledger(&story)["localUTxO"], json!([-6, 5]));
    // The snapshot has the first; the second is applied on top of it again.
    let one = snapshot(1, &[4, 5], &[&first]);
    let asked = json!({"tag": "SnapshotRequested", "requestedSnapshot": one, "newLocalTxs": [second]});
    story = and(story, &[asked]);
    assert_eq!((&ledger(&story)["localUTxO"], &ledger(&story)["localTxs"]), (&json!([-6, 5]), &json!([second])));
}

#[test]
fn story_11_before_2_2_another_heads_id_changes_nothing() {
    let other =
        json!({"tag": "TransactionAppliedToLocalUTxO", "headId": "00ff", "tx": tx(12, &[], &[]), "newLocalUTxO": [8]});
    assert_eq!(ledger(&and(opened(), &[other]))["localUTxO"], json!([8]));
}

#[test]
fn story_12_a_side_loaded_snapshot_clears_what_is_local() {
    let first = tx(10, &[1], &[4]);
    let one = snapshot(1, &[2, 3, 4], &[&first]);
    let cleared = json!({"tag": "LocalStateCleared", "headId": HEAD, "snapshotNumber": 1});
    let base = and(opened(), &[received(&first), applied(&first, &[2, 3, 4])]);
    let initial = ledger(&and(base.clone(), std::slice::from_ref(&cleared)));
    assert_eq!(
        (&initial["localUTxO"], &initial["seenSnapshot"]),
        (&json!([1, 2, 3]), &json!({"tag": "NoSeenSnapshot"}))
    );
    let after = ledger(&and(base, &[confirmed(&one), cleared]));
    assert_eq!(
        (&after["localUTxO"], &after["allTxs"], &after["localTxs"]),
        (&json!([2, 3, 4]), &json!({}), &json!([]))
    );
    assert_eq!(after["seenSnapshot"], json!({"tag": "LastSeenSnapshot", "lastSeen": 1}));
}

#[test]
fn story_13_a_rollback_replaces_the_chain_state_and_nothing_else() {
    let back = json!({"tag": "ChainRolledBack", "chainState": slot(2)});
    for story in [vec![], vec![init()], opened()] {
        let (before, after) = (head(&story), head(&and(story, std::slice::from_ref(&back))));
        assert_eq!(after["contents"]["chainState"], json!({"slot": 2}));
        assert_eq!(after["tag"], before["tag"]);
        assert_eq!(after["contents"]["coordinatedHeadState"], before["contents"]["coordinatedHeadState"]);
    }
}

#[test]
fn story_14_checkpoints_of_three_shapes_replace_the_state() {
    let idle = json!({"tag": "Idle", "contents": {"chainState": {"slot": 4}}});
    let shapes = [
        idle.clone(),
        json!({"headState": idle, "pendingDeposits": {}, "currentSlot": 4}),
        json!({"tag": "NodeInSync", "headState": idle, "pendingDeposits": {}, "currentSlot": 4}),
        json!({
            "tag": "NodeCatchingUp", "headState": idle, "pendingDeposits": {},
            "chainPointTime": {"currentSlot": 4, "currentChainTime": "2025-01-01T00:00:00Z", "drift": -0.5},
        }),
    ];
    for state in shapes {
        let story = and(opened(), &[json!({"tag": "Checkpoint", "state": state})]);
        assert_eq!(head(&story), idle);
        assert_eq!(node(&story), state, "in the shape in which it came");
    }
}

#[test]
fn story_15_ticks_and_sync_are_kept_where_the_version_keeps_them() {
    let idle = json!({"tag": "Idle", "contents": {"chainState": {"slot": 4}}});
    let at = |slot: u64| json!({"tag": "ChainPoint", "slot": slot, "blockHash": "00"});
    let ticks = [
        json!({"tag": "TickObserved", "chainSlot": 8}),
        json!({"tag": "TickObserved", "chainPoint": at(9)}),
        json!({"tag": "NodeSynced"}),
    ];
    assert_eq!(node(&ticks)["currentSlot"], 9);
    let new = json!({"tag": "Checkpoint", "state": {
        "tag": "NodeCatchingUp", "headState": idle, "pendingDeposits": {},
        "chainPointTime": {"currentSlot": 4, "currentChainTime": "2025-01-01T00:00:00Z", "drift": 0},
    }});
    let tick = json!({"tag": "TickObserved", "chainPoint": at(10), "chainTime": "2025-01-01T00:01:00Z"});
    let state = node(&[new, tick, json!({"tag": "NodeSynced", "chainSlot": 10})]);
    assert_eq!(state["tag"], "NodeInSync");
    let expected = json!({"currentSlot": 10, "currentChainTime": "2025-01-01T00:01:00Z", "drift": 0});
    assert_eq!(state["chainPointTime"], expected);
}

#[test]
fn story_16_an_invalid_transaction_is_forgotten() {
    let bad = tx(10, &[99], &[]);
    let invalid = json!({
        "tag": "TxInvalid", "headId": HEAD, "transaction": bad, "utxo": [1, 2, 3], "validationError": {"reason": "no"},
    });
    assert_eq!(ledger(&and(opened(), &[received(&bad), invalid]))["allTxs"], json!({}));
}

#[test]
fn story_17_a_head_is_initialised_anew_from_any_state_before_2_2() {
    let again = json!({"tag": "HeadInitialized", "chainState": slot(9), "headId": "00cc", "headSeed": "0c", "parameters": parameters()});
    let state = head(&and(opened(), &[again]));
    assert_eq!((&state["tag"], &state["contents"]["headId"]), (&json!("Initial"), &json!("00cc")));
    assert_eq!(state["contents"]["pendingCommits"].as_array().unwrap().len(), 2);
}

/// Events in a state that they are not meant for leave it as it is.
#[test]
fn other_pairs_of_state_and_event_change_nothing() {
    let (one, some) = (snapshot(1, &[2], &[]), tx(10, &[1], &[4]));
    let of_open = [
        received(&some),
        applied(&some, &[4]),
        json!({"tag": "SnapshotRequestDecided", "snapshotNumber": 1}),
        requested(&one, &[], &[], &[2]),
        signed(&one, ALICE, "0a"),
        confirmed(&one),
        json!({"tag": "LocalStateCleared", "headId": HEAD, "snapshotNumber": 1}),
        json!({"tag": "DecommitRecorded", "decommitTx": some, "newLocalUTxO": [2]}),
        json!({"tag": "CommitRecorded", "pendingDeposits": {"70": [7]}, "newLocalUTxO": [7]}),
        json!({"tag": "HeadClosed", "contestationDeadline": "2025-01-01T00:00:00Z"}),
    ];
    let of_closed = [
        json!({"tag": "HeadContested", "contestationDeadline": "2025-01-01T00:00:00Z"}),
        json!({"tag": "HeadIsReadyToFanout"}),
        json!({"tag": "HeadFannedOut"}),
    ];
    for story in [vec![], vec![init()]] {
        let before = head(&story);
        for event in of_open.iter().chain(&of_closed) {
            assert_eq!(head(&and(story.clone(), std::slice::from_ref(event))), before, "{event}");
        }
    }
    let before = head(&opened());
    for event in &of_closed {
        assert_eq!(head(&and(opened(), std::slice::from_ref(event))), before, "{event}");
    }
    for tag in ["CommitApproved", "DecommitApproved", "PeerConnected", "NetworkConnected", "Unheard"] {
        assert_eq!(head(&and(opened(), &[json!({"tag": tag, "headId": HEAD})])), before, "{tag}");
    }
}

/// hydra-node writes members in alphabetical order. Nothing depends on that.
#[test]
fn members_in_another_order_fold_to_the_same() {
    let one = snapshot(1, &[2], &[&tx(10, &[1], &[2])]);
    let story = and(opened(), &[requested(&one, &[10], &[], &[2]), signed(&one, ALICE, "0a"), confirmed(&one)]);
    let backwards = |change: &Value| {
        let members = change.as_object().unwrap().iter().rev();
        let members: Vec<String> = members.map(|(key, value)| format!("{:?}:{value}", key)).collect();
        format!("{{{}}}", members.join(","))
    };
    let mut fold = HeadFold::new();
    for (id, change) in story.iter().enumerate() {
        let line = format!(r#"{{"time":"2025-01-01T00:00:00Z","stateChanged":{},"eventId":{id}}}"#, backwards(change));
        fold.apply(&StateEvent::parse(line).unwrap()).unwrap();
    }
    assert_eq!(serde_json::from_str::<Value>(&fold.head().to_json()).unwrap(), head(&story));
}

#[test]
fn an_unknown_tag_is_remembered_once() {
    let unheard = json!({"tag": "Unheard", "x": 1});
    let fold = fold(&[unheard.clone(), unheard]);
    assert_eq!(fold.unknown_tags().collect::<Vec<_>>(), ["Unheard"]);
}
