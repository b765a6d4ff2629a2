//! Every source and sink through the one contract suite.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hydrant::api::{ApiSink, ApiUpstream};
use hydrant::event::StateEvent;
use hydrant::head::{HeadFollower, Json, Tx, Utxo};
use hydrant::offline::ledger::{self, CardanoLedger, Ledger, ProtocolParameters, Refusal, SimpleLedger};
use hydrant::offline::{HeadLogic, HeadSource, HydraKey, InitialHead, OfflineHead};
use hydrant::sink::{self, Ack, CloseReason, Delivery, EventSink, FileSink, OpenInfo, Opened, SinkError, SqliteSink};
use hydrant::source::{self, EventSource, LocalSource, Next, Page, Reopen, SourceError};
use hydrant::store::{LocalLog, ReadOptions};
use hydrant::stream::StreamFormat;

use crate::conway_tx::{alice, at, bob, built_by_others, envelope, input, list, number, output, signed, with};
use crate::harness::{Folder, block_on, component_sink, events, lines, open_info, read_log};

#[test]
fn file_source_keeps_the_contract() {
    let folder = Folder::new();
    folder.file("state-9", lines(0..10));
    let path = folder.file("state", lines(10..5_000));
    block_on(source::contract::check(&mut LocalSource::file(path, ReadOptions::default()), &events(0..5_000))).unwrap();
}

#[test]
fn head_source_keeps_the_contract() {
    let folder = Folder::new();
    folder.file("state-9", lines(0..10));
    let path = folder.file("state", lines(10..500));
    let key = HydraKey::read_or_make(&folder.path("hydra.sk")).unwrap();
    let logic = HeadLogic::new(Arc::new(SimpleLedger), key, Duration::from_secs(10));
    let initial = InitialHead::new(b"seed", logic.party(), 10, SimpleLedger.outputs("[]").unwrap());
    let head = OfflineHead { path, options: ReadOptions::default(), rotate_after: None, logic, initial, tick: None };
    block_on(async {
        let (mut source, _inputs) = HeadSource::new(head, HeadFollower::start());
        source::contract::check(&mut source, &events(0..500)).await.unwrap();
    });
}

#[test]
fn simple_ledger_keeps_the_contract() {
    let sample = ledger::contract::Sample {
        outputs: "[1,2,-3]",
        valid: r#"{"id":1,"inputs":[1],"outputs":[4]}"#,
        early: r#"{"id":1,"inputs":[9],"outputs":[4]}"#,
        never: r#"{"id":1,"inputs":[1],"outputs":[2]}"#,
        slot: 0,
    };
    ledger::contract::check(&SimpleLedger, &sample).unwrap();
}

#[test]
fn cardano_ledger_keeps_the_contract() {
    let address = alice().address.to_bech32().unwrap();
    let outputs = serde_json::json!({ at(0): { "address": address, "value": { "lovelace": 10_000_000 } } });
    let too_much = list(&[output(&bob().address, number(20_000_000))]);
    let tx = |bytes: &[u8]| envelope(bytes).to_string();
    let sample = ledger::contract::Sample {
        outputs: &outputs.to_string(),
        valid: &tx(&built_by_others()),
        early: &tx(&signed(&with(&[(0, list(&[input(9)]))]), &[&alice()])),
        never: &tx(&signed(&with(&[(1, too_much)]), &[&alice()])),
        slot: 1,
    };
    ledger::contract::check(&CardanoLedger::new(ProtocolParameters::shipped().unwrap()), &sample).unwrap();
}

/// Lets everything pass, as often as it comes.
#[derive(Debug)]
struct Generous;

impl Ledger for Generous {
    fn name(&self) -> &'static str {
        "generous"
    }

    fn chain_state(&self) -> &'static str {
        SimpleLedger.chain_state()
    }

    fn enforced(&self) -> &'static [&'static str] {
        &["none"]
    }

    fn not_enforced(&self) -> &'static [&'static str] {
        &["all"]
    }

    fn protocol_parameters(&self) -> &str {
        "{}"
    }

    fn no_outputs(&self) -> &'static str {
        "[]"
    }

    fn transaction(&self, json: &str) -> Result<Json<Tx>, String> {
        SimpleLedger.transaction(json)
    }

    fn outputs(&self, json: &str) -> Result<Json<Utxo>, String> {
        SimpleLedger.outputs(json)
    }

    fn validate(&self, _tx: &Tx, _utxo: &Utxo, _slot: u64) -> Result<(), Refusal> {
        Ok(())
    }
}

#[test]
fn a_ledger_that_spends_twice_is_found_out() {
    let tx = r#"{"id":1,"inputs":[1],"outputs":[4]}"#;
    let sample = ledger::contract::Sample { outputs: "[1]", valid: tx, early: tx, never: tx, slot: 0 };
    let violation = ledger::contract::check(&Generous, &sample).unwrap_err();
    assert!(violation.to_string().contains("let pass twice"), "{violation}");
}

#[test]
fn api_sink_keeps_the_contract() {
    let folder = Folder::new();
    let path = folder.file("state", lines(0..50));
    let reopen = Reopen::new(move || Box::new(LocalSource::file(&path, ReadOptions::default())));
    // What clients were told cannot be looked up, so the events themselves stand for it.
    let events = events(0..50);
    block_on(async {
        let upstream = ApiUpstream { reopen, follower: HeadFollower::start(), commands: None };
        let make = || ApiSink::new("127.0.0.1:0".parse().unwrap(), upstream.clone());
        sink::contract::check(make, &open_info(), &events, || events.clone()).await.unwrap();
    });
}

#[test]
fn file_sink_keeps_the_contract() {
    let folder = Folder::new();
    let path = folder.path("out");
    let make = || FileSink::new(&path);
    block_on(sink::contract::check(make, &open_info(), &events(0..2_000), || read_log(&path))).unwrap();
}

#[test]
fn sqlite_sink_keeps_the_contract() {
    let folder = Folder::new();
    let path = folder.path("copy.db");
    let make = || SqliteSink::new(&path);
    let there = || {
        let mut reader = LocalLog::Database(path.clone()).open(ReadOptions::default()).unwrap();
        std::iter::from_fn(|| reader.read_history().unwrap()).flat_map(|page| page.events).collect()
    };
    block_on(sink::contract::check(make, &open_info(), &events(0..2_000), there)).unwrap();
}

#[test]
fn component_sinks_keep_the_contract() {
    for guest in ["printer", "tally", "no-op", "witness"] {
        // What these have at their target is their log, so the events themselves stand for it.
        let events = events(0..50);
        let make = || component_sink(guest, &[], &[]);
        block_on(sink::contract::check(make, &open_info(), &events, || events.clone())).unwrap();
    }
}

/// A source and a sink made outside the crate, as an embedder would; each with a way to break its duty.
#[derive(Debug)]
struct ListSource {
    pages: VecDeque<Vec<StateEvent>>,
}

#[async_trait]
impl EventSource for ListSource {
    fn describe(&self) -> String {
        "a list".to_owned()
    }

    fn format(&self) -> StreamFormat {
        StreamFormat::state_event()
    }

    async fn open(&mut self) -> Result<(), SourceError> {
        Ok(())
    }

    async fn get_events(&mut self) -> Result<Page, SourceError> {
        let events = self.pages.pop_front();
        let next = if self.pages.is_empty() { Next::End } else { Next::More };
        Ok(Page { events: events.unwrap_or_default(), findings: Vec::new(), history: true, next, progress: None })
    }
}

#[test]
fn an_outside_source_passes_and_one_that_breaks_the_order_does_not() {
    let all = events(0..10);
    let pages = |cut: [&[StateEvent]; 2]| ListSource { pages: cut.map(<[_]>::to_vec).into() };
    block_on(source::contract::check(&mut pages([&all[..4], &all[4..]]), &all)).unwrap();
    for wrong in [[&all[4..], &all[..4]], [&all[..4], &all[5..]], [&all[..5], &all[4..]]] {
        assert!(block_on(source::contract::check(&mut pages(wrong), &all)).is_err());
    }
}

#[derive(Debug)]
struct ListSink {
    target: Arc<Mutex<Vec<StateEvent>>>,
    deduplicates: bool,
}

#[async_trait]
impl EventSink for ListSink {
    fn describe(&self) -> String {
        "a list".to_owned()
    }

    async fn open(&mut self, _info: &OpenInfo) -> Result<Opened, SinkError> {
        Ok(Opened::Cursor)
    }

    async fn put_event(&mut self, event: &StateEvent, _delivery: Delivery) -> Result<Ack, SinkError> {
        let mut target = self.target.lock().unwrap();
        if !(self.deduplicates && target.contains(event)) {
            target.push(event.clone());
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

#[test]
fn an_outside_sink_passes_and_one_that_doubles_does_not() {
    for deduplicates in [true, false] {
        let target = Arc::new(Mutex::new(Vec::new()));
        let make = || ListSink { target: Arc::clone(&target), deduplicates };
        let seen = || target.lock().unwrap().clone();
        let outcome = block_on(sink::contract::check(make, &open_info(), &events(0..10), seen));
        assert_eq!(outcome.is_ok(), deduplicates);
    }
}
