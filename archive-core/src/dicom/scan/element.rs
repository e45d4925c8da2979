//! The header of one data element: tag, value representation, length (PS3.5 §7.1).
//!
//! Eight or twelve bytes, gathered however the input is split. Nothing is judged here but the form: a value
//! representation that the standard does not know is read as PS3.5 §7.1.2 says for those to come (two upper-case
//! letters, two zero bytes, a length of four bytes), any other two characters as having a length of two, as DCMTK does.
//! Two control characters are no value representation at all but the lower half of a length: some senders write single
//! elements in Implicit VR, as pydicom knows too.

use dicom_core::{Tag, VR};

use super::vr;
use crate::dicom::transfer_syntaxes::Encoding;

/// Item (FFFE,E000).
pub(super) const ITEM: Tag = Tag(0xFFFE, 0xE000);
/// Item Delimitation Item (FFFE,E00D).
pub(super) const ITEM_DELIMITER: Tag = Tag(0xFFFE, 0xE00D);
/// Sequence Delimitation Item (FFFE,E0DD).
pub(super) const SEQUENCE_DELIMITER: Tag = Tag(0xFFFE, 0xE0DD);
/// Pixel Data (7FE0,0010).
pub(super) const PIXEL_DATA: Tag = Tag(0x7FE0, 0x0010);

const UNDEFINED_LENGTH: u32 = 0xFFFF_FFFF;

/// Two bytes as a number.
pub(super) const fn number_16(bytes: [u8; 2], encoding: Encoding) -> u16 {
    match encoding {
        Encoding::ExplicitBig => u16::from_be_bytes(bytes),
        _ => u16::from_le_bytes(bytes),
    }
}

/// Four bytes as a number.
pub(super) const fn number_32(bytes: [u8; 4], encoding: Encoding) -> u32 {
    match encoding {
        Encoding::ExplicitBig => u32::from_be_bytes(bytes),
        _ => u32::from_le_bytes(bytes),
    }
}

/// The header of a data element.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ElementHeader {
    /// Which attribute.
    pub tag: Tag,
    /// Its value representation; UN where that is unknown, and for items and delimiters.
    pub vr: VR,
    /// The two bytes where a value representation should stand are none.
    pub vr_unknown: bool,
    /// Implicit, and US or SS: Pixel Representation (0028,0103) decides (PS3.5 §A.1).
    pub sign_from_context: bool,
    /// Bytes of value; `None` where the length is undefined.
    pub length: Option<u64>,
    /// Where the header begins, in bytes of content.
    pub offset: u64,
    /// Where the value begins.
    pub value_offset: u64,
    /// How the element is encoded.
    pub encoding: Encoding,
}

impl ElementHeader {
    /// Stands for a data set that is no element: level 0 of the stack.
    pub(super) const fn of_data_set(encoding: Encoding) -> Self {
        Self {
            tag: Tag(0, 0),
            vr: VR::SQ,
            vr_unknown: false,
            sign_from_context: false,
            length: None,
            offset: 0,
            value_offset: 0,
            encoding,
        }
    }
}

/// Gathers the bytes of a header.
#[derive(Debug, Default)]
pub(super) struct HeaderBytes {
    bytes: [u8; 12],
    filled: usize,
}

impl HeaderBytes {
    /// What was gathered so far.
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.filled == 0
    }

    pub(super) const fn clear(&mut self) {
        self.filled = 0;
    }

    /// Takes what is missing from the front of `input`; gives the rest of it, and whether the header is complete.
    pub(super) fn take<'a>(&mut self, mut input: &'a [u8], encoding: Encoding) -> (&'a [u8], bool) {
        loop {
            let missing = self.length(encoding) - self.filled;
            let (taken, rest) = input.split_at(missing.min(input.len()));
            for (to, &from) in self.bytes.iter_mut().skip(self.filled).zip(taken) {
                *to = from;
            }
            self.filled += taken.len();
            input = rest;
            if taken.len() < missing {
                return (input, false);
            }
            if self.length(encoding) == self.filled {
                return (input, true);
            }
        }
    }

    /// Bytes of this header, as far as can be said: 8 until they are there.
    fn length(&self, encoding: Encoding) -> usize {
        let long = self.filled >= 8 && encoding != Encoding::ImplicitLittle && !self.is_delimiter(encoding);
        if long && self.has_long_length() { 12 } else { 8 }
    }

    /// Items and delimiters have no value representation, whatever the syntax (PS3.5 §7.5).
    fn is_delimiter(&self, encoding: Encoding) -> bool {
        self.tag(encoding).is_some_and(|tag| tag.group() == 0xFFFE)
    }

    fn has_long_length(&self) -> bool {
        let [_, _, _, _, first, second, reserved @ ..] = self.bytes;
        match VR::from_binary([first, second]) {
            Some(known) => vr::has_long_length(known),
            None => first.is_ascii_uppercase() && second.is_ascii_uppercase() && reserved.starts_with(&[0, 0]),
        }
    }

    fn is_implicit_among_explicit(&self, encoding: Encoding) -> bool {
        let [_, _, _, _, first, second, ..] = self.bytes;
        encoding == Encoding::ExplicitLittle && first < b' ' && second < b' '
    }

    /// The tag, once four bytes are there.
    pub(super) fn tag(&self, encoding: Encoding) -> Option<Tag> {
        let [g0, g1, e0, e1, ..] = self.bytes;
        (self.filled >= 4).then(|| Tag(number_16([g0, g1], encoding), number_16([e0, e1], encoding)))
    }

    /// Reads a complete header that began at `offset`.
    pub(super) fn decode(&self, offset: u64, encoding: Encoding) -> ElementHeader {
        let [_, _, _, _, b4, b5, b6, b7, b8, b9, b10, b11] = self.bytes;
        let tag = self.tag(encoding).unwrap_or(Tag(0, 0));
        let mut header = ElementHeader { tag, offset, vr: VR::UN, ..ElementHeader::of_data_set(encoding) };
        let length = if tag.group() == 0xFFFE {
            number_32([b4, b5, b6, b7], encoding)
        } else if encoding == Encoding::ImplicitLittle || self.is_implicit_among_explicit(encoding) {
            header.vr_unknown = encoding != Encoding::ImplicitLittle;
            header.encoding = Encoding::ImplicitLittle;
            (header.vr, header.sign_from_context) = vr::of_implicit(tag);
            number_32([b4, b5, b6, b7], Encoding::ImplicitLittle)
        } else {
            let known = VR::from_binary([b4, b5]);
            header.vr = known.unwrap_or(VR::UN);
            header.vr_unknown = known.is_none();
            if self.filled == 12 {
                number_32([b8, b9, b10, b11], encoding)
            } else {
                u32::from(number_16([b6, b7], encoding))
            }
        };
        header.length = (length != UNDEFINED_LENGTH).then_some(u64::from(length));
        header.value_offset = offset + self.filled as u64;
        header
    }
}
