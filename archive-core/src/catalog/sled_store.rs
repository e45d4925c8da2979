//! The embedded backend that is the default: one sled tree.
//!
//! sled 0.34 is fast enough and beta: field reports tell of opens that fail or panic after an abrupt stop. The catalog
//! is a cache, so the rule is simple: whatever goes wrong, the caller puts the folder aside and rebuilds. Nothing
//! is ever repaired in place.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::CatalogError;
use super::kv::{Batch, OrderedStore, Pair};

/// Milliseconds between flushes in the background; each checkpoint flushes anyhow.
const FLUSH_EVERY_MS: u64 = 500;

/// One sled tree.
#[derive(Debug)]
pub struct SledStore {
    // The database is kept because dropping it closes the file.
    _database: sled::Db,
    tree: sled::Tree,
}

/// Name of the one tree.
const TREE: &str = "catalog";

impl SledStore {
    /// Opens or creates a store in a folder, with so many bytes of page cache; the process takes about twice that. A panic of sled is an error like any other.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`] whatever went wrong; the folder is to be put aside. A folder that another process has
    /// open is [`CatalogError::Store`].
    pub fn open(folder: &Path, cache_bytes: u64) -> Result<Self, CatalogError> {
        let config = sled::Config::new()
            .path(folder)
            .cache_capacity(cache_bytes)
            .flush_every_ms(Some(FLUSH_EVERY_MS))
            .mode(sled::Mode::LowSpace);
        let opened = guarded(|| {
            let database = config.open()?;
            let tree = database.open_tree(TREE)?;
            Ok(Self { _database: database, tree })
        });
        opened.map_err(|error| match error {
            CatalogError::Store { what } if what.contains("could not acquire lock") => CatalogError::Store { what },
            CatalogError::Store { what } => CatalogError::Damaged { what },
            other => other,
        })
    }
}

/// Runs a call of sled; its panics become errors.
fn guarded<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, CatalogError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Corruption { .. })) => {
            Err(CatalogError::Damaged { what: "sled found corruption".to_owned() })
        }
        Ok(Err(error)) => Err(CatalogError::Store { what: error.to_string() }),
        Err(_) => Err(CatalogError::Damaged { what: "sled panicked".to_owned() }),
    }
}

impl OrderedStore for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, CatalogError> {
        guarded(|| Ok(self.tree.get(key)?.map(|value| value.to_vec())))
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, CatalogError> {
        if from >= to {
            return Ok(Vec::new());
        }
        guarded(|| {
            self.tree
                .range(from..to)
                .take(limit)
                .map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())))
                .collect()
        })
    }

    fn apply(&self, batch: Batch) -> Result<(), CatalogError> {
        let mut native = sled::Batch::default();
        for (key, value) in batch {
            match value {
                Some(value) => native.insert(key, value),
                None => native.remove(key),
            }
        }
        guarded(|| self.tree.apply_batch(native))
    }

    fn flush(&self) -> Result<(), CatalogError> {
        guarded(|| self.tree.flush().map(drop))
    }

    fn clear(&self) -> Result<(), CatalogError> {
        guarded(|| self.tree.clear())
    }
}
