//! The graphic character sets that an escape sequence can designate, and what their codes mean.
//!
//! Tables come from `encoding_rs`, whose encodings hold these sets as parts. Where the part differs from the set
//! (ISO 8859-1 and -9, the C1 range of the Windows pages, six signs of JIS X 0208) the set wins, not the encoding.

use encoding_rs::{
    EUC_JP, EUC_KR, Encoding, GBK, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5, ISO_8859_6, ISO_8859_7, ISO_8859_8,
    ISO_8859_15, SHIFT_JIS, WINDOWS_874,
};

/// A set of one byte a character, in the upper half of the code table (G1, bytes A0H to FFH).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SingleByteSet {
    /// ISO-IR 100, ISO 8859-1.
    Latin1,
    /// ISO-IR 101, ISO 8859-2.
    Latin2,
    /// ISO-IR 109, ISO 8859-3.
    Latin3,
    /// ISO-IR 110, ISO 8859-4.
    Latin4,
    /// ISO-IR 148, ISO 8859-9.
    Latin5,
    /// ISO-IR 203, ISO 8859-15.
    Latin9,
    /// ISO-IR 144, ISO 8859-5.
    Cyrillic,
    /// ISO-IR 127, ISO 8859-6.
    Arabic,
    /// ISO-IR 126, ISO 8859-7.
    Greek,
    /// ISO-IR 138, ISO 8859-8.
    Hebrew,
    /// ISO-IR 166, TIS 620-2533.
    Thai,
}

impl SingleByteSet {
    /// The character of a byte from A0H.
    pub(super) fn character(self, byte: u8) -> Option<char> {
        match self {
            Self::Latin1 => Some(char::from(byte)),
            Self::Latin5 => Some(latin5(byte)),
            Self::Latin2 => one(ISO_8859_2, &[byte]),
            Self::Latin3 => one(ISO_8859_3, &[byte]),
            Self::Latin4 => one(ISO_8859_4, &[byte]),
            Self::Latin9 => one(ISO_8859_15, &[byte]),
            Self::Cyrillic => one(ISO_8859_5, &[byte]),
            Self::Arabic => one(ISO_8859_6, &[byte]),
            Self::Greek => one(ISO_8859_7, &[byte]),
            Self::Hebrew => one(ISO_8859_8, &[byte]),
            Self::Thai => one(WINDOWS_874, &[byte]),
        }
    }
}

/// A set of 94 × 94 characters, two bytes each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum DoubleByteSet {
    /// ISO-IR 87, JIS X 0208.
    JisX0208,
    /// ISO-IR 159, JIS X 0212.
    JisX0212,
    /// ISO-IR 149, KS X 1001.
    KsX1001,
    /// ISO-IR 58, GB 2312.
    Gb2312,
}

impl DoubleByteSet {
    /// The character of two bytes as they stand in G1 (high bits set).
    pub(super) fn character(self, lead: u8, trail: u8) -> Option<char> {
        match self {
            Self::JisX0208 => one(EUC_JP, &[lead, trail]).map(jis_sign),
            Self::JisX0212 => one(EUC_JP, &[0x8F, lead, trail]),
            Self::KsX1001 => one(EUC_KR, &[lead, trail]),
            Self::Gb2312 => one(GBK, &[lead, trail]),
        }
    }

    /// Whether two bytes can be a character in G1. Korean and Chinese senders also use the codes by which Windows
    /// extends their sets (UHC, GBK): they are read as long as no byte of them can be a delimiter.
    pub(super) const fn accepts_in_g1(self, lead: u8, trail: u8) -> bool {
        match self {
            Self::JisX0208 | Self::JisX0212 => lead >= 0xA1 && trail >= 0xA1,
            Self::KsX1001 => lead >= 0x81 && (trail >= 0x81 || trail.is_ascii_alphabetic()),
            Self::Gb2312 => lead >= 0x81 && trail >= 0x80,
        }
    }
}

/// The katakana half of JIS X 0201 (ISO-IR 13), for bytes from A1H to DFH.
pub(super) fn katakana(byte: u8) -> Option<char> {
    matches!(byte, 0xA1..=0xDF).then(|| char::from_u32(0xFF61 + u32::from(byte - 0xA1))).flatten()
}

/// A character of two bytes in Shift JIS, which some senders announce as ISO_IR 13.
pub(super) fn shift_jis(lead: u8, trail: u8) -> Option<char> {
    let leads = matches!(lead, 0x81..=0x9F | 0xE0..=0xFC);
    let trails = matches!(trail, 0x40..=0x7E | 0x80..=0xFC);
    if leads && trails { one(SHIFT_JIS, &[lead, trail]) } else { None }
}

/// ISO 8859-9 is ISO 8859-1 but for six letters.
fn latin5(byte: u8) -> char {
    match byte {
        0xD0 => 'Ğ',
        0xDD => 'İ',
        0xDE => 'Ş',
        0xF0 => 'ğ',
        0xFD => 'ı',
        0xFE => 'ş',
        _ => char::from(byte),
    }
}

/// `encoding_rs` maps six signs of JIS X 0208 as Windows does; these are the characters that JIS names.
const fn jis_sign(character: char) -> char {
    match character {
        '\u{FF5E}' => '\u{301C}',
        '\u{2225}' => '\u{2016}',
        '\u{FF0D}' => '\u{2212}',
        '\u{FFE0}' => '\u{00A2}',
        '\u{FFE1}' => '\u{00A3}',
        '\u{FFE2}' => '\u{00AC}',
        other => other,
    }
}

/// The one character that these bytes are in an encoding.
fn one(encoding: &'static Encoding, bytes: &[u8]) -> Option<char> {
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes)?;
    let mut characters = text.chars();
    let first = characters.next()?;
    characters.next().is_none().then_some(first)
}
