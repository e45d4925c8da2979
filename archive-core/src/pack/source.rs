//! Where the bytes of a pack are read from: one of several copies in stores, or the scratch file before there is any.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::place::PackRef;
use crate::reading::ReadError;
use crate::store::{SharedStore, StoreKey};

/// Is told of copies that are not what they should be, so that someone looks, and repairs them.
pub trait DamageObserver: Send + Sync + std::fmt::Debug {
    /// A part of a copy does not have its recorded digest; another copy is tried.
    fn damaged(&self, store: &str, pack: &PackRef, what: &str);
    /// A store does not have a pack that the ledger says it has; another copy is tried.
    fn missing(&self, store: &str, pack: &PackRef);
}

/// An observer that writes a log line and does nothing else.
#[derive(Debug)]
pub struct LogDamage;

impl DamageObserver for LogDamage {
    fn damaged(&self, store: &str, pack: &PackRef, what: &str) {
        tracing::error!(store, pack = %pack.pack, what, "a copy of a pack is damaged");
    }
    fn missing(&self, store: &str, pack: &PackRef) {
        tracing::error!(store, pack = %pack.pack, "a copy of a pack is missing");
    }
}

/// The copies of one pack, by index from 0, best first.
#[async_trait]
pub(crate) trait PackSource: Send + Sync + std::fmt::Debug {
    /// How many there are.
    fn copies(&self) -> usize;
    /// Reads from one of them.
    async fn read(&self, copy: usize, range: Range<u64>) -> Result<Bytes, ReadError>;
    /// What one of them is called in errors.
    fn object(&self, copy: usize) -> String;
    /// One of them is damaged.
    fn damaged(&self, copy: usize, what: &str);
    /// Whether whoever reads is on a thread that may block.
    fn may_block(&self) -> bool {
        false
    }
}

/// Copies in stores.
#[derive(Debug)]
pub(crate) struct StoredCopies {
    pub(crate) stores: Vec<SharedStore>,
    pub(crate) pack: PackRef,
    pub(crate) key: StoreKey,
    pub(crate) observer: Arc<dyn DamageObserver>,
}

impl StoredCopies {
    fn store(&self, copy: usize) -> Result<&SharedStore, ReadError> {
        let what = || "no store is named that should hold it".to_owned();
        self.stores.get(copy).ok_or_else(|| ReadError::NotUnderstood { object: self.key.to_string(), what: what() })
    }
}

#[async_trait]
impl PackSource for StoredCopies {
    fn copies(&self) -> usize {
        self.stores.len()
    }

    async fn read(&self, copy: usize, range: Range<u64>) -> Result<Bytes, ReadError> {
        let store = self.store(copy)?;
        let outcome = store.read_range(&self.key, range).await;
        if let Err(crate::store::StoreError::NotFound { .. }) = &outcome {
            self.observer.missing(store.name(), &self.pack);
        }
        Ok(outcome?)
    }

    fn object(&self, copy: usize) -> String {
        let store = self.stores.get(copy).map_or("?", |store| store.name());
        format!("store {store}: {}", self.key)
    }

    fn damaged(&self, copy: usize, what: &str) {
        if let Some(store) = self.stores.get(copy) {
            self.observer.damaged(store.name(), &self.pack, what);
        }
    }
}

/// A file that is read in place; blocking, so only where blocking is allowed.
#[derive(Debug)]
pub(crate) struct LocalFile {
    file: File,
    name: String,
}

impl LocalFile {
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        Ok(Self { file: File::open(path)?, name: path.display().to_string() })
    }
}

#[async_trait]
impl PackSource for LocalFile {
    fn copies(&self) -> usize {
        1
    }

    async fn read(&self, _copy: usize, range: Range<u64>) -> Result<Bytes, ReadError> {
        let mut bytes = vec![0; usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX)];
        self.file
            .read_exact_at(&mut bytes, range.start)
            .map_err(|source| ReadError::Local { object: self.name.clone(), source })?;
        Ok(bytes.into())
    }

    fn object(&self, _copy: usize) -> String {
        self.name.clone()
    }

    fn damaged(&self, _copy: usize, _what: &str) {}

    fn may_block(&self) -> bool {
        true
    }
}
