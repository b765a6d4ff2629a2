//! `hydrant sample`

use std::collections::BTreeSet;
use std::fs;

use hydrant::sample::{Sample, SampleError, Schema};
use serde_json::Value;

use crate::harness::{Folder, assert_exit, hydrant, stderr, stdout};

const SCHEMAS: [Schema; 4] = [Schema::V0_16, Schema::V0_22, Schema::V1, Schema::V2_0];

fn sample(events: u64, seed: u64, schema: Schema, checkpoint_every: Option<u64>) -> Vec<Value> {
    let text = text(events, seed, schema, checkpoint_every);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text(events: u64, seed: u64, schema: Schema, checkpoint_every: Option<u64>) -> String {
    let mut out = Vec::new();
    Sample { events, seed, schema, checkpoint_every }.write(&mut out, |_| {}).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_log_and_another_seed_another() {
    for schema in SCHEMAS {
        assert_eq!(text(500, 7, schema, None), text(500, 7, schema, None));
        assert_ne!(text(500, 7, schema, None), text(500, 8, schema, None));
    }
}

#[test]
fn ids_count_from_zero_and_keys_are_in_alphabetical_order() {
    for schema in SCHEMAS {
        let text = text(3_000, 1, schema, None);
        assert_eq!(text.lines().count(), 3_000);
        for (id, line) in text.lines().enumerate() {
            let value: Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["eventId"], id);
            assert_eq!(value.get("time").is_some(), schema != Schema::V0_16);
            // serde_json keeps maps sorted, so a line that comes back equal had its keys sorted.
            assert_eq!(value.to_string(), line);
        }
    }
}

/// Follows a log's UTxO: every transaction spends what is there, and what an event says is what the ones before it lead to.
fn check_ledger(schema: Schema, events: &[Value]) -> usize {
    let mut utxo: BTreeSet<String> = BTreeSet::new();
    let (mut number, mut version, mut deposits, mut applied) = (0, 0, BTreeSet::new(), 0);
    let keys = |value: &Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    for event in events {
        let changed = &event["stateChanged"];
        match changed["tag"].as_str().unwrap() {
            "HeadOpened" => {
                utxo = if schema == Schema::V2_0 { BTreeSet::new() } else { keys(&changed["initialUTxO"]) };
                (number, version) = (0, 0);
            }
            "TransactionAppliedToLocalUTxO" => {
                let id = changed["tx"]["txId"].as_str().unwrap();
                let after = keys(&changed["newLocalUTxO"]);
                let made: BTreeSet<String> = after.difference(&utxo).cloned().collect();
                assert!(!made.is_empty() && made.iter().all(|output| output.starts_with(id)));
                assert!(utxo.difference(&after).count() > 0, "a transaction spends something");
                utxo = after;
                applied += 1;
            }
            "SnapshotConfirmed" => {
                let snapshot = &changed["snapshot"];
                let at = if schema == Schema::V0_16 { "snapshotNumber" } else { "number" };
                number += 1;
                assert_eq!(snapshot[at], number);
                assert_eq!(keys(&snapshot["utxo"]), utxo);
                assert_eq!(changed["signatures"]["multiSignature"].as_array().unwrap().len(), 3);
                if schema != Schema::V0_16 {
                    assert_eq!(snapshot["version"], version);
                }
            }
            "DepositRecorded" => {
                deposits.insert(changed["depositTxId"].to_string());
                let pending = keys(&changed["deposited"]);
                assert!(pending.is_disjoint(&utxo));
            }
            "CommitApproved" => utxo.extend(keys(&changed["utxoToCommit"])),
            "CommitFinalized" => {
                assert!(deposits.remove(&changed["depositTxId"].to_string()));
                version += 1;
                assert_eq!(changed["newVersion"], version);
            }
            "HeadFannedOut" => {
                let outputs = [&changed["utxo"], &changed["finalizedOutputs"]];
                let outputs = outputs.into_iter().find(|value| value.is_object());
                assert!(schema == Schema::V0_16 || keys(outputs.unwrap()) == utxo);
            }
            _ => {}
        }
    }
    applied
}

#[test]
fn the_story_is_causally_valid() {
    for schema in SCHEMAS {
        let events = sample(6_000, 3, schema, None);
        assert!(check_ledger(schema, &events) > 100, "{schema}");
        let tags: BTreeSet<&str> = events.iter().map(|event| event["stateChanged"]["tag"].as_str().unwrap()).collect();
        for tag in ["HeadOpened", "SnapshotConfirmed", "HeadClosed", "HeadIsReadyToFanout", "HeadFannedOut"] {
            assert!(tags.contains(tag), "{schema} has no {tag}");
        }
        assert_eq!(tags.contains("CommitFinalized"), schema != Schema::V0_16, "{schema}");
        assert_eq!(tags.contains("HeadInitialized"), schema != Schema::V2_0, "{schema}");
    }
}

#[test]
fn a_transactions_id_is_the_hash_of_its_body() {
    use blake2::digest::consts::U32;
    use blake2::{Blake2b, Digest};
    let mut checked = 0;
    for event in sample(300, 1, Schema::V1, None) {
        let tx = &event["stateChanged"]["tx"];
        let Some(cbor) = tx["cborHex"].as_str() else { continue };
        let bytes: Vec<u8> =
            (0..cbor.len()).step_by(2).map(|at| u8::from_str_radix(&cbor[at..at + 2], 16).unwrap()).collect();
        let mut decoder = minicbor::Decoder::new(&bytes);
        assert_eq!(decoder.array().unwrap(), Some(4));
        let start = decoder.position();
        decoder.skip().unwrap();
        let id = Blake2b::<U32>::digest(&bytes[start..decoder.position()]);
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(tx["txId"], id);
        checked += 1;
    }
    assert!(checked > 20);
}

#[test]
fn checkpoints_come_on_top_and_carry_the_id_of_the_event_before() {
    for (schema, tag) in [(Schema::V0_22, "/tag"), (Schema::V1, "/headState/tag"), (Schema::V2_0, "/headState/tag")] {
        let lines = sample(1_000, 1, schema, Some(100));
        assert_eq!(lines.len(), 1_010);
        for (index, line) in lines.iter().enumerate().filter(|(_, line)| line["stateChanged"]["tag"] == "Checkpoint") {
            assert_eq!((index + 1) % 101, 0);
            assert_eq!(line["eventId"], lines[index - 1]["eventId"]);
            assert!(line["stateChanged"]["state"].pointer(tag).is_some(), "{line}");
        }
    }
    let none = Sample { events: 1, seed: 1, schema: Schema::V0_16, checkpoint_every: Some(1) };
    assert!(matches!(none.write(&mut Vec::new(), |_| {}), Err(SampleError::NoCheckpoints(_))));
}

#[test]
fn events_are_of_realistic_size() {
    for schema in SCHEMAS {
        let text = text(10_000, 1, schema, None);
        let mean = text.len() / 10_000;
        assert!((500..2_000).contains(&mean), "{schema}: {mean} bytes an event");
    }
}

#[test]
fn every_schema_runs_through_the_process_in_order() {
    let folder = Folder::new();
    for schema in SCHEMAS {
        let path = folder.path(&format!("log-{schema}"));
        let written = hydrant()
            .args(["sample", "--events", "2000", "--seed", "5", "--schema", &schema.to_string(), "--out"])
            .arg(&path)
            .output()
            .unwrap();
        assert_exit(&written, 0);
        let output = folder.run(&path, &["stdout:"], &["--once"]);
        assert_exit(&output, 0);
        assert_eq!(output.stdout, fs::read(&path).unwrap());
        let verified = hydrant().args(["log", "verify"]).arg(&path).output().unwrap();
        assert_exit(&verified, 0);
        assert!(stdout(&verified).starts_with("whole: 2000 events and 0 checkpoints, from 0 to 1999"));
    }
}

#[test]
fn an_existing_file_is_not_overwritten() {
    let folder = Folder::new();
    let path = folder.file("precious", "x");
    let output = hydrant().args(["sample", "--events", "1", "--out"]).arg(&path).output().unwrap();
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("precious"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "x");
    let empty = folder.file("empty", "");
    assert_exit(&hydrant().args(["sample", "--events", "1", "--out"]).arg(&empty).output().unwrap(), 0);
    assert_eq!(fs::read_to_string(&empty).unwrap().lines().count(), 1);
    let early = ["sample", "--schema", "0.16", "--checkpoint-every", "5", "--out"];
    let output = hydrant().args(early).arg(folder.path("never")).output().unwrap();
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("no checkpoints") && !folder.path("never").exists());
    let wrong = hydrant().args(["sample", "--schema", "3.0", "--out"]).arg(folder.path("y")).output().unwrap();
    assert_exit(&wrong, 2);
    assert!(stderr(&wrong).contains("0.16, 0.22, 1.x, 2.0"), "{}", stderr(&wrong));
}
