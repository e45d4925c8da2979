//! What comes before the data set of a file, or fails to (PS3.10 §7.1).

use dicom_core::{Tag, VR};

use super::builder::{BIG, DataSet, IMPLICIT, LITTLE, element, file, meta_group};
use super::{codes, file_options, scan_in_pieces, uid_of};
use crate::dicom::scan::{Scan, ScanError, Scanner};

fn scan(bytes: &[u8]) -> Result<Scan, ScanError> {
    let whole = scan_in_pieces(bytes, usize::MAX, file_options(&std::env::temp_dir()));
    let by_bytes = scan_in_pieces(bytes, 1, file_options(&std::env::temp_dir()));
    assert_eq!(format!("{whole:?}"), format!("{by_bytes:?}"));
    whole
}

fn assert_prefix(bytes: &[u8], prefix_bytes: usize, expected: &[&str]) -> Scan {
    let scan = scan(bytes).unwrap();
    assert_eq!(scan.prefix, bytes[..prefix_bytes]);
    assert_eq!(codes(&scan), expected);
    assert_eq!(scan.content_length, (bytes.len() - prefix_bytes) as u64);
    scan
}

#[test]
fn i2_a_prefix_is_kept_as_it_came() {
    let content = DataSet::keyed(LITTLE).build();
    let bytes = file(uid_of(LITTLE), &content);
    assert_prefix(&bytes, bytes.len() - content.len(), &[]);
}

#[test]
fn content_begins_where_the_prefix_ends() {
    let content = DataSet::keyed(LITTLE).build();
    let bytes = file(uid_of(LITTLE), &content);
    let mut scanner = Scanner::new(file_options(&std::env::temp_dir())).unwrap();
    assert_eq!(scanner.content_offset(), None);
    scanner.push(&bytes).unwrap();
    assert_eq!(scanner.content_offset(), Some((bytes.len() - content.len()) as u64));
}

#[test]
fn parts_of_a_prefix_may_be_missing() {
    let content = DataSet::keyed(LITTLE).build();
    let meta = meta_group(Some(uid_of(LITTLE)));
    let no_preamble = [&b"DICM"[..], &meta, &content].concat();
    assert_prefix(&no_preamble, 4 + meta.len(), &["no-preamble"]);
    let meta_only = [&meta[..], &content].concat();
    assert_prefix(&meta_only, meta.len(), &["no-preamble"]);
    let no_meta = [&[0; 128][..], b"DICM", &content].concat();
    assert_prefix(&no_meta, 132, &["no-meta-group"]);
    for encoding in [LITTLE, BIG, IMPLICIT] {
        let scan = assert_prefix(&DataSet::keyed(encoding).build(), 0, &["no-preamble", "no-meta-group"]);
        assert_eq!(scan.transfer_syntax.as_str(), uid_of(encoding));
    }
}

#[test]
fn a_missing_transfer_syntax_is_guessed() {
    for encoding in [LITTLE, BIG, IMPLICIT] {
        let meta = meta_group(None);
        let bytes = [&[0; 128][..], b"DICM", &meta, &DataSet::keyed(encoding).build()].concat();
        let scan = assert_prefix(&bytes, 132 + meta.len(), &["no-transfer-syntax"]);
        assert_eq!(scan.transfer_syntax.as_str(), uid_of(encoding));
    }
}

#[test]
fn a_wrong_or_missing_group_length_swallows_nothing() {
    let content = DataSet::keyed(LITTLE).build();
    let right = meta_group(Some(uid_of(LITTLE)));
    for wrong in [0_u32, 10, 5000, u32::MAX] {
        let mut meta = right.clone();
        meta[8..12].copy_from_slice(&wrong.to_le_bytes());
        let bytes = [&[0; 128][..], b"DICM", &meta, &content].concat();
        assert_prefix(&bytes, 132 + meta.len(), &["meta-group-length"]);
    }
    let bytes = [&[0; 128][..], b"DICM", &right[12..], &content].concat();
    assert_prefix(&bytes, 132 + right.len() - 12, &["meta-group-length"]);
}

#[test]
fn a_meta_group_in_implicit_vr_is_read() {
    let content = DataSet::keyed(LITTLE).build();
    let meta = element(IMPLICIT, Tag(0x0002, 0x0010), VR::UI, b"1.2.840.10008.1.2.1\0");
    let bytes = [&[0; 128][..], b"DICM", &meta, &content].concat();
    let scan = assert_prefix(&bytes, 132 + meta.len(), &["meta-group-length", "meta-implicit"]);
    assert_eq!(scan.transfer_syntax.as_str(), uid_of(LITTLE));
}

#[test]
fn a_meta_group_that_disagrees_is_kept_and_noted() {
    let content = DataSet::keyed(LITTLE)
        .without(Tag(0x0008, 0x0016))
        .without(Tag(0x0008, 0x0018))
        .text(Tag(0x0008, 0x0016), VR::UI, "1.2.840.10008.5.1.4.1.1.4")
        .text(Tag(0x0008, 0x0018), VR::UI, "9.9")
        .build();
    let scan = scan(&file(uid_of(LITTLE), &content)).unwrap();
    assert_eq!(codes(&scan), ["meta-sop-class-differs", "meta-sop-uid-differs"]);
    assert_eq!(scan.keys.sop.as_str(), "9.9", "the data set decides");
}

#[test]
fn dicm_by_chance_in_a_data_set_without_preamble_is_no_preamble() {
    let mut content = DataSet::keyed(LITTLE).text(Tag(0x0008, 0x0005), VR::CS, "ISO_IR 100").build();
    let description = element(LITTLE, Tag(0x0008, 0x1030), VR::LO, &[b'x'; 200]);
    let at = content.windows(4).position(|bytes| bytes == b"\x20\0\x0D\0").unwrap();
    content.splice(at..at, description);
    content[128..132].copy_from_slice(b"DICM");
    assert_prefix(&content, 0, &["no-preamble", "no-meta-group"]);
}

#[test]
fn i12_a_prefix_without_end_is_refused() {
    let meta = element(LITTLE, Tag(0x0002, 0x0102), VR::OB, &vec![0; 70_000]);
    let bytes = [&[0; 128][..], b"DICM", &meta_group(Some(uid_of(LITTLE))), &meta].concat();
    assert!(matches!(scan(&bytes), Err(ScanError::Limit { limit: 65_536, tag: Some(Tag(0x0002, 0x0102)), .. })));
}

#[test]
fn i14_a_file_that_ends_in_its_prefix_is_refused() {
    let bytes = file(uid_of(LITTLE), &[]);
    for length in 0..=bytes.len() {
        assert!(scan_in_pieces(&bytes[..length], 64, file_options(&std::env::temp_dir())).is_err(), "{length}");
    }
}

#[test]
fn i14_what_is_not_dicom_is_called_what_it_is() {
    let cases: [(&[u8], &str); 6] = [
        (b"", "no bytes"),
        (b"PK\x03\x04 and so on, long enough to be looked at", "ZIP"),
        (b"{\"00080018\": {}}", "JSON"),
        (b"\xFF\xD8\xFF\xE0 JFIF", "JPEG"),
        (b"It was a dark and stormy night; the rain fell in torrents", "neither"),
        (&[0; 4096], "neither"),
    ];
    for (bytes, word) in cases {
        let error = scan(bytes).map(|scan| scan.keys).unwrap_err();
        assert!(matches!(error, ScanError::NotDicom { .. }) && error.to_string().contains(word), "{error}");
    }
}

#[test]
fn a_dicomdir_is_refused_as_what_it_is() {
    let class = element(LITTLE, Tag(0x0002, 0x0002), VR::UI, b"1.2.840.10008.1.3.10");
    let bytes = [&[0; 128][..], b"DICM", &class, &DataSet::keyed(LITTLE).build()].concat();
    assert!(matches!(scan(&bytes), Err(ScanError::NotAnInstance { .. })));
}

#[test]
fn after_an_error_every_call_gives_it_again() {
    let mut scanner = Scanner::new(file_options(&std::env::temp_dir())).unwrap();
    let first = scanner.push(&[b'x'; 200]).unwrap_err().to_string();
    let content = file(uid_of(LITTLE), &DataSet::keyed(LITTLE).build());
    assert_eq!(scanner.push(&content).unwrap_err().to_string(), first);
    assert_eq!(scanner.finish().map(|scan| scan.keys).unwrap_err().to_string(), first);
}

#[test]
fn a_scratch_folder_that_is_not_there_is_said_at_once() {
    let missing = std::env::temp_dir().join("vellum-no-such-folder");
    assert!(Scanner::new(file_options(&missing)).is_err());
}

#[test]
fn a_scanner_may_move_between_threads() {
    let scanner = Scanner::new(file_options(&std::env::temp_dir())).unwrap();
    let error = std::thread::spawn(move || scanner.finish().map(|scan| scan.keys).unwrap_err()).join().unwrap();
    assert!(matches!(error, ScanError::NotDicom { .. }));
}
