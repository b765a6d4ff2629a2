//! `hydrant run`

use std::path::{Path, PathBuf};

use anyhow::Context;
use hydrant::component::{ComponentSink, SinkComponent, SinkEngine};
use hydrant::config::{ConfigError, ConfigFile, SinkConfig, SinkKind, SourceConfig, check_names};
use hydrant::data_dir::DataDir;
use hydrant::delivery::{InlineSink, SinkFailure};
use hydrant::node::{Delivered, Node, NodeError, Observer, Outcome};
use hydrant::sink::{CloseReason, EventSink, FileSink, StdoutSink};
use hydrant::source::{EventSource, FileSource, Progress as SourceProgress, SourceError};
use hydrant::store::{Finding, LogFiles, ReadError, TailKind, refuse_node_folder};
use hydrant::stream::Stream;
use tokio_util::sync::CancellationToken;

use super::progress::Progress;
use super::{Exit, Failure, LogForm, LogLevel, RunArgs, telemetry};

/// Everything settled that a run needs.
struct Plan {
    source: SourceConfig,
    sinks: Vec<SinkConfig>,
    data_dir: PathBuf,
    once: bool,
    log: LogForm,
}

pub(super) fn run(args: RunArgs) -> Result<Exit, Failure> {
    let plan = plan(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(Exit::SinkFailed.because())?.block_on(deliver(plan))
}

/// Flags over environment (both are in `args`) over file over defaults.
fn plan(args: RunArgs) -> Result<Plan, Failure> {
    let usage = |error: ConfigError| Exit::Usage.because()(error);
    let file = args.config.as_deref().map(ConfigFile::read).transpose().map_err(usage)?.unwrap_or_default();
    let log = choose::<LogForm>("log", args.logging.log, file.log.as_deref())?;
    let level = choose::<LogLevel>("log-level", args.logging.log_level, file.log_level.as_deref())?;
    telemetry::start(log, level);
    let flag = args.event_source.as_deref().map(SourceConfig::from_uri).transpose().map_err(usage)?;
    let source = match flag.or(file.event_source) {
        Some(source) => source,
        None => SourceConfig::from_uri("file://state").map_err(usage)?,
    };
    let mut sinks = file.event_sinks;
    for uri in &args.event_sinks {
        sinks.push(SinkConfig::from_uri(uri).map_err(usage)?);
    }
    check_names(&sinks).map_err(usage)?;
    refuse_node_files(&source, &sinks)?;
    let data_dir = args.data_dir.or(file.data_dir).unwrap_or_else(|| "hydrant-data".into());
    Ok(Plan { source, sinks, data_dir, once: args.once.or(file.once).unwrap_or(false), log })
}

/// A value from a flag, else from the file, else the default.
fn choose<T: clap::ValueEnum + Default>(key: &str, flag: Option<T>, file: Option<&str>) -> Result<T, Failure> {
    let Some(text) = file.filter(|_| flag.is_none()) else { return Ok(flag.unwrap_or_default()) };
    let wrong = |problem| Exit::Usage.because()(anyhow::anyhow!("bad value for key {key:?}: {problem} {text:?}"));
    T::from_str(text, false).map_err(wrong)
}

/// A sink must not write what is read, neither the live file nor one that bears a rotated name, nor where a node writes.
fn refuse_node_files(source: &SourceConfig, sinks: &[SinkConfig]) -> Result<(), Failure> {
    for sink in sinks {
        let SinkKind::File(path) = &sink.kind else { continue };
        refuse_node_folder(path).map_err(Exit::Usage.because())?;
        if LogFiles::new(&source.path).owns(path).map_err(Exit::Source.because())? {
            let error = ConfigError::SinkIsSource { name: sink.name.clone(), path: path.clone() };
            return Err(Exit::Usage.because()(error));
        }
    }
    Ok(())
}

async fn deliver(plan: Plan) -> Result<Exit, Failure> {
    let data = DataDir::open(&plan.data_dir).map_err(Exit::Usage.because())?;
    let source = FileSource::new(&plan.source.path, plan.source.options.clone());
    let stream = Stream {
        name: match &plan.source.stream {
            Some(name) => name.clone(),
            None => data.stream_name(&source_key(&plan.source.path)).map_err(Exit::Usage.because())?,
        },
        epoch: 0,
        format: source.format(),
    };
    let mut sinks = Vec::new();
    for config in plan.sinks {
        sinks.push(build(config, &data)?);
    }
    announce(&source, &stream, &sinks, plan.once);
    let mut node = Node::new(stream, Box::new(source), sinks);
    let outcome = work(&mut node, plan.once, plan.log).await;
    let delivered = node.delivered().clone();
    let reason = if outcome.is_ok() { CloseReason::Stop } else { CloseReason::Failure };
    let closed = node.close(reason).await;
    match (outcome, closed) {
        (Ok(outcome), Ok(())) => Ok(finished(outcome, plan.once, &delivered)),
        (Err(error), closed) => {
            if let Err(error) = closed {
                tracing::warn!("while closing: {:#}", anyhow::Error::from(error));
            }
            Err(failed(error))
        }
        (Ok(_), Err(error)) => Err(failed(error)),
    }
}

/// The stream's key in the data directory: the same file by another relative path is the same source.
fn source_key(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    format!("file://{}", absolute.canonicalize().unwrap_or(absolute).display())
}

fn build(config: SinkConfig, data: &DataDir) -> Result<InlineSink, Failure> {
    let sink: Box<dyn EventSink> = match config.kind {
        SinkKind::Stdout => Box::new(StdoutSink::new()),
        SinkKind::File(path) => Box::new(FileSink::new(path)),
        SinkKind::Component { path, limits, config: settings } => {
            let cache = data.compile_cache().map_err(Exit::Usage.because())?;
            let component =
                SinkEngine::new(limits.stack).and_then(|engine| SinkComponent::load(&engine, &cache, &path));
            let context = || format!("sink {:?} cannot be loaded from {}", config.name, path.display());
            let component = component.with_context(context).map_err(Exit::Usage.because())?;
            Box::new(ComponentSink::new(&config.name, component, *limits, settings))
        }
    };
    Ok(InlineSink::new(config.name, sink, config.flush))
}

/// Says what will be read, and what each sink will be sent.
fn announce(source: &FileSource, stream: &Stream, sinks: &[InlineSink], once: bool) {
    let source = source.describe();
    let Stream { name, epoch, format } = stream;
    tracing::info!("event source {source}, stream {name}, epoch {epoch}, format {format}");
    let then = if once { "then exit" } else { "then what is added" };
    for sink in sinks {
        tracing::info!(
            "event sink {:?} ({}), lane inline: every event from the first, {then}",
            sink.name(),
            sink.describe()
        );
    }
}

async fn work(node: &mut Node, once: bool, log: LogForm) -> Result<Outcome, NodeError> {
    let stop = stop_on_signal();
    let progress = if log == LogForm::Text { Progress::bytes("delivering") } else { Progress::none() };
    let mut watch = Watch { progress, once };
    node.open().await?;
    let outcome = node.hydrate(&stop, &mut watch).await?;
    watch.progress.finish();
    if once || outcome != Outcome::Hydrated {
        return Ok(outcome);
    }
    let delivered = node.delivered();
    tracing::info!("{} events delivered, following; Ctrl-C stops", delivered.events);
    node.follow(&stop, &mut watch).await
}

/// A token that Ctrl-C or a termination signal cancels; a second one ends the process at once.
fn stop_on_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    let cancelled = stop.clone();
    tokio::spawn(async move {
        signal().await;
        tracing::info!("stopping: flushing and closing sinks; once more ends at once");
        cancelled.cancel();
        signal().await;
        std::process::exit(Exit::SinkFailed as i32);
    });
    stop
}

async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(error) => {
            tracing::warn!("cannot listen for the termination signal: {error}");
            return drop(tokio::signal::ctrl_c().await);
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Shows a node's progress and passes on what its source found.
struct Watch {
    progress: Progress,
    once: bool,
}

impl Observer for Watch {
    fn delivered(&mut self, delivered: &Delivered, progress: Option<SourceProgress>) {
        if let Some(SourceProgress { done, total }) = progress {
            self.progress.set(done, total, || format!("{} events", delivered.events));
        }
    }

    fn found(&mut self, finding: &Finding) {
        match finding {
            // A follower meets lines in the middle of being written.
            Finding::Tail { kind: TailKind::Torn, .. } if !self.once => tracing::info!("{finding}"),
            Finding::NoNewline { .. } | Finding::Repeated { .. } => tracing::info!("{finding}"),
            _ => tracing::warn!("{finding}"),
        }
    }
}

fn finished(outcome: Outcome, once: bool, delivered: &Delivered) -> Exit {
    let last = delivered.last.map_or_else(String::new, |last| format!(", the last one {last}"));
    tracing::info!("{} events delivered{last}", delivered.events);
    if delivered.skipped > 0 {
        tracing::warn!("{} bad lines were skipped", delivered.skipped);
    }
    match outcome {
        Outcome::Stopped if once => {
            tracing::error!("stopped before everything was delivered; the next run begins at the first event again");
            Exit::SinkFailed
        }
        _ if once && delivered.skipped > 0 => Exit::Skipped,
        _ => Exit::Success,
    }
}

fn failed(error: NodeError) -> Failure {
    let exit = match &error {
        NodeError::Sink(failure) => {
            report_log(failure);
            Exit::SinkFailed
        }
        _ => Exit::Source,
    };
    Failure { exit, remedy: remedy(&error), error: error.into() }
}

fn remedy(error: &NodeError) -> Option<&'static str> {
    match error {
        NodeError::Sink(_) => Some("mend the cause and start again: every event is put again from the first"),
        NodeError::Source(SourceError::Log(ReadError::BadLine(_))) => {
            Some("`hydrant log verify` lists every bad line; on-bad-line=skip in the source's URI passes over them")
        }
        NodeError::Source(SourceError::Log(ReadError::Diverged { .. } | ReadError::Gap { .. })) => {
            Some("if the log is the right one, start again: every event is put from its first on")
        }
        _ => None,
    }
}

/// Repeats the last lines that the failed sink wrote: they may have scrolled away, or been dropped.
fn report_log(failure: &SinkFailure) {
    if failure.log_tail.is_empty() {
        return;
    }
    tracing::error!("the last lines of sink {:?}:", failure.sink);
    for line in &failure.log_tail {
        tracing::error!("  | {line}");
    }
}
