//! `hydrant status | pause | resume | replay | swap | parked`: talk to a running hydrant through its admin API.

use std::path::Path;

use bytesize::ByteSize;
use hydrant::admin::{Client, StatusReport};
use hydrant::component::{read_component, short_digest};
use hydrant::delivery::SinkStatus;
use hydrant::event::Position;
use hydrant::sink_store::{ParkedEvent, PostMortem, VersionRecord};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;

use super::output::{print, table};
use super::{Exit, Failure, ParkedArgs, ParkedCommand, ReachArgs, ReplayArgs};

fn client(reach: &ReachArgs) -> Result<Client, Failure> {
    match (&reach.connect, &reach.token_file) {
        (Some(address), Some(token_file)) => Client::tcp(*address, token_file).map_err(Exit::Usage.because()),
        _ => Ok(Client::unix(reach.data_dir.as_deref().unwrap_or(Path::new("hydrant-data")))),
    }
}

/// Sends a request on a small runtime; an error of the API ends with exit code 1.
fn request(reach: &ReachArgs, path: &str, body: Option<Vec<u8>>) -> Result<Vec<u8>, Failure> {
    let client = client(reach)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answer = runtime.map_err(Exit::SinkFailed.because())?.block_on(async {
        match body {
            Some(body) => client.post(path, body.into()).await,
            None => client.get(path).await,
        }
    });
    Ok(answer.map_err(Exit::SinkFailed.because())?.to_vec())
}

fn parse<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(answer).map_err(Exit::SinkFailed.because())
}

fn path(sink: &str, rest: &str) -> String {
    format!("/sinks/{}/{rest}", utf8_percent_encode(sink, NON_ALPHANUMERIC))
}

/// Prints the message of an order's answer.
fn print_message(answer: &[u8]) -> Result<Exit, Failure> {
    let answer: serde_json::Value = parse(answer)?;
    let message = answer.get("message").and_then(|message| message.as_str()).unwrap_or_default();
    print(&format!("{message}\n"))
}

pub(super) fn order(sink: &str, order: &str, reach: &ReachArgs) -> Result<Exit, Failure> {
    print_message(&request(reach, &path(sink, order), Some(Vec::new()))?)
}

pub(super) fn replay(args: &ReplayArgs) -> Result<Exit, Failure> {
    let mut query = format!("replay?from={}", args.from);
    if args.reset_state || args.keep_state {
        query.push_str(&format!("&reset-state={}", args.reset_state));
    }
    print_message(&request(&args.reach, &path(&args.sink, &query), Some(Vec::new()))?)
}

pub(super) fn swap(sink: &str, component: &Path, reach: &ReachArgs) -> Result<Exit, Failure> {
    let wasm = read_component(component).map_err(Exit::Usage.because())?;
    print_message(&request(reach, &path(sink, "swap"), Some(wasm))?)
}

pub(super) fn parked(command: ParkedCommand) -> Result<Exit, Failure> {
    match command {
        ParkedCommand::List { sink, json, reach } => {
            let answer = request(&reach, &path(&sink, "parked"), None)?;
            match json {
                true => print(&(String::from_utf8_lossy(&answer) + "\n")),
                false => print(&parked_table(&parse::<Vec<ParkedEvent>>(&answer)?)),
            }
        }
        ParkedCommand::Show { sink, position, reach } => {
            let parked: Vec<ParkedEvent> = parse(&request(&reach, &path(&sink, "parked"), None)?)?;
            match parked.iter().find(|event| event.position == position) {
                Some(event) => print(&post_mortem(event)),
                None => Err(Exit::SinkFailed.because()(anyhow::anyhow!("no event {position} is parked"))),
            }
        }
        ParkedCommand::Put(args) => parked_order(&args, "put"),
        ParkedCommand::Drop(args) => parked_order(&args, "drop"),
    }
}

fn parked_order(args: &ParkedArgs, order: &str) -> Result<Exit, Failure> {
    let query = args.position.map_or_else(String::new, |position| format!("?position={position}"));
    print_message(&request(&args.reach, &path(&args.sink, &format!("parked/{order}{query}")), Some(Vec::new()))?)
}

pub(super) fn status(json: bool, history: Option<String>, reach: &ReachArgs) -> Result<Exit, Failure> {
    let answer = match &history {
        Some(sink) => request(reach, &path(sink, "history"), None)?,
        None => request(reach, "/status", None)?,
    };
    if json {
        return print(&(String::from_utf8_lossy(&answer) + "\n"));
    }
    match history {
        Some(_) => print(&history_table(&parse::<Vec<VersionRecord>>(&answer)?)),
        None => print(&status_table(&parse(&answer)?)),
    }
}

fn position(position: Option<Position>) -> String {
    position.map_or_else(|| "-".to_owned(), |position| position.to_string())
}

fn short(digest: Option<&str>) -> &str {
    digest.map_or("-", short_digest)
}

fn header(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn status_table(report: &StatusReport) -> String {
    let mut rows = vec![header(&[
        "SINK", "LANE", "STATE", "POSITION", "LAG", "LAG TIME", "RATE/S", "PARKED", "RESTARTS", "DIGEST", "FUEL",
        "MEMORY",
    ])];
    for sink in &report.sinks {
        rows.push(vec![
            sink.sink.clone(),
            sink.lane.clone(),
            sink.state.to_string(),
            position(sink.position),
            sink.lag_events.map_or_else(|| "-".to_owned(), |lag| lag.to_string()),
            sink.lag_seconds.map_or_else(|| "-".to_owned(), |lag| format!("{lag:.0}s")),
            format!("{:.1}", sink.rate),
            sink.parked.to_string(),
            sink.restarts.to_string(),
            short(sink.digest.as_deref()).to_owned(),
            format!("{}/{}", sink.usage.fuel, sink.usage.fuel_worst),
            format!("{}/{}", sink.usage.memory, sink.usage.memory_worst),
        ]);
    }
    let mut text = format!("stream {}, epoch {}, process {}\n", report.stream, report.epoch, report.pid);
    if let Some(head) = &report.head {
        let as_of = head.as_of.map_or_else(String::new, |as_of| format!(", as of event {as_of}"));
        text.push_str(&format!("head {head}{as_of}\n"));
    }
    text.push_str(&table(&rows));
    text.push_str(&report.sinks.iter().filter_map(remarks).collect::<String>());
    text
}

/// What does not fit into the table.
fn remarks(sink: &SinkStatus) -> Option<String> {
    let mut text = String::new();
    if let Some(reason) = &sink.reason {
        let retry = sink.next_retry_ms.map_or_else(String::new, |millis| format!("; next attempt in {millis} ms"));
        text.push_str(&format!("{}: {}: {reason}{retry}\n", sink.sink, sink.state));
    }
    if let Some(error) = sink.last_error.as_ref().filter(|error| sink.reason.as_ref() != Some(error)) {
        text.push_str(&format!("{}: last error: {error}\n", sink.sink));
    }
    (!text.is_empty()).then_some(text)
}

/// Seconds since 1970 as a date.
fn date(seconds: u64) -> String {
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).to_string()
}

fn history_table(versions: &[VersionRecord]) -> String {
    let mut rows = vec![header(&["SINCE", "AFTER EVENT", "VERSION", "REASON"])];
    for version in versions {
        rows.push(vec![
            date(version.at.min(MAX_DATE)),
            position(version.since),
            short(Some(&version.digest)).to_owned(),
            version.reason.clone(),
        ]);
    }
    table(&rows)
}

/// The end of the year 9999, beyond which there is no date.
const MAX_DATE: u64 = 253_402_300_799;

fn parked_table(parked: &[ParkedEvent]) -> String {
    let mut rows = vec![header(&["EVENT", "TAG", "PARKED AT", "BY VERSION", "BYTES", "ERROR"])];
    for event in parked {
        rows.push(vec![
            event.position.to_string(),
            event.tag.clone(),
            date(event.parked_at.min(MAX_DATE)),
            short(event.digest.as_deref()).to_owned(),
            event.json.len().to_string(),
            event.error.clone(),
        ]);
    }
    table(&rows)
}

fn post_mortem(event: &ParkedEvent) -> String {
    let mut text = format!(
        "event {} ({}), {} bytes, parked at {} by version {}\n{}\n",
        event.position,
        event.tag,
        event.json.len(),
        date(event.parked_at.min(MAX_DATE)),
        short(event.digest.as_deref()),
        event.error
    );
    let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<9} {value}\n"));
    if let Some(PostMortem { limit, functions, fuel_used, memory }) = &event.post_mortem {
        line("limit", limit.as_deref().unwrap_or("none: it trapped on its own"));
        line("fuel", &format!("{fuel_used} used"));
        line("memory", &ByteSize::b(*memory).display().iec().to_string());
        for function in functions {
            line("in", function);
        }
    }
    for said in &event.log_tail {
        line("said", said);
    }
    text
}
