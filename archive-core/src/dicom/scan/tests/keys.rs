//! Where an instance belongs.

use dicom_core::{Tag, VR};

use super::builder::{DataSet, LITTLE, element};
use super::{codes, scan_data_set};
use crate::dicom::scan::ScanError;

const SOP_CLASS: Tag = Tag(0x0008, 0x0016);
const SOP: Tag = Tag(0x0008, 0x0018);
const STUDY: Tag = Tag(0x0020, 0x000D);
const SERIES: Tag = Tag(0x0020, 0x000E);

#[test]
fn i14_a_missing_or_empty_uid_is_refused_by_its_name() {
    for (tag, keyword) in [
        (SOP_CLASS, "SOPClassUID"),
        (SOP, "SOPInstanceUID"),
        (STUDY, "StudyInstanceUID"),
        (SERIES, "SeriesInstanceUID"),
    ] {
        let without = DataSet::keyed(LITTLE).without(tag);
        let (missing, empty) = (without.clone().build(), without.element(tag, VR::UI, b"\0\0").build());
        // A missing one is missed where the data set ends, an empty one where it stands.
        let ([g0, g1], [e0, e1]) = (tag.group().to_le_bytes(), tag.element().to_le_bytes());
        let stands = empty.windows(4).position(|four| four == [g0, g1, e0, e1]).unwrap();
        for (bytes, at) in [(&missing, missing.len()), (&empty, stands)] {
            match scan_data_set(bytes, LITTLE) {
                Err(ScanError::MissingUid { name, tag: missing, offset }) => {
                    assert_eq!((name, missing, offset), (keyword, tag, at as u64));
                }
                other => panic!("{keyword}: {:?}", other.map(|scan| scan.keys)),
            }
        }
    }
}

#[test]
fn a_uid_inside_a_sequence_places_nothing() {
    let inner = element(LITTLE, SOP, VR::UI, b"9.9.9.9\0");
    let sequence = super::builder::open_sequence(LITTLE, Tag(0x0008, 0x1115), &super::builder::item(LITTLE, &inner));
    let bytes = DataSet::keyed(LITTLE).without(SOP).raw(Tag(0x0008, 0x1115), sequence).build();
    assert!(matches!(scan_data_set(&bytes, LITTLE), Err(ScanError::MissingUid { name: "SOPInstanceUID", .. })));
}

#[test]
fn uids_are_kept_as_they_came_without_padding() {
    let bytes = DataSet::keyed(LITTLE).without(SOP).element(SOP, VR::UI, b"not a uid\xE9\0 ").build();
    let scan = scan_data_set(&bytes, LITTLE).unwrap();
    assert_eq!(scan.keys.sop.as_str(), "not a uid\u{E9}");
    assert_eq!(scan.attributes.text(SOP).as_deref(), Some("not a uid\u{E9}"), "the index says the same");
}

#[test]
fn the_first_of_two_uids_counts() {
    let bytes = DataSet::keyed(LITTLE).element(SOP, VR::UI, b"9.9.9.9\0").build();
    let scan = scan_data_set(&bytes, LITTLE).unwrap();
    assert_eq!(scan.keys.sop.as_str(), "1.2.3.4");
    assert_eq!(scan.attributes.text(SOP).as_deref(), Some("1.2.3.4"));
    assert_eq!(codes(&scan), ["duplicate-element"]);
}

#[test]
fn objects_without_a_patient_live_in_the_pseudo_study_of_their_class() {
    let palette = |sop: &[u8]| {
        DataSet::keyed(LITTLE)
            .without(SOP_CLASS)
            .without(SOP)
            .without(STUDY)
            .without(SERIES)
            .text(SOP_CLASS, VR::UI, "1.2.840.10008.5.1.4.39.1")
            .element(SOP, VR::UI, sop)
    };
    let one = scan_data_set(&palette(b"1.2.3.4\0").build(), LITTLE).unwrap();
    let other = scan_data_set(&palette(b"1.2.3.5\0").element(STUDY, VR::UI, b"1.1.1\0").build(), LITTLE).unwrap();
    // UUID 5 of the OID 1.2.840.10008.5.1.4.39.1, as Python's uuid.uuid5 gives it.
    assert_eq!(one.keys.study.as_str(), "2.25.190311149830974255075096040205629097502");
    assert_eq!(one.keys.series.as_str(), "2.25.256562665452473249330316090585790582610");
    assert_eq!((&one.keys.study, &one.keys.series), (&other.keys.study, &other.keys.series));
}

#[test]
fn an_unknown_class_is_kept_and_noted() {
    let bytes = DataSet::keyed(LITTLE).without(SOP_CLASS).text(SOP_CLASS, VR::UI, "1.2.3.99").build();
    assert_eq!(codes(&scan_data_set(&bytes, LITTLE).unwrap()), ["unknown-sop-class"]);
}

#[test]
fn a_key_of_unbounded_length_is_refused() {
    let long = vec![b'1'; 1026];
    let bytes = DataSet::keyed(LITTLE).without(SOP).element(SOP, VR::UI, &long).build();
    assert!(matches!(scan_data_set(&bytes, LITTLE), Err(ScanError::Limit { limit: 1024, tag: Some(SOP), .. })));
}
