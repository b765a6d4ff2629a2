//! The head as an event source: what is durable when, and what waits for the sinks.

use std::sync::Arc;
use std::time::Duration;

use hydrant::head::HeadFollower;
use hydrant::offline::ledger::{Ledger, SimpleLedger};
use hydrant::offline::{
    Answers, Command, HeadInputs, HeadLogic, HeadSource, HydraKey, INPUT_BYTES, INPUTS, InitialHead, Input,
    OfflineHead, Refused,
};
use hydrant::source::EventSource;
use hydrant::store::{LogFiles, ReadOptions};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::harness::{Folder, block_on};

/// Long enough for anything to happen that should not.
const A_WHILE: Duration = Duration::from_millis(100);

/// A head of which each page is taken by hand, as a node does once the sinks have the one before.
struct Head {
    folder: Folder,
    source: HeadSource,
    inputs: HeadInputs,
}

impl Head {
    fn new(rotate_after: Option<u64>) -> Self {
        let folder = Folder::new();
        let key = HydraKey::read_or_make(&folder.path("hydra.sk")).unwrap();
        let logic = HeadLogic::new(Arc::new(SimpleLedger), key, Duration::from_secs(60));
        let initial = InitialHead::new(b"seed", logic.party(), 60, SimpleLedger.outputs("[1,2,3]").unwrap());
        let (path, options) = (folder.path("state"), ReadOptions::default());
        let rotate_after = rotate_after.map(|most| most.try_into().unwrap());
        let head = OfflineHead { path, options, rotate_after, logic, initial, tick: None };
        let (source, inputs) = HeadSource::new(head, HeadFollower::start());
        Self { folder, source, inputs }
    }

    /// One that has given all of its history, which is none.
    async fn begun(rotate_after: Option<u64>) -> Self {
        let mut head = Self::new(rotate_after);
        head.source.open().await.unwrap();
        assert_eq!(head.page().await, Vec::<String>::new());
        head
    }

    /// The tags of the next page.
    async fn page(&mut self) -> Vec<String> {
        let page = self.source.get_events().await.unwrap();
        page.events.iter().map(|event| event.tag().to_owned()).collect()
    }

    async fn new_tx(&self, id: i64) {
        let tx = SimpleLedger.transaction(&format!(r#"{{"id":{id},"inputs":[{id}],"outputs":[{}]}}"#, id + 10));
        self.inputs.put(Input::Command(Command::NewTx(tx.unwrap())), None).await.unwrap();
    }

    /// How many lines of this tag the log has, the rotated files left out.
    fn written(&self, tag: &str) -> usize {
        let text = std::fs::read_to_string(self.folder.path("state")).unwrap();
        text.matches(&format!(r#""tag":"{tag}""#)).count()
    }
}

const OPENING: [&str; 3] = ["HeadInitialized", "CommittedUTxO", "HeadOpened"];
const APPLIED: [&str; 2] = ["TransactionReceived", "TransactionAppliedToLocalUTxO"];

#[test]
fn effects_wait_for_the_sinks_and_events_of_other_steps_do_not_hold_them_up() {
    block_on(async {
        let mut head = Head::begun(None).await;
        head.new_tx(1).await;
        // The transaction is in the same group as the opening, and so in the same sync.
        assert_eq!(head.page().await, [&OPENING[..], &APPLIED, &["SnapshotRequestDecided"]].concat());
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(head.written("SnapshotRequested"), 0, "nobody said yet that the sinks have the page");

        head.new_tx(2).await;
        assert_eq!(head.page().await, ["SnapshotRequested"], "the signature follows from this event alone");
        assert_eq!(head.written("TransactionReceived"), 2, "the other events of the group are durable with it");
        assert_eq!(head.page().await, APPLIED);
        head.source.close().await;
    });
}

#[test]
fn the_next_group_becomes_durable_while_the_one_before_is_put() {
    block_on(async {
        let mut head = Head::begun(None).await;
        head.new_tx(1).await;
        head.page().await;
        head.new_tx(2).await;
        assert_eq!(head.page().await, ["SnapshotRequested"]);
        head.new_tx(3).await;
        assert_eq!(head.page().await, APPLIED);
        // Nobody asks for the next page, and yet it gets ready.
        let written = async {
            while head.written("SnapshotConfirmed") < 1 || head.written("TransactionReceived") < 3 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), written).await.unwrap();
        let page = ["PartySignedSnapshot", "SnapshotConfirmed", "SnapshotRequestDecided"];
        assert_eq!(head.page().await, page);
        assert_eq!(head.page().await, APPLIED);
        head.source.close().await;
    });
}

#[test]
fn a_log_begins_anew_only_when_all_of_its_events_were_put() {
    block_on(async {
        let mut head = Head::begun(Some(3)).await;
        let rotated = |head: &Head| LogFiles::new(head.folder.path("state")).rotated().unwrap().len();
        head.new_tx(1).await;
        assert_eq!(head.page().await.len(), 6);
        assert_eq!(head.page().await, ["Checkpoint"]);
        head.new_tx(2).await;
        assert_eq!(head.page().await, ["SnapshotRequested"]);
        head.new_tx(3).await;
        // The log is full again, and there is more to step.
        assert_eq!(head.page().await, APPLIED);
        tokio::time::sleep(A_WHILE).await;
        assert_eq!((rotated(&head), head.written("SnapshotConfirmed")), (1, 0));
        assert_eq!(head.page().await, ["Checkpoint"]);
        assert_eq!(rotated(&head), 2);
        head.source.close().await;
    });
}

#[test]
fn a_client_hears_of_a_failure_after_the_sinks_have_what_led_to_it() {
    block_on(async {
        let mut head = Head::begun(None).await;
        let (to, mut told) = mpsc::channel::<Refused>(1);
        let answers = Answers { to, command: "fanout".into() };
        head.inputs.put(Input::Command(Command::Fanout), Some(answers)).await.unwrap();
        assert_eq!(head.page().await, OPENING);
        tokio::time::sleep(A_WHILE).await;
        assert!(told.try_recv().is_err());
        head.page().await;
        assert_eq!(told.try_recv().unwrap().reason, "the head is Open");
        head.source.close().await;
    });
}

#[test]
fn closing_waits_for_what_is_being_written() {
    block_on(async {
        let mut head = Head::begun(None).await;
        head.page().await;
        head.new_tx(1).await;
        tokio::select! {
            biased;
            _ = head.source.get_events() => panic!("nothing is that fast"),
            // Dropped while it is being written, as a node drops it that is told to stop.
            () = std::future::ready(()) => {}
        }
        head.source.close().await;
        assert_eq!(head.written("TransactionReceived"), 1);
        // The lock is free: another can own the log at once.
        head.source.open().await.unwrap();
        head.source.close().await;
    });
}

#[test]
fn inputs_have_a_bound_and_whoever_puts_more_waits() {
    block_on(async {
        let head = Head::new(None);
        for _ in 0..INPUTS {
            head.inputs.put(Input::Command(Command::Close), None).await.unwrap();
        }
        let more = head.inputs.put(Input::Command(Command::Close), None);
        assert!(timeout(A_WHILE, more).await.is_err());
        drop(head.source);
        assert!(head.inputs.put(Input::Command(Command::Close), None).await.is_err());
    });
}

#[test]
fn what_inputs_bring_along_has_a_bound_until_nothing_of_it_is_under_way() {
    const EACH: usize = 1 << 20;
    block_on(async {
        let mut head = Head::begun(None).await;
        head.page().await;
        let (to, _told) = mpsc::channel::<Refused>(1);
        // Transactions that spend what is not there are tried again for half a second.
        let large = |id: usize| {
            let tx = format!(r#"{{"id":{id},"inputs":[{}],"outputs":[]}}"#, 1_000_000 + id);
            let command = format!("{tx}{}", " ".repeat(EACH - 2 * tx.len()));
            let tx = SimpleLedger.transaction(&tx).unwrap();
            (Input::Command(Command::NewTx(tx)), Some(Answers { to: to.clone(), command: command.into() }))
        };
        for id in 0..INPUT_BYTES / EACH {
            let (input, answers) = large(id);
            head.inputs.put(input, answers).await.unwrap();
        }
        let received = |page: &[String]| page.iter().filter(|tag| *tag == "TransactionReceived").count();
        let mut seen = 0;
        while seen < INPUT_BYTES / EACH {
            seen += received(&head.page().await);
        }
        // All were taken from the queue, and none is through.
        let (input, answers) = large(INPUT_BYTES / EACH);
        assert!(timeout(A_WHILE, head.inputs.put(input.clone(), answers.clone())).await.is_err());
        let inputs = head.inputs.clone();
        let more = tokio::spawn(async move { inputs.put(input, answers).await });
        while seen == INPUT_BYTES / EACH {
            seen += received(&head.page().await);
        }
        more.await.unwrap().unwrap();
        head.source.close().await;
    });
}
