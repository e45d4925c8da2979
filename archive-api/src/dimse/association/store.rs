//! C-STORE as SCP (PS3.4 Annex B, PS3.7 §9.1.1): the data set goes into the archive as it comes.
//!
//! Success is answered only with what the archive's `finish` hands back (promise I1). Whatever the archive refuses,
//! the rest of the data set is read and thrown away, and the association goes on.

use archive_core::archive::{ArchiveError, Incoming, Input};
use archive_core::caller::Door;
use archive_core::identifiers::{SopClassUid, SopUid};
use tokio::io::{AsyncRead, AsyncWrite};

use super::message::DataSet;
use super::opening::Session;
use super::{End, Shared};
use crate::dimse::command::{Request, element};
use crate::dimse::measures;
use crate::dimse::presentation::{AgreedContext, Service};
use crate::dimse::status::DimseStatus;
use crate::dimse::target::{StoreReceiving, StoreTarget};

/// Stores the data set of a request, or says why not.
pub(super) async fn store<S, T>(
    session: &Session,
    shared: &Shared<T>,
    context: &AgreedContext,
    request: &Request,
    data_set: &mut DataSet<'_, S>,
) -> Result<DimseStatus, End>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
    T: StoreTarget,
{
    let status = match announced(context, request) {
        Err(refusal) => refusal,
        Ok((class, instance)) => {
            let incoming = incoming(session, context, class.clone(), instance);
            match receive(session, shared, incoming, data_set).await? {
                Ok(status) if status == DimseStatus::success() && class != context.class => {
                    DimseStatus::class_differs()
                }
                Ok(status) => status,
                Err(error) => {
                    tracing::warn!(message = request.message_id, %error, "instance refused");
                    DimseStatus::of_error(&error)
                }
            }
        }
    };
    data_set.drain().await?;
    measures::instance_answered(&status);
    tracing::debug!(message = request.message_id, status = %status.code_text(), "instance answered");
    Ok(status)
}

/// Class and instance as the command has them, or what it lacks.
fn announced(context: &AgreedContext, request: &Request) -> Result<(SopClassUid, SopUid), DimseStatus> {
    if context.service != Service::Storage {
        return Err(DimseStatus::class_not_supported());
    }
    if !request.has_data_set {
        return Err(DimseStatus::no_data_set());
    }
    let class = request.affected_class().ok_or_else(|| DimseStatus::command_without(element::AFFECTED_CLASS))?;
    let instance = request.affected_instance();
    Ok((class, instance.ok_or_else(|| DimseStatus::command_without(element::AFFECTED_INSTANCE))?))
}

fn incoming(session: &Session, context: &AgreedContext, class: SopClassUid, instance: SopUid) -> Incoming {
    Incoming {
        door: Door::CStore,
        source: session.caller.name.clone(),
        form: Input::DataSet(context.transfer_syntax.clone()),
        local_ae: Some(session.called.clone()),
        expected_sop: Some(instance),
        expected_class: Some(class),
        expected_study: None,
    }
}

/// Streams the data set into the archive. The outer error ends the association: what was received so far is dropped,
/// and so forgotten.
async fn receive<S, T>(
    session: &Session,
    shared: &Shared<T>,
    incoming: Incoming,
    data_set: &mut DataSet<'_, S>,
) -> Result<Result<DimseStatus, ArchiveError>, End>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
    T: StoreTarget,
{
    let mut receiving = match shared.target.receive(&session.caller, incoming).await {
        Ok(receiving) => receiving,
        Err(error) => return Ok(Err(error)),
    };
    while let Some(bytes) = data_set.next().await? {
        if let Err(error) = receiving.write(bytes).await {
            return Ok(Err(error));
        }
    }
    Ok(receiving.finish().await.map(|received| DimseStatus::of_received(&received)))
}
