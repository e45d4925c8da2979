//! The three tables of a version: units, fragments, frames, as rows of `vellum/frames.bin` (docs/FORMAT.md, "Tables").
//!
//! A block holds rows of one table and as many as fit whole into 64 KiB; so the block of a row is found by one
//! division, and only that block is fetched.

use std::io;

use super::format::BLOCK_BYTES;
use crate::dicom::cut::{Fragment, Frame, UnitKind};
use crate::identifiers::UnitDigest;
use crate::rows::FixedRow;

/// A unit of a member: where its original bytes are in the file, and where its stored form is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StoredUnit {
    /// First byte in the member (the Part 10 file, prefix included).
    pub(crate) offset: u64,
    /// Bytes, at most [`crate::dicom::cut::UNIT_MAX`].
    pub(crate) length: u32,
    /// First byte of the stored form, from the start of the member's stored bytes.
    pub(crate) stored_offset: u64,
    /// Bytes of the stored form.
    pub(crate) stored_length: u32,
    /// Header or bulk.
    pub(crate) kind: UnitKind,
    /// BLAKE3 of the original bytes, cut to 128 bits.
    pub(crate) digest: UnitDigest,
}

impl StoredUnit {
    /// One past its last byte in the member.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.length.into())
    }

    /// One past the last byte of its stored form.
    pub(crate) fn stored_end(&self) -> u64 {
        self.stored_offset.saturating_add(self.stored_length.into())
    }
}

/// Bit of a unit's length field that says: header run.
const HEADER_BIT: u32 = 1 << 31;

impl FixedRow for StoredUnit {
    const WIDTH: usize = 40;
    /// offset u64, stored offset u64, length u32 (bit 31: header), stored length u32, digest 16 bytes.
    fn encode(&self, into: &mut [u8]) {
        let header = if self.kind == UnitKind::Header { HEADER_BIT } else { 0 };
        into[..8].copy_from_slice(&self.offset.to_le_bytes());
        into[8..16].copy_from_slice(&self.stored_offset.to_le_bytes());
        into[16..20].copy_from_slice(&(self.length | header).to_le_bytes());
        into[20..24].copy_from_slice(&self.stored_length.to_le_bytes());
        into[24..40].copy_from_slice(self.digest.as_raw());
    }
    fn decode(from: &[u8]) -> Self {
        let wide = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| from[at + index]));
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|index| from[at + index]));
        Self {
            offset: wide(0),
            stored_offset: wide(8),
            length: word(16) & !HEADER_BIT,
            stored_length: word(20),
            kind: if word(16) & HEADER_BIT == 0 { UnitKind::Bulk } else { UnitKind::Header },
            digest: UnitDigest::from_raw(std::array::from_fn(|index| from[24 + index])),
        }
    }
}

/// A row that may lie in a block.
pub(crate) trait BlockRow: FixedRow {
    /// Rows in a full block.
    const PER_BLOCK: u64 = (BLOCK_BYTES / Self::WIDTH) as u64;
    /// What the root says of a block that begins with this row.
    fn first(&self) -> Option<u64>;
}

impl BlockRow for StoredUnit {
    fn first(&self) -> Option<u64> {
        Some(self.offset)
    }
}

impl BlockRow for Fragment {
    fn first(&self) -> Option<u64> {
        Some(self.offset)
    }
}

impl BlockRow for Frame {
    fn first(&self) -> Option<u64> {
        None
    }
}

/// Gathers rows into blocks and hands each full one over, then the rest.
#[derive(Debug)]
pub(crate) struct BlockCutter {
    bytes: Vec<u8>,
    first: Option<u64>,
}

impl BlockCutter {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::with_capacity(BLOCK_BYTES), first: None }
    }

    /// Adds a row; `full` gets the block before it once no further row fits.
    pub(crate) fn push<R: BlockRow, E: From<io::Error>>(
        &mut self,
        row: R,
        full: impl FnMut(Option<u64>, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.bytes.len() + R::WIDTH > BLOCK_BYTES {
            self.flush(full)?;
        }
        let start = self.bytes.len();
        if start == 0 {
            self.first = row.first();
        }
        self.bytes.resize(start + R::WIDTH, 0);
        row.encode(self.bytes.get_mut(start..).unwrap_or_default());
        Ok(())
    }

    /// Hands over what is left.
    pub(crate) fn flush<E>(&mut self, mut full: impl FnMut(Option<u64>, &[u8]) -> Result<(), E>) -> Result<(), E> {
        if !self.bytes.is_empty() {
            full(self.first, &self.bytes)?;
            self.bytes.clear();
        }
        Ok(())
    }
}

/// The row at an index within a block, if the block reaches that far.
pub(crate) fn row_of<R: BlockRow>(block: &[u8], index: u64) -> Option<R> {
    let start = usize::try_from(index).ok()?.checked_mul(R::WIDTH)?;
    block.get(start..start.checked_add(R::WIDTH)?).map(R::decode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_row_reads_as_it_was_written() {
        for kind in [UnitKind::Header, UnitKind::Bulk] {
            let unit = StoredUnit {
                offset: u64::MAX - 3,
                length: 4 << 20,
                stored_offset: 77 << 40,
                stored_length: (4 << 20) + 99,
                kind,
                digest: UnitDigest::of(b"x"),
            };
            let mut row = [0; 40];
            unit.encode(&mut row);
            assert_eq!(StoredUnit::decode(&row), unit);
        }
    }

    #[test]
    fn a_block_holds_whole_rows_only() {
        let mut cutter = BlockCutter::new();
        let mut blocks = Vec::new();
        for offset in 0..4000 {
            let unit = StoredUnit {
                offset,
                length: 1,
                stored_offset: offset,
                stored_length: 1,
                kind: UnitKind::Bulk,
                digest: UnitDigest::of(b""),
            };
            cutter
                .push(unit, |first, block| {
                    blocks.push((first, block.to_vec()));
                    Ok::<(), io::Error>(())
                })
                .unwrap();
        }
        cutter
            .flush(|first, block| {
                blocks.push((first, block.to_vec()));
                Ok::<(), io::Error>(())
            })
            .unwrap();
        assert_eq!(StoredUnit::PER_BLOCK, 1638);
        assert_eq!(
            blocks.iter().map(|(first, block)| (*first, block.len())).collect::<Vec<_>>(),
            [(Some(0), 1638 * 40), (Some(1638), 1638 * 40), (Some(3276), 724 * 40)]
        );
        assert_eq!(row_of::<StoredUnit>(&blocks[1].1, 5).unwrap().offset, 1643);
        assert!(row_of::<StoredUnit>(&blocks[2].1, 724).is_none());
    }
}
