//! What the benches of the detached lane share: a node whose sinks run detached, with their store in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hydrant::component::{CompileCache, Compiler, ComponentVersions, Consent, Limits, SinkEngine};
use hydrant::delivery::{Detached, DetachedPolicy, DetachedSink, GuestWorkers, Lineage, Window};
use hydrant::sink_store::SinkStore;
use hydrant::source::{EventSource, LocalSource, Reopen};
use hydrant::store::ReadOptions;
use hydrant::stream::{Stream, StreamFormat};

/// A stream for benches.
pub(crate) fn stream() -> Stream {
    Stream { name: "bench".to_owned(), epoch: 0, format: StreamFormat::state_event() }
}

/// A store that no disk slows down.
pub(crate) fn store_in_memory() -> anyhow::Result<SinkStore> {
    let open = || Ok(redb::Database::builder().create_with_backend(redb::backends::InMemoryBackend::new())?);
    Ok(SinkStore::on(open)?)
}

/// The file of a guest that was built from source.
pub(crate) fn guest(target: &Path, name: &str) -> PathBuf {
    target.join(format!("guests/{name}.wasm"))
}

/// A component as a detached sink.
pub(crate) async fn component(
    target: &Path,
    engine: &SinkEngine,
    store: &SinkStore,
    (name, guest): (&str, &Path),
    config: &[(&str, &str)],
    policy: DetachedPolicy,
) -> anyhow::Result<DetachedSink> {
    let versions = ComponentVersions {
        grants: hydrant::component::Grants { key_value: true, ..Default::default() },
        consent: Consent::default(),
        name: name.to_owned(),
        engine: engine.clone(),
        cache: CompileCache::open(target.join("bench/components"), Compiler::InProcess)?,
        folder: target.join("bench/versions"),
        limits: Limits::default(),
        config: config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        store: store.clone(),
    };
    let (version, active) = versions.in_charge(guest).await?;
    Ok(DetachedSink {
        name: name.to_owned(),
        sink: version.sink,
        key_value: version.key_value,
        policy,
        versions: Some((Arc::new(versions), active)),
    })
}

/// Starts sinks over a log.
pub(crate) fn start(
    sinks: Vec<DetachedSink>,
    store: &SinkStore,
    log: &Path,
) -> anyhow::Result<(Arc<Detached>, Lineage, GuestWorkers)> {
    let (window, workers) = (Arc::new(Window::new(stream())), GuestWorkers::start()?);
    let log = log.to_owned();
    let reopen = Reopen::new(move || Box::new(source(&log)) as Box<dyn EventSource>);
    let (detached, lineage) = Detached::start(sinks, &window, store, reopen, &workers)?;
    Ok((Arc::new(detached), lineage, workers))
}

pub(crate) fn source(log: &Path) -> LocalSource {
    LocalSource::file(log, ReadOptions::default())
}
