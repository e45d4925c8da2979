//! Reading what is not sealed yet: content and cut list of a live receipt, every byte checked before it is given.
//!
//! The commit record has the digest of the cut list's blocks, the cut list the digest of every unit. What does not
//! have its digest is read from the mirror; if that has it neither, it is damage and nothing of it leaves.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use super::frame::digest;
use super::record::{Holder, Place};
use super::state::Shared;
use super::tables::{BLOCK_BYTES, DIGEST_BYTES, Which};
use crate::dicom::cut::{CutList, Fragment, Frame, UNIT_MAX, Unit};
use crate::identifiers::ReceiptNumber;
use crate::reading::{ReadError, VersionReader};
use crate::rows::{FixedRow, Table};

/// Small units are given together up to about this (bytes), so that a read is worth its way.
const GATHER_BYTES: usize = 1024 * 1024;

/// The content of one receipt, opened. All methods block; [`JournalReader`] is for the runtime.
#[derive(Debug)]
pub struct JournalContent {
    receipt: ReceiptNumber,
    place: Arc<Place>,
    scratch: std::path::PathBuf,
    /// The journal's file, then the mirror's.
    files: Vec<Arc<File>>,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    digests: Option<Arc<Vec<u8>>>,
    /// The block last used of each table.
    blocks: [Option<(u64, Arc<Vec<u8>>)>; 3],
}

impl JournalContent {
    pub(super) fn open(shared: &Shared, receipt: ReceiptNumber) -> Result<Self, ReadError> {
        let not_held = || ReadError::Local {
            object: format!("receipt {receipt}"),
            source: io::Error::new(io::ErrorKind::NotFound, "it is not in the journal (any more)"),
        };
        let (place, twin) = {
            let state = shared.state.lock();
            let live = state.live.get(&receipt).ok_or_else(not_held)?;
            let twin = match &live.place.holder {
                Holder::Segment(number) => state.segments.get(number).map(|segment| segment.files.clone()),
                Holder::Spill(_) => None,
            };
            (Arc::clone(&live.place), twin)
        };
        let files = match (&place.holder, twin) {
            (Holder::Spill(name), _) => {
                let mut opened = shared.folders().map(|folder| File::open(folder.spill(name)).map(Arc::new));
                let first = opened.next().unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()));
                match (first, opened.find_map(Result::ok)) {
                    (Ok(main), mirror) => std::iter::once(main).chain(mirror).collect(),
                    (Err(_), Some(mirror)) => vec![mirror],
                    (Err(source), None) => {
                        return Err(ReadError::Local { object: place.holder.to_string(), source });
                    }
                }
            }
            (Holder::Segment(_), Some(twin)) => twin.files().cloned().collect(),
            (Holder::Segment(_), None) => return Err(not_held()),
        };
        let scratch = shared.options.scratch.clone();
        Ok(Self { receipt, place, scratch, files, cache: Mutex::default() })
    }

    /// Bytes of content.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.place.length
    }

    /// Content bytes from `want.start` on, as [`VersionReader::read`].
    ///
    /// # Errors
    /// [`ReadError::Damaged`] if what lies there does not have its digest, [`ReadError::Local`].
    pub fn read_at(&self, want: Range<u64>) -> Result<Bytes, ReadError> {
        let end = want.end.min(self.place.length);
        let mut at = want.start;
        let mut gathered = BytesMut::new();
        if at >= end {
            return Ok(Bytes::new());
        }
        let mut index = self.unit_at(at)?;
        while at < end && gathered.len() < GATHER_BYTES {
            let Some(unit) = self.row::<Unit>(Which::Units, index)? else { break };
            let unit_end = unit.offset.saturating_add(u64::from(unit.length));
            let sane = unit.offset <= at && at < unit_end && unit_end <= self.place.length;
            if !sane || u64::from(unit.length) > UNIT_MAX {
                return Err(self.not_understood("a unit that does not follow the one before"));
            }
            let what = || format!("unit {index} of receipt {}", self.receipt);
            let whole =
                self.checked(self.place.offset + unit.offset, unit.length.into(), unit.digest.as_raw(), what)?;
            let wanted = slice_of(&whole, at - unit.offset, end.min(unit_end) - unit.offset);
            if gathered.is_empty() && unit_end >= end {
                let from = usize::try_from(at - unit.offset).unwrap_or(0);
                let length = wanted.len();
                return Ok(Bytes::from(whole).slice(from..from + length));
            }
            gathered.extend_from_slice(wanted);
            at = unit_end;
            index += 1;
        }
        Ok(gathered.freeze())
    }

    /// The fragments of a frame, as [`VersionReader::frame`].
    ///
    /// # Errors
    /// As [`JournalContent::read_at`].
    pub fn fragments_of(&self, frame: u64) -> Result<Option<Vec<Fragment>>, ReadError> {
        let Some(frame) = self.row::<Frame>(Which::Frames, frame)? else { return Ok(None) };
        let first = u64::from(frame.first_fragment);
        let range = first..first + u64::from(frame.fragment_count);
        if range.end > self.place.tables.fragments {
            return Err(self.not_understood("a frame whose fragments are past the last"));
        }
        let mut fragments = Vec::new();
        for index in range {
            fragments.extend(self.row::<Fragment>(Which::Fragments, index)?);
        }
        Ok(Some(fragments))
    }

    /// The cut list, read back and checked; large tables spill to the journal's scratch folder.
    ///
    /// # Errors
    /// As [`JournalContent::read_at`].
    pub fn cut(&self) -> Result<CutList, ReadError> {
        Ok(CutList {
            units: self.table(Which::Units)?,
            fragments: self.table(Which::Fragments)?,
            frames: self.table(Which::Frames)?,
            inflated: self.place.tables.inflated,
        })
    }

    /// The content from its first byte to its last.
    #[must_use]
    pub fn into_bytes(self) -> JournalContentBytes {
        JournalContentBytes { content: self, at: 0, ready: Bytes::new() }
    }

    fn table<R: FixedRow>(&self, which: Which) -> Result<Table<R>, ReadError> {
        let mut table = Table::with_spill(&self.scratch);
        let scratch = |source| ReadError::Local { object: self.scratch.display().to_string(), source };
        for index in 0..self.place.tables.rows(which) {
            if let Some(row) = self.row(which, index)? {
                table.push(row).map_err(scratch)?;
            }
        }
        Ok(table)
    }

    /// Index of the unit that has a byte of the content, which is within its length.
    fn unit_at(&self, at: u64) -> Result<u64, ReadError> {
        let (mut low, mut high) = (0, self.place.tables.units);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match self.row::<Unit>(Which::Units, middle)? {
                Some(unit) if unit.offset <= at => low = middle,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    fn row<R: FixedRow>(&self, which: Which, index: u64) -> Result<Option<R>, ReadError> {
        if index >= self.place.tables.rows(which) {
            return Ok(None);
        }
        let rows_in_block = (BLOCK_BYTES / R::WIDTH) as u64;
        let block = self.block(which, index / rows_in_block)?;
        let start = usize::try_from(index % rows_in_block).unwrap_or(usize::MAX).saturating_mul(R::WIDTH);
        Ok(block.get(start..).and_then(|rest| rest.get(..R::WIDTH)).map(R::decode))
    }

    fn block(&self, which: Which, index: u64) -> Result<Arc<Vec<u8>>, ReadError> {
        let slot = which as usize;
        let cached = self.cache.lock().blocks.get(slot).cloned().flatten();
        if let Some((_, block)) = cached.filter(|(cached, _)| *cached == index) {
            return Ok(block);
        }
        let digests = self.digests()?;
        let damaged = || self.not_understood("a cut list shorter than its record says");
        let (offset, length, number) = self.place.tables.block(which, index).ok_or_else(damaged)?;
        let at = usize::try_from(number * DIGEST_BYTES).unwrap_or(usize::MAX);
        let expected: [u8; 16] = digests.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or_else(damaged)?;
        let what = || format!("block {number} of the cut list of receipt {}", self.receipt);
        let block = Arc::new(self.checked(offset, length, &expected, what)?);
        if let Some(slot) = self.cache.lock().blocks.get_mut(slot) {
            *slot = Some((index, Arc::clone(&block)));
        }
        Ok(block)
    }

    fn digests(&self) -> Result<Arc<Vec<u8>>, ReadError> {
        if let Some(digests) = self.cache.lock().digests.clone() {
            return Ok(digests);
        }
        let (offset, length) = self.place.tables.digests();
        let what = || format!("the cut list of receipt {}", self.receipt);
        let digests = Arc::new(self.checked(offset, length, &self.place.tables.digest, what)?);
        self.cache.lock().digests = Some(Arc::clone(&digests));
        Ok(digests)
    }

    /// Reads a piece that has a digest: from the journal, else from the mirror.
    fn checked(
        &self,
        offset: u64,
        length: u64,
        expected: &[u8; 16],
        what: impl Fn() -> String,
    ) -> Result<Vec<u8>, ReadError> {
        let damaged = || ReadError::Damaged { object: self.place.holder.to_string(), what: what() };
        let mut failed = None;
        for file in &self.files {
            let mut bytes = vec![0_u8; usize::try_from(length).map_err(|_| damaged())?];
            match file.read_exact_at(&mut bytes, offset) {
                Ok(()) if digest(&bytes) == *expected => return Ok(bytes),
                Ok(()) => {
                    tracing::error!(holder = %self.place.holder, what = what(), "damaged bytes in the journal");
                    failed.get_or_insert_with(damaged);
                }
                Err(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
                    failed.get_or_insert_with(damaged);
                }
                Err(source) => {
                    failed.get_or_insert(ReadError::Local { object: self.place.holder.to_string(), source });
                }
            }
        }
        Err(failed.unwrap_or_else(damaged))
    }

    fn not_understood(&self, found: &str) -> ReadError {
        ReadError::NotUnderstood {
            object: self.place.holder.to_string(),
            what: format!("receipt {} has {found}", self.receipt),
        }
    }
}

fn slice_of(bytes: &[u8], from: u64, to: u64) -> &[u8] {
    let (from, to) = (usize::try_from(from).unwrap_or(usize::MAX), usize::try_from(to).unwrap_or(usize::MAX));
    bytes.get(from..to).unwrap_or_default()
}

pub(super) fn thread_ended(receipt: ReceiptNumber) -> ReadError {
    ReadError::Local { object: format!("receipt {receipt}"), source: io::Error::other("a thread of the journal ended") }
}

/// The content of a receipt, byte after byte. An error of [`Read`] holds the [`ReadError`].
#[derive(Debug)]
pub struct JournalContentBytes {
    content: JournalContent,
    at: u64,
    ready: Bytes,
}

impl Read for JournalContentBytes {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ready.is_empty() {
            self.ready = self.content.read_at(self.at..self.content.length()).map_err(io::Error::other)?;
            self.at += self.ready.len() as u64;
        }
        let given = self.ready.split_to(into.len().min(self.ready.len()));
        if let Some(into) = into.get_mut(..given.len()) {
            into.copy_from_slice(&given);
        }
        Ok(given.len())
    }
}

/// The content of one receipt, for the runtime: every read runs off it.
#[derive(Clone, Debug)]
pub struct JournalReader {
    content: Arc<JournalContent>,
}

impl JournalReader {
    pub(super) fn new(content: JournalContent) -> Self {
        Self { content: Arc::new(content) }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&JournalContent) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let content = Arc::clone(&self.content);
        let done = crate::off_runtime::blocking(move || work(&content)).await;
        done.unwrap_or_else(|_| Err(thread_ended(self.content.receipt)))
    }
}

#[async_trait]
impl VersionReader for JournalReader {
    async fn read(&self, want: Range<u64>) -> Result<Bytes, ReadError> {
        self.blocking(move |content| content.read_at(want)).await
    }

    async fn frame(&self, index: u64) -> Result<Option<Vec<Fragment>>, ReadError> {
        self.blocking(move |content| content.fragments_of(index)).await
    }
}
