//! `vellum/root.json`: where the index, the metadata and the tables of a pack lie, unit by unit, with their digests.
//!
//! Its own digest is in the ledger, so whatever its parts' digests vouch for hangs on the ledger (promise I9). What is
//! read here is checked as a whole before any of it is used: a place outside the pack or a gap in the lines is never
//! found later.

use serde::{Deserialize, Serialize};

use super::codec::{Method, open_frame};
use super::error::Flaw;
use super::format::{BLOCK_BYTES, INDEX_LINE_MAX, PACK_FORMAT, ROOT_WORD, TEXT_UNIT_TARGET, stored_bound};
use crate::identifiers::{Sha256Digest, StudyUid};

/// The root of a pack.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Root {
    /// `pack`.
    pub(crate) vellum: String,
    /// 1.
    pub(crate) format: u32,
    /// What a reader must understand beyond the format; none are known.
    pub(crate) features: Vec<String>,
    /// 32 random hexadecimal digits, so that no two packs have one name.
    pub(crate) nonce: String,
    pub(crate) study: StudyUid,
    /// Lines of the index.
    pub(crate) versions: u32,
    /// Lines whose bytes are in this pack.
    pub(crate) contents: u32,
    /// Receipts of all lines.
    pub(crate) receipts: u64,
    /// Bytes of content of those that are in this pack.
    pub(crate) content_bytes: u64,
    pub(crate) index: TextMember,
    pub(crate) metadata: TextMember,
    /// Absent where no version needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) frames: Option<TableMember>,
}

/// A member of text lines, cut at series borders.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct TextMember {
    pub(crate) method: Method,
    pub(crate) units: Vec<TextUnit>,
}

/// Some consecutive lines of one series.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct TextUnit {
    pub(crate) series: String,
    /// Its first line.
    pub(crate) first: u32,
    /// Its lines.
    pub(crate) count: u32,
    #[serde(flatten)]
    pub(crate) part: Part,
}

/// `vellum/frames.bin`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct TableMember {
    pub(crate) method: Method,
    pub(crate) blocks: Vec<TableBlock>,
}

/// One block: rows of one table of one version.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct TableBlock {
    /// In blocks of units and of fragments: the offset in the first row, so that a search needs one block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first: Option<u64>,
    #[serde(flatten)]
    pub(crate) part: Part,
}

/// Bytes of a pack that are stored, read and checked together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    /// First byte of the stored form, from the start of the pack.
    pub(crate) offset: u64,
    /// Bytes of the stored form.
    pub(crate) stored: u64,
    /// Bytes of the original.
    pub(crate) length: u64,
    /// SHA-256 over the original.
    pub(crate) sha256: Sha256Digest,
}

impl Part {
    /// One past the last byte of the stored form. The root was checked: it does not overflow.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.stored)
    }

    /// The original of the stored bytes, if it has the recorded digest.
    pub(crate) fn open(&self, method: Method, stored: &[u8], what: &str) -> Result<Vec<u8>, Flaw> {
        let length = usize::try_from(self.length).unwrap_or(usize::MAX);
        let original = match method {
            Method::Stored => Some(stored.to_vec()),
            Method::Zstd => open_frame(stored, length),
        };
        original
            .filter(|original| original.len() == length && Sha256Digest::of(original) == self.sha256)
            .ok_or_else(|| Flaw::Damaged(what.to_owned()))
    }

    fn lies_within(&self, size: u64, length_max: u64) -> bool {
        self.length <= length_max
            && self.stored <= stored_bound(self.length)
            && self.offset.checked_add(self.stored).is_some_and(|end| end <= size)
    }
}

impl Root {
    /// Reads a root whose digest was checked, of a pack of `size` bytes.
    ///
    /// # Errors
    /// [`Flaw::NotUnderstood`] for a newer format, an unknown feature, or places that cannot be.
    pub(crate) fn parse(bytes: &[u8], size: u64) -> Result<Self, Flaw> {
        /// What every format has said first since 1.
        #[derive(Deserialize)]
        struct Head {
            vellum: String,
            format: u32,
            #[serde(default)]
            features: Vec<String>,
        }
        let bad = |what: &str| Flaw::NotUnderstood(format!("the root {what}"));
        let head: Head = serde_json::from_slice(bytes).map_err(|_| bad("is not that of a pack"))?;
        if head.vellum != ROOT_WORD {
            return Err(bad("is not that of a pack"));
        }
        if head.format != PACK_FORMAT {
            return Err(bad(&format!(
                "says pack format {}; this program reads format {PACK_FORMAT}: use the program that wrote it, or a newer one",
                head.format
            )));
        }
        if let Some(feature) = head.features.first() {
            let feature: String = feature.chars().filter(char::is_ascii_graphic).take(40).collect();
            return Err(bad(&format!(
                "needs the feature \"{feature}\", which this program does not know: use a newer one"
            )));
        }
        let root: Self = serde_json::from_slice(bytes).map_err(|_| bad("lacks a member of format 1"))?;
        root.check(size).map_err(bad)?;
        Ok(root)
    }

    fn check(&self, size: u64) -> Result<(), &'static str> {
        let line_max = (INDEX_LINE_MAX.max(TEXT_UNIT_TARGET)) as u64;
        for member in [&self.index, &self.metadata] {
            let mut lines = 0_u32;
            for unit in &member.units {
                if unit.first != lines || unit.count == 0 {
                    return Err("leaves lines out");
                }
                lines = lines.checked_add(unit.count).ok_or("counts more lines than there can be")?;
                if !unit.part.lies_within(size, line_max) {
                    return Err("names a unit of text outside the pack");
                }
            }
            if lines != self.versions {
                return Err("leaves lines out");
            }
        }
        let blocks = self.frames.as_ref().map_or(&[][..], |frames| &frames.blocks);
        if !blocks.iter().all(|block| block.part.lies_within(size, BLOCK_BYTES as u64)) {
            return Err("names a block of tables outside the pack");
        }
        Ok(())
    }

    /// The blocks of `frames.bin`.
    pub(crate) fn blocks(&self) -> &[TableBlock] {
        self.frames.as_ref().map_or(&[], |frames| &frames.blocks)
    }
}

impl TextMember {
    /// Which unit holds a line, if any does.
    pub(crate) fn unit_of(&self, line: u32) -> Option<usize> {
        let index = self.units.partition_point(|unit| unit.first <= line).checked_sub(1)?;
        let unit = self.units.get(index)?;
        (line - unit.first < unit.count).then_some(index)
    }
}
