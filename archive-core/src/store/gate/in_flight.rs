//! Deletes whose outcome nobody knows yet, and the guard that keeps their names free.
//!
//! A delete that timed out may still be carried out minutes later. If the same name were created meanwhile, it would
//! hit the new object. So for 15 minutes no object of that name is created in that store.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::permit::DeletingStore;
use super::port::OpenIntent;
use crate::clock::SharedClock;
use crate::identifiers::{Sha256Digest, StoreId};
use crate::ledger::entry::Ground;
use crate::store::{Created, Store, StoreError, StoreKey, StoredObject};

/// How long a delete of unknown outcome counts as in flight.
pub const IN_FLIGHT: Duration = Duration::from_secs(15 * 60);
/// How many deletes of one store may be in flight; no permit is issued beyond.
pub const IN_FLIGHT_MAX: usize = 4096;

/// Deletes of one store whose outcome is not known.
#[derive(Debug)]
pub struct InFlightDeletes {
    clock: SharedClock,
    deletes: Mutex<BTreeMap<StoreKey, InFlight>>,
}

#[derive(Debug)]
struct InFlight {
    since: Duration,
    ground: Ground,
    intended: u64,
}

impl InFlightDeletes {
    /// None in flight.
    #[must_use]
    pub fn new(clock: SharedClock) -> Arc<Self> {
        Arc::new(Self { clock, deletes: Mutex::default() })
    }

    /// Whether no delete of an object is in flight and there is room for one.
    pub(super) fn is_free(&self, key: &StoreKey) -> bool {
        let deletes = self.deletes.lock();
        deletes.len() < IN_FLIGHT_MAX && !deletes.contains_key(key)
    }

    /// Notes a delete; `false`, and nothing is noted, when one of that object is in flight or there is no room.
    pub(super) fn begin(&self, key: &StoreKey, ground: Ground, intended: u64) -> bool {
        let since = self.clock.monotonic();
        let mut deletes = self.deletes.lock();
        if deletes.len() >= IN_FLIGHT_MAX || deletes.contains_key(key) {
            return false;
        }
        deletes.insert(key.clone(), InFlight { since, ground, intended });
        true
    }

    /// Notes a delete that the ledger announced before this process began; of several of one object the last. `false`
    /// when there is no room.
    pub(super) fn restore(&self, intent: &OpenIntent) -> bool {
        let since = self.clock.monotonic();
        let mut deletes = self.deletes.lock();
        if deletes.len() >= IN_FLIGHT_MAX && !deletes.contains_key(&intent.key) {
            return false;
        }
        let delete = InFlight { since, ground: intent.ground, intended: intent.intended };
        deletes.insert(intent.key.clone(), delete);
        true
    }

    /// Counts the 15 minutes from now on.
    pub(super) fn extend(&self, key: &StoreKey) {
        let now = self.clock.monotonic();
        if let Some(delete) = self.deletes.lock().get_mut(key) {
            delete.since = now;
        }
    }

    /// The outcome is known.
    pub(super) fn end(&self, key: &StoreKey) {
        self.deletes.lock().remove(key);
    }

    /// Deletes that can hit nothing any more, of which nobody has looked what became.
    pub(super) fn over(&self, store: &StoreId) -> Vec<OpenIntent> {
        let now = self.clock.monotonic();
        let deletes = self.deletes.lock();
        let over = deletes.iter().filter(|(_, delete)| now.saturating_sub(delete.since) > IN_FLIGHT);
        over.map(|(key, delete)| OpenIntent {
            store: store.clone(),
            key: key.clone(),
            ground: delete.ground,
            intended: delete.intended,
        })
        .collect()
    }

    /// How many are in flight: a metric.
    #[must_use]
    pub fn count(&self) -> usize {
        self.deletes.lock().len()
    }

    /// Seconds for which an object may not be created; `None` when it may. After its 15 minutes a name is free again,
    /// settled or not.
    fn blocked(&self, key: &StoreKey) -> Option<u64> {
        let now = self.clock.monotonic();
        let since = self.deletes.lock().get(key)?.since;
        IN_FLIGHT.checked_sub(now.saturating_sub(since)).map(|left| left.as_secs())
    }
}

/// A store through which everyone writes: it creates no object whose delete is in flight.
#[derive(Debug)]
pub struct GuardedStore {
    inner: Arc<dyn DeletingStore>,
    in_flight: Arc<InFlightDeletes>,
}

impl GuardedStore {
    /// Guards a store. The same `in_flight` goes to the gate.
    #[must_use]
    pub fn new(inner: Arc<dyn DeletingStore>, in_flight: Arc<InFlightDeletes>) -> Arc<Self> {
        Arc::new(Self { inner, in_flight })
    }

    fn refuse_if_blocked(&self, key: &StoreKey) -> Result<(), StoreError> {
        let Some(left) = self.in_flight.blocked(key) else { return Ok(()) };
        let found = format!("a delete of it whose outcome is not known may still come, for {left} s more");
        Err(StoreError::unavailable(self.inner.name(), "creating", key, found))
    }
}

#[async_trait]
impl Store for GuardedStore {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn create(&self, key: &StoreKey, bytes: Bytes) -> Result<Created, StoreError> {
        self.refuse_if_blocked(key)?;
        self.inner.create(key, bytes).await
    }

    async fn create_from_file(
        &self,
        key: &StoreKey,
        file: &Path,
        size: u64,
        sha256: Sha256Digest,
    ) -> Result<Created, StoreError> {
        self.refuse_if_blocked(key)?;
        self.inner.create_from_file(key, file, size, sha256).await
    }

    async fn read(&self, key: &StoreKey) -> Result<Bytes, StoreError> {
        self.inner.read(key).await
    }

    async fn read_range(&self, key: &StoreKey, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.inner.read_range(key, range).await
    }

    async fn size(&self, key: &StoreKey) -> Result<Option<u64>, StoreError> {
        self.inner.size(key).await
    }

    async fn list(
        &self,
        folder: &StoreKey,
        after: Option<&StoreKey>,
        limit: usize,
    ) -> Result<Vec<StoredObject>, StoreError> {
        self.inner.list(folder, after, limit).await
    }
}
