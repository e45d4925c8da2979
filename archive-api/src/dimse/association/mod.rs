//! One association, as acceptor: from connect to close (PS3.8 §9.2, Table 9-10).
//!
//! The states of the standard are places in the code rather than numbers: waiting for the request is `opening`
//! (Sta2), data transfer is `dialogue` (Sta6), what comes after is `closing` (Sta7 to Sta13). Each part says how
//! it ended with an [`End`], and only `closing` acts on that, so that every way out sends what the standard wants and
//! waits no longer than ARTIM.

mod closing;
mod connection;
mod dialogue;
mod message;
mod opening;
mod pace;
mod store;

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::admission::Seat;
use super::config::DimseConfig;
use super::measures;
use super::pdu::{AbortSource, DecodeError, ProviderReason, RejectReason};
use super::target::StoreTarget;
use connection::{Connection, ConnectionError};

/// What all associations of one door share.
#[derive(Debug)]
pub struct Shared<T> {
    /// Configuration of the door.
    pub config: DimseConfig,
    /// Where instances go.
    pub target: T,
    /// Cancelled when the door closes: associations end after the message at hand.
    pub leaving: CancellationToken,
    /// Cancelled when they have had their time: associations end where they are.
    pub stopping: CancellationToken,
}

/// How an association ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The peer asked for release.
    Released,
    /// The peer aborted.
    PeerAborted,
    /// The peer closed the connection, or it broke.
    Closed,
    /// It never began: the request was rejected.
    Rejected(RejectReason),
    /// We leave between two messages.
    Leave(&'static str),
    /// We abort.
    Abort(AbortSource, &'static str),
}

impl End {
    /// An abort by the upper layer.
    const fn provider(reason: ProviderReason, why: &'static str) -> Self {
        Self::Abort(AbortSource::Provider(reason), why)
    }

    /// An abort by the service user.
    const fn user(why: &'static str) -> Self {
        Self::Abort(AbortSource::User, why)
    }

    /// A short stable word, for metrics and logs.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::PeerAborted => "aborted-by-peer",
            Self::Closed => "closed-by-peer",
            Self::Rejected(_) => "rejected",
            Self::Leave(_) => "left",
            Self::Abort(..) => "aborted",
        }
    }
}

impl From<ConnectionError> for End {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::Closed | ConnectionError::Io(_) => Self::Closed,
            ConnectionError::Stuck => Self::provider(ProviderReason::NotSpecified, "the peer takes no bytes"),
            ConnectionError::Decode(error) => {
                let why = match error {
                    DecodeError::UnknownType(_) => "no DICOM PDU",
                    DecodeError::Length { .. } => "a PDU of forbidden length",
                    DecodeError::Malformed { .. } => "a malformed PDU",
                };
                Self::provider(error.abort_reason(), why)
            }
        }
    }
}

/// Serves one connection to its end. Never panics because of the peer or the target; what panics all the same is
/// contained: the association is aborted, the door goes on.
pub async fn serve<S, T>(stream: S, peer: SocketAddr, mut seat: Seat, shared: Arc<Shared<T>>) -> End
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
    T: StoreTarget,
{
    let mut connection = Connection::new(stream, shared.config.max_pdu, shared.config.timeouts.idle);
    let talk = AssertUnwindSafe(talk(&mut connection, peer, &mut seat, &shared)).catch_unwind();
    let end = tokio::select! {
        biased;
        () = shared.stopping.cancelled() => End::user("the archive stops"),
        end = talk => end.unwrap_or(End::provider(ProviderReason::NotSpecified, "a panic: see the archive's log")),
    };
    report(end);
    closing::conclude(&mut connection, end, &shared).await;
    end
}

async fn talk<S, T>(connection: &mut Connection<S>, peer: SocketAddr, seat: &mut Seat, shared: &Shared<T>) -> End
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
    T: StoreTarget,
{
    let session = match opening::open(connection, peer, seat, shared).await {
        Ok(session) => session,
        Err(end) => return end,
    };
    let _open = measures::OpenAssociation::begin();
    dialogue::converse(connection, &session, shared).await
}

fn report(end: End) {
    match end {
        End::Rejected(reason) => {
            measures::rejected(reason);
            tracing::warn!(reason = reason.word(), "association rejected");
        }
        End::Abort(_, why) => {
            measures::ended(end.word());
            tracing::warn!(why, "association aborted");
        }
        End::Leave(why) => {
            measures::ended(end.word());
            tracing::info!(why, "association left");
        }
        End::Released | End::PeerAborted | End::Closed => {
            measures::ended(end.word());
            tracing::info!(how = end.word(), "association ended");
        }
    }
}
