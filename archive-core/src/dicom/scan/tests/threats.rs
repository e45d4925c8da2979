//! Inputs that broke other readers of DICOM, by class (docs/THREATS.md).

use dicom_core::{Tag, VR};

use super::builder::{
    DataSet, LITTLE, UNDEFINED, element, encapsulated, file, header, item, meta_group, open_item, open_sequence,
};
use super::{codes, file_options, header_of, scan_as, scan_data_set, scan_in_pieces, uid_of};
use crate::dicom::scan::{Scan, ScanError};

const PIXELS: Tag = Tag(0x7FE0, 0x0010);
const FUNCTIONAL_GROUPS: Tag = Tag(0x5200, 0x9230);
const REFERENCED: Tag = Tag(0x0008, 0x1140);
/// Behind every other element of a keyed data set.
const LAST: Tag = Tag(0x0040, 0x0275);
const SOP: Tag = Tag(0x0008, 0x0018);
const SYNTAX: Tag = Tag(0x0002, 0x0010);

fn scan_file(bytes: &[u8]) -> Result<Scan, ScanError> {
    scan_in_pieces(bytes, 7, file_options(&std::env::temp_dir()))
}

/// Class 11: of elements that occur twice the first counts, in the data set, in an item, and in the meta group.
#[test]
fn duplicate_tag_rules() {
    let again = element(LITTLE, SOP, VR::UI, b"9.9\0");
    let twice = DataSet::keyed(LITTLE).raw(SOP, again.clone()).build();
    let scan = scan_data_set(&twice, LITTLE).unwrap();
    assert_eq!((scan.keys.sop.as_str(), codes(&scan)), ("1.2.3.4", vec!["duplicate-element"]));

    let inner = [element(LITTLE, SOP, VR::UI, b"1.1\0"), again].concat();
    let sequence = open_sequence(LITTLE, REFERENCED, &item(LITTLE, &inner));
    let scan = scan_data_set(&DataSet::keyed(LITTLE).raw(REFERENCED, sequence).build(), LITTLE).unwrap();
    assert_eq!(codes(&scan), ["duplicate-element"]);
    assert_eq!(header_of(&scan)["00081140"]["Value"][0]["00080018"]["Value"][0], "1.1");

    let content = DataSet::keyed(LITTLE).build();
    let repeated = [
        element(LITTLE, SYNTAX, VR::UI, b"1.2.840.10008.1.2.2\0"),
        element(LITTLE, Tag(0x0002, 0x0003), VR::UI, b"9.9\0"),
        element(LITTLE, Tag(0x0002, 0x0002), VR::UI, b"1.2.840.10008.1.3.10"),
    ];
    for repeated in repeated {
        let meta = [meta_group(Some(uid_of(LITTLE))), repeated].concat();
        let bytes = [&[0; 128][..], b"DICM", &meta, &content].concat();
        let scan = scan_file(&bytes).unwrap();
        assert_eq!(scan.transfer_syntax.as_str(), uid_of(LITTLE));
        assert_eq!(codes(&scan), ["meta-group-length", "duplicate-element"]);
        assert_eq!(scan.prefix.len(), 132 + meta.len(), "it is kept all the same");
    }
}

/// Class 12: what has no length ends where the input ends, and that is an error that says inside of what.
#[test]
fn undefined_length_eof() {
    let open = |tag, vr| header(LITTLE, tag, vr, UNDEFINED);
    let begun_item = header(LITTLE, Tag(0xFFFE, 0xE000), VR::UN, UNDEFINED);
    let cases = [
        (LAST, open(LAST, VR::SQ)),
        (LAST, [open(LAST, VR::SQ), begun_item.clone()].concat()),
        (LAST, [open(LAST, VR::SQ), open_item(LITTLE, b"")].concat()),
        (Tag(0x0041, 0x1001), [open(Tag(0x0041, 0x1001), VR::UN), begun_item].concat()),
        (PIXELS, open(PIXELS, VR::OB)),
        (PIXELS, [open(PIXELS, VR::OB), item(LITTLE, b""), item(LITTLE, b"ab")].concat()),
    ];
    for (tag, bytes) in cases {
        let whole = DataSet::keyed(LITTLE).raw(tag, bytes).build();
        match scan_as(&whole, "1.2.840.10008.1.2.4.50") {
            Err(ScanError::Truncated { tag: inside, end, .. }) => {
                assert_eq!((inside, end), (Some(tag), whole.len() as u64));
            }
            other => panic!("{tag}: {other:?}"),
        }
    }
}

/// Class 13: offsets and lengths that wrap around, go backwards, overlap or point nowhere are hints that are not taken.
#[test]
fn fragments_checked_math() {
    let bases: [&[u32]; 6] =
        [&[0, u32::MAX], &[u32::MAX - 7], &[8, 0], &[0, 0], &[0, 10_000], &[0xFFFF_FFF8, 0xFFFF_FFF0]];
    for table in bases {
        let table: Vec<u8> = table.iter().flat_map(|offset| offset.to_le_bytes()).collect();
        let pixels = encapsulated(&[&table, b"aa", b"bb", b"cc"]);
        let bytes = DataSet::keyed(LITTLE).image(4, 4, 1, 8, Some("2")).raw(PIXELS, pixels).build();
        let scan = scan_as(&bytes, "1.2.840.10008.1.2.4.50").unwrap();
        assert!(codes(&scan).contains(&"offset-table-wrong"), "{table:?}: {:?}", codes(&scan));
        let fragments = scan.cut.fragments.to_vec().unwrap();
        assert_eq!(fragments.len(), 3);
        for (fragment, value) in fragments.iter().zip([b"aa", b"bb", b"cc"]) {
            let at = usize::try_from(fragment.offset).unwrap();
            assert_eq!(&bytes[at..at + 2], value);
        }
    }
    for (offsets, lengths) in [([u64::MAX, 0], [2, 2]), ([0, u64::MAX - 1], [2, 2]), ([0, 10], [u64::MAX, 2])] {
        let table = |values: [u64; 2]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let bytes = DataSet::keyed(LITTLE)
            .image(4, 4, 1, 8, Some("2"))
            .element(Tag(0x7FE0, 0x0001), VR::OV, &table(offsets))
            .element(Tag(0x7FE0, 0x0002), VR::OV, &table(lengths))
            .raw(PIXELS, encapsulated(&[b"", b"aa", b"bb"]))
            .build();
        let scan = scan_as(&bytes, "1.2.840.10008.1.2.4.50").unwrap();
        // Lengths are not even looked at: those of the fragments are what counts.
        let is_wrong = offsets != [0, 10];
        assert_eq!(codes(&scan).contains(&"offset-table-wrong"), is_wrong, "{offsets:?}: {:?}", codes(&scan));
        let found: Vec<&[u8]> = scan
            .cut
            .fragments
            .to_vec()
            .unwrap()
            .iter()
            .map(|fragment| {
                &bytes[usize::try_from(fragment.offset).unwrap()..][..usize::try_from(fragment.length).unwrap()]
            })
            .collect();
        assert_eq!(found, [b"aa", b"bb"]);
    }
}

/// Class 14: rows, columns and frames whose product no integer holds, and numbers under another representation.
#[test]
fn dimensions_that_overflow_or_are_no_numbers_describe_nothing() {
    let huge = DataSet::keyed(LITTLE).image(u16::MAX, u16::MAX, u16::MAX, u16::MAX, Some("2147483647"));
    let scan = scan_data_set(&huge.element(PIXELS, VR::OW, &[7; 64]).build(), LITTLE).unwrap();
    assert!(scan.cut.frames.is_empty() && !codes(&scan).is_empty(), "{:?}", codes(&scan));
    for vr in [VR::UL, VR::UN, VR::DS, VR::OB, VR::FD] {
        let value: &[u8] = if vr == VR::DS { b"2 " } else { &[2, 0, 0, 0, 0, 0, 0, 0] };
        let bytes = DataSet::keyed(LITTLE)
            .image(2, 2, 1, 8, Some("1"))
            .without(Tag(0x0028, 0x0010))
            .element(Tag(0x0028, 0x0010), vr, value)
            .element(PIXELS, VR::OW, &[7; 4])
            .build();
        let scan = scan_data_set(&bytes, LITTLE).unwrap();
        let frames = scan.cut.frames.to_vec().unwrap();
        // One frame is all there is, however it is described: it is the whole value.
        assert!(frames.len() <= 1, "{vr:?}: {frames:?}");
    }
}

/// Class 17: counts that disagree. Frames are those that lie in Pixel Data, whatever is said of them elsewhere.
#[test]
fn functional_group_count_mismatch() {
    let group = item(LITTLE, &element(LITTLE, Tag(0x0020, 0x9056), VR::SH, b"1 "));
    for groups in [0, 1, 2, 200] {
        let sequence = open_sequence(LITTLE, FUNCTIONAL_GROUPS, &group.repeat(groups));
        let bytes = DataSet::keyed(LITTLE)
            .image(2, 2, 1, 8, Some("3"))
            .raw(FUNCTIONAL_GROUPS, sequence)
            .element(PIXELS, VR::OW, &[7; 12])
            .build();
        let scan = scan_data_set(&bytes, LITTLE).unwrap();
        assert_eq!(scan.cut.frames.len(), 3, "{groups} groups");
    }
}

/// Class 17: an object that refers to itself, and one that says so in every item. References are text here: nothing follows
/// them.
#[test]
fn reference_cycle() {
    let reference = item(LITTLE, &element(LITTLE, Tag(0x0008, 0x1155), VR::UI, b"1.2.3.4\0"));
    let to_itself = (0..60).fold(reference, |inner, _| {
        let around =
            [open_sequence(LITTLE, REFERENCED, &inner), element(LITTLE, Tag(0x0008, 0x1155), VR::UI, b"1.2.3.4\0")];
        open_item(LITTLE, &around.concat())
    });
    let bytes = DataSet::keyed(LITTLE).raw(REFERENCED, open_sequence(LITTLE, REFERENCED, &to_itself)).build();
    let scan = scan_file(&file(uid_of(LITTLE), &bytes)).unwrap();
    assert_eq!(scan.keys.sop.as_str(), "1.2.3.4");
}
