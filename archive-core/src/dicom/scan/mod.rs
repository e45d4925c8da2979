//! The scanner: one pass over a data set as it streams by, in constant memory.
//!
//! It delimits every element, takes the attributes that queries need, writes the header as DICOM JSON where asked,
//! and cuts the bytes into units. It accepts what it can delimit and notes what is odd; it refuses what is not DICOM,
//! is truncated, is past a limit, or lacks a UID that its key needs, with tag and byte offset.
//!
//! Bytes come by [`Scanner::push`], split in any way: `prefix_reader` takes what comes before the data set, `inflate`
//! undoes its compression, `tokenizer` delimits, `facts` reads, `pixels` finds frames, `cutter` makes units.

mod cutter;
mod element;
mod facts;
mod guess;
mod image;
mod index;
pub mod index_attributes;
mod inflate;
mod json;
mod json_values;
mod keys;
mod offset_table;
mod order;
mod pixels;
mod prefix_reader;
mod scanner;
mod stack;
mod tokenizer;
mod vr;
pub mod warnings;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::path::PathBuf;

use dicom_core::Tag;
use serde::{Deserialize, Serialize};

use super::attributes::Attributes;
use super::cut::CutList;
use crate::identifiers::{ContentId, SeriesUid, SopClassUid, SopUid, StudyUid, TransferSyntaxUid};
use crate::receipt::FileDigest;

pub use keys::pseudo_studies;
pub use scanner::{Scanner, scan_reader};

/// Counts the versions of the scanner: an index line says which one wrote it.
pub const SCANNER_REVISION: u32 = 1;

/// In which form the bytes come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A file: Part 10, or with preamble or meta group missing, whose syntax is to be found out.
    File,
    /// A bare data set in the transfer syntax that a presentation context agreed on.
    DataSet(TransferSyntaxUid),
}

/// Bounds; going past one is a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScanLimits {
    /// Bytes of preamble and meta group.
    pub prefix_bytes: u64,
    /// Bytes of content.
    pub content_bytes: u64,
    /// Sequences within sequences.
    pub depth: usize,
    /// Elements, nested ones included.
    pub elements: u64,
    /// Bytes of inflated data set.
    pub inflated_bytes: u64,
    /// Inflated bytes for each deflated one, counted once a MiB has been inflated.
    pub inflate_ratio: u64,
    /// Bytes of header as DICOM JSON; beyond, the header is left out and made on demand.
    pub header_json_bytes: usize,
}

impl Default for ScanLimits {
    fn default() -> Self {
        Self {
            prefix_bytes: 64 * 1024,
            content_bytes: 64 << 30,
            depth: 64,
            elements: 16_000_000,
            inflated_bytes: 16 << 30,
            inflate_ratio: 200,
            header_json_bytes: 16 * 1024 * 1024,
        }
    }
}

/// What to scan, and how.
#[derive(Clone, Debug)]
pub struct ScanOptions {
    /// In which form the bytes come.
    pub input: Input,
    /// Where tables spill to when they grow; must exist.
    pub scratch: PathBuf,
    /// Bounds.
    pub limits: ScanLimits,
    /// Specific Character Set assumed where the data set names none.
    pub assumed_charset: Option<String>,
    /// Whether to make the header as DICOM JSON.
    pub header_json: bool,
}

/// The UIDs that place an instance.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct InstanceKeys {
    /// Its study; for objects without a patient the pseudo study of their class.
    pub study: StudyUid,
    /// Its series; for objects without a patient the pseudo series of their class.
    pub series: SeriesUid,
    /// What kind of object it is.
    pub sop_class: SopClassUid,
    /// Itself.
    pub sop: SopUid,
}

/// Something odd that was kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ScanWarning {
    /// A short stable word, written to packs: one of [`warnings`].
    pub code: Cow<'static, str>,
    /// Where, if one element is meant: the tag as in DICOM JSON (`7FE00010`).
    #[serde(default, skip_serializing_if = "Option::is_none", with = "super::attributes::optional_tag")]
    pub tag: Option<Tag>,
    /// Byte offset from the first byte of the input.
    pub offset: u64,
}

/// What one pass found.
#[derive(Debug)]
pub struct Scan {
    /// Preamble, `DICM` and file meta group as they came; empty for a bare data set.
    pub prefix: Vec<u8>,
    /// SHA-256 over the content.
    pub content: ContentId,
    /// Bytes of content.
    pub content_length: u64,
    /// SHA-256 and size of the whole input; `None` for [`Input::DataSet`].
    pub file: Option<FileDigest>,
    /// The syntax that the content is in.
    pub transfer_syntax: TransferSyntaxUid,
    /// Where it belongs.
    pub keys: InstanceKeys,
    /// What queries need.
    pub attributes: Attributes,
    /// The header as DICOM JSON (one object, UTF-8, no line feed); `None` when not asked for or past its limit. Sequences
    /// nest as deep as [`ScanLimits::depth`], three levels of JSON each: more than `serde_json` reads by default (128).
    pub header_json: Option<Vec<u8>>,
    /// How the content is divided.
    pub cut: CutList,
    /// What was odd, at most 64 of them.
    pub warnings: Vec<ScanWarning>,
}

/// Why an input was refused.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// No data set was found.
    #[error("not DICOM: {found}")]
    NotDicom {
        /// What the first bytes look like.
        found: &'static str,
    },
    /// The input ends inside something.
    #[error("truncated: the input ends at byte {end}{}, in what began at byte {offset}", place(" inside", *.tag))]
    Truncated {
        /// The element; where the input ends within a tag, the last one before it. None where there was none.
        tag: Option<Tag>,
        /// Where it began.
        offset: u64,
        /// Where the input ended.
        end: u64,
    },
    /// A bound was passed.
    #[error("past a limit: {what}{}, byte {offset}; the limit is {limit}", place(" at", *.tag))]
    Limit {
        /// Which bound.
        what: &'static str,
        /// Its value.
        limit: u64,
        /// The element that was being read; none where none had begun.
        tag: Option<Tag>,
        /// Where.
        offset: u64,
    },
    /// The bytes cannot be delimited.
    #[error("cannot be delimited: {what}{}, byte {offset}", place(" at", *.tag))]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// The element; none where the bytes belong to none (a damaged deflated stream).
        tag: Option<Tag>,
        /// Where.
        offset: u64,
    },
    /// A UID that the archive's key needs is missing or empty.
    #[error("{name} {tag} is missing or empty, byte {offset}: the object cannot be placed")]
    MissingUid {
        /// Keyword of the attribute.
        name: &'static str,
        /// Its tag.
        tag: Tag,
        /// Where the empty element begins; where there is none, where the data set ended without it.
        offset: u64,
    },
    /// A file of DICOM that is no instance.
    #[error("not an instance: {what}")]
    NotAnInstance {
        /// What it is, and what to do.
        what: &'static str,
    },
    /// Scratch space failed.
    #[error("scratch space: {0}")]
    Scratch(#[from] std::io::Error),
}

/// An element in an error's words, if there is one.
fn place(preposition: &str, tag: Option<Tag>) -> String {
    tag.map_or_else(String::new, |tag| format!("{preposition} {tag}"))
}

/// Stands in the header's DICOM JSON where the absolute URL of the instance goes; 22 characters, in no other place of
/// a header: a text value that holds it is written with its first character as `\u0040`.
/// A bulk value's `BulkDataURI` is `<token>/bulkdata/<VR>-<offset>-<length>`, offset and length in bytes of the content;
/// in a deflated data set `<token>/bulkdata/<VR>-i<offset>-<length>`, counted in inflated space; for encapsulated Pixel
/// Data of the data set itself `<token>/bulkdata/frames`. Other encapsulated values (icons) are referred to with their items
/// and their delimiter. The VR tells the width of words, which are in the byte order of the transfer syntax.
pub const BULK_URL_TOKEN: &str = "@vellum-instance-url@!";
