//! A component that exports `event-source`, and one running instance of it.

use std::path::Path;
use std::sync::Arc;

use tokio::time::timeout;
use wasmtime::Store;
use wasmtime::component::InstancePre;

use super::bindings::{event_source, lifecycle, types};
use super::cache::{CompileCache, ComponentDigest};
use super::engine::SinkEngine;
use super::failure::GuestFailure;
use super::host::HostState;
use super::instance::{Budget, arm, settle, store};
use super::interface::{Exported, Interface, exports_of, imports_of};
use super::limits::Limits;
use super::load::{LoadError, link, read_component, refuse_core_module};

/// A source component that passed every check that can be made without running it.
#[derive(Clone)]
pub struct SourceComponent {
    engine: SinkEngine,
    pre: Arc<InstancePre<HostState>>,
    source: <event_source::Guest as Interface>::Indices,
    digest: Arc<ComponentDigest>,
}

impl std::fmt::Debug for SourceComponent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceComponent").field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl SourceComponent {
    /// Reads, compiles (or takes from the cache), links and checks the component in a file.
    ///
    /// # Errors
    ///
    /// [`LoadError`]. No guest code has run.
    pub fn load(engine: &SinkEngine, cache: &CompileCache, path: &Path, limits: &Limits) -> Result<Self, LoadError> {
        Self::from_bytes(engine, cache, &read_component(path)?, limits)
    }

    /// As [`load`](Self::load), from memory.
    ///
    /// # Errors
    ///
    /// [`LoadError`]. No guest code has run.
    pub fn from_bytes(
        engine: &SinkEngine,
        cache: &CompileCache,
        wasm: &[u8],
        limits: &Limits,
    ) -> Result<Self, LoadError> {
        refuse_core_module(wasm)?;
        let digest = ComponentDigest::of(wasm);
        let component = cache.component(engine, wasm, &digest, limits)?;
        let pre = link(engine.engine(), &component)?;
        let source = Exported::of(&component, &pre).required::<event_source::Guest>("source")?;
        Ok(Self { engine: engine.clone(), pre: Arc::new(pre), source, digest: Arc::new(digest) })
    }

    /// The names of what it exports.
    pub(super) fn exports(&self) -> Vec<String> {
        exports_of(self.pre.component())
    }

    /// The names of what it imports.
    pub(super) fn imports(&self) -> Vec<String> {
        imports_of(self.pre.component())
    }

    /// sha256 of the component's bytes.
    pub fn digest(&self) -> &ComponentDigest {
        &self.digest
    }
}

/// A source's instance. After any failure it must be dropped.
pub(super) struct SourceInstance {
    store: Store<HostState>,
    source: event_source::Guest,
    limits: Limits,
}

impl std::fmt::Debug for SourceInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceInstance").finish_non_exhaustive()
    }
}

type Answer<T> = Result<Result<T, event_source::SourceError>, GuestFailure>;

impl SourceInstance {
    pub(super) async fn start(
        component: &SourceComponent,
        limits: &Limits,
        state: HostState,
    ) -> Result<Self, GuestFailure> {
        let mut store = store(component.engine.engine(), state).map_err(|error| GuestFailure::of_host(&error))?;
        let budget = Budget::open(limits);
        arm(&mut store, &budget);
        let outcome = timeout(budget.time(), component.pre.instantiate_async(&mut store)).await;
        let instance = settle(&mut store, limits, &budget, outcome)?;
        let loaded = event_source::Guest::load(&component.source, &mut store, &instance);
        let source = settle(&mut store, limits, &budget, Ok(loaded))?;
        Ok(Self { store, source, limits: limits.clone() })
    }

    pub(super) async fn describe(&mut self) -> Result<lifecycle::Manifest, GuestFailure> {
        let budget = Budget::describe(&self.limits);
        arm(&mut self.store, &budget);
        let outcome = timeout(budget.time(), self.source.call_describe(&mut self.store)).await;
        settle(&mut self.store, &self.limits, &budget, outcome)
    }

    pub(super) async fn open(&mut self, config: &[(String, String)]) -> Answer<types::FormatResult> {
        let budget = Budget::open(&self.limits);
        arm(&mut self.store, &budget);
        let config: Vec<(&str, &str)> = config.iter().map(|(name, value)| (&**name, &**value)).collect();
        let info = event_source::SourceInfo { config: &config };
        let outcome = timeout(budget.time(), self.source.call_open(&mut self.store, info)).await;
        settle(&mut self.store, &self.limits, &budget, outcome)
    }

    pub(super) async fn bounds(&mut self) -> Answer<event_source::Extent> {
        let budget = Budget::open(&self.limits);
        arm(&mut self.store, &budget);
        let outcome = timeout(budget.time(), self.source.call_bounds(&mut self.store)).await;
        settle(&mut self.store, &self.limits, &budget, outcome)
    }

    pub(super) async fn get_events(
        &mut self,
        after: Option<event_source::Position>,
        token: Option<&[u8]>,
        limit: u32,
    ) -> Answer<event_source::Page> {
        let budget = Budget::page(&self.limits, limit);
        arm(&mut self.store, &budget);
        let call = self.source.call_get_events(&mut self.store, after, token, limit);
        let outcome = timeout(budget.time(), call).await;
        settle(&mut self.store, &self.limits, &budget, outcome)
    }

    pub(super) async fn close(&mut self) -> Result<(), GuestFailure> {
        let budget = Budget::flush(&self.limits);
        arm(&mut self.store, &budget);
        let outcome = timeout(budget.time(), self.source.call_close(&mut self.store)).await;
        settle(&mut self.store, &self.limits, &budget, outcome)
    }
}
