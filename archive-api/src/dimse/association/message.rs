//! Messages out of fragments, and responses into them (PS3.7 §6.3, PS3.8 Annex E).
//!
//! All fragments of a message come on one context, those of the command first, then those of the data set if the
//! command announces one. Anything else in between ends the association: the two sides no longer mean the same.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};

use super::End;
use super::connection::{Connection, ConnectionError};
use super::pace::Pace;
use crate::dimse::command::{COMMAND_BYTES_MAX, CommandSet};
use crate::dimse::measures;
use crate::dimse::pdu::{Event, Fragment, FragmentKind, ProviderReason, VALUE_HEADER_BYTES};

/// A message that is being received.
#[derive(Debug)]
pub(super) struct Incoming<'a, S> {
    connection: &'a mut Connection<S>,
    pace: Pace,
    context: u8,
}

/// The data set of a message, piece by piece.
#[derive(Debug)]
pub(super) struct DataSet<'a, S> {
    message: Incoming<'a, S>,
    ended: bool,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Incoming<'a, S> {
    /// The message that this fragment begins, and its whole command set.
    pub(super) async fn begin(
        connection: &'a mut Connection<S>,
        pace: Pace,
        first: Fragment,
    ) -> Result<(Self, Bytes), End> {
        let mut message = Self { connection, pace, context: first.context };
        message.check(&first, FragmentKind::Command)?;
        let mut ended = first.last;
        let mut command = BytesMut::from(&first.bytes[..]);
        while !ended {
            let fragment = message.next(FragmentKind::Command).await?;
            command.extend_from_slice(&fragment.bytes);
            ended = fragment.last;
            if command.len() > COMMAND_BYTES_MAX {
                return Err(End::user("a command set past its limit"));
            }
        }
        Ok((message, command.freeze()))
    }

    /// Its data set: empty where the command announced none.
    pub(super) fn data_set(self, announced: bool) -> DataSet<'a, S> {
        DataSet { message: self, ended: !announced }
    }

    async fn next(&mut self, kind: FragmentKind) -> Result<Fragment, End> {
        match self.pace.next(self.connection).await? {
            Event::Fragment(fragment) => {
                self.check(&fragment, kind)?;
                Ok(fragment)
            }
            // An incomplete message is forgotten; nothing of it was acknowledged.
            Event::ReleaseRequest => Err(End::Released),
            Event::Abort(_) => Err(End::PeerAborted),
            _ => Err(End::provider(ProviderReason::UnexpectedPdu, "a PDU that may not come within a message")),
        }
    }

    fn check(&self, fragment: &Fragment, kind: FragmentKind) -> Result<(), End> {
        if fragment.context != self.context {
            return Err(End::provider(ProviderReason::InvalidParameter, "fragments of two contexts in one message"));
        }
        if fragment.kind != kind {
            return Err(End::provider(ProviderReason::InvalidParameter, "command and data set fragments out of order"));
        }
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> DataSet<'_, S> {
    /// The next bytes, never none; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, End> {
        while !self.ended {
            let fragment = self.message.next(FragmentKind::DataSet).await?;
            self.ended = fragment.last;
            if !fragment.bytes.is_empty() {
                measures::received_bytes(fragment.bytes.len());
                return Ok(Some(fragment.bytes));
            }
        }
        Ok(None)
    }

    /// Reads to the end and throws away: after a refusal the association stays usable.
    pub(super) async fn drain(&mut self) -> Result<(), End> {
        while self.next().await?.is_some() {}
        Ok(())
    }
}

/// Sends a response without data set, in P-DATA-TF that the peer takes.
pub(super) async fn respond<S>(
    connection: &mut Connection<S>,
    context: u8,
    response: &CommandSet,
    data_bytes_max: u32,
) -> Result<(), ConnectionError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let bytes = Bytes::from(response.encode());
    let room = usize::try_from(data_bytes_max.saturating_sub(VALUE_HEADER_BYTES)).unwrap_or(usize::MAX).max(1);
    let count = bytes.len().div_ceil(room);
    let mut pdus = Vec::with_capacity(bytes.len() + 64);
    for (index, piece) in bytes.chunks(room).enumerate() {
        let last = index + 1 == count;
        let fragment = Fragment { context, kind: FragmentKind::Command, last, bytes: bytes.slice_ref(piece) };
        pdus.extend(fragment.to_pdu().map_err(|error| std::io::Error::other(error.to_string()))?);
    }
    connection.send(&pdus).await
}
