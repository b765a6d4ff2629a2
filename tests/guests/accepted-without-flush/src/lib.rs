//! Answers `accepted`, but has no flush: a breach of the contract.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package test:accepted-without-flush;
        world guest {
            include hydrant:events/sink@0.1.0;
        }
    ",
    world: "test:accepted-without-flush/guest",
    generate_all,
});

use exports::hydrant::events::event_sink::{Ack, Guest, SinkError, StateEvent};

struct Sink;

impl Guest for Sink {
    fn put_event(_event: StateEvent) -> Result<Ack, SinkError> {
        Ok(Ack::Accepted)
    }
}

export!(Sink);
