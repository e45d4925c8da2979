//! Cuts content into units while it streams by (docs/FORMAT.md, "Units").
//!
//! The rule, which two scans of the same bytes follow to the same units:
//!
//! - Header bytes are gathered in runs; a run ends where bulk begins or at [`UNIT_MAX`].
//! - Bulk comes in *pieces*: a frame, or another long value. A piece longer than [`FRAME_ALONE_MIN`] is a unit of its own,
//!   or several full ones of [`UNIT_MAX`] and a rest. Shorter pieces that touch are joined while the unit stays
//!   within [`JOINED_UNIT_MAX`].
//! - The header of a fragment's item belongs to the piece of its fragment and counts for its length. The header of Pixel
//!   Data, its Basic Offset Table unless that is a long value itself, and its delimiter are header bytes.
//!
//! What must always hold: units cover the content without gap or overlap, and no more than a short piece is kept.

use std::io;
use std::path::Path;

use crate::dicom::cut::{FRAME_ALONE_MIN, JOINED_UNIT_MAX, UNIT_MAX, Unit, UnitKind};
use crate::identifiers::UnitDigest;
use crate::rows::Table;

/// What the open unit takes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Run {
    Header,
    Joined,
    Alone,
}

/// The cutter.
#[derive(Debug)]
pub(super) struct Cutter {
    units: Table<Unit>,
    offset: u64,
    length: u64,
    run: Run,
    hasher: blake3::Hasher,
    /// The piece at hand while it is short: whether it stays so decides where it goes.
    short_piece: Vec<u8>,
    is_idle: bool,
}

impl Cutter {
    /// A cutter whose table of units spills to `scratch`.
    pub(super) fn new(scratch: &Path) -> Self {
        Self {
            units: Table::with_spill(scratch),
            offset: 0,
            length: 0,
            run: Run::Header,
            hasher: blake3::Hasher::new(),
            short_piece: Vec::new(),
            is_idle: false,
        }
    }

    /// A cutter that does nothing: inside a deflated data set, whose units are over the deflated bytes.
    pub(super) fn idle(scratch: &Path) -> Self {
        Self { is_idle: true, ..Self::new(scratch) }
    }

    /// Header bytes.
    pub(super) fn header(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_idle || bytes.is_empty() {
            return Ok(());
        }
        self.begin_piece()?;
        self.switch_to(Run::Header)?;
        self.append(bytes)
    }

    /// The bulk that follows is a piece of its own.
    pub(super) fn begin_piece(&mut self) -> io::Result<()> {
        if self.run == Run::Alone {
            self.close()?;
            self.run = Run::Joined;
        }
        if self.short_piece.is_empty() {
            return Ok(());
        }
        if self.run == Run::Joined && self.length + self.short_piece.len() as u64 > JOINED_UNIT_MAX {
            self.close()?;
        }
        self.switch_to(Run::Joined)?;
        self.append_short_piece()
    }

    /// Bytes of the piece at hand.
    pub(super) fn bulk(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_idle {
            return Ok(());
        }
        if self.run == Run::Alone {
            return self.append(bytes);
        }
        if (self.short_piece.len() + bytes.len()) as u64 <= FRAME_ALONE_MIN {
            self.short_piece.extend_from_slice(bytes);
            return Ok(());
        }
        self.switch_to(Run::Alone)?;
        self.append_short_piece()?;
        self.append(bytes)
    }

    /// All units.
    pub(super) fn finish(mut self) -> io::Result<Table<Unit>> {
        self.begin_piece()?;
        self.close()?;
        Ok(self.units)
    }

    fn switch_to(&mut self, run: Run) -> io::Result<()> {
        if self.run != run {
            self.close()?;
            self.run = run;
        }
        Ok(())
    }

    fn append_short_piece(&mut self) -> io::Result<()> {
        let mut piece = std::mem::take(&mut self.short_piece);
        let appended = self.append(&piece);
        piece.clear();
        self.short_piece = piece;
        appended
    }

    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = usize::try_from(UNIT_MAX - self.length).unwrap_or(usize::MAX);
            let (fits, rest) = bytes.split_at(room.min(bytes.len()));
            self.hasher.update(fits);
            self.length += fits.len() as u64;
            if self.length == UNIT_MAX {
                self.close()?;
            }
            bytes = rest;
        }
        Ok(())
    }

    /// Ends the open unit, if it has any bytes.
    fn close(&mut self) -> io::Result<()> {
        if self.length == 0 {
            return Ok(());
        }
        self.units.push(Unit {
            offset: self.offset,
            length: u32::try_from(self.length).unwrap_or(u32::MAX),
            kind: if self.run == Run::Header { UnitKind::Header } else { UnitKind::Bulk },
            digest: UnitDigest::from_hasher(&self.hasher.finalize()),
        })?;
        self.hasher.reset();
        self.offset += self.length;
        self.length = 0;
        Ok(())
    }
}
