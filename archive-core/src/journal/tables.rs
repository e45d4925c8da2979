//! The cut list in the journal: units, fragments and frames as fixed-width rows, in blocks with digests.
//!
//! The three tables lie one after the other, each cut into blocks of 64 KiB (the last of each is shorter), then comes
//! BLAKE3-128 of every block. The commit record has the digest of these digests. So a row of a table of any size is
//! read and checked with one block, and a unit's digest hangs on the commit record.

use std::io;

use serde::{Deserialize, Serialize};

use super::frame::digest;
use crate::dicom::cut::{CutList, Fragment, Frame, Unit};
use crate::rows::{FixedRow, Table};

/// Bytes of a block; a multiple of every row's width.
pub(super) const BLOCK_BYTES: usize = 64 * 1024;
/// Bytes of a block's digest.
pub(super) const DIGEST_BYTES: u64 = 16;
/// A cut list of more bytes goes into a spill file, with its content.
pub(super) const TABLES_INLINE_MAX: u64 = 1024 * 1024;
/// A cut list of fewer rows is encoded on the spot; it is in memory and takes some microseconds.
pub(super) const ROWS_AT_ONCE_MAX: u64 = 1024;

const _: () = assert!(
    BLOCK_BYTES.is_multiple_of(Unit::WIDTH)
        && BLOCK_BYTES.is_multiple_of(Fragment::WIDTH)
        && BLOCK_BYTES.is_multiple_of(Frame::WIDTH)
);

/// Which table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Which {
    Units,
    Fragments,
    Frames,
}

/// Where a cut list lies and how many rows it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct TablesPlace {
    /// First byte in its file.
    pub offset: u64,
    /// Rows of units.
    pub units: u64,
    /// Rows of fragments.
    pub fragments: u64,
    /// Rows of frames.
    pub frames: u64,
    /// Fragments count in inflated space.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inflated: bool,
    /// BLAKE3-128 over the digests of all blocks.
    #[serde(with = "hex16")]
    pub digest: [u8; 16],
}

impl TablesPlace {
    pub(super) const fn rows(&self, which: Which) -> u64 {
        match which {
            Which::Units => self.units,
            Which::Fragments => self.fragments,
            Which::Frames => self.frames,
        }
    }

    const fn bytes(&self, which: Which) -> u64 {
        let width = match which {
            Which::Units => Unit::WIDTH,
            Which::Fragments => Fragment::WIDTH,
            Which::Frames => Frame::WIDTH,
        };
        self.rows(which).saturating_mul(width as u64)
    }

    const fn blocks(&self, which: Which) -> u64 {
        self.bytes(which).div_ceil(BLOCK_BYTES as u64)
    }

    const fn blocks_all(&self) -> u64 {
        self.blocks(Which::Units) + self.blocks(Which::Fragments) + self.blocks(Which::Frames)
    }

    const fn rows_bytes(&self) -> u64 {
        self.bytes(Which::Units).saturating_add(self.bytes(Which::Fragments)).saturating_add(self.bytes(Which::Frames))
    }

    /// Bytes of rows and digests.
    pub(super) const fn stored_bytes(&self) -> u64 {
        self.rows_bytes().saturating_add(self.blocks_all().saturating_mul(DIGEST_BYTES))
    }

    /// Where the digests lie: offset and bytes.
    pub(super) const fn digests(&self) -> (u64, u64) {
        (self.offset.saturating_add(self.rows_bytes()), self.blocks_all().saturating_mul(DIGEST_BYTES))
    }

    /// Where a block lies (offset in the file, bytes), and which digest is its; `None` past the last.
    pub(super) fn block(&self, which: Which, index: u64) -> Option<(u64, u64, u64)> {
        if index >= self.blocks(which) {
            return None;
        }
        let (bytes_before, blocks_before) = match which {
            Which::Units => (0, 0),
            Which::Fragments => (self.bytes(Which::Units), self.blocks(Which::Units)),
            Which::Frames => (
                self.bytes(Which::Units).checked_add(self.bytes(Which::Fragments))?,
                self.blocks(Which::Units) + self.blocks(Which::Fragments),
            ),
        };
        let start = index * BLOCK_BYTES as u64;
        let length = (self.bytes(which) - start).min(BLOCK_BYTES as u64);
        Some((self.offset.checked_add(bytes_before)?.checked_add(start)?, length, blocks_before + index))
    }
}

/// Sixteen bytes as 32 hexadecimal digits.
mod hex16 {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 16], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 16], D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0_u8; 16];
        hex::decode_to_slice(&text, &mut bytes).map_err(D::Error::custom)?;
        Ok(bytes)
    }
}

/// The place a cut list would have at offset 0, without digest: for planning.
pub(super) fn extent(cut: &CutList) -> TablesPlace {
    TablesPlace {
        units: cut.units.len(),
        fragments: cut.fragments.len(),
        frames: cut.frames.len(),
        inflated: cut.inflated,
        ..TablesPlace::default()
    }
}

/// Why a cut list was not written.
#[derive(Debug)]
pub(super) enum TablesError {
    /// Its units do not cover the content.
    NotCovering { at: u64 },
    /// Reading scratch or writing failed.
    Io(io::Error),
}

impl From<io::Error> for TablesError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Hands the bytes of a cut list to `write`, in order; gives its place, with offset 0. The units must cover the
/// content without gap or overlap: nothing else could be read back.
pub(super) fn write_tables(
    cut: &CutList,
    content_length: u64,
    mut write: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<TablesPlace, TablesError> {
    let mut covered = 0_u64;
    cut.units.for_each(|unit| {
        if unit.offset != covered || unit.length == 0 {
            return Err(TablesError::NotCovering { at: covered });
        }
        covered += u64::from(unit.length);
        Ok(())
    })?;
    if covered != content_length {
        return Err(TablesError::NotCovering { at: covered });
    }
    let mut digests = Vec::new();
    write_table(&cut.units, &mut digests, &mut write)?;
    write_table(&cut.fragments, &mut digests, &mut write)?;
    write_table(&cut.frames, &mut digests, &mut write)?;
    write(&digests)?;
    Ok(TablesPlace { digest: digest(&digests), ..extent(cut) })
}

fn write_table<R: FixedRow>(
    table: &Table<R>,
    digests: &mut Vec<u8>,
    write: &mut impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut block = Vec::new();
    let mut flush = |block: &mut Vec<u8>| {
        digests.extend_from_slice(&digest(block));
        write(block)?;
        block.clear();
        Ok::<(), io::Error>(())
    };
    table.for_each(|row| {
        let start = block.len();
        block.resize(start + R::WIDTH, 0);
        row.encode(block.get_mut(start..).unwrap_or_default());
        if block.len() == BLOCK_BYTES { flush(&mut block) } else { Ok(()) }
    })?;
    if block.is_empty() { Ok(()) } else { flush(&mut block) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_a_block_is_found_by_arithmetic() {
        let place = TablesPlace { offset: 1000, units: 2049, fragments: 1, frames: 3, ..TablesPlace::default() };
        assert_eq!(place.block(Which::Units, 0), Some((1000, 65_536, 0)));
        assert_eq!(place.block(Which::Units, 1), Some((1000 + 65_536, 32, 1)));
        assert_eq!(place.block(Which::Units, 2), None);
        assert_eq!(place.block(Which::Fragments, 0), Some((1000 + 65_568, 16, 2)));
        assert_eq!(place.block(Which::Frames, 0), Some((1000 + 65_584, 24, 3)));
        assert_eq!(place.digests(), (1000 + 65_608, 64));
        assert_eq!(place.stored_bytes(), 65_608 + 64);
    }
}
