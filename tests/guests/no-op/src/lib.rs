//! Takes everything and does nothing, one by one and in batches: what benches call.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package test:no-op;
        world guest {
            include hydrant:events/sink@0.1.0;
            include hydrant:events/with-batch@0.1.0;
        }
    ",
    world: "test:no-op/guest",
    generate_all,
});

use exports::hydrant::events::event_sink::{Ack, Guest, SinkError, StateEvent};

struct Sink;

impl Guest for Sink {
    fn put_event(_event: StateEvent) -> Result<Ack, SinkError> {
        Ok(Ack::Durable)
    }
}

impl exports::hydrant::events::batch::Guest for Sink {
    fn put_events(
        batch: exports::hydrant::events::batch::EventBatch,
    ) -> Result<exports::hydrant::events::batch::Progress, exports::hydrant::events::batch::BatchError> {
        let taken = batch.ids.len() as u32;
        Ok(exports::hydrant::events::batch::Progress { taken, durable: taken })
    }
}

export!(Sink);
