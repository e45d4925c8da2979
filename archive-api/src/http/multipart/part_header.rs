//! The header of one part (RFC 2045 §3, RFC 822 field syntax), read strictly.
//!
//! Strictly, because two readers that disagree about a header disagree about the body: a bare line feed, a field named
//! twice, or an encoding that would change the bytes is refused instead of guessed at (`docs/THREATS.md`, 22).

use super::reader::MultipartError;

/// What a part says about itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PartHeader {
    /// `Content-Type`, as it came.
    pub content_type: Option<String>,
}

impl PartHeader {
    /// Reads the lines between the delimiter and the empty line.
    ///
    /// # Errors
    /// [`MultipartError::Header`] for what is no header, or would change the bytes that follow.
    pub(super) fn parse(block: &[u8]) -> Result<Self, MultipartError> {
        let text = std::str::from_utf8(block).map_err(|_| MultipartError::Header("it is not text"))?;
        let mut header = Self::default();
        let mut transfer_encoding = None;
        for line in unfolded_lines(text)? {
            let (name, value) = line.split_once(':').ok_or(MultipartError::Header("a line has no colon"))?;
            if name.is_empty() || !name.bytes().all(is_token_byte) {
                return Err(MultipartError::Header("a field name is not a token"));
            }
            let value = value.trim_matches([' ', '\t']).to_owned();
            if name.eq_ignore_ascii_case("content-type") {
                set_once(&mut header.content_type, value)?;
            } else if name.eq_ignore_ascii_case("content-transfer-encoding") {
                set_once(&mut transfer_encoding, value)?;
            }
        }
        match transfer_encoding.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("binary" | "8bit" | "7bit") => Ok(header),
            Some(_) => Err(MultipartError::Header("its Content-Transfer-Encoding is not binary")),
        }
    }
}

fn set_once(field: &mut Option<String>, value: String) -> Result<(), MultipartError> {
    if field.is_some() {
        return Err(MultipartError::Header("a field occurs twice"));
    }
    *field = Some(value);
    Ok(())
}

/// Lines end in CR LF; one that begins with a space or tab continues the one before (RFC 822 §3.1.1).
fn unfolded_lines(text: &str) -> Result<Vec<String>, MultipartError> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.split("\r\n").filter(|line| !line.is_empty()) {
        if line.contains(['\r', '\n', '\0']) {
            return Err(MultipartError::Header("it has a line break that is not CR LF, or a NUL"));
        }
        match lines.last_mut() {
            Some(previous) if line.starts_with([' ', '\t']) => {
                previous.push(' ');
                previous.push_str(line.trim_start_matches([' ', '\t']));
            }
            _ => lines.push(line.to_owned()),
        }
    }
    Ok(lines)
}

/// A character that a token may have (RFC 9110 §5.6.2).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folded_field_is_one_field() {
        let header = PartHeader::parse(b"Content-Type: application/dicom;\r\n\ttransfer-syntax=1.2").unwrap();
        assert_eq!(header.content_type.as_deref(), Some("application/dicom; transfer-syntax=1.2"));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let hostile: [&[u8]; 7] = [
            b"Content-Type: a/b\r\ncontent-type: c/d",
            b"Content-Type: a/b\nX: y",
            b"Content-Transfer-Encoding: base64",
            b"no colon here",
            b"Content Type: a/b",
            b": a/b",
            b"X: \xff",
        ];
        for block in hostile {
            assert!(matches!(PartHeader::parse(block), Err(MultipartError::Header(_))), "{block:?}");
        }
    }

    #[test]
    fn a_part_may_say_nothing_about_itself() {
        assert_eq!(PartHeader::parse(b""), Ok(PartHeader::default()));
    }
}
