//! Random input to everything that reads from outside; `make fuzz` runs many more cases.

use arbitrary::Unstructured;
use hydrant::component::{CompileCache, Compiler, ComponentSink, Limits, SinkComponent, SinkEngine};
use hydrant::config::{ConfigFile, SinkConfig, SourceConfig};
use hydrant::event::{Position, StateEvent, Time};
use hydrant::sink::{Delivery, EventSink};
use hydrant::store::{LogReader, OnBadLine, ReadLog, ReadOptions};
use proptest::prelude::*;

use crate::harness::{Folder, block_on, events, guest, limits_of, line, lines, open_info};
use crate::wat_sinks::sink_around;

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

/// Compiling takes longer than reading text, so there are fewer cases of it. In process: a compiler that panics is found too.
fn few() -> ProptestConfig {
    let all = ProptestConfig::default();
    ProptestConfig { cases: (all.cases / 8).max(1), ..all }
}

/// Loads a component, and if that goes well calls it. Whatever comes of it must come of it.
fn load_and_put(wasm: &[u8], limits: &Limits) -> bool {
    let engine = SinkEngine::new(limits.stack).unwrap();
    let cache = CompileCache::nowhere(Compiler::InProcess);
    let Ok(component) = SinkComponent::from_bytes(&engine, &cache, wasm, limits) else { return false };
    let mut sink = ComponentSink::new("random", component, limits.clone(), Vec::new());
    block_on(async {
        if sink.open(&open_info()).await.is_ok() {
            let _ = sink.put_event(&events(0..1)[0], Delivery::default()).await;
        }
    });
    true
}

/// A component around a core module of random code whose `put` has the parameters of `put-event`.
fn random_component(bytes: &[u8]) -> Option<Vec<u8>> {
    let shape =
        r#"(module (func (export "put") (param i64 i32 i32 i64 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0)))"#;
    let config = wasm_smith::Config {
        exports: Some(wat::parse_str(shape).unwrap()),
        max_imports: 0,
        // References to things of the host would need a garbage collector, which is not built in.
        reference_types_enabled: false,
        threads_enabled: false,
        gc_enabled: false,
        exceptions_enabled: false,
        memory64_enabled: false,
        custom_page_sizes_enabled: false,
        wide_arithmetic_enabled: false,
        relaxed_simd_enabled: false,
        ..wasm_smith::Config::default()
    };
    let module = wasm_smith::Module::new(config, &mut Unstructured::new(bytes)).ok()?;
    let text = wasmprinter::print_bytes(module.to_bytes()).unwrap();
    Some(wat::parse_str(sink_around(&text)).unwrap())
}

proptest! {
    #![proptest_config(few())]

    #[test]
    fn fuzz_a_component_of_random_code_ends_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        let Some(component) = random_component(&bytes) else { return Ok(()) };
        let limits = limits_of(&[("fuel", "1000000"), ("open-fuel", "1000000"), ("memory", "16MiB"), ("timeout", "2s")]);
        load_and_put(&component, &limits);
    }

    #[test]
    fn fuzz_a_component_with_changed_bytes_is_refused_or_ends_without_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut wasm = std::fs::read(guest("no-op")).unwrap();
        for (at, byte) in changes {
            let at = at.index(wasm.len());
            wasm[at] = byte;
        }
        wasm.truncate(cut.map_or(wasm.len(), |cut| cut.index(wasm.len())));
        load_and_put(&wasm, &Limits::default());
    }
}

proptest! {
    #[test]
    fn fuzz_a_configuration_of_anything_is_read_or_refused(
        keys in prop::collection::vec(("(event-sink|event-source|once|listen|data-dir|[a-z]{1,5})", "[\"\\[\\]{}=a-z0-9:/.]{0,20}"), 0..5),
        text in ".{0,100}",
    ) {
        let folder = Folder::new();
        let keys: String = keys.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        for text in [keys, text] {
            let _ = ConfigFile::read(&folder.file("hydrant.toml", text));
        }
    }
}

#[test]
fn random_code_is_run_and_not_only_refused() {
    let limits = limits_of(&[("fuel", "1000000"), ("open-fuel", "1000000"), ("memory", "16MiB")]);
    let ran = (0..40_u64).filter(|seed| {
        let bytes: Vec<u8> = (0..2000_u64).map(|at| (((at + 1) * (seed + 7) * 2_654_435_761) >> 13) as u8).collect();
        random_component(&bytes).is_some_and(|component| load_and_put(&component, &limits))
    });
    let ran = ran.count();
    assert!(ran >= 10, "{ran} of 40 came so far as to be put an event");
}
