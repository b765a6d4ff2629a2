//! `ws:` as a source, against a server that does what hydra-node's API does, and what it should not.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hydrant::source::{self, EventSource, WsSource};
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::broadcast;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use crate::harness::{Folder, assert_exit, block_on, counted, stderr, stdout, wasm};
use crate::operate::Running;
use hydrant::sink_store::SinkStore;

#[derive(Clone)]
enum Said {
    Message(String),
    /// All connections end.
    HangUp,
}

/// A node's API: history, greetings, live.
pub(crate) struct Api {
    address: SocketAddr,
    pub(crate) history: Arc<Mutex<Vec<String>>>,
    greetings: Arc<Mutex<String>>,
    live: broadcast::Sender<Said>,
    /// Serves until it is dropped.
    _runtime: Runtime,
}

const GREETINGS: &str = r#"{"tag":"Greetings","me":{"vkey":"00"},"headStatus":"Open","hydraNodeVersion":"1.2.0"}"#;

impl Api {
    pub(crate) fn start(history: Vec<String>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (history, greetings) = (Arc::new(Mutex::new(history)), Arc::new(Mutex::new(GREETINGS.to_owned())));
        let live = broadcast::channel(10_000).0;
        let (serves_history, serves_greetings, serves_live) =
            (Arc::clone(&history), Arc::clone(&greetings), live.clone());
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (history, greetings) = (Arc::clone(&serves_history), Arc::clone(&serves_greetings));
                let mut live = serves_live.subscribe();
                tokio::spawn(async move {
                    let mut wants_history = false;
                    #[expect(clippy::result_large_err, reason = "the callback's type is the library's")]
                    let look = |request: &Request, response: Response| {
                        wants_history = request.uri().query().is_some_and(|query| query.contains("history=yes"));
                        Ok(response)
                    };
                    let Ok(mut socket) = accept_hdr_async(socket, look).await else { return };
                    // The subscription is older than this: what comes now is sent twice.
                    let history = if wants_history { history.lock().unwrap().clone() } else { Vec::new() };
                    let greetings = greetings.lock().unwrap().clone();
                    for message in history.into_iter().chain([greetings]) {
                        if socket.send(Message::text(message)).await.is_err() {
                            return;
                        }
                    }
                    loop {
                        tokio::select! {
                            said = live.recv() => match said {
                                Ok(Said::Message(message)) => drop(socket.send(Message::text(message)).await),
                                _ => return,
                            },
                            heard = socket.next() => if !matches!(heard, Some(Ok(_))) { return },
                        }
                    }
                });
            }
        });
        Self { address, history, greetings, live, _runtime: runtime }
    }

    pub(crate) fn uri(&self, parameters: &str) -> String {
        format!("ws://{}?{parameters}", self.address)
    }

    /// The node has something to say, and keeps it.
    pub(crate) fn say(&self, message: String) {
        self.history.lock().unwrap().push(message.clone());
        // There may be nobody to hear it.
        let _ = self.live.send(Said::Message(message));
    }

    pub(crate) fn hang_up(&self) {
        let _ = self.live.send(Said::HangUp);
    }
}

pub(crate) fn output(seq: u64) -> String {
    format!(
        r#"{{"headId":"ab","seq":{seq},"tag":"TxValid","timestamp":"2026-01-01T00:00:{:02}Z","transactionId":"{seq:064}"}}"#,
        seq % 60
    )
}

pub(crate) fn rotated(seq: u64) -> String {
    format!(r#"{{"checkpoint":{{}},"seq":{seq},"tag":"EventLogRotated","timestamp":"2026-01-01T00:00:00Z"}}"#)
}

pub(crate) fn outputs(seqs: impl IntoIterator<Item = u64>) -> Vec<String> {
    seqs.into_iter().map(output).collect()
}

#[test]
fn the_source_keeps_the_contract() {
    let api = Api::start(outputs((0..3_000).step_by(3)));
    let address = api.address.to_string();
    block_on(async {
        let mut first = WsSource::new(&address, 1 << 20);
        first.open().await.unwrap();
        let mut expected = Vec::new();
        while expected.len() < 1_000 {
            expected.extend(first.get_events().await.unwrap().events);
        }
        let texts: Vec<&str> = expected.iter().map(|event| event.json()).collect();
        assert_eq!(texts, outputs((0..3_000).step_by(3)));
        source::contract::check(&mut WsSource::new(&address, 1 << 20), &expected).await.unwrap();
    });
}

#[test]
fn history_ends_with_the_greetings_and_what_has_no_place_is_left_out() {
    let mut history = outputs(0..5);
    history.insert(3, r#"{"tag":"CommandFailed","clientInput":{"tag":"Init"}}"#.to_owned());
    let api = Api::start(history);
    let folder = Folder::new();
    let once = folder.command_at(&api.uri(""), &["stdout:"], &["--once"]).output().unwrap();
    assert_exit(&once, 0);
    assert_eq!(stdout(&once).lines().collect::<Vec<_>>(), outputs(0..5));
    assert!(stderr(&once).contains("format hydra.server-output/1"), "{}", stderr(&once));
    let out = format!("file://{}", folder.path("out").display());
    let refused = folder.command_at(&api.uri(""), &[&out], &["--once"]).output().unwrap();
    assert_exit(&refused, 1);
    assert!(stderr(&refused).contains("takes hydra.state-event/1 only"), "{}", stderr(&refused));
}

#[test]
fn connections_that_break_lose_and_repeat_nothing() {
    let api = Api::start(outputs(0..20));
    let folder = Folder::new();
    let sink = wasm("kv-tally", "name=s");
    let printed = wasm("scripted", "name=p&lane=inline&config.print=yes");
    let running = Running::start_at(folder, &api.uri(""), &[&sink, &printed], &[]);
    let mut random = Pcg64Mcg::seed_from_u64(1);
    let mut next = 20;
    for _ in 0..60 {
        for _ in 0..random.next_u32() % 20 {
            api.say(output(next));
            // Ids that the API makes nothing of.
            next += 1 + u64::from(random.next_u32() % 3);
        }
        if random.next_u32() % 3 == 0 {
            api.hang_up();
        }
        thread::sleep(Duration::from_millis(u64::from(random.next_u32() % 40)));
    }
    let expected = api.history.lock().unwrap().len() as u64;
    let last = api.history.lock().unwrap().last().unwrap().clone();
    let last = hydrant_seq(&last);
    running.until_at("s", &last.to_string());
    let put: Vec<u64> = running
        .printed("p")
        .iter()
        .filter_map(|line| line.strip_prefix("put ")?.split(' ').next()?.parse().ok())
        .collect();
    let all: Vec<u64> = api.history.lock().unwrap().iter().map(|message| hydrant_seq(message)).collect();
    assert_eq!(put, all);
    assert!(running.said().iter().any(|line| line.contains("is lost")), "it was never cut off");
    let folder = running.stop();

    // And from its cursor at the next start.
    api.say(output(last + 1));
    assert_exit(&folder.command_at(&api.uri(""), &[&sink], &["--once"]).output().unwrap(), 0);
    assert_eq!(counted(&SinkStore::open(&folder.path("data/sinks.redb")).unwrap(), "s"), expected + 1);
}

fn hydrant_seq(message: &str) -> u64 {
    serde_json::from_str::<serde_json::Value>(message).unwrap()["seq"].as_u64().unwrap()
}

/// Follows an API whose history becomes another one while the connection is lost; what it says at its end.
fn after_reconnect(history: Vec<String>) -> (Option<i32>, String) {
    let api = Api::start(outputs(0..5));
    let folder = Folder::new();
    let mut child = folder.command_at(&api.uri(""), &["stdout:"], &[]).spawn().unwrap();
    for _ in 0..500 {
        thread::sleep(Duration::from_millis(10));
        if api.live.receiver_count() > 0 && api.history.lock().unwrap().len() == 5 {
            break;
        }
    }
    thread::sleep(Duration::from_millis(300));
    *api.history.lock().unwrap() = history;
    api.hang_up();
    for _ in 0..100 {
        thread::sleep(Duration::from_millis(20));
        if child.try_wait().unwrap().is_some() {
            break;
        }
    }
    // One that goes on is ended.
    let _ = child.kill();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), stderr(&output))
}

#[test]
fn a_history_that_is_not_the_one_from_before_is_refused() {
    let mut other = outputs(0..5);
    other[4] = other[4].replace("ab", "cd");
    for (history, said) in [
        (other, "event 4 (hash"),
        (outputs(0..3), "its history ends before it"),
        (Vec::new(), "its history is empty"),
        (outputs(7..9), "it is missing before event 7"),
        (vec![rotated(9), output(10)], "the last event read was event 4, the oldest there now is 9:checkpoint"),
    ] {
        let (exit, words) = after_reconnect(history);
        assert_eq!(exit, Some(3), "{words}");
        assert!(words.contains(said), "{words}");
    }
    // Rotated right after the last one read: nothing is missing.
    let (exit, words) = after_reconnect(vec![rotated(4), output(5)]);
    assert_eq!(exit, None, "{words}");
}

#[test]
fn an_api_that_counts_for_itself_is_another_stream() {
    let api = Api::start(outputs(0..3));
    let folder = Folder::new();
    let run = || folder.command_at(&api.uri("stream=s"), &["stdout:"], &["--once"]).output().unwrap();
    assert!(stderr(&run()).contains("stream s,"), "{}", stderr(&run()));
    *api.greetings.lock().unwrap() = GREETINGS.replace("\"me\"", "\"seq\":3,\"me\"");
    let counted = run();
    assert_exit(&counted, 0);
    assert!(stderr(&counted).contains("stream s-api,"), "{}", stderr(&counted));
    assert_eq!(stdout(&counted).lines().count(), 3);
}

#[test]
fn what_is_no_output_or_too_long_ends_the_stream_with_words() {
    for (history, parameters, said) in [
        (vec!["{\"seq\":1}".to_owned()], "", "is no output of hydra-node's API"),
        (vec![output(0), "x".repeat(2_000)], "", "is no output of hydra-node's API"),
        (vec![output(0).replace("ab", &"x".repeat(4_000))], "max-line=2KiB", "parameter max-line"),
    ] {
        let api = Api::start(history);
        let folder = Folder::new();
        let output = folder.command_at(&api.uri(parameters), &["stdout:"], &["--once"]).output().unwrap();
        assert_exit(&output, 3);
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
}

#[test]
fn a_node_that_is_not_up_yet_is_waited_for() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = Folder::new();
    let uri = format!("ws://{address}");
    let running = folder.command_at(&uri, &["stdout:"], &["--once"]).spawn().unwrap();
    thread::sleep(Duration::from_millis(500));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = thread::spawn(move || {
        runtime.block_on(async {
            let listener = TcpListener::bind(address).await.unwrap();
            // Once for the greetings, once for the history.
            for _ in 0..2 {
                let (socket, _) = listener.accept().await.unwrap();
                let mut socket = tokio_tungstenite::accept_async(socket).await.unwrap();
                socket.send(Message::text(output(0))).await.unwrap();
                socket.send(Message::text(GREETINGS)).await.unwrap();
                while let Some(Ok(_)) = socket.next().await {}
            }
        });
    });
    let output = running.wait_with_output().unwrap();
    assert_exit(&output, 0);
    assert_eq!(stdout(&output).lines().count(), 1);
    assert!(stderr(&output).contains("trying again"), "{}", stderr(&output));
    server.join().unwrap();
}
