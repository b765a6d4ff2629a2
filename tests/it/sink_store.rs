//! The store of cursors and key-value, on a disk that loses what was not synced, and on one that is full.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hydrant::event::Position;
use hydrant::sink_store::{
    Change, Cursor, KeyValue, KeyValueError, MAX_KEY, MAX_VALUE, ParkedEvent, Place, Quota, SinkStore,
};
use proptest::prelude::*;
use redb::{Database, StorageBackend};

use crate::harness::block_on;
use crate::torture::{Chance, rounds};

/// A disk: what is safe, and what was written since the last sync.
#[derive(Debug, Default)]
struct Disk {
    safe: Vec<u8>,
    now: Vec<u8>,
    pending: Vec<(u64, Vec<u8>)>,
    full: bool,
    syncs: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct LosingDisk(Arc<Mutex<Disk>>);

impl LosingDisk {
    pub(crate) fn store(&self) -> SinkStore {
        let disk = self.clone();
        SinkStore::on(move || Ok(Database::builder().create_with_backend(disk.clone())?)).unwrap()
    }

    /// Lets the disk be full, or have room again.
    pub(crate) fn fill(&self, full: bool) {
        self.0.lock().unwrap().full = full;
    }

    /// The disk after a power loss: of the writes since the last sync, any may have reached it, in any order.
    fn after_crash(&self, chance: &mut Chance) -> Self {
        let disk = self.0.lock().unwrap();
        let mut left = disk.safe.clone();
        left.resize(disk.safe.len().max(disk.now.len()), 0);
        for (offset, bytes) in &disk.pending {
            if chance.below(2) == 0 {
                let end = *offset as usize + bytes.len();
                left.resize(left.len().max(end), 0);
                left[*offset as usize..end].copy_from_slice(bytes);
            }
        }
        Self(Arc::new(Mutex::new(Disk { safe: left.clone(), now: left, ..Disk::default() })))
    }
}

impl StorageBackend for LosingDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.0.lock().unwrap();
        let end = offset as usize + out.len();
        out.copy_from_slice(disk.now.get(offset as usize..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        if disk.full && len > disk.now.len() as u64 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        disk.now.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        if disk.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        disk.safe = disk.now.clone();
        disk.pending.clear();
        disk.syncs += 1;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        if disk.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let end = offset as usize + data.len();
        if disk.now.len() < end {
            disk.now.resize(end, 0);
        }
        disk.now[offset as usize..end].copy_from_slice(data);
        disk.pending.push((offset, data.to_vec()));
        Ok(())
    }
}

const SINK: &str = "s";

fn key_value(store: &SinkStore) -> KeyValue {
    KeyValue::new(store, SINK, Quota { keys: 1_000, bytes: 1 << 20 })
}

fn cursor(id: u64) -> Change {
    let durable = Some(Place::from(Position::event(id)));
    Change::Cursor { sink: SINK.to_owned(), cursor: Cursor { stream: "x".to_owned(), durable, ..Cursor::default() } }
}

fn at(store: &SinkStore) -> Option<u64> {
    Some(store.cursor(SINK).unwrap()?.durable?.position.id)
}

#[test]
fn after_any_crash_key_value_agrees_with_the_cursor_and_nothing_committed_is_lost() {
    let mut chance = Chance::new(3);
    for round in 0..rounds() * 5 {
        let disk = LosingDisk::default();
        let store = disk.store();
        let commits = 1 + chance.below(20);
        for id in 0..commits {
            let keep = key_value(&store);
            // Each event adds one to a key; some keys come and go.
            let before = keep.get("count").unwrap().map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
            keep.set("count", (before + 1).to_le_bytes().to_vec()).unwrap().unwrap();
            keep.set(&format!("k{}", id % 5), vec![1; chance.below(5_000) as usize]).unwrap().unwrap();
            keep.delete(&format!("k{}", (id + 2) % 5)).unwrap();
            let changes: Vec<Change> = keep.staged().into_iter().chain([cursor(id)]).collect();
            block_on(store.commit(changes)).unwrap();
            if chance.below(4) == 0 {
                break;
            }
        }
        let acknowledged = at(&store).unwrap();
        // One more commit is under way when the power goes: it is there as a whole or not at all.
        let keep = key_value(&store);
        keep.set("count", (acknowledged + 2).to_le_bytes().to_vec()).unwrap().unwrap();
        let changes: Vec<Change> = keep.staged().into_iter().chain([cursor(acknowledged + 1)]).collect();
        let committing = {
            let store = store.clone();
            std::thread::spawn(move || block_on(store.commit(changes)))
        };
        std::thread::sleep(Duration::from_micros(chance.below(400)));
        let left = disk.after_crash(&mut chance);
        let _ = committing.join().unwrap();
        let store = left.store();
        let found = at(&store).unwrap();
        assert!(found == acknowledged || found == acknowledged + 1, "round {round}: {found}, not {acknowledged}");
        let counted = key_value(&store).get("count").unwrap().unwrap();
        assert_eq!(u64::from_le_bytes(counted.try_into().unwrap()), found + 1, "round {round}");
    }
}

#[test]
fn a_full_disk_is_an_error_and_the_store_goes_on_once_there_is_room() {
    let disk = LosingDisk::default();
    let store = disk.store();
    block_on(store.commit(vec![cursor(1)])).unwrap();
    disk.fill(true);
    assert!(block_on(store.commit(vec![cursor(2)])).is_err());
    assert!(block_on(store.commit(vec![cursor(2)])).is_err());
    disk.fill(false);
    block_on(store.commit(vec![cursor(3)])).unwrap();
    assert_eq!(at(&store), Some(3));
}

#[test]
fn commits_of_many_sinks_share_a_sync() {
    let disk = LosingDisk::default();
    let store = disk.store();
    let before = disk.0.lock().unwrap().syncs;
    block_on(async {
        let mut commits = Vec::new();
        for sink in 0..64 {
            let store = store.clone();
            let change = Change::Cursor { sink: format!("s{sink}"), cursor: Cursor::default() };
            commits.push(tokio::spawn(async move { store.commit(vec![change]).await }));
        }
        for commit in commits {
            commit.await.unwrap().unwrap();
        }
    });
    let syncs = disk.0.lock().unwrap().syncs - before;
    assert!(syncs < 64, "{syncs} syncs");
    assert_eq!(store.cursors().unwrap().len(), 64);
}

#[test]
fn what_is_parked_is_found_in_order_and_removed() {
    let store = LosingDisk::default().store();
    let parked = |position: Position| ParkedEvent {
        position,
        epoch: 0,
        tag: "A".to_owned(),
        json: "{}".to_owned(),
        error: "no".to_owned(),
        digest: None,
        parked_at: 0,
        post_mortem: None,
        log_tail: Vec::new(),
    };
    let positions = [Position::event(300), Position::checkpoint(2), Position::event(2)];
    let park = |position| Change::Park { sink: SINK.to_owned(), event: parked(position) };
    block_on(store.commit(positions.into_iter().map(park).collect())).unwrap();
    block_on(store.commit(vec![Change::Park { sink: "s2".to_owned(), event: parked(Position::event(1)) }])).unwrap();
    let found: Vec<Position> = store.parked(SINK).unwrap().into_iter().map(|event| event.position).collect();
    assert_eq!(found, [Position::event(2), Position::checkpoint(2), Position::event(300)]);
    block_on(store.commit(vec![Change::Unpark { sink: SINK.to_owned(), position: Position::event(2) }])).unwrap();
    assert_eq!(store.parked(SINK).unwrap().len(), 2);
    assert!(store.parked_at(SINK, Position::event(2)).unwrap().is_none());
    assert!(store.parked_at(SINK, Position::checkpoint(2)).unwrap().is_some());
}

#[test]
fn keys_and_values_have_bounds() {
    let store = LosingDisk::default().store();
    let keep = KeyValue::new(&store, SINK, Quota { keys: 2, bytes: 4 << 20 });
    assert_eq!(keep.set(&"k".repeat(MAX_KEY + 1), Vec::new()).unwrap(), Err(KeyValueError::KeyTooLarge));
    assert_eq!(keep.set("k", vec![0; MAX_VALUE + 1]).unwrap(), Err(KeyValueError::ValueTooLarge));
    assert_eq!(keep.set(&"k".repeat(MAX_KEY), vec![0; MAX_VALUE]).unwrap(), Ok(()));
    assert_eq!(keep.set("b", Vec::new()).unwrap(), Ok(()));
    assert_eq!(keep.set("c", Vec::new()).unwrap(), Err(KeyValueError::Quota));
    // Writing over a key and removing one make room.
    assert_eq!(keep.set("b", vec![1]).unwrap(), Ok(()));
    keep.delete("b").unwrap();
    assert_eq!(keep.set("c", Vec::new()).unwrap(), Ok(()));
    let many = KeyValue::new(&store, "many", Quota { keys: 2_000, bytes: 1 << 20 });
    for number in 0..1_500 {
        many.set(&format!("{number:05}"), Vec::new()).unwrap().unwrap();
    }
    assert_eq!(many.keys("", None, u32::MAX).unwrap().len(), 1_000);
    assert_eq!(many.keys("", Some("00999"), u32::MAX).unwrap().len(), 500);
}

#[derive(Clone, Debug)]
enum Step {
    Set(String, Vec<u8>),
    Delete(String),
    Begin,
    RollBack,
    Commit,
    Discard,
}

fn step() -> impl Strategy<Value = Step> {
    let key = "[ab]{0,2}";
    prop_oneof![
        4 => (key, prop::collection::vec(any::<u8>(), 0..4)).prop_map(|(key, value)| Step::Set(key, value)),
        2 => key.prop_map(Step::Delete),
        1 => Just(Step::Begin),
        1 => Just(Step::RollBack),
        1 => Just(Step::Commit),
        1 => Just(Step::Discard),
    ]
}

type Model = BTreeMap<String, Vec<u8>>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is done, key-value is a map: writes are seen at once, undone as a call, and lost or kept as a whole.
    #[test]
    fn key_value_is_a_map_with_an_overlay(steps in prop::collection::vec(step(), 0..40)) {
        let store = LosingDisk::default().store();
        let keep = key_value(&store);
        let (mut committed, mut now, mut call) = (Model::new(), Model::new(), Model::new());
        for step in steps {
            match step {
                Step::Set(key, value) => {
                    keep.set(&key, value.clone()).unwrap().unwrap();
                    now.insert(key, value);
                }
                Step::Delete(key) => {
                    keep.delete(&key).unwrap();
                    now.remove(&key);
                }
                Step::Begin => {
                    keep.begin();
                    call = now.clone();
                }
                Step::RollBack => {
                    keep.roll_back();
                    now = call.clone();
                    keep.begin();
                }
                Step::Commit => {
                    block_on(store.commit(keep.staged())).unwrap();
                    keep.discard();
                    committed = now.clone();
                    call = now.clone();
                }
                Step::Discard => {
                    keep.discard();
                    now = committed.clone();
                    call = now.clone();
                }
            }
            for prefix in ["", "a", "b", "ab"] {
                let expected: Vec<String> = now.keys().filter(|key| key.starts_with(prefix)).cloned().collect();
                prop_assert_eq!(keep.keys(prefix, None, 100).unwrap(), expected);
            }
            let after: Vec<String> = now.keys().filter(|key| key.as_str() > "a").cloned().collect();
            prop_assert_eq!(keep.keys("", Some("a"), 100).unwrap(), after);
            for (key, value) in &now {
                prop_assert_eq!(keep.get(key).unwrap(), Some(value.clone()));
            }
            let bytes: usize = now.iter().map(|(key, value)| key.len() + value.len()).sum();
            prop_assert_eq!(keep.usage().unwrap(), (now.len() as u64, bytes as u64));
        }
    }
}
