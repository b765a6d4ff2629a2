//! A source that does in one of its functions what its configuration says.
//!
//! It has `config.events=N` events. `config.on=open|bounds|page` with `config.do=trap|loop|retry|gap|fatal|bad-line|huge|long-token|other-order`; for
//! `page` also `config.when=ID`: only when what comes after that id is asked for. `config.at-most=N`: traps when more events are asked for.
//! `config.format=NAME`, `config.wait=MS` at the end, `config.spin=yes`: asks for more at the end.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package test:scripted-source;
        world guest { include hydrant:events/source@0.1.0; }
    ",
    world: "test:scripted-source/guest",
    generate_all,
});

use std::cell::RefCell;

use exports::hydrant::events::event_source::{
    Extent, Format, Guest, Manifest, Next, Page, Position, Retry, SourceError, SourceInfo,
};
use hydrant::events::types::{Hints, Kind};

thread_local! {
    static CONFIG: RefCell<Vec<(String, String)>> = RefCell::default();
}

fn get(name: &str) -> Option<String> {
    CONFIG.with_borrow(|config| config.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()))
}

fn number(name: &str) -> Option<u64> {
    get(name).map(|value| value.parse().expect("a number"))
}

fn at(id: u64) -> Position {
    Position { id, kind: Kind::Event }
}

/// Does what the script says for this function.
fn act(function: &str, after: Option<u64>) -> Result<Option<Page>, SourceError> {
    if get("on").as_deref() != Some(function) || number("when").is_some_and(|when| after != Some(when)) {
        return Ok(None);
    }
    let page = |lines: Vec<String>, token| Ok(Some(Page { lines, token, next: Next::More }));
    match get("do").as_deref() {
        Some("trap") => panic!("the script says so"),
        Some("loop") => loop {
            std::hint::black_box(());
        },
        Some("retry") => {
            Err(SourceError::Retry(Retry { after_ms: Some(20), message: "the script says so".to_owned() }))
        }
        Some("gap") => Err(SourceError::Gap(at(1_000))),
        Some("fatal") => Err(SourceError::Fatal("the script says so".to_owned())),
        Some("bad-line") => page(vec!["{\"eventId\":".to_owned()], Vec::new()),
        Some("huge") => page(vec!["x".repeat(1 << 20)], Vec::new()),
        Some("long-token") => page(Vec::new(), vec![0; 64 * 1024 + 1]),
        Some("other-order") => page(vec![line(1).replace("TickObserved", "Other")], Vec::new()),
        other => panic!("no such deed: {other:?}"),
    }
}

fn line(id: u64) -> String {
    format!(r#"{{"eventId":{id},"stateChanged":{{"tag":"TickObserved"}}}}"#)
}

struct Source;

impl Guest for Source {
    fn describe() -> Manifest {
        Manifest {
            name: "scripted-source".to_owned(),
            version: "0.1.0".to_owned(),
            accepts: Vec::new(),
            writes: None,
            config_schema: None,
            tags: Vec::new(),
            needs: Vec::new(),
            hints: Hints { batch_events: None, batch_bytes: None, flush_ms: None },
            irreversible: false,
        }
    }

    fn open(info: SourceInfo) -> Result<Format, SourceError> {
        CONFIG.set(info.config);
        act("open", None)?;
        Ok(Format { name: get("format").unwrap_or("hydra.state-event".to_owned()), version: 1 })
    }

    fn bounds() -> Result<Extent, SourceError> {
        act("bounds", None)?;
        let newest = number("events").and_then(|events| events.checked_sub(1)).map(at);
        Ok(Extent { oldest: newest.map(|_| at(0)), newest })
    }

    fn get_events(after: Option<Position>, _token: Option<Vec<u8>>, limit: u32) -> Result<Page, SourceError> {
        if number("at-most").is_some_and(|most| u64::from(limit) > most) {
            panic!("asked for {limit} events");
        }
        if let Some(page) = act("page", after.map(|after| after.id))? {
            return Ok(page);
        }
        let first = after.map_or(0, |after| after.id + 1);
        let end = number("events").unwrap_or(0);
        // So that `when` is met: pages end at that id.
        let cut = number("when").map_or(end, |when| if first <= when { when + 1 } else { end });
        let lines: Vec<String> = (first..cut.min(first + u64::from(limit))).map(line).collect();
        let next = match (lines.is_empty(), get("spin"), number("wait")) {
            (false, ..) | (true, Some(_), _) => Next::More,
            (true, None, Some(wait)) => Next::Wait(wait as u32),
            (true, None, None) => Next::End,
        };
        Ok(Page { lines, token: Vec::new(), next })
    }

    fn close() {
        println!("closed");
    }
}

export!(Source);
