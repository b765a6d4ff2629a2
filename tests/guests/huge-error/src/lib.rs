//! Rejects with a text of a mebibyte.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package test:huge-error;
        world guest {
            include hydrant:events/sink@0.1.0;
        }
    ",
    world: "test:huge-error/guest",
    generate_all,
});

use exports::hydrant::events::event_sink::{Ack, Guest, SinkError, StateEvent};

struct Sink;

impl Guest for Sink {
    fn put_event(_event: StateEvent) -> Result<Ack, SinkError> {
        Err(SinkError::Rejected("x".repeat(1 << 20)))
    }
}

export!(Sink);
