//! A store in memory, for tests: it keeps nothing when the process ends.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;

use super::gate::{DeleteOutcome, DeletingStore, Permit};
use super::{
    ConditionalStore, Created, ProbeKey, READ_WHOLE_BYTES_MAX, Store, StoreAdmin, StoreError, StoreKey, StoredObject,
};
use crate::identifiers::Sha256Digest;

/// A store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    name: String,
    objects: Mutex<BTreeMap<StoreKey, Bytes>>,
    ranges_read: AtomicUsize,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn named(name: &str) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), objects: Mutex::default(), ranges_read: AtomicUsize::new(0) })
    }

    /// Puts other bytes in the place of an object, as a damaged disk would. For tests of damage.
    pub fn damage(&self, key: &StoreKey, bytes: Bytes) {
        self.objects.lock().insert(key.clone(), bytes);
    }

    /// Takes an object away, as an accident would. For tests of loss.
    pub fn lose(&self, key: &StoreKey) {
        self.objects.lock().remove(key);
    }

    /// How many ranges were read since this was asked last. For tests of what reading costs.
    pub fn take_ranges_read(&self) -> usize {
        self.ranges_read.swap(0, Ordering::SeqCst)
    }

    fn get(&self, key: &StoreKey) -> Result<Bytes, StoreError> {
        let missing = || StoreError::NotFound { store: self.name.clone(), key: key.clone() };
        self.objects.lock().get(key).cloned().ok_or_else(missing)
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn name(&self) -> &str {
        &self.name
    }

    async fn create(&self, key: &StoreKey, bytes: Bytes) -> Result<Created, StoreError> {
        let mut objects = self.objects.lock();
        match objects.get(key) {
            None => {
                objects.insert(key.clone(), bytes);
                Ok(Created::New)
            }
            Some(there) if *there == bytes => Ok(Created::AlreadyThere),
            Some(_) => Err(StoreError::Conflict { store: self.name.clone(), key: key.clone() }),
        }
    }

    async fn create_from_file(
        &self,
        key: &StoreKey,
        file: &Path,
        size: u64,
        sha256: Sha256Digest,
    ) -> Result<Created, StoreError> {
        let scratch = |source| StoreError::Scratch { key: key.clone(), source };
        let bytes = std::fs::read(file).map_err(scratch)?;
        if bytes.len() as u64 != size || Sha256Digest::of(&bytes) != sha256 {
            return Err(scratch(super::local::not_as_announced()));
        }
        self.create(key, bytes.into()).await
    }

    async fn read(&self, key: &StoreKey) -> Result<Bytes, StoreError> {
        let bytes = self.get(key)?;
        if bytes.len() as u64 > READ_WHOLE_BYTES_MAX {
            return Err(StoreError::too_large(&self.name, key, bytes.len() as u64));
        }
        Ok(bytes)
    }

    async fn read_range(&self, key: &StoreKey, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.ranges_read.fetch_add(1, Ordering::SeqCst);
        let bytes = self.get(key)?;
        let start = usize::try_from(range.start).unwrap_or(usize::MAX);
        let end = usize::try_from(range.end).unwrap_or(usize::MAX);
        if start > end || end > bytes.len() {
            return Err(StoreError::past_the_end(&self.name, key, &range, bytes.len() as u64));
        }
        Ok(bytes.slice(start..end))
    }

    async fn size(&self, key: &StoreKey) -> Result<Option<u64>, StoreError> {
        Ok(self.objects.lock().get(key).map(|bytes| bytes.len() as u64))
    }

    async fn list(
        &self,
        folder: &StoreKey,
        after: Option<&StoreKey>,
        limit: usize,
    ) -> Result<Vec<StoredObject>, StoreError> {
        let prefix = format!("{folder}/");
        let objects = self.objects.lock();
        let found = objects
            .iter()
            .filter(|(key, _)| key.as_str().starts_with(&prefix) && after.is_none_or(|after| *key > after))
            .take(limit)
            .map(|(key, bytes)| StoredObject {
                key: key.clone(),
                size: bytes.len() as u64,
                modified: Timestamp::UNIX_EPOCH,
            })
            .collect();
        Ok(found)
    }
}

#[async_trait]
impl ConditionalStore for MemoryStore {
    async fn put_if_absent(&self, key: &ProbeKey, bytes: Bytes) -> Result<bool, StoreError> {
        let mut objects = self.objects.lock();
        if objects.contains_key(key.key()) {
            return Ok(false);
        }
        objects.insert(key.key().clone(), bytes);
        Ok(true)
    }

    async fn remove_probe(&self, key: &ProbeKey) -> Result<(), StoreError> {
        self.objects.lock().remove(key.key());
        Ok(())
    }
}

#[async_trait]
impl DeletingStore for MemoryStore {
    async fn delete(&self, permit: Permit) -> DeleteOutcome {
        match permit.spend(&self.name) {
            Err(error) => DeleteOutcome::NotPermitted(error),
            Ok(key) if self.objects.lock().remove(&key).is_some() => DeleteOutcome::Gone,
            Ok(_) => DeleteOutcome::WasAbsent,
        }
    }
}

#[async_trait]
impl StoreAdmin for MemoryStore {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{LedgerFitness, contract};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_store_in_memory_keeps_the_contract() {
        let scratch = tempfile::TempDir::new().unwrap();
        contract::holds(MemoryStore::named("memory"), scratch.path(), LedgerFitness::Good).await;
    }
}
