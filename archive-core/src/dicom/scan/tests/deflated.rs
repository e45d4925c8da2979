//! Deflated data sets (PS3.5 §A.5).

use std::io::Write as _;

use dicom_core::{Tag, VR};
use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::builder::{DataSet, LITTLE, file};
use super::corpus::check_units;
use super::{codes, data_set_options, file_options, header_of, scan_as, scan_in_pieces};
use crate::dicom::cut::UnitKind;
use crate::dicom::scan::{BULK_URL_TOKEN, ScanError};
use crate::identifiers::ContentId;

const DEFLATED: &str = "1.2.840.10008.1.2.1.99";

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn image(frames: usize) -> Vec<u8> {
    let pixels: Vec<u8> = (0..frames * 10_000).map(|index| (index * 7 % 251) as u8).collect();
    let set = DataSet::keyed(LITTLE).image(100, 100, 1, 8, Some(&frames.to_string()));
    set.element(Tag(0x7FE0, 0x0010), VR::OW, &pixels).build()
}

#[test]
fn content_and_units_are_over_the_deflated_bytes_and_frames_over_the_inflated() {
    let (inflated, deflated) = (image(3), deflate(&image(3)));
    let scan = scan_as(&deflated, DEFLATED).unwrap();
    assert_eq!((scan.content, scan.content_length), (ContentId::of(&deflated), deflated.len() as u64));
    assert!(scan.cut.inflated);
    let units = scan.cut.units.to_vec().unwrap();
    check_units("deflated", &deflated, &units);
    assert!(units.iter().all(|unit| unit.kind == UnitKind::Header));
    let start = inflated.len() - 30_000;
    let frame = scan.cut.fragments.get(2).unwrap().unwrap();
    assert_eq!((frame.offset, frame.length), (start as u64 + 20_000, 10_000));
    let reference = format!("{BULK_URL_TOKEN}/bulkdata/OW-i{start}-30000");
    assert_eq!(header_of(&scan)["7FE00010"]["BulkDataURI"], reference);
}

#[test]
fn a_prefix_before_a_deflated_data_set_ends_where_its_length_says() {
    // An empty block and an empty stored block: the stream begins with 02 00, as elements of the meta group do.
    let empty_blocks = [0x02, 0x00, 0x00, 0x00, 0xFF, 0xFF];
    let stream = [&empty_blocks[..], &deflate(&DataSet::keyed(LITTLE).build())].concat();
    let bytes = file(DEFLATED, &stream);
    let scan = scan_in_pieces(&bytes, 5, file_options(&std::env::temp_dir())).unwrap();
    assert_eq!(scan.prefix.len(), bytes.len() - stream.len());
    assert_eq!(codes(&scan), [""; 0]);
}

#[test]
fn what_follows_the_stream_is_looked_at() {
    let data_set = image(1);
    let stream = deflate(&data_set);
    let with = |trailer: &[u8]| scan_as(&[&stream, trailer].concat(), DEFLATED);
    let crc = crc32fast::hash(&data_set).to_le_bytes();
    let length = u32::try_from(data_set.len()).unwrap().to_le_bytes();
    let gzip = [crc, length].concat();
    assert_eq!(codes(&with(b"").unwrap()), [""; 0]);
    assert_eq!(codes(&with(b"\0").unwrap()), [""; 0]);
    assert_eq!(codes(&with(&[0; 30]).unwrap()), ["trailing-bytes"]);
    assert_eq!(codes(&with(&gzip).unwrap()), ["deflate-trailer"]);
    assert_eq!(codes(&with(&[&gzip[..], b"\0"].concat()).unwrap()), ["deflate-trailer"]);
    for trailer in [&b"x"[..], &[1; 8], &[&gzip[..], b"x"].concat(), &[[0; 20].as_slice(), b"x"].concat()] {
        assert!(matches!(with(trailer), Err(ScanError::Malformed { .. })), "{trailer:?}");
    }
}

#[test]
fn i14_a_stream_that_ends_early_is_truncated_and_a_damaged_one_is_refused() {
    let stream = deflate(&image(1));
    for length in [0, 1, 10, stream.len() / 2, stream.len() - 1] {
        let refused = scan_as(&stream[..length], DEFLATED);
        assert!(matches!(refused, Err(ScanError::Truncated { .. })), "{length}: {refused:?}");
        assert!(!refused.unwrap_err().to_string().contains("(0000,0000)"));
    }
    assert!(scan_as(&[0xFF; 100], DEFLATED).is_err());
}

#[test]
fn i12_inflating_is_bounded_by_size_and_ratio() {
    let bomb = deflate(&DataSet::keyed(LITTLE).element(Tag(0x7FE0, 0x0010), VR::OW, &vec![0; 8 << 20]).build());
    let refused = scan_as(&bomb, DEFLATED);
    let expected = Some(Tag(0x7FE0, 0x0010));
    assert!(
        matches!(refused, Err(ScanError::Limit { what: "inflated bytes per byte", limit: 200, tag, .. }) if tag == expected),
        "{refused:?}"
    );
    let mut options = data_set_options(&std::env::temp_dir(), DEFLATED);
    options.limits.inflated_bytes = 20_000;
    let refused = scan_in_pieces(&deflate(&image(3)), 100, options);
    assert!(matches!(refused, Err(ScanError::Limit { .. })), "{refused:?}");
}
