//! `inline-put`: one 1 KB event to a no-op component, through the whole runtime.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use async_trait::async_trait;
use hydrant::component::{CompileCache, Compiler, ComponentSink, Limits, SinkComponent, SinkEngine};
use hydrant::delivery::{FlushPolicy, InlineSink};
use hydrant::event::StateEvent;
use hydrant::node::{Node, Silent};
use hydrant::sink::{Ack, CloseReason, Delivery, EventSink, OpenInfo, Opened, SinkError};
use hydrant::source::{EventSource, Next, Page, SourceError};
use hydrant::stream::{Stream, StreamFormat};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use wasmtime::component::Component;

use crate::bare::Bare;
use crate::extism::Extism;
use crate::summary::{Bound, Line, Summary};
use crate::turns::take_turns;

/// Length of the event's json in bytes.
pub(crate) const BYTES: usize = 1024;

/// Events in one measurement.
const EVENTS: usize = 100_000;

/// Events in one page of the source, about as many as a page of a log has.
const PAGE: usize = 500;

pub(crate) fn run(target: &Path, summary: &mut Summary) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let wasm = std::fs::read(target.join("guests/no-op.wasm")).context("run `make guests`")?;
    let events = events(PAGE)?;
    let engine = SinkEngine::new(Limits::default().stack)?;
    let cache = CompileCache::open(target.join("bench/components"), Compiler::InProcess)?;
    let component = SinkComponent::from_bytes(&engine, &cache, &wasm, &Limits::default())?;
    let guest = Component::new(engine.engine(), &wasm)?;
    let mut bare = runtime.block_on(Bare::start(&engine, &guest))?;
    let mut bare_timed = runtime.block_on(Bare::start(&engine, &guest))?;
    let mut extism = Extism::start(target, BYTES)?;
    let [ours, native, bare, timed, extism] = take_turns(
        11,
        [
            Box::new(|| {
                let sink = ComponentSink::new("no-op", component.clone(), Limits::default(), Vec::new());
                through_node(&runtime, Box::new(sink), &events)
            }),
            Box::new(|| through_node(&runtime, Box::new(NoOp), &events)),
            Box::new(|| runtime.block_on(bare.put_all(&events, EVENTS / PAGE, false))),
            Box::new(|| runtime.block_on(bare_timed.put_all(&events, EVENTS / PAGE, true))),
            Box::new(|| extism.measure(EVENTS / 4)),
        ],
    )?;
    let line = |name, baseline, ratio, bound| Line { name, value: ours.median(), unit: "ns", baseline, ratio, bound };
    let at_most = Bound::AtMost(1.3);
    summary.add(&line("inline-put", ("bare wasmtime", timed.median()), ours.ratio_to(&timed), at_most))?;
    let untimed = ("bare, no wall clock limit", bare.median());
    summary.add(&line("inline-put/no-wall-clock", untimed, ours.ratio_to(&bare), Bound::None))?;
    let native_ratio = ours.ratio_to(&native);
    summary.add(&line("inline-put/native", ("native Rust sink", native.median()), native_ratio, Bound::None))?;
    let faster = extism.ratio_to(&ours);
    summary.add(&line("inline-put/extism", ("Extism call", extism.median()), faster, Bound::AtLeast(6.0)))
}

/// Events of 1 KB, all alike but for their ids.
pub(crate) fn events(count: usize) -> anyhow::Result<Vec<StateEvent>> {
    let event = |id: usize| {
        let envelope = format!(
            r#"{{"eventId":{id},"stateChanged":{{"pad":"","tag":"SnapshotConfirmed"}},"time":"2025-06-01T00:00:00.5Z"}}"#
        );
        let pad = "x".repeat(BYTES.saturating_sub(envelope.len()));
        Ok(StateEvent::parse(envelope.replace("\"pad\":\"\"", &format!("\"pad\":\"{pad}\"")))?)
    };
    (0..count).map(event).collect()
}

/// Gives the same page over and over.
#[derive(Debug)]
struct Repeat {
    pages: VecDeque<Vec<StateEvent>>,
}

#[async_trait]
impl EventSource for Repeat {
    fn describe(&self) -> String {
        "events in memory".to_owned()
    }

    fn format(&self) -> StreamFormat {
        StreamFormat::state_event()
    }

    async fn open(&mut self) -> Result<(), SourceError> {
        Ok(())
    }

    async fn get_events(&mut self) -> Result<Page, SourceError> {
        let events = self.pages.pop_front().unwrap_or_default();
        let next = if self.pages.is_empty() { Next::End } else { Next::More };
        Ok(Page { events, findings: Vec::new(), history: true, next, progress: None })
    }
}

/// Nanoseconds an event takes from the source to a sink and back.
fn through_node(runtime: &Runtime, sink: Box<dyn EventSink>, events: &[StateEvent]) -> anyhow::Result<f64> {
    let source = Repeat { pages: (0..EVENTS / PAGE).map(|_| events.to_vec()).collect() };
    let stream = Stream { name: "bench".to_owned(), epoch: 0, format: StreamFormat::state_event() };
    let sink = InlineSink::new("sink", sink, FlushPolicy::default());
    let mut node = Node::new(stream, Box::new(source), vec![sink]);
    runtime.block_on(async {
        node.open().await?;
        let start = Instant::now();
        node.hydrate(&CancellationToken::new(), &mut Silent).await?;
        let nanos = start.elapsed().as_nanos() as f64 / EVENTS as f64;
        anyhow::ensure!(node.delivered().events == EVENTS as u64, "not every event was delivered");
        node.close(CloseReason::Stop).await?;
        Ok(nanos)
    })
}

/// A native sink that does nothing.
#[derive(Debug)]
struct NoOp;

#[async_trait]
impl EventSink for NoOp {
    fn describe(&self) -> String {
        "nothing".to_owned()
    }

    async fn open(&mut self, _info: &OpenInfo) -> Result<Opened, SinkError> {
        Ok(Opened::Cursor)
    }

    async fn put_event(&mut self, event: &StateEvent, _delivery: Delivery) -> Result<Ack, SinkError> {
        std::hint::black_box(event);
        Ok(Ack::Durable)
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn close(&mut self, _reason: CloseReason) -> Result<(), SinkError> {
        Ok(())
    }
}
