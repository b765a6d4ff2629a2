//! Every limit obeyed and violated, by real guests.

use std::time::{Duration, Instant};

use hydrant::component::{ComponentSink, FailureKind, LIMITS, Limits};
use hydrant::sink::{Ack, Batch, CloseReason, Delivery, EventSink, SinkError};

use crate::harness::{block_on, component_sink, events, load, open_info, wat_sink};
use crate::wat_sinks::{DURABLE, asks_for_random, leaks_handles, sink_wat};

/// Opens a sink and puts some events; the first thing that goes wrong.
fn run(sink: &mut ComponentSink, count: u64) -> Result<(), SinkError> {
    block_on(async {
        sink.open(&open_info()).await?;
        for event in events(0..count) {
            sink.put_event(&event, Delivery::default()).await?;
        }
        sink.close(CloseReason::Stop).await
    })
}

#[track_caller]
fn assert_broke(sink: &mut ComponentSink, count: u64, limit: &str) {
    let error = run(sink, count).expect_err("the limit did not hold");
    let SinkError::Guest(failure) = &error else { panic!("{error}") };
    assert!(matches!(&failure.kind, FailureKind::Limit { name, .. } if *name == limit), "{error}");
    assert!(error.to_string().contains(&format!("{limit}=")), "the remedy is not named: {error}");
    // The instance is gone: nothing may be called on what is left of it.
    let again = block_on(sink.put_event(&events(0..1)[0], Delivery::default())).unwrap_err();
    assert!(matches!(&again, SinkError::Guest(failure) if failure.kind == FailureKind::Gone), "{again}");
}

#[test]
fn fuel_for_an_event() {
    assert_broke(&mut component_sink("endless-loop", &[], &[]), 1, "fuel");
    run(&mut component_sink("printer", &[("fuel", "100000"), ("fuel-per-byte", "0")], &[]), 100).unwrap();
}

/// A component that burns as much fuel as an event has bytes of json, times a thousand.
const BURNS_BY_THE_BYTE: &str = r#"(func (export "put") (param i64 i32 i32 i64 i32 i32 i32 i32 i32 i32) (result i32)
    (local $left i32)
    (local.set $left (i32.mul (local.get 8) (i32.const 200)))
    (loop $more
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br_if $more (i32.gt_s (local.get $left) (i32.const 0))))
    (i32.const 0))"#;

#[test]
fn fuel_grows_with_the_event() {
    let wat = sink_wat("", BURNS_BY_THE_BYTE);
    run(&mut wat_sink(&wat, &[("fuel", "100000"), ("fuel-per-byte", "1500")]), 1).unwrap();
    assert_broke(&mut wat_sink(&wat, &[("fuel", "100000"), ("fuel-per-byte", "10")]), 1, "fuel");
}

#[test]
fn fuel_for_opening() {
    run(&mut component_sink("tally", &[("open-fuel", "1000000")], &[]), 1).unwrap();
    let wat = sink_wat("(func $start (loop $l (br $l))) (start $start)", DURABLE);
    assert_broke(&mut wat_sink(&wat, &[("open-fuel", "1000000")]), 1, "open-fuel");
}

#[test]
fn fuel_for_flushing_and_closing() {
    run(&mut component_sink("tally", &[("flush-fuel", "1000000")], &[]), 1).unwrap();
    // Closing prints a line for each of many tags, which a million is not enough for.
    let mut sink = component_sink("tally", &[("flush-fuel", "1000000")], &[]);
    let failure = block_on(async {
        sink.open(&open_info()).await.unwrap();
        for id in 0..20_000 {
            let line = crate::harness::tagged(id, &format!("Tag{id}"));
            let event = hydrant::event::StateEvent::parse(line).unwrap();
            sink.put_event(&event, Delivery::default()).await.unwrap();
        }
        sink.close(CloseReason::Stop).await.unwrap_err()
    });
    assert!(
        matches!(&failure, SinkError::Guest(failure) if matches!(&failure.kind, FailureKind::Limit { name: "flush-fuel", .. })),
        "{failure}"
    );
}

#[test]
fn wall_clock_for_an_event() {
    let start = Instant::now();
    assert_broke(&mut component_sink("sleeper", &[("timeout", "50ms")], &[]), 1, "timeout");
    let enough_fuel = [("timeout", "50ms"), ("fuel", "1000000000000")];
    assert_broke(&mut component_sink("endless-loop", &enough_fuel, &[]), 1, "timeout");
    assert!(start.elapsed() < Duration::from_secs(5), "the limits came late");
}

#[test]
fn wall_clock_for_opening() {
    run(&mut component_sink("slow-start", &[("open-timeout", "10s")], &[("sleep-ms", "50")]), 1).unwrap();
    let mut slow = component_sink("slow-start", &[("open-timeout", "50ms")], &[("sleep-ms", "60000")]);
    let error = run(&mut slow, 1).unwrap_err().to_string();
    assert!(error.contains("open-timeout"), "{error}");
}

#[test]
fn wall_clock_for_flushing_and_closing() {
    let sleep = |millis: &str| {
        let mut sink = component_sink("slow-start", &[("flush-timeout", "500ms")], &[("close-sleep-ms", millis)]);
        block_on(async {
            sink.open(&open_info()).await.unwrap();
            sink.close(CloseReason::Stop).await
        })
    };
    sleep("1").unwrap();
    let error = sleep("60000").unwrap_err().to_string();
    assert!(error.contains("flush-timeout"), "{error}");
}

#[test]
fn memory() {
    run(&mut component_sink("memory-growth", &[("memory", "32MiB")], &[]), 20).unwrap();
    assert_broke(&mut component_sink("memory-growth", &[("memory", "32MiB")], &[]), 40, "memory");
}

#[test]
fn memory_is_summed_over_all_memories() {
    let two = |pages: u32| sink_wat(&format!("(memory $second {pages})"), DURABLE);
    run(&mut wat_sink(&two(1), &[("memory", "128KiB")]), 1).unwrap();
    assert!(run(&mut wat_sink(&two(2), &[("memory", "128KiB")]), 1).is_err());
}

#[test]
fn table_elements() {
    let table = |elements: u32| {
        let put = r#"(func (export "put") (param i64 i32 i32 i64 i32 i32 i32 i32 i32 i32) (result i32)
            (if (i32.eq (table.grow $t (ref.null func) (i32.const ELEMENTS)) (i32.const -1)) (then unreachable))
            (i32.const 0))"#;
        sink_wat("(table $t 0 funcref)", &put.replace("ELEMENTS", &elements.to_string()))
    };
    run(&mut wat_sink(&table(1000), &[("table-elements", "1000")]), 1).unwrap();
    assert_broke(&mut wat_sink(&table(1001), &[("table-elements", "1000")]), 1, "table-elements");
}

#[test]
fn instances() {
    // The printer is made of a few core instances.
    run(&mut component_sink("printer", &[("instances", "10")], &[]), 1).unwrap();
    let error = run(&mut component_sink("printer", &[("instances", "1")], &[]), 1).unwrap_err().to_string();
    assert!(error.contains("instance"), "{error}");
}

#[test]
fn handles() {
    run(&mut wat_sink(&leaks_handles(20), &[("handles", "25")]), 1).unwrap();
    assert_broke(&mut wat_sink(&leaks_handles(20), &[("handles", "10")]), 1, "handles");
}

#[test]
fn random_bytes() {
    run(&mut wat_sink(&asks_for_random(1_024), &[("random-bytes", "1KiB")]), 1).unwrap();
    assert_broke(&mut wat_sink(&asks_for_random(1_025), &[("random-bytes", "1KiB")]), 1, "random-bytes");
}

#[test]
fn bytes_copied_out_of_the_guest() {
    assert_broke(&mut component_sink("huge-error", &[], &[]), 1, "hostcall-bytes");
    let error = run(&mut component_sink("huge-error", &[("hostcall-bytes", "16MiB")], &[]), 1);
    assert!(matches!(error, Err(SinkError::Rejected { message }) if message.len() == 1 << 20));
}

#[test]
fn state_handed_over() {
    let save = |state: &str| {
        let mut sink = component_sink("scripted", &[("handover-bytes", "2KiB")], &[("state", state)]);
        block_on(async {
            sink.open(&open_info()).await.unwrap();
            sink.handover().unwrap().save().await
        })
    };
    assert_eq!(save("2048").unwrap().bytes.len(), 2048);
    assert!(save("2049").unwrap_err().to_string().contains("handover-bytes"));
}

#[test]
fn stack() {
    assert_broke(&mut wat_sink(&descends(1_000_000), &[("fuel", "1000000000000")]), 1, "stack");
    let room = [("stack", "1MiB"), ("fuel", "1000000000000")];
    run(&mut wat_sink(&descends(10_000), &room), 1).unwrap();
    let tight = [("stack", "64KiB"), ("fuel", "1000000000000")];
    assert_broke(&mut wat_sink(&descends(10_000), &tight), 1, "stack");
}

#[test]
fn recursion_in_a_compiled_guest_ends_in_a_failure_not_in_the_host() {
    let error = run(&mut component_sink("deep-recursion", &[("fuel", "1000000000000")], &[]), 1).unwrap_err();
    assert!(matches!(error, SinkError::Guest(_)), "{error}");
}

#[test]
fn no_limit_is_without_a_test() {
    let tests = [
        include_str!("limits.rs"),
        include_str!("detached.rs"),
        include_str!("source_component.rs"),
        include_str!("compile.rs"),
        include_str!("http.rs"),
    ]
    .concat();
    for limit in &LIMITS {
        assert!(tests.contains(&format!("\"{}\"", limit.name)), "no test names the limit {}", limit.name);
    }
}

#[test]
fn a_batch_gets_the_sum_of_what_its_events_would_get() {
    let mut sink = component_sink("no-op", &[("fuel", "100000"), ("fuel-per-byte", "0")], &[]);
    let progress = block_on(async {
        sink.open(&open_info()).await.unwrap();
        // One event's fuel would not do for lowering and freeing a thousand.
        sink.put_events(&events(0..1_000), Delivery::default()).await.unwrap()
    });
    assert_eq!((progress.taken, progress.durable), (1_000, 1_000));
}

fn descends(depth: u32) -> String {
    let put = r#"(func $down (param i32) (result i32)
            (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0))
                (else (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1)))))))
        (func (export "put") (param i64 i32 i32 i64 i32 i32 i32 i32 i32 i32) (result i32)
            (drop (call $down (i32.const DEPTH))) (i32.const 0))"#;
    sink_wat("", &put.replace("DEPTH", &depth.to_string()))
}

#[test]
fn the_engine_takes_every_stack_within_bounds() {
    let wasm = wat::parse_str(sink_wat("", DURABLE)).unwrap();
    for stack in ["64KiB", "16MiB"] {
        let mut limits = Limits::default();
        limits.set("stack", stack).unwrap();
        let mut sink = ComponentSink::new("s", load(&wasm, &limits).unwrap(), limits, Vec::new());
        let ack = block_on(async {
            sink.open(&open_info()).await.unwrap();
            sink.put_event(&events(0..1)[0], Delivery::default()).await.unwrap()
        });
        assert_eq!(ack, Ack::Durable);
    }
}
