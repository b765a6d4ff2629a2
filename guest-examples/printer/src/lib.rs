//! The smallest sink: prints one line an event, `ID TAG TIME`. What a guest prints is its log.

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package example:printer;
        world printer { include hydrant:events/sink@0.1.0; }
    ",
    world: "example:printer/printer",
    generate_all,
});

use exports::hydrant::events::event_sink::{Ack, Guest, SinkError, StateEvent};

struct Printer;

impl Guest for Printer {
    fn put_event(event: StateEvent) -> Result<Ack, SinkError> {
        match event.time {
            Some(time) => println!("{} {} {}.{:09}", event.id, event.tag, time.seconds, time.nanoseconds),
            None => println!("{} {} -", event.id, event.tag),
        }
        Ok(Ack::Durable)
    }
}

export!(Printer);
