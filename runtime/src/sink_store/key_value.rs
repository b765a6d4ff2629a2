//! What a guest keeps: the committed keys, under the writes of puts that are not yet covered by the cursor.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::tables::{KEY_VALUE, KEY_VALUE_USAGE};
use super::{Change, SinkStore, StoreError};

/// Longest key in bytes: keys are names, and all of them may be listed.
pub const MAX_KEY: usize = 1_024;

/// Longest value in bytes, below what any limit lets a guest pass in one call by default or not.
pub const MAX_VALUE: usize = 1 << 20;

/// Most keys that one call lists: bounds the host's work for it.
pub const MAX_KEYS_LISTED: u32 = 1_000;

/// How much a sink may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Keys.
    pub keys: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

/// Why a write was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyValueError {
    /// It would exceed the quota.
    #[error("the quota is used up")]
    Quota,
    /// The key is longer than [`MAX_KEY`].
    #[error("the key is longer than {MAX_KEY} bytes")]
    KeyTooLarge,
    /// The value is longer than [`MAX_VALUE`].
    #[error("the value is longer than {MAX_VALUE} bytes")]
    ValueTooLarge,
}

/// One sink's keys and values: an overlay of writes over what is committed. Clones share it.
#[derive(Clone, Debug)]
pub struct KeyValue {
    store: SinkStore,
    sink: Arc<str>,
    quota: Quota,
    overlay: Arc<Mutex<Overlay>>,
}

#[derive(Debug, Default)]
struct Overlay {
    writes: BTreeMap<String, Option<Vec<u8>>>,
    /// Keys and bytes in use, the writes included; none: not yet known.
    usage: Option<(u64, u64)>,
    /// What this call replaced in `writes` (none: nothing), and the usage before it.
    replaced: Vec<(String, Option<Option<Vec<u8>>>)>,
    usage_before: Option<(u64, u64)>,
    /// An error of the store met inside a guest's call.
    failure: Option<StoreError>,
}

impl Overlay {
    fn write(&mut self, key: &str, value: Option<Vec<u8>>) {
        let before = self.writes.insert(key.to_owned(), value);
        self.replaced.push((key.to_owned(), before));
    }
}

impl KeyValue {
    /// The keys of a sink.
    pub fn new(store: &SinkStore, sink: &str, quota: Quota) -> Self {
        Self { store: store.clone(), sink: sink.into(), quota, overlay: Arc::default() }
    }

    /// A key's value, uncommitted writes included.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let overlay = self.lock();
        self.noting(overlay, |overlay| self.value(overlay, key))
    }

    /// Writes a key.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; within it, [`KeyValueError`] if the write is refused.
    pub fn set(&self, key: &str, value: Vec<u8>) -> Result<Result<(), KeyValueError>, StoreError> {
        if key.len() > MAX_KEY {
            return Ok(Err(KeyValueError::KeyTooLarge));
        }
        if value.len() > MAX_VALUE {
            return Ok(Err(KeyValueError::ValueTooLarge));
        }
        self.noting(self.lock(), |overlay| {
            let (mut keys, mut bytes) = self.without(overlay, key)?;
            keys += 1;
            bytes += (key.len() + value.len()) as u64;
            if keys > self.quota.keys || bytes > self.quota.bytes {
                return Ok(Err(KeyValueError::Quota));
            }
            overlay.usage = Some((keys, bytes));
            overlay.write(key, Some(value));
            Ok(Ok(()))
        })
    }

    /// Removes a key.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.noting(self.lock(), |overlay| {
            if self.value(overlay, key)?.is_some() {
                overlay.usage = Some(self.without(overlay, key)?);
                overlay.write(key, None);
            }
            Ok(())
        })
    }

    /// Keys that begin with a prefix, those after `after`, at most `limit` and [`MAX_KEYS_LISTED`], in byte order.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn keys(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, StoreError> {
        self.noting(self.lock(), |overlay| {
            let limit = limit.min(MAX_KEYS_LISTED) as usize;
            let start = match after {
                Some(after) if after >= prefix => Bound::Excluded(after),
                _ => Bound::Included(prefix),
            };
            let staged = overlay.writes.range::<str, _>((start, Bound::Unbounded));
            let mut staged = staged.take_while(|(key, _)| key.starts_with(prefix)).peekable();
            let table = self.store.read()?.open_table(KEY_VALUE)?;
            let sink = &*self.sink;
            let from = start.map(|key| (sink, key));
            let mut keys = Vec::new();
            let mut committed = table.range((from, Bound::Unbounded))?;
            let mut next = committed.next().transpose()?;
            while keys.len() < limit {
                let stored = next.as_ref().map(|(key, _)| key.value());
                let stored =
                    stored.filter(|(owner, key)| *owner == sink && key.starts_with(prefix)).map(|(_, key)| key);
                let (advance_stored, advance_staged) = match (stored, staged.peek()) {
                    (None, None) => break,
                    (Some(key), None) => {
                        keys.push(key.to_owned());
                        (true, false)
                    }
                    (Some(key), Some((written, _))) if key < written.as_str() => {
                        keys.push(key.to_owned());
                        (true, false)
                    }
                    (stored, Some((written, value))) => {
                        if value.is_some() {
                            keys.push((*written).clone());
                        }
                        (stored == Some(written.as_str()), true)
                    }
                };
                if advance_stored {
                    next = committed.next().transpose()?;
                }
                if advance_staged {
                    staged.next();
                }
            }
            Ok(keys)
        })
    }

    /// The uncommitted writes as changes, to be committed with the cursor move that covers them. Call [`discard`](Self::discard) once
    /// they are committed.
    pub fn staged(&self) -> Vec<Change> {
        let overlay = self.lock();
        let write = |(key, value): (&String, &Option<Vec<u8>>)| Change::Write {
            sink: self.sink.to_string(),
            key: key.clone(),
            value: value.clone(),
        };
        overlay.writes.iter().map(write).collect()
    }

    /// Bytes of uncommitted writes.
    pub fn staged_bytes(&self) -> usize {
        self.lock().writes.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum()
    }

    /// Whether there are uncommitted writes.
    pub fn has_staged(&self) -> bool {
        !self.lock().writes.is_empty()
    }

    /// Begins a call: [`roll_back`](Self::roll_back) undoes what is written from now on.
    pub fn begin(&self) {
        let mut overlay = self.lock();
        overlay.replaced.clear();
        overlay.usage_before = overlay.usage;
    }

    /// Undoes the writes since [`begin`](Self::begin): the call that made them failed.
    pub fn roll_back(&self) {
        let mut overlay = self.lock();
        while let Some((key, before)) = overlay.replaced.pop() {
            match before {
                Some(before) => overlay.writes.insert(key, before),
                None => overlay.writes.remove(&key),
            };
        }
        // Not known before means that nothing was written before, so the committed usage holds.
        overlay.usage = overlay.usage_before;
    }

    /// Drops the overlay: its writes were committed, or the puts that made them will be repeated.
    pub fn discard(&self) {
        *self.lock() = Overlay::default();
    }

    /// Keys and bytes in use, the uncommitted writes included.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn usage(&self) -> Result<(u64, u64), StoreError> {
        let mut overlay = self.lock();
        self.known_usage(&mut overlay)
    }

    /// An error of the store that a guest's call met, so that it is not taken for the guest's own.
    pub fn take_failure(&self) -> Option<StoreError> {
        self.lock().failure.take()
    }

    fn lock(&self) -> MutexGuard<'_, Overlay> {
        // Each method leaves the overlay whole, so a panic elsewhere does not spoil it.
        self.overlay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn noting<T>(
        &self,
        mut overlay: MutexGuard<'_, Overlay>,
        work: impl FnOnce(&mut Overlay) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let outcome = work(&mut overlay);
        overlay.failure = outcome.as_ref().err().cloned();
        outcome
    }

    fn value(&self, overlay: &Overlay, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(written) = overlay.writes.get(key) {
            return Ok(written.clone());
        }
        let table = self.store.read()?.open_table(KEY_VALUE)?;
        Ok(table.get((&*self.sink, key))?.map(|value| value.value().to_vec()))
    }

    /// What would be in use without this key.
    fn without(&self, overlay: &mut Overlay, key: &str) -> Result<(u64, u64), StoreError> {
        let (keys, bytes) = self.known_usage(overlay)?;
        Ok(match self.value(overlay, key)? {
            Some(value) => (keys.saturating_sub(1), bytes.saturating_sub((key.len() + value.len()) as u64)),
            None => (keys, bytes),
        })
    }

    fn known_usage(&self, overlay: &mut Overlay) -> Result<(u64, u64), StoreError> {
        if let Some(usage) = overlay.usage {
            return Ok(usage);
        }
        // Only asked for with an empty overlay: every write makes it known.
        let table = self.store.read()?.open_table(KEY_VALUE_USAGE)?;
        let usage = table.get(&*self.sink)?.map_or((0, 0), |usage| usage.value());
        overlay.usage = Some(usage);
        Ok(usage)
    }
}
