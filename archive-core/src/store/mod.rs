//! Stores: where packs, ledger segments and documents lie.
//!
//! A store is a local folder or an S3-compatible bucket; each is complete in itself. Nothing in a store is ever
//! overwritten: objects are created once, under a name that no other content gets (promise I4), and deleted only by
//! the gate (promise I5).

mod admin;
mod awaited;
#[cfg(any(test, feature = "test-support"))]
pub mod contract;
pub mod gate;
mod identity;
mod key;
mod listed;
mod local;
mod memory;
mod place;
mod probe;
mod registry;
mod s3;
mod verify;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

pub use admin::{AdminError, StaleUpload, StoreAdmin, Versioning};
pub use awaited::AwaitedStore;
pub use identity::{
    ARCHIVE_FILE, EXTRACT_FILE, README_FILE, STORE_FORMAT, StoreIdentity, check_identity, initialise, read_identity,
};
pub use key::{StoreKey, StoreKeyError};
pub use listed::listed;
pub use local::LocalStore;
pub use memory::MemoryStore;
pub use place::{ArchiveStore, LocalPlace, OpenPlace, StorePlace};
pub use probe::{ConditionalStore, LedgerFitness, ProbeKey, probe};
pub use registry::{Member, StoreSet, StoreSetError};
pub use s3::{S3Credentials, S3Options, S3Store};
pub use verify::verify_object;

use crate::identifiers::Sha256Digest;

/// A store that several parts share.
pub type SharedStore = Arc<dyn Store>;

/// The largest object that [`Store::read`] reads whole; what may be larger is read by ranges.
pub const READ_WHOLE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// How a create-only write ended well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Created {
    /// The object did not exist and does now.
    New,
    /// The very same bytes were there already (an earlier attempt of ours whose answer was lost).
    AlreadyThere,
}

/// An object as a listing shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredObject {
    /// Its name.
    pub key: StoreKey,
    /// Its size in bytes.
    pub size: u64,
    /// When the store says it was last written.
    pub modified: Timestamp,
}

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such object. Never said of a store that cannot be reached or whose identity is not known.
    #[error("store {store}: there is no object {key}")]
    NotFound {
        /// The store's name.
        store: String,
        /// The object.
        key: StoreKey,
    },
    /// A create-only write found other bytes under that name.
    #[error("store {store}: {key} exists already with other bytes; it was left as it is")]
    Conflict {
        /// The store's name.
        store: String,
        /// The object.
        key: StoreKey,
    },
    /// The store cannot be reached, is full, or refused; trying again later may help.
    #[error("store {store}: {doing} {key} failed: {source}; it is tried again while the store is away")]
    Unavailable {
        /// The store's name.
        store: String,
        /// What was being done.
        doing: &'static str,
        /// The object.
        key: StoreKey,
        /// What the store or the operating system said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An object does not have the bytes that it was written with.
    #[error(
        "store {store}: {key} is damaged: {found}; it is not served from there, another copy serves and repairs it"
    )]
    Damaged {
        /// The store's name.
        store: String,
        /// The object.
        key: StoreKey,
        /// In what it differs.
        found: String,
    },
    /// The store is not what the configuration and the ledger say it is; nothing may be written to it.
    #[error("store {store}: {found}; {advice}")]
    Identity {
        /// The store's name.
        store: String,
        /// What was found.
        found: String,
        /// What to do.
        advice: String,
    },
    /// A local scratch file could not be read or written.
    #[error("scratch file for {key}: {source}")]
    Scratch {
        /// The object it was for.
        key: StoreKey,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// One store. Implementations settle ambiguous outcomes themselves ("exists already", time-outs): they read back what
/// lies there and compare, so that an answer is an answer.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// The name the configuration gives it.
    fn name(&self) -> &str;

    /// Creates an object that must not exist yet, durably: when this returns, it survives a power cut.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when other bytes lie there, [`StoreError::Unavailable`] when the outcome is unknown or
    /// bad.
    async fn create(&self, key: &StoreKey, bytes: Bytes) -> Result<Created, StoreError>;

    /// As [`Store::create`], streaming a local file of known size and digest; memory stays bounded.
    ///
    /// # Errors
    /// As [`Store::create`]; [`StoreError::Scratch`] when the file cannot be read.
    async fn create_from_file(
        &self,
        key: &StoreKey,
        file: &Path,
        size: u64,
        sha256: Sha256Digest,
    ) -> Result<Created, StoreError>;

    /// Reads a whole object that is known to be small.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Unavailable`].
    async fn read(&self, key: &StoreKey) -> Result<Bytes, StoreError>;

    /// Reads a range of bytes; a range that ends past the object is an error.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Unavailable`].
    async fn read_range(&self, key: &StoreKey, range: Range<u64>) -> Result<Bytes, StoreError>;

    /// The size of an object, or `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn size(&self, key: &StoreKey) -> Result<Option<u64>, StoreError>;

    /// All objects whose names begin with a folder (`ledger/000001`), in the order of their names. `after` leaves out
    /// names up to and including that one; at most `limit` objects are returned.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn list(
        &self,
        folder: &StoreKey,
        after: Option<&StoreKey>,
        limit: usize,
    ) -> Result<Vec<StoredObject>, StoreError>;
}

impl StoreError {
    /// [`StoreError::Unavailable`] with what the store or the operating system said.
    pub(crate) fn unavailable(
        store: &str,
        doing: &'static str,
        key: &StoreKey,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable { store: store.to_owned(), doing, key: key.clone(), source: source.into() }
    }

    /// The error of a range that ends past its object.
    pub(crate) fn past_the_end(store: &str, key: &StoreKey, range: &Range<u64>, size: u64) -> Self {
        let found = format!("bytes {} to {} were asked for, it has {size}", range.start, range.end);
        Self::unavailable(store, "reading a range of", key, found)
    }

    /// The error of an object too large to be read whole.
    pub(crate) fn too_large(store: &str, key: &StoreKey, size: u64) -> Self {
        let found = format!("it has {size} bytes, at most {READ_WHOLE_BYTES_MAX} are read at once");
        Self::unavailable(store, "reading", key, found)
    }
}
