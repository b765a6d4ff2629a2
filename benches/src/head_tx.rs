//! `head-tx`: from NewTx over TxValid to SnapshotConfirmed, with two component sinks inline and without.

use std::collections::BTreeSet;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hydrant::component::{CompileCache, Compiler, ComponentSink, Limits, SinkComponent, SinkEngine};
use hydrant::delivery::{FlushPolicy, InlineSink};
use hydrant::event::StateEvent;
use hydrant::head::{ExpectedHead, HeadFollower};
use hydrant::node::{Node, Silent};
use hydrant::offline::ledger::{Ledger, SimpleLedger};
use hydrant::offline::{Command, HeadInputs, HeadLogic, HeadSource, HydraKey, InitialHead, Input, OfflineHead};
use hydrant::sink::{Ack, CloseReason, Delivery, EventSink, OpenInfo, Opened, SinkError};
use hydrant::store::ReadOptions;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::detached::{guest, stream};
use crate::summary::{Bound, Line, Summary};
use crate::turns::take_turns;

/// Transactions in one measurement of throughput, and of latency: some tens of milliseconds, so that the heads that are compared find the disk
/// alike. How long a sync takes varies more over seconds than what sinks cost.
const MANY: u64 = 1_000;
const FEW: u64 = 20;

/// Many, because it varies from one sync to the next too.
const ROUNDS: usize = 400;

/// Transactions that a busy client has under way.
const AHEAD: u64 = 100;

/// One that counts what it is put, and one that does nothing: what is measured is the host, and not how long a guest takes for its own work.
const GUESTS: [&str; 2] = ["tally", "no-op"];

pub(crate) fn run(target: &Path, summary: &mut Summary) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (engine, limits) = (SinkEngine::new(Limits::default().stack)?, Limits::default());
    let cache = CompileCache::open(target.join("bench/components"), Compiler::InProcess)?;
    let load = |name: &str| SinkComponent::load(&engine, &cache, &guest(target, name), &limits);
    let components = GUESTS.map(load).into_iter().collect::<Result<Vec<_>, _>>()?;
    let sinks = |with: bool| {
        let made = components.iter().zip(GUESTS).filter(move |_| with).map(|(component, name)| {
            let sink = ComponentSink::new(name, component.clone(), Limits::default(), Vec::new());
            InlineSink::new(name, Box::new(sink), FlushPolicy::default())
        });
        made.collect::<Vec<_>>()
    };
    let start = |with: bool| runtime.block_on(Head::start(target, sinks(with)));
    let mut heads = [start(true)?, start(false)?, start(true)?, start(false)?];
    let [first, second, third, fourth] = &mut heads;
    let [with, without, late, early] = take_turns(
        ROUNDS,
        [
            Box::new(|| runtime.block_on(first.transact(MANY, AHEAD))),
            Box::new(|| runtime.block_on(second.transact(MANY, AHEAD))),
            Box::new(|| runtime.block_on(third.transact(FEW, 1))),
            Box::new(|| runtime.block_on(fourth.transact(FEW, 1))),
        ],
    )?;
    heads.into_iter().try_for_each(|head| runtime.block_on(head.end()))?;
    let (value, baseline) = (with.median(), ("without sinks", without.median()));
    let (ratio, bound) = (with.ratio_to(&without), Bound::AtMost(1.1));
    summary.add(&Line { name: "head-tx", value, unit: "us", baseline, ratio, bound })?;
    let (value, baseline) = (late.median(), ("without sinks", early.median()));
    let ratio = late.ratio_to(&early);
    summary.add(&Line { name: "head-tx/latency", value, unit: "us", baseline, ratio, bound })
}

/// Tells which transactions are in a snapshot.
#[derive(Debug)]
struct Probe(mpsc::UnboundedSender<u64>);

#[async_trait]
impl EventSink for Probe {
    fn describe(&self) -> String {
        "probe".to_owned()
    }

    async fn open(&mut self, _info: &OpenInfo) -> Result<Opened, SinkError> {
        Ok(Opened::Beginning)
    }

    async fn put_event(&mut self, event: &StateEvent, _delivery: Delivery) -> Result<Ack, SinkError> {
        if event.tag() == "SnapshotConfirmed" {
            let event: serde_json::Value = serde_json::from_str(event.json()).map_err(SinkError::target)?;
            let confirmed = event.pointer("/stateChanged/snapshot/confirmed").and_then(|txs| txs.as_array());
            for tx in confirmed.into_iter().flatten() {
                // Nobody listens any more at the end.
                let _ = self.0.send(tx.get("id").and_then(serde_json::Value::as_u64).unwrap_or_default());
            }
        }
        Ok(Ack::Durable)
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn close(&mut self, _reason: CloseReason) -> Result<(), SinkError> {
        Ok(())
    }
}

/// A head with its log on disk, and a client of it in this process. It goes on only while something of it is waited for.
struct Head {
    running: Pin<Box<dyn Future<Output = anyhow::Result<()>>>>,
    stop: CancellationToken,
    inputs: HeadInputs,
    confirmed: mpsc::UnboundedReceiver<u64>,
    /// The last transaction that was sent.
    sent: u64,
    _folder: tempfile::TempDir,
}

impl Head {
    async fn start(target: &Path, sinks: Vec<InlineSink>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(target.join("bench"))?;
        let key = HydraKey::read_or_make(&folder.path().join("hydra.sk"))?;
        let utxo = SimpleLedger.outputs("[1]").map_err(anyhow::Error::msg)?;
        let logic = HeadLogic::new(Arc::new(SimpleLedger), key, Duration::from_secs(10));
        let initial = InitialHead::new(b"bench", logic.party(), 10, utxo);
        let (path, options) = (folder.path().join("state"), ReadOptions::default());
        let head = OfflineHead { path, options, rotate_after: None, logic, initial, tick: None };
        let follower = HeadFollower::start();
        let (source, inputs) = HeadSource::new(head, follower.clone());
        let (sender, confirmed) = mpsc::unbounded_channel();
        // Last, so that a transaction counts as confirmed when every sink has it.
        let probe = InlineSink::new("probe", Box::new(Probe(sender)), FlushPolicy::default());
        let sinks = sinks.into_iter().chain([probe]).collect();
        let mut node = Node::new(stream(), Box::new(source), sinks).with_head(follower, ExpectedHead::default(), None);
        let stop = CancellationToken::new();
        node.open().await?;
        node.hydrate(&stop, &mut Silent).await?;
        let stopped = stop.clone();
        let running = Box::pin(async move {
            node.follow(&stopped, &mut Silent).await?;
            Ok(node.close(CloseReason::Stop).await?)
        });
        Ok(Self { running, stop, inputs, confirmed, sent: 0, _folder: folder })
    }

    /// Microseconds that a transaction takes, of so many with so many under way.
    async fn transact(&mut self, count: u64, ahead: u64) -> anyhow::Result<f64> {
        let Self { running, inputs, confirmed, sent, .. } = self;
        tokio::select! {
            ended = running => {
                ended?;
                anyhow::bail!("the node stopped by itself");
            }
            micros = send(inputs, confirmed, sent, count, ahead) => micros,
        }
    }

    async fn end(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.running.await
    }
}

/// Sends a chain of transactions that goes on after the last one `sent`.
async fn send(
    inputs: &HeadInputs,
    told: &mut mpsc::UnboundedReceiver<u64>,
    sent: &mut u64,
    count: u64,
    ahead: u64,
) -> anyhow::Result<f64> {
    let (start, last, mut confirmed) = (Instant::now(), *sent + count, BTreeSet::new());
    while (confirmed.len() as u64) < count {
        while *sent < last.min(last - count + confirmed.len() as u64 + ahead) {
            *sent += 1;
            let tx = format!(r#"{{"id":{sent},"inputs":[{sent}],"outputs":[{}]}}"#, *sent + 1);
            let tx = SimpleLedger.transaction(&tx).map_err(anyhow::Error::msg)?;
            inputs.put(Input::Command(Command::NewTx(tx)), None).await?;
        }
        confirmed.insert(told.recv().await.ok_or_else(|| anyhow::anyhow!("the head ended"))?);
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / count as f64)
}
