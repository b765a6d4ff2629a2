//! Keeps a mebibyte for each event, and all of them.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package test:memory-growth;
        world guest {
            include hydrant:events/sink@0.1.0;
        }
    ",
    world: "test:memory-growth/guest",
    generate_all,
});

use exports::hydrant::events::event_sink::{Ack, Guest, SinkError, StateEvent};

struct Sink;

thread_local! {
    static KEPT: std::cell::RefCell<Vec<Vec<u8>>> = const { std::cell::RefCell::new(Vec::new()) };
}

impl Guest for Sink {
    fn put_event(_event: StateEvent) -> Result<Ack, SinkError> {
        KEPT.with_borrow_mut(|kept| kept.push(vec![1; 1 << 20]));
        Ok(Ack::Durable)
    }
}

export!(Sink);
