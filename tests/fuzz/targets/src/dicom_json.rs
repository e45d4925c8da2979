//! The header as DICOM JSON: whatever values a data set has, what comes out is JSON of the right shape, and the attributes
//! that are indexed can be read back from where they are written.

use archive_core::dicom::attributes::{Attributes, parse_tag_key};
use archive_core::dicom::scan::{BULK_URL_TOKEN, Input, Scan, ScanLimits, ScanOptions, Scanner};
use archive_core::identifiers::TransferSyntaxUid;
use dicom_core::{Tag, VR};
use serde_json::Value;

use crate::pieces::steer;

/// Specific Character Set of the data set.
const CHARSETS: [&str; 8] = [
    "",
    "ISO_IR 100",
    "ISO_IR 192",
    "GB18030",
    "\\ISO 2022 IR 87\\ISO 2022 IR 159",
    "\\ISO 2022 IR 149",
    "ISO_IR 13",
    "ISO_IR 166",
];
/// Elements are of these; a byte chooses. Some are indexed, some are sequences, some private, some nobody's.
const TAGS: [Tag; 16] = [
    Tag(0x0008, 0x0008),
    Tag(0x0008, 0x0020),
    Tag(0x0008, 0x0060),
    Tag(0x0008, 0x1030),
    Tag(0x0010, 0x0010),
    Tag(0x0010, 0x0020),
    Tag(0x0010, 0x1010),
    Tag(0x0018, 0x0050),
    Tag(0x0020, 0x0013),
    Tag(0x0028, 0x0010),
    Tag(0x0028, 0x0030),
    Tag(0x0040, 0x0244),
    Tag(0x0041, 0x1001),
    Tag(0x0054, 0x0081),
    Tag(0x0028, 0x0106),
    Tag(0x6001, 0x0100),
];
const SEQUENCES: [Tag; 4] = [Tag(0x0008, 0x1140), Tag(0x0040, 0x0275), Tag(0x0040, 0x0555), Tag(0x0041, 0x1002)];
const REPRESENTATIONS: [&[u8; 2]; 32] = [
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"OB", b"OD", b"OF", b"OL",
    b"OV", b"OW", b"PN", b"SH", b"SL", b"SS", b"ST", b"SV", b"TM", b"UC", b"UI", b"UL", b"UN", b"UR", b"US", b"UT",
];
/// `serde_json` reads no deeper; sequences may nest deeper than that.
const READ_DEPTH_MAX: usize = 127;
/// Of a value length: short, or over what is kept in the header.
const LONG_VALUE: usize = 1100;

/// Two bytes steer: the character set, and the byte order.
pub fn run(data: &[u8]) {
    let Some(([charset, order], rest)) = steer(data) else { return };
    let big = order & 1 == 1;
    let bytes = data_set(CHARSETS[usize::from(charset % 8)], big, rest);
    let syntax = if big { "1.2.840.10008.1.2.2" } else { "1.2.840.10008.1.2.1" };
    let options = ScanOptions {
        input: Input::DataSet(TransferSyntaxUid::parse(syntax).expect("a UID")),
        scratch: std::env::temp_dir(),
        limits: ScanLimits { header_json_bytes: 256 * 1024, ..ScanLimits::default() },
        assumed_charset: None,
        header_json: true,
    };
    let mut scanner = Scanner::new(options).expect("scratch");
    if scanner.push(&bytes).is_err() {
        return;
    }
    let Ok(scan) = scanner.finish() else { return };
    check_header(&scan);
    check_attributes(&scan.attributes);
}

/// A data set out of bytes: elements, sequences that begin and end, items.
fn data_set(charset: &str, big: bool, mut from: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (tag, text) in [
        (Tag(0x0008, 0x0005), charset),
        (Tag(0x0008, 0x0016), "1.2.840.10008.5.1.4.1.1.7"),
        (Tag(0x0008, 0x0018), "1.2.3.4"),
    ] {
        let vr = if tag.element() == 5 { b"CS" } else { b"UI" };
        let mut value = text.as_bytes().to_vec();
        value.resize(value.len().next_multiple_of(2), if vr == b"UI" { 0 } else { b' ' });
        element(&mut out, big, tag, vr, &value);
    }
    element(&mut out, big, Tag(0x0020, 0x000D), b"UI", b"1.2.3.1\0");
    element(&mut out, big, Tag(0x0020, 0x000E), b"UI", b"1.2.3.2\0");
    let mut depth = 0_u32;
    while let Some((&what, rest)) = from.split_first() {
        from = rest;
        match what {
            // Deeper by one item.
            0xC0..=0xDF if depth < 64 => {
                let tag = SEQUENCES[usize::from(what % 4)];
                header(&mut out, big, tag, b"SQ", u32::MAX);
                put_tag(&mut out, big, Tag(0xFFFE, 0xE000));
                put_32(&mut out, big, u32::MAX);
                depth += 1;
            }
            // The next item.
            0xE0..=0xEF if depth > 0 => {
                for (tag, length) in [(Tag(0xFFFE, 0xE00D), 0), (Tag(0xFFFE, 0xE000), u32::MAX)] {
                    put_tag(&mut out, big, tag);
                    put_32(&mut out, big, length);
                }
            }
            // Back by one.
            0xF0.. if depth > 0 => {
                close(&mut out, big);
                depth -= 1;
            }
            _ => {
                let Some((&[vr, length], rest)) = from.split_first_chunk::<2>() else { break };
                let short = usize::from(length & 0x3F).min(rest.len());
                let (value, rest) = rest.split_at(short);
                from = rest;
                let mut value = value.to_vec();
                if length & 0xC0 == 0xC0 && !value.is_empty() {
                    value = value.iter().copied().cycle().take(LONG_VALUE).collect();
                }
                element(&mut out, big, TAGS[usize::from(what % 16)], REPRESENTATIONS[usize::from(vr % 32)], &value);
            }
        }
    }
    (0..depth).for_each(|_| close(&mut out, big));
    out
}

fn close(out: &mut Vec<u8>, big: bool) {
    for tag in [Tag(0xFFFE, 0xE00D), Tag(0xFFFE, 0xE0DD)] {
        put_tag(out, big, tag);
        put_32(out, big, 0);
    }
}

fn element(out: &mut Vec<u8>, big: bool, tag: Tag, vr: &[u8; 2], value: &[u8]) {
    header(out, big, tag, vr, u32::try_from(value.len()).expect("short"));
    out.extend_from_slice(value);
}

fn header(out: &mut Vec<u8>, big: bool, tag: Tag, vr: &[u8; 2], length: u32) {
    put_tag(out, big, tag);
    out.extend_from_slice(vr);
    let is_long = matches!(
        vr,
        b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"SQ" | b"SV" | b"UC" | b"UN" | b"UR" | b"UT" | b"UV"
    );
    if is_long {
        out.extend_from_slice(&[0, 0]);
        put_32(out, big, length);
    } else {
        put_16(out, big, u16::try_from(length).expect("short"));
    }
}

fn put_tag(out: &mut Vec<u8>, big: bool, tag: Tag) {
    put_16(out, big, tag.group());
    put_16(out, big, tag.element());
}

fn put_16(out: &mut Vec<u8>, big: bool, number: u16) {
    out.extend_from_slice(&if big { number.to_be_bytes() } else { number.to_le_bytes() });
}

fn put_32(out: &mut Vec<u8>, big: bool, number: u32) {
    out.extend_from_slice(&if big { number.to_be_bytes() } else { number.to_le_bytes() });
}

/// The header is one JSON object without a line feed, and each element of it has the shape that PS3.18 Annex F gives.
fn check_header(scan: &Scan) {
    let json = scan.header_json.as_deref().expect("it was asked for, and is short");
    assert!(!json.contains(&b'\n') && !json.contains(&b'\r'), "it is one line of a file of lines");
    let text = std::str::from_utf8(json).expect("UTF-8");
    if nesting(text) > READ_DEPTH_MAX {
        return;
    }
    let value: Value = serde_json::from_str(text).expect("JSON");
    let references = check_object(&value, scan);
    assert_eq!(text.matches(BULK_URL_TOKEN).count(), references, "the token stands only where an address goes");
}

/// How deep objects and arrays nest; every one must end.
fn nesting(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_text => depth = depth.checked_sub(1).expect("what ends had begun"),
            _ => {}
        }
    }
    assert!(depth == 0 && !in_text, "what begins ends");
    deepest
}

/// Checks a data set or an item; gives how many references to bulk it holds.
fn check_object(object: &Value, scan: &Scan) -> usize {
    let mut references = 0;
    for (key, element) in object.as_object().expect("an object") {
        let tag = parse_tag_key(key).expect("a tag");
        assert_eq!(format!("{:04X}{:04X}", tag.group(), tag.element()), *key, "one form of a key");
        let members = element.as_object().expect("an object");
        let vr = members.get("vr").and_then(Value::as_str).expect("a value representation");
        assert!(vr.parse::<VR>().is_ok(), "{vr}");
        assert!(members.len() <= 2, "one form of a value");
        for (name, value) in members.iter().filter(|(name, _)| *name != "vr") {
            match name.as_str() {
                "Value" => {
                    let values = value.as_array().expect("an array");
                    assert!(!values.is_empty());
                    for value in values {
                        references += check_value(vr, value, scan);
                    }
                }
                "InlineBinary" => assert!(value.is_string()),
                "BulkDataURI" => {
                    check_reference(value.as_str().expect("text"), scan);
                    references += 1;
                }
                other => panic!("{other} is no member of an element"),
            }
        }
    }
    references
}

fn check_value(vr: &str, value: &Value, scan: &Scan) -> usize {
    match (vr, value) {
        ("SQ", item) => return if item.is_null() { 0 } else { check_object(item, scan) },
        (_, Value::Null) => {}
        ("PN", Value::Object(groups)) => {
            assert!(!groups.is_empty());
            let known = |name: &String| ["Alphabetic", "Ideographic", "Phonetic"].contains(&name.as_str());
            assert!(
                groups.iter().all(|(name, text)| known(name) && text.as_str().is_some_and(|text| !text.is_empty()))
            );
        }
        ("DS" | "IS" | "FD" | "FL" | "SL" | "SS" | "SV" | "UL" | "US" | "UV", Value::Number(_) | Value::String(_)) => {}
        ("AT", Value::String(text)) => assert!(parse_tag_key(text).is_some()),
        ("PN" | "FD" | "FL" | "SL" | "SS" | "UL" | "US" | "AT", other) => panic!("{vr} as {other}"),
        (_, Value::String(_)) => {}
        (_, other) => panic!("{vr} as {other}"),
    }
    0
}

/// `<token>/bulkdata/<VR>-<offset>-<length>`, within the content.
fn check_reference(text: &str, scan: &Scan) {
    let rest = text.strip_prefix(BULK_URL_TOKEN).and_then(|rest| rest.strip_prefix("/bulkdata/")).expect("a reference");
    if rest == "frames" {
        return;
    }
    let mut parts = rest.split('-');
    let (Some(_vr), Some(offset), Some(length), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        panic!("{text} is no reference");
    };
    let (offset, length): (u64, u64) = (offset.parse().expect("an offset"), length.parse().expect("a length"));
    assert!(offset + length <= scan.content_length, "{text} lies outside the content");
}

/// What is indexed is kept as a member of lines and records, and must come back from there: an instance whose facts cannot
/// be read after a restart is lost.
fn check_attributes(attributes: &Attributes) {
    let record = serde_json::json!({ "facts": { "attributes": attributes } });
    let text = serde_json::to_vec(&record).expect("JSON");
    let back: Value = serde_json::from_slice(&text).expect("what was written is read by the same reader as a record");
    assert_eq!(Attributes::from_json(&back["facts"]["attributes"]).to_json(), attributes.to_json());
}
