//! What the host provides to a component: one file an imported interface, and the state they share.

mod clock;
mod guest_log;
mod http;
mod key_value;
mod log;
mod secrets;
mod stdio;

use std::io;
use std::sync::Arc;

use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::clocks::{MonotonicClock, WallClock};
use wasmtime_wasi::random::{Deterministic, thread_rng};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

pub(super) use clock::EventClock;
pub(super) use guest_log::GuestLog;
use http::Outbound;
pub use http::{Resolve, SystemResolver};
use secrets::Secrets;

use super::bindings;
use super::grants::{ClockGrant, FolderGrant, GrantError, Grants, RandomGrant};
use super::http_grants::HttpGrants;
use super::limiter::StoreLimiter;
use super::limits::Limits;
use crate::sink_store::KeyValue;

/// The state of one component instance.
pub(super) struct HostState {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(super) limiter: StoreLimiter,
    log: GuestLog,
    key_value: Option<KeyValue>,
    /// What the clocks say if they were granted as `event-time`.
    pub(super) clock: EventClock,
    secrets: Secrets,
    http: WasiHttpCtx,
    outbound: Outbound,
}

impl HostState {
    /// Nothing is given: no folder, no environment, no time, an empty standard input. `describe` runs in such a state.
    pub(super) fn bare(limits: &Limits, log: &GuestLog) -> Self {
        let outbound = Outbound::new(&HttpGrants::default(), &system_resolver(), limits, log);
        Self::with(nothing(limits, log).build(), outbound, limits, log)
    }

    /// These rights are given, and no others. `seed` is where seeded random numbers begin, `resolver` who finds hosts.
    ///
    /// # Errors
    ///
    /// If a folder, a secret or a variable is not there.
    pub(super) fn new(
        limits: &Limits,
        log: &GuestLog,
        rights: &Grants,
        seed: [u8; 16],
        resolver: &Arc<dyn Resolve>,
    ) -> Result<Self, GrantError> {
        let mut wasi = nothing(limits, log);
        for FolderGrant { path, writable } in &rights.folders {
            let may = if *writable { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
            let given = wasi.preopened_dir(path, path.to_string_lossy(), may);
            given.map_err(|error| GrantError::new(format!("folder {}", path.display()), io::Error::other(error)))?;
        }
        for name in &rights.env {
            let value = std::env::var(name);
            wasi.env(
                name,
                value.map_err(|error| GrantError::new(format!("variable {name}"), io::Error::other(error)))?,
            );
        }
        let clock = EventClock::default();
        match rights.clock {
            ClockGrant::None => {}
            ClockGrant::EventTime => drop(wasi.wall_clock(clock.clone()).monotonic_clock(clock.clone())),
            ClockGrant::Real => drop(wasi.wall_clock(WallClock::new()).monotonic_clock(MonotonicClock::new())),
        }
        give_random(&mut wasi, rights.random, seed);
        let mut secrets = Secrets::default();
        for (name, place) in &rights.secrets {
            secrets.0.insert(name.clone(), place.read(name)?);
        }
        let outbound = Outbound::new(&rights.http, resolver, limits, log);
        Ok(Self { clock, secrets, ..Self::with(wasi.build(), outbound, limits, log) })
    }

    /// The same, with the sink's key-value.
    pub(super) fn with_key_value(self, key_value: Option<&KeyValue>) -> Self {
        Self { key_value: key_value.cloned(), ..self }
    }

    fn with(wasi: WasiCtx, outbound: Outbound, limits: &Limits, log: &GuestLog) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(usize::try_from(limits.handles).unwrap_or(usize::MAX));
        Self {
            wasi,
            table,
            limiter: StoreLimiter::new(limits),
            log: log.clone(),
            key_value: None,
            clock: EventClock::default(),
            secrets: Secrets::default(),
            http: WasiHttpCtx::new(),
            outbound,
        }
    }
}

/// Finds hosts as every program on this machine does.
pub(super) fn system_resolver() -> Arc<dyn Resolve> {
    Arc::new(SystemResolver)
}

fn nothing(limits: &Limits, log: &GuestLog) -> WasiCtxBuilder {
    let mut wasi = WasiCtxBuilder::new();
    wasi.stdout(stdio::LogLines::new(log)).stderr(stdio::LogLines::new(log));
    wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
    wasi.wall_clock(EventClock::default()).monotonic_clock(EventClock::default());
    wasi.max_random_size(limits.random_bytes);
    give_random(&mut wasi, RandomGrant::None, [0; 16]);
    wasi
}

fn give_random(wasi: &mut WasiCtxBuilder, grant: RandomGrant, seed: [u8; 16]) {
    let zeros = || Deterministic::new(vec![0]);
    match grant {
        RandomGrant::None => {
            wasi.secure_random(zeros()).insecure_random(zeros()).insecure_random_seed(0);
        }
        RandomGrant::Seeded => {
            let numbers = || Pcg64Mcg::from_seed(seed);
            wasi.secure_random(numbers()).insecure_random(numbers()).insecure_random_seed(u128::from_le_bytes(seed));
        }
        RandomGrant::Real => {
            // What it begins with is as random as what follows.
            let mut random = thread_rng();
            let seed = u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
            wasi.secure_random(thread_rng()).insecure_random(thread_rng()).insecure_random_seed(seed);
        }
    }
}

impl std::fmt::Debug for HostState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostState").field("limiter", &self.limiter).finish_non_exhaustive()
    }
}

impl WasiHttpView for HostState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outbound, table: &mut self.table, ctx: &mut self.http }
    }
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Adds everything a component may import: all of WASI 0.2 with HTTP, denying what was not granted, and our own interfaces.
pub(super) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    bindings::key_value::add_to_linker::<HostState, HasSelf<Option<KeyValue>>>(linker, |state| &mut state.key_value)?;
    bindings::secrets::add_to_linker::<HostState, HasSelf<Secrets>>(linker, |state| &mut state.secrets)?;
    bindings::log::add_to_linker::<HostState, HasSelf<GuestLog>>(linker, |state| &mut state.log)
}
