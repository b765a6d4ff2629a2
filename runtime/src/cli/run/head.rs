//! `hydrant head`

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use hydrant::api::{ApiCommands, ApiUpstream};
use hydrant::config::{SinkConfig, SourceKind, check_names};
use hydrant::data_dir::DataDir;
use hydrant::head::{ExpectedHead, HeadFollower};
use hydrant::offline::ledger::{CardanoLedger, Ledger, ProtocolParameters, SimpleLedger};
use hydrant::offline::{HeadLogic, HeadSource, HydraKey, InitialHead, OfflineHead};
use hydrant::source::{LocalSource, Reopen};
use hydrant::store::{LocalLog, LogFiles};
use hydrant::stream::StreamFormat;

use super::source::{Opened, stream};
use super::{Plan, Upstream, deliver, plan, runtime};
use crate::cli::{Exit, Failure, HeadArgs, LedgerChoice};

/// Where hydra-node serves its API.
const API: &str = "127.0.0.1:4001";

/// Seconds that a closed head waits by default: enough to look at it.
const CONTESTATION_PERIOD: u64 = 10;

/// Seconds that a closed head may wait: a year.
const MAX_CONTESTATION_PERIOD: u64 = 31_536_000;

/// Ticks at most as often as a ledger has slots in practice, and at least once a day.
const TICK: std::ops::RangeInclusive<u64> = 10..=86_400_000;

/// Bytes of a head's seed: a transaction's output on a chain, at most.
const MAX_SEED: usize = 64;

/// Bytes of a file with outputs: a large head has megabytes of them.
const MAX_INITIAL_UTXO: u64 = 64 << 20;

/// Bytes of a file with protocol parameters: with the cost models of all languages it has some ten thousand.
const MAX_PARAMETERS: u64 = 1 << 20;

pub(in crate::cli) fn run(args: HeadArgs) -> Result<Exit, Failure> {
    let HeadArgs { run, api, tick, initial_utxo, .. } = &args;
    let mut plan = plan(run.clone())?;
    let usage = |error: anyhow::Error| Exit::Usage.because()(error);
    let ledger = ledger(&args).map_err(usage)?;
    serve_api(&mut plan, api.as_deref()).map_err(usage)?;
    let tick = tick.as_deref().map(read_tick).transpose().map_err(usage)?.flatten();
    let utxo = initial_utxo.as_deref().map(|path| read_text(path, "--initial-utxo", MAX_INITIAL_UTXO));
    let utxo = utxo.transpose().map_err(usage)?;
    runtime()?.block_on(async {
        let data = DataDir::open(&plan.data_dir).map_err(Exit::Usage.because())?;
        let upstream = open(&args, &plan, &data, ledger, tick, utxo).map_err(Exit::Usage.because())?;
        deliver(plan, &data, upstream).await
    })
}

/// Clients are told first, as hydra-node does; unlike there, what they are told is durable.
fn serve_api(plan: &mut Plan, address: Option<&str>) -> anyhow::Result<()> {
    let address = address.unwrap_or(API);
    if address != "off" {
        plan.sinks.insert(0, SinkConfig::from_uri(&format!("api://{address}"))?);
    }
    Ok(check_names(&plan.sinks)?)
}

fn read_tick(text: &str) -> anyhow::Result<Option<Duration>> {
    if text == "off" {
        return Ok(None);
    }
    let tick = text.parse().ok().filter(|tick| TICK.contains(tick));
    let tick = tick.with_context(|| format!("bad value for --tick: expected off or 10 to 86400000, not {text:?}"))?;
    Ok(Some(Duration::from_millis(tick)))
}

fn ledger(args: &HeadArgs) -> anyhow::Result<Arc<dyn Ledger>> {
    const OPTION: &str = "--ledger-protocol-parameters";
    let parameters = args.ledger_protocol_parameters.as_deref();
    match args.ledger.unwrap_or_default() {
        LedgerChoice::Simple if parameters.is_some() => anyhow::bail!("the ledger simple has no {OPTION}"),
        LedgerChoice::Simple => Ok(Arc::new(SimpleLedger)),
        LedgerChoice::Cardano => {
            let parameters = match parameters {
                Some(path) => ProtocolParameters::read(&read_text(path, OPTION, MAX_PARAMETERS)?)
                    .with_context(|| format!("cannot use {OPTION} {}", path.display()))?,
                None => ProtocolParameters::shipped()?,
            };
            Ok(Arc::new(CardanoLedger::new(parameters)))
        }
    }
}

fn read_text(path: &Path, option: &str, most: u64) -> anyhow::Result<String> {
    let unreadable = || format!("cannot read {option} {}", path.display());
    let bytes = fs::metadata(path).with_context(unreadable)?.len();
    anyhow::ensure!(bytes <= most, "{}: more than {most} bytes", unreadable());
    fs::read_to_string(path).with_context(unreadable)
}

fn open(
    args: &HeadArgs,
    plan: &Plan,
    data: &DataDir,
    ledger: Arc<dyn Ledger>,
    tick: Option<Duration>,
    utxo: Option<String>,
) -> anyhow::Result<Upstream> {
    let SourceKind::Local(log @ LocalLog::File(path)) = &plan.source.kind else {
        anyhow::bail!("a head keeps its log in a file: give --event-source=file://PATH");
    };
    let period = args.contestation_period.unwrap_or(CONTESTATION_PERIOD);
    anyhow::ensure!(
        (1..=MAX_CONTESTATION_PERIOD).contains(&period),
        "bad value for --contestation-period: expected 1 to {MAX_CONTESTATION_PERIOD} seconds, not {period}"
    );
    let key = match &args.hydra_signing_key {
        Some(path) => HydraKey::read(path)?,
        None => own_key(&data.path().join("hydra.sk"), path)?,
    };
    say_rules(&*ledger);
    let initial = initial(args, &*ledger, key.vkey(), period, utxo.as_deref())?;
    let party = key.vkey();
    let logic = HeadLogic::new(Arc::clone(&ledger), key, Duration::from_secs(period));
    let options = plan.source.options.clone();
    let head = OfflineHead {
        path: path.clone(),
        options: options.clone(),
        rotate_after: args.rotate_after,
        logic,
        initial,
        tick,
    };
    let follower = HeadFollower::start();
    let (source, inputs) = HeadSource::new(head, follower.clone());
    let format = StreamFormat::state_event();
    let stream = stream(data, &plan.source, format.clone()).map_err(|failure| failure.error)?;
    let log = log.clone();
    let reopen = Reopen::new(move || Box::new(LocalSource::new(log.clone(), format.clone(), options.clone())));
    let opened = Opened { source: Box::new(source), reopen: reopen.clone(), stream, retention: None };
    let commands = ApiCommands { inputs, ledger, party: party.clone(), contestation_period: period };
    let expected = ExpectedHead {
        parties: Some(vec![party]),
        contestation_period: Some(period as f64),
        ..plan.source.head.clone()
    };
    Ok(Upstream { opened, api: ApiUpstream { reopen, follower, commands: Some(commands) }, expected })
}

/// The key in the data directory. It is made at a head's first start and never for a log that has one: nothing that a log holds would be signed
/// by it.
fn own_key(path: &Path, log: &Path) -> anyhow::Result<HydraKey> {
    let files = LogFiles::new(log);
    let has_begun = files.live().metadata().is_ok_and(|live| live.len() > 0)
        || files.rotated().is_ok_and(|rotated| !rotated.is_empty());
    anyhow::ensure!(
        path.exists() || !has_begun,
        "the key {} is missing, and the log {} has a head already: put its key back, or name it with --hydra-signing-key",
        path.display(),
        log.display()
    );
    Ok(HydraKey::read_or_make(path)?)
}

/// What the head opens with, should it open now.
fn initial(
    args: &HeadArgs,
    ledger: &dyn Ledger,
    party: String,
    contestation_period: u64,
    utxo: Option<&str>,
) -> anyhow::Result<InitialHead> {
    let utxo = ledger.outputs(utxo.unwrap_or(ledger.no_outputs()));
    let utxo = utxo.map_err(|problem| anyhow::anyhow!("--initial-utxo holds no outputs of the ledger: {problem}"))?;
    let seed = match &args.offline_head_seed {
        Some(digits) => {
            let seed = hex::decode(digits).ok().filter(|seed| (1..=MAX_SEED).contains(&seed.len()));
            seed.with_context(|| {
                format!("bad value for --offline-head-seed: expected 1 to {MAX_SEED} bytes in hexadecimal digits")
            })?
        }
        None => InitialHead::random_seed()?.to_vec(),
    };
    Ok(InitialHead::new(&seed, party, contestation_period, utxo))
}

fn say_rules(ledger: &dyn Ledger) {
    tracing::info!("ledger {}: enforced: {}", ledger.name(), ledger.enforced().join("; "));
    tracing::info!("ledger {}: not enforced: {}", ledger.name(), ledger.not_enforced().join("; "));
}
