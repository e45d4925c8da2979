//! Writes one `.dcm` member, unit by unit, and decides how it is stored.
//!
//! One member has one method. What the first few MiB do decides first: where they do not shrink by 3 % (JPEG inside),
//! the member is stored as it is, and the rest is never compressed. Where they shrink and the whole then does not,
//! the member is unpacked again in place. Either way, a member is compressed only if that saved 3 %.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::codec::{Method, UnitCompressor, open_frame};
use super::scratch::ScratchFile;
use super::tables::StoredUnit;
use super::zip::Entry;
use crate::dicom::cut::UnitKind;
use crate::identifiers::UnitDigest;
use crate::rows::{Table, unnamed_file};

/// How many bytes are looked at before it is decided how a member is stored.
const SAMPLE_BYTES: u64 = 4 * 1024 * 1024;

/// What libarchive unpacks at once (`ZSTD_DStreamOutSize`). Where the end of a member fills that exactly, libarchive 3.6.2
/// does not see that it is the end, and stops there; an empty zstd frame behind it is an end that it sees.
const LIBARCHIVE_OUTPUT_BYTES: usize = 128 * 1024;

/// Whether compression saved at least 3 %. Nothing is never compressed: no frame at all is no zstd stream.
const fn is_worth_it(original: u64, stored: u64) -> bool {
    // u128, so that no member is too long to be counted.
    original > 0 && (stored as u128) * 100 <= (original as u128) * 97
}

/// A unit that waits for the decision.
#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    frame: Vec<u8>,
    kind: UnitKind,
    digest: UnitDigest,
}

#[derive(Debug)]
enum State {
    Sampling { held: Vec<Held>, original: u64, stored: u64 },
    Decided(Method),
}

/// One member on its way into the pack.
#[derive(Debug)]
pub(crate) struct MemberWriter<'a> {
    file: &'a mut ScratchFile,
    compressor: &'a mut UnitCompressor,
    scratch: &'a Path,
    entry: Entry,
    data_offset: u64,
    original: u64,
    /// Bytes of the last unit.
    last_length: usize,
    checksum: crc32fast::Hasher,
    units: Table<StoredUnit>,
    state: State,
}

/// A member that was written.
#[derive(Debug)]
pub(crate) struct WrittenMember {
    pub(crate) entry: Entry,
    /// First stored byte, from the start of the pack.
    pub(crate) data_offset: u64,
    pub(crate) units: Table<StoredUnit>,
}

impl<'a> MemberWriter<'a> {
    /// Begins a member whose original will have `length` bytes.
    pub(crate) fn begin(
        file: &'a mut ScratchFile,
        compressor: &'a mut UnitCompressor,
        scratch: &'a Path,
        name: String,
        length: u64,
    ) -> io::Result<Self> {
        let header_offset = file.position();
        let entry = Entry { name, method: Method::Stored, crc32: 0, stored: 0, original: length, header_offset };
        // Its length depends on name and original size only; the rest is put right at the end.
        file.write(&entry.local_header())?;
        Ok(Self {
            data_offset: file.position(),
            file,
            compressor,
            scratch,
            entry,
            original: 0,
            last_length: 0,
            checksum: crc32fast::Hasher::new(),
            units: Table::with_spill(scratch),
            state: State::Sampling { held: Vec::new(), original: 0, stored: 0 },
        })
    }

    /// Adds the next unit.
    pub(crate) fn unit(&mut self, bytes: &[u8], kind: UnitKind, digest: UnitDigest) -> io::Result<()> {
        self.checksum.update(bytes);
        match &mut self.state {
            State::Sampling { held, original, stored } => {
                let frame = self.compressor.frame(bytes)?;
                *original += bytes.len() as u64;
                *stored += frame.len() as u64;
                held.push(Held { bytes: bytes.to_vec(), frame, kind, digest });
                if *original < SAMPLE_BYTES { Ok(()) } else { self.decide() }
            }
            State::Decided(Method::Stored) => self.append(bytes.len(), bytes, kind, digest),
            State::Decided(Method::Zstd) => {
                let frame = self.compressor.frame(bytes)?;
                self.append(bytes.len(), &frame, kind, digest)
            }
        }
    }

    /// Ends the sample.
    fn decide(&mut self) -> io::Result<()> {
        let State::Sampling { held, original, stored } = &mut self.state else { return Ok(()) };
        let held = std::mem::take(held);
        let method = if is_worth_it(*original, *stored) { Method::Zstd } else { Method::Stored };
        self.state = State::Decided(method);
        for unit in held {
            let stored = if method == Method::Zstd { &unit.frame } else { &unit.bytes };
            self.append(unit.bytes.len(), stored, unit.kind, unit.digest)?;
        }
        Ok(())
    }

    fn append(&mut self, length: usize, stored: &[u8], kind: UnitKind, digest: UnitDigest) -> io::Result<()> {
        let too_long = |_| io::Error::other("a unit is longer than 4 GiB");
        let row = StoredUnit {
            offset: self.original,
            length: u32::try_from(length).map_err(too_long)?,
            stored_offset: self.file.position() - self.data_offset,
            stored_length: u32::try_from(stored.len()).map_err(too_long)?,
            kind,
            digest,
        };
        self.units.push(row)?;
        self.original += length as u64;
        self.last_length = length;
        self.file.write(stored)
    }

    /// Ends the member: puts its local header right.
    pub(crate) fn finish(mut self) -> io::Result<WrittenMember> {
        self.decide()?;
        let mut method = match self.state {
            State::Decided(method) => method,
            State::Sampling { .. } => Method::Stored,
        };
        if method == Method::Zstd && !is_worth_it(self.original, self.file.position() - self.data_offset) {
            self.unpack()?;
            method = Method::Stored;
        }
        if method == Method::Zstd && self.last_length.is_multiple_of(LIBARCHIVE_OUTPUT_BYTES) {
            let nothing = self.compressor.frame(&[])?;
            self.file.write(&nothing)?;
        }
        let mut entry = self.entry;
        let placeholder = entry.local_header().len();
        entry.method = method;
        entry.crc32 = self.checksum.finalize();
        entry.stored = self.file.position() - self.data_offset;
        let header = entry.local_header();
        if header.len() != placeholder || self.original != entry.original {
            return Err(io::Error::other("a member has another length than was announced"));
        }
        self.file.patch(entry.header_offset, &header)?;
        Ok(WrittenMember { entry, data_offset: self.data_offset, units: self.units })
    }

    /// Stores as it is what was compressed in vain.
    fn unpack(&mut self) -> io::Result<()> {
        let mut plain: File = unnamed_file(self.scratch)?;
        let mut units = Table::with_spill(self.scratch);
        let (file, data_offset) = (&mut *self.file, self.data_offset);
        self.units.for_each(|unit: StoredUnit| {
            let mut frame = vec![0; usize::try_from(unit.stored_length).unwrap_or(usize::MAX)];
            file.read_at(data_offset + unit.stored_offset, &mut frame)?;
            let bytes = open_frame(&frame, usize::try_from(unit.length).unwrap_or(usize::MAX))
                .ok_or_else(|| io::Error::other("a unit that was just compressed does not open"))?;
            plain.write_all(&bytes)?;
            units.push(StoredUnit { stored_offset: unit.offset, stored_length: unit.length, ..unit })
        })?;
        file.cut_to(data_offset)?;
        let mut buffer = vec![0_u8; 1024 * 1024];
        let mut at = 0;
        while at < self.original {
            let count = usize::try_from(self.original - at).unwrap_or(usize::MAX).min(buffer.len());
            let piece = buffer.get_mut(..count).unwrap_or_default();
            plain.read_exact_at(piece, at)?;
            file.write(piece)?;
            at += count as u64;
        }
        self.units = units;
        Ok(())
    }
}
