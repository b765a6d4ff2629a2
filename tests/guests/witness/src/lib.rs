//! Writes down every call it gets, to its log: what a sink sees of its life.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package test:witness;
        world guest {
            include hydrant:events/sink@0.1.0;
            include hydrant:events/with-lifecycle@0.1.0;
            include hydrant:events/with-flush@0.1.0;
            include hydrant:events/with-log@0.1.0;
        }
    ",
    world: "test:witness/guest",
    generate_all,
});

use exports::hydrant::events::event_sink::{Ack, Guest, SinkError, StateEvent};

struct Sink;

use exports::hydrant::events::lifecycle::{CloseReason, OpenInfo, Opened};

use hydrant::events::log::{Level, log};

impl Guest for Sink {
    fn put_event(event: StateEvent) -> Result<Ack, SinkError> {
        let delivery = format!("{:?}", event.delivery);
        let time = event.time.map(|time| format!("{}.{:09}", time.seconds, time.nanoseconds));
        log(
            Level::Info,
            "put",
            &[
                ("id".to_owned(), event.id.to_string()),
                ("kind".to_owned(), format!("{:?}", event.kind)),
                ("tag".to_owned(), event.tag),
                ("time".to_owned(), time.unwrap_or_default()),
                ("bytes".to_owned(), event.json.len().to_string()),
                ("delivery".to_owned(), delivery),
            ],
        );
        Ok(Ack::Accepted)
    }
}

impl exports::hydrant::events::flush::Guest for Sink {
    fn flush() -> Result<(), SinkError> {
        log(Level::Info, "flush", &[]);
        Ok(())
    }
}

impl exports::hydrant::events::lifecycle::Guest for Sink {
    fn describe() -> hydrant::events::types::Manifest {
        hydrant::events::types::Manifest {
            name: "witness".to_owned(),
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
        log(
            Level::Info,
            "open",
            &[
                ("stream".to_owned(), info.stream),
                ("epoch".to_owned(), info.epoch.to_string()),
                ("format".to_owned(), format!("{}/{}", info.format.name, info.format.version)),
                ("config".to_owned(), format!("{:?}", info.config)),
                ("resume".to_owned(), format!("{:?}", info.resume)),
            ],
        );
        println!("environment {:?}, arguments {:?}", std::env::vars().count(), std::env::args().count());
        println!("root {:?}", std::fs::read_dir("/").err().map(|error| error.kind()));
        println!("network {:?}", std::net::TcpStream::connect("127.0.0.1:1").err().map(|error| error.kind()));
        Ok(Opened::Cursor)
    }

    fn close(reason: CloseReason) {
        log(Level::Info, "close", &[("reason".to_owned(), format!("{reason:?}"))]);
        eprint!("a last line without an end");
    }
}

export!(Sink);
