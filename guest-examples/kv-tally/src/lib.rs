//! Counts events by tag and keeps the counts with the host: they survive a crash, and agree with the cursor after it.

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package example:kv-tally;
        world kv-tally {
            include hydrant:events/sink@0.1.0;
            include hydrant:events/with-batch@0.1.0;
            include hydrant:events/with-key-value@0.1.0;
        }
    ",
    world: "example:kv-tally/kv-tally",
    generate_all,
});

use exports::hydrant::events::batch::{self, BatchError, EventBatch, Progress};
use exports::hydrant::events::event_sink::{self, Ack, SinkError, StateEvent};
use hydrant::events::key_value;

/// Adds to a tag's count. Nothing has to be written but the count: the host commits it together with the position of the events that
/// it counts, so none is ever counted twice.
fn count(tag: &str, events: u64) -> Result<(), SinkError> {
    let key = format!("count/{tag}");
    let before = key_value::get(&key).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
    key_value::set(&key, &(before + events).to_le_bytes())
        .map_err(|error| SinkError::Fatal(format!("cannot keep the count of {tag}: {error}")))
}

struct KvTally;

impl event_sink::Guest for KvTally {
    fn put_event(event: StateEvent) -> Result<Ack, SinkError> {
        count(&event.tag, 1)?;
        Ok(Ack::Durable)
    }
}

impl batch::Guest for KvTally {
    fn put_events(batch: EventBatch) -> Result<Progress, BatchError> {
        for (index, tag) in batch.tags.iter().enumerate() {
            let events = batch.tag.iter().filter(|of| usize::from(**of) == index).count();
            let nothing = Progress { taken: 0, durable: 0 };
            count(tag, events as u64).map_err(|error| BatchError { progress: nothing, error })?;
        }
        let taken = batch.ids.len() as u32;
        Ok(Progress { taken, durable: taken })
    }
}

export!(KvTally);
