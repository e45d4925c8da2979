//! The character sets that stand alone: UTF-8 (ISO_IR 192), GB18030 and GBK (PS3.3 Table C.12-5; PS3.5 Annex J).
//!
//! They know no code extensions. In the Chinese ones the second byte of a character may be 5CH, which then is no
//! backslash (PS3.5 §6.1.2.3): values are told apart before they are decoded, character by character.

use encoding_rs::{Encoding, GB18030, UTF_8};

use super::Sink;

/// An encoding that reads a value from its first byte to its last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WholeEncoding {
    /// ISO_IR 192.
    Utf8,
    /// GB18030, and GBK, which it contains.
    Gb18030,
}

impl WholeEncoding {
    /// Decodes all bytes into the sink.
    pub(super) fn decode(self, bytes: &[u8], sink: &mut Sink) {
        let mut rest = bytes;
        while let Some(at) = self.find_backslash(rest).filter(|_| sink.splits) {
            let (value, tail) = rest.split_at(at);
            self.decode_value(value, sink);
            sink.end_value();
            rest = tail.get(1..).unwrap_or_default();
        }
        self.decode_value(rest, sink);
    }

    fn decode_value(self, bytes: &[u8], sink: &mut Sink) {
        let (text, malformed) = match self {
            Self::Utf8 => UTF_8.decode_with_bom_removal(bytes),
            Self::Gb18030 => decode_plain(GB18030, bytes),
        };
        sink.push_str(&text);
        sink.replaced |= malformed;
    }

    /// Where the first 5CH lies that is a character of its own.
    fn find_backslash(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Utf8 => memchr::memchr(b'\\', bytes),
            Self::Gb18030 => {
                let mut at = 0;
                while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
                    if rest.first() == Some(&b'\\') {
                        return Some(at);
                    }
                    at += gb18030_length(rest);
                }
                None
            }
        }
    }
}

fn decode_plain<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> (std::borrow::Cow<'a, str>, bool) {
    encoding.decode_without_bom_handling(bytes)
}

/// How many bytes the first character takes; 1 where the bytes are no character.
fn gb18030_length(bytes: &[u8]) -> usize {
    match bytes {
        [0x81..=0xFE, 0x40..=0x7E | 0x80..=0xFE, ..] => 2,
        [0x81..=0xFE, 0x30..=0x39, 0x81..=0xFE, 0x30..=0x39, ..] => 4,
        _ => 1,
    }
}
