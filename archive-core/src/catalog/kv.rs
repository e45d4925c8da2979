//! The ordered key-value store that a catalog lies in: five operations, so that a backend is a page of code.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::CatalogError;

/// Changes that become visible together: keys with their new value, or `None` to take a key away. The last word on a
/// key counts.
pub type Batch = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// An ordered key-value store. All calls block.
pub trait OrderedStore: Send + Sync + std::fmt::Debug {
    /// The value of a key.
    ///
    /// # Errors
    /// [`CatalogError`] when the store cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, CatalogError>;

    /// Keys from `from` (included) to `to` (excluded), ascending, at most `limit`.
    ///
    /// # Errors
    /// As [`OrderedStore::get`].
    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, CatalogError>;

    /// Applies a batch atomically: after a crash all of it is there or nothing. Not durable before
    /// [`OrderedStore::flush`].
    ///
    /// # Errors
    /// [`CatalogError`] when the store cannot be written.
    fn apply(&self, batch: Batch) -> Result<(), CatalogError>;

    /// Makes everything applied durable.
    ///
    /// # Errors
    /// As [`OrderedStore::apply`].
    fn flush(&self) -> Result<(), CatalogError>;

    /// Takes every key away.
    ///
    /// # Errors
    /// As [`OrderedStore::apply`].
    fn clear(&self) -> Result<(), CatalogError>;
}

impl<S: OrderedStore + ?Sized> OrderedStore for Arc<S> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, CatalogError> {
        (**self).get(key)
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, CatalogError> {
        (**self).range(from, to, limit)
    }

    fn apply(&self, batch: Batch) -> Result<(), CatalogError> {
        (**self).apply(batch)
    }

    fn flush(&self) -> Result<(), CatalogError> {
        (**self).flush()
    }

    fn clear(&self) -> Result<(), CatalogError> {
        (**self).clear()
    }
}

/// A store in memory, for tests and for archives that may rebuild at every start.
#[derive(Default)]
pub struct MemoryStore {
    pairs: RwLock<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemoryStore({} keys)", self.pairs.read().len())
    }
}

impl OrderedStore for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, CatalogError> {
        Ok(self.pairs.read().get(key).cloned())
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, CatalogError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let pairs = self.pairs.read();
        let range = pairs.range::<[u8], _>((std::ops::Bound::Included(from), std::ops::Bound::Excluded(to)));
        Ok(range.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn apply(&self, batch: Batch) -> Result<(), CatalogError> {
        let mut pairs = self.pairs.write();
        for (key, value) in batch {
            match value {
                Some(value) => pairs.insert(key, value),
                None => pairs.remove(&key),
            };
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), CatalogError> {
        Ok(())
    }

    fn clear(&self) -> Result<(), CatalogError> {
        self.pairs.write().clear();
        Ok(())
    }
}
