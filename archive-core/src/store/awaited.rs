//! A store that was away when the archive was opened, and may come back.
//!
//! Whatever comes back in its place is not the store before it said so: every call first looks for it and checks its
//! identity, and until that succeeds nothing is read from it, written to it or deleted in it. From then on it is that
//! store, without further questions, as one that was there from the beginning.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::OnceCell;

use super::gate::{DeleteOutcome, DeletingStore, Permit};
use super::place::{ArchiveStore, StorePlace};
use super::{Created, Store, StoreError, StoreKey, StoredObject, check_identity};
use crate::identifiers::{ArchiveId, Sha256Digest, StoreId};

/// A store that is looked for until it is found.
#[derive(Debug)]
pub struct AwaitedStore {
    place: Arc<dyn StorePlace>,
    archive: ArchiveId,
    id: StoreId,
    found: OnceCell<Arc<dyn ArchiveStore>>,
}

impl AwaitedStore {
    /// The store of an archive that should be at a place.
    #[must_use]
    pub fn new(place: Arc<dyn StorePlace>, archive: ArchiveId, id: StoreId) -> Self {
        Self { place, archive, id, found: OnceCell::new() }
    }

    /// The store, if it is there by now.
    async fn store(&self) -> Result<&Arc<dyn ArchiveStore>, StoreError> {
        let look = || async {
            let store = self.place.open().await?;
            check_identity(&*store, &self.archive, &self.id).await?;
            tracing::info!(store = self.place.name(), "a store that was away at the start is back");
            Ok(store)
        };
        self.found.get_or_try_init(look).await
    }
}

#[async_trait]
impl Store for AwaitedStore {
    fn name(&self) -> &str {
        self.place.name()
    }

    async fn create(&self, key: &StoreKey, bytes: Bytes) -> Result<Created, StoreError> {
        self.store().await?.create(key, bytes).await
    }

    async fn create_from_file(
        &self,
        key: &StoreKey,
        file: &Path,
        size: u64,
        sha256: Sha256Digest,
    ) -> Result<Created, StoreError> {
        self.store().await?.create_from_file(key, file, size, sha256).await
    }

    async fn read(&self, key: &StoreKey) -> Result<Bytes, StoreError> {
        self.store().await?.read(key).await
    }

    async fn read_range(&self, key: &StoreKey, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.store().await?.read_range(key, range).await
    }

    async fn size(&self, key: &StoreKey) -> Result<Option<u64>, StoreError> {
        self.store().await?.size(key).await
    }

    async fn list(
        &self,
        folder: &StoreKey,
        after: Option<&StoreKey>,
        limit: usize,
    ) -> Result<Vec<StoredObject>, StoreError> {
        self.store().await?.list(folder, after, limit).await
    }
}

#[async_trait]
impl DeletingStore for AwaitedStore {
    async fn delete(&self, permit: Permit) -> DeleteOutcome {
        match self.store().await {
            Ok(store) => store.delete(permit).await,
            Err(error) => DeleteOutcome::Refused(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::entropy::SystemEntropy;
    use crate::store::place::LocalPlace;
    use crate::store::{LocalStore, StoreIdentity, initialise};

    fn id(digit: &str) -> String {
        digit.repeat(32)
    }

    async fn store_at(folder: &Path, archive: &str) {
        let store = LocalStore::create("far", folder, SystemEntropy::shared()).await.unwrap();
        let archive = ArchiveId::parse(&id(archive)).unwrap();
        let created = "2026-01-01T00:00:00Z".parse().unwrap();
        let identity = StoreIdentity::new(archive, StoreId::parse(&id("1")).unwrap(), created);
        initialise(&store, &identity, "read me".into(), "extract".into()).await.unwrap();
    }

    fn everything_in(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn nothing_is_created_in_what_is_not_the_awaited_store_and_it_is_found_when_it_comes() {
        let around = TempDir::new().unwrap();
        let folder = around.path().join("far");
        let place = Arc::new(LocalPlace::new("far", folder.clone(), SystemEntropy::shared()));
        let (archive, store) = (ArchiveId::parse(&id("a")).unwrap(), StoreId::parse(&id("1")).unwrap());
        let awaited = AwaitedStore::new(place, archive, store);
        let key = StoreKey::parse("studies/ab/1.2/pack.zip").unwrap();

        let error = awaited.create(&key, "bytes".into()).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }) && error.to_string().contains("mounted"), "{error}");
        assert!(!folder.exists(), "a missing folder is not made");

        std::fs::create_dir(&folder).unwrap();
        let error = awaited.create(&key, "bytes".into()).await.unwrap_err();
        assert!(matches!(error, StoreError::Identity { .. }), "{error}");
        assert_eq!(everything_in(&folder), Vec::<String>::new(), "an empty folder stays empty");
        std::fs::remove_dir(&folder).unwrap();

        store_at(&folder, "b").await;
        let theirs = everything_in(&folder);
        let error = awaited.create(&key, "bytes".into()).await.unwrap_err();
        assert!(error.to_string().contains("belongs to archive"), "{error}");
        assert!(awaited.read(&key).await.is_err() && awaited.list(&key, None, 1).await.is_err());
        assert_eq!(everything_in(&folder), theirs, "another archive's folder is left alone");
        std::fs::remove_dir_all(&folder).unwrap();

        store_at(&folder, "a").await;
        assert_eq!(awaited.create(&key, "bytes".into()).await.unwrap(), Created::New);
        assert_eq!(awaited.read(&key).await.unwrap(), "bytes");
    }
}
