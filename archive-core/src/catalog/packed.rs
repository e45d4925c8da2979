//! Values are packed with the words that most of them have in common: alone, a value of a study of one instance is
//! too short to be packed well.

use std::io;
use std::sync::LazyLock;

use parking_lot::Mutex;
use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};

use crate::zstd_contexts::with_one_of;

/// Values of a study as they lie in the catalog, of the kinds that are frequent. Another text is another layout
/// ([`super::keys::LAYOUT`]).
const WORDS: &[u8] = include_bytes!("dictionary.txt");
/// What is written often and never leaves the machine.
const LEVEL: i32 = 6;

static WRITING: LazyLock<EncoderDictionary<'static>> = LazyLock::new(|| EncoderDictionary::copy(WORDS, LEVEL));
static READING: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(WORDS));
static COMPRESSORS: Mutex<Vec<Compressor<'static>>> = Mutex::new(Vec::new());
static DECOMPRESSORS: Mutex<Vec<Decompressor<'static>>> = Mutex::new(Vec::new());

/// Packs a value into one frame.
///
/// # Errors
/// There is no memory.
pub(super) fn pack(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let make = || Compressor::with_prepared_dictionary(&WRITING);
    with_one_of(&COMPRESSORS, make, |context| context.compress(bytes))
}

/// Unpacks a frame of at most `most` bytes.
///
/// # Errors
/// It is no whole frame, or one of more bytes.
pub(super) fn unpack(frame: &[u8], most: usize) -> io::Result<Vec<u8>> {
    let size = match zstd::zstd_safe::get_frame_content_size(frame) {
        Ok(Some(size)) => usize::try_from(size).unwrap_or(usize::MAX).min(most),
        _ => most,
    };
    let make = || Decompressor::with_prepared_dictionary(&READING);
    let mut bytes = Vec::with_capacity(size);
    with_one_of(&DECOMPRESSORS, make, |context| context.decompress_to_buffer(frame, &mut bytes))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back_and_a_usual_value_takes_little() {
        let usual = br#"{"series":"1.2.276.0.7230010.3.1.3.1","summary":{"instances":1,"patients":[[{"id":"4711","issuer":""},"1:9"]],"values":[[524384,[["{\"Value\":[\"MR\"],\"vr\":\"CS\"}",1,9]]],[1048640,[["{\"Value\":[\"F\"],\"vr\":\"CS\"}",1,9]]]]}}"#;
        let frame = pack(usual).unwrap();
        assert!(frame.len() * 2 < usual.len(), "{} of {} bytes", frame.len(), usual.len());
        assert_eq!(unpack(&frame, usual.len()).unwrap(), usual);
        assert!(unpack(&frame, usual.len() - 1).is_err(), "more than it may be");
        assert!(unpack(&frame[..frame.len() - 1], usual.len()).is_err());
        for bytes in [Vec::new(), vec![7; 100_000]] {
            assert_eq!(unpack(&pack(&bytes).unwrap(), bytes.len()).unwrap(), bytes);
        }
    }
}
