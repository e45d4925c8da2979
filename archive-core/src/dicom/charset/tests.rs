//! Character sets against the examples of PS3.5 Annexes H to K, what senders get wrong, and any bytes at all.

use encoding_rs::GB18030;
use proptest::prelude::*;

use super::{Reading, SpecificCharacterSet, TextKind};

const KINDS: [TextKind; 4] = [TextKind::Text, TextKind::UnlimitedText, TextKind::LongText, TextKind::PersonName];

fn known(terms: &str) -> SpecificCharacterSet {
    let (set, all_known) = SpecificCharacterSet::parse(terms);
    assert!(all_known, "{terms} is known");
    set
}

#[track_caller]
fn check(terms: &str, kind: TextKind, bytes: &[u8], expected: &[&str]) {
    let (values, replaced) = known(terms).decode_values(bytes, kind);
    assert_eq!(values, expected, "{terms}");
    assert!(!replaced, "{terms}: nothing is replaced");
}

#[track_caller]
fn check_name(terms: &str, bytes: &[u8], expected: &str) {
    check(terms, TextKind::PersonName, bytes, &[expected]);
    assert_eq!(known(terms).decode(bytes, TextKind::PersonName).text, expected, "{terms}, as one text");
}

#[test]
fn annex_h_japanese_names() {
    check_name(
        "\\ISO 2022 IR 87",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    );
    check_name(
        "ISO 2022 IR 13\\ISO 2022 IR 87",
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    );
}

#[test]
fn annex_i_korean_name_and_text() {
    check_name(
        "\\ISO 2022 IR 149",
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        "Hong^Gildong=洪^吉洞=홍^길동",
    );
    check(
        "\\ISO 2022 IR 149",
        TextKind::LongText,
        b"\x1b$)CThe first line includes \xb1\xe6\xb5\xbf.\r\n\x1b$)CThe second line includes \xb1\xe6\xb5\xbf, too.\r\nThird.\r\n",
        &["The first line includes 길동.\r\nThe second line includes 길동, too.\r\nThird.\r\n"],
    );
}

#[test]
fn annex_j_chinese_without_code_extensions() {
    check_name("ISO_IR 192", b"Wang^XiaoDong=\xe7\x8e\x8b^\xe5\xb0\x8f\xe6\x9d\xb1=", "Wang^XiaoDong=王^小東=");
    check_name("GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东=");
    check_name("GBK", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东=");
    check(
        "GB18030",
        TextKind::LongText,
        b"The first line includes \xd6\xd0\xce\xc4.\r\nThe second line includes \xd6\xd0\xce\xc4, too.\r\n",
        &["The first line includes 中文.\r\nThe second line includes 中文, too.\r\n"],
    );
}

#[test]
fn annex_k_chinese_with_code_extensions() {
    check_name(
        "\\ISO 2022 IR 58",
        b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=",
        "Zhang^XiaoDong=张^小东=",
    );
    check(
        "\\ISO 2022 IR 58",
        TextKind::LongText,
        b"1. \x1b$)A\xb5\xda\xd2\xbb\xd0\xd0\xce\xc4\xd7\xd6\xa1\xa3\r\n2. \x1b$)A\xb5\xda\xb6\xfe\xd0\xd0\r\n",
        &["1. 第一行文字。\r\n2. 第二行\r\n"],
    );
}

#[test]
fn every_single_byte_set() {
    for (number, bytes, expected) in [
        ("100", &b"\xc4neas^R\xfcdiger"[..], "Äneas^Rüdiger"),
        ("101", b"W\xb3\xb1\xe6", "Włąć"),
        ("109", b"\xa9\xb9", "İı"),
        ("110", b"\xbe\xc0", "žĀ"),
        ("144", b"\xbb\xee\xdace\xdc\xd1yp\xd3", "Люкceмбypг"),
        ("127", b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1", "قباني^لنزار"),
        ("126", b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", "Διονυσιος"),
        ("138", b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", "שרון^דבורה"),
        ("148", b"\xc7avu\xfeo\xf0lu \xddIi\xfd\xd0\xde", "Çavuşoğlu İIiıĞŞ"),
        ("203", b"\xbd\xa4\xa6", "œ€Š"),
        ("166", b"\xb9\xd2\xc1\xca\xa1\xd8\xc5", "นามสกุล"),
        ("13", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    ] {
        check_name(&format!("ISO_IR {number}"), bytes, expected);
        check_name(&format!("ISO 2022 IR {number}"), bytes, expected);
    }
}

#[test]
fn escape_sequences_switch_between_single_byte_sets() {
    check_name(
        "ISO 2022 IR 100\\ISO 2022 IR 144\\ISO 2022 IR 126",
        b"Dionysios=\x1b-F\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2=\x1b-L\xbb\xee\xda\x1b-A\xe9^\xe9",
        "Dionysios=Διονυσιος=Люкé^é",
    );
    check_name("\\ISO 2022 IR 203", b"\x1b-b\xa4", "€");
    check_name("\\ISO 2022 IR 148", b"\x1b-M\xfe", "ş");
    check_name("\\ISO 2022 IR 166", b"\x1b-T\xb9", "น");
    check_name("ISO 2022 IR 6\\ISO 2022 IR 159", b"\x1b$(D\x30\x21\x1b(B", "丂");
}

#[test]
fn after_a_delimiter_the_first_set_is_active_again() {
    let terms = "ISO 2022 IR 100\\ISO 2022 IR 144";
    check_name(terms, b"\x1b-L\xbb^\xe9=\x1b-L\xbb=\xe9", "Л^é=Л=é");
    check(terms, TextKind::Text, b"\x1b-L\xbb^\xbb\\\xe9", &["Л^Л", "é"]);
    check(
        terms,
        TextKind::LongText,
        b"\x1b-L\xbb\\\xbb\n\xe9\x1b-L\xbb\t\xe9\x1b-L\xbb\x0c\xe9",
        &["Л\\Л\né\u{041B}\té\u{041B}\x0cé"],
    );
}

#[test]
fn half_a_character_is_no_backslash() {
    // Second bytes of 5CH in GBK (one lead byte each), in Shift JIS, and in JIS X 0208.
    check("GBK", TextKind::Text, b"\x81\x5c\\\x8b\x5c", &["乗", "媆"]);
    check("GB18030", TextKind::Text, b"\x81\x30\x81\x30\\a", &["\u{80}", "a"]);
    check("ISO_IR 13", TextKind::Text, b"\x83\x5c\\\x95\x5c", &["ソ", "表"]);
    check("\\ISO 2022 IR 87", TextKind::Text, b"\x1b$B\x3d\x5c\x5c\x3d\x1b(B\\b", &["旬椽", "b"]);
}

#[test]
fn katakana_and_yen_of_jis_x_0201() {
    check("ISO_IR 13", TextKind::LongText, b"\\100~", &["¥100‾"]);
    check("ISO_IR 13", TextKind::Text, b"\xb1\\\xb2", &["ｱ", "ｲ"]);
}

#[test]
fn padding_goes_and_meaning_stays() {
    check("", TextKind::Text, b"  one \\ two  \0", &["one", "two"]);
    check("", TextKind::UnlimitedText, b" one \\ two ", &[" one", " two"]);
    check("", TextKind::PersonName, b" A^B \\C ", &[" A^B", "C"]);
    check("", TextKind::LongText, b"  a\\b \0", &["  a\\b"]);
    check("", TextKind::Text, b"a\\\\b\\", &["a", "", "b", ""]);
    for kind in KINDS {
        check("", kind, b"", &[]);
        check("", kind, b"  \0", &[]);
    }
}

#[test]
fn loose_spellings_are_understood() {
    for terms in
        ["ISO_IR 100", "ISO-IR 100", "ISO IR 100", "iso_ir_100", "ISO_IR 100 ", "ISO_IR100", "ISO8859-1", "IR 100\0"]
    {
        check_name(terms, b"J\xe9r\xf4me", "Jérôme");
    }
    for terms in ["ISO_IR 192", "ISO_IR_192", "ISO IR 192", "UTF-8", "utf8", "ISO 2022 IR 192", "\\ISO_IR 192"] {
        check_name(terms, "王".as_bytes(), "王");
    }
    check_name("GB2312", b"\xcd\xf5", "王");
    check_name("ISO 2022 IR 6\\ISO 2022 IR 87\\", b"a\x1b$B;3\x1b(B", "a山");
}

#[test]
fn code_extensions_are_read_where_senders_forget_half_of_them() {
    // One multi-byte term as first value, no escape sequence at all.
    check_name("ISO 2022 IR 149", b"\xc8\xab^\xb1\xe6\xb5\xbf", "홍^길동");
    check_name("ISO 2022 IR 58", b"\xd5\xc5^\xd0\xa1\xb6\xab", "张^小东");
    // The escape sequence is not repeated after the delimiter.
    check_name("\\ISO 2022 IR 149", b"\x1b$)C\xfb\xf3^\xd1\xce\xd4\xd7", "洪^吉洞");
    // Escape sequences to sets that nobody announced.
    check_name("", b"\x1b$B;3ED\x1b(B", "山田");
    check_name("ISO_IR 100", b"\x1b-L\xbb^\xe9", "Л^é");
    check_name("ISO 2022 IR 87", b"\x1b$B;3ED\x1b(B", "山田");
    check_name("", b"\x1b$@;3\x1b(J", "山");
    check_name("\\ISO 2022 IR 13", b"\xd4\xcf", "ﾔﾏ");
    // Korean syllables that Windows has beyond KS X 1001.
    check_name("\\ISO 2022 IR 149", b"\x1b$)C\x8cc", "똠");
}

#[test]
fn what_cannot_be_decoded_is_marked() {
    for (terms, bytes, expected) in [
        ("", &b"M\xfcller"[..], "M\u{FFFD}ller"),
        ("ISO_IR 192", b"M\xfcller", "M\u{FFFD}ller"),
        ("ISO_IR 127", b"a\xa1", "a\u{FFFD}"),
        ("\\ISO 2022 IR 87", b"\x1b$B;", "\u{FFFD}"),
        ("\\ISO 2022 IR 149", b"\x1b$)C\xc8", "\u{FFFD}"),
        ("", b"\x1b%Ga", "\u{FFFD}%Ga"),
        ("", b"\x1b", "\u{FFFD}"),
    ] {
        let decoded = known(terms).decode(bytes, TextKind::PersonName);
        assert_eq!((decoded.text.as_str(), decoded.replaced), (expected, true), "{terms}");
        assert!(known(terms).decode_values(bytes, TextKind::PersonName).1, "{terms}");
    }
}

#[test]
fn an_unknown_term_counts_as_the_default_repertoire() {
    for terms in ["ISO_IR 999", "nonsense", "ISO 2022 IR 6\\KLINGON", "???"] {
        let (set, all_known) = SpecificCharacterSet::parse(terms);
        assert!(!all_known, "{terms}");
        assert_eq!(set.decode(b"plain", TextKind::Text).text, "plain");
    }
}

#[test]
fn debug_output_shows_no_text() {
    let decoded = known("").decode(b"Doe^Jane", TextKind::PersonName);
    assert!(!format!("{decoded:?}").contains("Doe"));
}

fn any_terms() -> impl Strategy<Value = String> {
    let term = prop::sample::select(vec![
        "",
        "ISO_IR 6",
        "ISO_IR 100",
        "ISO_IR 101",
        "ISO_IR 13",
        "ISO_IR 166",
        "ISO_IR 192",
        "GB18030",
        "GBK",
        "ISO 2022 IR 13",
        "ISO 2022 IR 87",
        "ISO 2022 IR 159",
        "ISO 2022 IR 149",
        "ISO 2022 IR 58",
        "ISO 2022 IR 127",
        "ISO 2022 IR 148",
        "ISO 2022 IR 203",
        "rubbish",
    ]);
    prop::collection::vec(term, 1..4).prop_map(|terms| terms.join("\\"))
}

/// Bytes in which escape sequences, delimiters and halves of characters are frequent.
fn any_value() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..6),
        prop::sample::select(vec![
            &b"\x1b$B"[..],
            b"\x1b$(D",
            b"\x1b$)C",
            b"\x1b$)A",
            b"\x1b(B",
            b"\x1b(J",
            b"\x1b)I",
            b"\x1b-L",
            b"\x1b",
            b"\\",
            b"^",
            b"=",
            b"\r\n",
            b";3ED",
            b"\xb1\xe6",
            b"\x81\x30\x81\x30",
        ])
        .prop_map(<[u8]>::to_vec),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_under_any_terms_give_text(terms in any_terms(), bytes in any_value()) {
        let (set, _) = SpecificCharacterSet::parse(&terms);
        for kind in KINDS {
            let decoded = set.decode(&bytes, kind);
            // Each byte gives at most one character, a byte order mark or escape sequence none.
            prop_assert!(decoded.text.chars().count() <= bytes.len());
            let (values, replaced) = set.decode_values(&bytes, kind);
            prop_assert!(values.len() <= memchr::memchr_iter(b'\\', &bytes).count() + 1);
            prop_assert!(kind != TextKind::LongText || values.len() <= 1);
            if matches!(set.reading, Reading::Iso2022(_)) {
                prop_assert_eq!(decoded.text.contains('\u{FFFD}'), decoded.replaced);
                prop_assert_eq!(replaced, decoded.replaced);
                let split: Vec<&str> = if kind.splits() { decoded.text.split('\\').collect() } else { vec![&decoded.text] };
                let trimmed: Vec<&str> = split.into_iter().map(|value| kind.trim(value)).collect();
                prop_assert!(values == trimmed || (values.is_empty() && trimmed == [""]));
            }
        }
    }

    #[test]
    fn any_specific_character_set_can_be_parsed(terms in any::<String>(), bytes in any_value()) {
        let (set, _) = SpecificCharacterSet::parse(&terms);
        let _ = set.decode_values(&bytes, TextKind::Text);
    }

    #[test]
    fn chinese_values_are_split_where_they_were_joined(values in prop::collection::vec("[a-z\u{4e00}-\u{9fa5}\u{20000}-\u{20100}]{1,8}", 1..5)) {
        let joined = values.join("\\");
        let (bytes, _, unmappable) = GB18030.encode(&joined);
        prop_assert!(!unmappable);
        let (decoded, replaced) = known("GB18030").decode_values(&bytes, TextKind::Text);
        prop_assert_eq!(decoded, values);
        prop_assert!(!replaced);
    }
}
