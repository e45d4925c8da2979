//! One version in a pack, opened for reading: its units, its frames, its prefix.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::codec::{Method, open_frame_behind};
use super::error::Flaw;
use super::format::{FRAME_FRAGMENTS_MAX, RUN_BYTES_MAX, RUN_STORED_MAX, TABLES_PREFETCH_MAX};
use super::index_line::{Member, Rows, TablePlace, check_unit};
use super::place::IndexedVersion;
use super::reader::Inner;
use super::tables::{BlockRow, StoredUnit, row_of};
use crate::dicom::cut::{Fragment, Frame};
use crate::identifiers::UnitDigest;
use crate::instance::VersionFacts;
use crate::reading::{ReadError, VersionReader};
use crate::rows::FixedRow as _;

/// A version whose bytes are in a pack.
#[derive(Debug)]
pub struct PackedVersion {
    pack: Arc<Inner>,
    indexed: IndexedVersion,
    member: Member,
    /// The run of units that was read last, by its offset in the member: small reads often follow each other.
    last: Mutex<Option<(u64, Bytes)>>,
}

impl PackedVersion {
    pub(crate) fn new(pack: Arc<Inner>, indexed: IndexedVersion, member: Member) -> Self {
        Self { pack, indexed, member, last: Mutex::new(None) }
    }

    /// Its line of the index.
    #[must_use]
    pub const fn indexed(&self) -> &IndexedVersion {
        &self.indexed
    }

    /// Its facts.
    #[must_use]
    pub const fn facts(&self) -> &VersionFacts {
        &self.indexed.facts
    }

    /// Preamble, `DICM` and meta group of the file as the pack has it: what came with the lowest-numbered receipt of this
    /// pack, or was composed from it. The file is this and then the content.
    #[must_use]
    pub fn prefix(&self) -> &[u8] {
        &self.member.prefix
    }

    fn prefix_length(&self) -> u64 {
        self.member.prefix.len() as u64
    }

    fn bad(&self, what: &str) -> ReadError {
        self.pack.not_understood(format!("line {} of the index {what}", self.indexed.line))
    }

    /// A row of a table.
    async fn row<R: BlockRow>(&self, rows: &Rows<R>, index: u64) -> Result<Option<R>, ReadError> {
        match rows {
            Rows::Inline(rows) => Ok(usize::try_from(index).ok().and_then(|index| rows.get(index).copied())),
            Rows::Blocks(place) if index >= place.rows => Ok(None),
            Rows::Blocks(place) => {
                let block = self.block(place, index / R::PER_BLOCK).await?;
                let row = row_of(&block, index % R::PER_BLOCK);
                row.map(Some).ok_or_else(|| self.bad("has a table that is shorter than it says"))
            }
        }
    }

    /// A block of a table, by index within the table. While the tables of this version are small, all of them are fetched
    /// in that request.
    async fn block(&self, place: &TablePlace, index: u64) -> Result<Bytes, ReadError> {
        let block = usize::try_from(u64::from(place.block) + index).unwrap_or(usize::MAX);
        let all = self.all_blocks();
        let blocks = self.pack.root.blocks();
        let stored: u64 = blocks.get(all.clone()).unwrap_or_default().iter().map(|block| block.part.stored).sum();
        let ahead = if stored <= TABLES_PREFETCH_MAX { all } else { block..block + 1 };
        self.pack.block(block, ahead).await
    }

    /// The blocks of this version's tables: units, fragments, frames follow each other.
    fn all_blocks(&self) -> Range<usize> {
        let (Rows::Blocks(units), Rows::Blocks(frames)) = (&self.member.units, &self.member.frames) else {
            return 0..0;
        };
        let end = u64::from(frames.block).saturating_add(frames.blocks::<Frame>());
        usize::try_from(units.block).unwrap_or(usize::MAX)..usize::try_from(end).unwrap_or(usize::MAX)
    }

    /// The units from the one that holds a byte of the member on: as many as are stored side by side, are wanted, and
    /// make one request of bounded size; at least one.
    async fn units_for(&self, want: Range<u64>) -> Result<Vec<StoredUnit>, ReadError> {
        match &self.member.units {
            Rows::Inline(units) => {
                let first = units.partition_point(|unit| unit.end() <= want.start);
                Ok(run_of(units.iter().skip(first).copied(), &want))
            }
            Rows::Blocks(place) => {
                let blocks = place.blocks::<StoredUnit>();
                let first = u64::from(place.block);
                let listed = usize::try_from(first).ok().zip(usize::try_from(first + blocks).ok());
                let listed =
                    listed.and_then(|(first, end)| self.pack.root.blocks().get(first..end)).unwrap_or_default();
                let index = listed.partition_point(|block| block.first.is_some_and(|first| first <= want.start));
                let index = index.checked_sub(1).ok_or_else(|| self.bad("has units with a gap"))?;
                let block = self.block(place, index as u64).await?;
                let row = |index: u64| row_of::<StoredUnit>(&block, index);
                let rows = (block.len() / StoredUnit::WIDTH) as u64;
                let start = partition(rows, |index| row(index).is_some_and(|unit| unit.end() <= want.start));
                Ok(run_of((start..rows).map_while(row), &want))
            }
        }
    }

    /// Fetches and checks a run of units.
    async fn open_units(&self, run: &[StoredUnit]) -> Result<Bytes, ReadError> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(Bytes::new()) };
        let base = self.member.offset;
        let range = base.saturating_add(first.stored_offset)..base.saturating_add(last.stored_end());
        let (method, line) = (self.member.method, self.indexed.line);
        let (first, run) = (*first, run.to_vec());
        let bytes = run.iter().fold(0_u64, |sum, unit| sum.saturating_add(unit.length.into()));
        self.pack.checked(range, bytes, move |stored| originals(stored, first, &run, method, line)).await
    }

    /// Bytes of the member (the file, prefix included) from `want.start` on, as far as one run of units goes.
    pub(crate) async fn read_member(&self, want: Range<u64>) -> Result<Bytes, ReadError> {
        let end = want.end.min(self.member.length);
        if want.start >= end {
            return Ok(Bytes::new());
        }
        if let Some(bytes) = self.remembered(want.start, end) {
            return Ok(bytes);
        }
        let run = self.units_for(want.start..end).await?;
        let first = run.first().copied().ok_or_else(|| self.bad("has units with a gap"))?;
        for unit in &run {
            check_unit(unit, &self.member).map_err(|what| self.bad(what))?;
        }
        if first.offset > want.start || first.end() <= want.start {
            return Err(self.bad("has units with a gap"));
        }
        let bytes = match self.open_units(&run).await {
            // Another unit of the run may be what is damaged: the first is read alone.
            Err(ReadError::Damaged { .. }) if run.len() > 1 => self.open_units(&[first]).await?,
            outcome => outcome?,
        };
        *self.last.lock() = Some((first.offset, bytes));
        self.remembered(want.start, end).ok_or_else(|| self.bad("has units with a gap"))
    }

    /// What of a range of the member was read last.
    fn remembered(&self, start: u64, end: u64) -> Option<Bytes> {
        let last = self.last.lock();
        let (offset, bytes) = last.as_ref()?;
        let from = usize::try_from(start.checked_sub(*offset)?).ok()?;
        let to = usize::try_from(end.saturating_sub(*offset)).unwrap_or(usize::MAX).min(bytes.len());
        (from < to).then(|| bytes.slice(from..to))
    }
}

/// The originals of units that are stored side by side, each checked against its digest. Units that were checked before
/// fit one run, so their lengths are no claim of unchecked bytes.
fn originals(stored: &Bytes, first: StoredUnit, run: &[StoredUnit], method: Method, line: u32) -> Result<Bytes, Flaw> {
    let bytes = match method {
        Method::Stored => stored.clone(),
        Method::Zstd => {
            let length = run.iter().map(|unit| unit.length as usize).sum();
            let mut bytes = Vec::with_capacity(length);
            for unit in run {
                let from = usize::try_from(unit.stored_offset - first.stored_offset).unwrap_or(usize::MAX);
                let to = usize::try_from(unit.stored_end() - first.stored_offset).unwrap_or(usize::MAX);
                let frame = stored.get(from..to).ok_or_else(|| flaw(unit, line))?;
                bytes = open_frame_behind(frame, unit.length as usize, bytes).ok_or_else(|| flaw(unit, line))?;
            }
            bytes.into()
        }
    };
    let mut at = 0;
    for unit in run {
        let end = at + unit.length as usize;
        let original = bytes.get(at..end).ok_or_else(|| flaw(unit, line))?;
        if UnitDigest::of(original) != unit.digest {
            return Err(flaw(unit, line));
        }
        at = end;
    }
    Ok(bytes)
}

fn flaw(unit: &StoredUnit, line: u32) -> Flaw {
    Flaw::Damaged(format!("the unit at byte {} of version {line}", unit.offset))
}

/// The longest run of units at the front that fits one request and is wanted; the first always.
fn run_of(units: impl Iterator<Item = StoredUnit>, want: &Range<u64>) -> Vec<StoredUnit> {
    let mut run: Vec<StoredUnit> = Vec::new();
    for unit in units {
        if let (Some(first), Some(last)) = (run.first(), run.last()) {
            let goes_on = unit.offset == last.end()
                && unit.offset < want.end
                && unit.stored_offset == last.stored_end()
                && unit.stored_end().saturating_sub(first.stored_offset) <= RUN_STORED_MAX
                && unit.end().saturating_sub(first.offset) <= RUN_BYTES_MAX;
            if !goes_on {
                break;
            }
        }
        run.push(unit);
    }
    run
}

/// The first index below `count` for which `before` is false; it must be true up to there.
fn partition(count: u64, before: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[async_trait]
impl VersionReader for PackedVersion {
    async fn read(&self, want: Range<u64>) -> Result<Bytes, ReadError> {
        let shift = self.prefix_length();
        self.read_member(want.start.saturating_add(shift)..want.end.saturating_add(shift)).await
    }

    async fn frame(&self, index: u64) -> Result<Option<Vec<Fragment>>, ReadError> {
        let Some(frame) = self.row(&self.member.frames, index).await? else { return Ok(None) };
        if frame.fragment_count > FRAME_FRAGMENTS_MAX {
            return Err(self.bad("has a frame in more fragments than are read at once"));
        }
        let first = u64::from(frame.first_fragment);
        let shift = if self.indexed.facts.inflated { 0 } else { self.prefix_length() };
        let mut fragments = Vec::new();
        for index in first..first + u64::from(frame.fragment_count) {
            let fragment = self.row(&self.member.fragments, index).await?;
            let fragment = fragment.ok_or_else(|| self.bad("has a frame without fragments"))?;
            let offset = fragment.offset.checked_sub(shift).ok_or_else(|| self.bad("has a fragment in its prefix"))?;
            let end = offset.checked_add(fragment.length);
            if end.is_none_or(|end| !self.indexed.facts.inflated && end > self.indexed.facts.content_length) {
                return Err(self.bad("has a fragment outside its content"));
            }
            fragments.push(Fragment { offset, length: fragment.length });
        }
        Ok(Some(fragments))
    }
}
