//! CONTRACT SKETCH for the doors; bodies come with the façade.
#![allow(missing_docs, clippy::todo, unused_variables)]

use std::sync::Arc;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::caller::{Caller, Door, SourceKey};
use crate::dicom::scan::{InstanceKeys, ScanError, ScanWarning};
pub use crate::dicom::scan::Input;
use crate::identifiers::*;
use crate::instance::{VersionFacts, HeldReceipt};
use crate::query::{Page, Query, QueryError};
use crate::reading::ReadError;

/// What went wrong, by what the caller should do.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The input was refused; nothing of it was stored.
    #[error("refused: {0}")]
    Refused(#[from] ScanError),
    /// The door's words and the data set disagree.
    #[error("refused: the {what} announced is not that of the data set ({announced} and {found}); nothing was stored")]
    Mismatch { what: &'static str, announced: String, found: String },
    /// No room: disk full, journal or overlay at its cap. Usable again when there is room.
    #[error("out of resources: {0}")]
    Full(String),
    /// The archive does not receive any more (failed sync, read-only journal, shutting down).
    #[error("not receiving: {0}")]
    NotReceiving(String),
    /// The catalog is being rebuilt and the thing was not found so far: it may exist.
    #[error("the catalog is being rebuilt ({percent} %): ask again in {retry_after_seconds} s")]
    Rebuilding { percent: u8, retry_after_seconds: u32 },
    #[error("{0} is not in this archive")]
    NotFound(String),
    #[error("query: {0}")]
    Query(#[from] QueryError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("internal: {0}")]
    Internal(String),
}

/// What a door knows before the bytes come.
#[derive(Clone, Debug)]
pub struct Incoming {
    pub door: Door,
    /// Calling AE title, HTTP user or token, label of an import.
    pub source: SourceKey,
    /// File or bare data set.
    pub form: Input,
    /// The AE title that was called.
    pub local_ae: Option<AeTitle>,
    /// Affected SOP Instance UID of the C-STORE-RQ: other than the data set's is `Mismatch`.
    pub expected_sop: Option<SopUid>,
    /// Affected SOP Class UID: other than the data set's is stored and said in `Received::class_differs`.
    pub expected_class: Option<SopClassUid>,
    /// STOW-RS to a study: other than the data set's is `Mismatch`.
    pub expected_study: Option<StudyUid>,
}

/// An instance that is durable now.
#[derive(Clone, Debug)]
#[must_use]
pub struct Received {
    pub receipt: ReceiptNumber,
    pub keys: InstanceKeys,
    pub transfer_syntax: TransferSyntaxUid,
    pub content: ContentId,
    /// The same version was held already; a receipt was added.
    pub duplicate: bool,
    /// The class announced is another than the data set's.
    pub class_differs: bool,
    pub warnings: Vec<ScanWarning>,
}

/// An instance on its way in. Dropping it forgets it.
#[derive(Debug)]
pub struct Receiving {}

impl Receiving {
    /// Hands over the next bytes; waits where memory or disk is short.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), ArchiveError> { todo!() }
    /// Ends the instance; answers when it is durable (promise I1).
    pub async fn finish(self) -> Result<Received, ArchiveError> { todo!() }
}

/// Which instances are meant.
#[derive(Clone, Debug)]
pub struct Selection {
    pub study: StudyUid,
    pub series: Option<SeriesUid>,
    pub sop: Option<SopUid>,
    /// Also versions that are not current.
    pub all_versions: bool,
}

/// A version that can be opened.
#[derive(Clone, Debug)]
pub struct Held {
    pub keys: InstanceKeys,
    pub transfer_syntax: TransferSyntaxUid,
    pub content: ContentId,
    pub content_length: u64,
    pub frame_count: u64,
    pub current: bool,
    // place: private
}

/// A version opened for reading. Everything it gives was checked (promise I9).
#[derive(Debug)]
pub struct OpenVersion {}

impl OpenVersion {
    pub fn facts(&self) -> &VersionFacts { todo!() }
    /// Receipts with their prefixes, lowest number first.
    pub fn receipts(&self) -> &[HeldReceipt] { todo!() }
    /// Bytes of the Part 10 file.
    pub fn file_length(&self) -> u64 { todo!() }
    /// The Part 10 file, byte for byte.
    pub fn file(self: Arc<Self>) -> BoxStream<'static, Result<Bytes, ArchiveError>> { todo!() }
    /// One frame as stored, its fragments joined, index from 0, with its length; None past the last.
    pub async fn frame(self: Arc<Self>, index: u64) -> Result<Option<(u64, BoxStream<'static, Result<Bytes, ArchiveError>>)>, ArchiveError> { todo!() }
    /// Any range of the content (inflated content for deflated versions when `inflated`).
    pub async fn bulk(self: Arc<Self>, offset: u64, length: u64) -> Result<Option<BoxStream<'static, Result<Bytes, ArchiveError>>>, ArchiveError> { todo!() }
    /// Header as one DICOM JSON object, UTF-8, bulk by reference: each URL begins with BULK_URL_TOKEN, to be replaced.
    pub async fn header_json(self: Arc<Self>) -> Result<Bytes, ArchiveError> { todo!() }
}

/// The archive. Cheap to clone behind `Arc`.
#[derive(Debug)]
pub struct Archive {}

impl Archive {
    /// Begins to receive one instance.
    pub async fn receive(self: &Arc<Self>, caller: &Caller, incoming: Incoming) -> Result<Receiving, ArchiveError> { todo!() }
    pub async fn find(&self, caller: &Caller, query: &Query) -> Result<Page, ArchiveError> { todo!() }
    /// Versions selected, in the order (series UID, instance number, SOP UID), up to 500 a call; `after` is the cursor that the last call gave.
    pub async fn select(&self, caller: &Caller, selection: &Selection, after: Option<SelectCursor>) -> Result<(Vec<Held>, Option<SelectCursor>), ArchiveError> { todo!() }
    pub async fn open(&self, caller: &Caller, held: &Held) -> Result<Arc<OpenVersion>, ArchiveError> { todo!() }
}

#[derive(Clone, Debug)]
pub struct SelectCursor(pub String);
