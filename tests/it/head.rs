//! What events mean: types that give back what they read, and the commands that show it.

use std::fs;

use hydrant::event::StateEvent;
use hydrant::head::{HeadFold, NodeState, StateChanged, Typed, Undecodable, Utxo, check};
use serde_json::{Value, json};

use crate::events::{golden_folder, golden_lines, say};
use crate::harness::{Folder, assert_exit, hydrant, stderr, stdout};

fn event(change: &str) -> StateEvent {
    StateEvent::parse(format!(r#"{{"eventId":0,"stateChanged":{change}}}"#)).unwrap()
}

#[test]
fn upstream_goldens_come_back_from_their_types() {
    let Some(folder) = golden_folder("goldens through their types") else { return };
    let lines = golden_lines(&folder);
    for line in &lines {
        let event = StateEvent::parse(line.clone()).or_else(|_| StateEvent::wrap_legacy(0, line)).unwrap();
        check(&event).unwrap_or_else(|error| panic!("{}: {error}", event.tag()));
    }
    say(&format!("goldens through their types: {} ran, 0 skipped", lines.len()));
    assert!(lines.len() >= 30);
}

#[test]
fn own_fixtures_of_every_constructor_come_back_from_their_types() {
    let folder = crate::harness::root().join("tests/fixtures");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        for line in fs::read_to_string(entry.unwrap().path()).unwrap().lines().filter(|line| line.starts_with('{')) {
            let Ok(event) = StateEvent::parse(line.to_owned()).or_else(|_| StateEvent::wrap_legacy(0, line)) else {
                continue;
            };
            match check(&event) {
                Ok(()) => count += 1,
                // One of the fixtures is of a version to come.
                Err(error) => assert!(line.contains("NotYetInvented"), "{line}: {error}"),
            }
        }
    }
    assert!(count > 30, "{count}");
}

#[test]
fn an_upstream_head_state_comes_back() {
    let Some(folder) = golden_folder("golden head states") else { return };
    let text = fs::read_to_string(folder.join("HeadState/HeadState SimpleTx.json")).unwrap();
    let samples = serde_json::from_str::<Value>(&text).unwrap();
    for sample in samples["samples"].as_array().unwrap() {
        let mut fold = HeadFold::new();
        let checkpoint = json!({"tag": "Checkpoint", "state": sample}).to_string();
        check(&event(&checkpoint)).unwrap();
        fold.apply(&event(&checkpoint)).unwrap();
        assert_eq!(&serde_json::from_str::<Value>(&fold.head().to_json()).unwrap(), sample);
    }
    say(&format!("golden head states: {} ran, 0 skipped", samples["samples"].as_array().unwrap().len()));
}

/// Traps of reading: what a lesser reader changes.
#[test]
fn what_is_unusual_survives() {
    let output = r#"{"address":"Ae2tdPwUPEZFRbyhz3cpfC2CumGzNkFBN2L42rcUc2yjQpEkxDbkPodpMAi","datum":null,"datumhash":null,"inlineDatum":{"int":123456789012345678901234567890},"inlineDatumRaw":null,"referenceScript":null,"value":{"lovelace":45000000000000001,"aa":{"":9223372036854775807,"0b":1}},"new":[1.50]}"#;
    let utxo = format!(r#"{{"00#0":{output}}}"#);
    for change in [
        format!(r#"{{"tag":"HeadFannedOut","chainState":{{"recordedAt":null,"spendableUTxO":{utxo}}},"extra":{{"deep":[1e5,null]}}}}"#),
        r#"{"tag":"TickObserved","chainSlot":18446744073709551616}"#.to_owned(),
        r#"{"tag":"DepositActivated","chainTime":"1864-05-09T08:14:39.123456789012Z","depositTxId":-5,"deposit":{"status":"Active","unheard":{}}}"#.to_owned(),
        r#"{"tag":"SnapshotConfirmed","snapshot":null,"signatures":{"multiSignature":[]}}"#.to_owned(),
        r#"{"tag":"SnapshotConfirmed","signatures":{"multiSignature":[]}}"#.to_owned(),
        r#"{"tag":"HeadIsReadyToFanout"}"#.to_owned(),
        r#"{"tag":"NodeUnsynced","drift":-0.000000000001}"#.to_owned(),
        r#"{ "tag" : "TxInvalid", "validationError" : { "reason" : "a \"quote\" \u00e9" } }"#.to_owned(),
        r#"{"tag":"HeadPartialFannedOut","mode":{"tag":"DistributingSelection","contents":{}},"remainingOutputs":{}}"#.to_owned(),
    ] {
        check(&event(&change)).unwrap_or_else(|error| panic!("{change}: {error}"));
    }
}

#[test]
fn what_is_of_another_type_is_named_by_its_place() {
    for (change, place) in [
        (r#"{"tag":"TickObserved","chainSlot":1.5}"#, "chainSlot: a whole number expected, found 1.5"),
        (r#"{"tag":"PeerConnected","peer":{"hostname":1}}"#, "peer.hostname: a string expected, found 1"),
        (r#"{"tag":"HeadClosed","contestationDeadline":"soon"}"#, "contestationDeadline: a time in UTC expected"),
        (
            r#"{"tag":"SnapshotConfirmed","snapshot":{"utxo":{"00#0":{"value":{"lovelace":"5"}}}}}"#,
            "snapshot.utxo.00#0.value.lovelace: a whole number expected",
        ),
        (
            r#"{"tag":"TransactionReceived","tx":{"cborHex":"abc"}}"#,
            "tx.cborHex: a string of hexadecimal digits expected",
        ),
        (r#"{"tag":"SnapshotRequested","newLocalTxs":[{"txId":"00"},{"txId":true}]}"#, "newLocalTxs.[1].txId"),
    ] {
        let error = check(&event(change)).unwrap_err();
        assert!(matches!(error, Undecodable::Type(_)) && error.to_string().contains(place), "{change}: {error}");
    }
    assert_eq!(check(&event(r#"{"tag":"Unheard"}"#)), Err(Undecodable::UnknownTag));
}

#[test]
fn a_conway_transaction_is_applied_from_its_cbor() {
    let folder = Folder::new();
    let path = folder.path("sample");
    let schema = ["sample", "--events", "400", "--schema", "2.0", "--out"];
    assert!(hydrant().args(schema).arg(&path).status().unwrap().success());
    // As 2.2 would have written the same log: without the outputs that 2.0 spells out.
    let (mut whole, mut slim, mut left_out) = (HeadFold::new(), HeadFold::new(), 0);
    for line in fs::read_to_string(&path).unwrap().lines() {
        whole.apply(&StateEvent::parse(line.to_owned()).unwrap()).unwrap();
        let mut event: Value = serde_json::from_str(line).unwrap();
        let change = event["stateChanged"].as_object_mut().unwrap();
        left_out += u32::from(change.remove("newLocalUTxO").is_some());
        slim.apply(&StateEvent::parse(event.to_string()).unwrap()).unwrap();
        let utxo = |fold: &HeadFold| -> Value {
            let head: Value = serde_json::from_str(&fold.head().to_json()).unwrap();
            head["contents"]["coordinatedHeadState"]["localUTxO"].clone()
        };
        assert_eq!(utxo(&slim), utxo(&whole), "{line}");
    }
    assert!(left_out > 50, "{left_out}");
}

#[test]
fn a_state_is_read_and_written_as_it_stands() {
    let state = json!({"tag": "Idle", "contents": {"chainState": {"slot": 4}, "unheard": [1]}, });
    let change = json!({"tag": "Checkpoint", "state": state}).to_string();
    let StateChanged::Checkpoint(checkpoint) = StateChanged::of(&event(&change)).unwrap() else {
        panic!("no checkpoint")
    };
    let state_again: &NodeState = checkpoint.state.get().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&state_again.to_json()).unwrap(), state);
}

#[test]
fn the_commands_show_state_and_list_what_does_not_decode() {
    let folder = Folder::new();
    let good = r#"{"eventId":0,"stateChanged":{"tag":"TickObserved","chainSlot":7}}"#;
    let bad = r#"{"eventId":1,"stateChanged":{"tag":"TickObserved","chainSlot":"x"}}"#;
    let log = folder.file("state", format!("{good}\n"));
    let verified = hydrant().args(["log", "verify", "--decode"]).arg(&log).output().unwrap();
    assert_exit(&verified, 0);
    assert!(stdout(&verified).contains("1 of 1 events come back"), "{}", stdout(&verified));
    let shown = hydrant().args(["log", "stats", "--state"]).arg(&log).output().unwrap();
    assert_exit(&shown, 0);
    let state: Value = serde_json::from_str(&stdout(&shown)).unwrap();
    assert_eq!((&state["currentSlot"], &state["headState"]["tag"]), (&json!(7), &json!("Idle")));

    let log = folder.file("state", format!("{good}\n{bad}\n"));
    let verified = hydrant().args(["log", "verify", "--decode"]).arg(&log).output().unwrap();
    assert_exit(&verified, 3);
    assert!(
        stderr(&verified).contains("line 2") && stderr(&verified).contains("TickObserved"),
        "{}",
        stderr(&verified)
    );
    assert_exit(&hydrant().args(["log", "verify"]).arg(&log).output().unwrap(), 0);
    let shown = hydrant().args(["log", "stats", "--state"]).arg(&log).output().unwrap();
    assert_exit(&shown, 3);
    assert!(stderr(&shown).contains("event 1 (TickObserved) cannot be folded"), "{}", stderr(&shown));
}

#[test]
fn a_set_of_outputs_is_read_in_both_ledgers() {
    let change = event(r#"{"tag":"CommitApproved","utxoToCommit":[1,2]}"#);
    let StateChanged::CommitApproved(commit) = StateChanged::of(&change).unwrap() else { panic!("another") };
    assert!(matches!(commit.utxo_to_commit.get().unwrap().get().unwrap(), Utxo::Simple(outputs) if outputs.len() == 2));
    let _: fn(&hydrant::event::Text) -> Result<Utxo, _> = Utxo::read;
}
