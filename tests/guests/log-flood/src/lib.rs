//! Writes 20,000 lines to its log for each event, and a long one.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package test:log-flood;
        world guest {
            include hydrant:events/sink@0.1.0;
            include hydrant:events/with-log@0.1.0;
        }
    ",
    world: "test:log-flood/guest",
    generate_all,
});

use exports::hydrant::events::event_sink::{Ack, Guest, SinkError, StateEvent};

struct Sink;

use hydrant::events::log::{Level, log};

impl Guest for Sink {
    fn put_event(event: StateEvent) -> Result<Ack, SinkError> {
        for number in 0..20_000 {
            println!("flood {number}");
        }
        log(Level::Info, &"y".repeat(20_000), &[("event".to_owned(), event.id.to_string())]);
        Ok(Ack::Durable)
    }
}

export!(Sink);
