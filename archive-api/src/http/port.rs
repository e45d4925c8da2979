//! What the HTTP doors ask of the archive, and nothing more.
//!
//! A trait of its own, so that the doors can be tested on an archive in memory, and so that everything a door can do
//! to the archive can be read on one page. `archive_port` implements it by delegation.

use std::fmt::Debug;
use std::sync::Arc;

use archive_core::archive::{ArchiveError, Incoming, Lack, Received, SelectCursor, Selection};
use archive_core::caller::Caller;
use archive_core::dicom::scan::InstanceKeys;
use archive_core::identifiers::{StudyUid, TransferSyntaxUid};
use archive_core::query::{Page, Query};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

/// Bytes that are checked before they come (promise I9). After an error nothing more comes.
pub type CheckedBytes = BoxStream<'static, Result<Bytes, ArchiveError>>;

/// The archive as the doors see it.
#[async_trait]
pub trait ArchivePort: Debug + Send + Sync + 'static {
    /// Begins to receive one instance.
    ///
    /// # Errors
    /// [`ArchiveError`]: full, or not receiving.
    async fn receive(&self, caller: &Caller, incoming: Incoming) -> Result<Box<dyn IncomingInstance>, ArchiveError>;

    /// One page of the answer to a query.
    ///
    /// # Errors
    /// [`ArchiveError`]: the query is not understood, or the catalog is being rebuilt.
    async fn find(&self, caller: &Caller, query: &Query) -> Result<Page, ArchiveError>;

    /// Whether something that was sealed of a study cannot be answered now, and why.
    fn lacks(&self, study: &StudyUid) -> Option<Lack>;

    /// The versions selected, at most 500 a call, in a stable order, and where the next call goes on.
    ///
    /// # Errors
    /// [`ArchiveError::NotFound`], or [`ArchiveError::Rebuilding`] where it may exist.
    async fn select(
        &self,
        caller: &Caller,
        selection: &Selection,
        after: Option<SelectCursor>,
    ) -> Result<(Vec<Arc<dyn SelectedInstance>>, Option<SelectCursor>), ArchiveError>;
}

/// An instance on its way in; dropping it forgets it.
#[async_trait]
pub trait IncomingInstance: Debug + Send {
    /// Hands over the next bytes.
    ///
    /// # Errors
    /// [`ArchiveError`]: refused, or no room. Nothing was stored then.
    async fn write(&mut self, bytes: Bytes) -> Result<(), ArchiveError>;

    /// Ends the instance; answers when it is durable (promise I1).
    ///
    /// # Errors
    /// As [`IncomingInstance::write`].
    async fn finish(self: Box<Self>) -> Result<Received, ArchiveError>;
}

/// A version that was selected and can be opened.
#[async_trait]
pub trait SelectedInstance: Debug + Send + Sync {
    /// Where it belongs.
    fn keys(&self) -> &InstanceKeys;
    /// The syntax it is stored in.
    fn transfer_syntax(&self) -> &TransferSyntaxUid;
    /// Frames that can be told apart.
    fn frame_count(&self) -> u64;
    /// Its header as one DICOM JSON object, as [`OpenInstance::header_json`] gives it.
    ///
    /// # Errors
    /// [`ArchiveError`].
    async fn header_json(&self, caller: &Caller) -> Result<Bytes, ArchiveError>;
    /// Opens it for reading.
    ///
    /// # Errors
    /// [`ArchiveError`].
    async fn open(&self, caller: &Caller) -> Result<Arc<dyn OpenInstance>, ArchiveError>;
}

/// A version opened for reading.
#[async_trait]
pub trait OpenInstance: Debug + Send + Sync {
    /// Bytes of the Part 10 file.
    fn file_length(&self) -> u64;
    /// Whether offsets of bulk values count in inflated space.
    fn inflated(&self) -> bool;
    /// The Part 10 file, byte for byte.
    fn file(self: Arc<Self>) -> CheckedBytes;
    /// One frame as stored, by index from 0, with its length; `None` past the last.
    ///
    /// # Errors
    /// [`ArchiveError`].
    async fn frame(self: Arc<Self>, index: u64) -> Result<Option<(u64, CheckedBytes)>, ArchiveError>;
    /// A range of the content (inflated where [`OpenInstance::inflated`]); `None` where it is not within it.
    ///
    /// # Errors
    /// [`ArchiveError`].
    async fn bulk(self: Arc<Self>, offset: u64, length: u64) -> Result<Option<CheckedBytes>, ArchiveError>;
    /// The header as one DICOM JSON object; URLs of bulk values begin with
    /// [`BULK_URL_TOKEN`](archive_core::dicom::scan::BULK_URL_TOKEN).
    ///
    /// # Errors
    /// [`ArchiveError`].
    async fn header_json(self: Arc<Self>) -> Result<Bytes, ArchiveError>;
}
