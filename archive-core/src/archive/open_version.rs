//! A version opened for reading: the file, its frames, its bulk values, its header. Everything that leaves here was
//! checked by the reader beneath (promise I9), and nothing is held that grows with the size of the instance (I12).

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};

use super::error::ArchiveError;
use super::inflated::Inflated;
use super::read_ahead::{Ahead, ReadAhead};
use super::several_places::SeveralPlaces;
use crate::dicom::cut::Fragment;
use crate::dicom::prefix;
use crate::dicom::scan::{Input, ScanLimits, ScanOptions, Scanner};
use crate::instance::{HeldReceipt, VersionFacts};
use crate::off_runtime;
use crate::pack::PackReader;
use crate::reading::{PIECE_BYTES_MAX, VersionReader};

/// Bytes as they are read; ends early only with an error.
pub type ByteStream = BoxStream<'static, Result<Bytes, ArchiveError>>;

/// A header made on demand is no longer than this (bytes of JSON).
const HEADER_ON_DEMAND_MAX: usize = 64 * 1024 * 1024;

/// A version opened for reading.
#[derive(Debug)]
pub struct OpenVersion {
    facts: VersionFacts,
    receipts: Vec<HeldReceipt>,
    reader: Arc<dyn VersionReader>,
    /// The pack that may hold the header, and its line there.
    header: Option<(PackReader, u32)>,
    means: Means,
}

/// What reading needs besides the bytes.
#[derive(Clone, Debug)]
pub(super) struct Means {
    /// For a header that is made on demand.
    pub(super) scratch: std::path::PathBuf,
    pub(super) ahead: ReadAhead,
}

/// One distinct file of a version: the same content may have come in files with several prefixes.
#[derive(Clone, Debug)]
pub struct DistinctFile {
    /// Preamble, `DICM` and meta group.
    pub prefix: Bytes,
    /// The lowest-numbered receipt that brought it.
    pub receipt: crate::identifiers::ReceiptNumber,
}

impl OpenVersion {
    pub(super) fn new(
        facts: VersionFacts,
        mut receipts: Vec<HeldReceipt>,
        reader: Arc<dyn VersionReader>,
        header: Option<(PackReader, u32)>,
        means: Means,
    ) -> Arc<Self> {
        receipts.sort_by_key(|held| held.receipt.number);
        Arc::new(Self { facts, receipts, reader, header, means })
    }

    /// The same, reading from these where the first place fails.
    pub(crate) fn or_else_from(self: Arc<Self>, others: Vec<Arc<dyn VersionReader>>) -> Arc<Self> {
        if others.is_empty() {
            return self;
        }
        Arc::new(Self {
            facts: self.facts.clone(),
            receipts: self.receipts.clone(),
            reader: Arc::new(SeveralPlaces::new(Arc::clone(&self.reader), others)),
            header: self.header.clone(),
            means: self.means.clone(),
        })
    }

    /// What it is.
    #[must_use]
    pub fn facts(&self) -> &VersionFacts {
        &self.facts
    }

    /// Its receipts with their prefixes, lowest number first.
    #[must_use]
    pub fn receipts(&self) -> &[HeldReceipt] {
        &self.receipts
    }

    /// The distinct files of this version, the one of the lowest-numbered receipt first: for a bare data set with the prefix
    /// composed from it. A later bare data set adds none, for with it no file came that could be given back.
    #[must_use]
    pub fn distinct_files(&self) -> Vec<DistinctFile> {
        let mut files: Vec<DistinctFile> = Vec::new();
        for held in &self.receipts {
            let bytes = match &held.prefix {
                Some(prefix) => prefix.clone(),
                None if files.is_empty() => prefix::compose(&self.facts, &held.receipt),
                None => continue,
            };
            if !files.iter().any(|file| file.prefix == bytes) {
                files.push(DistinctFile { prefix: bytes.into(), receipt: held.receipt.number });
            }
        }
        files
    }

    /// Bytes of the Part 10 file.
    #[must_use]
    pub fn file_length(&self) -> u64 {
        self.first_prefix().len() as u64 + self.facts.content_length
    }

    fn first_prefix(&self) -> Bytes {
        self.distinct_files().into_iter().next().map(|file| file.prefix).unwrap_or_default()
    }

    /// The Part 10 file, byte for byte as its lowest-numbered receipt brought it.
    #[must_use]
    pub fn file(self: Arc<Self>) -> ByteStream {
        let prefix = self.first_prefix();
        self.file_with(prefix)
    }

    /// The file with one of its prefixes. Its first bytes begin to be read at once.
    #[must_use]
    pub fn file_with(self: Arc<Self>, prefix: Bytes) -> ByteStream {
        let content = self.content();
        stream::once(async move { Ok(prefix) })
            .filter(|first| {
                let keep = first.as_ref().map_or(true, |bytes| !bytes.is_empty());
                futures::future::ready(keep)
            })
            .chain(content)
            .boxed()
    }

    /// The data set as it came.
    #[must_use]
    pub fn content(self: Arc<Self>) -> ByteStream {
        let range = 0..self.facts.content_length;
        let ahead = self.begin(&range);
        self.pieces(range, ahead)
    }

    /// One frame as stored, its fragments joined, by index from 0, with its length; `None` past the last, and where
    /// frames cannot be told apart.
    ///
    /// # Errors
    /// [`ArchiveError::Read`].
    pub async fn frame(self: Arc<Self>, index: u64) -> Result<Option<(u64, ByteStream)>, ArchiveError> {
        let Some(fragments) = self.reader.frame(index).await? else { return Ok(None) };
        let length = fragments.iter().map(|fragment| fragment.length).sum();
        Ok(Some((length, self.fragments(fragments))))
    }

    fn fragments(self: Arc<Self>, fragments: Vec<Fragment>) -> ByteStream {
        let ranges = stream::iter(fragments).map(|fragment| fragment.offset..fragment.offset + fragment.length);
        ranges.flat_map(move |range| Arc::clone(&self).range(range)).boxed()
    }

    /// A value by its place in the content, or in the inflated content of a deflated version; `None` where it does not
    /// lie within.
    ///
    /// # Errors
    /// None today; reading may fail later, in the stream.
    pub fn bulk(self: Arc<Self>, offset: u64, length: u64) -> Result<Option<ByteStream>, ArchiveError> {
        let Some(end) = offset.checked_add(length) else { return Ok(None) };
        if !self.facts.inflated && end > self.facts.content_length {
            return Ok(None);
        }
        Ok(Some(self.range(offset..end)))
    }

    /// A range in the space that fragments and bulk references count in.
    fn range(self: Arc<Self>, range: Range<u64>) -> ByteStream {
        if self.facts.inflated { Inflated::new(self.content(), range).boxed() } else { self.stored(range) }
    }

    /// A range of the content as stored.
    fn stored(self: Arc<Self>, range: Range<u64>) -> ByteStream {
        self.pieces(range, None)
    }

    /// A range piece by piece; `ahead` is the first piece, if it is on its way. While a piece is used the next one comes.
    fn pieces(self: Arc<Self>, range: Range<u64>, ahead: Option<Ahead>) -> ByteStream {
        stream::try_unfold((range, ahead), move |(range, ahead)| {
            let this = Arc::clone(&self);
            async move {
                if range.is_empty() {
                    return Ok(None);
                }
                let bytes = match ahead {
                    Some(ahead) => ahead.taken().await?,
                    None => this.piece(range.clone()).await?,
                };
                let rest = range.start.saturating_add(bytes.len() as u64)..range.end;
                let ahead = this.begin(&rest);
                Ok(Some((bytes, (rest, ahead))))
            }
        })
        .boxed()
    }

    /// Begins to read what comes first of a range, where there is room for it.
    fn begin(self: &Arc<Self>, range: &Range<u64>) -> Option<Ahead> {
        if range.is_empty() {
            return None;
        }
        let (this, range) = (Arc::clone(self), range.clone());
        let bytes = PIECE_BYTES_MAX.min(range.end - range.start);
        self.means.ahead.begin(bytes, async move { this.piece(range).await })
    }

    /// Bytes from the beginning of a range on; at least one.
    async fn piece(&self, range: Range<u64>) -> Result<Bytes, ArchiveError> {
        let bytes = self.reader.read(range).await?;
        if bytes.is_empty() {
            return Err(ArchiveError::Internal(format!("content of {} ends early", self.facts.version.content)));
        }
        Ok(bytes)
    }

    /// The header as one DICOM JSON object, UTF-8, bulk values by reference
    /// ([`crate::dicom::scan::BULK_URL_TOKEN`]). Where a pack does not hold it, it is made from the bytes.
    ///
    /// # Errors
    /// [`ArchiveError::Read`]; [`ArchiveError::Refused`] where the bytes cannot be scanned any more, which is a defect.
    pub async fn header_json(self: Arc<Self>) -> Result<Bytes, ArchiveError> {
        if let Some((pack, line)) = &self.header {
            match pack.header_json(*line).await {
                Ok(Some(header)) => return Ok(header),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "a header could not be read from its pack; it is made from the content");
                }
            }
        }
        let assumed_charset = self.receipts.first().and_then(|held| held.receipt.resolved.assumed_charset.clone());
        let options = ScanOptions {
            input: Input::DataSet(self.facts.version.transfer_syntax.clone()),
            scratch: self.means.scratch.clone(),
            limits: ScanLimits { header_json_bytes: HEADER_ON_DEMAND_MAX, ..ScanLimits::default() },
            assumed_charset,
            header_json: true,
        };
        let mut scanner = Scanner::new(options).map_err(|error| ArchiveError::internal("scratch space", error))?;
        let mut content = self.content();
        while let Some(bytes) = content.next().await {
            let bytes = bytes?;
            let pushed = off_runtime::compute(bytes.len() as u64, move || {
                let outcome = scanner.push(&bytes);
                (scanner, outcome)
            });
            let outcome;
            (scanner, outcome) = pushed.await.map_err(|error| ArchiveError::internal("scanning a header", error))?;
            outcome?;
        }
        let scan = scanner.finish()?;
        scan.header_json.map(Bytes::from).ok_or_else(|| ArchiveError::Full("the header is over 64 MiB as JSON".into()))
    }
}
