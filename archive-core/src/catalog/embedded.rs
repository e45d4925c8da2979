//! Opening the catalog that lies in a folder of this machine, in one of two ordered stores.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::kv::OrderedStore;
use super::redb_store::{self, RedbStore};
use super::sled_store::SledStore;
use super::{CatalogError, KeyedCatalog};

/// Which part of the page cache's size is kept of rows as they were read, on top.
const ROWS_PART_OF_CACHE: u64 = 4;

/// The ordered store that a catalog lies in. Answers are the same; docs/adr/0014 says which is for whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// [`SledStore`].
    #[default]
    Sled,
    /// [`RedbStore`].
    Redb,
}

/// How the embedded catalog is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EmbeddedOptions {
    /// The store.
    pub backend: Backend,
    /// Bytes of page cache; a quarter of it is added for rows as they were read.
    pub cache_bytes: u64,
}

/// How a catalog was found at start.
#[derive(Debug)]
pub enum CatalogState {
    /// It can be used; compare its watermark with the ledger: behind is caught up, ahead is rebuilt.
    Ready(Box<KeyedCatalog>),
    /// It cannot: put the folder aside and rebuild.
    Damaged(CatalogError),
}

/// Opens or creates the embedded catalog in a folder.
///
/// # Errors
/// [`CatalogError::Store`] where the folder cannot be used at all: no permission, disk full, open in another process.
pub fn open_embedded(folder: &Path, options: EmbeddedOptions) -> Result<CatalogState, CatalogError> {
    let rows_kept_bytes = usize::try_from(options.cache_bytes / ROWS_PART_OF_CACHE).unwrap_or(usize::MAX);
    let opened = refuse_other_backend(folder, options.backend)
        .and_then(|()| match options.backend {
            Backend::Sled => SledStore::open(folder, options.cache_bytes).map(boxed),
            Backend::Redb => RedbStore::open(folder, options.cache_bytes).map(boxed),
        })
        .and_then(|store| KeyedCatalog::open_keeping(store, rows_kept_bytes));
    match opened {
        Ok(catalog) => Ok(CatalogState::Ready(Box::new(catalog))),
        Err(error) if error.wants_rebuild() => Ok(CatalogState::Damaged(error)),
        Err(error) => Err(error),
    }
}

fn boxed<S: OrderedStore + 'static>(store: S) -> Box<dyn OrderedStore> {
    Box::new(store)
}

/// A folder that the other store wrote in is not opened beside what lies there: it is put aside and made anew.
fn refuse_other_backend(folder: &Path, backend: Backend) -> Result<(), CatalogError> {
    let is_in_use = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    let found = if folder.join(redb_store::FILE).exists() { Backend::Redb } else { Backend::Sled };
    if is_in_use && found != backend {
        return Err(CatalogError::OtherBackend { found, wanted: backend });
    }
    Ok(())
}
