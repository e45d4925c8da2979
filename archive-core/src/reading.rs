//! Reading one version, wherever it lies: in the journal, or in a pack.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

use crate::dicom::cut::Fragment;
use crate::store::StoreError;

/// What a read gives at most at once (bytes).
pub const PIECE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Why bytes could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What lies there is not what was recorded; nothing of it was handed out (promise I9).
    #[error("damaged: {what} of {object} does not have its recorded digest; it is not served")]
    Damaged {
        /// The object or journal segment.
        object: String,
        /// Which part of it.
        what: String,
    },
    /// What lies there cannot be understood although its digest is right: written by a newer program, or a defect.
    #[error("{object}: {what}")]
    NotUnderstood {
        /// The object.
        object: String,
        /// What was found.
        what: String,
    },
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal or scratch failed.
    #[error("{object}: {source}")]
    Local {
        /// The file.
        object: String,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// The content of one version. Every byte handed out was checked against its unit's digest, which hangs on the
/// ledger or, until sealed, on the commit record (promise I9).
#[async_trait]
pub trait VersionReader: Send + Sync + std::fmt::Debug {
    /// Reads content bytes from `want.start` on. May give fewer than wanted (up to the end of a unit), at most
    /// [`PIECE_BYTES_MAX`], and none only where `want` is empty or begins at the end of the content. Offsets count from the first byte of
    /// the content.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn read(&self, want: Range<u64>) -> Result<Bytes, ReadError>;

    /// The fragments of a frame, by index from 0; `None` past the last. In a deflated version they count in inflated
    /// space.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn frame(&self, index: u64) -> Result<Option<Vec<Fragment>>, ReadError>;
}
