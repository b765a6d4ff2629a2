//! One call of an Extism plugin that takes an event's json and does nothing, timed.
//!
//! Reads lines from standard input, each a number of calls, and answers each with the nanoseconds of one of them, so that the
//! benches can measure in turn with others.

use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use extism::{Manifest, Plugin, Wasm};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wasm = std::env::args().nth(1).ok_or("usage: extism-call PLUGIN.wasm BYTES")?;
    let bytes: usize = std::env::args().nth(2).ok_or("usage: extism-call PLUGIN.wasm BYTES")?.parse()?;
    // The limits that Extism has: a timeout and a bound on memory.
    let manifest =
        Manifest::new([Wasm::data(std::fs::read(wasm)?)]).with_timeout(Duration::from_secs(5)).with_memory_max(64);
    let mut plugin = Plugin::new(manifest, [], false)?;
    let payload = "x".repeat(bytes);
    for line in std::io::stdin().lock().lines() {
        let calls: u32 = line?.trim().parse()?;
        let start = Instant::now();
        for _ in 0..calls {
            plugin.call::<&str, ()>("put_event", &payload)?;
        }
        println!("{}", start.elapsed().as_nanos() as f64 / f64::from(calls));
        std::io::stdout().flush()?;
    }
    Ok(())
}
