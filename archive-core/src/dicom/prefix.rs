//! The prefix of a data set that came without one: preamble, `DICM` and file meta group, composed from its receipt.
//!
//! It is composed the same way every time (promise I2: an export in ten years gives the same file), so nothing but
//! the receipt and the facts of the version may enter it (PS3.10 §7.1).

use crate::instance::VersionFacts;
use crate::receipt::Receipt;

/// Implementation Class UID (0002,0012) of every composed prefix.
pub const IMPLEMENTATION_CLASS_UID: &str = "2.25.265713284932180127834640817034715123451";
/// Implementation Version Name (0002,0013) of every composed prefix; names the form of the prefix, not the program.
pub const IMPLEMENTATION_VERSION_NAME: &str = "VELLUM_1";

/// The prefix for a bare data set: 128 zero bytes, `DICM`, and the elements (0002,0000), (0002,0001), (0002,0002),
/// (0002,0003), (0002,0010), (0002,0012), (0002,0013), then (0002,0016) Source AE and (0002,0017) Sending AE with the
/// calling AE title and (0002,0018) Receiving AE with the called one, where they are known.
#[must_use]
pub fn compose(facts: &VersionFacts, receipt: &Receipt) -> Vec<u8> {
    let mut group = Vec::with_capacity(256);
    element(&mut group, 0x0001, *b"OB", &[0, 1]);
    element(&mut group, 0x0002, *b"UI", facts.keys.sop_class.as_str().as_bytes());
    element(&mut group, 0x0003, *b"UI", facts.keys.sop.as_str().as_bytes());
    element(&mut group, 0x0010, *b"UI", facts.version.transfer_syntax.as_str().as_bytes());
    element(&mut group, 0x0012, *b"UI", IMPLEMENTATION_CLASS_UID.as_bytes());
    element(&mut group, 0x0013, *b"SH", IMPLEMENTATION_VERSION_NAME.as_bytes());
    if receipt.door == crate::caller::Door::CStore {
        element(&mut group, 0x0016, *b"AE", receipt.source.as_str().as_bytes());
        element(&mut group, 0x0017, *b"AE", receipt.source.as_str().as_bytes());
    }
    if let Some(local) = &receipt.resolved.local_ae {
        element(&mut group, 0x0018, *b"AE", local.as_str().as_bytes());
    }
    let length = u32::try_from(group.len()).unwrap_or(u32::MAX);
    let mut prefix = vec![0_u8; 128];
    prefix.extend_from_slice(b"DICM");
    element(&mut prefix, 0x0000, *b"UL", &length.to_le_bytes());
    prefix.extend_from_slice(&group);
    prefix
}

/// Appends one element of group 0002 in Explicit VR Little Endian, padded to even length (PS3.5 §7.1.2, §6.2). UIDs
/// of the scanner hold one character a byte; a character beyond ASCII was a byte that no UID may hold and is written
/// as UTF-8, the same way every time.
fn element(into: &mut Vec<u8>, number: u16, vr: [u8; 2], value: &[u8]) {
    let padding = value.len() % 2;
    let length = value.len() + padding;
    into.extend_from_slice(&0x0002_u16.to_le_bytes());
    into.extend_from_slice(&number.to_le_bytes());
    into.extend_from_slice(&vr);
    if vr == *b"OB" {
        into.extend_from_slice(&[0, 0]);
        into.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    } else {
        into.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
    }
    into.extend_from_slice(value);
    if padding == 1 {
        into.push(if vr == *b"UI" || vr == *b"OB" { 0 } else { b' ' });
    }
}
