//! Elements as DICOM JSON (PS3.18 Annex F): the marks around values, and references to bulk.
//!
//! Appends to a buffer and keeps nothing; what an object holds, and in which order, is decided by [`super::facts`].

use std::io::Write as _;

use super::BULK_URL_TOKEN;
use super::element::ElementHeader;
use crate::dicom::attributes::TagKey;

/// Bytes of a member's key with its colon: `"00080018":`.
pub(super) const KEY_BYTES: usize = 11;

/// Begins an element: key, brace, value representation.
pub(super) fn begin_element(out: &mut Vec<u8>, header: &ElementHeader, vr: &str) {
    for part in ["\"", TagKey::of(header.tag).as_str(), "\":{\"vr\":\"", vr, "\""] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Ends an element.
pub(super) fn end_element(out: &mut Vec<u8>) {
    out.push(b'}');
}

/// Whether the bytes of a reference are counted in inflated space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Space {
    Content,
    Inflated,
}

/// The value is elsewhere in the content.
pub(super) fn bulk_reference(out: &mut Vec<u8>, vr: &str, offset: u64, length: u64, space: Space) {
    let mark = if space == Space::Inflated { "i" } else { "" };
    let _ = write!(out, ",\"BulkDataURI\":\"{BULK_URL_TOKEN}/bulkdata/{vr}-{mark}{offset}-{length}\"");
}

/// The value is encapsulated Pixel Data.
pub(super) fn frames_reference(out: &mut Vec<u8>) {
    let _ = write!(out, ",\"BulkDataURI\":\"{BULK_URL_TOKEN}/bulkdata/frames\"");
}

/// Text as a JSON string. The token of bulk references never comes out as it is, whatever the text.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    let start = out.len();
    // A string always has a JSON form, and writing to a vector does not fail.
    let _ = serde_json::to_writer(&mut *out, text);
    if text.contains(BULK_URL_TOKEN) {
        let escaped = String::from_utf8_lossy(out.get(start..).unwrap_or_default()).into_owned();
        let masked = BULK_URL_TOKEN.replacen('@', "\\u0040", 1);
        out.truncate(start);
        out.extend_from_slice(escaped.replace(BULK_URL_TOKEN, &masked).as_bytes());
    }
}
