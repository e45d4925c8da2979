//! The header as DICOM JSON (PS3.18 Annex F).

use dicom_core::{Tag, VR};
use serde_json::{Value, json};

use super::builder::{DataSet, IMPLICIT, LITTLE, element, encapsulated, item, open_sequence};
use super::{codes, data_set_options, header_of, scan_as, scan_data_set, scan_in_pieces, uid_of};
use crate::dicom::scan::BULK_URL_TOKEN;
use crate::dicom::transfer_syntaxes::Encoding;

const PRIVATE: Tag = Tag(0x0041, 0x1001);

fn one(vr: VR, value: &[u8]) -> Value {
    let bytes = DataSet::keyed(LITTLE).element(PRIVATE, vr, value).build();
    let mut header = header_of(&scan_data_set(&bytes, LITTLE).unwrap());
    header["00411001"].take()
}

#[test]
fn values_have_the_form_of_their_representation() {
    let cases: [(VR, &[u8], Value); 22] = [
        (VR::LO, b"one\\\\ three ", json!({"vr": "LO", "Value": ["one", null, "three"]})),
        (VR::LO, b"", json!({"vr": "LO"})),
        (VR::LO, b"    ", json!({"vr": "LO"})),
        (VR::LT, b" a\\b  ", json!({"vr": "LT", "Value": [" a\\b"]})),
        (VR::CS, b"A\\B ", json!({"vr": "CS", "Value": ["A", "B"]})),
        (VR::UI, b"1.2\\3.4\0", json!({"vr": "UI", "Value": ["1.2", "3.4"]})),
        (VR::UR, b"http://a\\b", json!({"vr": "UR", "Value": ["http://a\\b"]})),
        (VR::DS, b"1.50\\-.5\\\\x ", json!({"vr": "DS", "Value": [1.5, -0.5, null, "x"]})),
        (VR::IS, b"007\\+3", json!({"vr": "IS", "Value": [7, 3]})),
        (
            VR::PN,
            b"A^B=C=D\\=E\\ ",
            json!({"vr": "PN", "Value": [
            {"Alphabetic": "A^B", "Ideographic": "C", "Phonetic": "D"}, {"Ideographic": "E"}, null]}),
        ),
        (VR::US, &[1, 0, 0xFF, 0xFF], json!({"vr": "US", "Value": [1, 65535]})),
        (VR::SS, &[0xFF, 0xFF], json!({"vr": "SS", "Value": [-1]})),
        (VR::SL, &[0xFE, 0xFF, 0xFF, 0xFF], json!({"vr": "SL", "Value": [-2]})),
        (VR::FL, &0.1_f32.to_le_bytes(), json!({"vr": "FL", "Value": [0.1]})),
        (VR::FD, &f64::NAN.to_le_bytes(), json!({"vr": "FD", "Value": ["NaN"]})),
        (VR::FD, &f64::NEG_INFINITY.to_le_bytes(), json!({"vr": "FD", "Value": ["-inf"]})),
        (VR::UV, &7_u64.to_le_bytes(), json!({"vr": "UV", "Value": [7]})),
        (VR::UV, &u64::MAX.to_le_bytes(), json!({"vr": "UV", "Value": ["18446744073709551615"]})),
        (VR::SV, &(-7_i64).to_le_bytes(), json!({"vr": "SV", "Value": [-7]})),
        (VR::AT, &[0x10, 0, 0x20, 0], json!({"vr": "AT", "Value": ["00100020"]})),
        (VR::OB, &[1, 2, 3, 4], json!({"vr": "OB", "InlineBinary": "AQIDBA=="})),
        (VR::UN, b"", json!({"vr": "UN"})),
    ];
    for (vr, value, expected) in cases {
        assert_eq!(one(vr, value), expected, "{vr:?} {value:?}");
    }
}

#[test]
fn long_values_stand_by_reference() {
    for (vr, length, is_inline) in [
        (VR::OB, 1024, true),
        (VR::OB, 1026, false),
        (VR::UN, 1026, false),
        (VR::UT, 65_536, true),
        (VR::UT, 65_538, false),
        (VR::FD, 8000, true),
    ] {
        let element = one(vr, &vec![b'x'; length]);
        assert_eq!(element.get("BulkDataURI").is_none(), is_inline, "{vr:?} {length}");
    }
    let bytes = DataSet::keyed(LITTLE).element(PRIVATE, VR::OW, &[7; 2000]).build();
    let offset = bytes.len() - 2000;
    let expected = format!("{BULK_URL_TOKEN}/bulkdata/OW-{offset}-2000");
    assert_eq!(header_of(&scan_data_set(&bytes, LITTLE).unwrap())["00411001"]["BulkDataURI"], expected);
}

#[test]
fn encapsulated_pixels_stand_as_frames() {
    let bytes = DataSet::keyed(LITTLE).raw(Tag(0x7FE0, 0x0010), encapsulated(&[b"", b"abcd"])).build();
    let header = header_of(&scan_as(&bytes, "1.2.840.10008.1.2.4.50").unwrap());
    let expected = json!({"vr": "OB", "BulkDataURI": format!("{BULK_URL_TOKEN}/bulkdata/frames")});
    assert_eq!(header["7FE00010"], expected);
}

#[test]
fn the_token_of_references_never_comes_from_a_text() {
    assert_eq!(BULK_URL_TOKEN.len(), 22);
    let text = format!("a {BULK_URL_TOKEN} b {BULK_URL_TOKEN}@vellum");
    let bytes = DataSet::keyed(LITTLE).text(PRIVATE, VR::UT, &text).build();
    let scan = scan_data_set(&bytes, LITTLE).unwrap();
    let raw = String::from_utf8(scan.header_json.clone().unwrap()).unwrap();
    assert!(!raw.contains(BULK_URL_TOKEN) && !raw.contains('\n'));
    assert_eq!(header_of(&scan)["00411001"]["Value"][0], text, "a reader finds the text as it was");
}

#[test]
fn implicit_values_are_read_as_the_dictionary_and_their_context_say() {
    let smallest = Tag(0x0028, 0x0106);
    for (sign, expected) in [(0, json!({"vr": "US", "Value": [65535]})), (1, json!({"vr": "SS", "Value": [-1]}))] {
        let sequence = open_sequence(
            IMPLICIT,
            Tag(0x0040, 0x9096),
            &item(IMPLICIT, &element(IMPLICIT, Tag(0x0040, 0x9211), VR::UN, &[0xFF, 0xFF])),
        );
        let bytes = DataSet::keyed(IMPLICIT)
            .number(Tag(0x0028, 0x0103), sign)
            .element(smallest, VR::UN, &[0xFF, 0xFF])
            .element(Tag(0x0041, 0x0010), VR::UN, b"CREATOR ")
            .element(PRIVATE, VR::UN, b"ab")
            .raw(Tag(0x0040, 0x9096), sequence)
            .build();
        let header = header_of(&scan_data_set(&bytes, IMPLICIT).unwrap());
        assert_eq!(header["00280106"], expected);
        assert_eq!(header["00409096"]["Value"][0]["00409211"], expected, "inherited by items");
        assert_eq!(header["00410010"], json!({"vr": "LO", "Value": ["CREATOR"]}));
        assert_eq!(header["00411001"], json!({"vr": "UN", "InlineBinary": "YWI="}));
    }
}

#[test]
fn text_is_read_in_the_character_set_of_its_item() {
    let name = |bytes: &[u8]| element(LITTLE, Tag(0x0010, 0x0010), VR::PN, bytes);
    let charset = |bytes: &[u8]| element(LITTLE, Tag(0x0008, 0x0005), VR::CS, bytes);
    let own = item(LITTLE, &[charset(b"ISO_IR 192"), name("é".as_bytes())].concat());
    let inherited = item(LITTLE, &name(b"\xE9 "));
    let sequence = open_sequence(LITTLE, Tag(0x0010, 0x1002), &[own, inherited].concat());
    let bytes = DataSet::keyed(LITTLE)
        .raw(Tag(0x0008, 0x0005), charset(b"ISO_IR 100"))
        .raw(Tag(0x0010, 0x0010), name(b"\xE9 "))
        .raw(Tag(0x0010, 0x1002), sequence)
        .build();
    let scan = scan_data_set(&bytes, LITTLE).unwrap();
    let header = header_of(&scan);
    let items = &header["00101002"]["Value"];
    for name in [&header["00100010"], &items[0]["00100010"], &items[1]["00100010"]] {
        assert_eq!(name["Value"][0]["Alphabetic"], "é");
    }
    assert_eq!(codes(&scan), [""; 0]);
}

#[test]
fn a_character_set_is_assumed_only_where_none_is_named() {
    let scan = |charset: Option<&[u8]>| {
        let set = DataSet::keyed(LITTLE).element(Tag(0x0010, 0x0010), VR::PN, b"\xE9 ");
        let set = charset.into_iter().fold(set, |set, terms| set.element(Tag(0x0008, 0x0005), VR::CS, terms));
        let mut options = data_set_options(&std::env::temp_dir(), uid_of(LITTLE));
        options.assumed_charset = Some("ISO_IR 100".to_owned());
        let scan = scan_in_pieces(&set.build(), 10, options).unwrap();
        (header_of(&scan)["00100010"]["Value"][0]["Alphabetic"].clone(), codes(&scan).join(" "))
    };
    assert_eq!(scan(None), (json!("é"), String::new()));
    assert_eq!(scan(Some(b"")), (json!("é"), String::new()));
    assert_eq!(scan(Some(b"ISO_IR 192")), (json!("\u{FFFD}"), "undecodable-text".to_owned()));
    assert_eq!(scan(Some(b"NONSENSE")).1, "unknown-charset-term undecodable-text");
}

#[test]
fn what_is_no_attribute_is_left_out() {
    let bytes = DataSet::keyed(LITTLE)
        .element(Tag(0x0008, 0x0000), VR::UL, &[1, 0, 0, 0])
        .element(Tag(0x0041, 0x0000), VR::UL, &[1, 0, 0, 0])
        .build();
    let header = header_of(&scan_data_set(&bytes, LITTLE).unwrap());
    assert_eq!(header.as_object().unwrap().len(), 4);
}

#[test]
fn empty_sequences_and_items_are_written() {
    let bytes = DataSet::keyed(LITTLE)
        .element(Tag(0x0040, 0x0275), VR::SQ, b"")
        .raw(Tag(0x0040, 0x0555), open_sequence(LITTLE, Tag(0x0040, 0x0555), &item(LITTLE, b"").repeat(2)))
        .build();
    let header = header_of(&scan_data_set(&bytes, LITTLE).unwrap());
    assert_eq!(header["00400275"], json!({"vr": "SQ"}));
    assert_eq!(header["00400555"], json!({"vr": "SQ", "Value": [{}, {}]}));
}

#[test]
fn i12_a_header_past_its_limit_is_left_out_and_the_index_is_not() {
    let long = (0..100_u16)
        .fold(DataSet::keyed(LITTLE), |set, index| set.text(Tag(0x0011, 0x1000 + index), VR::LO, "some text"));
    let items = item(LITTLE, &[]).repeat(10_000);
    let bytes = long
        .raw(Tag(0x0011, 0x2000), open_sequence(LITTLE, Tag(0x0011, 0x2000), &items))
        .text(Tag(0x0020, 0x0010), VR::SH, "study")
        .build();
    let scan = |limit| {
        let mut options = data_set_options(&std::env::temp_dir(), uid_of(LITTLE));
        options.limits.header_json_bytes = limit;
        scan_in_pieces(&bytes, 100, options).unwrap()
    };
    let whole = scan(1 << 20);
    let length = whole.header_json.as_ref().unwrap().len();
    assert_eq!(scan(length).header_json, whole.header_json);
    for limit in [0, 1, 50, 1000, 5000, length - 1] {
        let without = scan(limit);
        assert_eq!((without.header_json.is_none(), &without.attributes), (true, &whole.attributes), "{limit}");
    }
}

#[test]
fn the_index_is_the_same_without_a_header() {
    for case in super::corpus::corpus() {
        let options = super::file_options(&std::env::temp_dir());
        let Ok(with) = scan_in_pieces(&case.bytes, 1 << 16, options.clone()) else { continue };
        let options = crate::dicom::scan::ScanOptions { header_json: false, ..options };
        let without = scan_in_pieces(&case.bytes, 1 << 16, options).unwrap();
        assert_eq!((without.header_json, without.attributes), (None, with.attributes), "{}", case.path);
    }
}

#[test]
fn numbers_past_whole_values_are_noted() {
    let bytes = DataSet::keyed(LITTLE).element(PRIVATE, VR::UL, &[1, 0, 0, 0, 9, 9]).build();
    let scan = scan_data_set(&bytes, Encoding::ExplicitLittle).unwrap();
    assert_eq!(codes(&scan), ["value-length"]);
    assert_eq!(header_of(&scan)["00411001"]["Value"], json!([1]));
}

#[test]
fn an_element_whose_representation_got_lost_is_read_as_the_dictionary_says() {
    for encoding in [LITTLE, Encoding::ExplicitBig] {
        let inner = item(IMPLICIT, &element(IMPLICIT, Tag(0x0010, 0x0020), VR::UN, b"inner "));
        let bytes = DataSet::keyed(encoding)
            .element(Tag(0x0010, 0x0010), VR::UN, b"Doe^Jane")
            .element(Tag(0x0028, 0x0010), VR::UN, &[2, 1])
            .element(Tag(0x0041, 0x1001), VR::UN, b"private ")
            .element(Tag(0x0040, 0x0275), VR::UN, &inner)
            .build();
        let scan = scan_data_set(&bytes, encoding).unwrap();
        assert_eq!(scan.attributes.text(Tag(0x0010, 0x0010)).as_deref(), Some("Doe^Jane"));
        let header = header_of(&scan);
        assert_eq!(header["00280010"], json!({"vr": "US", "Value": [258]}), "little endian in any syntax");
        assert_eq!((&header["00411001"]["vr"], &header["00400275"]["vr"]), (&json!("UN"), &json!("UN")));
    }
}
