//! The index attributes and their bounds.

use dicom_core::{Tag, VR};
use serde_json::json;

use super::builder::{DataSet, LITTLE, element, item, open_sequence};
use super::{codes, scan_data_set};

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
