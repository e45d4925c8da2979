//! The index attributes and their bounds.

use dicom_core::{Tag, VR};
use serde_json::json;

use super::builder::{DataSet, LITTLE, element, item, open_sequence};
use super::{codes, scan_data_set};
use crate::dicom::attributes::Attributes;

const STUDY_DESCRIPTION: Tag = Tag(0x0008, 0x1030);
const REQUEST_ATTRIBUTES: Tag = Tag(0x0040, 0x0275);

#[test]
fn index_attributes_are_those_of_the_data_set_itself() {
    let inner = [
        element(LITTLE, Tag(0x0010, 0x0020), VR::LO, b"INNER "),
        element(LITTLE, Tag(0x0040, 0x0009), VR::SH, b"STEP"),
    ];
    let sequence = open_sequence(LITTLE, REQUEST_ATTRIBUTES, &item(LITTLE, &inner.concat()));
    let bytes = DataSet::keyed(LITTLE).raw(REQUEST_ATTRIBUTES, sequence).image(2, 3, 1, 8, None).build();
    let attributes = scan_data_set(&bytes, LITTLE).unwrap().attributes;
    assert_eq!(attributes.element(Tag(0x0010, 0x0020)), None);
    let step = json!({"vr": "SH", "Value": ["STEP"]});
    assert_eq!(attributes.values(REQUEST_ATTRIBUTES)[0]["00400009"], step);
    assert_eq!(attributes.text(Tag(0x0028, 0x0011)).as_deref(), Some("3"));
}

#[test]
fn i12_a_long_text_is_cut_at_a_character_and_noted() {
    let text = "é".repeat(600);
    let bytes = DataSet::keyed(LITTLE)
        .text(Tag(0x0008, 0x0005), VR::CS, "ISO_IR 192")
        .text(STUDY_DESCRIPTION, VR::LO, &format!("x{text}"))
        .build();
    let scan = scan_data_set(&bytes, LITTLE).unwrap();
    assert_eq!(codes(&scan), ["index-value-cut"]);
    let indexed = scan.attributes.text(STUDY_DESCRIPTION).unwrap();
    assert_eq!(indexed, format!("x{}", "é".repeat(511)));
}

#[test]
fn i12_many_values_are_cut_and_noted() {
    let names = vec!["OTHER^NAME"; 2000].join("\\");
    let bytes = DataSet::keyed(LITTLE).text(Tag(0x0010, 0x1001), VR::PN, &names).build();
    let scan = scan_data_set(&bytes, LITTLE).unwrap();
    assert_eq!(codes(&scan), ["index-value-cut"]);
    let count = scan.attributes.values(Tag(0x0010, 0x1001)).len();
    assert!(count > 100 && count < 400, "{count}");
}

#[test]
fn i12_a_large_sequence_is_left_out_and_noted() {
    let items = item(LITTLE, &element(LITTLE, Tag(0x0040, 0x0009), VR::SH, b"STEP")).repeat(1000);
    let bytes =
        DataSet::keyed(LITTLE).raw(REQUEST_ATTRIBUTES, open_sequence(LITTLE, REQUEST_ATTRIBUTES, &items)).build();
    let scan = scan_data_set(&bytes, LITTLE).unwrap();
    assert_eq!(codes(&scan), ["index-value-omitted"]);
    assert_eq!(scan.attributes.element(REQUEST_ATTRIBUTES), None);
}

/// Sequences within sequences, and a value in the innermost.
fn nested(depth: usize) -> Vec<u8> {
    let name = element(LITTLE, Tag(0x0010, 0x0010), VR::PN, b"A^B ");
    (0..depth).fold(name, |inner, _| open_sequence(LITTLE, REQUEST_ATTRIBUTES, &item(LITTLE, &inner)))
}

/// The reader of a record reads so many levels of JSON and no more: an attribute that is indexed must leave it room, or the
/// whole record is taken for damaged.
#[test]
fn i1_attributes_of_any_depth_are_read_back_from_a_record_or_left_out_and_noted() {
    let mut omitted = 0;
    for depth in 1..=64 {
        let bytes = DataSet::keyed(LITTLE).raw(REQUEST_ATTRIBUTES, nested(depth)).build();
        let scan = scan_data_set(&bytes, LITTLE).unwrap();
        let record = json!({"facts": {"attributes": scan.attributes}}).to_string();
        let back: serde_json::Value = serde_json::from_str(&record).unwrap_or_else(|error| panic!("{depth}: {error}"));
        assert_eq!(Attributes::from_json(&back["facts"]["attributes"]), scan.attributes);
        match scan.attributes.element(REQUEST_ATTRIBUTES) {
            Some(_) => assert!(codes(&scan).is_empty(), "{depth}"),
            None => assert_eq!(codes(&scan), ["index-value-omitted"], "{depth}"),
        }
        omitted += usize::from(scan.attributes.element(REQUEST_ATTRIBUTES).is_none());
    }
    assert_eq!(omitted, 64 - 31, "31 levels of sequences are indexed");
}
