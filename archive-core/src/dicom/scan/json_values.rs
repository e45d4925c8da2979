//! The values of an element as DICOM JSON (PS3.18 Table F.2.3-1).
//!
//! Nothing is refused: text that cannot be decoded becomes U+FFFD, a decimal that is no number stays text, numbers that
//! JSON does not have (NaN, infinities) are the texts `NaN`, `inf` and `-inf`, and what is odd is said.

use std::borrow::Cow;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dicom_core::VR;

use super::element::{ElementHeader, number_16, number_32};
use super::json;
use super::vr;
use crate::dicom::charset::{SpecificCharacterSet, TextKind};
use crate::dicom::transfer_syntaxes::Encoding;

/// Integers beyond this are written as text: not every reader of JSON keeps them (RFC 8259 §6).
const SAFE_INTEGER_MAX: u64 = 1 << 53;

/// What was odd about a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Oddities {
    /// Text could not be decoded.
    pub undecodable: bool,
    /// A decimal or integer string is no number.
    pub no_number: bool,
    /// Bytes are left after the last whole value.
    pub odd_length: bool,
}

/// Writes `,"Value":[…]` or `,"InlineBinary":"…"`, or nothing for an element without value.
pub(super) fn write(
    out: &mut Vec<u8>,
    header: &ElementHeader,
    bytes: &[u8],
    charset: &SpecificCharacterSet,
) -> Oddities {
    if bytes.is_empty() {
        return Oddities::default();
    }
    match header.vr {
        VR::LO | VR::SH => text(out, charset, bytes, TextKind::Text),
        VR::UC => text(out, charset, bytes, TextKind::UnlimitedText),
        VR::ST | VR::LT | VR::UT => text(out, charset, bytes, TextKind::LongText),
        VR::PN => person_names(out, charset, bytes),
        VR::UI => uids(out, bytes),
        VR::UR => text(out, default_repertoire(), bytes, TextKind::LongText),
        VR::IS | VR::DS => decimals(out, bytes),
        VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN | VR::SQ => inline_binary(out, header, bytes),
        VR::AT | VR::FD | VR::FL | VR::SL | VR::SS | VR::SV | VR::UL | VR::US | VR::UV => numbers(out, header, bytes),
        _ => text(out, default_repertoire(), bytes, TextKind::Text),
    }
}

/// What values are in whose representation knows no other character set (PS3.5 Table 6.2-1).
fn default_repertoire() -> &'static SpecificCharacterSet {
    static DEFAULT: LazyLock<SpecificCharacterSet> = LazyLock::new(SpecificCharacterSet::default);
    &DEFAULT
}

/// Writes values between `,"Value":[` and `]`; nothing if there are none.
fn list<T>(out: &mut Vec<u8>, values: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Vec<u8>, T)) {
    let mut lead: &[u8] = b",\"Value\":[";
    for value in values {
        out.extend_from_slice(lead);
        write(out, value);
        lead = b",";
    }
    if lead == b"," {
        out.push(b']');
    }
}

/// A string, or null for an empty value among others (PS3.18 §F.2.5).
fn string_or_null(out: &mut Vec<u8>, text: &str) {
    if text.is_empty() { out.extend_from_slice(b"null") } else { json::string(out, text) }
}

fn text(out: &mut Vec<u8>, charset: &SpecificCharacterSet, bytes: &[u8], kind: TextKind) -> Oddities {
    let (values, undecodable) = charset.decode_values(bytes, kind);
    list(out, &values, |out, value| string_or_null(out, value));
    Oddities { undecodable, ..Oddities::default() }
}

/// UIDs: each byte is the character of that number, as in [`crate::identifiers`].
fn uids(out: &mut Vec<u8>, bytes: &[u8]) -> Oddities {
    let all: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    let all = all.trim_matches(['\0', ' ']);
    let values = all.split('\\').map(|value| value.trim_matches(['\0', ' '])).filter(|_| !all.is_empty());
    list(out, values, string_or_null);
    Oddities::default()
}

/// Up to three groups: alphabetic, ideographic, phonetic (PS3.5 §6.2.1.2, PS3.18 §F.2.2).
fn person_names(out: &mut Vec<u8>, charset: &SpecificCharacterSet, bytes: &[u8]) -> Oddities {
    let (values, undecodable) = charset.decode_values(bytes, TextKind::PersonName);
    list(out, &values, |out, value| {
        let names = ["Alphabetic", "Ideographic", "Phonetic"].into_iter().zip(value.split('='));
        let mut lead = b'{';
        for (group, text) in names.filter(|(_, text)| !text.is_empty()) {
            out.push(lead);
            json::string(out, group);
            out.push(b':');
            json::string(out, text);
            lead = b',';
        }
        out.extend_from_slice(if lead == b',' { b"}" } else { b"null" });
    });
    Oddities { undecodable, ..Oddities::default() }
}

/// IS and DS: numbers with the digits that were sent, or text where there is no number.
fn decimals(out: &mut Vec<u8>, bytes: &[u8]) -> Oddities {
    let (values, undecodable) = default_repertoire().decode_values(bytes, TextKind::Text);
    let mut no_number = false;
    list(out, &values, |out, value| match json_number(value) {
        Some(number) => out.extend_from_slice(number.as_bytes()),
        None => {
            no_number |= !value.is_empty();
            string_or_null(out, value);
        }
    });
    Oddities { undecodable, no_number, ..Oddities::default() }
}

/// The JSON form of a decimal number of DICOM, digit for digit; `None` if it is none, or none that a reader can hold.
///
/// DICOM allows what JSON does not: a plus sign, leading zeros, nothing before or after the point (PS3.5 §6.2).
fn json_number(text: &str) -> Option<Cow<'_, str>> {
    let is_plain = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    if !is_plain(text) || !text.parse::<f64>().ok()?.is_finite() {
        return None;
    }
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let unsigned = mantissa.trim_start_matches(['+', '-']);
    let sign = if mantissa.starts_with('-') { "-" } else { "" };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    let point = if fraction.is_empty() { "" } else { "." };
    let number = format!("{sign}{whole}{point}{fraction}{exponent}");
    Some(if number == text { Cow::Borrowed(text) } else { Cow::Owned(number) })
}

/// Base64 of the value, little endian whatever the syntax (PS3.18 §F.2.7).
fn inline_binary(out: &mut Vec<u8>, header: &ElementHeader, bytes: &[u8]) -> Oddities {
    let mut value = Cow::Borrowed(bytes);
    if header.encoding == Encoding::ExplicitBig
        && let Some(width) = vr::width(header.vr)
    {
        value.to_mut().chunks_exact_mut(width).for_each(<[u8]>::reverse);
    }
    out.extend_from_slice(b",\"InlineBinary\":\"");
    out.extend_from_slice(STANDARD.encode(value).as_bytes());
    out.push(b'"');
    Oddities::default()
}

fn numbers(out: &mut Vec<u8>, header: &ElementHeader, bytes: &[u8]) -> Oddities {
    let width = vr::width(header.vr).unwrap_or(1);
    let values = bytes.chunks_exact(width);
    let odd_length = !values.remainder().is_empty();
    list(out, values, |out, value| number(out, header.encoding, header.vr, value));
    Oddities { odd_length, ..Oddities::default() }
}

/// One number. `as` only changes the sign here: widths are equal.
#[allow(clippy::cast_possible_wrap)]
fn number(out: &mut Vec<u8>, encoding: Encoding, vr: VR, value: &[u8]) {
    let wide = number_64(value, encoding);
    let narrow = value.first_chunk().map_or(0, |&bytes| number_32(bytes, encoding));
    let short = value.first_chunk().map_or(0, |&bytes| number_16(bytes, encoding));
    match vr {
        VR::US => display(out, short),
        VR::SS => display(out, short as i16),
        VR::UL => display(out, narrow),
        VR::SL => display(out, narrow as i32),
        VR::FL => float(out, f64::from(f32::from_bits(narrow)), f32::from_bits(narrow)),
        VR::FD => float(out, f64::from_bits(wide), f64::from_bits(wide)),
        VR::UV if wide > SAFE_INTEGER_MAX => json::string(out, &wide.to_string()),
        VR::UV => display(out, wide),
        VR::SV if (wide as i64).unsigned_abs() > SAFE_INTEGER_MAX => json::string(out, &(wide as i64).to_string()),
        VR::SV => display(out, wide as i64),
        VR::AT => json::string(out, &attribute_tag(value, encoding)),
        _ => out.extend_from_slice(b"null"),
    }
}

fn number_64(value: &[u8], encoding: Encoding) -> u64 {
    value.first_chunk().map_or(0, |&bytes| match encoding {
        Encoding::ExplicitBig => u64::from_be_bytes(bytes),
        _ => u64::from_le_bytes(bytes),
    })
}

fn attribute_tag(value: &[u8], encoding: Encoding) -> String {
    let &[g0, g1, e0, e1] = value.first_chunk().unwrap_or(&[0; 4]);
    format!("{:04X}{:04X}", number_16([g0, g1], encoding), number_16([e0, e1], encoding))
}

fn display(out: &mut Vec<u8>, number: impl serde::Serialize) {
    // Integers always have a JSON form, and writing to a vector does not fail.
    let _ = serde_json::to_writer(out, &number);
}

/// The shortest decimal that gives the same number back, in its own precision.
fn float(out: &mut Vec<u8>, value: f64, number: impl serde::Serialize) {
    if value.is_finite() {
        display(out, number);
    } else if value.is_nan() {
        json::string(out, "NaN");
    } else {
        json::string(out, if value > 0.0 { "inf" } else { "-inf" });
    }
}

#[cfg(test)]
mod tests {
    use super::json_number;

    #[test]
    fn decimals_keep_their_digits_and_become_json() {
        let cases = [
            ("1.50", "1.50"),
            ("+5", "5"),
            ("-.5", "-0.5"),
            ("007", "7"),
            ("5.", "5"),
            ("-0", "-0"),
            ("1E+05", "1E+05"),
            ("0.10E-3", "0.10E-3"),
            ("00", "0"),
        ];
        for (text, number) in cases {
            assert_eq!(json_number(text).as_deref(), Some(number), "{text}");
            serde_json::from_str::<serde_json::Number>(number).expect("a JSON number");
        }
        for text in ["", "1A", "1e999", "inf", "NaN", "1 2", "--1", "+", ".", "e5", "1e", "0x10"] {
            assert_eq!(json_number(text), None, "{text}");
        }
    }
}
