//! The component on wasmtime itself, with the same limits and nothing around: what hydrant is compared with.

use std::time::{Duration, Instant};

use hydrant::component::{Limits, SinkEngine};
use hydrant::event::StateEvent;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Store, StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

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

use bindings::exports::hydrant::events::{batch, event_sink};
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
pub(crate) struct Bare {
    store: Store<State>,
    guest: event_sink::Guest,
    batch: batch::Guest,
}

impl Bare {
    pub(crate) async fn start(engine: &SinkEngine, component: &Component) -> anyhow::Result<Self> {
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
        let batch = batch::GuestIndices::new(&pre)?.load(&mut store, &instance)?;
        Ok(Self { store, guest, batch })
    }

    pub(crate) async fn put_all(&mut self, events: &[StateEvent], rounds: usize, timed: bool) -> anyhow::Result<f64> {
        let start = Instant::now();
        for _ in 0..rounds {
            for event in events {
                self.store.set_fuel(Limits::default().fuel + 1_000 * 1_024)?;
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
        Ok(start.elapsed().as_nanos() as f64 / (rounds * events.len()) as f64)
    }

    /// Puts the same events as columns that were built once; nanoseconds an event.
    pub(crate) async fn put_columns(&mut self, events: &[StateEvent], rounds: usize) -> anyhow::Result<f64> {
        let ids: Vec<u64> = events.iter().map(StateEvent::id).collect();
        let seconds: Vec<i64> = events.iter().map(|event| event.time().map_or(0, |time| time.seconds)).collect();
        let nanoseconds: Vec<u32> =
            events.iter().map(|event| event.time().map_or(0, |time| time.nanoseconds)).collect();
        let bytes = vec![0; events.len()];
        let json: String = events.iter().map(StateEvent::json).collect();
        let end = |at: usize| events.iter().take(at + 1).map(|event| event.json().len() as u32).sum();
        let ends: Vec<u32> = (0..events.len()).map(end).collect();
        let tags: Vec<&str> = events.first().map(StateEvent::tag).into_iter().collect();
        let tag = vec![0; events.len()];
        let columns = || batch::EventBatch {
            ids: &ids,
            kinds: &bytes,
            seconds: &seconds,
            nanoseconds: &nanoseconds,
            deliveries: &bytes,
            tags: &tags,
            tag: &tag,
            ends: &ends,
            json: &json,
        };
        let start = Instant::now();
        for _ in 0..rounds {
            self.store.set_fuel(Limits::default().fuel * events.len() as u64)?;
            self.store.set_epoch_deadline(70);
            let call = self.batch.call_put_events(&mut self.store, columns());
            let answer = tokio::time::timeout(Duration::from_secs(5), call).await??;
            answer.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        }
        Ok(start.elapsed().as_nanos() as f64 / (rounds * events.len()) as f64)
    }
}
