//! One unit of bytes to its stored form and back: as it is, or as one complete zstd frame.
//!
//! Reading never allocates by what a stored byte claims: the length that is expected comes from a table whose digest
//! was checked, and is bounded by the caller.

use std::io::{self, Cursor};

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
    open_frame_behind(stored, length, Vec::with_capacity(length))
}

/// Appends the original of a zstd frame to what has room for it, or gives `None` where `stored` is not a frame of exactly
/// `length` bytes.
pub(crate) fn open_frame_behind(stored: &[u8], length: usize, originals: Vec<u8>) -> Option<Vec<u8>> {
    let at = originals.len();
    let mut end = Cursor::new(originals);
    end.set_position(u64::try_from(at).ok()?);
    let got = zstd_contexts::decompress(stored, &mut end).ok()?;
    let originals = end.into_inner();
    (got == length && originals.len() == at + length).then_some(originals)
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
    }

    #[test]
    fn frames_open_one_behind_the_other_where_there_is_room() {
        let bytes = b"the same again, the same again, the same again".repeat(10);
        let frame = UnitCompressor::new(1).unwrap().frame(&bytes).unwrap();
        let behind = |room: usize, length: usize, frame: &[u8]| {
            let mut before = Vec::with_capacity(1 + room);
            before.push(7);
            open_frame_behind(frame, length, before)
        };
        assert_eq!(behind(bytes.len(), bytes.len(), &frame), Some([&[7], bytes.as_slice()].concat()));
        assert_eq!(behind(bytes.len() - 1, bytes.len(), &frame), None);
        assert_eq!(behind(2 * bytes.len(), bytes.len() - 1, &frame), None);
        assert_eq!(behind(2 * bytes.len(), bytes.len() + 1, &frame), None);
        assert_eq!(behind(bytes.len(), bytes.len(), &frame[1..]), None);
    }
}
