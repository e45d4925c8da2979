//! What the gate needs from the rest of the archive: the ledger, and whoever can look at packs.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::identifiers::{ContentId, StoreId};
use crate::ledger::entry::Ground;
use crate::pack::IndexedVersion;
use crate::store::{StoreError, StoreKey};

/// Why ledger or packs could not be asked. Nothing is deleted then.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The ledger cannot be read or written now, or its heads differ.
    #[error("the ledger: {0}; nothing is deleted")]
    Ledger(String),
    /// A pack that is evidence cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A pack that is evidence does not read as one.
    #[error("the evidence for a deletion cannot be read: {0}; nothing is deleted")]
    Evidence(String),
}

/// A delete that was announced in the ledger and of which no entry says that it happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenIntent {
    /// In which store.
    pub store: StoreId,
    /// Of which object.
    pub key: StoreKey,
    /// Why.
    pub ground: Ground,
    /// The entry that announced it.
    pub intended: u64,
}

/// The ledger as the gate sees it.
#[async_trait]
pub trait LedgerPort: Send + Sync + std::fmt::Debug {
    /// Appends `delete_intended`; gives the entry's number once it is durable in home, in every required store, and in
    /// `store`, whatever its role.
    ///
    /// # Errors
    /// [`PortError::Ledger`] when it is not durable in all of them.
    async fn intend(&self, ground: Ground, store: &StoreId, key: &StoreKey) -> Result<u64, PortError>;

    /// Appends `deleted`.
    ///
    /// # Errors
    /// [`PortError::Ledger`].
    async fn deleted(&self, ground: Ground, store: &StoreId, key: &StoreKey, intended: u64) -> Result<(), PortError>;

    /// Looks at the heads of home and of every required store, in the stores: they must be what this process wrote.
    ///
    /// # Errors
    /// [`PortError::Ledger`] when one is longer, shorter, different, or cannot be read.
    async fn check_heads(&self) -> Result<(), PortError>;

    /// Whether any entry names an object as a pack that counts, or one that counted before it was merged.
    ///
    /// # Errors
    /// [`PortError::Ledger`] when not every entry could be read.
    async fn named_by_ledger(&self, key: &StoreKey) -> Result<bool, PortError>;

    /// Deletes that were announced and never confirmed, of all epochs, in the order of their entries. An announcement
    /// is confirmed by any later `deleted` of that object in that store.
    ///
    /// # Errors
    /// [`PortError::Ledger`] when not every entry could be read.
    async fn open_intents(&self) -> Result<Vec<OpenIntent>, PortError>;

    /// Trusted time.
    ///
    /// # Errors
    /// [`PortError::Ledger`] while the time is in doubt.
    async fn vouched_now(&self) -> Result<Timestamp, PortError>;
}

/// What was found when a superseded pack was looked at.
#[derive(Clone, PartialEq, Debug)]
pub struct SupersededEvidence {
    /// The index of the pack that is to go, as the ledger's digest vouches for it.
    pub old: Vec<IndexedVersion>,
    /// The successors: other objects than the one that is to go.
    pub successors: Vec<StoreKey>,
    /// The indexes of its successors, each of which was read from the same store, to the last byte, just now.
    pub new: Vec<IndexedVersion>,
    /// How long it has been superseded, in hours that the archive was up ([`super::Grace`]).
    pub grace: Duration,
}

/// What was found when an orphan was looked at.
#[derive(Clone, PartialEq, Debug)]
pub struct OrphanEvidence {
    /// When the store says that it was written.
    pub modified: Timestamp,
    /// Its index; every content in it was found in its bytes.
    pub orphan: Vec<IndexedVersion>,
    /// Versions read back just now from places that the ledger names, with their receipts.
    pub elsewhere: Vec<IndexedVersion>,
    /// Contents that the ledger says were disposed of.
    pub disposed: BTreeSet<ContentId>,
}

/// Whoever can look at packs. It looks anew at each call, at the stores and not at a catalog; it is called twice for
/// each deletion.
#[async_trait]
pub trait GroundCheck: Send + Sync + std::fmt::Debug {
    /// Looks at a superseded pack and reads its successors in the same store.
    ///
    /// # Errors
    /// [`PortError`] when anything cannot be read or differs from its digest.
    async fn superseded(&self, store: &StoreId, key: &StoreKey) -> Result<SupersededEvidence, PortError>;

    /// Looks at an object that no entry names, and at the places where its contents are.
    ///
    /// # Errors
    /// [`PortError`] when anything cannot be read or differs from its digest.
    async fn orphan(&self, store: &StoreId, key: &StoreKey) -> Result<OrphanEvidence, PortError>;
}
