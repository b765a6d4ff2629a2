//! From the configuration of sinks to sinks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use hydrant::component::{ComponentVersions, Limits, SinkEngine};
use hydrant::config::{LaneConfig, SinkConfig, SinkKind};
use hydrant::data_dir::DataDir;
use hydrant::delivery::{DetachedPolicy, DetachedSink, InlineSink, NewVersion};
use hydrant::sink::{EventSink, FileSink, StdoutSink};
use hydrant::sink_store::{ActiveVersion, SinkStore};

use crate::cli::{Exit, Failure};

/// Engines by the stack limit of their guests.
type Engines = BTreeMap<u64, SinkEngine>;

/// All sinks, by lane.
pub(super) struct Sinks {
    pub(super) inline: Vec<InlineSink>,
    pub(super) detached: Vec<DetachedSink>,
    /// Where cursors and versions are kept; only there if a sink has any.
    pub(super) store: Option<SinkStore>,
    /// Files of components that are watched for new versions, by sink.
    pub(super) watched: Vec<(String, std::path::PathBuf)>,
}

/// Makes all sinks; components are compiled, or taken from the cache.
pub(super) async fn sinks(configs: Vec<SinkConfig>, data: &DataDir) -> Result<Sinks, Failure> {
    let is_kept =
        |config: &SinkConfig| config.lane != LaneConfig::Inline || matches!(config.kind, SinkKind::Component { .. });
    let store = if configs.iter().any(is_kept) { Some(open_store(data)?) } else { None };
    // One engine for each stack limit: sinks that share one share compiled code.
    let mut engines = BTreeMap::new();
    let mut sinks = Sinks { inline: Vec::new(), detached: Vec::new(), store, watched: Vec::new() };
    for config in configs {
        if let SinkKind::Component { path, watch: true, .. } = &config.kind {
            sinks.watched.push((config.name.clone(), path.clone()));
        }
        match (config.lane.clone(), &sinks.store) {
            (LaneConfig::Detached(policy), Some(store)) => {
                let store = store.clone();
                sinks.detached.push(detached_sink(config, *policy, data, &store, &mut engines).await?);
            }
            _ => sinks.inline.push(inline_sink(config, data, sinks.store.as_ref(), &mut engines).await?),
        }
    }
    Ok(sinks)
}

fn open_store(data: &DataDir) -> Result<SinkStore, Failure> {
    let path = data.sink_store();
    let store = SinkStore::open(&path).with_context(|| format!("cannot open {}", path.display()));
    store.map_err(Exit::Usage.because())
}

fn native(kind: &SinkKind) -> Option<Box<dyn EventSink>> {
    match kind {
        SinkKind::Stdout => Some(Box::new(StdoutSink::new())),
        SinkKind::File(path) => Some(Box::new(FileSink::new(path))),
        SinkKind::Component { .. } => None,
    }
}

async fn inline_sink(
    config: SinkConfig,
    data: &DataDir,
    store: Option<&SinkStore>,
    engines: &mut Engines,
) -> Result<InlineSink, Failure> {
    let (SinkKind::Component { path, limits, config: settings, .. }, Some(store)) = (&config.kind, store) else {
        let sink = native(&config.kind).unwrap_or_else(|| Box::new(StdoutSink::new()));
        return Ok(InlineSink::new(config.name, sink, config.flush).with_filter(config.filter));
    };
    let (version, versions, _) = component(&config.name, path, limits, settings, data, store, engines).await?;
    if version.key_value.is_some() {
        let error = anyhow::anyhow!(
            "sink {:?} keeps state with key-value, and the inline lane would count every event again at each start; give it \
             lane=detached",
            config.name
        );
        return Err(Exit::Usage.because()(error));
    }
    Ok(InlineSink::new(config.name, version.sink, config.flush).with_filter(config.filter).with_versions(versions))
}

async fn detached_sink(
    config: SinkConfig,
    policy: DetachedPolicy,
    data: &DataDir,
    store: &SinkStore,
    engines: &mut Engines,
) -> Result<DetachedSink, Failure> {
    let SinkKind::Component { path, limits, config: settings, .. } = &config.kind else {
        let sink = native(&config.kind).unwrap_or_else(|| Box::new(StdoutSink::new()));
        return Ok(DetachedSink { name: config.name, sink, key_value: None, policy, versions: None });
    };
    let (version, versions, active) = component(&config.name, path, limits, settings, data, store, engines).await?;
    let NewVersion { sink, key_value, .. } = version;
    Ok(DetachedSink { name: config.name, sink, key_value, policy, versions: Some((versions, active)) })
}

/// The version of a component that is in charge, and a loader for others.
async fn component(
    name: &str,
    path: &Path,
    limits: &Limits,
    settings: &[(String, String)],
    data: &DataDir,
    store: &SinkStore,
    engines: &mut Engines,
) -> Result<(NewVersion, Arc<ComponentVersions>, ActiveVersion), Failure> {
    let context = || format!("sink {name:?} cannot be loaded from {}", path.display());
    let mut versions = || -> anyhow::Result<ComponentVersions> {
        let engine = match engines.get(&limits.stack) {
            Some(engine) => engine.clone(),
            None => engines.entry(limits.stack).or_insert(SinkEngine::new(limits.stack)?).clone(),
        };
        Ok(ComponentVersions {
            name: name.to_owned(),
            engine,
            cache: data.compile_cache()?,
            folder: data.versions(),
            limits: limits.clone(),
            config: settings.to_vec(),
            store: store.clone(),
        })
    };
    let versions = versions().with_context(context).map_err(Exit::Usage.because())?;
    let in_charge = versions.in_charge(path).await.with_context(context);
    let (version, active) = in_charge.map_err(Exit::Usage.because())?;
    if active.digest != active.configured {
        let digest = active.digest.get(..12).unwrap_or(&active.digest);
        let path = path.display();
        tracing::info!(
            "sink {name:?}: version sha256:{digest} is in charge since a swap, not the configured file {path}"
        );
    }
    Ok((version, Arc::new(versions), active))
}
