//! One unit of bytes to its stored form and back: as it is, or as one complete zstd frame.
//!
//! Reading never allocates by what a stored byte claims: the length that is expected comes from a table whose digest
//! was checked, and is bounded by the caller.

use std::io;

use serde::{Deserialize, Serialize};
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use crate::zstd_contexts;

/// How a member of a pack is stored (APPNOTE.TXT §4.4.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub(crate) enum Method {
    /// As it is.
    Stored,
    /// As zstd frames (RFC 8878), one for each unit.
    Zstd,
}

impl From<Method> for u16 {
    fn from(method: Method) -> Self {
        match method {
            Method::Stored => 0,
            Method::Zstd => 93,
        }
    }
}

impl TryFrom<u16> for Method {
    type Error = String;
    fn try_from(number: u16) -> Result<Self, String> {
        match number {
            0 => Ok(Self::Stored),
            93 => Ok(Self::Zstd),
            other => Err(format!("compression method {other} is none of pack format 1")),
        }
    }
}

/// Makes zstd frames, each with its size and a checksum.
pub(crate) struct UnitCompressor(Compressor<'static>);

impl std::fmt::Debug for UnitCompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UnitCompressor")
    }
}

impl UnitCompressor {
    /// A compressor of a level.
    pub(crate) fn new(level: i32) -> io::Result<Self> {
        let mut compressor = Compressor::new(level)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        compressor.set_parameter(CParameter::ContentSizeFlag(true))?;
        Ok(Self(compressor))
    }

    /// One complete frame.
    pub(crate) fn frame(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.0.compress(bytes)
    }
}

/// The original of a zstd frame, or `None` where `stored` is not a frame of exactly `length` bytes.
pub(crate) fn open_frame(stored: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut original = Vec::with_capacity(length);
    let got = zstd_contexts::decompress(stored, &mut original).ok()?;
    (got == length && original.len() == length).then_some(original)
}

/// Fills `room` with the original of a zstd frame, or gives `None` where `stored` is not a frame of exactly that many bytes.
pub(crate) fn open_frame_into(stored: &[u8], room: &mut [u8]) -> Option<()> {
    let got = zstd_contexts::decompress(stored, room).ok()?;
    (got == room.len()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_opens_only_to_the_length_that_is_recorded() {
        let bytes = b"the same again, the same again, the same again".repeat(10);
        let frame = UnitCompressor::new(1).unwrap().frame(&bytes).unwrap();
        assert_eq!(open_frame(&frame, bytes.len()), Some(bytes.clone()));
        assert_eq!(open_frame(&frame, bytes.len() - 1), None);
        assert_eq!(open_frame(&frame, bytes.len() + 1), None);
        assert_eq!(open_frame(&frame[..frame.len() - 1], bytes.len()), None);
        assert_eq!(open_frame(b"", 5), None);
        let mut room = vec![0; bytes.len()];
        assert_eq!(open_frame_into(&frame, &mut room), Some(()));
        assert_eq!(room, bytes);
        assert_eq!(open_frame_into(&frame, &mut vec![0; bytes.len() - 1]), None);
        assert_eq!(open_frame_into(&frame, &mut vec![0; bytes.len() + 1]), None);
        assert_eq!(open_frame_into(&frame[1..], &mut room), None);
    }
}
