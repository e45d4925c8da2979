//! Guesses how a data set is encoded from its first element, where nobody says so.
//!
//! The element must be one of the dictionary and look in every part as the encoding would have it. This is strict on
//! purpose: it is also what tells a data set without preamble from text, pictures and archives.

use dicom_core::dictionary::VirtualVr;
use dicom_core::{Tag, VR};

use super::element::{number_16, number_32};
use super::vr;
use crate::dicom::transfer_syntaxes::Encoding;

/// Bytes that a guess needs.
pub(super) const GUESS_BYTES: usize = 12;

/// No first element is longer: it is a group length, a character set, a date or the like.
const FIRST_VALUE_MAX: u32 = 0xFFFF;

/// The encoding of a data set that begins with these bytes; `None` if they begin none.
pub(super) fn encoding_of(bytes: &[u8]) -> Option<Encoding> {
    let &first: &[u8; 8] = bytes.first_chunk()?;
    let explicit = [Encoding::ExplicitLittle, Encoding::ExplicitBig].into_iter().find(|&encoding| {
        let [_, _, _, _, b4, b5, ..] = first;
        VR::from_binary([b4, b5]).is_some_and(|vr| is_of(tag_of(first, encoding), vr))
    });
    explicit.or_else(|| looks_implicit(first).then_some(Encoding::ImplicitLittle))
}

/// What something that is not DICOM looks like, for the error.
pub(super) fn other_format(bytes: &[u8]) -> &'static str {
    const FORMATS: [(&[u8], &str); 10] = [
        (b"PK\x03\x04", "this is a ZIP archive; unpack it and send what is in it"),
        (b"\x1F\x8B", "this is gzip data; unpack it and send what is in it"),
        (b"\xFF\xD8\xFF", "this is a bare JPEG or JPEG-LS image"),
        (b"\x00\x00\x00\x0CjP  ", "this is a bare JPEG 2000 image"),
        (b"\xFF\x4F\xFF\x51", "this is a bare JPEG 2000 image"),
        (b"\x89PNG", "this is a PNG image"),
        (b"%PDF", "this is a PDF document"),
        (b"{", "this looks like JSON"),
        (b"<", "this looks like XML or HTML"),
        (b"\x28\xB5\x2F\xFD", "this is Zstandard data; unpack it and send what is in it"),
    ];
    if bytes.is_empty() {
        return "there are no bytes at all";
    }
    let known = FORMATS.iter().find(|(magic, _)| bytes.starts_with(magic));
    known.map_or("the first bytes are neither a file meta group nor a data element", |(_, what)| what)
}

fn tag_of([g0, g1, e0, e1, ..]: [u8; 8], encoding: Encoding) -> Tag {
    Tag(number_16([g0, g1], encoding), number_16([e0, e1], encoding))
}

/// Whether the dictionary has this attribute with this value representation, or one that may stand for it.
fn is_of(tag: Tag, vr: VR) -> bool {
    if tag.element() == 0 {
        return vr == VR::UL && (0x0004..=0x0010).contains(&tag.group());
    }
    match vr::in_dictionary(tag) {
        Some(VirtualVr::Exact(expected)) => vr == expected || vr == VR::UN,
        Some(_) => vr::is_binary(vr) || matches!(vr, VR::US | VR::SS),
        None => false,
    }
}

fn looks_implicit(first: [u8; 8]) -> bool {
    let [_, _, _, _, b4, b5, b6, b7] = first;
    let tag = tag_of(first, Encoding::ImplicitLittle);
    let length = number_32([b4, b5, b6, b7], Encoding::ImplicitLittle);
    if tag.element() == 0 {
        return length == 4 && (0x0004..=0x0010).contains(&tag.group());
    }
    match vr::in_dictionary(tag) {
        Some(VirtualVr::Exact(VR::SQ)) => length == u32::MAX || length <= FIRST_VALUE_MAX,
        Some(_) => length <= FIRST_VALUE_MAX,
        None => false,
    }
}
