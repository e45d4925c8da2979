//! Tiny data sets in Explicit VR Little Endian.

use bytes::Bytes;

use crate::identifiers::TransferSyntaxUid;

/// An element with a short value.
fn element(group: u16, number: u16, vr: &str, value: &str) -> Vec<u8> {
    let mut value = value.as_bytes().to_vec();
    if value.len() % 2 == 1 {
        value.push(if vr == "UI" { 0 } else { b' ' });
    }
    let mut bytes = [group.to_le_bytes(), number.to_le_bytes()].concat();
    bytes.extend_from_slice(vr.as_bytes());
    bytes.extend_from_slice(&u16::try_from(value.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(&value);
    bytes
}

/// Instance `n` of a study, in its only series, with some text that makes its content differ.
#[must_use]
pub fn data_set(study: &str, n: u32, text: &str) -> Bytes {
    let elements = [
        element(0x0008, 0x0016, "UI", "1.2.840.10008.5.1.4.1.1.7"),
        element(0x0008, 0x0018, "UI", &format!("{study}.1.{n}")),
        element(0x0008, 0x0060, "CS", "OT"),
        element(0x0010, 0x0010, "PN", "Test^Patient"),
        element(0x0010, 0x0020, "LO", "ID-1"),
        element(0x0020, 0x000D, "UI", study),
        element(0x0020, 0x000E, "UI", &format!("{study}.1")),
        element(0x0020, 0x0013, "IS", &n.to_string()),
        element(0x0020, 0x4000, "LT", text),
    ];
    elements.concat().into()
}

/// A file's prefix: a preamble of one repeated byte, `DICM`, and the shortest meta group.
#[must_use]
pub fn prefix(preamble: u8) -> Bytes {
    let syntax = element(0x0002, 0x0010, "UI", "1.2.840.10008.1.2.1");
    let length = u32::try_from(syntax.len()).unwrap().to_le_bytes();
    let mut bytes = vec![preamble; 128];
    bytes.extend_from_slice(b"DICM");
    bytes.extend_from_slice(&[0x02, 0x00, 0x00, 0x00]);
    bytes.extend_from_slice(b"UL\x04\x00");
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&syntax);
    bytes.into()
}

/// The transfer syntax that these are in.
#[must_use]
pub fn explicit_little() -> TransferSyntaxUid {
    TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap()
}
