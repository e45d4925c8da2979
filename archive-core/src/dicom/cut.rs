//! The cut list: how the bytes of one data set are divided, so that a frame can be read and checked alone.
//!
//! All offsets are counted from the first byte of the content (the data set as it came, after the file meta group);
//! whoever writes or reads a pack adds the length of the prefix. Units cover the content without gap or overlap, in
//! order. In a deflated data set units are over the deflated bytes, and fragments point into inflated space.

use crate::identifiers::UnitDigest;
use crate::rows::{FixedRow, Table};

/// A binary value longer than this is bulk and kept apart from the header (bytes).
pub const BULK_VALUE_MIN: u64 = 1024;
/// A frame longer than this is a unit of its own (bytes).
pub const FRAME_ALONE_MIN: u64 = 4 * 1024;
/// Small frames and other bulk that touch are joined up to this (bytes).
pub const JOINED_UNIT_MAX: u64 = 64 * 1024;
/// No unit is longer (bytes).
pub const UNIT_MAX: u64 = 4 * 1024 * 1024;
/// An instance with more fragments is refused.
pub const FRAGMENTS_MAX: u64 = 1 << 26;

/// What a unit holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnitKind {
    /// A run of header bytes: everything that is not bulk. Marked `h` in a pack's index.
    Header,
    /// A frame, part of one, several small ones, or other bulk values.
    Bulk,
}

/// One unit: a run of content bytes that is compressed, read and checked on its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unit {
    /// First byte, counted from the start of the content.
    pub offset: u64,
    /// Bytes, 1 to [`UNIT_MAX`].
    pub length: u32,
    /// Header or bulk.
    pub kind: UnitKind,
    /// BLAKE3 of the bytes, cut to 128 bits.
    pub digest: UnitDigest,
}

impl FixedRow for Unit {
    const WIDTH: usize = 32;
    /// offset u64, length u32, flags u32 (bit 0: header), digest 16 bytes.
    fn encode(&self, into: &mut [u8]) {
        into[..8].copy_from_slice(&self.offset.to_le_bytes());
        into[8..12].copy_from_slice(&self.length.to_le_bytes());
        into[12..16].copy_from_slice(&u32::from(self.kind == UnitKind::Header).to_le_bytes());
        into[16..32].copy_from_slice(self.digest.as_raw());
    }
    fn decode(from: &[u8]) -> Self {
        Self {
            offset: u64_at(from, 0),
            length: u32_at(from, 8),
            kind: if u32_at(from, 12) & 1 == 1 { UnitKind::Header } else { UnitKind::Bulk },
            digest: UnitDigest::from_raw(std::array::from_fn(|index| from[16 + index])),
        }
    }
}

/// One fragment: the value of an item of encapsulated Pixel Data, or one native frame, or the whole of native Pixel
/// Data whose frames do not begin on byte borders.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fragment {
    /// First byte, counted from the start of the content (of the inflated content if deflated).
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

impl FixedRow for Fragment {
    const WIDTH: usize = 16;
    /// offset u64, length u64.
    fn encode(&self, into: &mut [u8]) {
        into[..8].copy_from_slice(&self.offset.to_le_bytes());
        into[8..16].copy_from_slice(&self.length.to_le_bytes());
    }
    fn decode(from: &[u8]) -> Self {
        Self { offset: u64_at(from, 0), length: u64_at(from, 8) }
    }
}

/// One frame: a run of fragments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Index of its first fragment, from 0.
    pub first_fragment: u32,
    /// How many fragments, at least 1.
    pub fragment_count: u32,
}

impl FixedRow for Frame {
    const WIDTH: usize = 8;
    /// first fragment u32, count u32.
    fn encode(&self, into: &mut [u8]) {
        into[..4].copy_from_slice(&self.first_fragment.to_le_bytes());
        into[4..8].copy_from_slice(&self.fragment_count.to_le_bytes());
    }
    fn decode(from: &[u8]) -> Self {
        Self { first_fragment: u32_at(from, 0), fragment_count: u32_at(from, 4) }
    }
}

/// How one data set is divided.
#[derive(Debug)]
pub struct CutList {
    /// All bytes of the content, in order.
    pub units: Table<Unit>,
    /// Where pixel bytes lie, in order.
    pub fragments: Table<Fragment>,
    /// Which fragments make a frame, in order; empty where frames cannot be told apart.
    pub frames: Table<Frame>,
    /// Fragments count in inflated space: the transfer syntax is deflated.
    pub inflated: bool,
}

/// `from[at..at + 8]`, little endian; the callers' slices have a fixed width that covers it.
fn u64_at(from: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|index| from[at + index]))
}

/// `from[at..at + 4]`, little endian; the callers' slices have a fixed width that covers it.
fn u32_at(from: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|index| from[at + index]))
}
