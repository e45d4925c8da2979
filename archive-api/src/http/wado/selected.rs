//! What a retrieve request is about, and how its bytes become a response.

use std::sync::Arc;

use archive_core::archive::{ArchiveError, SelectCursor, Selection};
use archive_core::caller::Caller;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures::stream::{self, BoxStream, Stream, StreamExt as _, TryStreamExt as _};
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};

use crate::http::accept::Accept;
use crate::http::address::Address;
use crate::http::base_url::BaseUrl;
use crate::http::doors::{Doors, caller_of};
use crate::http::multipart::{self, Part};
use crate::http::port::{CheckedBytes, SelectedInstance};
use crate::http::problem::Problem;

/// Versions on their way.
pub type Instances = BoxStream<'static, Result<Arc<dyn SelectedInstance>, ArchiveError>>;

/// A retrieve request.
#[derive(Clone, Debug)]
pub struct Retrieve {
    /// Shared state.
    pub doors: Doors,
    /// Who asks.
    pub caller: Caller,
    /// What is asked for.
    pub selection: Selection,
    /// In which forms.
    pub accept: Accept,
    /// How this client reaches us.
    pub base: BaseUrl,
}

impl Retrieve {
    /// Reads a request.
    ///
    /// # Errors
    /// The path names no study.
    pub fn of(doors: Doors, address: &Address, request: Request) -> Result<Self, Problem> {
        let (parts, _) = request.into_parts();
        Ok(Self {
            caller: caller_of(&parts.extensions),
            selection: address.selection()?,
            accept: Accept::of(&parts.headers, parts.uri.query()),
            base: BaseUrl::of(&doors.config, &parts),
            doors,
        })
    }

    /// Everything selected, page by page.
    pub fn instances(&self) -> Instances {
        enum At {
            Begin,
            Cursor(SelectCursor),
            End,
        }
        let (doors, caller, selection) = (self.doors.clone(), self.caller.clone(), self.selection.clone());
        let pages = stream::try_unfold(At::Begin, move |at| {
            let (doors, caller, selection) = (doors.clone(), caller.clone(), selection.clone());
            async move {
                let after = match at {
                    At::Begin => None,
                    At::Cursor(cursor) => Some(cursor),
                    At::End => return Ok::<_, ArchiveError>(None),
                };
                let (page, next) = doors.archive.select(&caller, &selection, after).await?;
                let next = next.map_or(At::End, At::Cursor);
                Ok(Some((stream::iter(page.into_iter().map(Ok)), next)))
            }
        });
        pages.try_flatten().boxed()
    }

    /// The first of the selected, which must be there, and all of them.
    ///
    /// # Errors
    /// 404, or what the archive says.
    pub async fn first_of_instances(&self) -> Result<(Arc<dyn SelectedInstance>, Instances), Problem> {
        let mut instances = self.instances();
        let first = instances.try_next().await?.ok_or_else(Problem::not_found)?;
        let all = stream::iter([Ok(Arc::clone(&first))]).chain(instances);
        Ok((first, all.boxed()))
    }
}

/// A response of one body. Says its length, so that a body that ends early is seen to be short.
///
/// # Errors
/// The first bytes could not be read.
pub async fn single(
    content_type: &str,
    length: Option<u64>,
    file_name: Option<String>,
    bytes: CheckedBytes,
) -> Result<Response, Problem> {
    let mut response = respond(StatusCode::OK, content_type, begun(bytes, 1).await?)?;
    let headers = response.headers_mut();
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let disposition =
        file_name.and_then(|name| HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")).ok());
    if let Some(disposition) = disposition {
        headers.insert(CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// A multipart/related response.
///
/// # Errors
/// The first bytes of the first part could not be read.
pub async fn multipart<S>(doors: &Doors, status: StatusCode, essence: &str, parts: S) -> Result<Response, Problem>
where
    S: Stream<Item = Result<Part, ArchiveError>> + Send + 'static,
{
    let boundary = multipart::boundary(doors.entropy.as_ref())?;
    let content_type = format!("multipart/related; type=\"{essence}\"; boundary={boundary}");
    // Two pieces: the head of the first part, and its first bytes.
    let bytes = begun(multipart::stream_parts(&boundary, parts), 2).await?;
    respond(status, &content_type, bytes)
}

/// A response whose bytes have begun.
///
/// # Errors
/// The content type cannot be a header.
pub fn respond(status: StatusCode, content_type: &str, bytes: CheckedBytes) -> Result<Response, Problem> {
    let body = Body::from_stream(bytes.inspect_err(|error| {
        metrics::counter!("vellum_http_responses_broken_total").increment(1);
        tracing::error!(%error, "a response was cut short: its bytes could not be read");
    }));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let value = HeaderValue::from_str(content_type);
    let value = value.map_err(|_| ArchiveError::Internal("a content type is no header value".into()))?;
    response.headers_mut().insert(CONTENT_TYPE, value);
    Ok(response)
}

/// Waits for the first pieces, so that what fails at once still gets its own status.
///
/// # Errors
/// The first error among them.
pub async fn begun(mut bytes: CheckedBytes, pieces: usize) -> Result<CheckedBytes, Problem> {
    let mut first: Vec<Result<Bytes, ArchiveError>> = Vec::with_capacity(pieces);
    while first.len() < pieces {
        match bytes.try_next().await? {
            Some(piece) => first.push(Ok(piece)),
            None => break,
        }
    }
    Ok(stream::iter(first).chain(bytes).boxed())
}
