//! What a bucket has beyond objects — versions, locks, unfinished uploads — where it can be asked at all.
//!
//! `object_store` knows none of it, and many servers neither. So each question has an honest answer for those who
//! cannot tell: [`AdminError::Unsupported`]. A certificate that says "gone" must say what could not be looked at.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Store, StoreError, StoreKey};

/// Why a question about a store has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// This kind of store, or this program, cannot do that.
    #[error("store {store}: {what} cannot be asked for here; look at the store with its own tools")]
    Unsupported {
        /// The store's name.
        store: String,
        /// What was asked for.
        what: &'static str,
    },
    /// The store could have answered and did not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether a store keeps what was overwritten or deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Versioning {
    /// It does: a delete leaves the bytes behind a marker.
    On,
    /// It does not.
    Off,
}

/// A multi-part upload that was begun and never completed; its parts take room and are seen by nobody.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StaleUpload {
    /// The object that it would have become.
    pub key: StoreKey,
    /// The store's name for the upload.
    pub upload: String,
    /// When it began.
    pub begun: Timestamp,
}

/// Questions about a store that go beyond objects. Each default answer is "not supported".
#[async_trait]
pub trait StoreAdmin: Store {
    /// Uploads that began before a moment and were never completed.
    ///
    /// # Errors
    /// [`AdminError::Unsupported`] where they cannot be listed: a lifecycle rule of the bucket must abort them.
    async fn stale_uploads(&self, _begun_before: Timestamp) -> Result<Vec<StaleUpload>, AdminError> {
        Err(unsupported(self.name(), "the list of unfinished uploads"))
    }

    /// Ends an upload that will never be completed.
    ///
    /// # Errors
    /// [`AdminError::Unsupported`] where that cannot be done.
    async fn abort_upload(&self, _upload: &StaleUpload) -> Result<(), AdminError> {
        Err(unsupported(self.name(), "ending an unfinished upload"))
    }

    /// Whether the store keeps what was deleted.
    ///
    /// # Errors
    /// [`AdminError::Unsupported`] where nobody can tell.
    async fn versioning(&self) -> Result<Versioning, AdminError> {
        Err(unsupported(self.name(), "the state of versioning"))
    }
}

fn unsupported(store: &str, what: &'static str) -> AdminError {
    AdminError::Unsupported { store: store.to_owned(), what }
}
