//! Promise I12 by the byte: what is claimed takes no memory, only what came does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use archive_core::dicom::scan::{Input, Scan, ScanError, ScanLimits, ScanOptions, Scanner};
use archive_core::identifiers::TransferSyntaxUid;
use fuzz_targets::memory;

/// What a scanner takes for itself, with room to spare (bytes).
const OWN: usize = 512 * 1024;

fn scan(input: Input, pieces: &[&[u8]]) -> Result<Scan, ScanError> {
    let options = ScanOptions {
        input,
        scratch: std::env::temp_dir(),
        limits: ScanLimits::default(),
        assumed_charset: None,
        header_json: true,
    };
    let mut scanner = Scanner::new(options).unwrap();
    for piece in pieces {
        scanner.push(piece)?;
    }
    scanner.finish()
}

fn explicit() -> Input {
    Input::DataSet(TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap())
}

/// Class 10: files of some 150 bytes whose meta group claims gigabytes, under representations of every kind; and a meta group
/// that goes on and on.
#[test]
fn meta_alloc_bounded() {
    for vr in [b"OB", b"UN", b"UT", b"SQ", b"ZZ", b"\0\0", b"UI"] {
        for length in [0xFFFF_FFF0_u32, 0xFFFF_FFFE, 0x7FFF_FFFF, 0x0001_0000] {
            let mut bytes = [[0; 128].as_slice(), b"DICM\x02\0\x02\x01", vr, &[0, 0], &length.to_le_bytes()].concat();
            bytes.extend([0; 8]);
            let refused = memory::within(OWN, || scan(Input::File, &[&bytes]).map(drop));
            assert!(refused.is_err(), "{}", bytes.escape_ascii());
        }
    }
    let element = b"\x02\0\x02\x01OB\0\0\x04\0\0\0abcd".repeat(10_000);
    let endless = [[0; 128].as_slice(), b"DICM", &element].concat();
    let pieces: Vec<&[u8]> = endless.chunks(4096).collect();
    let refused = memory::within(OWN, || scan(Input::File, &pieces).map(drop));
    assert!(matches!(refused, Err(ScanError::Limit { limit: 65_536, .. })), "{refused:?}");
}

/// Classes 10 and 18: a length in the data set is a claim too, whatever it is of.
#[test]
fn a_value_that_claims_gigabytes_takes_no_more_than_came() {
    for vr in [b"OB", b"OW", b"UN", b"UT", b"UC", b"UR", b"SQ"] {
        let head = [b"\x10\0\x10\x40", vr.as_slice(), &[0, 0], &0xF000_0000_u32.to_le_bytes()].concat();
        let value = vec![b'x'; 64 * 1024];
        let refused = memory::within(OWN + 2 * value.len(), || scan(explicit(), &[&head, &value]).map(drop));
        assert!(refused.is_err());
    }
}

/// Class 18: text of megabytes is kept whole in the content and short in the index.
#[test]
fn value_length_caps() {
    let text = |group: u16, number: u16, vr: &[u8; 2], value: &[u8]| {
        let mut bytes = [group.to_le_bytes(), number.to_le_bytes()].concat();
        bytes.extend(vr);
        if vr == b"UC" || vr == b"UT" {
            bytes.extend([0, 0]);
            bytes.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
        } else {
            bytes.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
        }
        bytes.extend(value);
        bytes
    };
    let long = "N^".repeat(15_000).into_bytes();
    let longer = b"c".repeat(4 << 20);
    let bytes = [
        text(8, 0x16, b"UI", b"1.2.840.10008.5.1.4.1.1.7\0"),
        text(8, 0x18, b"UI", b"1.2.3\0"),
        text(8, 0x1030, b"LO", &long),
        text(0x10, 0x10, b"PN", &long),
        text(0x10, 0x4000, b"UT", &longer),
        text(0x20, 0x0D, b"UI", b"1.2\0"),
        text(0x20, 0x0E, b"UI", b"1.2.1\0"),
    ]
    .concat();
    let pieces: Vec<&[u8]> = bytes.chunks(64 * 1024).collect();
    // A value that the header keeps is gathered whole, then written as JSON; what is longer stands by reference.
    let scan = memory::within(OWN + 1024 * 1024, || scan(explicit(), &pieces)).expect("kept");
    assert_eq!(scan.content_length, bytes.len() as u64);
    for (_, element) in scan.attributes.iter() {
        assert!(element.len() <= 8 * 1024 + 64);
    }
    assert!(scan.warnings.iter().any(|warning| warning.code == "index-value-cut"), "{:?}", scan.warnings);
}
