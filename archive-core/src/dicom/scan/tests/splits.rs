//! Any split gives the same, and nothing panics.

use proptest::prelude::*;

use super::builder::{BIG, DataSet, IMPLICIT, LITTLE, encapsulated, file, item, open_item, open_sequence};
use super::corpus::corpus;
use super::{file_options, scan_in_pieces, uid_of};
use crate::dicom::scan::{Scan, ScanError, ScanOptions, Scanner};
use dicom_core::{Tag, VR};

fn options() -> ScanOptions {
    file_options(&std::env::temp_dir())
}

/// Everything that a scan says, in one text.
fn said(result: &Result<Scan, ScanError>) -> String {
    match result {
        Ok(scan) => format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            scan.keys,
            scan.content,
            scan.file,
            scan.attributes.to_json().to_string(),
            scan.header_json.as_deref().map(String::from_utf8_lossy),
            scan.cut.units.to_vec().unwrap(),
            (scan.cut.fragments.to_vec().unwrap(), scan.cut.frames.to_vec().unwrap()),
            scan.warnings,
        ),
        Err(error) => error.to_string(),
    }
}

/// Files that hold a bit of everything.
fn files() -> Vec<Vec<u8>> {
    let mut files: Vec<_> = [LITTLE, BIG, IMPLICIT]
        .into_iter()
        .map(|encoding| {
            let inner = super::builder::element(encoding, Tag(0x0040, 0x0254), VR::LO, b"inside");
            let items = [item(encoding, &inner), open_item(encoding, &inner)].concat();
            let set = DataSet::keyed(encoding)
                .image(4, 8, 1, 16, Some("2"))
                .text(Tag(0x0010, 0x0010), VR::PN, "Doe^Jane")
                .raw(Tag(0x0040, 0x0275), open_sequence(encoding, Tag(0x0040, 0x0275), &items))
                .element(Tag(0x0041, 0x1001), VR::UN, &[7; 1500])
                .element(Tag(0x7FE0, 0x0010), VR::OW, &[9; 128]);
            file(uid_of(encoding), &set.build())
        })
        .collect();
    let table = [0_u32, 8 + 2500].map(u32::to_le_bytes).concat();
    let pixels = encapsulated(&[&table, &[1; 2500], &[2; 2500], &[3; 30]]);
    let set = DataSet::keyed(LITTLE).image(4, 4, 1, 8, Some("2")).raw(Tag(0x7FE0, 0x0010), pixels);
    files.push(file("1.2.840.10008.1.2.4.50", &set.build()));
    files
}

/// The smallest files of the corpus, accepted or not.
fn small_corpus_files(count: usize) -> Vec<Vec<u8>> {
    let mut files: Vec<_> = corpus().into_iter().map(|case| case.bytes).filter(|bytes| bytes.len() > 200).collect();
    files.sort_by_key(Vec::len);
    files.truncate(count);
    files
}

#[test]
fn a_split_at_every_position_gives_the_same() {
    for bytes in files() {
        let whole = said(&scan_in_pieces(&bytes, usize::MAX, options()));
        assert!(!whole.starts_with("truncated"), "{whole}");
        for at in 0..=bytes.len() {
            let mut scanner = Scanner::new(options()).unwrap();
            let (front, back) = bytes.split_at(at);
            let split = scanner.push(front).and_then(|()| scanner.push(back)).and_then(|()| scanner.finish());
            assert_eq!(said(&split), whole, "split at {at}");
        }
        assert_eq!(said(&scan_in_pieces(&bytes, 1, options())), whole, "byte by byte");
    }
}

#[test]
fn real_files_give_the_same_however_they_come() {
    for case in corpus() {
        let whole = said(&scan_in_pieces(&case.bytes, usize::MAX, options()));
        let pieces = said(&scan_in_pieces(&case.bytes, 1009, options()));
        assert_eq!(whole, pieces, "{}", case.path);
    }
}

#[test]
fn i14_a_file_cut_at_any_byte_is_refused_or_ends_at_an_element() {
    for bytes in files().into_iter().chain(small_corpus_files(12)) {
        let Ok(whole) = scan_in_pieces(&bytes, usize::MAX, options()) else { continue };
        for length in 0..bytes.len() {
            let Ok(cut) = scan_in_pieces(&bytes[..length], usize::MAX, options()) else { continue };
            assert!(whole.content_length > cut.content_length && cut.cut.frames.len() <= whole.cut.frames.len());
            // What is left is a data set of its own: the cut was between two elements.
            let (prefix, rest) = (&bytes[..whole.prefix.len()], &bytes[length..]);
            let rest = scan_in_pieces(&[prefix, rest].concat(), usize::MAX, options());
            let refusal = rest.map(|scan| scan.keys);
            let is_placed = matches!(&refusal, Ok(_) | Err(ScanError::MissingUid { .. }));
            assert!(is_placed, "cut at {length}: {refusal:?}");
        }
    }
}

fn mutated() -> impl Strategy<Value = (Vec<u8>, usize)> {
    let all: Vec<_> = files().into_iter().chain(small_corpus_files(40)).collect();
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    (prop::sample::select(all), prop::collection::vec(change, 1..8), 1..300_usize).prop_map(
        |(mut bytes, changes, piece)| {
            for (index, value, kind) in changes {
                if bytes.is_empty() {
                    break;
                }
                let at = index.index(bytes.len());
                match kind {
                    0 => bytes[at] = value,
                    1 => bytes[at] ^= 1 << (value % 8),
                    2 => drop(bytes.remove(at)),
                    _ => bytes.truncate(at.max(bytes.len() / 2)),
                }
            }
            (bytes, piece)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn i14_damaged_files_do_not_panic_and_any_split_says_the_same((bytes, piece) in mutated()) {
        let whole = scan_in_pieces(&bytes, usize::MAX, options());
        let pieces = scan_in_pieces(&bytes, piece, options());
        match (&whole, &pieces) {
            (Ok(_), Ok(_)) => prop_assert_eq!(said(&whole), said(&pieces)),
            (Err(_), Err(_)) => {}
            _ => prop_assert!(false, "{} but {}", said(&whole), said(&pieces)),
        }
        if let Ok(scan) = &whole {
            let header = scan.header_json.as_deref().expect("asked for");
            prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(header).is_ok());
            super::corpus::check_units("damaged", &bytes[scan.prefix.len()..], &scan.cut.units.to_vec().unwrap());
        }
    }

    #[test]
    fn i14_any_bytes_are_refused_or_accepted_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let bare = super::scan_data_set(&bytes, LITTLE);
        prop_assert!(bare.is_err());
        prop_assert!(scan_in_pieces(&bytes, usize::MAX, options()).is_err());
    }
}
