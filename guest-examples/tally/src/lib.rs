//! Counts events by tag and prints the counts when it is closed: a sink that keeps all it knows in memory.

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package example:tally;
        world tally {
            include hydrant:events/sink@0.1.0;
            include hydrant:events/with-lifecycle@0.1.0;
            include hydrant:events/with-flush@0.1.0;
            include hydrant:events/with-batch@0.1.0;
            include hydrant:events/with-handover@0.1.0;
        }
    ",
    world: "example:tally/tally",
    generate_all,
});

use std::cell::RefCell;
use std::collections::BTreeMap;

use exports::hydrant::events::{batch, event_sink, flush, handover, lifecycle};
use hydrant::events::types::{Format, Hints, Manifest};

thread_local! {
    static COUNTS: RefCell<BTreeMap<String, u64>> = const { RefCell::new(BTreeMap::new()) };
}

fn count(tag: &str, events: u64) {
    COUNTS.with_borrow_mut(|counts| match counts.get_mut(tag) {
        Some(count) => *count += events,
        None => drop(counts.insert(tag.to_owned(), events)),
    });
}

struct Tally;

impl event_sink::Guest for Tally {
    fn put_event(event: event_sink::StateEvent) -> Result<event_sink::Ack, event_sink::SinkError> {
        count(&event.tag, 1);
        Ok(event_sink::Ack::Accepted)
    }
}

impl batch::Guest for Tally {
    fn put_events(batch: batch::EventBatch) -> Result<batch::Progress, batch::BatchError> {
        for tag in &batch.tag {
            count(&batch.tags[usize::from(*tag)], 1);
        }
        Ok(batch::Progress { taken: batch.ids.len() as u32, durable: 0 })
    }
}

impl flush::Guest for Tally {
    fn flush() -> Result<(), flush::SinkError> {
        Ok(())
    }
}

/// Version of the state that is handed over: a line for each tag, with its count.
const STATE_VERSION: u32 = 1;

impl handover::Guest for Tally {
    fn save() -> Result<handover::Saved, String> {
        let lines = COUNTS
            .with_borrow(|counts| counts.iter().map(|(tag, count)| format!("{tag} {count}\n")).collect::<String>());
        Ok(handover::Saved { version: STATE_VERSION, bytes: lines.into_bytes() })
    }

    fn restore(saved: handover::Saved) -> Result<(), handover::RestoreError> {
        use handover::RestoreError::{Invalid, UnknownVersion};
        if saved.version != STATE_VERSION {
            return Err(UnknownVersion(STATE_VERSION));
        }
        let text = String::from_utf8(saved.bytes).map_err(|error| Invalid(error.to_string()))?;
        let count = |line: &str| {
            let (tag, count) = line.split_once(' ')?;
            Some((tag.to_owned(), count.parse().ok()?))
        };
        let counts: Option<BTreeMap<String, u64>> = text.lines().map(count).collect();
        COUNTS.set(counts.ok_or_else(|| Invalid("a line is not a tag and a count".to_owned()))?);
        Ok(())
    }
}

impl lifecycle::Guest for Tally {
    fn describe() -> Manifest {
        Manifest {
            name: "tally".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            accepts: vec![Format { name: "hydra.state-event".to_owned(), version: 1 }],
            writes: None,
            config_schema: None,
            tags: vec![],
            needs: vec![],
            hints: Hints { batch_events: None, batch_bytes: None, flush_ms: None },
            irreversible: false,
        }
    }

    /// The counts are in memory only, so they have to begin at the beginning.
    fn open(_info: lifecycle::OpenInfo) -> Result<lifecycle::Opened, lifecycle::SinkError> {
        Ok(lifecycle::Opened::Beginning)
    }

    fn close(_reason: lifecycle::CloseReason) {
        COUNTS.with_borrow(|counts| {
            for (tag, count) in counts {
                println!("{tag} {count}");
            }
        });
    }
}

export!(Tally);
