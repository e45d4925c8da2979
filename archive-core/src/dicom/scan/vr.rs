//! What the scanner needs to know of a value representation (PS3.5 §6.2, §7.1.2).

use dicom_core::dictionary::{DataDictionary as _, DataDictionaryEntry as _, VirtualVr};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;

use crate::dicom::cut::BULK_VALUE_MIN;

/// A value longer than this stands in DICOM JSON by reference, where it is not bulk already (bytes).
pub(super) const INLINE_TEXT_MAX: u64 = 64 * 1024;

/// Explicit VR gives its length in four bytes after two reserved ones (PS3.5 §7.1.2).
pub(super) const fn has_long_length(vr: VR) -> bool {
    matches!(
        vr,
        VR::OB
            | VR::OD
            | VR::OF
            | VR::OL
            | VR::OV
            | VR::OW
            | VR::SQ
            | VR::SV
            | VR::UC
            | VR::UN
            | VR::UR
            | VR::UT
            | VR::UV
    )
}

/// Strings of bytes or words: bulk where longer than [`BULK_VALUE_MIN`], `InlineBinary` where not.
pub(super) const fn is_binary(vr: VR) -> bool {
    matches!(vr, VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN)
}

/// The longest value that DICOM JSON holds itself (bytes).
pub(super) const fn inline_max(vr: VR) -> u64 {
    if is_binary(vr) { BULK_VALUE_MIN } else { INLINE_TEXT_MAX }
}

/// Bytes of one value, where all have the same number; of a word, for strings of words.
pub(super) const fn width(vr: VR) -> Option<usize> {
    match vr {
        VR::US | VR::SS | VR::OW => Some(2),
        VR::UL | VR::SL | VR::FL | VR::AT | VR::OL | VR::OF => Some(4),
        VR::UV | VR::SV | VR::FD | VR::OV | VR::OD => Some(8),
        _ => None,
    }
}

/// The value representation of an element in Implicit VR, and whether its sign hangs on Pixel Representation.
///
/// Where the standard leaves a choice it is made as PS3.5 §A.1 says: OW. Private elements are UN but for their
/// creators (PS3.5 §7.8.1), as is what the dictionary does not know.
pub(super) fn of_implicit(tag: Tag) -> (VR, bool) {
    if tag.element() == 0 {
        return (VR::UL, false);
    }
    if tag.group() % 2 == 1 {
        let creator = (0x0010..=0x00FF).contains(&tag.element());
        return (if creator { VR::LO } else { VR::UN }, false);
    }
    match in_dictionary(tag) {
        Some(VirtualVr::Exact(vr)) => (vr, false),
        Some(VirtualVr::Xs) => (VR::US, true),
        Some(_) => (VR::OW, false),
        None => (VR::UN, false),
    }
}

/// What the dictionary of the standard says.
pub(super) fn in_dictionary(tag: Tag) -> Option<VirtualVr> {
    StandardDataDictionary.by_tag(tag).map(|entry| entry.vr())
}
