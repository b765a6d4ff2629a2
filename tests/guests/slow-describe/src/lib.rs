//! Never comes back from `describe`.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package test:slow-describe;
        world guest {
            include hydrant:events/sink@0.1.0;
            include hydrant:events/with-lifecycle@0.1.0;
        }
    ",
    world: "test:slow-describe/guest",
    generate_all,
});

use exports::hydrant::events::event_sink::{Ack, Guest, SinkError, StateEvent};
use exports::hydrant::events::lifecycle::{CloseReason, OpenInfo, Opened};

struct Sink;

impl Guest for Sink {
    fn put_event(_event: StateEvent) -> Result<Ack, SinkError> {
        Ok(Ack::Durable)
    }
}

impl exports::hydrant::events::lifecycle::Guest for Sink {
    fn describe() -> hydrant::events::types::Manifest {
        loop {
            std::hint::black_box(());
        }
    }

    fn open(_info: OpenInfo) -> Result<Opened, SinkError> {
        Ok(Opened::Cursor)
    }

    fn close(_reason: CloseReason) {}
}

export!(Sink);
