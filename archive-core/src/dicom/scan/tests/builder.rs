//! Makes small data sets, well formed or not.

use dicom_core::{Tag, VR};

use crate::dicom::scan::vr::has_long_length;
use crate::dicom::transfer_syntaxes::Encoding;

pub(super) const LITTLE: Encoding = Encoding::ExplicitLittle;
pub(super) const BIG: Encoding = Encoding::ExplicitBig;
pub(super) const IMPLICIT: Encoding = Encoding::ImplicitLittle;

pub(super) const UNDEFINED: u32 = u32::MAX;

pub(super) fn number_16(encoding: Encoding, number: u16) -> [u8; 2] {
    if encoding == BIG { number.to_be_bytes() } else { number.to_le_bytes() }
}

pub(super) fn number_32(encoding: Encoding, number: u32) -> [u8; 4] {
    if encoding == BIG { number.to_be_bytes() } else { number.to_le_bytes() }
}

/// The header of an element.
pub(super) fn header(encoding: Encoding, tag: Tag, vr: VR, length: u32) -> Vec<u8> {
    let mut bytes = [number_16(encoding, tag.group()), number_16(encoding, tag.element())].concat();
    if encoding == IMPLICIT || tag.group() == 0xFFFE {
        bytes.extend(number_32(encoding, length));
    } else if has_long_length(vr) {
        bytes.extend(vr.to_bytes());
        bytes.extend([0, 0]);
        bytes.extend(number_32(encoding, length));
    } else {
        bytes.extend(vr.to_bytes());
        bytes.extend(number_16(encoding, u16::try_from(length).expect("a short value")));
    }
    bytes
}

pub(super) fn element(encoding: Encoding, tag: Tag, vr: VR, value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(value.len()).expect("a small value");
    [header(encoding, tag, vr, length), value.to_vec()].concat()
}

pub(super) fn item(encoding: Encoding, content: &[u8]) -> Vec<u8> {
    element(encoding, Tag(0xFFFE, 0xE000), VR::UN, content)
}

pub(super) fn open_item(encoding: Encoding, content: &[u8]) -> Vec<u8> {
    let end = header(encoding, Tag(0xFFFE, 0xE00D), VR::UN, 0);
    [header(encoding, Tag(0xFFFE, 0xE000), VR::UN, UNDEFINED), content.to_vec(), end].concat()
}

pub(super) fn sequence_end(encoding: Encoding) -> Vec<u8> {
    header(encoding, Tag(0xFFFE, 0xE0DD), VR::UN, 0)
}

/// A sequence of undefined length.
pub(super) fn open_sequence(encoding: Encoding, tag: Tag, items: &[u8]) -> Vec<u8> {
    [header(encoding, tag, VR::SQ, UNDEFINED), items.to_vec(), sequence_end(encoding)].concat()
}

/// Encapsulated Pixel Data: the items, the Basic Offset Table first.
pub(super) fn encapsulated(items: &[&[u8]]) -> Vec<u8> {
    let items = items.iter().flat_map(|value| item(LITTLE, value)).collect::<Vec<_>>();
    [header(LITTLE, Tag(0x7FE0, 0x0010), VR::OB, UNDEFINED), items, sequence_end(LITTLE)].concat()
}

/// A data set whose elements are put in order; it has the UIDs of a key unless they are taken out.
#[derive(Clone)]
pub(super) struct DataSet {
    pub encoding: Encoding,
    elements: Vec<(Tag, Vec<u8>)>,
}

pub(super) const CT_IMAGE: &str = "1.2.840.10008.5.1.4.1.1.2";

impl DataSet {
    pub(super) fn keyed(encoding: Encoding) -> Self {
        Self { encoding, elements: Vec::new() }
            .text(Tag(0x0008, 0x0016), VR::UI, CT_IMAGE)
            .text(Tag(0x0008, 0x0018), VR::UI, "1.2.3.4")
            .text(Tag(0x0020, 0x000D), VR::UI, "1.2.3.1")
            .text(Tag(0x0020, 0x000E), VR::UI, "1.2.3.2")
    }

    pub(super) fn without(mut self, tag: Tag) -> Self {
        self.elements.retain(|(other, _)| *other != tag);
        self
    }

    /// Bytes that are put where an element with this tag belongs.
    pub(super) fn raw(mut self, tag: Tag, bytes: impl Into<Vec<u8>>) -> Self {
        self.elements.push((tag, bytes.into()));
        self
    }

    pub(super) fn element(self, tag: Tag, vr: VR, value: &[u8]) -> Self {
        let bytes = element(self.encoding, tag, vr, value);
        self.raw(tag, bytes)
    }

    pub(super) fn text(self, tag: Tag, vr: VR, text: &str) -> Self {
        let padding = if vr == VR::UI { b'\0' } else { b' ' };
        let mut value = text.as_bytes().to_vec();
        value.extend((value.len() % 2 == 1).then_some(padding));
        self.element(tag, vr, &value)
    }

    pub(super) fn number(self, tag: Tag, number: u16) -> Self {
        let value = number_16(self.encoding, number);
        self.element(tag, VR::US, &value)
    }

    /// Rows, Columns, Samples per Pixel, Bits Allocated, Number of Frames.
    pub(super) fn image(self, rows: u16, columns: u16, samples: u16, bits: u16, frames: Option<&str>) -> Self {
        let described = self
            .number(Tag(0x0028, 0x0002), samples)
            .number(Tag(0x0028, 0x0010), rows)
            .number(Tag(0x0028, 0x0011), columns)
            .number(Tag(0x0028, 0x0100), bits);
        match frames {
            Some(frames) => described.text(Tag(0x0028, 0x0008), VR::IS, frames),
            None => described,
        }
    }

    pub(super) fn build(mut self) -> Vec<u8> {
        self.elements.sort_by_key(|(tag, _)| *tag);
        self.elements.into_iter().flat_map(|(_, bytes)| bytes).collect()
    }
}

/// A file meta group with its right length.
pub(super) fn meta_group(transfer_syntax: Option<&str>) -> Vec<u8> {
    let mut group = element(LITTLE, Tag(0x0002, 0x0001), VR::OB, &[0, 1]);
    group.extend(element(LITTLE, Tag(0x0002, 0x0002), VR::UI, format!("{CT_IMAGE}\0").as_bytes()));
    group.extend(element(LITTLE, Tag(0x0002, 0x0003), VR::UI, b"1.2.3.4\0"));
    if let Some(uid) = transfer_syntax {
        let padded = if uid.len() % 2 == 1 { format!("{uid}\0") } else { uid.to_owned() };
        group.extend(element(LITTLE, Tag(0x0002, 0x0010), VR::UI, padded.as_bytes()));
    }
    let length = u32::try_from(group.len()).expect("a small group").to_le_bytes();
    [element(LITTLE, Tag(0x0002, 0x0000), VR::UL, &length), group].concat()
}

/// A Part 10 file.
pub(super) fn file(transfer_syntax: &str, content: &[u8]) -> Vec<u8> {
    [&[0; 128][..], b"DICM", &meta_group(Some(transfer_syntax)), content].concat()
}
