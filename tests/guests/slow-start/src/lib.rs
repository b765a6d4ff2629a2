//! Takes `config.sleep-ms` to open, and `config.close-sleep-ms` to close.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package test:slow-start;
        world guest {
            include hydrant:events/sink@0.1.0;
            include hydrant:events/with-lifecycle@0.1.0;
        }
    ",
    world: "test:slow-start/guest",
    generate_all,
});

use exports::hydrant::events::event_sink::{Ack, Guest, SinkError, StateEvent};

struct Sink;

thread_local! {
    static CLOSE_MS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

use exports::hydrant::events::lifecycle::{CloseReason, OpenInfo, Opened};

impl Guest for Sink {
    fn put_event(_event: StateEvent) -> Result<Ack, SinkError> {
        Ok(Ack::Durable)
    }
}

impl exports::hydrant::events::lifecycle::Guest for Sink {
    fn describe() -> hydrant::events::types::Manifest {
        hydrant::events::types::Manifest {
            name: "slow-start".to_owned(),
            version: "1.0.0".to_owned(),
            accepts: vec![],
            writes: None,
            config_schema: None,
            tags: vec![],
            needs: vec![],
            hints: hydrant::events::types::Hints { batch_events: None, batch_bytes: None, flush_ms: None },
            irreversible: false,
        }
    }

    fn open(info: OpenInfo) -> Result<Opened, SinkError> {
        let get =
            |name: &str| info.config.iter().find(|(key, _)| key == name).and_then(|(_, value)| value.parse().ok());
        CLOSE_MS.set(get("close-sleep-ms").unwrap_or(0));
        sleep(get("sleep-ms").unwrap_or(0));
        Ok(Opened::Cursor)
    }

    fn close(_reason: CloseReason) {
        sleep(CLOSE_MS.get());
    }
}

fn sleep(millis: u64) {
    std::thread::sleep(std::time::Duration::from_millis(millis));
}

export!(Sink);
