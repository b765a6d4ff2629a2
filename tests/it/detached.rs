//! The detached lane in one process: order, completeness, failures, one test a rule.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hydrant::component::{ComponentVersions, Consent, Grants, SinkEngine};
use hydrant::delivery::{
    Departure, Detached, DetachedPolicy, DetachedSink, FlushPolicy, From, GuestWorkers, InlineSink, OnDivergence,
    OnFailure, OnGap, OnReject, Order, SinkState, SinkStatus, TagFilter, Window,
};
use hydrant::event::{Position, StateEvent};
use hydrant::node::{Node, NodeError, Outcome, Silent};
use hydrant::sink::{Ack, CloseReason, Delivery, EventSink, OpenInfo, Opened, SinkError};
use hydrant::sink_store::{KeyValue, Quota, SinkStore};
use hydrant::source::{EventSource, LocalSource, Reopen};
use hydrant::store::ReadOptions;
use tokio_util::sync::CancellationToken;

use crate::harness::{Folder, another_version, append, cache, guest, limits_of, line, lines, open_info, tagged};

/// What a native sink saw, and what it is to answer.
#[derive(Debug, Default)]
struct Witnessed {
    calls: Vec<String>,
    puts: Vec<(u64, Delivery)>,
}

type Answers = Arc<dyn Fn(&str, Option<u64>, usize) -> Result<Ack, SinkError> + Send + Sync>;

/// A native sink that writes down its calls and answers as it is told: by function, event and how many calls came before.
#[derive(Clone)]
struct Witness {
    witnessed: Arc<Mutex<Witnessed>>,
    answers: Answers,
    opened: Opened,
}

impl std::fmt::Debug for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Witness")
    }
}

impl Witness {
    fn new(answers: impl Fn(&str, Option<u64>, usize) -> Result<Ack, SinkError> + Send + Sync + 'static) -> Self {
        Self { witnessed: Arc::default(), answers: Arc::new(answers), opened: Opened::Cursor }
    }

    fn durable() -> Self {
        Self::new(|_, _, _| Ok(Ack::Durable))
    }

    fn call(&self, function: &str, id: Option<u64>) -> Result<Ack, SinkError> {
        let mut witnessed = self.witnessed.lock().unwrap();
        let before = witnessed.calls.len();
        witnessed.calls.push(id.map_or_else(|| function.to_owned(), |id| format!("{function} {id}")));
        drop(witnessed);
        (self.answers)(function, id, before)
    }

    fn ids(&self) -> Vec<u64> {
        self.witnessed.lock().unwrap().puts.iter().map(|(id, _)| *id).collect()
    }

    fn calls(&self) -> Vec<String> {
        self.witnessed.lock().unwrap().calls.clone()
    }

    fn flags(&self, id: u64) -> Vec<Delivery> {
        self.witnessed.lock().unwrap().puts.iter().filter(|(put, _)| *put == id).map(|(_, flags)| *flags).collect()
    }
}

#[async_trait]
impl EventSink for Witness {
    fn describe(&self) -> String {
        "a witness".to_owned()
    }

    async fn open(&mut self, info: &OpenInfo) -> Result<Opened, SinkError> {
        self.call(&format!("open {} {:?}", info.stream.epoch, info.resume.map(|at| at.to_string())), None)?;
        Ok(self.opened)
    }

    async fn put_event(&mut self, event: &StateEvent, delivery: Delivery) -> Result<Ack, SinkError> {
        let ack = self.call("put", Some(event.id()))?;
        self.witnessed.lock().unwrap().puts.push((event.id(), delivery));
        Ok(ack)
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        self.call("flush", None).map(drop)
    }

    async fn close(&mut self, reason: CloseReason) -> Result<(), SinkError> {
        self.call(&format!("close {reason:?}"), None).map(drop)
    }
}

/// A log and a data directory, over which nodes are started one after another.
struct World {
    folder: Folder,
    log: PathBuf,
    store: SinkStore,
}

struct Started {
    node: Node,
    detached: Arc<Detached>,
    store: SinkStore,
}

impl World {
    fn new(log: &str) -> Self {
        let folder = Folder::new();
        let log = folder.file("state", log);
        let store = SinkStore::open(&folder.path("sinks.redb")).unwrap();
        Self { folder, log, store }
    }

    fn store(&self) -> SinkStore {
        self.store.clone()
    }

    fn start(&self, sinks: Vec<DetachedSink>) -> Result<Started, Departure> {
        self.start_with(sinks, Vec::new())
    }

    fn start_beside(&self, sinks: Vec<DetachedSink>, inline: &Witness) -> Result<Started, Departure> {
        self.start_with(sinks, vec![InlineSink::new("inline", Box::new(inline.clone()), FlushPolicy::default())])
    }

    fn start_with(&self, sinks: Vec<DetachedSink>, inline: Vec<InlineSink>) -> Result<Started, Departure> {
        let store = self.store();
        let mut stream = open_info().stream;
        stream.epoch = store.epoch(&stream.name).unwrap().number;
        let log = self.log.clone();
        let source = move || Box::new(LocalSource::file(&log, ReadOptions::default())) as Box<dyn EventSource>;
        let window = Arc::new(Window::new(stream.clone()));
        let reopen = Reopen::new(source.clone());
        let workers = GuestWorkers::start().unwrap();
        let (detached, lineage) = Detached::start(sinks, &window, &store, reopen.clone(), &workers)?;
        let detached = Arc::new(detached);
        // The workers live as long as the sinks that run on them.
        std::mem::forget(workers);
        let node = Node::new(stream, source(), inline);
        let node = node.with_detached(Arc::clone(&detached), lineage).with_versions(store.clone(), reopen);
        Ok(Started { node, detached, store })
    }

    /// Runs to the end of the log, as `--once` does.
    async fn once(&self, sinks: Vec<DetachedSink>) -> Result<Vec<SinkStatus>, NodeError> {
        let mut started = self.start(sinks)?;
        let stop = CancellationToken::new();
        let outcome = async {
            started.node.open().await?;
            assert_eq!(started.node.hydrate(&stop, &mut Silent).await?, Outcome::Hydrated);
            started.node.drain(&stop, &mut Silent).await
        };
        let outcome = outcome.await;
        started.node.close(CloseReason::Stop).await?;
        outcome.map(|_| started.detached.statuses())
    }

    fn component(&self, name: &str, limits: &[(&str, &str)], config: &[(&str, &str)]) -> ComponentVersions {
        let all = limits_of(limits);
        ComponentVersions {
            grants: Grants { key_value: true, ..Grants::default() },
            consent: Consent::default(),
            name: name.to_owned(),
            engine: SinkEngine::new(all.stack).unwrap(),
            cache: cache(),
            folder: self.folder.path("versions"),
            limits: all,
            config: config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            store: self.store(),
        }
    }
}

fn native(sink: &Witness) -> DetachedSink {
    with_policy(sink, DetachedPolicy::default())
}

fn with_policy(sink: &Witness, policy: DetachedPolicy) -> DetachedSink {
    DetachedSink { name: "w".to_owned(), sink: Box::new(sink.clone()), key_value: None, policy, versions: None }
}

async fn component(versions: ComponentVersions, guest_name: &str, policy: DetachedPolicy) -> DetachedSink {
    let (version, active) = versions.in_charge(&guest(guest_name)).await.unwrap();
    DetachedSink {
        name: versions.name.clone(),
        sink: version.sink,
        key_value: version.key_value,
        policy,
        versions: Some((Arc::new(versions), active)),
    }
}

fn flush(policy: &str) -> DetachedPolicy {
    DetachedPolicy { flush: policy.parse().unwrap(), ..DetachedPolicy::default() }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not come about in ten seconds");
}

fn rejected() -> SinkError {
    SinkError::Rejected { message: "no".to_owned() }
}

fn retry() -> SinkError {
    SinkError::Retry { after: Some(Duration::from_millis(1)), message: "later".to_owned() }
}

#[test]
fn a_sink_goes_on_at_its_cursor_and_nothing_durable_is_put_again() {
    let world = World::new(&lines(0..10));
    let first = Witness::durable();
    run(world.once(vec![native(&first)])).unwrap();
    assert_eq!(first.ids(), (0..10).collect::<Vec<_>>());
    append(&world.log, &lines(10..15));
    let second = Witness::durable();
    run(world.once(vec![native(&second)])).unwrap();
    assert_eq!(second.ids(), (10..15).collect::<Vec<_>>());
    assert_eq!(second.calls()[0], "open 0 Some(\"9\")");
}

#[test]
fn the_cursor_never_passes_an_event_that_was_accepted_and_not_flushed() {
    // 10 is accepted, 11 acknowledged durable; then the process dies before a flush.
    let world = World::new(&lines(0..12));
    let answers = |_: &str, id: Option<u64>, _| Ok(if id == Some(10) { Ack::Accepted } else { Ack::Durable });
    let dying = Witness::new(answers);
    run(async {
        let mut started = world.start(vec![with_policy(&dying, flush("1000,1GiB,1h"))]).unwrap();
        started.node.open().await.unwrap();
        started.node.hydrate(&CancellationToken::new(), &mut Silent).await.unwrap();
        until("the put of event 11", || dying.ids().contains(&11)).await;
        until("the commit", || {
            started
                .store
                .cursor("w")
                .unwrap()
                .and_then(|cursor| cursor.durable)
                .is_some_and(|at| at.position == Position::event(9))
        })
        .await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        // Nothing is stopped or flushed: the runtime ends here, as the process would.
        assert_eq!(started.store.cursor("w").unwrap().unwrap().durable.unwrap().position, Position::event(9));
    });
    let next = Witness::durable();
    run(world.once(vec![native(&next)])).unwrap();
    assert_eq!(next.ids(), [10, 11]);
}

#[test]
fn what_was_accepted_is_flushed_by_count_bytes_and_time_also_when_idle() {
    let two = line(0).len() + line(1).len();
    for (policy, flushed) in [("3,1GiB,1h", "put 2"), (&*format!("1000,{two}B,1h"), "put 1")] {
        let world = World::new(&lines(0..4));
        let sink = Witness::new(|_, _, _| Ok(Ack::Accepted));
        run(world.once(vec![with_policy(&sink, flush(policy))])).unwrap();
        let calls = sink.calls();
        let at = calls.iter().position(|call| call == "flush").unwrap();
        assert_eq!(calls[at - 1], flushed, "{policy}: {calls:?}");
    }
    let world = World::new(&lines(0..4));
    let sink = Witness::new(|_, _, _| Ok(Ack::Accepted));
    run(async {
        let mut started = world.start(vec![with_policy(&sink, flush("1000,1GiB,100ms"))]).unwrap();
        started.node.open().await.unwrap();
        started.node.hydrate(&CancellationToken::new(), &mut Silent).await.unwrap();
        until("a flush while idle", || sink.calls().contains(&"flush".to_owned())).await;
        until("the cursor", || started.detached.statuses()[0].position == Some(Position::event(3))).await;
        started.node.close(CloseReason::Stop).await.unwrap();
    });
}

#[test]
fn a_rejected_event_is_parked_skipped_or_stops_the_sink() {
    let answers = |function: &str, id: Option<u64>, _| match (function, id) {
        ("put", Some(2)) => Err(rejected()),
        _ => Ok(Ack::Accepted),
    };
    for (on_reject, state, parked, ids) in [
        (OnReject::Park, None, 1, vec![0, 1, 3, 4]),
        (OnReject::Skip, None, 0, vec![0, 1, 3, 4]),
        (OnReject::Stop, Some(SinkState::Stopped), 0, vec![0, 1]),
    ] {
        let world = World::new(&lines(0..5));
        let sink = Witness::new(answers);
        let policy = DetachedPolicy { on_reject, ..DetachedPolicy::default() };
        let statuses = run(world.once(vec![with_policy(&sink, policy)])).unwrap();
        assert_eq!(sink.ids(), ids, "{on_reject:?}");
        let parked_events = world.store().parked("w").unwrap();
        assert_eq!((statuses[0].parked, parked_events.len()), (parked, parked as usize));
        assert!(state.is_none_or(|state| statuses[0].state == state), "{:?}", statuses[0]);
        if let Some(event) = parked_events.first() {
            assert_eq!((event.position, &*event.json), (Position::event(2), &*line(2)));
            assert!(event.error.contains("rejected: no"), "{}", event.error);
        }
    }
}

#[test]
fn ten_in_a_row_or_a_hundred_in_all_stop_the_sink() {
    let world = World::new(&lines(0..50));
    let statuses = run(world.once(vec![native(&Witness::new(|function, _, _| match function {
        "put" => Err(rejected()),
        _ => Ok(Ack::Durable),
    }))]));
    let status = &statuses.unwrap()[0];
    assert_eq!((status.state, status.parked), (SinkState::Stopped, 10));
    assert!(status.reason.as_ref().unwrap().contains("10 events in a row"));
    let world = World::new(&lines(0..1_000));
    let every_other = Witness::new(|_, id, _| match id {
        Some(id) if id % 2 == 1 => Err(rejected()),
        _ => Ok(Ack::Durable),
    });
    let status = &run(world.once(vec![native(&every_other)])).unwrap()[0];
    assert_eq!((status.state, status.parked), (SinkState::Stopped, 101));
    assert!(status.reason.as_ref().unwrap().contains("more than 100"));
}

#[test]
fn a_parked_event_put_again_carries_a_flag_and_leaves_the_cursor_alone() {
    let world = World::new(&lines(0..5));
    let refuses = Arc::new(Mutex::new(true));
    let asked = Arc::clone(&refuses);
    let sink = Witness::new(move |_, id, _| match id {
        Some(2) if *asked.lock().unwrap() => Err(rejected()),
        _ => Ok(Ack::Accepted),
    });
    run(async {
        let mut started = world.start(vec![native(&sink)]).unwrap();
        started.node.open().await.unwrap();
        started.node.hydrate(&CancellationToken::new(), &mut Silent).await.unwrap();
        until("catching up", || sink.ids().contains(&4)).await;
        let error = started.detached.order("w", Order::PutParked(None)).await.unwrap_err().to_string();
        assert!(error.contains("event 2 stays parked") && error.contains("no"), "{error}");
        *refuses.lock().unwrap() = false;
        let error = started.detached.order("w", Order::PutParked(Some(Position::event(3)))).await.unwrap_err();
        assert!(error.to_string().contains("no event 3 is parked"));
        started.detached.order("w", Order::PutParked(Some(Position::event(2)))).await.unwrap();
        let flags = sink.flags(2);
        assert!(flags.len() == 1 && flags[0].unparked && flags[0].redelivered, "{flags:?}");
        assert_eq!(started.store.parked("w").unwrap(), []);
        assert_eq!(started.detached.statuses()[0].position, Some(Position::event(4)));
        started.node.close(CloseReason::Stop).await.unwrap();
    });
    assert_eq!(sink.ids(), [0, 1, 3, 4, 2]);
}

#[test]
fn a_retry_is_waited_out_however_often_and_order_is_kept() {
    let world = World::new(&lines(0..20));
    let sink = Witness::new(|function, id, before| match (function, id) {
        ("put", Some(7)) if before < 14 => Err(retry()),
        ("flush", _) if before < 35 => Err(retry()),
        _ => Ok(Ack::Accepted),
    });
    let status = &run(world.once(vec![native(&sink)])).unwrap()[0];
    assert_eq!(sink.ids(), (0..20).collect::<Vec<_>>());
    assert_eq!((status.parked, status.restarts), (0, 0));
    assert_eq!(status.position, Some(Position::event(19)));
}

#[test]
fn an_unavailable_target_of_a_native_sink_gets_a_new_instance_at_the_cursor() {
    let world = World::new(&lines(0..6));
    let sink = Witness::new(|function, id, before| match (function, id) {
        ("put", Some(3)) if before < 8 => Err(SinkError::target("gone")),
        _ => Ok(Ack::Accepted),
    });
    run(world.once(vec![with_policy(&sink, flush("1000,1GiB,1h"))])).unwrap();
    // Never flushed for its predecessor: what the first instance accepted is put again, flagged.
    assert_eq!(sink.ids(), [0, 1, 2, 0, 1, 2, 3, 4, 5]);
    assert!(!sink.flags(0)[0].redelivered && sink.flags(0)[1].redelivered && !sink.flags(3)[0].redelivered);
    assert_eq!(sink.calls().iter().filter(|call| call.starts_with("open")).count(), 2);
}

#[test]
fn fatal_stops_the_sink_and_only_on_failure_terminate_the_process() {
    let fatal = |_: &str, id: Option<u64>, _| match id {
        Some(3) => Err(SinkError::Fatal { message: "broken".to_owned() }),
        _ => Ok(Ack::Durable),
    };
    let world = World::new(&lines(0..6));
    let status = &run(world.once(vec![native(&Witness::new(fatal))])).unwrap()[0];
    assert_eq!((status.state, status.position), (SinkState::Stopped, Some(Position::event(2))));
    assert!(status.reason.as_ref().unwrap().contains("event 3 (TickObserved): fatal: broken"));
    let world = World::new(&lines(0..6));
    let policy = DetachedPolicy { on_failure: OnFailure::Terminate, ..DetachedPolicy::default() };
    let error = run(world.once(vec![with_policy(&Witness::new(fatal), policy)])).unwrap_err();
    assert!(matches!(error, NodeError::Sink(failure) if failure.sink == "w"));
}

#[test]
fn filtered_events_are_not_put_and_count_as_durable() {
    let log: String = (0..9).map(|id| tagged(id, ["A", "B", "C"][id as usize % 3]) + "\n").collect();
    let filter = |tags: &[&str], not_tags: &[&str]| TagFilter {
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        not_tags: not_tags.iter().map(|tag| (*tag).to_owned()).collect(),
    };
    for (filter, ids) in [
        (filter(&["A"], &[]), vec![0, 3, 6]),
        (filter(&[], &["A"]), vec![1, 2, 4, 5, 7, 8]),
        (filter(&["X"], &[]), vec![]),
    ] {
        let world = World::new(&log);
        let sink = Witness::new(|_, _, _| Ok(Ack::Accepted));
        let policy = DetachedPolicy { filter, ..DetachedPolicy::default() };
        let status = &run(world.once(vec![with_policy(&sink, policy)])).unwrap()[0];
        assert_eq!(sink.ids(), ids);
        assert_eq!(status.position, Some(Position::event(8)));
    }
}

#[test]
fn a_first_start_begins_where_from_says() {
    for (from, ids) in
        [(From::Oldest, (0..6).collect::<Vec<_>>()), (From::At(Position::event(4)), vec![4, 5]), (From::Now, vec![])]
    {
        let world = World::new(&lines(0..6));
        let sink = Witness::durable();
        let policy = DetachedPolicy { from, ..DetachedPolicy::default() };
        run(world.once(vec![with_policy(&sink, policy.clone())])).unwrap();
        assert_eq!(sink.ids(), ids, "{from}");
        // It is about the first start only.
        append(&world.log, &lines(6..8));
        let sink = Witness::durable();
        run(world.once(vec![with_policy(&sink, policy)])).unwrap();
        assert_eq!(sink.ids(), [6, 7], "{from}");
    }
}

#[test]
fn a_sink_may_choose_where_it_starts() {
    let world = World::new(&lines(0..6));
    let mut sink = Witness::durable();
    run(world.once(vec![native(&sink)])).unwrap();
    sink = Witness { opened: Opened::After(Position::event(3)), ..Witness::durable() };
    run(world.once(vec![native(&sink)])).unwrap();
    assert_eq!(sink.ids(), [4, 5]);
    assert!(sink.flags(4)[0].redelivered, "it was put before the restart");
    sink = Witness { opened: Opened::Beginning, ..Witness::durable() };
    run(world.once(vec![native(&sink)])).unwrap();
    assert_eq!(sink.ids(), (0..6).collect::<Vec<_>>());
    sink = Witness { opened: Opened::After(Position::event(100)), ..Witness::durable() };
    let status = &run(world.once(vec![native(&sink)])).unwrap()[0];
    assert_eq!(status.state, SinkState::Stopped);
    assert!(status.reason.as_ref().unwrap().contains("the stream ends at event 5"), "{status:?}");
}

#[test]
fn a_checkpoint_goes_to_every_sink_after_the_event_of_its_id() {
    let log = lines(0..2) + &tagged(1, "Checkpoint") + "\n" + &lines(2..3);
    let world = World::new(&log);
    let sink = Witness::durable();
    run(world.once(vec![native(&sink)])).unwrap();
    assert_eq!(sink.ids(), [0, 1, 1, 2]);
}

#[test]
fn catching_up_is_flagged_up_to_the_end_seen_at_start() {
    let world = World::new(&lines(0..3));
    let sink = Witness::durable();
    run(async {
        let mut started = world.start(vec![native(&sink)]).unwrap();
        started.node.open().await.unwrap();
        let stop = CancellationToken::new();
        started.node.hydrate(&stop, &mut Silent).await.unwrap();
        let node = &mut started.node;
        let mut silent = Silent;
        let follow = node.follow(&stop, &mut silent);
        let grow = async {
            until("catching up", || sink.ids().len() == 3).await;
            append(&world.log, &lines(3..5));
            until("the live events", || sink.ids().len() == 5).await;
            until("state live", || started.detached.statuses()[0].state == SinkState::Live).await;
            stop.cancel();
        };
        let (outcome, ()) = tokio::join!(follow, grow);
        assert_eq!(outcome.unwrap(), Outcome::Stopped);
        started.node.close(CloseReason::Stop).await.unwrap();
    });
    assert!(sink.flags(2)[0].catching_up && !sink.flags(3)[0].catching_up);
}

#[test]
fn a_log_cut_short_and_continued_otherwise_is_never_skipped_silently() {
    let rewritten = || lines(0..990) + &(990..1_010).map(|id| tagged(id, "Other") + "\n").collect::<String>();
    let world = World::new(&lines(0..1_000));
    run(world.once(vec![native(&Witness::durable())])).unwrap();
    std::fs::write(&world.log, rewritten()).unwrap();
    let error = run(world.once(vec![native(&Witness::durable())])).unwrap_err().to_string();
    for part in ["has diverged", "event 990", "both have event 989"] {
        assert!(error.contains(part), "{part:?} is missing in {error}");
    }
    // A log that just ends earlier has diverged too.
    std::fs::write(&world.log, lines(0..990)).unwrap();
    let error = run(world.once(vec![native(&Witness::durable())])).unwrap_err().to_string();
    assert!(error.contains("the log ends at event 989"), "{error}");
    std::fs::write(&world.log, rewritten()).unwrap();
    let policy = DetachedPolicy { on_divergence: OnDivergence::Redeliver, ..DetachedPolicy::default() };
    let sink = Witness::durable();
    run(world.once(vec![with_policy(&sink, policy.clone())])).unwrap();
    let last: Vec<u64> = sink.ids().into_iter().rev().take(20).rev().collect();
    assert_eq!(last, (990..1_010).collect::<Vec<_>>());
    assert!(sink.calls().iter().any(|call| call == "open 1 Some(\"989\")"), "{:?}", &sink.calls()[..3]);
    // The next start goes on in that epoch, without a divergence.
    append(&world.log, &lines(1_010..1_012));
    let sink = Witness::durable();
    run(world.once(vec![native(&sink)])).unwrap();
    assert_eq!(sink.ids(), [1_010, 1_011]);
    assert_eq!(sink.calls()[0], "open 1 Some(\"1009\")");
}

#[test]
fn another_heads_log_is_refused_by_name() {
    let world = World::new(&lines(0..20));
    run(world.once(vec![native(&Witness::durable())])).unwrap();
    std::fs::write(&world.log, (0..40).map(|id| tagged(id, "Foreign") + "\n").collect::<String>()).unwrap();
    let sink = Witness::durable();
    let error = run(world.once(vec![native(&sink)])).unwrap_err().to_string();
    assert!(error.contains("stream test has diverged: event 0 (hash"), "{error}");
    assert!(error.contains("is in its place"), "{error}");
    assert_eq!(sink.ids(), [] as [u64; 0]);
}

#[test]
fn a_log_that_no_longer_reaches_back_is_a_gap() {
    let world = World::new(&lines(0..20));
    run(world.once(vec![native(&Witness::durable())])).unwrap();
    std::fs::write(&world.log, lines(25..30)).unwrap();
    let error = run(world.once(vec![native(&Witness::durable())])).unwrap_err().to_string();
    assert!(error.contains("has a gap") && error.contains("event 19") && error.contains("is 25"), "{error}");
    let policy = DetachedPolicy { on_gap: OnGap::Continue, ..DetachedPolicy::default() };
    let sink = Witness::durable();
    run(world.once(vec![with_policy(&sink, policy)])).unwrap();
    assert_eq!(sink.ids(), (25..30).collect::<Vec<_>>());
}

#[test]
fn a_slow_sink_falls_out_of_the_window_and_still_gets_every_event_in_order() {
    // Far more than the window holds, so that the slow sink has to read the log for itself and join again.
    let filler = "x".repeat(20_000);
    let event = |id: u64| format!(r#"{{"eventId":{id},"stateChanged":{{"tag":"A","x":"{filler}"}}}}"#) + "\n";
    let world = World::new(&(0..2_000).map(event).collect::<String>());
    let slow = Witness::new(|function, id, _| {
        if function == "put" && id.is_some_and(|id| id % 100 == 0) {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Ack::Durable)
    });
    let quick = Witness::durable();
    let mut other = native(&quick);
    other.name = "quick".to_owned();
    run(world.once(vec![native(&slow), other])).unwrap();
    assert_eq!(slow.ids(), (0..2_000).collect::<Vec<_>>());
    assert_eq!(quick.ids(), (0..2_000).collect::<Vec<_>>());
}

#[test]
fn an_event_that_traps_is_found_and_parked_and_the_rest_is_delivered() {
    run(async {
        let world = World::new(&lines(0..300));
        let versions = world.component("t", &[], &[("on", "put"), ("do", "trap"), ("when", "123")]);
        let sink = component(versions, "scripted", DetachedPolicy::default()).await;
        let status = &world.once(vec![sink]).await.unwrap()[0];
        assert_eq!((status.parked, status.position), (1, Some(Position::event(299))));
        // Once in a batch, five times singly.
        assert_eq!(status.restarts, 6);
        let parked = world.store().parked("t").unwrap();
        assert_eq!(parked[0].position, Position::event(123));
        assert!(parked[0].error.contains("trapped") && parked[0].digest.is_some(), "{}", parked[0].error);
    });
}

#[test]
fn a_leak_to_the_limit_parks_nothing() {
    run(async {
        let world = World::new(&lines(0..400));
        let versions = world.component("leaky", &[("memory", "4MiB")], &[("leak", "30000")]);
        let sink = component(versions, "scripted", DetachedPolicy::default()).await;
        let status = &world.once(vec![sink]).await.unwrap()[0];
        assert_eq!((status.parked, status.position), (0, Some(Position::event(399))), "{status:?}");
        assert!(status.restarts > 0);
    });
}

#[test]
fn a_sink_that_always_traps_stops_and_holds_up_nobody() {
    run(async {
        let world = World::new(&lines(0..100));
        let versions = world.component("bad", &[], &[("on", "put"), ("do", "trap")]);
        let bad = component(versions, "scripted", DetachedPolicy::default()).await;
        let good = Witness::durable();
        let statuses = world.once(vec![bad, native(&good)]).await.unwrap();
        assert_eq!((statuses[0].state, statuses[0].parked), (SinkState::Stopped, 10));
        assert_eq!(good.ids(), (0..100).collect::<Vec<_>>());
    });
}

#[test]
fn accepted_from_a_sink_without_flush_is_a_contract_error_at_the_first_answer() {
    run(async {
        let world = World::new(&lines(0..3));
        let versions = world.component("a", &[], &[]);
        let sink = component(versions, "accepted-without-flush", DetachedPolicy::default()).await;
        let status = &world.once(vec![sink]).await.unwrap()[0];
        assert_eq!(status.state, SinkState::Stopped);
        assert!(status.reason.as_ref().unwrap().contains("breaks the contract"), "{status:?}");
    });
}

/// The counts that kv-tally keeps.
fn counts(store: &SinkStore, tag: &str) -> u64 {
    let key_value = KeyValue::new(store, "kv", Quota { keys: 100, bytes: 1 << 20 });
    let bytes = key_value.get(&format!("count/{tag}")).unwrap();
    bytes.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
}

#[test]
fn key_value_and_cursor_move_together() {
    run(async {
        let world = World::new(&lines(0..250));
        let versions = world.component("kv", &[], &[]);
        let sink = component(versions, "kv-tally", DetachedPolicy::default()).await;
        world.once(vec![sink]).await.unwrap();
        assert_eq!(counts(&world.store(), "TickObserved"), 250);
        append(&world.log, &lines(250..300));
        let sink = component(world.component("kv", &[], &[]), "kv-tally", DetachedPolicy::default()).await;
        world.once(vec![sink]).await.unwrap();
        assert_eq!(counts(&world.store(), "TickObserved"), 300);
    });
}

#[test]
fn a_replay_of_a_sink_with_state_has_to_say_what_becomes_of_it() {
    run(async {
        let world = World::new(&lines(0..100));
        let sink = component(world.component("kv", &[], &[]), "kv-tally", DetachedPolicy::default()).await;
        let mut started = world.start(vec![sink]).unwrap();
        started.node.open().await.unwrap();
        started.node.hydrate(&CancellationToken::new(), &mut Silent).await.unwrap();
        let at_end = || started.detached.statuses()[0].position == Some(Position::event(99));
        until("catching up", at_end).await;
        let replay = |reset_state| Order::Replay { from: Position::event(40), reset_state };
        let error = started.detached.order("kv", replay(None)).await.unwrap_err().to_string();
        assert!(error.contains("--reset-state"), "{error}");
        started.detached.order("kv", replay(Some(true))).await.unwrap();
        until("catching up again", || at_end() && counts(&started.store, "TickObserved") == 60).await;
        started.detached.order("kv", replay(Some(false))).await.unwrap();
        until("counting twice", || at_end() && counts(&started.store, "TickObserved") == 120).await;
        let beyond = Order::Replay { from: Position::event(500), reset_state: Some(false) };
        let error = started.detached.order("kv", beyond).await.unwrap_err().to_string();
        assert!(error.contains("would pass over events"), "{error}");
        started.node.close(CloseReason::Stop).await.unwrap();
    });
}

#[test]
fn a_quota_bounds_what_a_sink_keeps() {
    for (limit, held) in [(("key-value-keys", "1"), false), (("key-value-keys", "2"), true)] {
        run(async {
            let world = World::new(&(tagged(0, "A") + "\n" + &tagged(1, "B") + "\n"));
            let versions = world.component("kv", &[limit], &[]);
            let sink = component(versions, "kv-tally", DetachedPolicy::default()).await;
            let status = &world.once(vec![sink]).await.unwrap()[0];
            assert_eq!(status.state != SinkState::Stopped, held, "{status:?}");
        });
    }
    for (limit, held) in [(("key-value-bytes", "14B"), false), (("key-value-bytes", "15B"), true)] {
        run(async {
            let world = World::new(&(tagged(0, "A") + "\n"));
            let versions = world.component("kv", &[limit], &[]);
            let sink = component(versions, "kv-tally", DetachedPolicy::default()).await;
            let status = &world.once(vec![sink]).await.unwrap()[0];
            assert_eq!(status.state != SinkState::Stopped, held, "{status:?}");
        });
    }
}

#[test]
fn instances_are_recycled_and_nothing_is_lost_or_counted_twice() {
    run(async {
        let world = World::new(&lines(0..500));
        let policy = DetachedPolicy { recycle_calls: 3, batch_events: 10, ..DetachedPolicy::default() };
        let tally = component(world.component("tally", &[], &[]), "tally", policy.clone()).await;
        let kv = component(world.component("kv", &[], &[]), "kv-tally", policy).await;
        let statuses = world.once(vec![tally, kv]).await.unwrap();
        assert!(statuses.iter().all(|status| status.position == Some(Position::event(499)) && status.restarts == 0));
        assert_eq!(statuses[0].delivered, 500, "the tally's counts were handed over, not made anew");
        assert_eq!(counts(&world.store(), "TickObserved"), 500);
    });
}

/// A store that fails as a full disk does, until told otherwise.
#[test]
fn a_failing_cursor_store_holds_the_detached_sinks_and_nobody_else() {
    let world = World::new(&lines(0..10));
    let disk = crate::sink_store::LosingDisk::default();
    let world = World { store: disk.store(), ..world };
    let (held, inline) = (Witness::durable(), Witness::durable());
    run(async {
        let mut started = world.start_beside(vec![native(&held)], &inline).unwrap();
        let stop = CancellationToken::new();
        started.node.open().await.unwrap();
        started.node.hydrate(&stop, &mut Silent).await.unwrap();
        until("the first commit", || started.detached.statuses()[0].position == Some(Position::event(9))).await;
        disk.fill(true);
        let node = &mut started.node;
        let mut silent = Silent;
        let follow = node.follow(&stop, &mut silent);
        let detached = &started.detached;
        let drive = async {
            append(&world.log, &lines(10..11));
            until("state retrying", || detached.statuses()[0].state == SinkState::Retrying).await;
            append(&world.log, &lines(11..20));
            until("the inline sink", || inline.ids().len() == 20).await;
            assert_eq!(detached.statuses()[0].position, Some(Position::event(9)));
            // Between two attempts: during one there is no reason to name.
            let says_why =
                |status: &SinkStatus| status.reason.as_ref().is_some_and(|why| why.contains("the store of cursors"));
            until("the reason", || says_why(&detached.statuses()[0])).await;
            disk.fill(false);
            until("the cursor", || detached.statuses()[0].position == Some(Position::event(19))).await;
            stop.cancel();
        };
        let (outcome, ()) = tokio::join!(follow, drive);
        assert_eq!(outcome.unwrap(), Outcome::Stopped);
        started.node.close(CloseReason::Stop).await.unwrap();
    });
    assert_eq!(held.ids(), (0..20).collect::<Vec<_>>());
}

#[test]
fn a_refused_swap_leaves_state_and_reason_as_they_were() {
    run(async {
        let world = World::new(&lines(0..3));
        let versions = world.component("s", &[], &[("on", "put"), ("do", "fatal")]);
        let started = world.start(vec![component(versions, "scripted", DetachedPolicy::default()).await]);
        let mut started = started.unwrap();
        started.node.open().await.unwrap();
        started.node.hydrate(&CancellationToken::new(), &mut Silent).await.unwrap();
        until("the stop", || started.detached.statuses()[0].state == SinkState::Stopped).await;
        let other = std::fs::read(guest("other-format")).unwrap();
        started.detached.swap("s", other, false).await.unwrap_err();
        let status = &started.detached.statuses()[0];
        assert_eq!(status.state, SinkState::Stopped);
        assert!(status.reason.as_ref().is_some_and(|reason| reason.contains("the script says so")), "{status:?}");
        started.node.close(CloseReason::Stop).await.unwrap();
    });
}

#[test]
fn a_failing_store_delays_the_return_to_the_version_before_and_does_not_prevent_it() {
    let disk = crate::sink_store::LosingDisk::default();
    let world = World { store: disk.store(), ..World::new(&lines(0..10)) };
    run(async {
        let versions = world.component("s", &[], &[("on", "put"), ("do", "trap"), ("when", "10")]);
        let mut started = world.start(vec![component(versions, "scripted", DetachedPolicy::default()).await]).unwrap();
        let (stop, detached) = (CancellationToken::new(), Arc::clone(&started.detached));
        started.node.open().await.unwrap();
        started.node.hydrate(&stop, &mut Silent).await.unwrap();
        until("the first commit", || detached.statuses()[0].position == Some(Position::event(9))).await;
        let before = detached.statuses()[0].digest.clone();
        let next = another_version("scripted", &world.folder.path("next.wasm"), 1);
        detached.swap("s", std::fs::read(next).unwrap(), false).await.unwrap();
        assert_ne!(detached.statuses()[0].digest, before);
        disk.fill(true);
        let drive = async {
            append(&world.log, &lines(10..12));
            let held = |status: &SinkStatus| {
                status.state == SinkState::Retrying
                    && status.reason.as_ref().is_some_and(|reason| reason.contains("the store of cursors"))
            };
            until("state retrying", || held(&detached.statuses()[0])).await;
            disk.fill(false);
            until("the return", || detached.statuses()[0].digest == before).await;
            // The version before traps at the same event, which is parked for that.
            until("the rest", || detached.statuses()[0].position == Some(Position::event(11))).await;
            stop.cancel();
        };
        let mut silent = Silent;
        let (outcome, ()) = tokio::join!(started.node.follow(&stop, &mut silent), drive);
        assert_eq!(outcome.unwrap(), Outcome::Stopped);
        started.node.close(CloseReason::Stop).await.unwrap();
    });
    assert_eq!(world.store.parked_count("s").unwrap(), 1);
}

#[test]
fn a_sink_that_has_not_opened_yet_shows_its_version() {
    run(async {
        let world = World::new(&lines(0..1));
        let versions = world.component("s", &[], &[("on", "open"), ("do", "retry")]);
        let mut started = world.start(vec![component(versions, "scripted", DetachedPolicy::default()).await]).unwrap();
        let status = &started.detached.statuses()[0];
        assert!(status.digest.is_some() && status.description.starts_with("component sha256:"), "{status:?}");
        started.node.close(CloseReason::Stop).await.unwrap();
    });
}
