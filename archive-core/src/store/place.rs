//! Where a store should be. Opening looks at what is there and makes nothing: an empty folder in the place of a disk that
//! is not mounted would be taken for the store. Only who knows that a store is new makes it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use super::gate::DeletingStore;
use super::{ARCHIVE_FILE, ConditionalStore, LocalStore, StoreError, StoreKey};
use crate::entropy::SharedEntropy;

/// What a store must be able to do to be part of an archive.
pub trait ArchiveStore: ConditionalStore + DeletingStore {}
impl<S: ConditionalStore + DeletingStore> ArchiveStore for S {}

/// The place of a store.
#[async_trait]
pub trait StorePlace: Send + Sync + std::fmt::Debug {
    /// The name that the configuration gives the store.
    fn name(&self) -> &str;

    /// Opens the store that is there; nothing is written.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where there is none, or it cannot be reached.
    async fn open(&self) -> Result<Arc<dyn ArchiveStore>, StoreError>;

    /// Makes what a new store needs to be opened, and opens it.
    ///
    /// # Errors
    /// As [`StorePlace::open`].
    async fn make(&self) -> Result<Arc<dyn ArchiveStore>, StoreError>;
}

/// A folder.
#[derive(Debug)]
pub struct LocalPlace {
    name: String,
    folder: PathBuf,
    entropy: SharedEntropy,
}

impl LocalPlace {
    /// The place of the store of that name.
    #[must_use]
    pub fn new(name: &str, folder: PathBuf, entropy: SharedEntropy) -> Self {
        Self { name: name.to_owned(), folder, entropy }
    }

    fn opened(&self, opened: io::Result<LocalStore>) -> Result<Arc<dyn ArchiveStore>, StoreError> {
        match (opened, StoreKey::parse(ARCHIVE_FILE)) {
            (Ok(store), _) => Ok(Arc::new(store)),
            (Err(error), Ok(key)) => {
                let advice = "look whether its disk is mounted; a store that is new is made with create = true";
                let said = format!("{}: {error}; {advice}", self.folder.display());
                Err(StoreError::unavailable(&self.name, "opening", &key, said))
            }
            (Err(error), Err(fault)) => Err(StoreError::Identity {
                store: self.name.clone(),
                found: error.to_string(),
                advice: fault.to_string(),
            }),
        }
    }
}

#[async_trait]
impl StorePlace for LocalPlace {
    fn name(&self) -> &str {
        &self.name
    }

    async fn open(&self) -> Result<Arc<dyn ArchiveStore>, StoreError> {
        self.opened(LocalStore::open(&self.name, &self.folder, Arc::clone(&self.entropy)).await)
    }

    async fn make(&self) -> Result<Arc<dyn ArchiveStore>, StoreError> {
        self.opened(LocalStore::create(&self.name, &self.folder, Arc::clone(&self.entropy)).await)
    }
}

/// A store that is open from the beginning, and of which each request finds out whether it is there: a bucket.
#[derive(Debug)]
pub struct OpenPlace(Arc<dyn ArchiveStore>);

impl OpenPlace {
    /// The place of a store.
    #[must_use]
    pub fn of(store: Arc<dyn ArchiveStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl StorePlace for OpenPlace {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn open(&self) -> Result<Arc<dyn ArchiveStore>, StoreError> {
        Ok(Arc::clone(&self.0))
    }

    async fn make(&self) -> Result<Arc<dyn ArchiveStore>, StoreError> {
        self.open().await
    }
}
