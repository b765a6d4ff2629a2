//! What a component may be, what it sees, and how its failures are told.

use std::fs;

use hydrant::component::{FailureKind, Limits, LoadError};
use hydrant::event::StateEvent;
use hydrant::sink::{Batch, CloseReason, Delivery, EventSink, OpenInfo, Opened, SinkError};
use hydrant::stream::StreamFormat;

use crate::harness::{block_on, component_sink, events, guest, load, open_info, root, tagged};

fn refused(wasm: &[u8]) -> LoadError {
    load(wasm, &Limits::default()).unwrap_err()
}

#[test]
fn every_test_guest_is_used_by_a_test() {
    let tests: String = fs::read_dir(root().join("tests/it"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    for entry in fs::read_dir(root().join("tests/guests")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().join("Cargo.toml").exists() {
            assert!(tests.contains(&format!("\"{name}\"")), "no test names the guest {name}");
        }
    }
}

#[test]
fn a_component_of_another_world_is_refused_with_what_it_exports_and_what_was_expected() {
    let error = refused(&fs::read(guest("wrong-world")).unwrap()).to_string();
    assert!(error.contains("test:wrong-world/greeter@0.3.0"), "{error}");
    assert!(error.contains("hydrant:events/event-sink@0.1.0"), "{error}");
}

fn exporting(version: &str, function: &str, result: &str, core: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(component
            (core module $m (func (export "f") (result i32) ({core} 0)))
            (core instance $i (instantiate $m))
            (func $f (result {result}) (canon lift (core func $i "f")))
            (instance $x (export "{function}" (func $f)))
            (export "hydrant:events/event-sink@{version}" (instance $x)))"#
    ))
    .unwrap()
}

#[test]
fn another_version_of_the_contract_is_refused_by_name() {
    let error = refused(&exporting("0.2.0", "put-event", "u32", "i32.const")).to_string();
    assert!(error.contains("event-sink@0.2.0") && error.contains("event-sink@0.1.0"), "{error}");
}

#[test]
fn a_function_of_another_type_is_refused_before_guest_code_runs() {
    let error = refused(&exporting("0.1.0", "put-event", "u32", "i32.const"));
    assert!(matches!(error, LoadError::WrongType { function: "put-event", source: Some(_), .. }), "{error}");
    let error = refused(&exporting("0.1.0", "put", "u32", "i32.const"));
    assert!(matches!(error, LoadError::WrongType { function: "put-event", source: None, .. }), "{error}");
    // A later patch version is the same contract; its functions are checked all the same.
    let error = refused(&exporting("0.1.7", "put-event", "u32", "i32.const"));
    assert!(matches!(error, LoadError::WrongType { .. }), "{error}");
}

#[test]
fn an_import_that_the_host_does_not_have_is_named() {
    let wasm = wat::parse_str(
        r#"(component (import "hydrant:events/secrets@0.1.0" (instance (export "steal" (func (param "key" string))))))"#,
    );
    let error = refused(&wasm.unwrap()).to_string();
    assert!(error.contains("hydrant:events/secrets@0.1.0"), "{error}");
}

#[test]
fn what_is_no_component_is_refused() {
    assert!(matches!(refused(&wat::parse_str("(module)").unwrap()), LoadError::CoreModule));
    let printer = fs::read(guest("printer")).unwrap();
    for bytes in [&b""[..], b"\0asm", b"#!/bin/sh", &printer[..printer.len() / 2]] {
        let error = refused(bytes);
        assert!(matches!(error, LoadError::Compile(_)), "{} bytes: {error:?}", bytes.len());
    }
}

#[test]
fn a_sink_sees_its_life_and_nothing_else() {
    let mut sink = component_sink("witness", &[], &[("a", "1"), ("b", "two words")]);
    let checkpoint = r#"{"eventId":1,"stateChanged":{"state":{},"tag":"Checkpoint"}}"#;
    let log = block_on(async {
        let opened = sink.open(&open_info()).await.unwrap();
        assert_eq!(opened, Opened::Cursor);
        let delivery = Delivery { catching_up: true, ..Delivery::default() };
        sink.put_event(&events(1..2)[0], delivery).await.unwrap();
        sink.put_event(&StateEvent::parse(checkpoint).unwrap(), Delivery::default()).await.unwrap();
        sink.flush().await.unwrap();
        sink.close(CloseReason::Stop).await.unwrap();
        sink.log_tail()
    });
    let expected = [
        r#"open stream="test" epoch="0" format="hydra.state-event/1" config="[(\"a\", \"1\"), (\"b\", \"two words\")]" resume="None""#,
        "environment 0, arguments 0",
    ];
    assert_eq!(log[..2], expected);
    // Neither files nor network are there.
    assert!(log[2].starts_with("root Some("), "{}", log[2]);
    assert!(log[3].starts_with("network Some("), "{}", log[3]);
    assert!(
        log[4].contains(r#"put id="1" kind="Kind::Event" tag="TickObserved" time="1748736001.123456789""#),
        "{}",
        log[4]
    );
    assert!(log[4].contains(r#"delivery="Delivery(CATCHING_UP)""#), "{}", log[4]);
    assert!(log[5].contains(r#"kind="Kind::Checkpoint" tag="Checkpoint" time="""#), "{}", log[5]);
    assert_eq!(log[6], "flush");
    assert!(log[7].contains("reason="), "{}", log[7]);
    assert_eq!(log[8], "a last line without an end");
}

#[test]
fn a_trap_tells_what_the_guest_said_before() {
    let mut sink = component_sink("trap", &[], &[]);
    let error = block_on(async {
        sink.open(&open_info()).await.unwrap();
        for event in events(0..3) {
            sink.put_event(&event, Delivery::default()).await.unwrap();
        }
        sink.put_event(&events(3..4)[0], Delivery::default()).await.unwrap_err()
    });
    let SinkError::Guest(failure) = &error else { panic!("{error}") };
    assert!(matches!(&failure.kind, FailureKind::Trap { message } if message.contains("unreachable")), "{error}");
    assert!(failure.frames.iter().any(|frame| frame.contains("put_event") || frame.contains("put-event")), "{error}");
    let tail = sink.log_tail().join("\n");
    assert!(tail.contains("got 3") && tail.contains("does not like 3"), "{tail}");
}

#[test]
fn refusals_reach_the_host_as_what_they_are() {
    for (with, expected) in
        [("rejected", "rejected: I"), ("retry", "asks for a retry after 100ms: I"), ("fatal", "fatal: I")]
    {
        let mut sink = component_sink("refuse", &[], &[("refuse-id", "1"), ("with", with)]);
        let error = block_on(async {
            sink.open(&open_info()).await.unwrap();
            sink.put_event(&events(0..1)[0], Delivery::default()).await.unwrap();
            let error = sink.put_event(&events(1..2)[0], Delivery::default()).await.unwrap_err();
            // A refusal is an answer: the instance lives on.
            sink.put_event(&events(2..3)[0], Delivery::default()).await.unwrap();
            error
        });
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}

#[test]
fn a_failing_open_is_the_sinks_word() {
    let mut sink = component_sink("refuse", &[], &[("refuse-id", "many")]);
    let error = block_on(sink.open(&open_info())).unwrap_err();
    assert!(matches!(&error, SinkError::Fatal { message } if message.contains("many")), "{error}");
}

#[test]
fn accepted_without_a_flush_breaks_the_contract_at_the_first_answer() {
    let mut sink = component_sink("accepted-without-flush", &[], &[]);
    let error = block_on(async {
        sink.open(&open_info()).await.unwrap();
        sink.put_event(&events(0..1)[0], Delivery::default()).await.unwrap_err()
    });
    assert!(matches!(&error, SinkError::Contract { message } if message.contains("hydrant:events/flush")), "{error}");
}

#[test]
fn a_stream_that_a_sink_does_not_read_is_refused_at_open() {
    let error = block_on(component_sink("other-format", &[], &[]).open(&open_info())).unwrap_err().to_string();
    assert!(error.contains("hydra.state-event/1") && error.contains("hydra.server-output/1"), "{error}");
    let mut info: OpenInfo = open_info();
    info.stream.format = StreamFormat { name: "hydra.server-output".to_owned(), version: 1 };
    block_on(component_sink("other-format", &[], &[]).open(&info)).unwrap();
}

#[test]
fn batches_count_as_single_puts_do() {
    let all: Vec<StateEvent> = (0..1_000)
        .map(|id| StateEvent::parse(tagged(id, ["TickObserved", "SnapshotConfirmed", "X"][id as usize % 3])).unwrap())
        .collect();
    let counts = |batched: bool| {
        let mut sink = component_sink("tally", &[], &[]);
        block_on(async {
            assert_eq!(sink.open(&open_info()).await.unwrap(), Opened::Beginning);
            for chunk in all.chunks(70) {
                if batched {
                    let progress = sink.put_events(chunk, Delivery::default()).await.unwrap();
                    assert_eq!((progress.taken, progress.durable), (chunk.len(), 0));
                } else {
                    for event in chunk {
                        sink.put_event(event, Delivery::default()).await.unwrap();
                    }
                }
            }
            sink.flush().await.unwrap();
            sink.close(CloseReason::Stop).await.unwrap();
        });
        sink.log_tail()
    };
    assert_eq!(counts(true), counts(false));
    assert_eq!(counts(true), ["SnapshotConfirmed 333", "TickObserved 334", "X 333"]);
}

#[test]
fn a_batch_to_a_sink_without_batch_is_a_contract_error() {
    let mut sink = component_sink("printer", &[], &[]);
    let error = block_on(async {
        sink.open(&open_info()).await.unwrap();
        sink.put_events(&events(0..3), Delivery::default()).await.unwrap_err()
    });
    assert!(matches!(error.error, SinkError::Contract { .. }));
}

#[test]
fn a_manifests_tags_keep_other_events_from_the_guest() {
    let mut sink = component_sink("utxo-balance", &[], &[]);
    let snapshot = |id: u64, utxo: &str| {
        let text = format!(
            r#"{{"eventId":{id},"stateChanged":{{"snapshot":{{"utxo":{{{utxo}}}}},"tag":"SnapshotConfirmed"}}}}"#
        );
        StateEvent::parse(text).unwrap()
    };
    let output =
        |address: &str, lovelace: &str| format!(r#"{{"address":"{address}","value":{{"lovelace":{lovelace}}}}}"#);
    block_on(async {
        sink.open(&open_info()).await.unwrap();
        // Not JSON inside: the guest would reject it if it were asked.
        let unread = StateEvent::parse(r#"{"eventId":0,"stateChanged":{"tag":"TickObserved","x":[tru]}}"#).unwrap();
        sink.put_event(&unread, Delivery::default()).await.unwrap();
        let first = format!(r#""a#0":{},"a#1":{}"#, output("alice", "45000000000000001"), output("bob", "2"));
        sink.put_event(&snapshot(1, &first), Delivery::default()).await.unwrap();
        let second = format!(r#""b#0":{},"b#1":{}"#, output("alice", "45000000000000001"), output("alice", "2"));
        sink.put_event(&snapshot(2, &second), Delivery::default()).await.unwrap();
        sink.close(CloseReason::Stop).await.unwrap();
    });
    assert_eq!(sink.log_tail(), ["alice 45000000000000003"]);
}
