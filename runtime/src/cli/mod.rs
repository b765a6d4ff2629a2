//! The command line: arguments, exit codes, what a person sees.

mod compiler;
mod log;
mod operate;
mod output;
mod progress;
mod run;
mod sample;
mod sink;
mod telemetry;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Taps a Cardano Hydra head and delivers every state change, in order and at least once, to any number of sinks, each a WebAssembly
/// component that can only use what it was granted.
#[derive(Debug, Parser)]
#[command(name = "hydrant", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look at a component before it is trusted
    #[command(subcommand)]
    Sink(SinkCommand),
    /// What a running hydrant starts to compile a component: from standard input to standard output
    #[command(hide = true)]
    CompileComponent {
        /// Stack and memory in bytes, seconds of processor time
        bounds: Vec<std::ffi::OsString>,
    },
    /// Deliver the events of a source to sinks
    #[command(after_help = RUN_EXIT_CODES)]
    Run(RunArgs),
    /// Run a head of our own, without a chain: take transactions, keep its log, feed sinks, serve hydra-node's API
    #[command(after_help = RUN_EXIT_CODES)]
    Head(HeadArgs),
    /// Show what each sink of a running hydrant is doing
    Status {
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
        /// Which versions of this sink's component ran when
        #[arg(long, value_name = "SINK")]
        history: Option<String>,
        #[command(flatten)]
        reach: ReachArgs,
    },
    /// Flush a sink and put nothing more to it
    Pause {
        /// The sink's name
        sink: String,
        #[command(flatten)]
        reach: ReachArgs,
    },
    /// Go on with a sink that is paused, stopped or waiting
    Resume {
        /// The sink's name
        sink: String,
        #[command(flatten)]
        reach: ReachArgs,
    },
    /// Put events to a sink again
    Replay(ReplayArgs),
    /// Put another version of a component in charge of a sink, without losing or reordering an event
    Swap {
        /// The sink's name
        sink: String,
        /// The new version
        #[arg(value_name = "NEW.wasm")]
        component: PathBuf,
        #[command(flatten)]
        reach: ReachArgs,
    },
    /// Look at events that were put aside, put them again, or remove them
    #[command(subcommand)]
    Parked(ParkedCommand),
    /// Look at a state log, or mend its tail
    #[command(subcommand, after_help = "Exit codes: 0 the log is whole, 3 it is not")]
    Log(LogCommand),
    /// Write a realistic state log to try things with
    Sample(SampleArgs),
}

const RUN_EXIT_CODES: &str = "\
Exit codes:
  0  everything was delivered, or stopped while following
  1  a sink failed or stopped, or --once was cut short
  2  bad usage or configuration
  3  the source is unreadable, has a bad line, has diverged or has a gap
  4  delivered, but events were parked or bad lines skipped, or a sink is paused";

#[derive(Clone, Debug, Args)]
struct RunArgs {
    /// Read the configuration from this file; flags and HYDRANT_* variables win over it
    #[arg(long, value_name = "FILE", env = "HYDRANT_CONFIG")]
    config: Option<PathBuf>,
    /// Where events come from: file://PATH, file://FOLDER/, sqlite://PATH, ws://HOST:PORT, wasm:PATH [default: file://state]
    ///
    /// Parameters: on-bad-line=stop|skip, max-line=BYTES, stream=NAME; what the head must be: head-id=HEX, parties=VKEY,VKEY,
    /// contestation-period=SECONDS. Of a component: its limits, grant.dir=FOLDER:ro, config.NAME=VALUE.
    #[arg(long, value_name = "URI", env = "HYDRANT_EVENT_SOURCE")]
    event_source: Option<String>,
    /// Where events are put, in the order given: stdout:, file://PATH, sqlite://PATH, api://ADDR, wasm:PATH
    ///
    /// Parameters of every sink: name=NAME, lane=inline|detached, flush=EVENTS,BYTES,TIME, tags=A,B, not-tags=C. With lane=detached, the
    /// default of components: from=oldest|now|POSITION, on-reject=park|skip|stop, on-failure=stop|terminate,
    /// on-divergence=stop|redeliver, on-gap=stop|continue, and more. Of a component: its limits (fuel, memory, timeout and so on), watch=true
    /// and its own configuration as config.NAME=VALUE. An unknown name lists them all.
    #[arg(long = "event-sink", value_name = "URI")]
    event_sinks: Vec<String>,
    /// hydrant's own folder, created when missing [default: ./hydrant-data]
    #[arg(long, value_name = "DIR", env = "HYDRANT_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Deliver what is there now, then exit
    #[arg(long, env = "HYDRANT_ONCE", num_args = 0..=1, default_missing_value = "true", require_equals = true,
        value_parser = clap::builder::BoolishValueParser::new())]
    once: Option<bool>,
    /// Keep events of a remote source durably in the data directory before any sink sees them. auto: of ws and wasm sources, and of a database
    /// without archives of its rotations; without a store such sources feed inline sinks only
    #[arg(long, value_name = "auto|on|off", env = "HYDRANT_EVENT_STORE")]
    event_store: Option<StoreChoice>,
    /// The bytes that the event store may have; when it is full, sinks that are behind are stopped [default: 10GiB]
    #[arg(long, value_name = "BYTES", env = "HYDRANT_EVENT_STORE_MAX")]
    event_store_max: Option<String>,
    /// Offer the admin API on this address too; it always listens on a socket in the data directory
    #[arg(long, value_name = "ADDR", env = "HYDRANT_LISTEN")]
    listen: Option<std::net::SocketAddr>,
    /// The file with the token that requests over TCP have to carry
    #[arg(long, value_name = "FILE", env = "HYDRANT_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    logging: LoggingArgs,
}

#[derive(Debug, Args)]
struct HeadArgs {
    #[command(flatten)]
    run: RunArgs,
    /// What transactions are: whole numbers that are spent and made, or payments of Cardano's Conway era [default: simple]
    #[arg(long, value_name = "LEDGER", env = "HYDRANT_LEDGER")]
    ledger: Option<LedgerChoice>,
    /// Protocol parameters of the ledger cardano, as `cardano-cli query protocol-parameters` prints them [default: nothing costs a fee]
    #[arg(long, value_name = "FILE", env = "HYDRANT_LEDGER_PROTOCOL_PARAMETERS")]
    ledger_protocol_parameters: Option<PathBuf>,
    /// The outputs that the head opens with, at its first start, as JSON [default: none]
    #[arg(long, value_name = "FILE", env = "HYDRANT_INITIAL_UTXO")]
    initial_utxo: Option<PathBuf>,
    /// Where hydra-node's API is served, or off [default: 127.0.0.1:4001]
    #[arg(long, value_name = "ADDR|off", env = "HYDRANT_API")]
    api: Option<String>,
    /// Write the passing of time to the log every so many milliseconds, or off: an idle head then writes nothing [default: off]
    #[arg(long, value_name = "MS|off", env = "HYDRANT_TICK")]
    tick: Option<String>,
    /// Rename the log once it has more than N lines, and begin it anew with a checkpoint; the old files are kept [default: never]
    #[arg(long, value_name = "N", env = "HYDRANT_ROTATE_AFTER")]
    rotate_after: Option<std::num::NonZeroU64>,
    /// How long a closed head waits before its outputs may leave it, in seconds: nobody can contest [default: 10]
    #[arg(long, value_name = "SECONDS", env = "HYDRANT_CONTESTATION_PERIOD")]
    contestation_period: Option<u64>,
    /// The party's key, as `hydra-node gen-hydra-key` makes it [default: hydra.sk in the data directory, made at the first start]
    #[arg(long, value_name = "FILE", env = "HYDRANT_HYDRA_SIGNING_KEY")]
    hydra_signing_key: Option<PathBuf>,
    /// What the head's id is made of, at its first start, in hexadecimal digits [default: random]
    #[arg(long, value_name = "HEX", env = "HYDRANT_OFFLINE_HEAD_SEED")]
    offline_head_seed: Option<String>,
}

/// A ledger by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum LedgerChoice {
    #[default]
    Simple,
    Cardano,
}

/// How a running hydrant is found.
#[derive(Debug, Args)]
struct ReachArgs {
    /// The data directory of the running hydrant [default: ./hydrant-data]
    #[arg(long, value_name = "DIR", env = "HYDRANT_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Its address instead, as it was given with --listen
    #[arg(long, value_name = "ADDR", requires = "token_file")]
    connect: Option<std::net::SocketAddr>,
    /// The file with the token that it was started with
    #[arg(long, value_name = "FILE", env = "HYDRANT_TOKEN_FILE")]
    token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ReplayArgs {
    /// The sink's name
    sink: String,
    /// The first position to be put: ID or ID:checkpoint
    #[arg(long, value_name = "POSITION")]
    from: hydrant::event::Position,
    /// Remove what the sink keeps with the host
    #[arg(long, conflicts_with = "keep_state")]
    reset_state: bool,
    /// Keep what the sink keeps with the host: events may count twice
    #[arg(long)]
    keep_state: bool,
    #[command(flatten)]
    reach: ReachArgs,
}

#[derive(Debug, Subcommand)]
enum ParkedCommand {
    /// List them with the reasons
    List {
        /// The sink's name
        sink: String,
        /// As JSON, whole events included
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        reach: ReachArgs,
    },
    /// Show one: why it was parked, how the call ended, and the sink's last lines
    Show {
        /// The sink's name
        sink: String,
        /// Which event: ID or ID:checkpoint
        position: hydrant::event::Position,
        #[command(flatten)]
        reach: ReachArgs,
    },
    /// Put them again
    Put(ParkedArgs),
    /// Remove them
    Drop(ParkedArgs),
}

#[derive(Debug, Args)]
struct ParkedArgs {
    /// The sink's name
    sink: String,
    /// Which event: ID or ID:checkpoint
    #[arg(required_unless_present = "all")]
    position: Option<hydrant::event::Position>,
    /// All of them
    #[arg(long, conflicts_with = "position")]
    all: bool,
    #[command(flatten)]
    reach: ReachArgs,
}

#[derive(Clone, Debug, Args)]
struct LoggingArgs {
    /// How log lines on standard error are written [default: text]
    #[arg(long, value_name = "FORM", env = "HYDRANT_LOG")]
    log: Option<LogForm>,
    /// The least important lines shown [default: info]
    #[arg(long, value_name = "LEVEL", env = "HYDRANT_LOG_LEVEL")]
    log_level: Option<LogLevel>,
}

/// When events are kept in a store of our own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum StoreChoice {
    #[default]
    Auto,
    On,
    Off,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum LogForm {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    /// Say whether every line is an event, to the last value
    Verify {
        #[command(flatten)]
        log: LogPath,
        /// Also read every event into its type and back, and list those that do not come back as equal JSON
        #[arg(long)]
        decode: bool,
    },
    /// Move a torn tail into a file beside the log, or add a missing last newline
    Repair(LogPath),
    /// Count events by tag
    Stats {
        #[command(flatten)]
        log: LogPath,
        /// Print instead the state of head and node that the events lead to, as JSON
        #[arg(long)]
        state: bool,
    },
    /// Print the last events
    Tail {
        #[command(flatten)]
        log: LogPath,
        /// How many events
        #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
        events: usize,
        /// Go on printing what is appended
        #[arg(short, long)]
        follow: bool,
    },
}

#[derive(Debug, Subcommand)]
enum SinkCommand {
    /// Say what a component is, what it asks for and what it can name; nothing is granted to it
    Inspect {
        /// The component's file; sources too
        component: PathBuf,
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
        /// Say too what differs from what was accepted as this sink
        #[arg(long, value_name = "NAME", requires = "config")]
        sink: Option<String>,
        /// The configuration file of that sink
        #[arg(long, value_name = "FILE", requires = "sink")]
        config: Option<PathBuf>,
    },
    /// Run a component over recorded events and propose limits from what it used
    ///
    /// It is really run, with what its URI grants it; each event is put singly. Nothing is kept of it.
    Check {
        /// The component's file, which then runs under limits=generous, or a sink's URI with its parameters
        sink: String,
        /// The log whose events are put
        #[arg(long, value_name = "LOG")]
        against: PathBuf,
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Agree to a component that changed: it may then be started, or swapped in, as this sink
    Accept {
        /// The sink's name
        sink: String,
        /// The configuration file; what is accepted is written to the .lock file beside it
        #[arg(long, value_name = "FILE", env = "HYDRANT_CONFIG")]
        config: PathBuf,
        /// The component's file, if it is not the one in the configuration
        #[arg(long, value_name = "FILE")]
        component: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct LogPath {
    /// The log's live file; rotated files PATH-<id> beside it are read first
    path: PathBuf,
}

#[derive(Debug, Args)]
struct SampleArgs {
    /// How many events, with ids from 0
    #[arg(long, value_name = "N", default_value_t = 1000)]
    events: u64,
    /// The same seed gives the same log
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// In which version's form the events are written
    #[arg(long, value_name = "V", default_value = "2.0")]
    schema: hydrant::sample::Schema,
    /// Write a checkpoint line after every N events; these come on top of --events [schemas from 0.22]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    checkpoint_every: Option<u64>,
    /// The file to write; one that holds something is left alone
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// What the process ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Success = 0,
    SinkFailed = 1,
    Usage = 2,
    Source = 3,
    Skipped = 4,
}

/// An error and the exit code that goes with it.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    error: anyhow::Error,
    /// What the operator can do about it.
    remedy: Option<&'static str>,
}

impl Exit {
    /// Turns an error into a failure with this exit code.
    fn because<E: Into<anyhow::Error>>(self) -> impl FnOnce(E) -> Failure {
        move |error| Failure { exit: self, error: error.into(), remedy: None }
    }
}

pub(crate) fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(args) => run::run(args),
        Command::Head(args) => run::head(args),
        Command::Status { json, history, reach } => operate::status(json, history, &reach),
        Command::Pause { sink, reach } => operate::order(&sink, "pause", &reach),
        Command::Resume { sink, reach } => operate::order(&sink, "resume", &reach),
        Command::Replay(args) => operate::replay(&args),
        Command::Swap { sink, component, reach } => operate::swap(&sink, &component, &reach),
        Command::Parked(command) => operate::parked(command),
        Command::Log(command) => log::run(command),
        Command::Sink(command) => sink::run(command),
        Command::Sample(args) => sample::run(&args),
        Command::CompileComponent { bounds } => compiler::serve(&bounds),
    };
    let exit = outcome.unwrap_or_else(|failure| {
        report(&failure);
        failure.exit
    });
    ExitCode::from(exit as u8)
}

/// Writes an error with its causes on one line.
fn report(failure: &Failure) {
    let mut text = String::new();
    for cause in failure.error.chain() {
        let cause = cause.to_string();
        // A transparent error has the words of its cause.
        if !text.ends_with(&cause) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
    }
    if let Some(remedy) = failure.remedy {
        text = format!("{text}; {remedy}");
    }
    if tracing::dispatcher::has_been_set() {
        tracing::error!("{text}");
    } else {
        progress::write_stderr(&format!("error: {text}\n"));
    }
}
