//! Inflates a deflated data set while it streams by (PS3.5 §A.5, RFC 1951), within bounds.
//!
//! A kilobyte may claim to be a gigabyte: what comes out is handed on in pieces of [`PIECE_BYTES`] and never gathered,
//! and both its size and its ratio to what went in are limited. Errors name no element: whoever reads what comes out
//! knows which one was being inflated.

use flate2::{Decompress, FlushDecompress, Status};

use super::{ScanError, ScanLimits};

/// Inflated bytes handed on at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// Inflated bytes from which on the ratio counts: short data sets of zeros are harmless.
const RATIO_COUNTS_FROM: u64 = 1 << 20;

/// CRC-32 and length.
const GZIP_TRAILER_BYTES: usize = 8;

/// The inflater.
#[derive(Debug)]
pub(super) struct Inflater {
    stream: Decompress,
    piece: Vec<u8>,
    has_ended: bool,
    crc: crc32fast::Hasher,
    /// The first bytes after the end of the stream.
    trailer: Vec<u8>,
    trailing_bytes: u64,
    limits: ScanLimits,
    content_begins: u64,
}

/// What came after the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AfterStream {
    /// Nothing, or the one byte that makes the length even.
    Nothing,
    /// CRC-32 and length of what was inflated, as gzip has them (RFC 1952 §2.3.1), and right.
    GzipTrailer,
    /// More zero bytes.
    Zeros,
}

impl Inflater {
    pub(super) fn new(limits: ScanLimits, content_begins: u64) -> Self {
        Self {
            stream: Decompress::new(false),
            piece: vec![0; PIECE_BYTES],
            has_ended: false,
            crc: crc32fast::Hasher::new(),
            trailer: Vec::new(),
            trailing_bytes: 0,
            limits,
            content_begins,
        }
    }

    /// Inflates the next bytes; `visit` gets what comes out.
    pub(super) fn push(
        &mut self,
        mut bytes: &[u8],
        mut visit: impl FnMut(&[u8]) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        loop {
            if self.has_ended {
                return self.take_trailing(bytes);
            }
            let (consumed_before, produced_before) = (self.stream.total_in(), self.stream.total_out());
            let status = self
                .stream
                .decompress(bytes, &mut self.piece, FlushDecompress::None)
                .map_err(|_| self.malformed("the deflated stream is damaged"))?;
            let consumed = usize::try_from(self.stream.total_in() - consumed_before).unwrap_or(usize::MAX);
            let produced = usize::try_from(self.stream.total_out() - produced_before).unwrap_or(usize::MAX);
            bytes = bytes.get(consumed..).unwrap_or_default();
            // What is within the limit of size is looked at first: how the input was cut does not decide what is said of it.
            let over = self.stream.total_out().saturating_sub(self.limits.inflated_bytes);
            let within = produced.saturating_sub(usize::try_from(over).unwrap_or(usize::MAX));
            let inflated = self.piece.get(..within).unwrap_or_default();
            self.crc.update(inflated);
            visit(inflated)?;
            self.check_limits()?;
            self.has_ended = status == Status::StreamEnd;
            if !self.has_ended && bytes.is_empty() && produced < PIECE_BYTES {
                return Ok(());
            }
            if !self.has_ended && consumed == 0 && produced == 0 {
                return Err(self.malformed("the deflated stream is damaged"));
            }
        }
    }

    /// The input ended.
    pub(super) fn finish(&self) -> Result<AfterStream, ScanError> {
        if !self.has_ended {
            let offset = self.content_begins;
            return Err(ScanError::Truncated { tag: None, offset, end: self.input_offset() });
        }
        if self.trailer.iter().all(|&byte| byte == 0) {
            return Ok(if self.trailing_bytes > 1 { AfterStream::Zeros } else { AfterStream::Nothing });
        }
        if self.trailer == self.gzip_trailer() {
            return Ok(AfterStream::GzipTrailer);
        }
        Err(self.malformed("bytes follow the deflated stream"))
    }

    fn gzip_trailer(&self) -> Vec<u8> {
        let [l0, l1, l2, l3, ..] = self.stream.total_out().to_le_bytes();
        let crc = self.crc.clone().finalize().to_le_bytes();
        [crc, [l0, l1, l2, l3]].concat()
    }

    /// Where in the input the stream is read.
    pub(super) fn input_offset(&self) -> u64 {
        self.content_begins.saturating_add(self.stream.total_in())
    }

    fn take_trailing(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        let room = GZIP_TRAILER_BYTES - self.trailer.len();
        let (trailer, further) = bytes.split_at(room.min(bytes.len()));
        self.trailer.extend_from_slice(trailer);
        self.trailing_bytes += bytes.len() as u64;
        if further.iter().all(|&byte| byte == 0) {
            return Ok(());
        }
        Err(self.malformed("bytes follow the deflated stream"))
    }

    fn check_limits(&self) -> Result<(), ScanError> {
        let (deflated, inflated) = (self.stream.total_in(), self.stream.total_out());
        let offset = self.content_begins;
        if inflated > self.limits.inflated_bytes {
            let limit = self.limits.inflated_bytes;
            return Err(ScanError::Limit { what: "inflated bytes", limit, tag: None, offset });
        }
        let ratio = self.limits.inflate_ratio;
        if inflated > RATIO_COUNTS_FROM && inflated > deflated.saturating_mul(ratio) {
            return Err(ScanError::Limit { what: "inflated bytes per byte", limit: ratio, tag: None, offset });
        }
        Ok(())
    }

    fn malformed(&self, what: &'static str) -> ScanError {
        ScanError::Malformed { what, tag: None, offset: self.content_begins }
    }
}
