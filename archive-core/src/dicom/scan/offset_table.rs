//! Offset tables of encapsulated Pixel Data: where each frame's first item begins (PS3.5 §A.4, PS3.3 §C.7.6.3.1.8).
//!
//! Both kinds count from the first byte of the first fragment's item. A table may be as long as its sender likes: rows
//! go to a spilling table, and past [`FRAGMENTS_MAX`] they are not kept. They are hints: whoever uses them compares
//! them with the fragments.

use std::io;
use std::path::Path;

use crate::dicom::cut::FRAGMENTS_MAX;
use crate::rows::{FixedRow, Table};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Offset(u64);

impl FixedRow for Offset {
    const WIDTH: usize = 8;
    fn encode(&self, into: &mut [u8]) {
        into.copy_from_slice(&self.0.to_le_bytes());
    }
    fn decode(from: &[u8]) -> Self {
        Self(from.first_chunk().map_or(0, |&bytes| u64::from_le_bytes(bytes)))
    }
}

/// An offset table that is gathered while it streams by.
#[derive(Debug)]
pub(super) struct OffsetTable {
    rows: Table<Offset>,
    width: usize,
    partial: [u8; 8],
    filled: usize,
    is_too_long: bool,
}

impl OffsetTable {
    /// The Basic Offset Table: numbers of 32 bits.
    pub(super) fn basic(scratch: &Path) -> Self {
        Self::new(scratch, 4)
    }

    /// The Extended Offset Table (7FE0,0001): numbers of 64 bits.
    pub(super) fn extended(scratch: &Path) -> Self {
        Self::new(scratch, 8)
    }

    fn new(scratch: &Path, width: usize) -> Self {
        Self { rows: Table::with_spill(scratch), width, partial: [0; 8], filled: 0, is_too_long: false }
    }

    /// Takes the next bytes of the table, little endian as all of encapsulated Pixel Data (PS3.5 §A.4).
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() && !self.is_too_long {
            let (taken, rest) = bytes.split_at((self.width - self.filled).min(bytes.len()));
            for (to, &from) in self.partial.iter_mut().skip(self.filled).zip(taken) {
                *to = from;
            }
            self.filled += taken.len();
            bytes = rest;
            if self.filled == self.width {
                self.rows.push(Offset(u64::from_le_bytes(self.partial)))?;
                self.filled = 0;
                self.is_too_long = self.rows.len() > FRAGMENTS_MAX;
            }
        }
        Ok(())
    }

    /// Whether there is anything in it.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Entries.
    pub(super) fn len(&self) -> u64 {
        self.rows.len()
    }

    /// Whether it may be the table of this many frames.
    pub(super) fn fits(&self, frame_count: Option<u64>) -> bool {
        let agrees = frame_count.is_none_or(|count| count == self.rows.len());
        !self.is_empty() && self.filled == 0 && !self.is_too_long && agrees
    }

    /// The entry at an index from 0.
    pub(super) fn get(&self, index: u64) -> io::Result<Option<u64>> {
        Ok(self.rows.get(index)?.map(|offset| offset.0))
    }
}
