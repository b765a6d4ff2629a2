//! Sleeps for ever in a put: no fuel is used, only time.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package test:sleeper;
        world guest {
            include hydrant:events/sink@0.1.0;
        }
    ",
    world: "test:sleeper/guest",
    generate_all,
});

use exports::hydrant::events::event_sink::{Ack, Guest, SinkError, StateEvent};

struct Sink;

impl Guest for Sink {
    fn put_event(_event: StateEvent) -> Result<Ack, SinkError> {
        loop {
            std::thread::sleep(std::time::Duration::from_secs(3600));
        }
    }
}

export!(Sink);
