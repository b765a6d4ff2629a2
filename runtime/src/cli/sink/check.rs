//! `hydrant sink check`: run a component over recorded events and propose limits.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use bytesize::ByteSize;
use hydrant::component::{ComponentSink, Consumption, FuelOfTag, Limits, SinkComponent, SinkEngine, read_component};
use hydrant::config::{SinkConfig, SinkKind};
use hydrant::delivery::FlushPolicy;
use hydrant::sink::{Ack, CloseReason, Delivery, EventSink, OpenInfo};
use hydrant::sink_store::SinkStore;
use hydrant::store::{LocalLog, ReadLog, ReadOptions};
use hydrant::stream::{Stream, StreamFormat};
use serde::Serialize;

use super::compile_cache;
use crate::cli::output::table;
use crate::cli::progress::Progress;

/// What came of it, and what went wrong in the end if something did.
pub(super) struct Checked {
    pub(super) text: String,
    pub(super) failure: Option<anyhow::Error>,
}

/// What `--json` prints.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report {
    fuel: Vec<FuelOfTag>,
    memory: u64,
    proposal: Vec<String>,
}

pub(super) fn check(sink: &str, log: &Path, json: bool) -> anyhow::Result<Checked> {
    let uri = if sink.starts_with("wasm:") { sink.to_owned() } else { format!("wasm:{sink}?limits=generous") };
    let config = SinkConfig::from_uri(&uri)?;
    let SinkKind::Component { path, limits, config: settings, grants, .. } = config.kind else {
        anyhow::bail!("{sink:?} is no component");
    };
    let engine = SinkEngine::new(limits.stack)?;
    let loaded = SinkComponent::from_bytes(&engine, &compile_cache()?, &read_component(&path)?, &limits);
    let loaded = loaded.with_context(|| path.display().to_string())?;
    let mut component = ComponentSink::new(&config.name, loaded, (*limits).clone(), settings).with_grants(*grants);
    component.keep_state(&SinkStore::in_memory()?, &config.name);
    let reader = LocalLog::at(log).open(ReadOptions::default())?;
    let mut used = Consumption::new(&limits);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let failure = runtime.block_on(put_all(&mut component, reader, &mut used)).err();
    Ok(Checked { text: if json { as_json(&used)? } else { in_words(&used, &limits) }, failure })
}

async fn put_all(sink: &mut ComponentSink, mut reader: Box<dyn ReadLog>, used: &mut Consumption) -> anyhow::Result<()> {
    let format = reader.format().unwrap_or_else(StreamFormat::state_event);
    let stream = Stream { name: "check".to_owned(), epoch: 0, format };
    sink.open(&OpenInfo { stream, head_id: None, resume: None }).await?;
    let (progress, flush_after) = (Progress::bytes("putting"), FlushPolicy::default().events);
    let mut since_flush = 0;
    while let Some(page) = reader.read_history()? {
        let (done, total) = reader.progress();
        progress.set(done, total, String::new);
        for event in &page.events {
            if !sink.wants(event.tag()) {
                continue;
            }
            let put = sink.put_event(event, Delivery::default()).await;
            let ack = put.with_context(|| format!("at event {} ({})", event.position(), event.tag()))?;
            used.note(event, sink.usage());
            since_flush += u64::from(ack == Ack::Accepted);
            if since_flush >= flush_after {
                sink.flush().await?;
                since_flush = 0;
            }
        }
    }
    sink.flush().await?;
    Ok(sink.close(CloseReason::Stop).await?)
}

fn proposal(used: &Consumption) -> Vec<String> {
    used.proposal().into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn as_json(used: &Consumption) -> anyhow::Result<String> {
    let report = Report { fuel: used.fuel(), memory: used.memory(), proposal: proposal(used) };
    Ok(serde_json::to_string_pretty(&report)? + "\n")
}

fn in_words(used: &Consumption, limits: &Limits) -> String {
    let row = |cells: [&str; 5]| cells.map(str::to_owned).to_vec();
    let mut rows = vec![row(["TAG", "EVENTS", "FUEL P50", "P99", "MAX"])];
    for FuelOfTag { tag, events, p50, p99, max } in used.fuel() {
        rows.push(row([&tag, &events.to_string(), &p50.to_string(), &p99.to_string(), &max.to_string()]));
    }
    let mut text = table(&rows);
    let memory = ByteSize::b(used.memory()).display().iec();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "\nmemory: {memory} at most");
    let _ = writeln!(
        text,
        "proposed, with as much room again, beside fuel-per-byte={}: {}",
        limits.fuel_per_byte,
        proposal(used).join("&")
    );
    text
}
