//! Never comes back from a put.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package test:endless-loop;
        world guest {
            include hydrant:events/sink@0.1.0;
        }
    ",
    world: "test:endless-loop/guest",
    generate_all,
});

use exports::hydrant::events::event_sink::{Ack, Guest, SinkError, StateEvent};

struct Sink;

impl Guest for Sink {
    fn put_event(_event: StateEvent) -> Result<Ack, SinkError> {
        let mut number = 0_u64;
        loop {
            number = std::hint::black_box(number.wrapping_add(1));
        }
    }
}

export!(Sink);
