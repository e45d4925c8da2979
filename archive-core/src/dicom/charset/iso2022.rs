//! Text with code extensions (PS3.5 §6.1.2.4 and §6.1.2.5): two code elements, G0 for bytes below 80H and G1 for the
//! others, each of which an escape sequence can give to another set.
//!
//! The first value of Specific Character Set says what is active at the start, and again after every delimiter and
//! control character (PS3.5 §6.1.2.5.3). All escape sequences are honoured, announced or not. Where G1 has no set, or
//! a sender did not repeat its escape sequence after a delimiter, the first announced set for G1 is meant.

use super::sets::{self, DoubleByteSet, SingleByteSet};
use super::{Sink, TextKind};

const ESCAPE: u8 = 0x1B;

/// What bytes below 80H mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LowerSet {
    /// ISO-IR 6.
    Ascii,
    /// ISO-IR 14, the romaji half of JIS X 0201: ASCII with a yen sign and an overline.
    Romaji,
    /// The katakana half of JIS X 0201; not in DICOM, but in text from elsewhere.
    Katakana,
    /// Two bytes a character.
    Double(DoubleByteSet),
}

/// What bytes from 80H mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum UpperSet {
    /// Bytes A0H to FFH of a single-byte set.
    Single(SingleByteSet),
    /// ISO-IR 13.
    Katakana,
    /// Two bytes a character.
    Double(DoubleByteSet),
}

/// The code elements of one moment.
#[derive(Clone, Copy)]
struct Active {
    lower: LowerSet,
    upper: Option<UpperSet>,
}

/// What Specific Character Set announced.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Repertoire {
    /// G0 at the start and after a delimiter.
    pub(super) lower: LowerSet,
    /// G1 at the start and after a delimiter; where the first value names none, the first one announced.
    pub(super) upper: Option<UpperSet>,
}

impl Repertoire {
    /// Decodes all bytes into the sink.
    pub(super) fn decode(&self, bytes: &[u8], kind: TextKind, sink: &mut Sink) {
        let initial = Active { lower: self.lower, upper: self.upper };
        let mut active = initial;
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            let used = match first {
                ESCAPE => escape(rest, &mut active, sink),
                0x00..=0x20 | 0x7F => {
                    sink.push(char::from(first));
                    if first != b' ' && first != 0x7F {
                        active = initial;
                    }
                    1
                }
                0x21..=0x7E => {
                    let used = lower(rest, active.lower, kind, sink);
                    if used == 1 && ends_extension(first, active.lower, kind) {
                        active = initial;
                    }
                    used
                }
                0x80.. => upper(rest, active.upper, sink),
            };
            rest = rest.get(used..).unwrap_or_default();
        }
    }
}

/// Whether this byte, read as one character, is a delimiter after which the initial sets are active again.
const fn ends_extension(byte: u8, lower: LowerSet, kind: TextKind) -> bool {
    if !matches!(lower, LowerSet::Ascii | LowerSet::Romaji) {
        return false;
    }
    match kind {
        TextKind::PersonName => matches!(byte, b'\\' | b'^' | b'='),
        TextKind::Text | TextKind::UnlimitedText => byte == b'\\',
        TextKind::LongText => false,
    }
}

/// Reads an escape sequence; gives how many bytes it took. One that is not known leaves U+FFFD in the place of ESC.
fn escape(bytes: &[u8], active: &mut Active, sink: &mut Sink) -> usize {
    match designation(bytes.get(1..).unwrap_or_default()) {
        Some((Designation::Lower(set), length)) => {
            active.lower = set;
            1 + length
        }
        Some((Designation::Upper(set), length)) => {
            active.upper = Some(set);
            1 + length
        }
        None => {
            sink.push_or_replace(None);
            1
        }
    }
}

enum Designation {
    Lower(LowerSet),
    Upper(UpperSet),
}

/// The set that the bytes after ESC designate, and how many bytes say so (PS3.3 Tables C.12-3 and C.12-4, and the
/// other code element where ISO 2022 has it for the same set).
fn designation(after: &[u8]) -> Option<(Designation, usize)> {
    use DoubleByteSet::{Gb2312, JisX0208, JisX0212, KsX1001};
    let low = |set| Designation::Lower(set);
    let single = |set| Designation::Upper(UpperSet::Single(set));
    let double = |set| Designation::Upper(UpperSet::Double(set));
    Some(match after {
        [b'(', b'B', ..] => (low(LowerSet::Ascii), 2),
        [b'(', b'J', ..] => (low(LowerSet::Romaji), 2),
        [b'(', b'I', ..] => (low(LowerSet::Katakana), 2),
        [b')', b'I', ..] => (Designation::Upper(UpperSet::Katakana), 2),
        [b'-', last, ..] => (single(single_byte_set(*last)?), 2),
        [b'$', b'@' | b'B', ..] => (low(LowerSet::Double(JisX0208)), 2),
        [b'$', b'A', ..] => (low(LowerSet::Double(Gb2312)), 2),
        [b'$', b'(', b'@' | b'B', ..] => (low(LowerSet::Double(JisX0208)), 3),
        [b'$', b'(', b'D', ..] => (low(LowerSet::Double(JisX0212)), 3),
        [b'$', b'(', b'C', ..] => (low(LowerSet::Double(KsX1001)), 3),
        [b'$', b'(', b'A', ..] => (low(LowerSet::Double(Gb2312)), 3),
        [b'$', b')', b'B', ..] => (double(JisX0208), 3),
        [b'$', b')', b'D', ..] => (double(JisX0212), 3),
        [b'$', b')', b'C', ..] => (double(KsX1001), 3),
        [b'$', b')', b'A', ..] => (double(Gb2312), 3),
        _ => return None,
    })
}

/// The 96-character set that ESC 2DH and this byte designate to G1.
const fn single_byte_set(last: u8) -> Option<SingleByteSet> {
    Some(match last {
        b'A' => SingleByteSet::Latin1,
        b'B' => SingleByteSet::Latin2,
        b'C' => SingleByteSet::Latin3,
        b'D' => SingleByteSet::Latin4,
        b'F' => SingleByteSet::Greek,
        b'G' => SingleByteSet::Arabic,
        b'H' => SingleByteSet::Hebrew,
        b'L' => SingleByteSet::Cyrillic,
        b'M' => SingleByteSet::Latin5,
        b'T' => SingleByteSet::Thai,
        b'b' => SingleByteSet::Latin9,
        _ => return None,
    })
}

/// Reads one character from 21H to 7EH; gives how many bytes it took.
fn lower(bytes: &[u8], set: LowerSet, kind: TextKind, sink: &mut Sink) -> usize {
    let &[first, ref after @ ..] = bytes else { return 1 };
    match set {
        LowerSet::Ascii if first == b'\\' => sink.delimiter('\\'),
        LowerSet::Ascii => sink.push(char::from(first)),
        // In text that is never split 5CH is the character that the set has there (PS3.5 §6.1.2.3).
        LowerSet::Romaji if first == b'\\' => sink.delimiter(if kind.splits() { '\\' } else { '¥' }),
        LowerSet::Romaji if first == b'~' => sink.push('\u{203E}'),
        LowerSet::Romaji => sink.push(char::from(first)),
        LowerSet::Katakana => sink.push_or_replace(sets::katakana(first | 0x80)),
        LowerSet::Double(set) => {
            let Some(&trail) = after.first().filter(|trail| matches!(trail, 0x21..=0x7E)) else {
                sink.push_or_replace(None);
                return 1;
            };
            sink.push_or_replace(set.character(first | 0x80, trail | 0x80));
            return 2;
        }
    }
    1
}

/// Reads one character from 80H; gives how many bytes it took.
fn upper(bytes: &[u8], set: Option<UpperSet>, sink: &mut Sink) -> usize {
    let &[first, ref after @ ..] = bytes else { return 1 };
    match set {
        // ISO 8859 leaves 80H to 9FH to control characters.
        Some(UpperSet::Single(_)) if first < 0xA0 => sink.push(char::from(first)),
        Some(UpperSet::Single(set)) => sink.push_or_replace(set.character(first)),
        Some(UpperSet::Katakana) => {
            // Shift JIS uses only bytes that JIS X 0201 leaves free to begin a pair: no doubt is possible.
            if let Some(character) = after.first().and_then(|&trail| sets::shift_jis(first, trail)) {
                sink.push(character);
                return 2;
            }
            sink.push_or_replace(sets::katakana(first));
        }
        Some(UpperSet::Double(set)) => {
            let pair = after.first().filter(|&&trail| set.accepts_in_g1(first, trail));
            if let Some(character) = pair.and_then(|&trail| set.character(first, trail)) {
                sink.push(character);
                return 2;
            }
            sink.push_or_replace(None);
            // A pair of the right shape without a character is one unknown character, not two.
            if pair.is_some_and(|&trail| trail >= 0x80) {
                return 2;
            }
        }
        None => sink.push_or_replace(None),
    }
    1
}
