//! One running instance: a store with its limits armed, and the guest's functions.

use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::timeout;
use wasmtime::component::Instance;
use wasmtime::{Engine, Store};

use super::bindings::{batch, event_sink, flush, handover, lifecycle};
use super::engine::EPOCH_MS;
use super::failure::{GuestFailure, InForce, frames};
use super::host::HostState;
use super::interface::Interface;
use super::limits::Limits;
use super::load::SinkComponent;
use crate::sink::Usage;

/// Fuel after which a guest lets others run and its wall-clock limit is looked at: some 10 to 50 microseconds of work, so the yields
/// themselves cost little.
const YIELD_INTERVAL: u64 = 50_000;

/// What a batch has for the nanoseconds of an event without a time.
const NO_TIME: u32 = u32::MAX;

/// Time by which the epoch backs up a wall-clock limit: it fires only where the limit itself could not.
const EPOCH_GRACE: u64 = 20;

/// Which fuel and time a call gets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    fuel: (&'static str, u64),
    time: (&'static str, u64),
    /// Bytes that may be copied out of the guest.
    copies: (&'static str, u64),
}

impl Budget {
    fn new(limits: &Limits, fuel: (&'static str, u64), time: (&'static str, u64)) -> Self {
        Self { fuel, time, copies: ("hostcall-bytes", limits.hostcall_bytes) }
    }

    pub(super) fn open(limits: &Limits) -> Self {
        Self::new(limits, ("open-fuel", limits.open_fuel), ("open-timeout", limits.open_timeout))
    }

    /// `describe` says what is known beforehand, so a tenth of what opening gets is plenty.
    pub(super) fn describe(limits: &Limits) -> Self {
        Self { fuel: ("open-fuel", limits.open_fuel / 10), ..Self::open(limits) }
    }

    pub(super) fn put(limits: &Limits, bytes: usize) -> Self {
        Self::new(limits, ("fuel", limits.fuel_for(bytes)), ("timeout", limits.timeout))
    }

    /// A batch gets the sum of what its events would get.
    pub(super) fn batch(limits: &Limits, events: usize, bytes: usize) -> Self {
        let fuel = limits.fuel_per_byte.saturating_mul(bytes as u64);
        let fuel = fuel.saturating_add(limits.fuel.saturating_mul(events as u64));
        Self::new(limits, ("fuel", fuel), ("timeout", limits.timeout.saturating_mul(events as u64)))
    }

    pub(super) fn flush(limits: &Limits) -> Self {
        Self::new(limits, ("flush-fuel", limits.flush_fuel), ("flush-timeout", limits.flush_timeout))
    }

    /// The state may have as many bytes as its own limit says; the room for the few words around them is that of any other result.
    pub(super) fn save(limits: &Limits) -> Self {
        let copies = ("handover-bytes", limits.handover_bytes.saturating_add(limits.hostcall_bytes));
        Self { copies, ..Self::flush(limits) }
    }

    /// A page of a source gets the fuel of its events, the time of one call, and room for its lines.
    pub(super) fn page(limits: &Limits, events: u32) -> Self {
        let fuel = limits.fuel.saturating_mul(events.into());
        let copies = ("page-bytes", limits.page_bytes.saturating_add(limits.hostcall_bytes));
        Self { copies, ..Self::new(limits, ("fuel", fuel), ("timeout", limits.timeout)) }
    }

    pub(super) fn time(&self) -> Duration {
        Duration::from_millis(self.time.1)
    }
}

/// A component's instance. After any failure it must be dropped: wasmtime would let the next call run on half-finished state.
pub(super) struct GuestInstance {
    store: Store<HostState>,
    sink: event_sink::Guest,
    lifecycle: Option<lifecycle::Guest>,
    flush: Option<flush::Guest>,
    batch: Option<batch::Guest>,
    handover: Option<handover::Guest>,
    limits: Limits,
    usage: Usage,
}

impl std::fmt::Debug for GuestInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuestInstance").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// A store in which every limit is in force.
pub(super) fn store(engine: &Engine, state: HostState) -> wasmtime::Result<Store<HostState>> {
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.limiter);
    store.epoch_deadline_trap();
    store.fuel_async_yield_interval(Some(YIELD_INTERVAL))?;
    Ok(store)
}

impl GuestInstance {
    /// Instantiates a component.
    pub(super) async fn start(
        component: &SinkComponent,
        limits: &Limits,
        state: HostState,
    ) -> Result<Self, GuestFailure> {
        let budget = Budget::open(limits);
        let mut store = store(component.engine.engine(), state).map_err(|error| GuestFailure::of_host(&error))?;
        arm(&mut store, &budget);
        let outcome = timeout(budget.time(), component.pre.instantiate_async(&mut store)).await;
        let instance = settle(&mut store, limits, &budget, outcome)?;
        let loaded = load(component, &mut store, &instance);
        let (sink, lifecycle, flush, batch, handover) = settle(&mut store, limits, &budget, Ok(loaded))?;
        let limits = limits.clone();
        Ok(Self { store, sink, lifecycle, flush, batch, handover, limits, usage: Usage::default() })
    }

    /// What the calls so far have used.
    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// Takes note of what a put used.
    fn used(&mut self, budget: &Budget, events: u64) {
        let fuel = budget.fuel.1.saturating_sub(self.store.get_fuel().unwrap_or(0)) / events.max(1);
        let memory = self.store.data().limiter.memory() as u64;
        let Usage { fuel_worst, memory_worst, calls, .. } = self.usage;
        self.usage = Usage {
            fuel,
            fuel_worst: fuel_worst.max(fuel),
            memory,
            memory_worst: memory_worst.max(memory),
            calls: calls + 1,
        };
    }

    /// Calls `put-event`.
    pub(super) async fn put_event(
        &mut self,
        event: event_sink::StateEvent<'_>,
    ) -> Result<Result<event_sink::Ack, event_sink::SinkError>, GuestFailure> {
        let budget = Budget::put(&self.limits, event.json.len());
        if let Some(time) = event.time {
            self.store.data().clock.set(time.seconds, time.nanoseconds);
        }
        arm(&mut self.store, &budget);
        let outcome = timeout(budget.time(), self.sink.call_put_event(&mut self.store, event)).await;
        self.used(&budget, 1);
        settle(&mut self.store, &self.limits, &budget, outcome)
    }

    /// Calls `put-events`, if the guest has it.
    pub(super) async fn put_events(
        &mut self,
        batch: batch::EventBatch<'_>,
    ) -> Result<Option<Result<batch::Progress, batch::BatchError>>, GuestFailure> {
        let Some(guest) = &self.batch else { return Ok(None) };
        let events = batch.ids.len();
        let budget = Budget::batch(&self.limits, events, batch.json.len());
        if let (Some(seconds), Some(nanoseconds)) = (batch.seconds.first(), batch.nanoseconds.first()) {
            self.store.data().clock.set(*seconds, nanoseconds % NO_TIME);
        }
        arm(&mut self.store, &budget);
        let outcome = timeout(budget.time(), guest.call_put_events(&mut self.store, batch)).await;
        self.used(&budget, events as u64);
        settle(&mut self.store, &self.limits, &budget, outcome).map(Some)
    }

    /// Calls `describe`, if the guest has it.
    pub(super) async fn describe(&mut self) -> Result<Option<lifecycle::Manifest>, GuestFailure> {
        let Some(guest) = &self.lifecycle else { return Ok(None) };
        let budget = Budget::describe(&self.limits);
        arm(&mut self.store, &budget);
        let outcome = timeout(budget.time(), guest.call_describe(&mut self.store)).await;
        settle(&mut self.store, &self.limits, &budget, outcome).map(Some)
    }

    /// Calls `open`, if the guest has it.
    pub(super) async fn open(
        &mut self,
        info: lifecycle::OpenInfo<'_>,
    ) -> Result<Option<Result<lifecycle::Opened, lifecycle::SinkError>>, GuestFailure> {
        let Some(guest) = &self.lifecycle else { return Ok(None) };
        let budget = Budget::open(&self.limits);
        arm(&mut self.store, &budget);
        let outcome = timeout(budget.time(), guest.call_open(&mut self.store, info)).await;
        settle(&mut self.store, &self.limits, &budget, outcome).map(Some)
    }

    /// Calls `flush`, if the guest has it.
    pub(super) async fn flush(&mut self) -> Result<Option<Result<(), flush::SinkError>>, GuestFailure> {
        let Some(guest) = &self.flush else { return Ok(None) };
        let budget = Budget::flush(&self.limits);
        arm(&mut self.store, &budget);
        let outcome = timeout(budget.time(), guest.call_flush(&mut self.store)).await;
        settle(&mut self.store, &self.limits, &budget, outcome).map(Some)
    }

    /// Calls `save`, if the guest has it.
    pub(super) async fn save(&mut self) -> Result<Option<Result<handover::SavedResult, String>>, GuestFailure> {
        let Some(guest) = &self.handover else { return Ok(None) };
        let budget = Budget::save(&self.limits);
        arm(&mut self.store, &budget);
        let outcome = timeout(budget.time(), guest.call_save(&mut self.store)).await;
        settle(&mut self.store, &self.limits, &budget, outcome).map(Some)
    }

    /// Calls `restore`, if the guest has it.
    pub(super) async fn restore(
        &mut self,
        version: u32,
        bytes: &[u8],
    ) -> Result<Option<Result<(), handover::RestoreError>>, GuestFailure> {
        let Some(guest) = &self.handover else { return Ok(None) };
        let budget = Budget::open(&self.limits);
        arm(&mut self.store, &budget);
        let saved = handover::SavedParam { version, bytes };
        let outcome = timeout(budget.time(), guest.call_restore(&mut self.store, saved)).await;
        settle(&mut self.store, &self.limits, &budget, outcome).map(Some)
    }

    /// Calls `close`, if the guest has it.
    pub(super) async fn close(&mut self, reason: lifecycle::CloseReason) -> Result<(), GuestFailure> {
        let Some(guest) = &self.lifecycle else { return Ok(()) };
        let budget = Budget::flush(&self.limits);
        arm(&mut self.store, &budget);
        let outcome = timeout(budget.time(), guest.call_close(&mut self.store, reason)).await;
        settle(&mut self.store, &self.limits, &budget, outcome)
    }
}

type Functions =
    (event_sink::Guest, Option<lifecycle::Guest>, Option<flush::Guest>, Option<batch::Guest>, Option<handover::Guest>);

fn load(component: &SinkComponent, store: &mut Store<HostState>, instance: &Instance) -> wasmtime::Result<Functions> {
    fn optional<I: Interface>(
        indices: Option<&I::Indices>,
        store: &mut Store<HostState>,
        instance: &Instance,
    ) -> wasmtime::Result<Option<I>> {
        indices.map(|indices| I::load(indices, store, instance)).transpose()
    }
    Ok((
        Interface::load(&component.sink, store, instance)?,
        optional(component.lifecycle.as_ref(), store, instance)?,
        optional(component.flush.as_ref(), store, instance)?,
        optional(component.batch.as_ref(), store, instance)?,
        optional(component.handover.as_ref(), store, instance)?,
    ))
}

/// Gives a store the budget of its next call.
pub(super) fn arm(store: &mut Store<HostState>, budget: &Budget) {
    // Fails only if the engine does not count fuel, and ours does.
    let _ = store.set_fuel(budget.fuel.1);
    store.set_hostcall_fuel(usize::try_from(budget.copies.1).unwrap_or(usize::MAX));
    store.set_epoch_deadline(budget.time.1 / EPOCH_MS + EPOCH_GRACE);
}

/// Tells a call that ended badly what ended it. The store must not be used after an error.
pub(super) fn settle<T>(
    store: &mut Store<HostState>,
    limits: &Limits,
    budget: &Budget,
    outcome: Result<wasmtime::Result<T>, Elapsed>,
) -> Result<T, GuestFailure> {
    let error = match outcome {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => Some(error),
        Err(Elapsed { .. }) => None,
    };
    let limiter = &store.data().limiter;
    let in_force = InForce {
        fuel: budget.fuel,
        time: (budget.time.0, budget.time()),
        copies: budget.copies,
        stack: limits.stack,
        handles: limits.handles,
        random: limits.random_bytes,
        refused: limiter.refused(),
    };
    Err(GuestFailure {
        kind: error.as_ref().map_or_else(|| in_force.timed_out(), |error| in_force.explain(error)),
        frames: error.as_ref().map(frames).unwrap_or_default(),
        memory: limiter.memory(),
        fuel_used: budget.fuel.1.saturating_sub(store.get_fuel().unwrap_or(0)),
    })
}
