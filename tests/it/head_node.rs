//! `hydrant head` as the real process, with clients of its API.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use hydrant::api::{MAX_ANSWERS, MAX_MESSAGE};
use hydrant::event::StateEvent;
use hydrant::offline::HydraKey;
use hydrant::sink_store::SinkStore;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Folder, assert_exit, counted, hydrant, read_log, stderr, wasm};
use crate::head_client::{Client, api_of, ask, get, start_by, start_with};
use crate::operate::Running;

fn new_tx(id: i64, inputs: &[i64], outputs: &[i64]) -> Value {
    json!({ "tag": "NewTx", "transaction": { "id": id, "inputs": inputs, "outputs": outputs } })
}

/// A head with outputs 1, 2 and 3, and where its API listens.
fn start(folder: Folder, sinks: &[&str], more: &[&str]) -> (Running, SocketAddr) {
    start_with("[1,2,3]", folder, sinks, more)
}

fn changed(event: &StateEvent) -> Value {
    serde_json::from_str::<Value>(event.json()).unwrap()["stateChanged"].clone()
}

#[test]
fn a_client_is_greeted_sees_its_transaction_confirmed_and_can_ask_about_it_at_once() {
    let (running, address) = start(Folder::new(), &[], &["--offline-head-seed", "0102"]);
    let mut client = Client::connect(address, "");
    let greetings = client.until("Greetings");
    let head_id = hex::encode([b"offline-", &[1, 2][..]].concat());
    assert_eq!((&greetings["headStatus"], &greetings["hydraHeadId"]), (&json!("Open"), &json!(head_id)));
    assert_eq!(greetings["snapshotUtxo"], json!([1, 2, 3]));
    assert_eq!((&greetings["chainSyncedStatus"], &greetings["currentSlot"]), (&json!("InSync"), &json!(0)));
    assert_eq!(greetings["networkInfo"], json!({ "networkConnected": true, "peersInfo": {} }));
    let env = &greetings["env"];
    assert_eq!((&env["party"], &env["contestationPeriod"]), (&greetings["me"], &json!(10)));
    assert_eq!((&env["otherParties"], env.get("signingKey")), (&json!([]), None));

    client.send(&new_tx(7, &[1], &[4]));
    let valid = client.next().unwrap();
    assert_eq!((&valid["tag"], &valid["transactionId"]), (&json!("TxValid"), &json!(7)));
    let confirmed = client.until("SnapshotConfirmed");
    assert_eq!(confirmed["snapshot"]["utxo"], json!([2, 3, 4]));
    assert_eq!(get(address, "/snapshot/utxo"), json!([2, 3, 4]));
    assert_eq!(get(address, "/snapshot")["snapshot"]["number"], 1);
    assert_eq!(get(address, "/snapshot/last-seen"), json!({ "tag": "LastSeenSnapshot", "lastSeen": 1 }));
    assert_eq!(get(address, "/head")["contents"]["coordinatedHeadState"]["localUTxO"], json!([2, 3, 4]));
    assert_eq!((get(address, "/protocol-parameters"), get(address, "/commits")), (json!({}), json!([])));

    // What was told is what is in the log, under the events' ids and times.
    let log = read_log(&running.folder.path("state"));
    let event = &log[confirmed["seq"].as_u64().unwrap() as usize];
    assert_eq!(event.tag(), "SnapshotConfirmed");
    let whole: Value = serde_json::from_str(event.json()).unwrap();
    assert_eq!(
        (&whole["time"], &whole["stateChanged"]["signatures"]),
        (&confirmed["timestamp"], &confirmed["signatures"])
    );
    let first: Value = serde_json::from_str(log[0].json()).unwrap();
    assert_eq!(get(address, "/head-initialization"), first["time"]);
    let verified = hydrant().args(["log", "verify", "--decode"]).arg(running.folder.path("state")).output().unwrap();
    assert_exit(&verified, 0);
}

#[test]
fn a_transaction_sent_over_http_is_answered_with_what_came_of_it() {
    let (_running, address) = start(Folder::new(), &[], &[]);
    let send = |body: &str| ask(address, "POST", "/transaction", body);
    let (status, answer) = send(r#"{"id":7,"inputs":[1],"outputs":[4]}"#);
    assert_eq!((status, answer), (200, json!({ "tag": "SubmitTxConfirmed", "snapshotNumber": 1 })));
    let (status, answer) = send(r#"{"id":8,"inputs":[2],"outputs":[3]}"#);
    assert_eq!((status, &answer["tag"]), (400, &json!("SubmitTxInvalid")));
    assert_eq!(answer["validationError"], "its output 3 is there already");
    let (status, answer) = send(r#"{"id":"x"}"#);
    assert_eq!(status, 400, "{answer}");
    let (status, answer) = ask(address, "GET", "/nowhere", "");
    assert_eq!((status, &answer["error"]), (404, &json!("there is nothing at /nowhere")));
    for (method, path) in
        [("POST", "/commit"), ("POST", "/decommit"), ("POST", "/cardano-transaction"), ("DELETE", "/commits/ab")]
    {
        let (status, answer) = ask(address, method, path, "{}");
        assert_eq!(status, 501);
        assert!(answer["error"].as_str().unwrap().contains("needs a chain"), "{answer}");
    }
}

#[test]
fn a_head_is_closed_and_fanned_out_over_the_api_and_what_cannot_be_done_is_said() {
    let (running, address) = start(Folder::new(), &[], &["--contestation-period", "1"]);
    let mut client = Client::connect(address, "");
    client.until("Greetings");
    client.send(&json!({ "tag": "Contest" }));
    let failed = client.until("CommandFailed");
    assert_eq!((&failed["clientInput"], &failed["state"]["tag"]), (&json!({ "tag": "Contest" }), &json!("Open")));
    client.send(&json!({ "tag": "Nonsense" }));
    assert!(client.until("InvalidInput")["reason"].as_str().unwrap().contains("known are NewTx"));
    let padded = |bytes: usize| Message::text(format!("{{\"tag\":\"{}\"}}", "x".repeat(bytes - 10)));
    client.0.send(padded(MAX_MESSAGE)).unwrap();
    client.until("InvalidInput");
    let mut other = Client::connect(address, "");
    other.until("Greetings");
    // The connection may end before all of it is sent.
    let _ = other.0.send(padded(MAX_MESSAGE + 1));
    assert!(other.next().is_none());
    // hydra-node takes commands in either kind of message.
    client.0.send(Message::binary(json!({ "tag": "Close" }).to_string())).unwrap();
    assert_eq!(client.until("HeadIsClosed")["snapshotNumber"], 0);
    client.send(&json!({ "tag": "Fanout" }));
    assert!(client.until("CommandFailed")["reason"].as_str().unwrap().contains("contestation period"));
    client.until("ReadyToFanout");
    client.send(&json!({ "tag": "Fanout" }));
    assert_eq!(client.until("HeadIsFinalized")["utxo"], json!([1, 2, 3]));
    assert_eq!(ask(address, "GET", "/snapshot", "").0, 404);

    // The head is over for good; another start does not open another.
    let before = read_log(&running.folder.path("state")).len();
    let (running, address) = start(running.kill(), &[], &["--contestation-period", "1"]);
    assert_eq!(Client::connect(address, "").until("Greetings")["headStatus"], "Idle");
    assert_eq!(read_log(&running.folder.path("state")).len(), before);
}

#[test]
fn history_is_what_was_told_live_and_wishes_are_kept() {
    let (running, address) = start(Folder::new(), &[], &[]);
    let mut live = Client::connect(address, "history=yes");
    let mut told = live.up_to("Greetings");
    for id in 10..30 {
        live.send(&new_tx(id, &[if id == 10 { 1 } else { id + 89 }], &[id + 90]));
        told.extend(live.up_to("SnapshotConfirmed"));
    }
    let is_of_the_log = |output: &Value| output.get("seq").is_some();
    told.retain(is_of_the_log);
    let read = |address, query: &str| {
        let mut outputs = Client::connect(address, query).up_to("Greetings");
        outputs.retain(is_of_the_log);
        outputs
    };
    assert_eq!(read(address, "history=yes"), told);
    assert_eq!(read(address, ""), Vec::<Value>::new());
    let slim = read(address, "history=yes&snapshot-utxo=no");
    assert_eq!(slim.len(), told.len());
    assert!(
        slim.iter()
            .filter(|output| output["tag"] == "SnapshotConfirmed")
            .all(|output| output["snapshot"].get("utxo").is_none())
    );
    let other = read(address, "history=yes&address=addr_test1nobody");
    assert_eq!(
        other.iter().map(|output| output["tag"].as_str().unwrap()).collect::<Vec<_>>(),
        ["HeadIsInitializing", "Committed", "HeadIsOpen"]
    );

    // And the same after a restart, and from a node that only reads the log.
    let (running, address) = start(running.kill(), &[], &[]);
    assert_eq!(read(address, "history=yes"), told);
    let reader = Folder::new();
    let source = format!("file://{}", running.folder.path("state").display());
    let reader = Running::start_at(reader, &source, &["api://127.0.0.1:0"], &[]);
    let reading = api_of(&reader);
    reader.until("the history", || read(reading, "history=yes") == told);
    let mut client = Client::connect(reading, "");
    let greetings = client.until("Greetings");
    assert_eq!(greetings["headStatus"], "Open");
    // A log does not say whose API this would be.
    assert_eq!((&greetings["me"], greetings.get("env")), (&Value::Null, None));
    assert_eq!(greetings["networkInfo"]["networkConnected"], false);
    client.send(&new_tx(99, &[2], &[5]));
    assert!(client.until("InvalidInput")["reason"].as_str().unwrap().contains("reading only"));
    // What the head does is told by the other too.
    Client::connect(address, "").send(&new_tx(99, &[2], &[5]));
    assert_eq!(client.until("TxValid")["transactionId"], 99);
}

#[test]
fn our_own_api_as_a_source_gives_every_output_once() {
    let (head, address) = start(Folder::new(), &[], &[]);
    let folder = Folder::new();
    let out = folder.path("out");
    let mut command = folder.command_at(&format!("ws://{address}"), &["stdout:", &wasm("kv-tally", "")], &[]);
    command.stdout(fs::File::create(&out).unwrap());
    let mut client = Client::connect(address, "history=yes");
    let mut told = client.up_to("Greetings");
    for id in 10..40 {
        client.send(&new_tx(id, &[], &[id + 90]));
        told.extend(client.up_to("SnapshotConfirmed"));
    }
    let tap = Running::of(folder, command);
    for id in 40..60 {
        client.send(&new_tx(id, &[], &[id + 90]));
        told.extend(client.up_to("SnapshotConfirmed"));
    }
    told.retain(|output| output.get("seq").is_some());
    let last = told.last().unwrap()["seq"].to_string();
    tap.until_at("kv-tally", &last);
    let tap = tap.stop();
    let given: Vec<Value> =
        fs::read_to_string(&out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(given, told);
    let store = SinkStore::open(&tap.path("data/sinks.redb")).unwrap();
    assert_eq!(counted(&store, "kv-tally"), told.len() as u64);
    drop(head);
}

/// Sends a chain of transactions, each spending what the one before made, and notes which were told valid.
struct Sender {
    count: i64,
    valid: BTreeSet<i64>,
}

impl Sender {
    /// Goes on until all are valid, or the node is gone; `progress` is told how many are.
    fn send(&mut self, address: SocketAddr, mut progress: impl FnMut(usize)) {
        const AHEAD: i64 = 100;
        let mut client = Client::connect(address, "history=yes&snapshot-utxo=no");
        let (mut sent, mut greeted) = (0, false);
        while (self.valid.len() as i64) < self.count {
            let Some(output) = client.next() else { return };
            match output["tag"].as_str().unwrap() {
                "TxValid" => drop(self.valid.insert(output["transactionId"].as_i64().unwrap())),
                "Greetings" => (greeted, sent) = (true, self.valid.len() as i64),
                "TxInvalid" => panic!("{output}"),
                _ => {}
            }
            progress(self.valid.len());
            while greeted && sent < self.count.min(self.valid.len() as i64 + AHEAD) {
                // Id n spends output n and makes n + 1; the first spends output 1.
                let id = sent + 1;
                let spends = if id == 1 { 1 } else { id + 1_000 };
                if client.0.send(Message::text(new_tx(id, &[spends], &[id + 1_001]).to_string())).is_err() {
                    return;
                }
                sent += 1;
            }
        }
    }
}

#[test]
fn ten_thousand_transactions_and_ten_kills_lose_and_repeat_nothing() {
    const COUNT: i64 = 10_000;
    let mut sender = Sender { count: COUNT, valid: BTreeSet::new() };
    let mut folder = Folder::new();
    let copy = format!("file://{}", folder.path("copy").display());
    let sinks = ["stdout:", &copy, &wasm("kv-tally", ""), &wasm("tally", "lane=inline")];
    for kill in 1..=10 {
        let (running, address) = start(folder, &sinks, &["--rotate-after", "9000"]);
        // Between a tenth and nine tenths of the way.
        let until = (COUNT as usize / 10) + (COUNT as usize * 8 / 10) * (kill - 1) / 9;
        let mut running = Some(running);
        let mut killed = None;
        sender.send(address, |valid| {
            if valid >= until
                && let Some(running) = running.take()
            {
                killed = Some(running.kill());
            }
        });
        folder = killed.expect("it was killed on the way");
    }
    let (running, address) = start(folder, &sinks, &["--rotate-after", "9000"]);
    sender.send(address, |_| {});
    assert_eq!(sender.valid.len() as i64, COUNT);
    running.until("the last snapshot", || {
        let ledger = &get(address, "/head")["contents"]["coordinatedHeadState"];
        ledger["localTxs"] == json!([]) && ledger["seenSnapshot"]["tag"] == "LastSeenSnapshot"
    });
    let log = hydrant::store::LogFiles::new(running.folder.path("state"));
    let last = read_log(log.live()).last().unwrap().position().to_string();
    running.until_at("kv-tally", &last);
    let folder = running.stop();

    let mut events = Vec::new();
    for (_, path) in log.rotated().unwrap() {
        events.extend(read_log_alone(&path));
    }
    events.extend(read_log_alone(log.live()));
    let (mut applied, mut confirmed) = (BTreeMap::<i64, u32>::new(), BTreeMap::<i64, u32>::new());
    for event in &events {
        match event.tag() {
            "TransactionAppliedToLocalUTxO" => {
                *applied.entry(changed(event)["tx"]["id"].as_i64().unwrap()).or_default() += 1
            }
            "SnapshotConfirmed" => {
                for tx in changed(event)["snapshot"]["confirmed"].as_array().unwrap() {
                    *confirmed.entry(tx["id"].as_i64().unwrap()).or_default() += 1;
                }
            }
            _ => {}
        }
    }
    for id in &sender.valid {
        assert_eq!((applied.get(id), confirmed.get(id)), (Some(&1), Some(&1)), "transaction {id}");
    }
    // Ids go up by one; a checkpoint has that of the event before.
    let mut next = 0;
    for event in &events {
        let is_checkpoint = event.tag() == "Checkpoint";
        assert_eq!(event.id(), if is_checkpoint { next - 1 } else { next });
        next = event.id() + 1;
    }
    assert!(events.iter().any(|event| event.tag() == "Checkpoint"));
    // Every sink has every line of the log: the file once, standard output once for each idempotency key, the component counted it once.
    let lines: Vec<&str> = events.iter().map(StateEvent::json).collect();
    let copied = fs::read_to_string(folder.path("copy")).unwrap();
    assert!(copied.lines().eq(lines.iter().copied()), "the file sink differs from the log");
    let printed = fs::read_to_string(folder.path("stdout")).unwrap();
    let printed: BTreeSet<&str> = printed.lines().collect();
    // A line that a kill cut off is followed by the whole of it at the next start.
    assert!(lines.iter().all(|line| printed.contains(line)), "standard output lacks events");
    let store = SinkStore::open(&folder.path("data/sinks.redb")).unwrap();
    assert_eq!(counted(&store, "kv-tally"), lines.len() as u64);
}

/// One file, without those that were rotated before it.
fn read_log_alone(path: &std::path::Path) -> Vec<StateEvent> {
    fs::read_to_string(path).unwrap().lines().map(|line| StateEvent::parse(line).unwrap()).collect()
}

#[test]
fn a_log_is_rotated_with_a_checkpoint_and_a_crash_in_between_is_mended() {
    let (running, address) = start(Folder::new(), &[], &["--rotate-after", "20"]);
    let mut client = Client::connect(address, "");
    client.until("Greetings");
    for id in 10..30 {
        client.send(&new_tx(id, &[], &[id + 90]));
        client.until("SnapshotConfirmed");
    }
    let state = get(address, "/head");
    let folder = running.kill();
    let log = hydrant::store::LogFiles::new(folder.path("state"));
    let rotated = log.rotated().unwrap();
    assert!(rotated.len() >= 3, "{rotated:?}");
    // After the group that makes it more than N lines.
    assert!((20..30).contains(&rotated[0].0), "{rotated:?}");
    for (id, path) in &rotated {
        assert_eq!(read_log_alone(path).last().unwrap().id(), *id);
    }
    assert_eq!(read_log_alone(log.live())[0].tag(), "Checkpoint");

    // The live file was renamed, and the next one is empty, or not there.
    for is_there in [true, false] {
        let lines = read_log_alone(log.live());
        let last = lines.last().unwrap().id();
        fs::rename(log.live(), folder.path(&format!("state-{last}"))).unwrap();
        if is_there {
            fs::write(log.live(), "").unwrap();
        }
        let moved = Folder::new();
        for entry in fs::read_dir(folder.path("")).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
            fs::copy(entry.path(), moved.path(entry.file_name().to_str().unwrap())).unwrap();
        }
        fs::create_dir(moved.path("data")).unwrap();
        for name in ["format", "hydra.sk", "streams.toml"] {
            fs::copy(folder.path("data").join(name), moved.path("data").join(name)).unwrap();
        }
        let (running, address) = start(moved, &[], &["--rotate-after", "20"]);
        assert_eq!(
            get(address, "/head")["contents"]["coordinatedHeadState"]["localUTxO"],
            state["contents"]["coordinatedHeadState"]["localUTxO"]
        );
        running.until("the checkpoint", || {
            fs::read_to_string(running.folder.path("state")).is_ok_and(|text| text.contains("\"tag\":\"Checkpoint\""))
        });
        let first = &read_log_alone(&running.folder.path("state"))[0];
        assert_eq!((first.id(), first.tag()), (last, "Checkpoint"));
        fs::rename(folder.path(&format!("state-{last}")), log.live()).unwrap();
    }
}

#[test]
fn a_client_that_stops_reading_is_let_go_and_nobody_waits_for_it() {
    let (running, address) = start(Folder::new(), &[], &[]);
    let mut client = Client::connect(address, "");
    client.until("Greetings");
    // Some kilobytes of outputs, so that every event has them.
    for id in 0..20 {
        let outputs: Vec<i64> = (0..900).map(|place| 1_000_000 + id * 1_000 + place).collect();
        client.send(&new_tx(id, &[], &outputs));
        client.until("SnapshotConfirmed");
    }
    let timed = |client: &mut Client, ids: std::ops::Range<i64>| {
        let mut times: Vec<Duration> = ids
            .map(|id| {
                let start = Instant::now();
                client.send(&new_tx(id, &[], &[id]));
                client.until("TxValid");
                let time = start.elapsed();
                client.until("SnapshotConfirmed");
                time
            })
            .collect();
        times.sort();
        times[times.len() / 2]
    };
    let alone = timed(&mut client, 1_000..1_020);
    let silent = ["", "snapshot-utxo=yes", "history=yes"].map(|query| Client::connect(address, query));
    let mut beside = Duration::ZERO;
    let let_go = |running: &Running| running.said().iter().filter(|line| line.contains("let go: too slow")).count();
    for round in 0..20 {
        beside = timed(&mut client, 2_000 + round * 20..2_020 + round * 20);
        if let_go(&running) == silent.len() {
            break;
        }
    }
    running.until("the silent clients let go", || let_go(&running) == silent.len());
    assert!(beside < alone * 3 + Duration::from_millis(10), "{alone:?} alone, {beside:?} beside");
    drop(silent);
    thread::sleep(Duration::from_millis(10));
}

#[test]
fn connections_that_say_nothing_and_too_many_clients_leave_the_log_the_files_that_it_needs() {
    const FILES: usize = 240;
    let folder = Folder::new();
    let head = folder.head(&[], &["--rotate-after", "10"]);
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("ulimit -n {FILES}; exec \"$0\" \"$@\""))
        .arg(head.get_program())
        .args(head.get_args());
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    let (running, address) = start_by(command, folder);
    let mut client = Client::connect(address, "");
    client.until("Greetings");
    let one_more = || Client::try_connect(address, "history=yes").ok();
    let clients: Vec<Client> = std::iter::from_fn(one_more).take(FILES).collect();
    assert!((10..FILES / 3).contains(&clients.len()), "{} clients", clients.len());
    let silent: Vec<TcpStream> = (0..2 * FILES).map_while(|_| TcpStream::connect(address).ok()).collect();
    assert_eq!(silent.len(), 2 * FILES);
    for id in 0..30 {
        client.send(&new_tx(id, &[], &[id]));
        client.until("SnapshotConfirmed");
    }
    let rotated = hydrant::store::LogFiles::new(running.folder.path("state")).rotated().unwrap();
    assert!(rotated.len() > 10, "{rotated:?}");
    assert!(running.said().iter().any(|line| line.contains("turned away")));
    // Who comes when there is room again is served.
    drop((silent, clients));
    running.until("room", || Client::try_connect(address, "").is_ok());
}

#[test]
fn answers_that_nobody_reads_do_not_gather() {
    const SILENT: usize = 100;
    let outputs: Vec<String> = (0..500_000).map(|output| output.to_string()).collect();
    let (running, address) = start_with(&format!("[{}]", outputs.join(",")), Folder::new(), &[], &[]);
    let megabytes = || {
        let status = fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        peak.unwrap().parse::<usize>().unwrap() / 1024
    };
    let mut client = Client::connect(address, "snapshot-utxo=no");
    client.until("Greetings");
    // Each answer has some seven megabytes.
    let answer = ask(address, "GET", "/head", "").1.to_string().len() >> 20;
    assert!(answer >= 6, "{answer} MB");
    let before = megabytes();
    let silent: Vec<TcpStream> = (0..SILENT)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            // What the system takes for somebody who does not read has been sent.
            rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 4096).unwrap();
            stream.write_all(b"GET /head HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            stream
        })
        .collect();
    thread::sleep(Duration::from_secs(2));
    let grown = megabytes() - before;
    assert!(grown < (MAX_ANSWERS + 20) * answer, "{grown} MB more for {SILENT} answers of {answer} MB");
    // The head goes on meanwhile, and once they are gone others are answered.
    client.send(&new_tx(1, &[1], &[500_001]));
    client.until("TxValid");
    drop(silent);
    assert_eq!(ask(address, "GET", "/snapshot/utxo", "").0, 200);
}

#[test]
fn a_log_of_another_head_or_ledger_is_refused() {
    let (running, _) = start(Folder::new(), &[], &[]);
    let folder = running.kill();
    fs::remove_file(folder.path("data/hydra.sk")).unwrap();
    let output = folder.head(&[], &["--once"]).output().unwrap();
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("put its key back"), "{}", stderr(&output));
    assert!(!folder.path("data/hydra.sk").exists());
    let other = folder.path("other.sk");
    HydraKey::read_or_make(&other).unwrap();
    let output = folder.head(&[], &["--once", "--hydra-signing-key", other.to_str().unwrap()]).output().unwrap();
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("parties is configured as"), "{}", stderr(&output));
    assert!(stderr(&output).contains("--hydra-signing-key must be"), "{}", stderr(&output));
    let output = folder.head(&[], &["--contestation-period", "0"]).output().unwrap();
    assert_exit(&output, 2);
    let cases: [(&[&str], &str); 5] = [
        (&["--tick", "9"], "--tick"),
        (&["--offline-head-seed", "xy"], "--offline-head-seed"),
        (&["--initial-utxo", "/nowhere"], "--initial-utxo"),
        (&["--event-source", "ws://127.0.0.1:1"], "file://PATH"),
        (&["--contestation-period", "31536001"], "--contestation-period"),
    ];
    for (arguments, named) in cases {
        let mut command = hydrant();
        command.arg("head").arg("--data-dir").arg(Folder::new().path("data"));
        let output = command.args(arguments).args(["--api", "127.0.0.1:0"]).output().unwrap();
        assert_exit(&output, 2);
        assert!(stderr(&output).contains(named), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn ticks_are_written_only_when_asked_for() {
    let (quiet, _) = start(Folder::new(), &[], &[]);
    let (ticking, _) = start(Folder::new(), &[], &["--tick", "20"]);
    let count = |running: &Running, tag: &str| {
        let text = fs::read_to_string(running.folder.path("state")).unwrap();
        text.lines().filter(|line| line.contains(&format!("\"tag\":\"{tag}\""))).count()
    };
    ticking.until("ten ticks", || count(&ticking, "TickObserved") >= 10);
    assert_eq!((count(&quiet, "TickObserved"), count(&quiet, "HeadOpened")), (0, 1));
}

/// One of `examples/`, which are built with the tests.
fn example(name: &str, arguments: &[&str]) -> String {
    let output =
        Command::new(crate::harness::target().join("debug/examples").join(name)).args(arguments).output().unwrap();
    assert_exit(&output, 0);
    format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(&output))
}

#[test]
fn the_examples_of_use_as_a_library_deliver_a_log() {
    let folder = Folder::new();
    let log = folder.path("log").display().to_string();
    assert!(hydrant().args(["sample", "--events", "200", "--out", &log]).status().unwrap().success());
    let stats = hydrant().args(["log", "stats", &log]).output().unwrap();
    assert_eq!(example("native_sink", &[&log]), crate::harness::stdout(&stats));
    let said = example("component_sink", &[&crate::harness::guest("printer").display().to_string(), &log]);
    assert!(said.contains("199 "), "{said}");
}
