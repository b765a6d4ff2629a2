//! Does in one of its functions what its configuration says: what any sink might do wrong, at the moment that hurts.
//!
//! `config.on=FUNCTION` (`open`, `put`, `flush`, `save`, `restore`, `close`) with `config.do=loop|sleep|work|trap|retry|reject|fatal|slow`; for
//! `put` also `config.when=ID` or `config.every=N`, else at each event. `config.ack=accepted|durable`, `config.leak=BYTES` for each
//! event, `config.state=BYTES` of state to hand over, `config.opened=beginning|after:ID`, `config.print=yes` (or `ranges`: a line for each call), `config.note=TEXT` in front of each line.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package test:scripted;
        world guest {
            include hydrant:events/sink@0.1.0;
            include hydrant:events/with-lifecycle@0.1.0;
            include hydrant:events/with-flush@0.1.0;
            include hydrant:events/with-batch@0.1.0;
            include hydrant:events/with-handover@0.1.0;
        }
    ",
    world: "test:scripted/guest",
    generate_all,
});

use std::cell::RefCell;
use std::time::Duration;

use event_sink::{Ack, SinkError};
use exports::hydrant::events::{batch, event_sink, flush, handover, lifecycle};
use hydrant::events::types::{Delivery, Hints, Kind, Manifest, Position, Retry};

#[derive(Default)]
struct Script {
    config: Vec<(String, String)>,
    taken: u64,
}

thread_local! {
    static SCRIPT: RefCell<Script> = RefCell::default();
    static LEAK: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

fn get(name: &str) -> Option<String> {
    SCRIPT.with_borrow(|script| script.config.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()))
}

fn number(name: &str) -> Option<u64> {
    get(name).map(|value| value.parse().expect("a number"))
}

/// Does what the script says for this function.
fn act(function: &str) -> Result<(), SinkError> {
    if get("on").as_deref() != Some(function) {
        return Ok(());
    }
    let message = format!("the script says so in {function}");
    match get("do").as_deref() {
        Some("loop") => loop {
            std::hint::black_box(());
        },
        Some("sleep") => std::thread::sleep(Duration::from_secs(1_000_000)),
        Some("slow") => std::thread::sleep(Duration::from_millis(number("slow-ms").unwrap_or(50))),
        Some("work") => {
            for step in 0..number("steps").unwrap_or(1_000_000) {
                std::hint::black_box(step);
            }
        }
        Some("trap") => panic!("{message}"),
        Some("retry") => return Err(SinkError::Retry(Retry { after_ms: Some(20), message })),
        Some("reject") => return Err(SinkError::Rejected(message)),
        Some("fatal") => return Err(SinkError::Fatal(message)),
        other => panic!("no such deed: {other:?}"),
    }
    Ok(())
}

fn put(id: u64, kind: Kind, delivery: Delivery) -> Result<Ack, SinkError> {
    let chosen =
        number("when").is_none_or(|when| when == id) && number("every").is_none_or(|every| id % every == every - 1);
    if chosen {
        act("put")?;
    }
    if let Some(bytes) = number("leak") {
        LEAK.with_borrow_mut(|leak| leak.push(vec![1; bytes as usize]));
    }
    SCRIPT.with_borrow_mut(|script| script.taken += 1);
    if get("print").as_deref() == Some("yes") {
        let checkpoint = if kind == Kind::Checkpoint { ":checkpoint" } else { "" };
        let flags = [(Delivery::CATCHING_UP, "c"), (Delivery::REDELIVERED, "r"), (Delivery::UNPARKED, "u")];
        let flags: String =
            flags.iter().filter(|(flag, _)| delivery.contains(*flag)).map(|(_, letter)| *letter).collect();
        println!("{}put {id}{checkpoint} {flags}", get("note").unwrap_or_default());
    }
    Ok(if get("ack").as_deref() == Some("accepted") { Ack::Accepted } else { Ack::Durable })
}

/// The events that a call took.
fn print_range(first: u64, last: u64) {
    if get("print").as_deref() == Some("ranges") {
        println!("put {first}-{last}");
    }
}

struct Sink;

impl event_sink::Guest for Sink {
    fn put_event(event: event_sink::StateEvent) -> Result<Ack, SinkError> {
        let ack = put(event.id, event.kind, event.delivery)?;
        print_range(event.id, event.id);
        Ok(ack)
    }
}

impl batch::Guest for Sink {
    fn put_events(events: batch::EventBatch) -> Result<batch::Progress, batch::BatchError> {
        let mut progress = batch::Progress { taken: 0, durable: 0 };
        for (index, id) in events.ids.iter().enumerate() {
            let kind = if events.kinds[index] == 0 { Kind::Event } else { Kind::Checkpoint };
            match put(*id, kind, Delivery::from_bits_truncate(events.deliveries[index])) {
                Ok(ack) => {
                    progress.taken += 1;
                    progress.durable += u32::from(ack == Ack::Durable);
                }
                Err(error) => {
                    if let Some(taken) = index.checked_sub(1) {
                        print_range(events.ids[0], events.ids[taken]);
                    }
                    return Err(batch::BatchError { progress, error });
                }
            }
        }
        print_range(events.ids[0], events.ids[events.ids.len() - 1]);
        Ok(progress)
    }
}

impl flush::Guest for Sink {
    fn flush() -> Result<(), SinkError> {
        act("flush")?;
        if get("print").as_deref() == Some("yes") {
            println!("{}flush", get("note").unwrap_or_default());
        }
        Ok(())
    }
}

impl handover::Guest for Sink {
    fn save() -> Result<handover::Saved, String> {
        act("save").map_err(|error| format!("{error:?}"))?;
        let mut bytes = SCRIPT.with_borrow(|script| script.taken.to_le_bytes().to_vec());
        bytes.resize(number("state").unwrap_or(8) as usize, 0);
        Ok(handover::Saved { version: 1, bytes })
    }

    fn restore(saved: handover::Saved) -> Result<(), handover::RestoreError> {
        act("restore").map_err(|error| handover::RestoreError::Invalid(format!("{error:?}")))?;
        let taken =
            saved.bytes.first_chunk::<8>().ok_or_else(|| handover::RestoreError::Invalid("too short".to_owned()))?;
        SCRIPT.with_borrow_mut(|script| script.taken = u64::from_le_bytes(*taken));
        Ok(())
    }
}

impl lifecycle::Guest for Sink {
    fn describe() -> Manifest {
        Manifest {
            name: "scripted".to_owned(),
            version: "1.0.0".to_owned(),
            accepts: vec![],
            writes: None,
            config_schema: None,
            tags: vec![],
            needs: vec![],
            hints: Hints { batch_events: None, batch_bytes: None, flush_ms: None },
            irreversible: false,
        }
    }

    fn open(info: lifecycle::OpenInfo) -> Result<lifecycle::Opened, SinkError> {
        SCRIPT.with_borrow_mut(|script| script.config = info.config);
        act("open")?;
        if get("print").is_some() {
            println!("{}open epoch {} resume {:?}", get("note").unwrap_or_default(), info.epoch, info.resume);
            println!("{}head {:?}", get("note").unwrap_or_default(), info.head_id);
        }
        Ok(match get("opened").as_deref() {
            None => lifecycle::Opened::Cursor,
            Some("beginning") => lifecycle::Opened::Beginning,
            Some(after) => {
                let id = after.strip_prefix("after:").and_then(|id| id.parse().ok()).expect("after:ID");
                lifecycle::Opened::After(Position { id, kind: Kind::Event })
            }
        })
    }

    fn close(reason: lifecycle::CloseReason) {
        let _ = act("close");
        if get("print").is_some() {
            let taken = SCRIPT.with_borrow(|script| script.taken);
            println!("{}close {reason:?} after {taken}", get("note").unwrap_or_default());
        }
    }
}

export!(Sink);
