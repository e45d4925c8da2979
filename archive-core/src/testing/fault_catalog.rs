//! A catalog's store in memory that outlives the process which uses it, and forgets at a power cut some of what was applied
//! and not flushed: batches from the end, whole, as the trait promises.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::catalog::CatalogError;
use crate::catalog::kv::{Batch, MemoryStore, OrderedStore, Pair};

/// The key behind all keys.
const BEHIND_ALL: [u8; 64] = [0xff; 64];

/// A catalog's store.
#[derive(Debug, Default)]
pub struct FaultCatalog {
    now: MemoryStore,
    /// What undoes each batch that is not flushed.
    undo: Mutex<Vec<Batch>>,
}

impl FaultCatalog {
    /// An empty one.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A power cut: of the batches that were not flushed, so many are left (from the first on).
    pub fn power_cut(&self, left: usize) {
        let undo = std::mem::take(&mut *self.undo.lock());
        for batch in undo.into_iter().skip(left).rev() {
            self.now.apply(batch).unwrap();
        }
    }

    /// Batches that are not flushed.
    #[must_use]
    pub fn unflushed(&self) -> usize {
        self.undo.lock().len()
    }

    /// Everything in it.
    #[must_use]
    pub fn pairs(&self) -> Vec<Pair> {
        self.now.range(&[], &BEHIND_ALL, usize::MAX).unwrap()
    }

    /// Somebody deletes it.
    pub fn lose(&self) {
        self.undo.lock().clear();
        self.now.clear().unwrap();
    }
}

impl OrderedStore for FaultCatalog {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, CatalogError> {
        self.now.get(key)
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, CatalogError> {
        self.now.range(from, to, limit)
    }

    fn apply(&self, batch: Batch) -> Result<(), CatalogError> {
        let mut undo = Batch::new();
        for key in batch.keys() {
            undo.insert(key.clone(), self.now.get(key)?);
        }
        self.undo.lock().push(undo);
        self.now.apply(batch)
    }

    fn flush(&self) -> Result<(), CatalogError> {
        self.undo.lock().clear();
        Ok(())
    }

    fn clear(&self) -> Result<(), CatalogError> {
        let undo = self.pairs().into_iter().map(|(key, value)| (key, Some(value))).collect();
        self.undo.lock().push(undo);
        self.now.clear()
    }
}
