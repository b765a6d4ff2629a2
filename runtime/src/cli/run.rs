//! `hydrant run`

mod announce;
mod build;
mod head;
mod source;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hydrant::admin::{Admin, Listening, SOCKET, listen_tcp, listen_unix, start_metrics, watch_file};
use hydrant::api::ApiUpstream;
use hydrant::component::LockFile;
use hydrant::config::{ConfigError, ConfigFile, SinkConfig, SinkKind, SourceConfig, SourceKind, check_names};
use hydrant::data_dir::DataDir;
use hydrant::delivery::{
    Departure, Detached, GuestWorkers, SinkFailure, SinkState, SinkStatus, Window, keep_within_bound,
};
use hydrant::head::{ExpectedHead, HeadFollower};
use hydrant::node::{Delivered, Node, NodeError, Observer, Outcome};
use hydrant::sink::CloseReason;
use hydrant::source::{Progress as SourceProgress, SourceError};
use hydrant::store::{Finding, ReadError, Retention, TailKind, refuse_node_folder};
use hydrant::stream::StreamFormat;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use source::{Opened, StorePlan};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::progress::Progress;
use super::{Exit, Failure, LogForm, LogLevel, RunArgs, telemetry};

/// Everything settled that a run needs.
struct Plan {
    source: SourceConfig,
    sinks: Vec<SinkConfig>,
    data_dir: PathBuf,
    store: StorePlan,
    /// Where it is written which components were accepted; there is none without a configuration file.
    lock: Option<LockFile>,
    once: bool,
    log: LogForm,
    /// Where the admin API listens beside its socket, with the file of the token.
    listen: Option<(SocketAddr, PathBuf)>,
}

pub(super) use head::run as head;

/// What is delivered, and what is known of it besides.
struct Upstream {
    opened: Opened,
    api: ApiUpstream,
    /// What the head must be.
    expected: ExpectedHead,
}

pub(super) fn run(args: RunArgs) -> Result<Exit, Failure> {
    let plan = plan(args)?;
    check_names(&plan.sinks).map_err(Exit::Usage.because())?;
    runtime()?.block_on(async {
        let data = DataDir::open(&plan.data_dir).map_err(Exit::Usage.because())?;
        let opened = source::open(&plan.source, &data, &plan.store).await?;
        let (reopen, expected) = (opened.reopen.clone(), plan.source.head.clone());
        let api = ApiUpstream { reopen, follower: HeadFollower::start(), commands: None };
        deliver(plan, &data, Upstream { opened, api, expected }).await
    })
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    allow_files();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Exit::SinkFailed.because())
}

/// Lets this process open as many files as it may: each client of the API takes some, and systems begin with 1,024 for the sake of programs that
/// use `select`.
fn allow_files() {
    let files = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }) {
        tracing::debug!("this process cannot open more files than it could at start: {error}");
    }
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
    refuse_node_files(&source, &sinks)?;
    let data_dir = args.data_dir.or(file.data_dir).unwrap_or_else(|| "hydrant-data".into());
    let listen = match (args.listen.or(file.listen), args.token_file.or(file.token_file)) {
        (Some(address), Some(token_file)) => Some((address, token_file)),
        (None, _) => None,
        (Some(_), None) => {
            let error = anyhow::anyhow!("--listen needs --token-file: over TCP the admin API asks for a token");
            return Err(Exit::Usage.because()(error));
        }
    };
    let once = args.once.or(file.once).unwrap_or(false);
    let choice = choose("event-store", args.event_store, file.event_store.as_deref())?;
    let max = args.event_store_max.or(file.event_store_max);
    let store = StorePlan::new(choice, max.as_deref(), &sinks).map_err(Exit::Usage.because())?;
    let lock = args.config.as_deref().map(LockFile::beside);
    Ok(Plan { source, sinks, data_dir, store, lock, once, log, listen })
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
        let (SinkKind::File(path) | SinkKind::Database(path)) = &sink.kind else { continue };
        refuse_node_folder(path).map_err(Exit::Usage.because())?;
        let SourceKind::Local(log) = &source.kind else { continue };
        if log.owns(path).map_err(Exit::Source.because())? {
            let error = ConfigError::SinkIsSource { name: sink.name.clone(), path: path.clone() };
            return Err(Exit::Usage.because()(error));
        }
    }
    Ok(())
}

async fn deliver(plan: Plan, data: &DataDir, upstream: Upstream) -> Result<Exit, Failure> {
    let Upstream { opened: Opened { source, reopen, mut stream, retention }, api, expected } = upstream;
    let sinks = build::sinks(plan.sinks, data, plan.lock, &api).await?;
    if let Some(store) = &sinks.store {
        stream.epoch = store.epoch(&stream.name).map_err(Exit::SinkFailed.because())?.number;
    }
    announce::start(&*source, &stream, &sinks, plan.once);
    let (once, log) = (plan.once, plan.log);
    let is_folded = stream.format == StreamFormat::state_event();
    let mut node = Node::new(stream.clone(), source, sinks.inline);
    let mut operated = None;
    let mut head_id = expected.head_id.clone();
    if let Some(store) = sinks.store {
        if head_id.is_none() {
            head_id = store.head_id(&stream.name).map_err(Exit::SinkFailed.because())?;
        }
        announce::orphans(&store, &sinks.detached).map_err(Exit::SinkFailed.because())?;
        let window = Arc::new(Window::new(stream));
        if let Some(head_id) = &head_id {
            window.set_head_id(head_id.clone());
        }
        let workers = GuestWorkers::start().map_err(Exit::SinkFailed.because())?;
        let started = Detached::start(sinks.detached, &window, &store, reopen.clone(), &workers);
        let (detached, lineage) = started.map_err(|departure| failed(departure.into()))?;
        let detached = Arc::new(detached);
        operated = Some((Arc::clone(&detached), workers));
        node = node.with_detached(detached, lineage).with_versions(store, reopen);
    }
    if is_folded {
        node = node.with_head(api.follower, expected, head_id);
    } else if !expected.is_empty() {
        tracing::warn!("events of this format are not folded: the head cannot be compared with the one configured");
    }
    let _operating = operate(&mut node, data, plan.listen, sinks.watched, retention).await?;
    let outcome = work(&mut node, operated.as_ref().map(|(detached, _)| &**detached), once, log).await;
    let delivered = node.delivered().clone();
    let reason = if outcome.is_ok() { CloseReason::Stop } else { CloseReason::Failure };
    let closed = node.close(reason).await;
    let statuses = operated.as_ref().map(|(detached, _)| detached.statuses()).unwrap_or_default();
    match (outcome, closed) {
        (Ok(outcome), Ok(())) => Ok(finished(outcome, once, &delivered, &statuses)),
        (Err(error), closed) => {
            if let Err(error) = closed {
                tracing::warn!("while closing: {:#}", anyhow::Error::from(error));
            }
            Err(failed(error))
        }
        (Ok(_), Err(error)) => Err(failed(error)),
    }
}

/// Lets the sinks be operated: the admin API, and files and a store that are watched. It ends when the result is dropped.
async fn operate(
    node: &mut Node,
    data: &DataDir,
    listen: Option<(SocketAddr, PathBuf)>,
    watched: Vec<(String, PathBuf)>,
    retention: Option<Retention>,
) -> Result<(Vec<Listening>, JoinSet<()>), Failure> {
    let board = node.board();
    let api = Admin::new(board.clone(), start_metrics());
    let mut listening = Vec::new();
    let unix = listen_unix(api.clone(), &data.path().join(SOCKET)).await;
    listening.push(unix.map_err(Exit::Usage.because())?);
    if let Some((address, token_file)) = listen {
        let tcp = listen_tcp(api, address, &token_file).await.map_err(Exit::Usage.because())?;
        tracing::info!("admin API on {}", tcp.address().unwrap_or(address));
        listening.push(tcp);
    }
    let mut watches = JoinSet::new();
    for (sink, path) in watched {
        watches.spawn(watch_file(board.clone(), sink, path));
    }
    if let Some(retention) = retention {
        watches.spawn(keep_within_bound(board, retention));
    }
    Ok((listening, watches))
}

async fn work(node: &mut Node, detached: Option<&Detached>, once: bool, log: LogForm) -> Result<Outcome, NodeError> {
    let stop = stop_on_signal();
    let progress = if log == LogForm::Text { Progress::bytes("delivering") } else { Progress::none() };
    let mut watch = Watch { progress, once, said: Instant::now() };
    node.open().await?;
    let outcome = node.hydrate(&stop, &mut watch).await?;
    announce::to_come(&detached.map(Detached::statuses).unwrap_or_default());
    if once && outcome == Outcome::Hydrated {
        let drained = node.drain(&stop, &mut watch).await?;
        return Ok(if drained == Outcome::Stopped { drained } else { outcome });
    }
    watch.progress.finish();
    if outcome != Outcome::Hydrated {
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
    said: Instant,
}

/// How often the log says which sink is waited for.
const SAY_LAG_EVERY: Duration = Duration::from_secs(10);

impl Observer for Watch {
    fn delivered(&mut self, delivered: &Delivered, progress: Option<SourceProgress>) {
        if let Some(SourceProgress { done, total }) = progress {
            self.progress.set(done, total, || format!("{} events", delivered.events));
        }
    }

    fn draining(&mut self, statuses: &[SinkStatus]) {
        let slowest = statuses.iter().filter(|status| status.state != SinkState::Stopped);
        let Some(slowest) = slowest.max_by_key(|status| status.lag_events) else { return };
        let lag = slowest.lag_events.unwrap_or(0);
        let total = slowest.delivered.max(1) + lag;
        let reason = slowest.reason.as_deref().unwrap_or("");
        self.progress.set(total - lag, total, || format!("{} {} {reason}", slowest.sink, slowest.state));
        if self.said.elapsed() >= SAY_LAG_EVERY {
            self.said = Instant::now();
            tracing::info!("waiting for sink {:?}: {}, {lag} events behind {reason}", slowest.sink, slowest.state);
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

fn finished(outcome: Outcome, once: bool, delivered: &Delivered, statuses: &[SinkStatus]) -> Exit {
    let last = delivered.last.map_or_else(String::new, |last| format!(", the last one {last}"));
    tracing::info!("{} events delivered{last}", delivered.events);
    if delivered.skipped > 0 {
        tracing::warn!("{} bad lines were skipped", delivered.skipped);
    }
    announce::end(statuses);
    let is = |state| statuses.iter().any(|status| status.state == state);
    let left_out = delivered.skipped > 0 || statuses.iter().any(|status| status.parked + status.skipped > 0);
    match outcome {
        Outcome::Stopped if once => {
            tracing::error!(
                "stopped before everything was delivered; the next run begins at the first event again, for detached sinks at \
                 their cursors"
            );
            Exit::SinkFailed
        }
        _ if once && is(SinkState::Stopped) => Exit::SinkFailed,
        _ if once && (left_out || is(SinkState::Paused)) => Exit::Skipped,
        _ => Exit::Success,
    }
}

fn failed(error: NodeError) -> Failure {
    let exit = match &error {
        NodeError::Sink(failure) => {
            report_log(failure);
            Exit::SinkFailed
        }
        NodeError::Departure(Departure::Store(_)) => Exit::SinkFailed,
        NodeError::Head(_) => Exit::Usage,
        _ => Exit::Source,
    };
    Failure { exit, remedy: remedy(&error), error: error.into() }
}

fn remedy(error: &NodeError) -> Option<&'static str> {
    match error {
        NodeError::Sink(_) => Some("mend the cause and start again: every event is put again from the first"),
        NodeError::Head(_) => Some(
            "point the event source at the log of the configured head, or mend the parameter in the source's URI; for `hydrant head`, \
             --contestation-period and --hydra-signing-key must be what they were at its first start",
        ),
        NodeError::Source(SourceError::Log(ReadError::BadLine(_))) => {
            Some("`hydrant log verify` lists every bad line; on-bad-line=skip in the source's URI passes over them")
        }
        NodeError::Source(SourceError::Diverged { .. } | SourceError::Gap { .. }) => Some(
            "if this is the right source, give it another stream with stream= in its URI: what it has now is put to every sink from its \
             first event",
        ),
        NodeError::Source(SourceError::Log(ReadError::Diverged { .. } | ReadError::Gap { .. })) => {
            Some("if the log is the right one, start again: every event is put from its first on")
        }
        NodeError::Departure(Departure::Diverged(_)) => Some(
            "if this is the right log, on-divergence=redeliver in the sinks' URIs puts everything after the last event in common \
             again, as another epoch",
        ),
        NodeError::Departure(Departure::Gap { .. }) => {
            Some("if what is missing is not needed, on-gap=continue in the sink's URI goes on at the oldest event")
        }
        NodeError::Departure(Departure::OtherStream { .. }) => Some(
            "give this source a data directory of its own with --data-dir, the sink another name with name=, or, if the log only \
             moved, the stream its old name with stream= in the source's URI",
        ),
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
