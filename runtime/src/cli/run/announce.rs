//! What is said at start and end.

use hydrant::delivery::{DetachedSink, From, SinkStatus};
use hydrant::sink_store::{SinkStore, StoreError};
use hydrant::source::EventSource;
use hydrant::stream::Stream;

use super::build::Sinks;

/// Says what will be read, and what each sink will be sent.
pub(super) fn start(source: &dyn EventSource, stream: &Stream, sinks: &Sinks, once: bool) {
    let Stream { name, epoch, format } = stream;
    tracing::info!("event source {}, stream {name}, epoch {epoch}, format {format}", source.describe());
    let then = if once { "then exit" } else { "then what is added" };
    for sink in &sinks.inline {
        tracing::info!(
            "event sink {:?} ({}), lane inline: every event from the first, {then}",
            sink.name(),
            sink.describe()
        );
    }
    for sink in &sinks.detached {
        let from = sinks.store.as_ref().and_then(|store| store.cursor(&sink.name).ok().flatten());
        let from = match from {
            Some(cursor) => match cursor.durable {
                Some(durable) => format!("after event {}, its cursor", durable.position),
                None => "from the first event, its cursor".to_owned(),
            },
            None => match sink.policy.from {
                From::Oldest => "first start, from the oldest event".to_owned(),
                From::Now => "first start, after what is there now".to_owned(),
                From::At(position) => format!("first start, from event {position}"),
            },
        };
        tracing::info!("event sink {:?} ({}), lane detached: {from}, {then}", sink.name, sink.sink.describe());
    }
}

/// Names the cursors that no configured sink uses.
pub(super) fn orphans(store: &SinkStore, sinks: &[DetachedSink]) -> Result<(), StoreError> {
    for (name, cursor) in store.cursors()? {
        if sinks.iter().all(|sink| sink.name != name) {
            let (at, stream) = (cursor.in_words(), &cursor.stream);
            tracing::info!("no sink is named {name:?} any more; its cursor is kept, at {at} of stream {stream}");
        }
    }
    Ok(())
}

/// Says how many events each detached sink has before it, once the whole log has been read.
pub(super) fn to_come(statuses: &[SinkStatus]) {
    for status in statuses {
        if let Some(events) = status.lag_events {
            tracing::info!("sink {:?}: {} events taken, {events} to come", status.sink, status.delivered);
        }
    }
}

/// Says how each detached sink ended.
pub(super) fn end(statuses: &[SinkStatus]) {
    for status in statuses {
        let at = status.position.map_or_else(|| "nothing".to_owned(), |at| format!("event {at}"));
        let mut text = format!("{} events, durable up to {at}", status.delivered);
        for (number, words) in [(status.parked, "parked"), (status.skipped, "passed over")] {
            if number > 0 {
                text.push_str(&format!(", {number} {words}"));
            }
        }
        if let Some(reason) = &status.reason {
            text.push_str(&format!("; {}: {reason}", status.state));
        }
        tracing::info!("sink {:?}: {text}", status.sink);
    }
}
