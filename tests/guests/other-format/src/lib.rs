//! Reads a stream format that no log has.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package test:other-format;
        world guest {
            include hydrant:events/sink@0.1.0;
            include hydrant:events/with-lifecycle@0.1.0;
        }
    ",
    world: "test:other-format/guest",
    generate_all,
});

use exports::hydrant::events::event_sink::{Ack, Guest, SinkError, StateEvent};

struct Sink;

use exports::hydrant::events::lifecycle::{CloseReason, OpenInfo, Opened};

impl Guest for Sink {
    fn put_event(_event: StateEvent) -> Result<Ack, SinkError> {
        Ok(Ack::Durable)
    }
}

impl exports::hydrant::events::lifecycle::Guest for Sink {
    fn describe() -> hydrant::events::types::Manifest {
        hydrant::events::types::Manifest {
            name: "other-format".to_owned(),
            version: "1.0.0".to_owned(),
            accepts: vec![hydrant::events::types::Format { name: "hydra.server-output".to_owned(), version: 1 }],
            writes: None,
            config_schema: None,
            tags: vec![],
            needs: vec![],
            hints: hydrant::events::types::Hints { batch_events: None, batch_bytes: None, flush_ms: None },
            irreversible: false,
        }
    }

    fn open(_info: OpenInfo) -> Result<Opened, SinkError> {
        Ok(Opened::Cursor)
    }

    fn close(_reason: CloseReason) {}
}

export!(Sink);
