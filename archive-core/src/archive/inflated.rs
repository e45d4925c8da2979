//! A range of the inflated bytes of a deflated data set (PS3.5 A.5), as a stream: read from the start, for deflated
//! bytes know no other way, in constant memory.

use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
use futures::stream::{Stream, StreamExt as _};

use super::error::ArchiveError;
use super::open_version::ByteStream;

/// Inflated bytes handed out at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// The stream.
pub(super) struct Inflated {
    deflated: ByteStream,
    inflater: Decompress,
    pending: Bytes,
    position: u64,
    wanted: Range<u64>,
    ended: bool,
}

impl Inflated {
    pub(super) fn new(deflated: ByteStream, wanted: Range<u64>) -> Self {
        let inflater = Decompress::new(false);
        Self { deflated, inflater, pending: Bytes::new(), position: 0, wanted, ended: false }
    }

    /// Inflates some of what is pending; gives what of it is wanted.
    fn step(&mut self) -> Result<Bytes, ArchiveError> {
        let mut chunk = vec![0_u8; CHUNK_BYTES];
        let (read_before, made_before) = (self.inflater.total_in(), self.inflater.total_out());
        let status = self
            .inflater
            .decompress(&self.pending, &mut chunk, FlushDecompress::None)
            .map_err(|error| ArchiveError::internal("inflating a data set that was inflated before", error))?;
        let read = usize::try_from(self.inflater.total_in() - read_before).unwrap_or(usize::MAX);
        let made = usize::try_from(self.inflater.total_out() - made_before).unwrap_or(usize::MAX);
        self.pending = self.pending.slice(read.min(self.pending.len())..);
        self.ended |= status == Status::StreamEnd;
        let start = self.position;
        self.position += made as u64;
        let from = self.wanted.start.clamp(start, self.position) - start;
        let to = self.wanted.end.clamp(start, self.position) - start;
        chunk.truncate(usize::try_from(to).unwrap_or(0));
        Ok(Bytes::from(chunk).slice(usize::try_from(from).unwrap_or(0).min(usize::try_from(to).unwrap_or(0))..))
    }
}

impl Stream for Inflated {
    type Item = Result<Bytes, ArchiveError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.position >= self.wanted.end {
                return Poll::Ready(None);
            }
            if self.ended {
                let what = "a value lies past the end of the inflated data set".to_owned();
                self.position = self.wanted.end;
                return Poll::Ready(Some(Err(ArchiveError::NotFound(what))));
            }
            if self.pending.is_empty() {
                match ready!(self.deflated.poll_next_unpin(context)) {
                    Some(Ok(bytes)) => self.pending = bytes,
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    None => self.ended = true,
                }
                continue;
            }
            match self.step() {
                Ok(bytes) if bytes.is_empty() => {}
                other => return Poll::Ready(Some(other)),
            }
        }
    }
}
