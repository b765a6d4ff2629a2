//! From the configuration of the source to a source and its stream.

use std::path::Path;

use anyhow::Context;
use bytesize::ByteSize;
use hydrant::component::{ComponentDigest, ComponentSource, Limits, SinkEngine, SourceComponent, check_pin};
use hydrant::config::{LaneConfig, SinkConfig, SourceConfig, SourceKind};
use hydrant::data_dir::DataDir;
use hydrant::source::{EventSource, LocalSource, Reopen, StoredSource, WsSource};
use hydrant::store::{LocalLog, Retention};
use hydrant::stream::{Stream, StreamFormat};

use crate::cli::compiler;
use crate::cli::{Exit, Failure, StoreChoice};

/// A source whose format is known, and how another reader of it is made.
pub(super) struct Opened {
    pub(super) source: Box<dyn EventSource>,
    pub(super) reopen: Reopen,
    pub(super) stream: Stream,
    /// What keeps its event store within bounds, if it has one.
    pub(super) retention: Option<Retention>,
}

/// Bounds of `event-store-max` in bytes: the least is room for some segments, the most is beyond any disk.
const STORE_MAX: std::ops::RangeInclusive<u64> = (1 << 20)..=(1 << 50);

/// Ten GiB: a busy head writes that in weeks.
const STORE_MAX_DEFAULT: u64 = 10 << 30;

/// Whether and how large an event store is wanted.
pub(super) struct StorePlan {
    choice: StoreChoice,
    max: u64,
    has_detached: bool,
}

impl StorePlan {
    pub(super) fn new(choice: StoreChoice, max: Option<&str>, sinks: &[SinkConfig]) -> anyhow::Result<Self> {
        let max = match max {
            None => STORE_MAX_DEFAULT,
            Some(text) => {
                let bytes =
                    text.parse::<ByteSize>().ok().map(|size| size.as_u64()).filter(|max| STORE_MAX.contains(max));
                bytes.with_context(|| format!("bad value for event-store-max: expected 1MiB to 1PiB, not {text:?}"))?
            }
        };
        let has_detached = sinks.iter().any(|sink| sink.lane != LaneConfig::Inline);
        Ok(Self { choice, max, has_detached })
    }

    /// Whether this source gets one.
    fn applies(&self, kind: &SourceKind) -> anyhow::Result<bool> {
        let is_remote = matches!(kind, SourceKind::Ws(_) | SourceKind::Component { .. });
        match self.choice {
            StoreChoice::On => Ok(true),
            StoreChoice::Off => {
                anyhow::ensure!(
                    !is_remote || !self.has_detached,
                    "without an event store a remote source feeds inline sinks only: nobody else keeps what a detached sink has not \
                     taken; leave --event-store=off out, or give the sinks lane=inline"
                );
                Ok(false)
            }
            // Up to hydra-node 2.2 a rotation throws rows away.
            StoreChoice::Auto => {
                Ok(is_remote || matches!(kind, SourceKind::Local(log @ LocalLog::Database(_)) if !log.has_archives()))
            }
        }
    }
}

/// Makes the source, with an event store if it is to have one; a component is compiled, or taken from the cache, and started.
pub(super) async fn open(config: &SourceConfig, data: &DataDir, store: &StorePlan) -> Result<Opened, Failure> {
    let has_store = store.applies(&config.kind).map_err(Exit::Usage.because())?;
    let opened = connect(config, data).await?;
    if !has_store {
        return Ok(opened);
    }
    let Opened { source, stream, .. } = opened;
    let (folder, options, format) = (data.event_store(&stream.name), config.options.clone(), stream.format.clone());
    let retention = Some(Retention::new(&folder, store.max));
    let source = Box::new(StoredSource::new(source, &folder, &options, store.max));
    let reopen = Reopen::new(move || StoredSource::reader(&folder, &format, &options));
    Ok(Opened { source, reopen, stream, retention })
}

async fn connect(config: &SourceConfig, data: &DataDir) -> Result<Opened, Failure> {
    let options = config.options.clone();
    let mut counts_for_itself = false;
    let (source, reopen): (Box<dyn EventSource>, _) = match config.kind.clone() {
        SourceKind::Local(log) => {
            let format = log.format().map_err(Exit::Source.because())?;
            let make = move || LocalSource::new(log.clone(), format.clone(), options.clone());
            (Box::new(make()), Reopen::new(move || Box::new(make())))
        }
        SourceKind::Ws(address) => {
            let make = move || WsSource::new(&address, options.max_line);
            let mut source = make();
            counts_for_itself = source.counts_for_itself().await.map_err(Exit::Source.because())?;
            (Box::new(source), Reopen::new(move || Box::new(make())))
        }
        SourceKind::Component { path, limits, config, grants, digest } => {
            let component = load(&path, &limits, digest.as_ref(), data).map_err(Exit::Usage.because())?;
            let make = move || {
                let (limits, config, grants) = ((*limits).clone(), config.clone(), (*grants).clone());
                ComponentSource::new(&path, component.clone(), limits, config, grants, options.clone())
            };
            let mut source = make();
            source.connect().await.map_err(Exit::Source.because())?;
            (Box::new(source), Reopen::new(move || Box::new(make())))
        }
    };
    let mut stream = stream(data, config, source.format())?;
    if counts_for_itself {
        // Before hydra-node 0.21 the API counts its outputs, which is another stream than that of the events' ids.
        stream.name.push_str("-api");
    }
    Ok(Opened { source, reopen, stream, retention: None })
}

fn load(
    path: &Path,
    limits: &Limits,
    pinned: Option<&ComponentDigest>,
    data: &DataDir,
) -> anyhow::Result<SourceComponent> {
    let cache = data.compile_cache(compiler::child()?)?;
    let loaded = SourceComponent::load(&SinkEngine::new(limits.stack)?, &cache, path, limits)
        .and_then(|component| check_pin(pinned, component.digest()).map(|()| component));
    loaded.with_context(|| format!("the event source cannot be loaded from {}", path.display()))
}

/// The stream in its first epoch.
pub(super) fn stream(data: &DataDir, config: &SourceConfig, format: StreamFormat) -> Result<Stream, Failure> {
    let name = match &config.stream {
        Some(name) => name.clone(),
        None => {
            let (key, others) = keys(&config.kind, &format);
            data.stream_name(&key, &others).map_err(Exit::Usage.because())?
        }
    };
    Ok(Stream { name, epoch: 0, format })
}

/// The stream's key in the data directory, and others for the same log: a node's log is the same stream by whichever way it is read, so that
/// cursors hold when it moves to a database. In another format it is another stream.
fn keys(kind: &SourceKind, format: &StreamFormat) -> (String, Vec<String>) {
    let real = |path: &Path| {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        absolute.canonicalize().unwrap_or(absolute)
    };
    let log = match kind {
        SourceKind::Local(log) => log,
        SourceKind::Ws(address) => return (format!("ws://{address}"), Vec::new()),
        SourceKind::Component { path, config, .. } => {
            let config: Vec<String> = config.iter().map(|(name, value)| format!("{name}={value}")).collect();
            return (format!("wasm:{}?{}", real(path).display(), config.join("&")), Vec::new());
        }
    };
    let (folder, name) = (real(&log.folder()), log.path().file_name().unwrap_or_default());
    let suffix = if *format == StreamFormat::state_event() { String::new() } else { format!("#{format}") };
    let key = |scheme: &str, path: &Path| format!("{scheme}://{}{suffix}", path.display());
    let as_folder = format!("file://{}/{suffix}", folder.display());
    let ways = [key("file", &folder.join("state")), key("sqlite", &folder.join("hydra.db")), as_folder.clone()];
    let ours = match log {
        LocalLog::File(path) => key("file", &real(path)),
        LocalLog::Database(path) => key("sqlite", &real(path)),
        LocalLog::Folder(_) => as_folder,
    };
    let is_a_nodes = matches!(log, LocalLog::Folder(_)) || name == "state" || name == "hydra.db";
    (ours, if is_a_nodes { ways.to_vec() } else { Vec::new() })
}
