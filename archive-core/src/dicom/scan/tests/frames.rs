//! Which bytes are which frame (PS3.5 §8, §A.4).

use dicom_core::{Tag, VR};

use super::builder::{DataSet, LITTLE, element, encapsulated};
use super::{codes, scan_as};
use crate::dicom::cut::{Fragment, Frame};
use crate::dicom::scan::{Scan, ScanError};

const PIXELS: Tag = Tag(0x7FE0, 0x0010);
const NATIVE: &str = "1.2.840.10008.1.2.1";
const BASELINE: &str = "1.2.840.10008.1.2.4.50";
const RLE: &str = "1.2.840.10008.1.2.5";
const MPEG4: &str = "1.2.840.10008.1.2.4.102";

fn fragments(scan: &Scan) -> Vec<Fragment> {
    scan.cut.fragments.to_vec().unwrap()
}

fn frames(scan: &Scan) -> Vec<(u32, u32)> {
    scan.cut.frames.to_vec().unwrap().iter().map(|frame: &Frame| (frame.first_fragment, frame.fragment_count)).collect()
}

fn native(set: DataSet, value: &[u8]) -> Scan {
    scan_as(&set.element(PIXELS, VR::OW, value).build(), NATIVE).unwrap()
}

/// Encapsulated frames; each fragment holds its number.
fn frames_of(syntax: &str, number_of_frames: Option<&str>, table: &[u32], lengths: &[usize]) -> Scan {
    let table = table.iter().flat_map(|offset| offset.to_le_bytes()).collect::<Vec<_>>();
    let values: Vec<_> = (0..).zip(lengths).map(|(number, &length)| vec![number; length]).collect();
    let items: Vec<_> = std::iter::once(&table[..]).chain(values.iter().map(Vec::as_slice)).collect();
    let bytes = DataSet::keyed(LITTLE).image(4, 4, 1, 8, number_of_frames).raw(PIXELS, encapsulated(&items)).build();
    let scan = scan_as(&bytes, syntax).unwrap();
    for (number, fragment) in (0_u8..).zip(fragments(&scan)) {
        let value = &bytes[usize::try_from(fragment.offset).unwrap()..][..usize::try_from(fragment.length).unwrap()];
        assert!(value.iter().all(|&byte| byte == number), "fragment {number} lies where it should");
    }
    scan
}

#[test]
fn native_frames_lie_one_after_the_other() {
    let value: Vec<u8> = (0..12).collect();
    let bytes = DataSet::keyed(LITTLE).image(2, 2, 1, 8, Some("3")).element(PIXELS, VR::OW, &value).build();
    let scan = scan_as(&bytes, NATIVE).unwrap();
    let start = bytes.len() as u64 - 12;
    let expected = [0, 4, 8].map(|offset| Fragment { offset: start + offset, length: 4 });
    assert_eq!(fragments(&scan), expected);
    assert_eq!(frames(&scan), [(0, 1), (1, 1), (2, 1)]);
    assert_eq!(codes(&scan), [""; 0]);
}

#[test]
fn padding_is_no_part_of_a_frame() {
    let scan = native(DataSet::keyed(LITTLE).image(3, 1, 1, 8, Some("3")), &[7; 10]);
    assert!(fragments(&scan).iter().all(|fragment| fragment.length == 3));
    assert_eq!(codes(&scan), [""; 0]);
}

#[test]
fn float_pixels_have_frames_too() {
    let bytes =
        DataSet::keyed(LITTLE).image(2, 2, 1, 32, Some("2")).element(Tag(0x7FE0, 0x0008), VR::OF, &[0; 32]).build();
    assert_eq!(frames(&scan_as(&bytes, NATIVE).unwrap()).len(), 2);
}

#[test]
fn native_4_2_2_has_two_samples_a_pixel_unless_its_length_says_three() {
    for (length, frame) in [(16, 8), (24, 12)] {
        let set = DataSet::keyed(LITTLE).image(2, 2, 3, 8, Some("2")).text(Tag(0x0028, 0x0004), VR::CS, "YBR_FULL_422");
        let scan = native(set, &vec![7; length]);
        assert_eq!(frames(&scan).len(), 2);
        assert!(fragments(&scan).iter().all(|fragment| fragment.length == frame));
    }
}

#[test]
fn frames_that_share_bytes_cannot_be_told_apart() {
    let scan = native(DataSet::keyed(LITTLE).image(3, 3, 1, 1, Some("4")), &[7; 6]);
    assert_eq!((fragments(&scan).len(), frames(&scan).len()), (1, 0));
    assert_eq!(codes(&scan), ["frames-unknown"]);
    let scan = native(DataSet::keyed(LITTLE).image(3, 3, 1, 1, None), &[7; 2]);
    assert_eq!(frames(&scan), [(0, 1)], "a single frame is the whole value");
    let scan = native(DataSet::keyed(LITTLE).image(4, 4, 1, 1, Some("3")), &[7; 6]);
    assert_eq!(frames(&scan).len(), 3, "two bytes each");
}

#[test]
fn a_description_that_does_not_fit_is_noted() {
    let short = native(DataSet::keyed(LITTLE).image(9, 9, 1, 16, Some("3")), &[7; 20]);
    assert_eq!((codes(&short), frames(&short).len(), fragments(&short).len()), (vec!["pixel-data-short"], 0, 1));
    let long = native(DataSet::keyed(LITTLE).image(2, 2, 1, 8, Some("2")), &[7; 20]);
    assert_eq!((codes(&long), frames(&long).len()), (vec!["pixel-data-long"], 2));
    let unreadable = native(DataSet::keyed(LITTLE).image(2, 2, 1, 8, Some("1A")), &[7; 20]);
    assert_eq!((codes(&unreadable), frames(&unreadable).len()), (vec!["not-a-number", "frames-unknown"], 0));
    let one = native(DataSet::keyed(LITTLE).image(2, 2, 1, 8, Some("1A")), &[7; 4]);
    assert_eq!(frames(&one), [(0, 1)], "there is room for one only");
}

#[test]
fn an_attribute_of_another_value_representation_is_not_used() {
    let set = DataSet::keyed(LITTLE).image(2, 2, 1, 8, Some("2")).without(Tag(0x0028, 0x0010));
    let scan = native(set.text(Tag(0x0028, 0x0010), VR::DS, "2"), &[7; 8]);
    assert_eq!((codes(&scan), frames(&scan).len()), (vec!["frames-unknown"], 0));
}

#[test]
fn i12_a_claim_of_billions_of_frames_costs_nothing() {
    let set = DataSet::keyed(LITTLE).image(65_535, 65_535, 65_535, 65_528, Some("2147483647"));
    assert_eq!(frames(&native(set, &[7; 8])).len(), 0);
    let set = DataSet::keyed(LITTLE).image(1, 1, 1, 8, Some("99999999"));
    let pixels = super::builder::header(LITTLE, PIXELS, VR::OW, 99_999_999);
    let refused = scan_as(&set.raw(PIXELS, pixels).build(), NATIVE);
    assert!(matches!(refused, Err(ScanError::Limit { what: "fragments", .. })), "{refused:?}");
}

#[test]
fn one_frame_takes_all_fragments() {
    let scan = frames_of(BASELINE, None, &[], &[10, 20, 6]);
    assert_eq!(frames(&scan), [(0, 3)]);
    assert_eq!(codes(&scan), [""; 0]);
}

#[test]
fn each_fragment_is_a_frame_where_the_counts_agree() {
    let scan = frames_of(RLE, Some("3"), &[], &[10, 20, 6]);
    assert_eq!(frames(&scan), [(0, 1), (1, 1), (2, 1)]);
    assert_eq!(codes(&scan), [""; 0]);
}

#[test]
fn the_basic_offset_table_puts_fragments_together() {
    let scan = frames_of(BASELINE, Some("2"), &[0, 18 + 28], &[10, 20, 6]);
    assert_eq!(frames(&scan), [(0, 2), (2, 1)]);
    assert_eq!(codes(&scan), [""; 0]);
}

#[test]
fn an_offset_table_that_disagrees_is_not_used() {
    for table in [&[0, 19][..], &[0, 10_000], &[18, 46], &[0, 0], &[46, 0], &[0], &[0, 18, 46]] {
        let scan = frames_of(BASELINE, Some("2"), table, &[10, 20, 6]);
        assert_eq!(frames(&scan), [], "{table:?}");
        assert_eq!(codes(&scan), ["offset-table-wrong", "frames-unknown"], "{table:?}");
        let scan = frames_of(BASELINE, Some("3"), &table[..1], &[10, 20, 6]);
        assert_eq!((frames(&scan).len(), codes(&scan)), (3, vec!["offset-table-wrong"]), "each fragment is one");
    }
}

#[test]
fn the_extended_offset_table_goes_before_the_basic_one() {
    let table = [0_u64, 18].map(u64::to_le_bytes).concat();
    let lengths = [10_u64, 20].map(u64::to_le_bytes).concat();
    let bytes = DataSet::keyed(LITTLE)
        .image(4, 4, 1, 8, Some("2"))
        .raw(Tag(0x7FE0, 0x0001), element(LITTLE, Tag(0x7FE0, 0x0001), VR::OV, &table))
        .raw(Tag(0x7FE0, 0x0002), element(LITTLE, Tag(0x7FE0, 0x0002), VR::OV, &lengths))
        .raw(PIXELS, encapsulated(&[b"", &[0; 10], &[1; 20]]))
        .build();
    let scan = scan_as(&bytes, BASELINE).unwrap();
    assert_eq!((frames(&scan), codes(&scan)), (vec![(0, 1), (1, 1)], vec![]));
}

#[test]
fn without_tables_and_with_other_counts_frames_are_unknown() {
    let scan = frames_of(BASELINE, Some("2"), &[], &[10, 20, 6]);
    assert_eq!((fragments(&scan).len(), frames(&scan)), (3, vec![]));
    assert_eq!(codes(&scan), ["frames-unknown"]);
}

#[test]
fn fragments_of_video_are_one_stream() {
    let scan = frames_of(MPEG4, Some("250"), &[], &[100, 200]);
    assert_eq!((fragments(&scan).len(), frames(&scan), codes(&scan)), (2, vec![], vec![]));
}

#[test]
fn pixels_in_sequences_are_no_frames() {
    use super::builder::{item, open_sequence};
    let icon = [element(LITTLE, Tag(0x0028, 0x0010), VR::US, &[9, 0]), encapsulated(&[b"", b"icon"])].concat();
    let sequence = open_sequence(LITTLE, Tag(0x0008, 0x2200), &item(LITTLE, &icon));
    let bytes = DataSet::keyed(LITTLE)
        .image(2, 2, 1, 8, None)
        .raw(Tag(0x0008, 0x2200), sequence)
        .raw(PIXELS, encapsulated(&[b"", b"image!"]))
        .build();
    let scan = scan_as(&bytes, BASELINE).unwrap();
    assert_eq!((fragments(&scan).len(), frames(&scan)), (1, vec![(0, 1)]));
    let header = super::header_of(&scan);
    let icon = header["00082200"]["Value"][0]["7FE00010"]["BulkDataURI"].as_str().unwrap().to_owned();
    let (_, place) = icon.rsplit_once("/OB-").unwrap();
    let (offset, length) = place.split_once('-').unwrap();
    let at: usize = offset.parse().unwrap();
    let length: usize = length.parse().unwrap();
    assert_eq!(&bytes[at..][..length], &encapsulated(&[b"", b"icon"])[12..], "items and delimiter");
}

#[test]
fn pixels_in_another_form_than_the_syntax_says_are_noted() {
    let bytes = DataSet::keyed(LITTLE).raw(PIXELS, encapsulated(&[b"", b"abcd"])).build();
    assert_eq!(codes(&scan_as(&bytes, NATIVE).unwrap()), ["pixel-data-form"]);
    let bytes = DataSet::keyed(LITTLE).image(1, 2, 1, 8, None).element(PIXELS, VR::OW, b"ab").build();
    assert_eq!(codes(&scan_as(&bytes, BASELINE).unwrap()), ["pixel-data-form"]);
}
