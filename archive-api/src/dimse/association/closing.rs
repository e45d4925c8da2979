//! Ending an association in order (PS3.8 §7.2 to §7.4, Sta7 to Sta13).

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::connection::{Connection, ConnectionError};
use super::{End, Shared};
use crate::dimse::pdu::{Abort, AbortSource, Event, RELEASE_REPLY, RELEASE_REQUEST};

/// For the few bytes of a last PDU.
const LAST_PDU_PATIENCE: Duration = Duration::from_secs(2);

/// Who closes the connection.
enum Close {
    /// The peer; we wait for it (Sta13).
    Peer,
    /// We do, at once.
    Us,
}

/// Sends what this end wants, then waits for the peer to close where the standard has it close, no longer than ARTIM
/// and not at all once stopping.
pub(super) async fn conclude<S, T>(connection: &mut Connection<S>, end: End, shared: &Shared<T>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let close = match end {
        End::PeerAborted | End::Closed => Ok(Close::Us),
        End::Released => send_last(connection, &RELEASE_REPLY).await,
        End::Rejected(reason) => send_last(connection, &reason.encode().to_pdu()).await,
        End::Abort(source, _) => abort(connection, source).await,
        End::Leave(_) => leave(connection, shared).await,
    };
    if !matches!(close, Ok(Close::Peer)) {
        return;
    }
    tokio::select! {
        biased;
        _ = timeout(shared.config.timeouts.artim, connection.discard_until_closed()) => {}
        () = shared.stopping.cancelled() => {}
    }
}

async fn send_last<S>(connection: &mut Connection<S>, pdu: &[u8]) -> Result<Close, ConnectionError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    connection.send_within(pdu, LAST_PDU_PATIENCE).await?;
    Ok(Close::Peer)
}

async fn abort<S>(connection: &mut Connection<S>, source: AbortSource) -> Result<Close, ConnectionError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    send_last(connection, &Abort::from(source).to_pdu()).await
}

/// Asks for release; a peer that does not answer in time is aborted, which tells it that nothing more was taken.
async fn leave<S, T>(connection: &mut Connection<S>, shared: &Shared<T>) -> Result<Close, ConnectionError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    send_last(connection, &RELEASE_REQUEST).await?;
    let answer = tokio::select! {
        biased;
        answer = timeout(shared.config.timeouts.release, release_answer(connection)) => answer.ok(),
        () = shared.stopping.cancelled() => None,
    };
    match answer {
        Some(answer) => answer,
        None => abort(connection, AbortSource::User).await,
    }
}

/// Sta7: waits for the reply, after which who asked closes (AR-3). A request that crosses ours is a collision; the
/// acceptor then waits for the reply first and replies itself afterwards (Sta10, Sta12), and the peer closes. Data that
/// was under way is thrown away unacknowledged.
async fn release_answer<S>(connection: &mut Connection<S>) -> Result<Close, ConnectionError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut collision = false;
    loop {
        match connection.next().await? {
            Event::ReleaseReply if collision => return send_last(connection, &RELEASE_REPLY).await,
            Event::ReleaseReply | Event::Abort(_) => return Ok(Close::Us),
            Event::ReleaseRequest => collision = true,
            Event::Fragment(_) => {}
            _ => return abort(connection, AbortSource::User).await,
        }
    }
}
