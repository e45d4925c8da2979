//! What can be delimited and what cannot (PS3.5 §7).

use dicom_core::{Tag, VR};

use super::builder::{
    BIG, DataSet, IMPLICIT, LITTLE, UNDEFINED, element, header, item, number_16, number_32, open_item, open_sequence,
    sequence_end,
};
use super::{codes, data_set_options, header_of, scan_as, scan_data_set, scan_in_pieces, uid_of};
use crate::dicom::scan::{ScanError, ScanLimits};

const SEQUENCE: Tag = Tag(0x0040, 0x0275);
const COMMENT: Tag = Tag(0x0040, 0x0254);

#[test]
fn all_encodings_and_kinds_of_length_say_the_same() {
    let mut headers = Vec::new();
    for encoding in [LITTLE, BIG, IMPLICIT] {
        let inner = element(encoding, COMMENT, VR::LO, b"inside");
        for items in [item(encoding, &inner), open_item(encoding, &inner)] {
            let open = open_sequence(encoding, SEQUENCE, &items);
            let defined = element(encoding, SEQUENCE, VR::SQ, &items);
            for sequence in [open, defined] {
                let bytes = DataSet::keyed(encoding).raw(SEQUENCE, sequence).image(2, 3, 1, 8, None).build();
                let scan = scan_data_set(&bytes, encoding).unwrap();
                assert_eq!(codes(&scan), [""; 0]);
                assert_eq!(scan.content_length, bytes.len() as u64);
                headers.push(header_of(&scan));
            }
        }
    }
    assert_eq!(headers[0]["00400275"]["Value"][0]["00400254"]["Value"][0], "inside");
    assert_eq!(headers[0]["00280011"]["Value"][0], 3);
    assert!(headers.iter().all(|header| *header == headers[0]));
}

#[test]
fn a_sequence_in_un_of_undefined_length_is_implicit_little_endian_whatever_is_around_it() {
    for encoding in [LITTLE, BIG] {
        let private = Tag(0x0041, 0x1001);
        let items = open_item(IMPLICIT, &element(IMPLICIT, COMMENT, VR::LO, b"inside"));
        let sequence = [header(encoding, private, VR::UN, UNDEFINED), items, sequence_end(IMPLICIT)].concat();
        let scan = scan_data_set(&DataSet::keyed(encoding).raw(private, sequence).build(), encoding).unwrap();
        assert_eq!(header_of(&scan)["00411001"]["Value"][0]["00400254"]["Value"][0], "inside");
    }
}

#[test]
fn un_of_defined_length_is_opaque() {
    let private = Tag(0x0041, 0x1001);
    let bytes = DataSet::keyed(LITTLE).element(private, VR::UN, &item(LITTLE, b"\xFF\xFF")).build();
    let scan = scan_data_set(&bytes, LITTLE).unwrap();
    assert_eq!(header_of(&scan)["00411001"]["InlineBinary"], "/v8A4AIAAAD//w==");
}

#[test]
fn i12_nesting_beyond_the_limit_is_refused_without_recursion() {
    let one = [header(LITTLE, SEQUENCE, VR::SQ, UNDEFINED), header(LITTLE, Tag(0xFFFE, 0xE000), VR::UN, UNDEFINED)];
    let deep = DataSet::keyed(LITTLE).raw(SEQUENCE, one.concat().repeat(200_000)).build();
    let refused = scan_data_set(&deep, LITTLE);
    assert!(matches!(refused, Err(ScanError::Limit { limit: 64, tag: Some(SEQUENCE), .. })), "{refused:?}");

    // With the limit out of the way, it is still memory and not the program's stack that it takes.
    let mut options = data_set_options(&std::env::temp_dir(), uid_of(LITTLE));
    options.limits.depth = usize::MAX;
    let refused = scan_in_pieces(&deep, 1 << 20, options);
    assert!(matches!(refused, Err(ScanError::Truncated { tag: Some(SEQUENCE), .. })), "{refused:?}");
}

#[test]
fn nesting_at_the_limit_is_accepted() {
    let nested = (0..64).fold(Vec::new(), |inner, _| open_sequence(LITTLE, SEQUENCE, &open_item(LITTLE, &inner)));
    let scan = scan_data_set(&DataSet::keyed(LITTLE).raw(SEQUENCE, nested).build(), LITTLE).unwrap();
    assert_eq!(codes(&scan), ["index-value-omitted"], "too deep for the index, but kept");
}

#[test]
fn i12_the_number_of_elements_is_limited() {
    let mut options = data_set_options(&std::env::temp_dir(), uid_of(LITTLE));
    options.limits = ScanLimits { elements: 3, ..ScanLimits::default() };
    let refused = scan_in_pieces(&DataSet::keyed(LITTLE).build(), 7, options);
    assert!(matches!(refused, Err(ScanError::Limit { what: "elements", limit: 3, .. })));
}

#[test]
fn i12_a_length_that_reaches_past_the_content_limit_is_refused_at_its_header() {
    let pixels = header(LITTLE, Tag(0x7FE0, 0x0010), VR::OW, 0xF000_0000);
    let mut options = data_set_options(&std::env::temp_dir(), uid_of(LITTLE));
    options.limits.content_bytes = 1 << 30;
    let refused = scan_in_pieces(&DataSet::keyed(LITTLE).raw(Tag(0x7FE0, 0x0010), pixels).build(), 9, options);
    assert!(matches!(refused, Err(ScanError::Limit { tag: Some(Tag(0x7FE0, 0x0010)), .. })));
}

#[test]
fn i14_what_ends_inside_something_is_truncated_there() {
    let cases = [
        header(LITTLE, COMMENT, VR::LO, 8)[..6].to_vec(),
        [header(LITTLE, COMMENT, VR::LO, 8), b"short".to_vec()].concat(),
    ];
    for bytes in cases {
        let begun = DataSet::keyed(LITTLE).build().len() as u64;
        match scan_data_set(&DataSet::keyed(LITTLE).raw(COMMENT, bytes.clone()).build(), LITTLE) {
            Err(ScanError::Truncated { tag, offset, end }) => {
                assert_eq!((tag, offset, end), (Some(COMMENT), begun, begun + bytes.len() as u64));
            }
            other => panic!("{other:?}"),
        }
    }
    let open_sequence = header(LITTLE, SEQUENCE, VR::SQ, UNDEFINED);
    let open_item = [open_sequence.clone(), header(LITTLE, Tag(0xFFFE, 0xE000), VR::UN, UNDEFINED)].concat();
    let pixels = header(LITTLE, Tag(0x7FE0, 0x0010), VR::OB, UNDEFINED);
    for (tag, bytes) in [(SEQUENCE, open_sequence), (SEQUENCE, open_item), (Tag(0x7FE0, 0x0010), pixels)] {
        let refused = scan_data_set(&DataSet::keyed(LITTLE).raw(tag, bytes).build(), LITTLE);
        assert!(matches!(refused, Err(ScanError::Truncated { tag: open, .. }) if open == Some(tag)), "{refused:?}");
    }
}

#[test]
fn i14_what_ends_inside_a_tag_names_the_element_before_it() {
    let whole = DataSet::keyed(LITTLE).text(COMMENT, VR::LO, "whole").build();
    let cut = [whole.as_slice(), &[0x28, 0x00, 0x10]].concat();
    match scan_data_set(&cut, LITTLE) {
        Err(ScanError::Truncated { tag, offset, end }) => {
            assert_eq!((tag, offset, end), (Some(COMMENT), whole.len() as u64, cut.len() as u64));
        }
        other => panic!("{other:?}"),
    }
    let nothing_before = scan_data_set(&[0x08, 0x00, 0x05], LITTLE).unwrap_err();
    assert!(matches!(nothing_before, ScanError::Truncated { tag: None, offset: 0, end: 3 }), "{nothing_before}");
    assert!(!nothing_before.to_string().contains("(0000,0000)"), "{nothing_before}");
    let fragment = [header(LITTLE, Tag(0xFFFE, 0xE000), VR::UN, 100), vec![1; 50]].concat();
    let pixels = Tag(0x7FE0, 0x0010);
    let pixels = [header(LITTLE, pixels, VR::OB, UNDEFINED), header(LITTLE, Tag(0xFFFE, 0xE000), VR::UN, 0), fragment];
    let refused = scan_data_set(&[whole, pixels.concat()].concat(), LITTLE);
    assert!(matches!(refused, Err(ScanError::Truncated { tag: Some(Tag(0x7FE0, 0x0010)), .. })), "{refused:?}");
}

#[test]
fn i14_bytes_after_the_padding_name_the_last_element() {
    let whole = DataSet::keyed(LITTLE).text(COMMENT, VR::LO, "whole").build();
    let refused = scan_data_set(&[whole.as_slice(), &[0; 20], b"x"].concat(), LITTLE).unwrap_err();
    let expected = whole.len() as u64 + 20;
    assert!(matches!(refused, ScanError::Malformed { tag: Some(COMMENT), offset, .. } if offset == expected));
}

#[test]
fn i14_what_reaches_past_its_enclosure_cannot_be_delimited() {
    let inner = element(LITTLE, COMMENT, VR::LO, b"inside");
    let too_long = header(LITTLE, COMMENT, VR::LO, 100);
    let item_too_long = header(LITTLE, Tag(0xFFFE, 0xE000), VR::UN, 100);
    let cases = [
        element(LITTLE, SEQUENCE, VR::SQ, &item(LITTLE, &too_long)),
        element(LITTLE, SEQUENCE, VR::SQ, &item_too_long),
        element(LITTLE, SEQUENCE, VR::SQ, &item(LITTLE, &[inner.clone(), vec![0; 4]].concat())),
        element(LITTLE, SEQUENCE, VR::SQ, &inner),
        item(LITTLE, b""),
        header(LITTLE, Tag(0xFFFE, 0xE0AA), VR::UN, 0),
        header(LITTLE, COMMENT, VR::UT, UNDEFINED),
    ];
    for bytes in cases {
        let data_set = DataSet::keyed(LITTLE).raw(SEQUENCE, [bytes, vec![1; 200]].concat()).build();
        let refused = scan_data_set(&data_set, LITTLE);
        assert!(matches!(refused, Err(ScanError::Malformed { .. })), "{refused:?}");
    }
}

#[test]
fn delimiters_that_are_missing_or_too_many_are_noted() {
    let inner = element(LITTLE, COMMENT, VR::LO, b"inside");
    let begun_item = [header(LITTLE, Tag(0xFFFE, 0xE000), VR::UN, UNDEFINED), inner.clone()].concat();
    let item_end = header(LITTLE, Tag(0xFFFE, 0xE00D), VR::UN, 0);
    let long_end = header(LITTLE, Tag(0xFFFE, 0xE0DD), VR::UN, 0x1234);
    let cases = [
        (open_sequence(LITTLE, SEQUENCE, &begun_item), "delimiter-missing"),
        (element(LITTLE, SEQUENCE, VR::SQ, &begun_item), "delimiter-missing"),
        (
            element(LITTLE, SEQUENCE, VR::SQ, &[item(LITTLE, &inner), sequence_end(LITTLE)].concat()),
            "delimiter-unexpected",
        ),
        (
            element(LITTLE, SEQUENCE, VR::SQ, &item(LITTLE, &[inner.clone(), item_end.clone()].concat())),
            "delimiter-unexpected",
        ),
        ([element(LITTLE, SEQUENCE, VR::SQ, &item(LITTLE, &inner)), item_end].concat(), "delimiter-unexpected"),
        ([header(LITTLE, SEQUENCE, VR::SQ, UNDEFINED), item(LITTLE, &inner), long_end].concat(), "delimiter-length"),
    ];
    for (sequence, code) in cases {
        let scan = scan_data_set(&DataSet::keyed(LITTLE).raw(SEQUENCE, sequence).build(), LITTLE).unwrap();
        assert_eq!(codes(&scan), [code]);
        assert_eq!(header_of(&scan)["00400275"]["Value"][0]["00400254"]["Value"][0], "inside", "{code}");
    }
}

#[test]
fn unknown_value_representations_are_delimited() {
    let raw = |rest: &[u8]| [&[0x40, 0x00, 0x54, 0x02][..], rest].concat();
    let cases = [
        raw(b"ZZ\0\0\x04\0\0\0abcd"),
        raw(b"ZZ\x04\0abcd"),
        raw(b"  \x04\0abcd"),
        raw(b"??\x04\0abcd"),
        raw(b"\x04\0\0\0abcd"),
    ];
    for bytes in cases {
        let after = element(LITTLE, Tag(0x0040, 0x0280), VR::ST, b"after");
        let data_set = DataSet::keyed(LITTLE).raw(COMMENT, [bytes.clone(), after].concat()).build();
        let scan = scan_data_set(&data_set, LITTLE).unwrap();
        assert_eq!(codes(&scan), ["unknown-vr", "odd-length"], "{bytes:?}");
        assert_eq!(header_of(&scan)["00400280"]["Value"][0], "after");
    }
}

#[test]
fn order_and_repetition_are_noted_and_the_first_counts() {
    let name = |text: &[u8]| element(LITTLE, Tag(0x0010, 0x0020), VR::LO, text);
    let late = [element(LITTLE, COMMENT, VR::LO, b"x "), name(b"first "), name(b"second")].concat();
    let scan = scan_data_set(&DataSet::keyed(LITTLE).raw(COMMENT, late).build(), LITTLE).unwrap();
    assert_eq!(codes(&scan), ["out-of-order", "duplicate-element"]);
    assert_eq!(scan.attributes.text(Tag(0x0010, 0x0020)).as_deref(), Some("first"));
    let text = String::from_utf8(scan.header_json.clone().unwrap()).unwrap();
    let places: Vec<_> = ["00080016", "00100020", "0020000D", "00400254"].map(|key| text.find(key).unwrap()).into();
    assert!(places.is_sorted(), "keys in order: {text}");
    assert_eq!(text.matches("00100020").count(), 1);
}

#[test]
fn zeros_after_the_data_set_are_noted_and_anything_else_is_refused() {
    for zeros in [1, 7, 8, 9, 500] {
        let bytes = [DataSet::keyed(LITTLE).build(), vec![0; zeros]].concat();
        let scan = scan_data_set(&bytes, LITTLE).unwrap();
        assert_eq!(codes(&scan), ["trailing-bytes"], "{zeros}");
        assert_eq!(scan.content_length, bytes.len() as u64, "they are content all the same");
        let units = scan.cut.units.to_vec().unwrap();
        super::corpus::check_units("zeros", &bytes, &units);
    }
    let bytes = [DataSet::keyed(LITTLE).build(), vec![0; 100], vec![1]].concat();
    assert!(matches!(scan_data_set(&bytes, LITTLE), Err(ScanError::Malformed { .. })));
}

#[test]
fn a_meta_group_where_a_data_set_should_begin_is_refused() {
    let bytes = [super::builder::meta_group(None), DataSet::keyed(LITTLE).build()].concat();
    assert!(matches!(scan_data_set(&bytes, LITTLE), Err(ScanError::Malformed { offset: 0, .. })));
}

#[test]
fn an_unknown_transfer_syntax_is_read_as_explicit_little_endian() {
    let scan = scan_as(&DataSet::keyed(LITTLE).build(), "1.2.3.99").unwrap();
    assert_eq!(codes(&scan), ["unknown-transfer-syntax"]);
    assert_eq!(scan.transfer_syntax.as_str(), "1.2.3.99");
}

#[test]
fn warnings_are_bounded_and_one_kind_does_not_hide_another() {
    let odd = (0..200_u16).map(|index| (Tag(0x0041, 0x1000 + index), index));
    let many = odd.fold(DataSet::keyed(LITTLE), |set, (tag, _)| set.element(tag, VR::OB, b"x"));
    assert_eq!(scan_data_set(&many.build(), LITTLE).unwrap().warnings.len(), 64);

    let items: Vec<u8> = (0..200).flat_map(|_| item(LITTLE, &element(LITTLE, COMMENT, VR::LO, b"odd"))).collect();
    let bytes = DataSet::keyed(LITTLE).raw(SEQUENCE, open_sequence(LITTLE, SEQUENCE, &items)).build();
    let scan = scan_data_set(&bytes, LITTLE).unwrap();
    assert_eq!(codes(&scan), ["odd-length", "index-value-omitted"]);
}

#[test]
fn numbers_have_the_byte_order_of_their_syntax() {
    let bytes = DataSet::keyed(BIG)
        .element(Tag(0x0028, 0x0009), VR::AT, &[number_16(BIG, 0x0018), number_16(BIG, 0x1063)].concat())
        .element(Tag(0x0018, 0x9073), VR::FD, &1.5_f64.to_be_bytes())
        .element(Tag(0x0041, 0x1001), VR::OW, &number_16(BIG, 0x1234))
        .element(Tag(0x0041, 0x1002), VR::UL, &number_32(BIG, 70_000))
        .build();
    let header = header_of(&scan_data_set(&bytes, BIG).unwrap());
    assert_eq!(header["00280009"]["Value"][0], "00181063");
    assert_eq!(header["00189073"]["Value"][0], 1.5);
    assert_eq!(header["00411001"]["InlineBinary"], "NBI=");
    assert_eq!(header["00411002"]["Value"][0], 70_000);
}
