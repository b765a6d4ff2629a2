//! Components that try to harm their host, one after another, while a good sink beside them must stay on time.

mod attacks;
mod requests;

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use hydrant::component::{CompileCache, ComponentSink, FailureKind, Limits, LoadError, SinkComponent, SinkEngine};
use hydrant::sink::{CloseReason, Delivery, EventSink, SinkError};
use hydrant::sink_store::SinkStore;

use crate::harness::{Folder, block_on, compiler, component_sink, events, limits_of, open_info};
use attacks::{Attack, Must};

/// Tight, so that each attack is over soon.
const LIMITS: [(&str, &str); 13] = [
    ("fuel", "5000000"),
    ("open-fuel", "50000000"),
    ("flush-fuel", "5000000"),
    ("timeout", "500ms"),
    ("open-timeout", "1s"),
    ("flush-timeout", "500ms"),
    ("memory", "64MiB"),
    ("compile-memory", "256MiB"),
    ("compile-cpu", "10s"),
    ("http-timeout", "200ms"),
    ("http-response-bytes", "64KiB"),
    ("key-value-keys", "1000"),
    ("key-value-bytes", "8MiB"),
];

/// By which each attack must be over: the longest limit, its backstop, and a busy machine.
const OVER: Duration = Duration::from_secs(60);

enum Came {
    Refused(LoadError),
    Failed(SinkError),
    Through,
}

/// Loads a component and calls every function it has.
fn come_of(attack: &Attack, engine: &SinkEngine, cache: &CompileCache, store: &SinkStore, limits: &Limits) -> Came {
    let component = match SinkComponent::from_bytes(engine, cache, &attack.wasm, limits) {
        Ok(component) => component,
        Err(error) => return Came::Refused(error),
    };
    let sink = ComponentSink::new("hostile", component, limits.clone(), attack.config.clone());
    let mut sink = sink.with_grants(attack.grants.clone());
    sink.keep_state(store, "hostile");
    block_on(drive(&mut sink)).map_or_else(Came::Failed, |()| Came::Through)
}

async fn drive(sink: &mut ComponentSink) -> Result<(), SinkError> {
    sink.open(&open_info()).await?;
    for event in events(0..50) {
        sink.put_event(&event, Delivery::default()).await?;
    }
    sink.flush().await?;
    if let Some(handover) = sink.handover() {
        let saved = handover.save().await?;
        handover.restore(&saved).await?;
    }
    sink.close(CloseReason::Stop).await
}

/// What is wrong with what came of an attack.
fn wrong(attack: &Attack, came: &Came) -> Option<String> {
    let expected = attack.must;
    let found = match (expected, came) {
        (Must::End, _)
        | (Must::Fail, Came::Failed(_))
        | (Must::BeRefused, Came::Refused(_))
        | (Must::GoThrough, Came::Through) => return None,
        (Must::Break(limit), Came::Failed(SinkError::Guest(failure))) => match &failure.kind {
            FailureKind::Limit { name, .. } if *name == limit => return None,
            _ => failure.to_string(),
        },
        (_, Came::Refused(error)) => format!("refused: {error:?}"),
        (_, Came::Failed(error)) => format!("failed: {error}"),
        (_, Came::Through) => "came through".to_owned(),
    };
    Some(format!("{}: must {expected:?}, {found}", attack.tries))
}

/// A good sink on a thread of its own; how many microseconds its puts took, once told to stop.
fn good_neighbour(stop: Arc<AtomicBool>) -> thread::JoinHandle<Histogram<u64>> {
    thread::spawn(move || {
        let mut sink = component_sink("tally", &[], &[]);
        let event = &events(0..1)[0];
        block_on(async {
            sink.open(&open_info()).await.unwrap();
            // Of a size that does not grow: what the process holds is measured.
            let mut took = Histogram::new_with_bounds(1, 60_000_000, 2).unwrap();
            while !stop.load(Ordering::Relaxed) {
                let start = Instant::now();
                sink.put_event(event, Delivery::default()).await.unwrap();
                took.saturating_record(start.elapsed().as_micros() as u64);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            took
        })
    })
}

/// Lots of rounds of which one must leave memory as it was. A store or an allocator takes more once, sooner or later; what leaks takes more in each.
const LOTS: usize = 4;

/// What the process holds: memory of its own in kilobytes (pages of files come and go as the system likes), descriptors, threads.
fn held() -> [usize; 3] {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    [field("RssAnon:"), fs::read_dir("/proc/self/fd").unwrap().count(), field("Threads:")]
}

#[test]
#[ignore = "run by the test below, in a process of its own, so that what it holds can be told"]
fn in_a_process_of_its_own() {
    let folder = Folder::new();
    let cache = CompileCache::open(folder.path("components"), compiler()).unwrap();
    let limits = limits_of(&LIMITS);
    let engine = SinkEngine::new(limits.stack).unwrap();
    let store = SinkStore::in_memory().unwrap();
    let attacks: Vec<Attack> = attacks::all().into_iter().chain(requests::all()).collect();
    assert!(attacks.len() >= 40, "{}", attacks.len());
    let stop = Arc::new(AtomicBool::new(false));
    let neighbour = good_neighbour(Arc::clone(&stop));
    let round = || {
        let mut all_wrong = Vec::new();
        for attack in &attacks {
            let start = Instant::now();
            all_wrong.extend(wrong(attack, &come_of(attack, &engine, &cache, &store, &limits)));
            assert!(start.elapsed() < OVER, "{}: {:?}", attack.tries, start.elapsed());
        }
        assert!(all_wrong.is_empty(), "{}", all_wrong.join("\n"));
        fs::read_dir(folder.path("components")).unwrap().count()
    };
    // The first fills the cache and warms the allocator up.
    let files = round();
    (0..2).for_each(|_| assert_eq!(round(), files));
    let (mut before, mut lots) = (held(), 0);
    let after = loop {
        (0..3).for_each(|_| assert_eq!(round(), files));
        let after = held();
        lots += 1;
        if lots == LOTS || after[0] * 100 <= before[0] * 101 {
            break after;
        }
        before[0] = after[0];
    };
    stop.store(true, Ordering::Relaxed);
    let took = neighbour.join().unwrap();
    let (p99, worst) = (Duration::from_micros(took.value_at_quantile(0.99)), Duration::from_micros(took.max()));
    println!(
        "{} attacks; held {before:?}, then {after:?}; the good sink: {} puts, p99 {p99:?}, worst {worst:?}",
        attacks.len(),
        took.len()
    );
    assert!(after[0] * 100 <= before[0] * 101, "memory: {before:?} {after:?}");
    assert!(after[1] <= before[1] && after[2] <= before[2], "{before:?} {after:?}");
    assert!(p99 < Duration::from_millis(20) && worst < Duration::from_secs(1), "{p99:?} {worst:?}");
}

#[test]
fn no_attack_ends_the_process_or_leaves_anything_behind() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output =
        command.args(["hostile::in_a_process_of_its_own", "--exact", "--ignored", "--nocapture"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{said}");
}
