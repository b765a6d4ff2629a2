//! The sink `tally` in every language that it is written in, through the same tests: the contract must mean the same to all of them.

use std::path::PathBuf;

use hydrant::component::{ComponentSink, Limits};
use hydrant::event::StateEvent;
use hydrant::sink::{CloseReason, Delivery, EventSink, Opened, SinkError};
use hydrant::sink_store::Saved;

use crate::harness::{block_on, load, open_info, tagged, target};

/// The languages whose guest was built; a missing one is named, and an error where all have to be there.
fn tallies() -> Vec<(&'static str, PathBuf)> {
    let path = |name: &str| target().join(format!("guests/{name}.wasm"));
    let (there, missing): (Vec<_>, Vec<_>) = ["tally", "tally-c", "tally-py"]
        .into_iter()
        .map(|name| (name, path(name)))
        .partition(|(_, path)| path.exists());
    for (name, _) in &missing {
        println!("skipped: {name} was not built, its toolchain is missing");
    }
    assert!(missing.is_empty() || std::env::var_os("HYDRANT_ALL_GUESTS").is_none(), "missing: {missing:?}");
    there
}

fn sink((name, path): &(&'static str, PathBuf)) -> ComponentSink {
    let limits = Limits::default();
    let component = load(&std::fs::read(path).unwrap(), &limits).unwrap();
    ComponentSink::new(name, component, limits, Vec::new())
}

fn events() -> Vec<StateEvent> {
    let tags = ["SnapshotConfirmed", "Ä", "HeadOpened", "SnapshotConfirmed", "TickObserved"];
    (0..40).map(|id| StateEvent::parse(tagged(id, tags[id as usize % tags.len()])).unwrap()).collect()
}

const COUNTS: [&str; 4] = ["HeadOpened 8", "SnapshotConfirmed 16", "TickObserved 8", "Ä 8"];

#[test]
fn events_are_counted_one_by_one_and_in_batches_alike() {
    for tally in tallies() {
        for in_batches in [false, true] {
            let mut sink = sink(&tally);
            block_on(async {
                assert_eq!(sink.open(&open_info()).await.unwrap(), Opened::Beginning, "{}", tally.0);
                if in_batches {
                    for batch in events().chunks(7) {
                        let progress = sink.batch().unwrap().put_events(batch, Delivery::default()).await.unwrap();
                        assert_eq!((progress.taken, progress.durable), (batch.len(), 0));
                    }
                } else {
                    for event in events() {
                        sink.put_event(&event, Delivery::default()).await.unwrap();
                    }
                }
                sink.flush().await.unwrap();
                sink.close(CloseReason::Stop).await.unwrap();
            });
            assert_eq!(sink.log_tail(), COUNTS, "{}", tally.0);
        }
    }
}

#[test]
fn state_goes_from_any_language_to_any_other() {
    let tallies = tallies();
    for from in &tallies {
        for to in &tallies {
            let (mut old, mut new) = (sink(from), sink(to));
            block_on(async {
                old.open(&open_info()).await.unwrap();
                old.batch().unwrap().put_events(&events()[..25], Delivery::default()).await.unwrap();
                let saved = old.handover().unwrap().save().await.unwrap();
                new.open(&open_info()).await.unwrap();
                new.handover().unwrap().restore(&saved).await.unwrap();
                new.batch().unwrap().put_events(&events()[25..], Delivery::default()).await.unwrap();
                new.close(CloseReason::Stop).await.unwrap();
            });
            assert_eq!(new.log_tail(), COUNTS, "from {} to {}", from.0, to.0);
        }
    }
}

#[test]
fn a_state_that_makes_no_sense_is_refused_in_words() {
    for tally in tallies() {
        for (saved, words) in [
            (Saved { version: 7, bytes: Vec::new() }, "does not know version 7"),
            (Saved { version: 1, bytes: b"no count\n".to_vec() }, "a line is not a tag and a count"),
        ] {
            let mut sink = sink(&tally);
            let error = block_on(async {
                sink.open(&open_info()).await.unwrap();
                sink.handover().unwrap().restore(&saved).await.unwrap_err()
            });
            assert!(matches!(&error, SinkError::Fatal { message } if message.contains(words)), "{}: {error}", tally.0);
        }
    }
}

#[test]
fn every_language_says_the_same_of_itself() {
    for tally in tallies() {
        let mut sink = sink(&tally);
        block_on(sink.open(&open_info())).unwrap();
        let manifest = sink.manifest().unwrap();
        assert_eq!(manifest.name, tally.0);
        assert_eq!((manifest.accepts.len(), manifest.irreversible), (1, false));
        assert!(sink.wants("HeadOpened") && manifest.reads(&open_info().stream.format));
    }
}
