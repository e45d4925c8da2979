//! Character sets: nothing panics, what comes out is bounded by what went in, and a list of values holds what the text holds.

use archive_core::dicom::charset::{SpecificCharacterSet, TextKind};

use crate::pieces::steer;

/// Values of Specific Character Set; a byte chooses.
const TERMS: [&str; 24] = [
    "",
    "ISO_IR 100",
    "ISO_IR 101",
    "ISO_IR 109",
    "ISO_IR 110",
    "ISO_IR 126",
    "ISO_IR 127",
    "ISO_IR 138",
    "ISO_IR 144",
    "ISO_IR 148",
    "ISO_IR 166",
    "ISO_IR 203",
    "ISO_IR 13",
    "ISO_IR 192",
    "GB18030",
    "GBK",
    "ISO 2022 IR 6\\ISO 2022 IR 100\\ISO 2022 IR 144",
    "\\ISO 2022 IR 87",
    "ISO 2022 IR 13\\ISO 2022 IR 87\\ISO 2022 IR 159",
    "\\ISO 2022 IR 149",
    "\\ISO 2022 IR 58",
    "ISO 2022 IR 87",
    "ISO 2022 IR 6\\ISO 2022 IR 192",
    "nonsense",
];
const KINDS: [TextKind; 4] = [TextKind::Text, TextKind::UnlimitedText, TextKind::LongText, TextKind::PersonName];

/// Two bytes steer: the terms (or, from 0xF0 on, that the bytes up to the first line feed are the terms), the kind.
pub fn run(data: &[u8]) {
    let Some(([terms, kind], rest)) = steer(data) else { return };
    let kind = KINDS[usize::from(kind % 4)];
    let (set, bytes) = if terms >= 0xF0 {
        let at = rest.iter().position(|&byte| byte == b'\n').unwrap_or(0);
        let (terms, bytes) = rest.split_at(at);
        let text: String = terms.iter().map(|&byte| char::from(byte)).collect();
        (SpecificCharacterSet::parse(&text).0, bytes)
    } else {
        (SpecificCharacterSet::parse(TERMS[usize::from(terms) % TERMS.len()]).0, rest)
    };
    let whole = set.decode(bytes, kind);
    let (values, replaced) = set.decode_values(bytes, kind);
    assert_eq!(whole.replaced, replaced);
    // No encoding makes more than three bytes of UTF-8 of one of its own; two of EUC and four of GB 18030 make at most four.
    assert!(whole.text.len() <= 3 * bytes.len(), "{} bytes of text from {}", whole.text.len(), bytes.len());
    assert!(values.len() <= bytes.len() + 1);
    if whole.replaced {
        assert!(whole.text.contains(char::REPLACEMENT_CHARACTER), "what was replaced is marked");
    }
    let mut left = whole.text.as_str();
    for value in &values {
        let at = left.find(value.as_str()).expect("values are parts of the text, in their order");
        left = &left[at + value.len()..];
    }
    if kind == TextKind::LongText {
        assert!(values.len() <= 1, "a backslash separates nothing");
    }
    let is_plain = |&byte: &u8| byte.is_ascii_alphanumeric() || byte == b'^' || byte == b' ';
    if bytes.iter().all(is_plain) {
        assert_eq!(whole.text.as_bytes(), bytes, "letters and digits are themselves in every set");
    }
}
