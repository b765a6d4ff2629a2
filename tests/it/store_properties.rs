//! The properties that upstream tests on its file store, on ours.

use std::path::Path;

use hydrant::event::StateEvent;
use hydrant::sink::{CloseReason, Delivery, EventSink, FileSink};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use crate::harness::{Folder, block_on, open_info, read_log};

fn put_all(path: &Path, events: &[StateEvent]) {
    block_on(async {
        let mut sink = FileSink::new(path);
        sink.open(&open_info()).await.unwrap();
        for event in events {
            sink.put_event(event, Delivery::default()).await.unwrap();
        }
        sink.flush().await.unwrap();
        sink.close(CloseReason::Stop).await.unwrap();
    });
}

/// An event whose body is arbitrary JSON text.
fn event(id: u64, note: &str) -> StateEvent {
    let note = serde_json::to_string(note).unwrap();
    StateEvent::parse(format!(r#"{{"eventId":{id},"stateChanged":{{"note":{note},"tag":"X"}}}}"#)).unwrap()
}

fn continuous() -> impl Strategy<Value = Vec<StateEvent>> {
    vec(any::<String>(), 1..60)
        .prop_map(|notes| notes.iter().enumerate().map(|(id, note)| event(id as u64, note)).collect())
}

fn rising() -> impl Strategy<Value = Vec<StateEvent>> {
    btree_set(any::<u64>(), 1..60).prop_map(|ids| ids.into_iter().map(|id| event(id, &id.to_string())).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn continuous_events_come_back(events in continuous()) {
        let folder = Folder::new();
        put_all(&folder.path("state"), &events);
        prop_assert_eq!(read_log(&folder.path("state")), events);
    }

    #[test]
    fn non_continuous_events_come_back(events in rising()) {
        let folder = Folder::new();
        put_all(&folder.path("state"), &events);
        prop_assert_eq!(read_log(&folder.path("state")), events);
    }

    #[test]
    fn events_put_again_are_there_once(events in rising(), again in any::<prop::sample::Index>()) {
        let folder = Folder::new();
        put_all(&folder.path("state"), &events);
        let from = again.index(events.len());
        put_all(&folder.path("state"), &[&events[from..], &events[..]].concat());
        prop_assert_eq!(read_log(&folder.path("state")), events);
    }

    #[test]
    fn a_log_of_legacy_lines_is_gone_on_with(notes in vec(any::<String>(), 1..20), added in 1_u64..20) {
        let folder = Folder::new();
        let bare = |note: &String| format!("{{\"note\":{},\"tag\":\"X\"}}\n", serde_json::to_string(note).unwrap());
        let path = folder.file("state", notes.iter().map(bare).collect::<String>());
        let legacy = notes.len() as u64;
        let wrapped: Vec<StateEvent> = (legacy..legacy + added).map(|id| event(id, "new")).collect();
        put_all(&path, &wrapped);
        let read = read_log(&path);
        let ids: Vec<u64> = read.iter().map(StateEvent::id).collect();
        prop_assert_eq!(ids, (0..legacy + added).collect::<Vec<_>>());
        prop_assert_eq!(&read[notes.len()..], &wrapped[..]);
    }
}
