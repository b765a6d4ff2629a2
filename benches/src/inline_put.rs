//! `inline-put`: one 1 KB event to a no-op component, through the whole runtime.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use async_trait::async_trait;
use hydrant::component::{CompileCache, ComponentSink, Limits, SinkComponent, SinkEngine};
use hydrant::delivery::{FlushPolicy, InlineSink};
use hydrant::event::StateEvent;
use hydrant::node::{Node, Silent};
use hydrant::sink::{Ack, CloseReason, Delivery, EventSink, OpenInfo, Opened, SinkError};
use hydrant::source::{EventSource, Next, Page, SourceError};
use hydrant::stream::{Stream, StreamFormat};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Store, StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::summary::{Bound, Line, Summary};
use crate::turns::take_turns;

/// Length of the event's json in bytes.
const BYTES: usize = 1024;

/// Events in one measurement.
const EVENTS: usize = 100_000;

/// Events in one page of the source, about as many as a page of a log has.
const PAGE: usize = 500;

pub(crate) fn run(target: &Path, summary: &mut Summary) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let wasm = std::fs::read(target.join("guests/no-op.wasm")).context("run `make guests`")?;
    let events = events()?;
    let engine = SinkEngine::new(Limits::default().stack)?;
    let cache = CompileCache::open(target.join("bench/components"))?;
    let component = SinkComponent::from_bytes(&engine, &cache, &wasm)?;
    let guest = Component::new(engine.engine(), &wasm)?;
    let mut bare = runtime.block_on(Bare::start(&engine, &guest))?;
    let mut bare_timed = runtime.block_on(Bare::start(&engine, &guest))?;
    let mut extism = Extism::start(target)?;
    let [ours, native, bare, timed, extism] = take_turns(
        11,
        [
            Box::new(|| {
                let sink = ComponentSink::new("no-op", component.clone(), Limits::default(), Vec::new());
                through_node(&runtime, Box::new(sink), &events)
            }),
            Box::new(|| through_node(&runtime, Box::new(NoOp), &events)),
            Box::new(|| runtime.block_on(bare.put_all(&events, false))),
            Box::new(|| runtime.block_on(bare_timed.put_all(&events, true))),
            Box::new(|| extism.measure()),
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

fn events() -> anyhow::Result<Vec<StateEvent>> {
    let event = |id: usize| {
        let envelope = format!(
            r#"{{"eventId":{id},"stateChanged":{{"pad":"","tag":"SnapshotConfirmed"}},"time":"2025-06-01T00:00:00.5Z"}}"#
        );
        let pad = "x".repeat(BYTES.saturating_sub(envelope.len()));
        Ok(StateEvent::parse(envelope.replace("\"pad\":\"\"", &format!("\"pad\":\"{pad}\"")))?)
    };
    (0..PAGE).map(event).collect()
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

    fn log_tail(&self) -> Vec<String> {
        Vec::new()
    }
}

#[allow(clippy::all, clippy::indexing_slicing, clippy::panic, missing_docs, reason = "generated code")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "
            package bench:host;
            world every-interface {
                export hydrant:events/event-sink@0.1.0;
                export hydrant:events/lifecycle@0.1.0;
                export hydrant:events/flush@0.1.0;
                export hydrant:events/batch@0.1.0;
            }
        ",
        world: "bench:host/every-interface",
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

use bindings::exports::hydrant::events::event_sink;
use bindings::hydrant::events::types;

struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    limits: StoreLimits,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// The same component on wasmtime itself, with the same limits and nothing around.
struct Bare {
    store: Store<State>,
    guest: event_sink::Guest,
}

impl Bare {
    async fn start(engine: &SinkEngine, component: &Component) -> anyhow::Result<Self> {
        let mut linker = Linker::new(engine.engine());
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        let limits = Limits::default();
        let state = State {
            wasi: WasiCtx::builder().build(),
            table: ResourceTable::new(),
            limits: StoreLimitsBuilder::new().memory_size(limits.memory as usize).build(),
        };
        let mut store = Store::new(engine.engine(), state);
        store.limiter(|state| &mut state.limits);
        store.set_hostcall_fuel(limits.hostcall_bytes as usize);
        store.fuel_async_yield_interval(Some(50_000))?;
        store.set_fuel(u64::MAX)?;
        store.set_epoch_deadline(1_000_000);
        let pre = linker.instantiate_pre(component)?;
        let instance = pre.instantiate_async(&mut store).await?;
        let guest = event_sink::GuestIndices::new(&pre)?.load(&mut store, &instance)?;
        Ok(Self { store, guest })
    }

    async fn put_all(&mut self, events: &[StateEvent], timed: bool) -> anyhow::Result<f64> {
        let start = Instant::now();
        for _ in 0..EVENTS / PAGE {
            for event in events {
                self.store.set_fuel(Limits::default().fuel + 1_000 * BYTES as u64)?;
                self.store.set_epoch_deadline(70);
                let event = event_sink::StateEvent {
                    id: event.id(),
                    kind: types::Kind::Event,
                    time: event.time().map(|t| types::Datetime { seconds: t.seconds, nanoseconds: t.nanoseconds }),
                    tag: event.tag(),
                    json: event.json(),
                    delivery: types::Delivery::CATCHING_UP,
                };
                let call = self.guest.call_put_event(&mut self.store, event);
                let answer = match timed {
                    true => tokio::time::timeout(Duration::from_secs(5), call).await??,
                    false => call.await?,
                };
                answer.map_err(|error| anyhow::anyhow!("{error:?}"))?;
            }
        }
        Ok(start.elapsed().as_nanos() as f64 / EVENTS as f64)
    }
}

/// The Extism call, in a process of its own because Extism brings its own wasmtime.
struct Extism {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Extism {
    fn start(target: &Path) -> anyhow::Result<Self> {
        let plugin = target.join("wasm32-unknown-unknown/release/extism_no_op.wasm");
        let mut command = Command::new(target.join("release/extism-call"));
        command.arg(plugin).arg(BYTES.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start extism-call: run `make bench`")?;
        let requests = child.stdin.take().context("no standard input")?;
        let answers = BufReader::new(child.stdout.take().context("no standard output")?);
        Ok(Self { child, requests, answers })
    }

    fn measure(&mut self) -> anyhow::Result<f64> {
        writeln!(self.requests, "{}", EVENTS / 4)?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        answer.trim().parse().context("extism-call failed")
    }
}

impl Drop for Extism {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
