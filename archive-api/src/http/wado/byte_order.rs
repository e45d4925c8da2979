//! Bulk data leaves in little endian (PS3.18 §8.7.3.3.1); what is stored in Explicit VR Big Endian is swapped.
//!
//! Which bytes belong together follows from the value representation. `OW` is 16-bit words, also where pixels have
//! 8 bits (PS3.5 §8.1.1: two pixels share a word). Pixels of 32 and 64 bits are swapped as wholes: so pydicom 3.0 reads
//! them, though PS3.5 §6.2 taken by the letter would swap the words within them.

use archive_core::archive::ArchiveError;
use bytes::{Bytes, BytesMut};
use futures::stream::{StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use crate::http::media::EXPLICIT_BIG_ENDIAN;
use crate::http::port::CheckedBytes;

/// Bytes that are reversed together; 1 leaves all as they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Width(usize);

impl Width {
    /// Nothing to swap.
    pub const NONE: Self = Self(1);

    /// Of values with this representation in this transfer syntax; `None` where there is no such representation.
    #[must_use]
    pub fn of_values(transfer_syntax: &str, vr: &str) -> Option<Self> {
        let width = match vr {
            "OW" | "US" | "SS" | "AT" => 2,
            "OL" | "OF" | "UL" | "SL" | "FL" => 4,
            "OD" | "OV" | "FD" | "SV" | "UV" => 8,
            "OB" | "UN" | "AE" | "AS" | "CS" | "DA" | "DS" | "DT" | "IS" | "LO" | "LT" | "PN" | "SH" | "ST" | "TM"
            | "UC" | "UI" | "UR" | "UT" => 1,
            _ => return None,
        };
        Some(if transfer_syntax == EXPLICIT_BIG_ENDIAN { Self(width) } else { Self::NONE })
    }

    /// Of pixels stored in Explicit VR Big Endian, as this header says.
    #[must_use]
    pub fn of_big_endian_pixels(header: &Value) -> Self {
        let first = |tag: &str| header.get(tag)?.get("Value")?.get(0)?.as_u64();
        let pixels = ["7FE00010", "7FE00008", "7FE00009"].into_iter().find_map(|tag| header.get(tag));
        let vr = pixels.and_then(|element| element.get("vr")).and_then(Value::as_str).unwrap_or("OW");
        match (vr, first("00280100")) {
            ("OB", _) => Self(1),
            ("OD", _) | ("OW", Some(64)) => Self(8),
            ("OF", _) | ("OW", Some(32)) => Self(4),
            _ => Self(2),
        }
    }

    /// Whether a run of this many bytes can be swapped alone.
    #[must_use]
    pub const fn divides(self, length: u64) -> bool {
        length.is_multiple_of(self.0 as u64)
    }

    /// The bytes in the other order.
    #[must_use]
    pub fn swapped(self, bytes: CheckedBytes) -> CheckedBytes {
        if self == Self::NONE {
            return bytes;
        }
        let mut carried = BytesMut::new();
        let swapped = bytes.map(Some).chain(futures::stream::iter([None])).map(move |piece| match piece {
            Some(piece) => Ok::<Bytes, ArchiveError>(self.swap(&mut carried, &piece?)),
            // What does not fill a word stays as it is.
            None => Ok(carried.split().freeze()),
        });
        swapped.try_filter(|piece| std::future::ready(!piece.is_empty())).boxed()
    }

    /// Swaps what is whole; the rest waits for the next piece.
    fn swap(self, carried: &mut BytesMut, piece: &Bytes) -> Bytes {
        carried.extend_from_slice(piece);
        let whole = carried.len() - carried.len() % self.0;
        let mut words = carried.split_to(whole);
        for word in words.chunks_exact_mut(self.0) {
            word.reverse();
        }
        words.freeze()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn swap(width: usize, chunks: Vec<Bytes>) -> Vec<u8> {
        let stream = futures::stream::iter(chunks.into_iter().map(Ok)).boxed();
        let pieces: Vec<Bytes> = futures::executor::block_on(Width(width).swapped(stream).try_collect()).unwrap();
        pieces.concat()
    }

    proptest! {
        #[test]
        fn swapping_twice_gives_the_same_bytes_however_they_come(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..12), 0..12),
            width in prop_oneof![Just(1_usize), Just(2), Just(4), Just(8)],
        ) {
            let whole = chunks.concat();
            let once = swap(width, chunks.into_iter().map(Bytes::from).collect());
            prop_assert_eq!(swap(width, vec![Bytes::from(once.clone())]), whole.clone());
            if width == 2 && whole.len() >= 2 {
                prop_assert_eq!([once[0], once[1]], [whole[1], whole[0]]);
            }
        }
    }

    #[test]
    fn the_width_of_pixels_follows_their_representation() {
        let header = |vr: &str, bits: u16| json!({"00280100": {"vr": "US", "Value": [bits]}, "7FE00010": {"vr": vr}});
        for (vr, bits, width) in [("OW", 16, 2), ("OW", 32, 4), ("OW", 64, 8), ("OW", 8, 2), ("OW", 1, 2), ("OB", 8, 1)]
        {
            assert_eq!(Width::of_big_endian_pixels(&header(vr, bits)), Width(width), "{vr} {bits}");
        }
        assert_eq!(Width::of_big_endian_pixels(&json!({"7FE00008": {"vr": "OF"}})), Width(4));
    }

    #[test]
    fn little_endian_is_never_swapped() {
        assert_eq!(Width::of_values("1.2.840.10008.1.2.1", "OW"), Some(Width::NONE));
        assert_eq!(Width::of_values(EXPLICIT_BIG_ENDIAN, "OW"), Some(Width(2)));
        assert_eq!(Width::of_values(EXPLICIT_BIG_ENDIAN, "XX"), None);
    }
}
