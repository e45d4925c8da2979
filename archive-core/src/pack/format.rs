//! The constants of pack format 1: names, limits and the two texts that every pack holds (docs/FORMAT.md, "Packs").
//!
//! A change here is a change of the format: it needs a new version number, and the old one stays readable
//! (promise I15).

use crate::dicom::cut::UNIT_MAX;
use crate::reading::PIECE_BYTES_MAX;

/// The version this module writes, and the only one it reads.
pub const PACK_FORMAT: u32 = 1;
/// The word in a root's member `vellum` that says what it is.
pub(crate) const ROOT_WORD: &str = "pack";

/// The first member: what a pack is, for whoever opens it without knowing.
pub(crate) const README_NAME: &str = "README.txt";
/// Tables too long for an index line.
pub(crate) const FRAMES_NAME: &str = "vellum/frames.bin";
/// Headers as DICOM JSON, a line a version.
pub(crate) const METADATA_NAME: &str = "vellum/metadata.jsonl";
/// What the pack holds, a line a version.
pub(crate) const INDEX_NAME: &str = "vellum/index.jsonl";
/// Where all that lies, and its digests.
pub(crate) const ROOT_NAME: &str = "vellum/root.json";

/// The text of [`README_NAME`]; at most 512 bytes.
pub(crate) const PACK_README: &str = "\
This ZIP file is a Vellum pack, format 1: DICOM files of one study.\n\
Each <SOP Instance UID>.dcm is the file as it was received; a name with\n\
~<SHA-256> is a further version of that instance. 7-Zip and bsdtar open it\n\
(methods: stored, Zstandard). The pack's name is the SHA-256 of its bytes.\n\
vellum/root.json, index.jsonl: what is in it, where, with which digests.\n\
extract.py beside the folder \"studies\" checks and unpacks everything.\n";

/// An index line holds its tables itself while each has at most this many rows.
pub const INLINE_ROWS_MAX: u64 = 256;
/// Versions in one unit of the index or of the metadata.
pub const TEXT_UNIT_LINES_MAX: u32 = 500;
/// A unit of the index or of the metadata ends before it would pass this; one longer line is a unit alone (bytes).
pub const TEXT_UNIT_TARGET: usize = 4 * 1024 * 1024;
/// No line of the index is longer, its line feed included (bytes).
pub const INDEX_LINE_MAX: usize = 32 * 1024 * 1024;
/// A header longer than this is left out of the metadata, and made on demand (bytes, without line feed).
pub const METADATA_LINE_MAX: usize = 16 * 1024 * 1024;
/// No root is longer (bytes).
pub const ROOT_MAX: u64 = 64 * 1024 * 1024;
/// The longest prefix of a file (bytes).
pub const PREFIX_MAX: usize = 64 * 1024;
/// A frame in more fragments than this is not read as one frame.
pub const FRAME_FRAGMENTS_MAX: u32 = 1 << 20;
/// Bytes of a block of `frames.bin`, before compression; the last block of a table may be shorter.
pub(crate) const BLOCK_BYTES: usize = 64 * 1024;
/// The longest stored form of anything that is compressed as one zstd frame of `original` bytes: zstd's own bound
/// for what does not compress, and room for the frame's header and checksum.
pub(crate) const fn stored_bound(original: u64) -> u64 {
    original + (original >> 8) + 1024
}
/// What the reader fetches in one request when it streams (stored bytes).
pub(crate) const RUN_STORED_MAX: u64 = UNIT_MAX;
/// What the reader hands out at once (bytes).
pub(crate) const RUN_BYTES_MAX: u64 = PIECE_BYTES_MAX;
/// All tables of a version are fetched in one request while they are smaller than this (stored bytes).
pub(crate) const TABLES_PREFETCH_MAX: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_of_a_pack_is_short_and_plain() {
        assert!(PACK_README.len() <= 512 && PACK_README.is_ascii(), "{} bytes", PACK_README.len());
    }
}
