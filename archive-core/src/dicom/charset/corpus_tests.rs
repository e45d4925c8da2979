//! Character sets against real files. The expected texts were derived with pydicom, but for GB 2312 by code
//! extension, which it leaves undecoded.

use std::path::PathBuf;

use super::{SpecificCharacterSet, TextKind};

/// File, Specific Character Set, the element's tag and VR as they stand in an explicit little endian file, its values.
type Expected = (&'static str, &'static str, [u8; 6], TextKind, &'static [&'static str]);

const NAME: [u8; 6] = *b"\x10\x00\x10\x00PN";
const OTHER_NAMES: [u8; 6] = *b"\x10\x00\x01\x10PN";
const OPERATORS: [u8; 6] = *b"\x08\x00\x70\x10PN";
const HISTORY: [u8; 6] = *b"\x10\x00\xb0\x21LT";
const MODEL: [u8; 6] = *b"\x08\x00\x90\x10LO";

const PN: TextKind = TextKind::PersonName;

const EXPECTED: [Expected; 20] = [
    ("chrArab", "ISO_IR 127", NAME, PN, &["قباني^لنزار"]),
    ("chrFren", "ISO_IR 100", NAME, PN, &["Buc^Jérôme"]),
    ("chrFrenMulti", "ISO_IR 100", NAME, PN, &["Buc^Jérôme"]),
    ("chrFrenMulti", "ISO_IR 100", OTHER_NAMES, PN, &["Buc^Jérôme", "Buc^Jérôme"]),
    ("chrGB2312", "\\ISO 2022 IR 58", NAME, PN, &["Zhang^XiaoDong=张^小东="]),
    ("chrGreek", "ISO_IR 126", NAME, PN, &["Διονυσιος"]),
    ("chrH31", "\\ISO 2022 IR 87", NAME, PN, &["Yamada^Tarou=山田^太郎=やまだ^たろう"]),
    ("chrHbrw", "ISO_IR 138", NAME, PN, &["שרון^דבורה"]),
    ("chrI2", "\\ISO 2022 IR 149", NAME, PN, &["Hong^Gildong=洪^吉洞=홍^길동"]),
    ("chrJapMulti", "\\ISO 2022 IR 87", NAME, PN, &["やまだ^たろう"]),
    ("chrJapMulti", "\\ISO 2022 IR 87", OTHER_NAMES, PN, &["やまだ^たろう", "やまだ^たろう"]),
    ("chrJapMulti", "\\ISO 2022 IR 87", HISTORY, TextKind::LongText, &["たろう"]),
    ("chrKoreanMulti", "\\ISO 2022 IR 149", NAME, PN, &["김희중"]),
    ("chrKoreanMulti", "\\ISO 2022 IR 149", OTHER_NAMES, PN, &["김희중", "김희중"]),
    ("chrKoreanMulti", "\\ISO 2022 IR 149", OPERATORS, PN, &["김희중"]),
    ("chrKoreanMulti", "\\ISO 2022 IR 149", HISTORY, TextKind::LongText, &["김희중"]),
    ("chrRuss", "ISO_IR 144", NAME, PN, &["Люкceмбypг"]),
    ("chrX1", "ISO_IR 192", NAME, PN, &["Wang^XiaoDong=王^小東="]),
    ("chrX2", "GB18030", NAME, PN, &["Wang^XiaoDong=王^小东="]),
    ("encoding_iso8859-1", "ISO_IR 100", MODEL, TextKind::Text, &["Õncêntrå MæstørPlàñ"]),
];

fn corpus_file(name: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("VELLUM_CORPUS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpus")), PathBuf::from);
    let path = folder.join("charset").join(name).with_extension("dcm");
    let bytes = std::fs::read(&path).ok();
    if bytes.is_none() {
        eprintln!("skipped: {} is not there", path.display());
    }
    bytes
}

/// The value of the last element with this tag and VR (which has a length of two bytes).
fn value_of<'a>(file: &'a [u8], tag_and_vr: &[u8; 6]) -> &'a [u8] {
    let at = memchr::memmem::rfind(file, tag_and_vr).expect("the element is in the file") + tag_and_vr.len();
    let length = usize::from(u16::from_le_bytes([file[at], file[at + 1]]));
    &file[at + 2..at + 2 + length]
}

#[test]
fn real_files_read_as_they_were_meant() {
    for (name, terms, element, kind, expected) in EXPECTED {
        let Some(file) = corpus_file(name) else { continue };
        let announced = value_of(&file, b"\x08\x00\x05\x00CS");
        assert_eq!(String::from_utf8_lossy(announced).trim_end(), terms, "{name}");
        let (set, all_known) = SpecificCharacterSet::parse(terms);
        assert!(all_known, "{name}");
        assert_eq!(
            set.decode_values(value_of(&file, &element), kind),
            (expected.iter().map(|&text| text.to_owned()).collect(), false),
            "{name}"
        );
    }
}

#[test]
fn an_item_may_have_another_character_set_than_the_data_set() {
    let Some(file) = corpus_file("chrSQEncoding") else { return };
    let announced = String::from_utf8_lossy(value_of(&file, b"\x08\x00\x05\x00CS")).into_owned();
    assert_eq!(announced.trim_end(), "ISO 2022 IR 13\\ISO 2022 IR 87");
    let (set, all_known) = SpecificCharacterSet::parse(&announced);
    assert!(all_known);
    let (values, replaced) = set.decode_values(value_of(&file, &NAME), PN);
    assert_eq!(values, ["ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"]);
    assert!(!replaced);
}
