//! Random input to everything that reads from outside; `make fuzz` runs many more cases.

use hydrant::config::{SinkConfig, SourceConfig};
use hydrant::event::{Position, StateEvent, Time};
use hydrant::store::{LogReader, OnBadLine, ReadLog, ReadOptions};
use proptest::prelude::*;

use crate::harness::{Folder, line, lines};

/// Bytes that are often nearly a log.
fn nearly_a_log() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        (0_u64..50).prop_map(|id| (line(id) + "\n").into_bytes()),
        (0_u64..50, any::<prop::sample::Index>()).prop_map(|(id, cut)| {
            let line = line(id).into_bytes();
            line[..cut.index(line.len())].to_vec()
        }),
        Just(b"{\"tag\":\"X\"}\n".to_vec()),
        prop::collection::vec(any::<u8>(), 0..40),
        Just(b"\n".to_vec()),
        Just(vec![0; 30]),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn fuzz_a_log_of_anything_is_read_without_a_panic_and_in_order(content in nearly_a_log()) {
        let folder = Folder::new();
        let path = folder.file("state", &content);
        let options = ReadOptions { on_bad_line: OnBadLine::Skip, max_line: 1 << 16, ..ReadOptions::default() };
        let mut reader = LogReader::open(path, options).unwrap();
        let mut last: Option<Position> = None;
        while let Some(page) = reader.read_history().unwrap() {
            for event in page.events {
                prop_assert!(last.is_none_or(|last| last < event.position()));
                last = Some(event.position());
            }
        }
    }

    #[test]
    fn fuzz_a_log_cut_anywhere_gives_every_whole_event(cut in any::<prop::sample::Index>()) {
        let folder = Folder::new();
        let content = lines(0..40);
        let kept = &content.as_bytes()[..cut.index(content.len())];
        let mut reader = LogReader::open(folder.file("state", kept), ReadOptions::default()).unwrap();
        let mut events = 0;
        while let Some(page) = reader.read_history().unwrap() {
            events += page.events.len();
        }
        let whole = kept.iter().filter(|byte| **byte == b'\n').count();
        // The event is whole without its newline, too.
        let ends_whole = kept.ends_with(b"}") && serde_json::from_slice::<serde_json::Value>(kept.rsplit(|byte| *byte == b'\n').next().unwrap()).is_ok();
        prop_assert_eq!(events, whole + usize::from(ends_whole));
    }

    #[test]
    fn fuzz_text_is_parsed_without_a_panic(text in ".{0,200}") {
        let _ = StateEvent::parse(text.clone());
        let _ = StateEvent::wrap_legacy(1, &text);
        let _ = Time::parse(&text);
        let _ = text.parse::<Position>();
        for scheme in ["", "file:", "stdout:?", "wasm:x?"] {
            let _ = SourceConfig::from_uri(&format!("{scheme}{text}"));
            let _ = SinkConfig::from_uri(&format!("{scheme}{text}"));
        }
    }

    #[test]
    fn fuzz_what_is_taken_for_an_event_is_json_or_has_its_shape(bytes in "[\\[\\]{}\":,a-c0-9]{0,40}") {
        let text = format!("{{\"eventId\":1,\"stateChanged\":{{\"tag\":\"X\",\"b\":{bytes}}}}}");
        // Every valid JSON text of this form must be taken; the scan may take more, but never less.
        if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
            prop_assert!(StateEvent::parse(text).is_ok());
        }
    }
}
