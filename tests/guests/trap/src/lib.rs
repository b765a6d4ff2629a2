//! Panics at event 3, having said so.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package test:trap;
        world guest {
            include hydrant:events/sink@0.1.0;
        }
    ",
    world: "test:trap/guest",
    generate_all,
});

use exports::hydrant::events::event_sink::{Ack, Guest, SinkError, StateEvent};

struct Sink;

impl Guest for Sink {
    fn put_event(event: StateEvent) -> Result<Ack, SinkError> {
        println!("got {}", event.id);
        assert!(event.id != 3, "this guest does not like 3");
        Ok(Ack::Durable)
    }
}

export!(Sink);
