//! The terms of Specific Character Set (PS3.3 Tables C.12-2 to C.12-5), spelled as senders spell them.

use super::Reading;
use super::iso2022::{LowerSet, Repertoire, UpperSet};
use super::sets::{DoubleByteSet, SingleByteSet};
use super::whole::WholeEncoding;

/// What one term stands for.
#[derive(Clone, Copy)]
enum Term {
    /// The default repertoire alone.
    Default,
    /// A set for G1, with its set for G0.
    Upper(UpperSet, LowerSet),
    /// A set that only an escape sequence brings in, to G0.
    ByEscape,
    /// A character set without code extensions.
    Whole(WholeEncoding),
}

/// Reads all terms; the flag is false if one of them is not known.
pub(super) fn parse(value: &str) -> (Reading, bool) {
    let mut all_known = true;
    let mut terms = Vec::new();
    for text in value.split('\\') {
        terms.push(term(text).unwrap_or_else(|| {
            all_known = false;
            Term::Default
        }));
    }
    (reading(&terms), all_known)
}

/// The first term is what is active from the start. Where it leaves G1 free, the first other term that fills it is
/// meant; a set without code extensions counts only first, or after nothing but the default repertoire.
fn reading(terms: &[Term]) -> Reading {
    let mut lower = LowerSet::Ascii;
    let mut only_default = true;
    for (position, term) in terms.iter().enumerate() {
        match *term {
            Term::Whole(encoding) if only_default => return Reading::Whole(encoding),
            Term::Upper(upper, its_lower) => {
                if position == 0 {
                    lower = its_lower;
                }
                return Reading::Iso2022(Repertoire { lower, upper: Some(upper) });
            }
            Term::ByEscape => only_default = false,
            Term::Default | Term::Whole(_) => {}
        }
    }
    Reading::Iso2022(Repertoire { lower, upper: None })
}

/// The meaning of one term, or `None` for one that is not known.
fn term(text: &str) -> Option<Term> {
    let letters: String =
        text.chars().filter(char::is_ascii_alphanumeric).map(|character| character.to_ascii_uppercase()).collect();
    if letters.is_empty() {
        return text.trim_matches(['\0', ' ']).is_empty().then_some(Term::Default);
    }
    // `ISO_IR 100`, `ISO 2022 IR 100`, `ISO-IR 100`, `ISO 2022-100`, `IR100`: what counts is the number.
    let rest = letters.strip_prefix("ISO").unwrap_or(&letters);
    let rest = rest.strip_prefix("2022").filter(|rest| !rest.is_empty()).unwrap_or(rest);
    by_registration(rest.strip_prefix("IR").unwrap_or(rest)).or_else(|| by_name(rest))
}

/// By the number in the international register of coded character sets.
fn by_registration(number: &str) -> Option<Term> {
    use SingleByteSet as S;
    let single = |set| Term::Upper(UpperSet::Single(set), LowerSet::Ascii);
    let double = |set| Term::Upper(UpperSet::Double(set), LowerSet::Ascii);
    Some(match number {
        "6" => Term::Default,
        "100" => single(S::Latin1),
        "101" => single(S::Latin2),
        "109" => single(S::Latin3),
        "110" => single(S::Latin4),
        "144" => single(S::Cyrillic),
        "127" => single(S::Arabic),
        "126" => single(S::Greek),
        "138" => single(S::Hebrew),
        "148" => single(S::Latin5),
        "203" => single(S::Latin9),
        "166" => single(S::Thai),
        "13" | "14" => Term::Upper(UpperSet::Katakana, LowerSet::Romaji),
        "87" | "159" => Term::ByEscape,
        "149" => double(DoubleByteSet::KsX1001),
        "58" => double(DoubleByteSet::Gb2312),
        "192" => Term::Whole(WholeEncoding::Utf8),
        _ => return None,
    })
}

/// By the name of the encoding: GB18030 and GBK are terms of the standard, the others are common mistakes.
fn by_name(name: &str) -> Option<Term> {
    use SingleByteSet as S;
    let single = |set| Term::Upper(UpperSet::Single(set), LowerSet::Ascii);
    Some(match name {
        "GB18030" | "GBK" | "GB2312" | "EUCCN" => Term::Whole(WholeEncoding::Gb18030),
        "UTF8" | "10646" | "106461" => Term::Whole(WholeEncoding::Utf8),
        "ASCII" | "USASCII" | "646" | "646IRV" => Term::Default,
        "88591" | "LATIN1" => single(S::Latin1),
        "88592" | "LATIN2" => single(S::Latin2),
        "88593" | "LATIN3" => single(S::Latin3),
        "88594" | "LATIN4" => single(S::Latin4),
        "88595" => single(S::Cyrillic),
        "88596" => single(S::Arabic),
        "88597" => single(S::Greek),
        "88598" => single(S::Hebrew),
        "88599" | "LATIN5" => single(S::Latin5),
        "885915" | "LATIN9" => single(S::Latin9),
        "885911" | "TIS620" => single(S::Thai),
        "SHIFTJIS" | "SJIS" | "WINDOWS31J" => Term::Upper(UpperSet::Katakana, LowerSet::Romaji),
        "EUCKR" | "KSC5601" | "KSX1001" => Term::Upper(UpperSet::Double(DoubleByteSet::KsX1001), LowerSet::Ascii),
        _ => return None,
    })
}
