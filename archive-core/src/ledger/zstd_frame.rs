//! zstd as the ledger uses it (RFC 8878): an object is exactly one frame, with a content checksum and the size of its
//! content, without a dictionary. So frames can be put one after the other in a bundle and be told apart again, and a
//! reader knows before it unpacks how much will come.

use std::io::Read as _;

use super::error::Fault;

/// Level: segments are small, and ratio matters more than speed.
const LEVEL: i32 = 3;
/// The largest window a reader accepts (2^27 bytes, docs/FORMAT.md); output is bounded besides.
const WINDOW_LOG_MAX: u32 = 27;
/// The first four bytes of a frame (RFC 8878 §3.1.1).
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Bits of the frame header descriptor (RFC 8878 §3.1.1.1.1): unused, reserved, dictionary id.
const MUST_BE_ZERO: u8 = 0b0001_1011;
/// Bit of the frame header descriptor: a content checksum follows.
const CHECKSUM: u8 = 0b0000_0100;

/// Packs bytes as one frame.
///
/// # Errors
/// What the compressor says.
pub(super) fn compress(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.include_checksum(true)?;
    compressor.include_contentsize(true)?;
    compressor.include_dictid(false)?;
    compressor.compress(content)
}

/// Bytes of the first frame; `None` where no whole frame lies.
pub(super) fn frame_length(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [a, b, c, d, ..] if [*a, *b, *c, *d] == MAGIC => zstd::zstd_safe::find_frame_compressed_size(bytes).ok(),
        _ => None,
    }
}

/// Unpacks an object that must be one frame of at most `limit` bytes of content.
///
/// # Errors
/// [`Fault::Frame`], [`Fault::TooLong`].
pub(super) fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
    let descriptor = *bytes.get(MAGIC.len()).ok_or(Fault::Frame)?;
    let plain = descriptor & MUST_BE_ZERO == 0 && descriptor & CHECKSUM != 0;
    if !plain || frame_length(bytes) != Some(bytes.len()) {
        return Err(Fault::Frame);
    }
    let declared = zstd::zstd_safe::get_frame_content_size(bytes).ok().flatten().ok_or(Fault::Frame)?;
    if declared > limit as u64 {
        return Err(Fault::TooLong { limit: limit as u64 });
    }
    let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(|_| Fault::Frame)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(|_| Fault::Frame)?;
    let mut content = Vec::new();
    decoder.take(limit as u64 + 1).read_to_end(&mut content).map_err(|_| Fault::Frame)?;
    if content.len() as u64 == declared { Ok(content) } else { Err(Fault::Frame) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_whole_frame_with_a_checksum_is_unpacked() {
        let content = b"a line\nanother line\n".repeat(50);
        let good = compress(&content).unwrap();
        assert_eq!(decompress(&good, 1 << 20).unwrap(), content);
        assert_eq!(frame_length(&good), Some(good.len()));
        let two = [good.clone(), good.clone()].concat();
        assert_eq!(frame_length(&two), Some(good.len()));
        let plain = zstd::bulk::compress(&content, 3).unwrap();
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4], good.as_slice()].concat();
        let bad: [&[u8]; 6] = [&two, &plain, &skippable, &good[..good.len() - 1], b"", b"not zstd at all"];
        for (number, bytes) in bad.into_iter().enumerate() {
            assert_eq!(decompress(bytes, 1 << 20), Err(Fault::Frame), "case {number}");
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked() {
        let bomb = compress(&vec![0; 64 << 20]).unwrap();
        assert!(bomb.len() < 16 << 10);
        assert_eq!(decompress(&bomb, 1 << 20), Err(Fault::TooLong { limit: 1 << 20 }));
    }
}
