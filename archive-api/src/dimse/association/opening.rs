//! Waiting for a request and answering it (PS3.8 §7.1, Sta2 and Sta3).

use std::net::SocketAddr;

use archive_core::caller::Caller;
use archive_core::dicom::prefix::IMPLEMENTATION_CLASS_UID;
use archive_core::identifiers::AeTitle;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::connection::Connection;
use super::{End, Shared};
use crate::dimse::admission::Seat;
use crate::dimse::config::{DimseConfig, Peer};
use crate::dimse::pdu::{
    APPLICATION_CONTEXT, AssociateAccept, AssociateRequest, Event, ProviderReason, RejectReason, UserInformation,
    VALUE_HEADER_BYTES,
};
use crate::dimse::presentation::{self, Allowance, Negotiated};

/// Implementation Version Name, at most 16 characters (PS3.7 D.3.3.2.3).
const IMPLEMENTATION_VERSION_NAME: &str = concat!("VELLUM_", env!("CARGO_PKG_VERSION"));
const _: () = assert!(IMPLEMENTATION_VERSION_NAME.len() <= 16);

/// Bit of the protocol version that stands for version 1 (PS3.8 Table 9-11).
const VERSION_1: u16 = 1;
/// P-DATA-TF length that we keep to towards a peer that names none, or none that is smaller.
const SENT_DATA_BYTES_MAX: u32 = 16 * 1024;

/// What an open association goes by.
#[derive(Debug)]
pub(super) struct Session {
    /// Who calls, for the archive.
    pub(super) caller: Caller,
    /// The AE title that was called.
    pub(super) called: AeTitle,
    /// What was agreed on.
    pub(super) negotiated: Negotiated,
    /// P-DATA-TF length that the peer takes, as far as we use it; room for one byte at least.
    pub(super) sent_data_bytes_max: u32,
}

/// Waits for the request, accepts or rejects it.
pub(super) async fn open<S, T>(
    connection: &mut Connection<S>,
    peer: SocketAddr,
    seat: &mut Seat,
    shared: &Shared<T>,
) -> Result<Session, End>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = request(connection, shared).await?;
    let (calling, called, entry) = admit(&request, peer, seat, &shared.config).map_err(End::Rejected)?;
    let span = tracing::Span::current();
    span.record("calling", calling.as_str());
    span.record("called", called.as_str());
    let negotiated = presentation::negotiate(&request, Allowance::from(entry));
    let accept = accept(&request, &negotiated, &shared.config)
        .to_pdu()
        .map_err(|_| End::provider(ProviderReason::NotSpecified, "the answer to the request does not fit a PDU"))?;
    connection.send(&accept).await?;
    tracing::info!(
        contexts = negotiated.contexts.len(),
        proposed = negotiated.answers.len(),
        implementation = request.user.implementation_version.as_deref().map(|name| name.escape_debug().to_string()),
        "association accepted"
    );
    Ok(Session {
        caller: Caller::remote(calling.as_str(), peer),
        called,
        negotiated,
        sent_data_bytes_max: sent_data_bytes_max(request.user.maximum_length),
    })
}

async fn request<S, T>(connection: &mut Connection<S>, shared: &Shared<T>) -> Result<Box<AssociateRequest>, End>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let event = tokio::select! {
        biased;
        () = shared.leaving.cancelled() => return Err(End::user("the archive stops")),
        event = timeout(shared.config.timeouts.artim, connection.next()) => event,
    };
    match event {
        Err(_) => Err(End::provider(ProviderReason::NotSpecified, "no association request in time")),
        Ok(Err(error)) => Err(error.into()),
        Ok(Ok(Event::Request(request))) => Ok(request),
        Ok(Ok(Event::Abort(_))) => Err(End::PeerAborted),
        Ok(Ok(_)) => Err(End::provider(ProviderReason::UnexpectedPdu, "something else before an association request")),
    }
}

/// Decides on a request by what stands in it, in the order in which a caller would mend it.
fn admit<'a>(
    request: &AssociateRequest,
    peer: SocketAddr,
    seat: &mut Seat,
    config: &'a DimseConfig,
) -> Result<(AeTitle, AeTitle, Option<&'a Peer>), RejectReason> {
    if request.protocol_version & VERSION_1 == 0 {
        return Err(RejectReason::ProtocolVersion);
    }
    if request.application_context != APPLICATION_CONTEXT {
        return Err(RejectReason::ApplicationContext);
    }
    let called = request.called.parse().map_err(|_| RejectReason::CalledTitle)?;
    if !config.titles.contains(&called) {
        return Err(RejectReason::CalledTitle);
    }
    let calling = request.calling.parse().map_err(|_| RejectReason::CallingTitle)?;
    let entry = config.entry_for(&calling, peer.ip()).ok_or(RejectReason::CallingTitle)?;
    if !seat.admit(&calling) {
        return Err(RejectReason::LocalLimit);
    }
    Ok((calling, called, entry))
}

fn accept(request: &AssociateRequest, negotiated: &Negotiated, config: &DimseConfig) -> AssociateAccept {
    AssociateAccept {
        protocol_version: VERSION_1,
        called: request.called,
        calling: request.calling,
        reserved: request.reserved,
        application_context: APPLICATION_CONTEXT.to_owned(),
        contexts: negotiated.answers.clone(),
        user: UserInformation {
            maximum_length: Some(config.max_pdu),
            implementation_class: Some(IMPLEMENTATION_CLASS_UID.to_owned()),
            implementation_version: Some(IMPLEMENTATION_VERSION_NAME.to_owned()),
            ..negotiated.user.clone()
        },
    }
}

/// Responses are short: more than 16 KiB is never needed, and a peer that takes less than a value with one byte is not
/// to be served by any PDU at all, so it gets that.
fn sent_data_bytes_max(named: Option<u32>) -> u32 {
    match named {
        None | Some(0) => SENT_DATA_BYTES_MAX,
        Some(length) => length.clamp(VALUE_HEADER_BYTES + 1, SENT_DATA_BYTES_MAX),
    }
}
