//! Media types: how one is written, and which belongs to which transfer syntax.

/// A data set as a Part 10 file (RFC 3240).
pub const DICOM: &str = "application/dicom";
/// The DICOM JSON model (PS3.18 Annex F).
pub const DICOM_JSON: &str = "application/dicom+json";
/// Bytes.
pub const OCTET_STREAM: &str = "application/octet-stream";
/// What bulk data that is not compressed is said to be in (PS3.18 §8.7.3.3.1).
pub const EXPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";
/// Implicit VR Little Endian.
pub const IMPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2";
/// Explicit VR Big Endian, retired.
pub const EXPLICIT_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
/// Deflated Explicit VR Little Endian.
pub const DEFLATED_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1.99";
/// Encapsulated Uncompressed Explicit VR Little Endian: fragments, but of plain pixels.
pub const ENCAPSULATED_UNCOMPRESSED: &str = "1.2.840.10008.1.2.1.98";

/// How the pixels of a transfer syntax leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PixelForm {
    /// Plain pixels, little endian.
    Plain,
    /// Plain pixels, big endian: to be swapped.
    PlainBigEndian,
    /// A codestream with a media type of its own.
    Compressed(&'static str),
    /// A codestream whose media type we do not know (private syntaxes): only as stored, under its own UID.
    Unknown,
}

/// PS3.18 Tables 8.7.3-4 and 8.7.3-5, with the retired JPEG processes, which archives still hold.
#[must_use]
pub fn pixel_form(transfer_syntax: &str) -> PixelForm {
    match transfer_syntax {
        IMPLICIT_LITTLE_ENDIAN | EXPLICIT_LITTLE_ENDIAN | DEFLATED_LITTLE_ENDIAN | ENCAPSULATED_UNCOMPRESSED => {
            return PixelForm::Plain;
        }
        EXPLICIT_BIG_ENDIAN => return PixelForm::PlainBigEndian,
        "1.2.840.10008.1.2.5" => return PixelForm::Compressed("image/dicom-rle"),
        _ => {}
    }
    let number = |end: &str| end.split('.').next().and_then(|part| part.parse::<u16>().ok());
    match transfer_syntax.strip_prefix("1.2.840.10008.1.2.4.").and_then(number) {
        Some(50..=70) => PixelForm::Compressed("image/jpeg"),
        Some(80 | 81) => PixelForm::Compressed("image/jls"),
        Some(90 | 91) => PixelForm::Compressed("image/jp2"),
        Some(92 | 93) => PixelForm::Compressed("image/jpx"),
        Some(100 | 101) => PixelForm::Compressed("video/mpeg"),
        Some(102..=106) => PixelForm::Compressed("video/mp4"),
        Some(107 | 108) => PixelForm::Compressed("video/H265"),
        Some(110..=112) => PixelForm::Compressed("image/jxl"),
        Some(201..=203) => PixelForm::Compressed("image/jphc"),
        _ => PixelForm::Unknown,
    }
}

/// A media type with parameters; type and names in lower case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MediaType {
    /// `application/dicom`, `image/*`, `*/*`.
    pub essence: String,
    parameters: Vec<(String, String)>,
}

impl MediaType {
    /// Reads one media type or media range (RFC 9110 §8.3.1); `None` for what is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut pieces = split_outside_quotes(text, ';').into_iter();
        let essence = pieces.next()?.trim().to_ascii_lowercase();
        let (kind, subkind) = essence.split_once('/')?;
        if !is_token(kind) || !is_token(subkind) {
            return None;
        }
        let mut parameters = Vec::new();
        for piece in pieces.map(str::trim).filter(|piece| !piece.is_empty()) {
            let (name, value) = piece.split_once('=')?;
            let name = name.trim();
            if !is_token(name) {
                return None;
            }
            parameters.push((name.to_ascii_lowercase(), unquote(value.trim())?));
        }
        Some(Self { essence, parameters })
    }

    /// The value of a parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Splits at a separator that is not within a quoted string.
pub(super) fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut quoted, mut escaped, mut start) = (false, false, 0);
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if quoted && c == '\\' {
            escaped = true;
        } else if c == '"' {
            quoted = !quoted;
        } else if c == separator && !quoted {
            pieces.push(text.get(start..at).unwrap_or_default());
            start = at + separator.len_utf8();
        }
    }
    pieces.push(text.get(start..).unwrap_or_default());
    pieces
}

/// A token as it is, a quoted string without its quotes (RFC 9110 §5.6.4).
fn unquote(text: &str) -> Option<String> {
    let Some(inner) = text.strip_prefix('"') else {
        return Some(text.to_owned());
    };
    let inner = inner.strip_suffix('"')?;
    let mut value = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        value.push(if c == '\\' { characters.next()? } else { c });
    }
    Some(value)
}

fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

/// `; transfer-syntax=…` for a content type; nothing where the UID is not one that a header may hold.
#[must_use]
pub fn with_transfer_syntax(essence: &str, transfer_syntax: &str) -> String {
    let plain = !transfer_syntax.is_empty()
        && transfer_syntax.len() <= 64
        && transfer_syntax.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if plain { format!("{essence}; transfer-syntax={transfer_syntax}") } else { essence.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_quoted_parameter_is_read_without_its_quotes() {
        let media = MediaType::parse(r#"Multipart/Related; TYPE="application/dicom"; boundary="a;b\"c""#).unwrap();
        assert_eq!(media.essence, "multipart/related");
        assert_eq!(media.parameter("type"), Some("application/dicom"));
        assert_eq!(media.parameter("boundary"), Some("a;b\"c"));
    }

    #[test]
    fn every_syntax_of_the_standard_has_its_media_type() {
        let expected = [
            ("1.2.840.10008.1.2", PixelForm::Plain),
            ("1.2.840.10008.1.2.1.99", PixelForm::Plain),
            ("1.2.840.10008.1.2.1.98", PixelForm::Plain),
            ("1.2.840.10008.1.2.2", PixelForm::PlainBigEndian),
            ("1.2.840.10008.1.2.5", PixelForm::Compressed("image/dicom-rle")),
            ("1.2.840.10008.1.2.4.50", PixelForm::Compressed("image/jpeg")),
            ("1.2.840.10008.1.2.4.70", PixelForm::Compressed("image/jpeg")),
            ("1.2.840.10008.1.2.4.81", PixelForm::Compressed("image/jls")),
            ("1.2.840.10008.1.2.4.91", PixelForm::Compressed("image/jp2")),
            ("1.2.840.10008.1.2.4.93", PixelForm::Compressed("image/jpx")),
            ("1.2.840.10008.1.2.4.100.1", PixelForm::Compressed("video/mpeg")),
            ("1.2.840.10008.1.2.4.103", PixelForm::Compressed("video/mp4")),
            ("1.2.840.10008.1.2.4.107", PixelForm::Compressed("video/H265")),
            ("1.2.840.10008.1.2.4.112", PixelForm::Compressed("image/jxl")),
            ("1.2.840.10008.1.2.4.202", PixelForm::Compressed("image/jphc")),
            ("1.2.840.113619.5.2", PixelForm::Unknown),
        ];
        for (uid, form) in expected {
            assert_eq!(pixel_form(uid), form, "{uid}");
        }
    }

    #[test]
    fn a_transfer_syntax_that_is_no_uid_stays_out_of_headers() {
        assert_eq!(with_transfer_syntax(DICOM, "1.2\r\nSet-Cookie: x"), DICOM);
        assert_eq!(
            with_transfer_syntax(DICOM, "1.2.840.10008.1.2"),
            "application/dicom; transfer-syntax=1.2.840.10008.1.2"
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,80}") {
            let _ = MediaType::parse(&text);
            prop_assert_eq!(split_outside_quotes(&text, ',').join(","), text);
        }
    }
}
