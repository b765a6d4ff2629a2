//! Calls itself until the stack ends.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package test:deep-recursion;
        world guest {
            include hydrant:events/sink@0.1.0;
        }
    ",
    world: "test:deep-recursion/guest",
    generate_all,
});

use exports::hydrant::events::event_sink::{Ack, Guest, SinkError, StateEvent};

struct Sink;

fn descend(depth: u64) -> u64 {
    if depth == 0 { 0 } else { 1 + std::hint::black_box(descend)(std::hint::black_box(depth - 1)) }
}

impl Guest for Sink {
    fn put_event(event: StateEvent) -> Result<Ack, SinkError> {
        println!("{}", descend(u64::MAX - event.id));
        Ok(Ack::Durable)
    }
}

export!(Sink);
