//! Frames: the records of a segment (docs/FORMAT.md, "Journal").
//!
//! The header says what the payload is and where it must lie. Random segment id, own offset and a chain over the
//! headers keep recycled, misdirected and lost writes from passing as records.

/// Bytes of a frame header.
pub(super) const HEADER_BYTES: usize = 104;
/// First bytes of every frame.
pub(super) const MAGIC: [u8; 8] = *b"VLMJOURN";
/// The version written here.
pub(super) const VERSION: u16 = 1;
/// A batch begins on such a border (bytes), so that a torn one never shares a sector with an acknowledged one.
pub(super) const BATCH_ALIGN: u64 = 4096;
/// Frames begin on such a border (bytes).
pub(super) const FRAME_ALIGN: u64 = 8;
/// A commit record is never longer (bytes); facts and prefix are small.
pub(super) const COMMIT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Bytes of the payload of a head.
pub(super) const HEAD_BYTES: usize = 48;

const CRC_AT: usize = 96;

/// What a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// First frame of a segment: whose it is.
    Head,
    /// Bytes of an instance.
    Content,
    /// Its cut list.
    Tables,
    /// The record that makes it count.
    Commit,
}

impl Kind {
    const fn code(self) -> u16 {
        match self {
            Self::Head => 1,
            Self::Content => 2,
            Self::Tables => 3,
            Self::Commit => 4,
        }
    }

    const fn of_code(code: u16) -> Option<Self> {
        match code {
            1 => Some(Self::Head),
            2 => Some(Self::Content),
            3 => Some(Self::Tables),
            4 => Some(Self::Commit),
            _ => None,
        }
    }
}

/// The header of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    /// What follows.
    pub kind: Kind,
    /// Epoch of the receipt.
    pub epoch: u32,
    /// Bytes of payload.
    pub length: u64,
    /// Place in the segment, from 0.
    pub sequence: u64,
    /// The segment's random id.
    pub segment: [u8; 16],
    /// Where the frame lies in its file.
    pub offset: u64,
    /// Number of the receipt it was written for; 0 in a head.
    pub receipt: u64,
    /// BLAKE3-128 of the payload; for content its CRC-32C and zeros (its units have digests of their own).
    pub check: [u8; 16],
    /// [`chain_of`] the header before it; zeros in a head.
    pub chain: [u8; 16],
}

/// Why bytes are no header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NotAHeader {
    /// Not the bytes of a frame, or damaged ones.
    Bad,
    /// A frame of a later program: its checksum is right.
    Newer { version: u16, kind: u16 },
}

impl Header {
    /// The bytes of the header.
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut into = [0_u8; HEADER_BYTES];
        into[..8].copy_from_slice(&MAGIC);
        into[8..10].copy_from_slice(&VERSION.to_le_bytes());
        into[10..12].copy_from_slice(&self.kind.code().to_le_bytes());
        into[12..16].copy_from_slice(&self.epoch.to_le_bytes());
        into[16..24].copy_from_slice(&self.length.to_le_bytes());
        into[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        into[32..48].copy_from_slice(&self.segment);
        into[48..56].copy_from_slice(&self.offset.to_le_bytes());
        into[56..64].copy_from_slice(&self.receipt.to_le_bytes());
        into[64..80].copy_from_slice(&self.check);
        into[80..96].copy_from_slice(&self.chain);
        let crc = crc32c::crc32c(&into[..CRC_AT]);
        into[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        into
    }

    /// Reads a header and checks its checksum and its fixed bytes.
    pub(super) fn decode(from: &[u8; HEADER_BYTES]) -> Result<Self, NotAHeader> {
        let mut fields = Fields { from, at: 0 };
        if fields.take::<8>() != MAGIC {
            return Err(NotAHeader::Bad);
        }
        let version = u16::from_le_bytes(fields.take());
        let code = u16::from_le_bytes(fields.take());
        let epoch = u32::from_le_bytes(fields.take());
        let length = u64::from_le_bytes(fields.take());
        let sequence = u64::from_le_bytes(fields.take());
        let segment = fields.take();
        let offset = u64::from_le_bytes(fields.take());
        let receipt = u64::from_le_bytes(fields.take());
        let check = fields.take();
        let chain = fields.take();
        let crc = u32::from_le_bytes(fields.take());
        let rest: [u8; 4] = fields.take();
        if crc != crc32c::crc32c(&from[..CRC_AT]) || rest != [0; 4] {
            return Err(NotAHeader::Bad);
        }
        match Kind::of_code(code) {
            Some(kind) if version == VERSION => {
                Ok(Self { kind, epoch, length, sequence, segment, offset, receipt, check, chain })
            }
            _ => Err(NotAHeader::Newer { version, kind: code }),
        }
    }

    /// First byte of the payload, in the file.
    pub(super) const fn payload_offset(&self) -> u64 {
        self.offset + HEADER_BYTES as u64
    }

    /// First byte after the payload; `None` if the length cannot be.
    pub(super) fn end(&self) -> Option<u64> {
        self.offset.checked_add(HEADER_BYTES as u64)?.checked_add(self.length)
    }
}

/// What the next header's `chain` must be.
pub(super) fn chain_of(header: &[u8; HEADER_BYTES]) -> [u8; 16] {
    digest(header)
}

/// BLAKE3, the first 128 bits.
pub(super) fn digest(bytes: &[u8]) -> [u8; 16] {
    *crate::identifiers::UnitDigest::of(bytes).as_raw()
}

/// The `check` of content: its CRC-32C, then zeros.
pub(super) fn content_check(crc: u32) -> [u8; 16] {
    let mut check = [0_u8; 16];
    check[..4].copy_from_slice(&crc.to_le_bytes());
    check
}

/// Rounds up to a border; `None` on overflow.
pub(super) const fn align_up(at: u64, border: u64) -> Option<u64> {
    at.checked_next_multiple_of(border)
}

/// The payload of a head: whose segment it is and where its numbers begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    /// The archive's id, 16 raw bytes.
    pub archive: [u8; 16],
    /// Epoch in which new receipts are numbered.
    pub epoch: u32,
    /// The segment's number, as in its file name.
    pub number: u64,
    /// No new receipt in it or after it has a lower number (of that epoch).
    pub first_receipt: u64,
    /// System clock when it was made: microseconds since 1970.
    pub created: i64,
}

impl Head {
    /// The bytes of the payload.
    pub(super) fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut into = [0_u8; HEAD_BYTES];
        into[..16].copy_from_slice(&self.archive);
        into[16..20].copy_from_slice(&self.epoch.to_le_bytes());
        into[24..32].copy_from_slice(&self.number.to_le_bytes());
        into[32..40].copy_from_slice(&self.first_receipt.to_le_bytes());
        into[40..48].copy_from_slice(&self.created.to_le_bytes());
        into
    }

    /// Reads a payload; `None` if it has another length.
    pub(super) fn decode(from: &[u8]) -> Option<Self> {
        let from: &[u8; HEAD_BYTES] = from.try_into().ok()?;
        let mut fields = Fields { from, at: 0 };
        let archive = fields.take();
        let epoch = u32::from_le_bytes(fields.take());
        let _reserved: [u8; 4] = fields.take();
        Some(Self {
            archive,
            epoch,
            number: u64::from_le_bytes(fields.take()),
            first_receipt: u64::from_le_bytes(fields.take()),
            created: i64::from_le_bytes(fields.take()),
        })
    }
}

/// Takes fields of fixed width one after the other; past the end it gives zeros.
struct Fields<'a> {
    from: &'a [u8],
    at: usize,
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let field = self.from.get(self.at..self.at + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N]);
        self.at += N;
        field
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Header {
        Header {
            kind: Kind::Commit,
            epoch: 3,
            length: 77,
            sequence: 9,
            segment: [7; 16],
            offset: 4096,
            receipt: 12,
            check: [1; 16],
            chain: [2; 16],
        }
    }

    #[test]
    fn a_header_reads_back_and_any_flipped_bit_of_it_is_seen() {
        let bytes = sample().encode();
        assert_eq!(Header::decode(&bytes), Ok(sample()));
        for at in 0..HEADER_BYTES {
            for bit in 0..8 {
                let mut flipped = bytes;
                flipped[at] ^= 1 << bit;
                assert_eq!(Header::decode(&flipped), Err(NotAHeader::Bad), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let mut bytes = sample().encode();
        bytes[8] = 2;
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Header::decode(&bytes), Err(NotAHeader::Newer { version: 2, kind: 4 }));
    }
}
