//! A byte stream as a stream of PDUs.
//!
//! Reading is cancel-safe: what was read stays in the decoder. Memory is one read buffer, or one control PDU as far as
//! it came.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::dimse::pdu::{DecodeError, Event, PduDecoder};

/// Bytes asked of the socket at once.
const READ_BYTES: usize = 64 * 1024;
/// A buffer with less room than this is replaced before it is read into.
const READ_BYTES_MIN: usize = 8 * 1024;
/// Bytes thrown away at once while waiting for the peer to close.
const DISCARD_BYTES: usize = 4 * 1024;

/// Why there is no next PDU.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("the peer closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    #[error("the peer takes no bytes")]
    Stuck,
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection<S> {
    stream: S,
    decoder: PduDecoder,
    write_patience: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(stream: S, data_bytes_max: u32, write_patience: Duration) -> Self {
        Self { stream, decoder: PduDecoder::new(data_bytes_max), write_patience }
    }

    /// The next event, however long it takes.
    pub(super) async fn next(&mut self) -> Result<Event, ConnectionError> {
        loop {
            if let Some(event) = self.decoder.take()? {
                return Ok(event);
            }
            let buffer = self.decoder.buffer();
            if buffer.capacity() - buffer.len() < READ_BYTES_MIN {
                buffer.reserve(READ_BYTES);
            }
            if self.stream.read_buf(buffer).await? == 0 {
                return Err(ConnectionError::Closed);
            }
        }
    }

    /// Writes all of it and flushes.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        self.send_within(bytes, self.write_patience).await
    }

    /// As [`Connection::send`], within this time.
    pub(super) async fn send_within(&mut self, bytes: &[u8], patience: Duration) -> Result<(), ConnectionError> {
        let writing = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        Ok(timeout(patience, writing).await.map_err(|_| ConnectionError::Stuck)??)
    }

    /// Says that nothing more comes, then throws away what comes until the peer closes.
    pub(super) async fn discard_until_closed(&mut self) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let mut scrap = vec![0_u8; DISCARD_BYTES];
        while matches!(self.stream.read(&mut scrap).await, Ok(count) if count > 0) {}
    }
}
