//! What the host provides to a component: one file an imported interface, and the state they share.

mod guest_log;
mod key_value;
mod log;
mod stdio;

use std::path::PathBuf;

use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

pub(super) use guest_log::GuestLog;

use super::bindings;
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
}

impl HostState {
    /// Nothing is granted: no folder, no network, no environment, no arguments, an empty standard input.
    pub(super) fn new(limits: &Limits, log: &GuestLog, key_value: Option<&KeyValue>) -> Self {
        let mut wasi = nothing(log);
        Self::with(wasi.build(), limits, log, key_value)
    }

    /// Folders are granted, for reading only, each under the path that it has here.
    pub(super) fn with_folders(limits: &Limits, log: &GuestLog, folders: &[PathBuf]) -> wasmtime::Result<Self> {
        let mut wasi = nothing(log);
        for folder in folders {
            wasi.preopened_dir(folder, folder.to_string_lossy(), FsPerms::ReadOnly)?;
        }
        Ok(Self::with(wasi.build(), limits, log, None))
    }

    fn with(wasi: WasiCtx, limits: &Limits, log: &GuestLog, key_value: Option<&KeyValue>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(usize::try_from(limits.handles).unwrap_or(usize::MAX));
        Self { wasi, table, limiter: StoreLimiter::new(limits), log: log.clone(), key_value: key_value.cloned() }
    }
}

fn nothing(log: &GuestLog) -> WasiCtxBuilder {
    let mut wasi = WasiCtxBuilder::new();
    wasi.stdout(stdio::LogLines::new(log)).stderr(stdio::LogLines::new(log));
    wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
    wasi
}

impl std::fmt::Debug for HostState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostState").field("limiter", &self.limiter).finish_non_exhaustive()
    }
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Adds everything a component may import: all of WASI 0.2, denying what was not granted, and our own interfaces.
pub(super) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    bindings::key_value::add_to_linker::<HostState, HasSelf<Option<KeyValue>>>(linker, |state| &mut state.key_value)?;
    bindings::log::add_to_linker::<HostState, HasSelf<GuestLog>>(linker, |state| &mut state.log)
}
