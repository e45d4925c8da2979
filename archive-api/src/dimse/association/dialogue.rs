//! Data transfer: one message after another until somebody ends it (PS3.8 Sta6).

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};

use super::connection::Connection;
use super::message::{DataSet, Incoming, respond};
use super::opening::Session;
use super::pace::Pace;
use super::{End, Shared, store};
use crate::dimse::command::{Request, field};
use crate::dimse::pdu::{Event, Fragment, ProviderReason};
use crate::dimse::presentation::AgreedContext;
use crate::dimse::status::DimseStatus;
use crate::dimse::target::StoreTarget;

/// Serves messages until the association ends.
pub(super) async fn converse<S, T>(connection: &mut Connection<S>, session: &Session, shared: &Shared<T>) -> End
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
    T: StoreTarget,
{
    let mut lifetime = std::pin::pin!(sleep(shared.config.timeouts.lifetime));
    loop {
        let event = tokio::select! {
            biased;
            () = shared.leaving.cancelled() => return End::Leave("the archive stops"),
            () = &mut lifetime => return End::Leave("the association reached its lifetime"),
            event = timeout(shared.config.timeouts.idle, connection.next()) => event,
        };
        let outcome = match event {
            Err(_) => Err(End::provider(ProviderReason::NotSpecified, "idle for too long")),
            Ok(Err(error)) => Err(error.into()),
            Ok(Ok(Event::Fragment(first))) => message(connection, session, shared, first).await,
            Ok(Ok(Event::ReleaseRequest)) => Err(End::Released),
            Ok(Ok(Event::Abort(_))) => Err(End::PeerAborted),
            Ok(Ok(_)) => Err(End::provider(ProviderReason::UnexpectedPdu, "a PDU that may not come now")),
        };
        if let Err(end) = outcome {
            return end;
        }
    }
}

/// Serves the message that this fragment begins.
async fn message<S, T>(
    connection: &mut Connection<S>,
    session: &Session,
    shared: &Shared<T>,
    first: Fragment,
) -> Result<(), End>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
    T: StoreTarget,
{
    let id = first.context;
    let Some(context) = session.negotiated.contexts.get(&id) else {
        return Err(End::provider(ProviderReason::InvalidParameter, "a message on a context that was not agreed on"));
    };
    let (incoming, command) = Incoming::begin(connection, Pace::begin(&shared.config), first).await?;
    let request = Request::decode(command).map_err(|error| {
        tracing::warn!(%error, "a command that cannot be answered");
        End::user("a command that cannot be answered")
    })?;
    let mut data_set = incoming.data_set(request.has_data_set);
    let Some(status) = perform(session, shared, context, &request, &mut data_set).await? else {
        return Ok(());
    };
    respond(connection, id, &request.response(&status), session.sent_data_bytes_max).await?;
    Ok(())
}

/// Does what is asked, takes the data set to its end, and says what to answer; `None` where nothing is.
async fn perform<S, T>(
    session: &Session,
    shared: &Shared<T>,
    context: &AgreedContext,
    request: &Request,
    data_set: &mut DataSet<'_, S>,
) -> Result<Option<DimseStatus>, End>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
    T: StoreTarget,
{
    let status = match request.field {
        field::STORE_REQUEST => return store::store(session, shared, context, request, data_set).await.map(Some),
        field::ECHO_REQUEST if request.has_data_set => Some(DimseStatus::unexpected_data_set()),
        field::ECHO_REQUEST => Some(DimseStatus::success()),
        // Nothing here takes long enough to be cancelled before it is done.
        field::CANCEL_REQUEST => None,
        _ => Some(DimseStatus::unrecognized_operation()),
    };
    data_set.drain().await?;
    Ok(status)
}
