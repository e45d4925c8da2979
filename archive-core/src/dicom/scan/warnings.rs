//! What was odd and kept: the codes, and the list that grows no further than [`WARNINGS_MAX`].
//!
//! Codes are written to packs: a code is never given another meaning. A code is noted once for a tag, at its first
//! place, so that one defect repeated in a thousand items does not hide another. Codes marked *text* come from reading
//! values: without `header_json` only the values of index attributes are read.

use std::borrow::Cow;

use dicom_core::Tag;

use super::ScanWarning;

/// No scan has more warnings.
pub const WARNINGS_MAX: usize = 64;

/// There is no preamble of 128 bytes (PS3.10 §7.1).
pub const NO_PREAMBLE: &str = "no-preamble";
/// There is no file meta group.
pub const NO_META_GROUP: &str = "no-meta-group";
/// The length of the meta group is missing or wrong; its elements say where it ends.
pub const META_GROUP_LENGTH: &str = "meta-group-length";
/// The meta group is not in Explicit VR, as PS3.10 §7.1 asks.
pub const META_IMPLICIT: &str = "meta-implicit";
/// The meta group names another SOP Instance UID than the data set; the data set decides.
pub const META_SOP_UID_DIFFERS: &str = "meta-sop-uid-differs";
/// The meta group names another SOP Class UID than the data set; the data set decides.
pub const META_SOP_CLASS_DIFFERS: &str = "meta-sop-class-differs";
/// No transfer syntax is named: it was guessed from the first element.
pub const NO_TRANSFER_SYNTAX: &str = "no-transfer-syntax";
/// The transfer syntax is not of the standard: read as the first element looks, else as Explicit VR Little Endian.
pub const UNKNOWN_TRANSFER_SYNTAX: &str = "unknown-transfer-syntax";
/// The SOP class is no storage class that the standard has or had.
pub const UNKNOWN_SOP_CLASS: &str = "unknown-sop-class";
/// A value has an odd length (PS3.5 §7.1).
pub const ODD_LENGTH: &str = "odd-length";
/// A value representation is none of the standard; read as UN, or in Implicit VR where its bytes are control characters.
pub const UNKNOWN_VR: &str = "unknown-vr";
/// An attribute occurs twice in one data set or item: the first one counts.
pub const DUPLICATE_ELEMENT: &str = "duplicate-element";
/// An element has a lower tag than the one before it (PS3.5 §7.1).
pub const OUT_OF_ORDER: &str = "out-of-order";
/// An element of a command set (group 0000) is in the data set.
pub const COMMAND_ELEMENT: &str = "command-element";
/// A length is undefined where the standard allows none; read as a sequence or as fragments.
pub const UNDEFINED_LENGTH: &str = "undefined-length";
/// An item or sequence of undefined length ends without its delimiter, with what encloses it.
pub const DELIMITER_MISSING: &str = "delimiter-missing";
/// A delimiter stands where none belongs; passed over.
pub const DELIMITER_UNEXPECTED: &str = "delimiter-unexpected";
/// A delimiter has a length; taken as 0, which it must be (PS3.5 §7.5).
pub const DELIMITER_LENGTH: &str = "delimiter-length";
/// Zero bytes follow the data set, or the deflated stream.
pub const TRAILING_BYTES: &str = "trailing-bytes";
/// The checksum and length of gzip, which belong to another format, follow the deflated stream.
pub const DEFLATE_TRAILER: &str = "deflate-trailer";
/// *Text*: Specific Character Set (0008,0005) holds a term that is not known; read as the default repertoire.
pub const UNKNOWN_CHARSET_TERM: &str = "unknown-charset-term";
/// *Text*: a value holds bytes that are no text in its character set; they became U+FFFD.
pub const UNDECODABLE_TEXT: &str = "undecodable-text";
/// *Text*: a value of IS or DS is no number; it stands as text.
pub const NOT_A_NUMBER: &str = "not-a-number";
/// *Text*: the length is no multiple of what one value takes; the rest is left out of DICOM JSON.
pub const VALUE_LENGTH: &str = "value-length";
/// Pixel Data has another form than its transfer syntax says.
pub const PIXEL_DATA_FORM: &str = "pixel-data-form";
/// Native Pixel Data is shorter than its description.
pub const PIXEL_DATA_SHORT: &str = "pixel-data-short";
/// Native Pixel Data is longer than its description, by more than a byte of padding.
pub const PIXEL_DATA_LONG: &str = "pixel-data-long";
/// An offset table disagrees with the fragments; not used.
pub const OFFSET_TABLE_WRONG: &str = "offset-table-wrong";
/// Which fragments or bytes make which frame cannot be told.
pub const FRAMES_UNKNOWN: &str = "frames-unknown";
/// A value was too long for the index and was cut there.
pub const INDEX_VALUE_CUT: &str = "index-value-cut";
/// A sequence or value was too large for the index and is not in it.
pub const INDEX_VALUE_OMITTED: &str = "index-value-omitted";

/// The warnings of one scan.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    noted: Vec<ScanWarning>,
    content_begins: u64,
}

impl Warnings {
    /// Says how many bytes of input come before the content.
    pub(super) const fn content_begins_at(&mut self, offset: u64) {
        self.content_begins = offset;
    }

    /// Notes something odd about an element of the data set; its offset counts from the first byte of content.
    pub(super) fn note(&mut self, code: &'static str, tag: Tag, content_offset: u64) {
        self.add(code, Some(tag), content_offset.saturating_add(self.content_begins));
    }

    /// Notes something odd about the input itself.
    pub(super) fn note_input(&mut self, code: &'static str, input_offset: u64) {
        self.add(code, None, input_offset);
    }

    /// Notes something odd about an element before the content.
    pub(super) fn note_prefix(&mut self, code: &'static str, tag: Tag, input_offset: u64) {
        self.add(code, Some(tag), input_offset);
    }

    fn add(&mut self, code: &'static str, tag: Option<Tag>, offset: u64) {
        let known = || self.noted.iter().any(|warning| warning.code == code && warning.tag == tag);
        if self.noted.len() < WARNINGS_MAX && !known() {
            self.noted.push(ScanWarning { code: Cow::Borrowed(code), tag, offset });
        }
    }

    pub(super) fn into_list(self) -> Vec<ScanWarning> {
        self.noted
    }
}
