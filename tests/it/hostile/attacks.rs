//! What a stranger's component might try, and what must come of it.

use std::fs;

use hydrant::component::Grants;

use crate::harness::guest;
use crate::wat_sinks::{
    DURABLE, asks_for_random, component_wat, keeps, leaks_handles, lists_keys, put, reads_clock, sink_wat,
};

/// What must come of an attack. In any case the process goes on, and what was made for the component is gone afterwards.
#[derive(Clone, Copy, Debug)]
pub(super) enum Must {
    /// Cut off at this limit.
    Break(&'static str),
    /// Ended in a failure of the component's own, or at a limit.
    Fail,
    /// Refused before any of it ran.
    BeRefused,
    /// Nothing: what it tries is refused in words, and it goes on.
    GoThrough,
    /// Whatever comes of it, it ends.
    End,
}

/// One component.
pub(super) struct Attack {
    pub(super) tries: String,
    pub(super) wasm: Vec<u8>,
    pub(super) config: Vec<(String, String)>,
    pub(super) grants: Grants,
    pub(super) must: Must,
}

fn wat(tries: &str, text: &str, must: Must) -> Attack {
    let wasm = wat::parse_str(text).unwrap_or_else(|error| panic!("{tries}: {error}"));
    Attack { tries: tries.to_owned(), wasm, config: Vec::new(), grants: Grants::default(), must }
}

fn binary(tries: &str, wasm: Vec<u8>, must: Must) -> Attack {
    Attack { tries: tries.to_owned(), wasm, config: Vec::new(), grants: Grants::default(), must }
}

pub(super) fn rust(tries: &str, name: &str, config: &[(&str, &str)], must: Must) -> Attack {
    let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Attack { tries: tries.to_owned(), wasm: fs::read(guest(name)).unwrap(), config, grants: Grants::default(), must }
}

/// A sink whose `put` does this and then answers with what lies at 0: zeros, which say durable.
fn puts(code: &str) -> String {
    sink_wat("", &put(code))
}

/// The text with one part of it replaced, which must be there.
fn but(text: &str, part: &str, instead: &str) -> String {
    assert!(text.contains(part), "{part}");
    text.replace(part, instead)
}

const LOOP: &str = "(loop $l (br $l))";
const MEMORY: &str = r#"(memory (export "memory") 1)"#;
const REALLOC: &str = "(global.get $next))\n";

pub(super) fn all() -> Vec<Attack> {
    [processor(), memory(), stack_and_handles(), host_work(), key_value(), answers(), time(), escapes(), binaries()]
        .into_iter()
        .flatten()
        .collect()
}

fn processor() -> Vec<Attack> {
    let durable = sink_wat("", DURABLE);
    let post = but(
        &sink_wat(&format!(r#"(func (export "post") (param i32) {LOOP})"#), DURABLE),
        r#"(realloc (core func $i "realloc"))"#,
        r#"(realloc (core func $i "realloc")) (post-return (core func $i "post"))"#,
    );
    let mut attacks = vec![
        wat("an endless loop in put", &puts(LOOP), Must::Break("fuel")),
        wat(
            "an endless loop in its start function",
            &sink_wat(&format!("(func $s {LOOP}) (start $s)"), DURABLE),
            Must::Break("open-fuel"),
        ),
        wat(
            "an endless loop in realloc",
            &but(&durable, REALLOC, &format!("{LOOP} (i32.const 0))\n")),
            Must::Break("fuel"),
        ),
        wat("an endless loop after its answer", &post, Must::Break("fuel")),
        wat(
            "filling its memory over and over",
            &puts(
                "(drop (memory.grow (i32.const 900))) (loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 58000000)) (br $l))",
            ),
            Must::Fail,
        ),
        wat(
            "copying its memory over and over",
            &puts(
                "(drop (memory.grow (i32.const 900))) (loop $l (memory.copy (i32.const 0) (i32.const 29000000) (i32.const 29000000)) (br $l))",
            ),
            Must::Fail,
        ),
        wat(
            "filling a table over and over",
            &sink_wat(
                "(table $t 90000 funcref)",
                &put("(loop $l (table.fill $t (i32.const 0) (ref.null func) (i32.const 90000)) (br $l))"),
            ),
            Must::Fail,
        ),
        wat(
            "divisions without end",
            &puts("(loop $l (local.set $n (i32.div_u (i32.const 7) (i32.const 3))) (br $l))"),
            Must::Break("fuel"),
        ),
    ];
    for (function, limit) in [
        ("open", "open-fuel"),
        ("put", "fuel"),
        ("flush", "flush-fuel"),
        ("save", "flush-fuel"),
        ("restore", "open-fuel"),
        ("close", "flush-fuel"),
    ] {
        attacks.push(rust(
            &format!("an endless loop in {function}, in Rust"),
            "scripted",
            &[("on", function), ("do", "loop")],
            Must::Break(limit),
        ));
    }
    attacks.push(rust("an endless loop in describe, in Rust", "slow-describe", &[], Must::Break("open-fuel")));
    attacks
}

fn memory() -> Vec<Attack> {
    let durable = sink_wat("", DURABLE);
    let grow = "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)";
    vec![
        wat("growing its memory until it gets no more", &puts(grow), Must::Break("memory")),
        wat(
            "a memory of 4 GiB from the start",
            &but(&durable, MEMORY, r#"(memory (export "memory") 65536)"#),
            Must::Fail,
        ),
        wat("fifty memories", &sink_wat(&"(memory 100)".repeat(50), DURABLE), Must::Fail),
        wat("a memory of 64 bits and many terabytes", &sink_wat("(memory $far i64 1000000000)", DURABLE), Must::Fail),
        wat("a table of ten million elements", &sink_wat("(table 10000000 funcref)", DURABLE), Must::Fail),
        wat(
            "growing a table until it gets no more",
            &sink_wat(
                "(table $t 1 funcref)",
                &put(
                    "(loop $l (br_if $l (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) (unreachable)",
                ),
            ),
            Must::Break("table-elements"),
        ),
        wat("data beyond its memory", &sink_wat(r#"(data (i32.const 70000) "x")"#, DURABLE), Must::Fail),
        rust("leaking until the limit", "memory-growth", &[], Must::End),
    ]
}

fn stack_and_handles() -> Vec<Attack> {
    let recursion = sink_wat(
        "(func $down (param i32) (result i32) (i32.add (i32.const 1) (call $down (local.get 0))))",
        &put("(drop (call $down (i32.const 1)))"),
    );
    let wide = format!("(func $down {} (call $down))", "(local i64)".repeat(1_000));
    vec![
        wat("recursion without end", &recursion, Must::Break("stack")),
        wat("recursion without end in wide frames", &sink_wat(&wide, &put("(call $down)")), Must::Break("stack")),
        rust("recursion in Rust", "deep-recursion", &[], Must::End),
        wat("taking handles and giving none back", &leaks_handles(100_000), Must::Break("handles")),
    ]
}

fn host_work() -> Vec<Attack> {
    let fields = log_call("(i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 4000000)");
    let message = log_call("(i32.const 0) (i32.const 0) (i32.const 8000000) (i32.const 0) (i32.const 0)");
    vec![
        wat("asking for a gigabyte of random bytes", &asks_for_random(1 << 30), Must::Break("random-bytes")),
        wat("a log line with four million fields", &fields, Must::Break("hostcall-bytes")),
        wat("a log line of eight megabytes", &message, Must::Break("hostcall-bytes")),
        wat("reading the clock without end", &reads_clock(), Must::Fail),
        rust("a flood of log lines", "log-flood", &[], Must::End),
        rust("an error of a megabyte", "huge-error", &[], Must::Break("hostcall-bytes")),
        wat("ending the process", &exits(), Must::Fail),
    ]
}

/// A sink that calls `log` from a memory of 64 MiB, with these arguments.
fn log_call(arguments: &str) -> String {
    let imports = r#"
        (import "hydrant:events/log@0.1.0" (instance $log
            (type $level' (enum "trace" "debug" "info" "warn" "error")) (export "level" (type $level (eq $level')))
            (export "log" (func (param "level" $level) (param "message" string) (param "fields" (list (tuple string string)))))))
        (core module $room
            (memory (export "memory") 1000)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
        (core instance $room (instantiate $room))
        (core func $call (canon lower (func $log "log") (memory (core memory $room "memory")) (realloc (core func $room "realloc"))))
        (core instance $host (export "call" (func $call)))"#;
    let items = r#"(import "host" "call" (func $call (param i32 i32 i32 i32 i32)))"#;
    component_wat(imports, r#"(with "host" (instance $host))"#, items, &put(&format!("(call $call {arguments})")))
}

fn exits() -> String {
    let imports = r#"
        (import "wasi:cli/exit@0.2.0" (instance $exit (export "exit" (func (param "status" (result))))))
        (core func $leave (canon lower (func $exit "exit")))
        (core instance $host (export "exit" (func $leave)))"#;
    let items = r#"(import "host" "exit" (func $leave (param i32)))"#;
    component_wat(imports, r#"(with "host" (instance $host))"#, items, &put("(call $leave (i32.const 0))"))
}

/// What is kept for a guest is bounded, and so is the host's work for it.
fn key_value() -> Vec<Attack> {
    let keeping = |tries: &str, code: &str, must: Must| Attack {
        grants: Grants { key_value: true, ..Grants::default() },
        ..wat(tries, &keeps(code), must)
    };
    let until_refused = |key: u32, value: u32| {
        format!("(loop $l (call $next) (br_if $l (i32.eqz (call $set (i32.const {key}) (i32.const {value})))))")
    };
    let (small, large) = (until_refused(4, 0), until_refused(4, 30_000));
    vec![
        keeping("keeping keys until it may keep no more", &small, Must::GoThrough),
        keeping("keeping values until it may keep no more", &large, Must::GoThrough),
        keeping("keys of two kilobytes until it may keep no more", &until_refused(2_048, 0), Must::GoThrough),
        keeping("a value of twelve megabytes", &until_refused(4, 12 << 20), Must::Break("hostcall-bytes")),
        keeping("a key of twelve megabytes", &until_refused(12 << 20, 0), Must::Break("hostcall-bytes")),
        keeping("listing its keys without end", lists_keys(), Must::Fail),
    ]
}

/// Answers that are none.
fn answers() -> Vec<Attack> {
    let durable = sink_wat("", DURABLE);
    // result: 0 ok, 1 error; at 4 the ack or the kind of error; at 8 a text's place, at 12 its length.
    let error = |kind: i32, at: i64, length: i64| {
        puts(&format!(
            "(i32.store (i32.const 0) (i32.const 1)) (i32.store (i32.const 4) (i32.const {kind})) \
             (i32.store (i32.const 8) (i32.const {at})) (i32.store (i32.const 12) (i32.const {length}))"
        ))
    };
    let returns = |pointer: i64| {
        sink_wat(
            "",
            &format!(
                r#"(func (export "put") (param i64 i32 i32 i64 i32 i32 i32 i32 i32 i32) (result i32) (i32.const {pointer}))"#
            ),
        )
    };
    vec![
        wat("an error text of two gigabytes", &error(1, 0, 0x7fff_ffff), Must::Fail),
        wat("an error text beyond its memory", &error(1, 65_530, 100), Must::Fail),
        wat("an error text at the end of the address space", &error(2, -1, 1), Must::Fail),
        wat(
            "an error text that is no UTF-8",
            &but(
                &error(1, 100, 1),
                "(i32.store (i32.const 0)",
                "(i32.store8 (i32.const 100) (i32.const 255)) (i32.store (i32.const 0)",
            ),
            Must::Fail,
        ),
        wat("an error of no known kind", &error(9, 0, 0), Must::Fail),
        wat("an acknowledgement of no known kind", &puts("(i32.store (i32.const 4) (i32.const 7))"), Must::Fail),
        wat("a result that is neither good nor bad", &puts("(i32.store (i32.const 0) (i32.const 2))"), Must::Fail),
        wat("an answer beyond its memory", &returns(0x7fff_fff0), Must::Fail),
        wat("an answer at an odd address", &returns(1), Must::Fail),
        wat("room for the event beyond its memory", &but(&durable, REALLOC, "(i32.const -16))\n"), Must::Fail),
        wat("a trap where room is asked for", &but(&durable, REALLOC, "(unreachable))\n"), Must::Fail),
        wat("a trap", &puts("(unreachable)"), Must::Fail),
        wat("a division by zero", &puts("(drop (i32.div_u (i32.const 1) (local.get $n)))"), Must::Fail),
        wat("reading beyond its memory", &puts("(drop (i32.load (i32.const -4)))"), Must::Fail),
        wat(
            "calling what is no function",
            &sink_wat("(table 1 funcref) (type $f (func))", &put("(call_indirect (type $f) (i32.const 0))")),
            Must::Fail,
        ),
        rust("accepting what it can never flush", "accepted-without-flush", &[], Must::End),
    ]
}

fn time() -> Vec<Attack> {
    [
        ("open", "open-timeout"),
        ("put", "timeout"),
        ("flush", "flush-timeout"),
        ("save", "flush-timeout"),
        ("close", "flush-timeout"),
    ]
    .map(|(function, limit)| {
        rust(
            &format!("sleeping for ever in {function}"),
            "scripted",
            &[("on", function), ("do", "sleep")],
            Must::Break(limit),
        )
    })
    .into()
}

fn escapes() -> Vec<Attack> {
    vec![
        rust(
            "files, links, devices, sockets, names, variables, secrets, time and numbers, asking for nothing",
            "modest-prober",
            &[("folder", "/etc")],
            Must::End,
        ),
        rust("the same, asking for all of it", "prober", &[("folder", "/etc")], Must::Fail),
    ]
}

fn binaries() -> Vec<Attack> {
    let whole = fs::read(guest("printer")).unwrap();
    let mut attacks = vec![
        binary("nothing at all", Vec::new(), Must::BeRefused),
        binary("half a component", whole[..whole.len() / 2].to_vec(), Must::BeRefused),
        binary("a core module", b"\0asm\x01\0\0\0".to_vec(), Must::BeRefused),
        binary("eight megabytes of zeros", vec![0; 8 << 20], Must::BeRefused),
        binary("components in components, two thousand deep", nested(2_000), Must::BeRefused),
        binary("a function that takes gigabytes to compile", crate::compile::bomb(1_000_000), Must::BeRefused),
        binary("a component without a sink", wat::parse_str("(component)").unwrap(), Must::BeRefused),
    ];
    for number in 0..8 {
        let mut altered = whole.clone();
        for step in 0..20 {
            let at = (number * 7_919 + step * 104_729) % altered.len();
            altered[at] ^= 1 << (step % 8);
        }
        attacks.push(binary(&format!("a component with flipped bits, {number}"), altered, Must::End));
    }
    attacks
}

/// Components in components.
fn nested(depth: usize) -> Vec<u8> {
    let preamble = b"\0asm\x0d\0\x01\0";
    let mut wasm = preamble.to_vec();
    for _ in 0..depth {
        let mut outer = preamble.to_vec();
        // A section that is a component, and its length in seven bits a byte.
        outer.push(4);
        let mut length = wasm.len();
        while length >= 0x80 {
            outer.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.append(&mut wasm);
        wasm = outer;
    }
    wasm
}
