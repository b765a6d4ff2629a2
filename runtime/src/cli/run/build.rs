//! From the configuration of sinks to sinks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use hydrant::api::{ApiSink, ApiUpstream};
use hydrant::component::{CompileCache, ComponentVersions, Consent, LockFile, SinkEngine, short_digest};
use hydrant::config::{LaneConfig, SinkConfig, SinkKind};
use hydrant::data_dir::DataDir;
use hydrant::delivery::{DetachedSink, InlineSink};
use hydrant::sink::{EventSink, FileSink, SqliteSink, StdoutSink};
use hydrant::sink_store::{ActiveVersion, KeyValue, SinkStore};

use crate::cli::{Exit, Failure, compiler};

/// All sinks, by lane.
pub(super) struct Sinks {
    pub(super) inline: Vec<InlineSink>,
    pub(super) detached: Vec<DetachedSink>,
    /// Where cursors and versions are kept; only there if a sink has any.
    pub(super) store: Option<SinkStore>,
    /// Files of components that are watched for new versions, by sink.
    pub(super) watched: Vec<(String, PathBuf)>,
}

/// Makes all sinks; components are compiled, or taken from the cache.
pub(super) async fn sinks(
    configs: Vec<SinkConfig>,
    data: &DataDir,
    lock: Option<LockFile>,
    upstream: &ApiUpstream,
) -> Result<Sinks, Failure> {
    let is_kept =
        |config: &SinkConfig| config.lane != LaneConfig::Inline || matches!(config.kind, SinkKind::Component { .. });
    let store = if configs.iter().any(is_kept) { Some(open_store(data)?) } else { None };
    let mut sinks = Sinks { inline: Vec::new(), detached: Vec::new(), store: store.clone(), watched: Vec::new() };
    let mut builder = Builder { data, store, lock, upstream, engines: BTreeMap::new() };
    for config in configs {
        if let SinkKind::Component { path, watch: true, .. } = &config.kind {
            sinks.watched.push((config.name.clone(), path.clone()));
        }
        let made = builder.make(&config).await.map_err(Exit::Usage.because())?;
        match config.lane {
            LaneConfig::Detached(policy) => {
                let Made { sink, key_value, versions } = made;
                let versions = versions.map(|(versions, active)| (versions as _, active));
                sinks.detached.push(DetachedSink { name: config.name, sink, key_value, policy: *policy, versions });
            }
            LaneConfig::Inline => {
                refuse_state(&config.name, &made).map_err(Exit::Usage.because())?;
                let inline = InlineSink::new(config.name, made.sink, config.flush).with_filter(config.filter);
                sinks.inline.push(match made.versions {
                    Some((versions, _)) => inline.with_versions(versions),
                    None => inline,
                });
            }
        }
    }
    Ok(sinks)
}

fn open_store(data: &DataDir) -> Result<SinkStore, Failure> {
    let path = data.sink_store();
    let store = SinkStore::open(&path).with_context(|| format!("cannot open {}", path.display()));
    store.map_err(Exit::Usage.because())
}

fn refuse_state(name: &str, made: &Made) -> anyhow::Result<()> {
    anyhow::ensure!(
        made.key_value.is_none(),
        "sink {name:?} keeps state with key-value, and the inline lane would count every event again at each start; give it \
         lane=detached"
    );
    Ok(())
}

/// A sink, not yet open.
struct Made {
    sink: Box<dyn EventSink>,
    key_value: Option<KeyValue>,
    /// For components: a loader of other versions, and which is in charge.
    versions: Option<(Arc<ComponentVersions>, ActiveVersion)>,
}

struct Builder<'a> {
    data: &'a DataDir,
    store: Option<SinkStore>,
    /// Where it is written what was accepted, beside the configuration file.
    lock: Option<LockFile>,
    upstream: &'a ApiUpstream,
    /// By the stack limit of their guests: sinks that share an engine share compiled code.
    engines: BTreeMap<u64, SinkEngine>,
}

impl Builder<'_> {
    async fn make(&mut self, config: &SinkConfig) -> anyhow::Result<Made> {
        let native = |sink| Ok(Made { sink, key_value: None, versions: None });
        match &config.kind {
            SinkKind::Stdout => native(Box::new(StdoutSink::new())),
            SinkKind::Api(address) => native(Box::new(ApiSink::new(*address, self.upstream.clone()))),
            SinkKind::File(path) => native(Box::new(FileSink::new(path))),
            SinkKind::Database(path) => native(Box::new(SqliteSink::new(path))),
            SinkKind::Component { path, limits, config: settings, grants, digest, .. } => {
                let name = &config.name;
                let context = || format!("sink {name:?} cannot be loaded from {}", path.display());
                let versions = ComponentVersions {
                    name: name.to_owned(),
                    engine: self.engine(limits.stack).with_context(context)?,
                    cache: self.cache().with_context(context)?,
                    folder: self.data.versions(),
                    grants: (**grants).clone(),
                    consent: Consent { pinned: digest.clone(), lock: self.lock.clone() },
                    limits: (**limits).clone(),
                    config: settings.clone(),
                    store: self.store.clone().context("there is no store of versions")?,
                };
                component(versions, path).await.with_context(context)
            }
        }
    }

    fn engine(&mut self, stack: u64) -> anyhow::Result<SinkEngine> {
        Ok(match self.engines.get(&stack) {
            Some(engine) => engine.clone(),
            None => self.engines.entry(stack).or_insert(SinkEngine::new(stack)?).clone(),
        })
    }

    fn cache(&self) -> anyhow::Result<CompileCache> {
        Ok(self.data.compile_cache(compiler::child()?)?)
    }
}

/// The version of a component that is in charge, and a loader for others.
async fn component(versions: ComponentVersions, path: &Path) -> anyhow::Result<Made> {
    let (version, active) = versions.in_charge(path).await?;
    if active.digest != active.configured {
        tracing::info!(
            "sink {:?}: version sha256:{} is in charge since a swap, not the configured file {}",
            versions.name,
            short_digest(&active.digest),
            path.display()
        );
    }
    Ok(Made { sink: version.sink, key_value: version.key_value, versions: Some((Arc::new(versions), active)) })
}
