//! The other embedded backend: one redb table in one file, for catalogs that sled holds too slowly or too large
//! (docs/adr/0014). No threads of its own, no dead bytes beyond free pages; every page is checked when it is opened.
//!
//! The same rule holds: whatever goes wrong, the caller puts the folder aside and rebuilds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{Database, DatabaseError, Durability, ReadableDatabase as _, TableDefinition};

use super::CatalogError;
use super::kv::{Batch, OrderedStore, Pair};

/// The file in the catalog's folder.
pub const FILE: &str = "catalog.redb";

const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("catalog");

/// One redb table.
#[derive(Debug)]
pub struct RedbStore {
    database: Database,
}

impl RedbStore {
    /// Opens or creates a store in a folder, with so many bytes of page cache.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`] whatever went wrong; the folder is to be put aside. A file that another process has open
    /// is [`CatalogError::Store`].
    pub fn open(folder: &Path, cache_bytes: u64) -> Result<Self, CatalogError> {
        let failed = |error: std::io::Error| CatalogError::Store { what: error.to_string() };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let path = folder.join(FILE);
        let opened = guarded_open(|| {
            let cache = usize::try_from(cache_bytes).unwrap_or(usize::MAX);
            let mut database = match Database::builder().set_cache_size(cache).create(&path) {
                Err(DatabaseError::DatabaseAlreadyOpen) => return Ok(None),
                other => other?,
            };
            // Pages have checksums that reading does not look at: here all of them are, once.
            if !database.check_integrity()? {
                tracing::warn!(
                    "the catalog's file was repaired: it may have lost its last changes, which are applied again"
                );
            }
            let begin = database.begin_write()?;
            // Made with the file, so that reading need not ask whether it is there.
            drop(begin.open_table(TABLE)?);
            begin.commit()?;
            Ok(Some(Self { database }))
        });
        match opened {
            Ok(Some(store)) => Ok(store),
            Ok(None) => Err(CatalogError::Store { what: format!("{}: another process has it open", path.display()) }),
            Err(error) => Err(error),
        }
    }
}

/// Opening: what is no fault of the file itself (no room, no permission, no descriptors) is no reason to make it anew.
fn guarded_open<T>(call: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, CatalogError> {
    let is_around_it = |error: &std::io::Error| {
        use std::io::ErrorKind;
        matches!(
            error.kind(),
            ErrorKind::StorageFull
                | ErrorKind::QuotaExceeded
                | ErrorKind::PermissionDenied
                | ErrorKind::ReadOnlyFilesystem
        ) || [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE]
            .iter()
            .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
    };
    let mut around_it = None;
    let opened = guarded(|| {
        call().inspect_err(|error| {
            if let redb::Error::Io(error) = error
                && is_around_it(error)
            {
                around_it = Some(error.to_string());
            }
        })
    });
    match (opened, around_it) {
        (Err(_), Some(what)) => Err(CatalogError::Store { what }),
        (Err(CatalogError::Store { what }), None) => Err(CatalogError::Damaged { what }),
        (opened, _) => opened,
    }
}

/// Runs a call of redb; its panics become errors.
fn guarded<T>(call: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, CatalogError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(redb::Error::Corrupted(_))) => Err(CatalogError::Damaged { what: "redb found corruption".to_owned() }),
        Ok(Err(error)) => Err(CatalogError::Store { what: error.to_string() }),
        Err(_) => Err(CatalogError::Damaged { what: "redb panicked".to_owned() }),
    }
}

impl OrderedStore for RedbStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, CatalogError> {
        guarded(|| {
            let table = self.database.begin_read()?.open_table(TABLE)?;
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        })
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, CatalogError> {
        if from >= to {
            return Ok(Vec::new());
        }
        guarded(|| {
            let table = self.database.begin_read()?.open_table(TABLE)?;
            let mut found = Vec::new();
            for pair in table.range(from..to)?.take(limit) {
                let (key, value) = pair?;
                found.push((key.value().to_vec(), value.value().to_vec()));
            }
            Ok(found)
        })
    }

    fn apply(&self, batch: Batch) -> Result<(), CatalogError> {
        guarded(|| {
            let mut write = self.database.begin_write()?;
            write.set_durability(Durability::None)?;
            {
                let mut table = write.open_table(TABLE)?;
                for (key, value) in &batch {
                    match value {
                        Some(value) => drop(table.insert(key.as_slice(), value.as_slice())?),
                        None => drop(table.remove(key.as_slice())?),
                    }
                }
            }
            Ok(write.commit()?)
        })
    }

    fn flush(&self) -> Result<(), CatalogError> {
        guarded(|| {
            let mut write = self.database.begin_write()?;
            // The next open reads where free pages are, and need not look for them.
            write.set_quick_repair(true);
            Ok(write.commit()?)
        })
    }

    fn clear(&self) -> Result<(), CatalogError> {
        guarded(|| {
            let write = self.database.begin_write()?;
            write.delete_table(TABLE)?;
            drop(write.open_table(TABLE)?);
            Ok(write.commit()?)
        })
    }
}
