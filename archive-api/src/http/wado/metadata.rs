//! Metadata: the headers of instances as one array in the DICOM JSON model (PS3.18 §10.4, Annex F).
//!
//! A header was made when its instance was received; here only the addresses of its bulk values are put in. Several
//! headers are read ahead, in order, so that a series of hundreds does not wait hundreds of times.

use std::sync::Arc;

use archive_core::archive::ArchiveError;
use archive_core::dicom::scan::BULK_URL_TOKEN;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use http::StatusCode;
use memchr::memmem;

use super::selected::{Retrieve, begun, respond};
use crate::http::accept::{Offer, Packing};
use crate::http::address::Address;
use crate::http::doors::Doors;
use crate::http::media::DICOM_JSON;
use crate::http::port::SelectedInstance;
use crate::http::problem::Problem;

/// Headers read ahead; each has at most 16 MiB, most some KiB.
const AHEAD: usize = 4;

/// `GET …/metadata` of a study, a series, an instance.
///
/// # Errors
/// A [`Problem`].
pub async fn metadata(State(doors): State<Doors>, address: Address, request: Request) -> Result<Response, Problem> {
    let retrieve = Retrieve::of(doors, &address, request)?;
    retrieve.accept.choose(&[Offer::plain(Packing::Single, DICOM_JSON)])?;
    let (_, instances) = retrieve.first_of_instances().await?;
    let headers = instances.map_ok(move |selected| header_of(retrieve.clone(), selected)).try_buffered(AHEAD);
    let pieces = headers.enumerate().map(|(index, header)| {
        let mut pieces = header?;
        pieces.insert(0, Bytes::from_static(if index == 0 { b"[" } else { b"," }));
        Ok::<_, ArchiveError>(stream::iter(pieces.into_iter().map(Ok)))
    });
    let array = pieces.try_flatten().chain(stream::once(async { Ok(Bytes::from_static(b"]")) }));
    respond(StatusCode::OK, DICOM_JSON, begun(array.boxed(), 1).await?)
}

async fn header_of(retrieve: Retrieve, selected: Arc<dyn SelectedInstance>) -> Result<Vec<Bytes>, ArchiveError> {
    let keys = selected.keys();
    let url = retrieve.base.instance(&keys.study, &keys.series, &keys.sop);
    let header = selected.header_json(&retrieve.caller).await?;
    Ok(with_url(&header, &Bytes::from(url)))
}

/// The pieces of a header with the instance's address in the place of each token; nothing is copied.
fn with_url(header: &Bytes, url: &Bytes) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    let mut from = 0;
    for at in memmem::find_iter(header, BULK_URL_TOKEN.as_bytes()) {
        pieces.push(header.slice(from..at));
        pieces.push(url.clone());
        from = at + BULK_URL_TOKEN.len();
    }
    pieces.push(header.slice(from..));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_becomes_the_address() {
        let header = Bytes::from(format!("{{\"a\":\"{BULK_URL_TOKEN}/x\",\"b\":\"{BULK_URL_TOKEN}/y\"}}"));
        let text = with_url(&header, &Bytes::from_static(b"http://h")).concat();
        assert_eq!(text, b"{\"a\":\"http://h/x\",\"b\":\"http://h/y\"}");
        let plain = Bytes::from_static(b"{}");
        assert_eq!(with_url(&plain, &Bytes::new()), [plain]);
    }
}
