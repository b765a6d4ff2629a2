//! A source: reads events from a file of lines in a granted folder, and follows it.
//!
//! `grant.dir=/logs:ro` and `config.file=/logs/state`; with `config.follow=no` the end of the file is the end of the stream. Its own place is the
//! byte at which the next line begins; that is its token, so that a page costs no more at the end of a long file than at its start.

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package example:ndjson-source;
        world ndjson-source { include hydrant:events/source@0.1.0; }
    ",
    world: "example:ndjson-source/ndjson-source",
    generate_all,
});

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};

use exports::hydrant::events::event_source::{
    Extent, Format, Guest, Manifest, Next, Page, Position, Retry, SourceError, SourceInfo,
};
use hydrant::events::types::{Hints, Kind, Need};
use serde::Deserialize;

/// Milliseconds between two looks at the end of the file.
const POLL: u32 = 50;

/// Bytes of lines in one page; the host takes no more than its limit `page-bytes`.
const PAGE_BYTES: usize = 1 << 20;

#[derive(Default)]
struct Settings {
    file: String,
    follow: bool,
}

thread_local! {
    static SETTINGS: RefCell<Settings> = RefCell::default();
}

struct Source;

impl Guest for Source {
    fn describe() -> Manifest {
        Manifest {
            name: "ndjson-source".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            accepts: Vec::new(),
            writes: None,
            config_schema: None,
            tags: Vec::new(),
            needs: vec![Need { grant: "dir".to_owned(), reason: "to read the file".to_owned() }],
            hints: Hints { batch_events: None, batch_bytes: None, flush_ms: None },
            irreversible: false,
        }
    }

    fn open(info: SourceInfo) -> Result<Format, SourceError> {
        let mut settings = Settings { file: String::new(), follow: true };
        for (name, value) in info.config {
            match name.as_str() {
                "file" => settings.file = value,
                "follow" => settings.follow = value != "no",
                other => {
                    return Err(SourceError::Fatal(format!("unknown configuration {other:?}; known are file, follow")));
                }
            }
        }
        File::open(&settings.file).map_err(|error| SourceError::Fatal(format!("{}: {error}", settings.file)))?;
        SETTINGS.set(settings);
        Ok(Format { name: "hydra.state-event".to_owned(), version: 1 })
    }

    fn bounds() -> Result<Extent, SourceError> {
        let mut lines = Lines::at(0)?;
        let oldest = lines.next()?.map(|line| position(&line)).transpose()?;
        let mut newest = oldest;
        while let Some(line) = lines.next()? {
            newest = Some(position(&line)?);
        }
        Ok(Extent { oldest, newest })
    }

    fn get_events(after: Option<Position>, token: Option<Vec<u8>>, limit: u32) -> Result<Page, SourceError> {
        let place = token.and_then(|token| token.try_into().ok()).map(u64::from_le_bytes);
        let mut lines = Lines::at(place.unwrap_or(0))?;
        let (mut page, mut bytes) = (Vec::new(), 0);
        let mut is_end = false;
        while page.len() < limit as usize && bytes < PAGE_BYTES {
            let Some(line) = lines.next()? else {
                is_end = true;
                break;
            };
            // Without a token this is a fresh instance: what the host has already is passed over.
            if place.is_none() && after.is_some_and(|after| position(&line).is_ok_and(|at| order(at) <= order(after))) {
                continue;
            }
            bytes += line.len();
            page.push(line);
        }
        let next = match (is_end, SETTINGS.with_borrow(|settings| settings.follow)) {
            (false, _) => Next::More,
            (true, true) => Next::Wait(POLL),
            (true, false) => Next::End,
        };
        Ok(Page { lines: page, token: lines.place.to_le_bytes().to_vec(), next })
    }

    fn close() {}
}

/// The whole lines of the file from a place on.
struct Lines {
    file: BufReader<File>,
    place: u64,
}

impl Lines {
    fn at(place: u64) -> Result<Self, SourceError> {
        let path = SETTINGS.with_borrow(|settings| settings.file.clone());
        let mut file = File::open(path).map_err(unreachable)?;
        file.seek(SeekFrom::Start(place)).map_err(unreachable)?;
        Ok(Self { file: BufReader::new(file), place })
    }

    /// The next line that has its newline.
    fn next(&mut self) -> Result<Option<String>, SourceError> {
        let mut line = Vec::new();
        let read = self.file.read_until(b'\n', &mut line).map_err(unreachable)?;
        if line.pop() != Some(b'\n') {
            return Ok(None);
        }
        self.place += read as u64;
        String::from_utf8(line).map(Some).map_err(|_| SourceError::Fatal("a line is not UTF-8".to_owned()))
    }
}

fn unreachable(error: std::io::Error) -> SourceError {
    SourceError::Retry(Retry { after_ms: None, message: error.to_string() })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    event_id: u64,
    state_changed: StateChanged,
}

#[derive(Deserialize)]
struct StateChanged {
    tag: String,
}

fn position(line: &str) -> Result<Position, SourceError> {
    let event: Event =
        serde_json::from_str(line).map_err(|error| SourceError::Fatal(format!("a line is no event: {error}")))?;
    let kind = if event.state_changed.tag == "Checkpoint" { Kind::Checkpoint } else { Kind::Event };
    Ok(Position { id: event.event_id, kind })
}

fn order(position: Position) -> (u64, bool) {
    (position.id, position.kind == Kind::Checkpoint)
}

export!(Source);
