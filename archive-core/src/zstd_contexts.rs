//! Working memory of zstd, kept for the next use: making it anew costs more than unpacking a small value with it.

use std::io;

use parking_lot::Mutex;
use zstd::bulk::Decompressor;
use zstd::zstd_safe::WriteBuf;

/// Contexts of a kind that are kept; more are made when more work at once, and dropped afterwards.
const KEPT_MAX: usize = 16;

static DECOMPRESSORS: Mutex<Vec<Decompressor<'static>>> = Mutex::new(Vec::new());

/// Unpacks one frame into a slice, or the room that a vector has; never more than that. Gives how many bytes it was.
///
/// # Errors
/// It is no whole frame, or one of more bytes.
pub(crate) fn decompress<R: WriteBuf + ?Sized>(frame: &[u8], into: &mut R) -> io::Result<usize> {
    with_one_of(&DECOMPRESSORS, Decompressor::new, |context| context.decompress_to_buffer(frame, into))
}

/// Uses a context that is kept, or a new one. After an error it is kept too: each call begins a frame of its own.
pub(crate) fn with_one_of<C, T>(
    kept: &Mutex<Vec<C>>,
    make: impl FnOnce() -> io::Result<C>,
    work: impl FnOnce(&mut C) -> io::Result<T>,
) -> io::Result<T> {
    let one = kept.lock().pop();
    let mut context = one.map_or_else(make, Ok)?;
    let done = work(&mut context);
    let mut kept = kept.lock();
    if kept.len() < KEPT_MAX {
        kept.push(context);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_that_met_damage_unpacks_the_next_frame() {
        let bytes = b"the same again, the same again, the same again".repeat(10);
        let frame = zstd::bulk::compress(&bytes, 1).unwrap();
        for _ in 0..2 * KEPT_MAX {
            let mut damaged = frame.clone();
            damaged[frame.len() / 2] ^= 0xFF;
            let mut out = Vec::with_capacity(bytes.len());
            let _whatever_it_says = decompress(&damaged, &mut out);
            assert!(decompress(&frame[..frame.len() - 1], &mut Vec::with_capacity(bytes.len())).is_err());
            let mut out = Vec::with_capacity(bytes.len());
            assert_eq!(decompress(&frame, &mut out).unwrap(), bytes.len());
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn no_more_is_unpacked_than_there_is_room_for() {
        let frame = zstd::bulk::compress(&[7; 1000], 1).unwrap();
        assert!(decompress(&frame, &mut Vec::with_capacity(999)).is_err());
    }
}
