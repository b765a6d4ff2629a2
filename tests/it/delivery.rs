//! The node: every event to every sink in sequence, flushes when they are due, and an end at the first failure.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hydrant::delivery::{Doing, FlushPolicy, InlineSink};
use hydrant::event::{Position, StateEvent};
use hydrant::node::{Node, NodeError, Outcome, Silent};
use hydrant::sink::{Ack, CloseReason, Delivery, EventSink, OpenInfo, Opened, SinkError};
use hydrant::source::{EventSource, Next, Page, SourceError};
use hydrant::stream::StreamFormat;
use tokio_util::sync::CancellationToken;

use crate::harness::{block_on as run, events, open_info};

type Calls = Arc<Mutex<Vec<String>>>;

/// Writes down its calls; refuses one id; accepts, or makes durable.
#[derive(Debug)]
struct Recorder {
    name: &'static str,
    calls: Calls,
    ack: Ack,
    refuses: Option<u64>,
}

impl Recorder {
    fn note(&self, call: String) {
        self.calls.lock().unwrap().push(format!("{} {call}", self.name));
    }
}

#[async_trait]
impl EventSink for Recorder {
    fn describe(&self) -> String {
        "a recorder".to_owned()
    }

    async fn open(&mut self, info: &OpenInfo) -> Result<Opened, SinkError> {
        assert_eq!(info.resume, None, "the inline lane never resumes");
        // The inline lane puts everything, whatever this says.
        Ok(Opened::After(Position::event(5)))
    }

    async fn put_event(&mut self, event: &StateEvent, delivery: Delivery) -> Result<Ack, SinkError> {
        if self.refuses == Some(event.id()) {
            return Err(SinkError::Rejected { message: "no".to_owned() });
        }
        self.note(format!("{}{}", event.id(), if delivery.catching_up { "h" } else { "" }));
        Ok(self.ack)
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        self.note("flush".to_owned());
        Ok(())
    }

    async fn close(&mut self, reason: CloseReason) -> Result<(), SinkError> {
        self.note(format!("close {reason:?}"));
        Ok(())
    }

    fn log_tail(&self) -> Vec<String> {
        vec!["last words".to_owned()]
    }
}

/// History, then live pages, then nothing more.
#[derive(Debug)]
struct Script {
    history: VecDeque<Vec<StateEvent>>,
    live: VecDeque<(Vec<StateEvent>, Next)>,
}

#[async_trait]
impl EventSource for Script {
    fn describe(&self) -> String {
        "a script".to_owned()
    }

    fn format(&self) -> StreamFormat {
        StreamFormat::state_event()
    }

    async fn open(&mut self) -> Result<(), SourceError> {
        Ok(())
    }

    async fn get_events(&mut self) -> Result<Page, SourceError> {
        let (events, history, next) = match self.history.pop_front() {
            Some(events) => (events, true, Next::More),
            None => {
                let (events, next) = self.live.pop_front().unwrap_or((Vec::new(), Next::End));
                (events, false, next)
            }
        };
        Ok(Page { events, findings: Vec::new(), history, next, progress: None })
    }
}

struct Setup {
    calls: Calls,
    sinks: Vec<InlineSink>,
}

impl Setup {
    fn new() -> Self {
        Self { calls: Calls::default(), sinks: Vec::new() }
    }

    fn sink(mut self, name: &'static str, ack: Ack, refuses: Option<u64>, policy: &str) -> Self {
        let recorder = Recorder { name, calls: Arc::clone(&self.calls), ack, refuses };
        let policy: FlushPolicy = policy.parse().unwrap();
        self.sinks.push(InlineSink::new(name, Box::new(recorder), policy));
        self
    }

    fn node(self, history: Vec<Vec<StateEvent>>, live: Vec<(Vec<StateEvent>, Next)>) -> (Node, Calls) {
        let source = Script { history: history.into(), live: live.into() };
        (Node::new(open_info().stream, Box::new(source), self.sinks), self.calls)
    }
}

fn taken(calls: &Calls) -> Vec<String> {
    std::mem::take(&mut *calls.lock().unwrap())
}

async fn to_the_end(node: &mut Node) -> Result<Outcome, NodeError> {
    let stop = CancellationToken::new();
    node.open().await?;
    assert_eq!(node.hydrate(&stop, &mut Silent).await?, Outcome::Hydrated);
    node.follow(&stop, &mut Silent).await
}

#[test]
fn each_event_goes_to_all_sinks_in_sequence_before_the_next() {
    let setup = Setup::new().sink("a", Ack::Durable, None, "1000").sink("b", Ack::Durable, None, "1000");
    let (mut node, calls) = setup.node(vec![events(0..2)], vec![(events(2..3), Next::More)]);
    assert_eq!(run(to_the_end(&mut node)).unwrap(), Outcome::Ended);
    assert_eq!(taken(&calls), ["a 0h", "b 0h", "a 1h", "b 1h", "a 2", "b 2"]);
    assert_eq!(node.delivered().events, 3);
    run(node.close(CloseReason::Stop)).unwrap();
    assert_eq!(taken(&calls), ["a close Stop", "b close Stop"]);
}

#[test]
fn a_failure_ends_delivery_and_names_sink_event_and_reason() {
    let setup = Setup::new().sink("a", Ack::Accepted, None, "1000").sink("b", Ack::Durable, Some(1), "1000");
    let (mut node, calls) = setup.sink("c", Ack::Durable, None, "1000").node(vec![events(0..3)], vec![]);
    let error = run(to_the_end(&mut node)).unwrap_err();
    let NodeError::Sink(failure) = &error else { panic!("{error}") };
    assert_eq!(failure.sink, "b");
    assert_eq!(failure.doing, Doing::Put { position: Position::event(1), tag: "TickObserved".to_owned() });
    assert_eq!(failure.log_tail, ["last words"]);
    assert_eq!(taken(&calls), ["a 0h", "b 0h", "c 0h", "a 1h"]);
    // The others are flushed and closed; the failed one is left alone.
    run(node.close(CloseReason::Failure)).unwrap();
    assert_eq!(taken(&calls), ["a flush", "a close Failure", "c close Failure"]);
}

#[test]
fn what_was_accepted_is_flushed_by_count() {
    let setup = Setup::new().sink("a", Ack::Accepted, None, "3,1GiB,1h");
    let (mut node, calls) = setup.node(vec![events(0..7)], vec![]);
    run(to_the_end(&mut node)).unwrap();
    assert_eq!(taken(&calls), ["a 0h", "a 1h", "a 2h", "a flush", "a 3h", "a 4h", "a 5h", "a flush", "a 6h"]);
    run(node.close(CloseReason::Stop)).unwrap();
    assert_eq!(taken(&calls), ["a flush", "a close Stop"]);
}

#[test]
fn what_was_accepted_is_flushed_by_bytes() {
    let two = events(0..2).iter().map(|event| event.json().len()).sum::<usize>();
    let setup = Setup::new().sink("a", Ack::Accepted, None, &format!("1000,{two}B,1h"));
    let (mut node, calls) = setup.node(vec![events(0..3)], vec![]);
    run(to_the_end(&mut node)).unwrap();
    assert_eq!(taken(&calls), ["a 0h", "a 1h", "a flush", "a 2h"]);
}

#[test]
fn what_was_accepted_is_flushed_by_time_also_when_idle() {
    let setup = Setup::new().sink("a", Ack::Accepted, None, "1000,1GiB,50ms").sink("b", Ack::Durable, None, "1");
    let long = Next::Wait(Duration::from_millis(300));
    let (mut node, calls) = setup.node(vec![], vec![(events(0..1), long), (events(1..2), Next::More)]);
    run(to_the_end(&mut node)).unwrap();
    assert_eq!(taken(&calls), ["a 0", "b 0", "a flush", "a 1", "b 1"]);
}

#[test]
fn a_stop_is_obeyed_between_events_and_while_waiting() {
    let setup = Setup::new().sink("a", Ack::Durable, None, "1");
    let (mut node, calls) = setup.node(vec![events(0..3)], vec![]);
    let stop = CancellationToken::new();
    stop.cancel();
    let outcome = run(async {
        node.open().await.unwrap();
        node.hydrate(&stop, &mut Silent).await.unwrap()
    });
    assert_eq!((outcome, taken(&calls).len()), (Outcome::Stopped, 0));

    let (mut node, _) = Setup::new()
        .sink("a", Ack::Durable, None, "1")
        .node(vec![], vec![(Vec::new(), Next::Wait(Duration::from_secs(3600)))]);
    let waited = run(async {
        let stop = CancellationToken::new();
        let cancel = stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            cancel.cancel();
        });
        let start = tokio::time::Instant::now();
        node.open().await.unwrap();
        node.hydrate(&stop, &mut Silent).await.unwrap();
        assert_eq!(node.follow(&stop, &mut Silent).await.unwrap(), Outcome::Stopped);
        start.elapsed()
    });
    assert!(waited < Duration::from_secs(60), "{waited:?}");
}
