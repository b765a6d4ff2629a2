//! Sinks in text form, for what no compiler makes.

/// A put that takes everything.
pub(crate) const DURABLE: &str =
    r#"(func (export "put") (param i64 i32 i32 i64 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0))"#;

/// A sink in text form: core items and a core `put` with the flattened parameters of `put-event`.
pub(crate) fn sink_wat(items: &str, put: &str) -> String {
    component_wat("", "", items, put)
}

/// A sink that asks for so many random bytes in one call.
pub(crate) fn asks_for_random(bytes: u32) -> String {
    let imports = r#"
        (import "wasi:random/random@0.2.0" (instance $random
            (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
        (core module $room
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
        (core instance $room (instantiate $room))
        (core func $get (canon lower (func $random "get-random-bytes")
            (memory (core memory $room "memory")) (realloc (core func $room "realloc"))))
        (core instance $host (export "get" (func $get)))"#;
    let items = r#"(import "host" "get" (func $get (param i64 i32)))"#;
    let put = r#"(func (export "put") (param i64 i32 i32 i64 i32 i32 i32 i32 i32 i32) (result i32)
        (call $get (i64.const BYTES) (i32.const 0))
        (i32.const 0))"#;
    component_wat(imports, r#"(with "host" (instance $host))"#, items, &put.replace("BYTES", &bytes.to_string()))
}

/// A sink that asks for its standard output so many times, and gives nothing back.
pub(crate) fn leaks_handles(count: u32) -> String {
    let imports = r#"
        (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
        (import "wasi:io/streams@0.2.0" (instance $streams (export "output-stream" (type (sub resource)))))
        (alias export $streams "output-stream" (type $stream))
        (import "wasi:cli/stdout@0.2.0" (instance $stdout
            (alias outer 1 $stream (type $s)) (export "output-stream" (type $e (eq $s)))
            (export "get-stdout" (func (result (own $e))))))
        (core func $get (canon lower (func $stdout "get-stdout")))
        (core instance $host (export "get" (func $get)))"#;
    let items = r#"(import "host" "get" (func $get (result i32)))"#;
    let put = r#"(func (export "put") (param i64 i32 i32 i64 i32 i32 i32 i32 i32 i32) (result i32)
        (local $left i32) (local.set $left (i32.const COUNT))
        (loop $more
            (drop (call $get))
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br_if $more (local.get $left)))
        (i32.const 0))"#;
    component_wat(imports, r#"(with "host" (instance $host))"#, items, &put.replace("COUNT", &count.to_string()))
}

/// A sink that reads the clock without end.
pub(crate) fn reads_clock() -> String {
    let imports = r#"
        (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock (export "now" (func (result u64)))))
        (core func $now (canon lower (func $clock "now")))
        (core instance $host (export "now" (func $now)))"#;
    let items = r#"(import "host" "now" (func $now (result i64)))"#;
    component_wat(imports, r#"(with "host" (instance $host))"#, items, &put("(loop $l (drop (call $now)) (br $l))"))
}

/// A sink with key-value. In `code`: `$next` makes another key, `$set` puts a key and a value of these lengths and tells whether that was
/// refused, `$list` lists all keys.
pub(crate) fn keeps(code: &str) -> String {
    let imports = r#"
        (import "hydrant:events/key-value@0.1.0" (instance $kept
            (type $error' (variant (case "quota") (case "key-too-large") (case "value-too-large")))
            (export "key-value-error" (type $error (eq $error')))
            (export "set" (func (param "key" string) (param "value" (list u8)) (result (result (error $error)))))
            (export "keys" (func (param "prefix" string) (param "after" (option string)) (param "limit" u32) (result (list string))))))
        (core module $room
            (memory (export "memory") 600)
            (global $key (mut i32) (i32.const 0))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
            (func (export "next")
                (global.set $key (i32.add (global.get $key) (i32.const 1)))
                (i32.store8 (i32.const 0) (i32.and (global.get $key) (i32.const 127)))
                (i32.store8 (i32.const 1) (i32.and (i32.shr_u (global.get $key) (i32.const 7)) (i32.const 127)))
                (i32.store8 (i32.const 2) (i32.and (i32.shr_u (global.get $key) (i32.const 14)) (i32.const 127)))
                (i32.store8 (i32.const 3) (i32.and (i32.shr_u (global.get $key) (i32.const 21)) (i32.const 127)))))
        (core instance $room (instantiate $room))
        (core func $set (canon lower (func $kept "set") (memory (core memory $room "memory")) (realloc (core func $room "realloc"))))
        (core func $keys (canon lower (func $kept "keys") (memory (core memory $room "memory")) (realloc (core func $room "realloc"))))
        (core module $calls
            (import "room" "memory" (memory 600))
            (import "host" "set" (func $set (param i32 i32 i32 i32 i32)))
            (import "host" "keys" (func $keys (param i32 i32 i32 i32 i32 i32 i32)))
            (func (export "set") (param i32 i32) (result i32)
                (call $set (i32.const 0) (local.get 0) (i32.const 0) (local.get 1) (i32.const 4096))
                (i32.load8_u (i32.const 4096)))
            (func (export "list")
                (call $keys (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 4096))))
        (core instance $host (export "set" (func $set)) (export "keys" (func $keys)))
        (core instance $calls (instantiate $calls (with "room" (instance $room)) (with "host" (instance $host))))
        (alias core export $room "next" (core func $next))
        (alias core export $calls "set" (core func $put'))
        (alias core export $calls "list" (core func $list))
        (core instance $made (export "next" (func $next)) (export "set" (func $put')) (export "list" (func $list)))"#;
    let items = r#"(import "host" "next" (func $next))
        (import "host" "set" (func $set (param i32 i32) (result i32)))
        (import "host" "list" (func $list))"#;
    component_wat(imports, r#"(with "host" (instance $made))"#, items, &put(code))
}

/// Code for [`keeps`] that lists its keys without end, one more each time.
pub(crate) fn lists_keys() -> &'static str {
    "(loop $l (call $next) (drop (call $set (i32.const 4) (i32.const 0))) (call $list) (br $l))"
}

/// A core `put` that does this and then answers with what lies at 0: zeros, which say durable.
pub(crate) fn put(code: &str) -> String {
    format!(
        r#"(func (export "put") (param i64 i32 i32 i64 i32 i32 i32 i32 i32 i32) (result i32) (local $n i32) {code} (i32.const 0))"#
    )
}

/// A component around a core module.
pub(crate) fn component_wat(imports: &str, with: &str, items: &str, put: &str) -> String {
    let (core_imports, items) = if items.starts_with("(import") { (items, "") } else { ("", items) };
    around(&format!(
        r#"{imports}
        (core module $m
            {core_imports}
            (memory (export "memory") 1)
            (global $next (mut i32) (i32.const 4096))
            {items}
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                (global.get $next))
            {put})
        (core instance $i (instantiate $m {with}))
        (alias core export $i "put" (core func $core))"#
    ))
}

/// A component around a core module in text form, `(module …)`, that has a `put` and no memory of its own to share.
pub(crate) fn sink_around(module: &str) -> String {
    let module = module.trim_start().strip_prefix("(module").unwrap_or_else(|| panic!("no module: {module}"));
    around(&format!(
        r#"(core module $room
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
        (core instance $i (instantiate $room))
        (core module $m {module}
        (core instance $random (instantiate $m))
        (alias core export $random "put" (core func $core))"#
    ))
}

/// A component around a core instance `$i` with memory and `realloc`, and a core function `$core` to be lifted as `put-event`.
fn around(core: &str) -> String {
    // The flat parameters of `put-event`: id, kind, time (is there, seconds, nanoseconds), tag (pointer, length), json (pointer, length),
    // delivery.
    format!(
        r#"(component
        (import "hydrant:events/types@0.1.0" (instance $types
            (type $kind' (enum "event" "checkpoint")) (export "kind" (type $kind (eq $kind')))
            (type $time' (record (field "seconds" s64) (field "nanoseconds" u32)))
            (export "datetime" (type $time (eq $time')))
            (type $delivery' (flags "catching-up" "redelivered" "unparked"))
            (export "delivery" (type $delivery (eq $delivery')))
            (type $event' (record (field "id" u64) (field "kind" $kind) (field "time" (option $time))
                (field "tag" string) (field "json" string) (field "delivery" $delivery)))
            (export "state-event" (type (eq $event')))
            (type $ack' (enum "durable" "accepted")) (export "ack" (type (eq $ack')))
            (type $retry' (record (field "after-ms" (option u32)) (field "message" string)))
            (export "retry" (type $retry (eq $retry')))
            (type $error' (variant (case "retry" $retry) (case "rejected" string) (case "fatal" string)))
            (export "sink-error" (type (eq $error')))))
        (alias export $types "state-event" (type $event))
        (alias export $types "ack" (type $ack))
        (alias export $types "sink-error" (type $error))
        {core}
        (func $put (param "event" $event) (result (result $ack (error $error)))
            (canon lift (core func $core) (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
        (instance $sink (export "put-event" (func $put)))
        (export "hydrant:events/event-sink@0.1.0" (instance $sink)))"#
    )
}
