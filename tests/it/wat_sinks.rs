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

/// A component around a core module.
pub(crate) fn component_wat(imports: &str, with: &str, items: &str, put: &str) -> String {
    let (core_imports, items) = if items.starts_with("(import") { (items, "") } else { ("", items) };
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
        {imports}
        (core module $m
            {core_imports}
            (memory (export "memory") 1)
            (global $next (mut i32) (i32.const 4096))
            {items}
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                (global.get $next))
            {put})
        (core instance $i (instantiate $m {with}))
        (func $put (param "event" $event) (result (result $ack (error $error)))
            (canon lift (core func $i "put") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
        (instance $sink (export "put-event" (func $put)))
        (export "hydrant:events/event-sink@0.1.0" (instance $sink)))"#
    )
}
