//! Between our own types and the generated ones of the contract.

use std::time::Duration;

use super::bindings::{batch, event_sink, lifecycle, types};
use super::printable::printable;
use crate::event::{Kind, Position, StateEvent};
use crate::sink::{Ack, CloseReason, Delivery, OpenInfo, Opened, SinkError};

/// An event as the guest sees it. Nothing is copied: the text is lowered straight from the page it was read into.
pub(super) fn event(event: &StateEvent, delivery: Delivery) -> event_sink::StateEvent<'_> {
    event_sink::StateEvent {
        id: event.id(),
        kind: kind(event.position().kind),
        time: event.time().map(|time| types::Datetime { seconds: time.seconds, nanoseconds: time.nanoseconds }),
        tag: event.tag(),
        json: event.json(),
        delivery: flags(delivery),
    }
}

fn kind(kind: Kind) -> types::Kind {
    match kind {
        Kind::Event => types::Kind::Event,
        Kind::Checkpoint => types::Kind::Checkpoint,
    }
}

fn flags(delivery: Delivery) -> types::Delivery {
    let mut flags = types::Delivery::empty();
    for (set, flag) in [
        (delivery.catching_up, types::Delivery::CATCHING_UP),
        (delivery.redelivered, types::Delivery::REDELIVERED),
        (delivery.unparked, types::Delivery::UNPARKED),
    ] {
        if set {
            flags |= flag;
        }
    }
    flags
}

pub(super) fn ack(ack: event_sink::Ack) -> Ack {
    match ack {
        event_sink::Ack::Durable => Ack::Durable,
        event_sink::Ack::Accepted => Ack::Accepted,
    }
}

pub(super) fn error(error: types::SinkError) -> SinkError {
    match error {
        types::SinkError::Retry(retry) => SinkError::Retry {
            after: retry.after_ms.map(|millis| Duration::from_millis(millis.into())),
            message: printable(&retry.message),
        },
        types::SinkError::Rejected(message) => SinkError::Rejected { message: printable(&message) },
        types::SinkError::Fatal(message) => SinkError::Fatal { message: printable(&message) },
    }
}

pub(super) fn open_info<'a>(info: &'a OpenInfo, config: &'a [(&'a str, &'a str)]) -> lifecycle::OpenInfo<'a> {
    lifecycle::OpenInfo {
        stream: &info.stream.name,
        epoch: info.stream.epoch,
        format: types::FormatParam { name: &info.stream.format.name, version: info.stream.format.version },
        head_id: info.head_id.as_deref(),
        network: None,
        node_version: None,
        config,
        resume: info.resume.map(to_position),
    }
}

pub(super) fn opened(opened: lifecycle::Opened) -> Opened {
    match opened {
        lifecycle::Opened::Cursor => Opened::Cursor,
        lifecycle::Opened::After(after) => Opened::After(position(after)),
        lifecycle::Opened::Beginning => Opened::Beginning,
    }
}

pub(super) fn position(position: types::Position) -> Position {
    match position.kind {
        types::Kind::Event => Position::event(position.id),
        types::Kind::Checkpoint => Position::checkpoint(position.id),
    }
}

pub(super) fn to_position(position: Position) -> types::Position {
    types::Position { id: position.id, kind: kind(position.kind) }
}

pub(super) fn reason(reason: CloseReason) -> lifecycle::CloseReason {
    match reason {
        CloseReason::Stop => lifecycle::CloseReason::Stop,
        CloseReason::Swap => lifecycle::CloseReason::Swap,
        CloseReason::Reopen => lifecycle::CloseReason::Reopen,
        CloseReason::Failure => lifecycle::CloseReason::Failure,
    }
}

/// Memory for events as columns, used again from batch to batch: building them anew costs more than the call.
#[derive(Debug, Default)]
pub(super) struct ColumnBuffers {
    ids: Vec<u64>,
    kinds: Vec<u8>,
    seconds: Vec<i64>,
    nanoseconds: Vec<u32>,
    deliveries: Vec<u8>,
    tag: Vec<u16>,
    ends: Vec<u32>,
    json: String,
}

/// Bytes of json above which the memory is given back after a batch.
const KEPT_BYTES: usize = 1 << 20;

impl ColumnBuffers {
    fn clear(&mut self) {
        self.ids.clear();
        self.kinds.clear();
        self.seconds.clear();
        self.nanoseconds.clear();
        self.deliveries.clear();
        self.tag.clear();
        self.ends.clear();
        self.json.clear();
        self.json.shrink_to(KEPT_BYTES);
    }
}

/// Events as columns, lowered by plain copies.
#[derive(Debug)]
pub(super) struct Columns<'a> {
    buffers: &'a mut ColumnBuffers,
    tags: Vec<&'a str>,
    /// The events' texts, if they lie end to end in memory as events of one page do; else they are put together.
    joined: Option<&'a str>,
}

/// What stands in `nanoseconds` for an event without a time.
const NO_TIME: u32 = u32::MAX;

impl<'a> Columns<'a> {
    /// Puts events side by side; none if they do not fit: more than 65,536 tags, or 4 GiB of json.
    pub(super) fn of(buffers: &'a mut ColumnBuffers, events: &'a [StateEvent], delivery: Delivery) -> Option<Self> {
        buffers.clear();
        let mut columns = Self { buffers, tags: Vec::new(), joined: StateEvent::joined_json(events) };
        let flags =
            u8::from(delivery.catching_up) | u8::from(delivery.redelivered) << 1 | u8::from(delivery.unparked) << 2;
        let buffers = &mut *columns.buffers;
        // Field by field: each loop is simple enough to be vectorised.
        buffers.ids.extend(events.iter().map(StateEvent::id));
        buffers.kinds.extend(events.iter().map(|event| u8::from(event.position().kind == Kind::Checkpoint)));
        buffers.seconds.extend(events.iter().map(|event| event.time().map_or(0, |time| time.seconds)));
        buffers.nanoseconds.extend(events.iter().map(|event| event.time().map_or(NO_TIME, |time| time.nanoseconds)));
        buffers.deliveries.resize(events.len(), flags);
        // The sum is checked first, so that no end can be cut off.
        u32::try_from(events.iter().map(StateEvent::bytes).sum::<usize>()).ok()?;
        buffers.ends.extend(events.iter().scan(0, |end, event| {
            *end += event.bytes() as u32;
            Some(*end)
        }));
        if columns.joined.is_none() {
            buffers.json.extend(events.iter().map(StateEvent::json));
        }
        columns.buffers.tag.reserve(events.len());
        for event in events {
            let tag = columns.tag_index(event)?;
            columns.buffers.tag.push(tag);
        }
        Some(columns)
    }

    fn tag_index(&mut self, event: &'a StateEvent) -> Option<u16> {
        // A batch has a handful of distinct tags, and neighbours often share one.
        let tag = event.tag_bytes();
        if let Some(found) = self.tags.iter().rposition(|known| known.as_bytes() == tag) {
            return u16::try_from(found).ok();
        }
        self.tags.push(event.tag());
        u16::try_from(self.tags.len() - 1).ok()
    }

    pub(super) fn batch(&self) -> batch::EventBatch<'_> {
        batch::EventBatch {
            ids: &self.buffers.ids,
            kinds: &self.buffers.kinds,
            seconds: &self.buffers.seconds,
            nanoseconds: &self.buffers.nanoseconds,
            deliveries: &self.buffers.deliveries,
            tags: &self.tags,
            tag: &self.buffers.tag,
            ends: &self.buffers.ends,
            json: self.joined.unwrap_or(&self.buffers.json),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An event of random text, with a time or without one; legacy ones have none.
    fn event() -> impl Strategy<Value = StateEvent> {
        let time = prop::option::of((0..60_u32, 0..1_000_000_000_u32));
        (any::<u64>(), "[A-C]", "\\PC{0,30}", time, any::<bool>()).prop_map(|(id, tag, text, time, is_checkpoint)| {
            let tag = if is_checkpoint { "Checkpoint".to_owned() } else { tag };
            let changed = serde_json::json!({ "tag": tag, "text": text });
            let time =
                time.map(|(second, nanosecond)| format!(",\"time\":\"2026-01-01T00:00:{second:02}.{nanosecond:09}Z\""));
            let time = time.unwrap_or_default();
            StateEvent::parse(format!("{{\"eventId\":{id},\"stateChanged\":{changed}{time}}}")).unwrap()
        })
    }

    /// What a guest makes of row `at`.
    fn row<'a>(batch: &batch::EventBatch<'a>, at: usize) -> (Position, Option<(i64, u32)>, &'a str, &'a str) {
        let id = batch.ids[at];
        let position = if batch.kinds[at] == 1 { Position::checkpoint(id) } else { Position::event(id) };
        let time = (batch.nanoseconds[at] != NO_TIME).then(|| (batch.seconds[at], batch.nanoseconds[at]));
        let start = at.checked_sub(1).map_or(0, |before| batch.ends[before] as usize);
        (position, time, batch.tags[usize::from(batch.tag[at])], &batch.json[start..batch.ends[at] as usize])
    }

    #[test]
    fn what_a_guest_says_of_an_error_cannot_forge_a_line_of_the_log() {
        let words = || "no\n1970 INFO all is well".to_owned();
        let retry = types::SinkError::Retry(types::Retry { after_ms: None, message: words() });
        for said in [retry, types::SinkError::Rejected(words()), types::SinkError::Fatal(words())] {
            let text = error(said).to_string();
            assert!(text.contains("all is well") && !text.contains('\n'), "{text}");
        }
    }

    proptest! {
        #[test]
        fn fuzz_columns_hold_what_the_events_hold(
            events in prop::collection::vec(event(), 0..20),
            before in prop::collection::vec(event(), 0..20),
        ) {
            let (mut buffers, delivery) = (ColumnBuffers::default(), Delivery { redelivered: true, ..Delivery::default() });
            // Memory of a batch before leaves nothing behind.
            prop_assert!(Columns::of(&mut buffers, &before, Delivery::default()).is_some());
            let columns = Columns::of(&mut buffers, &events, delivery).unwrap();
            let batch = columns.batch();
            prop_assert_eq!((batch.ids.len(), batch.deliveries), (events.len(), &*vec![2; events.len()]));
            prop_assert_eq!(batch.json.len(), events.iter().map(StateEvent::bytes).sum::<usize>());
            for (at, event) in events.iter().enumerate() {
                let time = event.time().map(|time| (time.seconds, time.nanoseconds));
                prop_assert_eq!(row(&batch, at), (event.position(), time, event.tag(), event.json()));
            }
        }
    }
}
