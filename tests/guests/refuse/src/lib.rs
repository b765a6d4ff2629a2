//! Refuses the event whose id is `config.refuse-id`, as `config.with` says: rejected (the default), retry, or fatal.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package test:refuse;
        world guest {
            include hydrant:events/sink@0.1.0;
            include hydrant:events/with-lifecycle@0.1.0;
        }
    ",
    world: "test:refuse/guest",
    generate_all,
});

use exports::hydrant::events::event_sink::{Ack, Guest, SinkError, StateEvent};

struct Sink;

use exports::hydrant::events::lifecycle::{CloseReason, OpenInfo, Opened};

thread_local! {
    static REFUSED: std::cell::RefCell<(Option<u64>, String)> = const { std::cell::RefCell::new((None, String::new())) };
}

impl Guest for Sink {
    fn put_event(event: StateEvent) -> Result<Ack, SinkError> {
        REFUSED.with_borrow(|(id, with)| {
            if *id != Some(event.id) {
                return Ok(Ack::Durable);
            }
            eprintln!("about to refuse {}", event.id);
            let message = format!("I was told to refuse {}", event.id);
            Err(match with.as_str() {
                "retry" => SinkError::Retry(hydrant::events::types::Retry { after_ms: Some(100), message }),
                "fatal" => SinkError::Fatal(message),
                _ => SinkError::Rejected(message),
            })
        })
    }
}

impl exports::hydrant::events::lifecycle::Guest for Sink {
    fn describe() -> hydrant::events::types::Manifest {
        hydrant::events::types::Manifest {
            name: "refuse".to_owned(),
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
        let get = |name: &str| info.config.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let id = get("refuse-id").map(|id| id.parse().map_err(|_| SinkError::Fatal(format!("refuse-id is {id:?}"))));
        REFUSED.set((id.transpose()?, get("with").unwrap_or_default()));
        Ok(Opened::Cursor)
    }

    fn close(_reason: CloseReason) {}
}

export!(Sink);
