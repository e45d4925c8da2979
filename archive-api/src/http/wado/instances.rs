//! Whole instances: a study, a series, or one, as Part 10 files, byte for byte (PS3.18 §10.4, promise I2).

use std::collections::BTreeSet;
use std::sync::Arc;

use archive_core::archive::ArchiveError;
use archive_core::caller::Caller;
use archive_core::identifiers::uid_path_component;
use axum::extract::{Request, State};
use axum::response::Response;
use futures::stream::{StreamExt as _, TryStreamExt as _};
use http::StatusCode;

use super::selected::{Retrieve, multipart, single};
use crate::http::accept::{Offer, Packing};
use crate::http::address::Address;
use crate::http::doors::Doors;
use crate::http::media::{DICOM, with_transfer_syntax};
use crate::http::multipart::Part;
use crate::http::port::SelectedInstance;
use crate::http::problem::Problem;

/// Instances of a study that are open at once: the one being sent, and the next.
const OPENED_AHEAD: usize = 2;

/// Different transfer syntaxes that a 406 lists at most.
const LISTED_SYNTAXES_MAX: usize = 32;

/// `GET …/studies/{study}`, `…/series/{series}`, `…/instances/{instance}`.
///
/// # Errors
/// A [`Problem`].
pub async fn instances(State(doors): State<Doors>, address: Address, request: Request) -> Result<Response, Problem> {
    let one = address.sop.is_some();
    let retrieve = Retrieve::of(doors, &address, request)?;
    if one { one_instance(retrieve).await } else { many_instances(retrieve).await }
}

async fn one_instance(retrieve: Retrieve) -> Result<Response, Problem> {
    let (selected, _) = retrieve.first_of_instances().await?;
    let syntax = selected.transfer_syntax().as_str();
    let offers = [Packing::Multipart, Packing::Single].map(|packing| Offer::in_syntax(packing, DICOM, syntax));
    let chosen = retrieve.accept.choose(&offers)?;
    if chosen.packing == Packing::Multipart {
        let caller = retrieve.caller.clone();
        let part = futures::stream::once(async move { part_of(selected, caller).await });
        return multipart(&retrieve.doors, StatusCode::OK, DICOM, part.boxed()).await;
    }
    let open = selected.open(&retrieve.caller).await?;
    let content_type = with_transfer_syntax(DICOM, syntax);
    let file_name = format!("{}.dcm", uid_path_component(selected.keys().sop.as_str()));
    single(&content_type, Some(open.file_length()), Some(file_name), open.file()).await
}

async fn many_instances(retrieve: Retrieve) -> Result<Response, Problem> {
    let named: BTreeSet<String> = retrieve.accept.named_syntaxes().into_iter().map(str::to_owned).collect();
    let (status, instances) = if named.is_empty() {
        retrieve.accept.choose(&[Offer::plain(Packing::Multipart, DICOM)])?;
        (StatusCode::OK, retrieve.first_of_instances().await?.1)
    } else {
        (status_for(&retrieve, &named).await?, retrieve.instances())
    };
    let caller = retrieve.caller.clone();
    let wanted = instances.try_filter(move |selected| {
        std::future::ready(named.is_empty() || named.contains(selected.transfer_syntax().as_str()))
    });
    let parts = wanted.map_ok(move |selected| begun_part_of(selected, caller.clone())).try_buffered(OPENED_AHEAD);
    multipart(&retrieve.doors, status, DICOM, parts.boxed()).await
}

/// Where transfer syntaxes are named: 200 if every instance is stored in one of them, 206 if some are.
async fn status_for(retrieve: &Retrieve, named: &BTreeSet<String>) -> Result<StatusCode, Problem> {
    let mut instances = retrieve.instances();
    let (mut fits, mut others) = (0_u64, 0_u64);
    let mut stored = BTreeSet::new();
    while let Some(selected) = instances.try_next().await? {
        let syntax = selected.transfer_syntax().as_str();
        if named.contains(syntax) {
            fits += 1
        } else {
            others += 1
        }
        if stored.len() < LISTED_SYNTAXES_MAX {
            stored.insert(syntax.to_owned());
        }
    }
    if fits + others == 0 {
        return Err(Problem::not_found());
    }
    let offers: Vec<Offer> = stored.iter().map(|syntax| Offer::in_syntax(Packing::Multipart, DICOM, syntax)).collect();
    retrieve.accept.choose(&offers)?;
    Ok(if others == 0 { StatusCode::OK } else { StatusCode::PARTIAL_CONTENT })
}

/// Opens an instance at once, so that it is ready when the one before has been sent.
async fn begun_part_of(selected: Arc<dyn SelectedInstance>, caller: Caller) -> Result<Part, ArchiveError> {
    let begun = tokio::spawn(part_of(selected, caller)).await;
    begun.map_err(|error| ArchiveError::Internal(format!("opening an instance: {error}")))?
}

async fn part_of(selected: Arc<dyn SelectedInstance>, caller: Caller) -> Result<Part, ArchiveError> {
    let content_type = with_transfer_syntax(DICOM, selected.transfer_syntax().as_str());
    let open = selected.open(&caller).await?;
    Ok(Part { fields: vec![("Content-Type", content_type)], body: open.file() })
}
