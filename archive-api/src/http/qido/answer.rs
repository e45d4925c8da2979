//! The answer to a search: records as a JSON array, streamed page by page in bounded memory.
//!
//! A search without hits is `204` without a body (PS3.18 §8.3.4.4.1). Where an answer stops short of all matches (`limit`, our own
//! bound, a catalog that is being rebuilt, packs that cannot be read), a `Warning: 299` says so before the first record; where that cannot be said
//! any more, because the headers are gone, the connection is cut: a short list never passes for a whole one.

use std::collections::VecDeque;

use archive_core::archive::ArchiveError;
use archive_core::caller::Caller;
use archive_core::identifiers::{SeriesUid, SopUid, StudyUid};
use archive_core::query::{Cursor, PAGE_RECORDS_MAX, Page, PageRequest, Query, QueryLevel, Record};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use dicom_core::Tag;
use futures::stream::{self, StreamExt as _};
use http::header::{CONTENT_TYPE, WARNING};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

use super::parameters::{self, Parameters};
use crate::http::accept::{Accept, Offer, Packing};
use crate::http::address::Address;
use crate::http::base_url::BaseUrl;
use crate::http::doors::{Doors, caller_of};
use crate::http::media::DICOM_JSON;
use crate::http::problem::{Problem, RETRY_AFTER_SECONDS};

const STUDY_UID: Tag = Tag(0x0020, 0x000D);
const SERIES_UID: Tag = Tag(0x0020, 0x000E);
const SOP_UID: Tag = Tag(0x0008, 0x0018);
const RETRIEVE_URL: Tag = Tag(0x0008, 0x1190);

const MORE: &str = "299 vellum \"There are additional results that can be requested\"";
const UNREADABLE: &str = "299 vellum \"Part of the archive cannot be read: there may be results that are not listed\"";
const REBUILDING: &str = "299 vellum \"The catalog is being rebuilt: there may be results that are not listed\"";

/// `GET …/studies`.
///
/// # Errors
/// A [`Problem`].
pub async fn studies(state: State<Doors>, address: Address, request: Request) -> Result<Response, Problem> {
    search(state, address, QueryLevel::Study, request).await
}

/// `GET …/series` and `GET …/studies/{study}/series`.
///
/// # Errors
/// A [`Problem`].
pub async fn series(state: State<Doors>, address: Address, request: Request) -> Result<Response, Problem> {
    search(state, address, QueryLevel::Series, request).await
}

/// `GET …/instances`, of everything, of a study, of a series.
///
/// # Errors
/// A [`Problem`].
pub async fn instances(state: State<Doors>, address: Address, request: Request) -> Result<Response, Problem> {
    search(state, address, QueryLevel::Instance, request).await
}

async fn search(
    State(doors): State<Doors>,
    address: Address,
    level: QueryLevel,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let query_string = parts.uri.query();
    Accept::of(&parts.headers, query_string).choose(&[Offer::plain(Packing::Single, DICOM_JSON)])?;
    let parameters = parameters::parse(query_string.unwrap_or_default())?;
    let wanted = parameters.limit.unwrap_or(u64::MAX).min(doors.config.query_records_max);
    let search = Search {
        caller: caller_of(&parts.extensions),
        query: query_of(level, address, parameters),
        base: BaseUrl::of(&doors.config, &parts),
        doors,
    };
    let first = search.first_page(wanted).await?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(DICOM_JSON));
    if first.more {
        metrics::counter!("vellum_query_truncated_total").increment(1);
        headers.append(WARNING, HeaderValue::from_static(MORE));
    }
    if first.page.incomplete {
        headers.append(WARNING, HeaderValue::from_static(REBUILDING));
    }
    if first.page.unreadable {
        headers.append(WARNING, HeaderValue::from_static(UNREADABLE));
    }
    if first.page.records.is_empty() && first.page.next.is_none() {
        return Ok((StatusCode::NO_CONTENT, without_type(headers)).into_response());
    }
    let body = Body::from_stream(records_json(search, first.page, wanted));
    Ok((headers, body).into_response())
}

/// Headers of an answer that has no body.
fn without_type(mut headers: HeaderMap) -> HeaderMap {
    headers.remove(CONTENT_TYPE);
    headers
}

fn query_of(level: QueryLevel, address: Address, parameters: Parameters) -> Query {
    Query {
        level,
        study: address.study,
        series: address.series,
        keys: parameters.keys,
        fuzzy: parameters.fuzzy,
        include: parameters.include,
        page: PageRequest { offset: parameters.offset, cursor: None, limit: PAGE_RECORDS_MAX },
    }
}

struct Search {
    doors: Doors,
    caller: Caller,
    query: Query,
    base: BaseUrl,
}

struct FirstPage {
    page: Page,
    /// There are matches beyond those that will be given.
    more: bool,
}

impl Search {
    /// The first page, cut to what is wanted, and whether there is more beyond that.
    async fn first_page(&self, wanted: u64) -> Result<FirstPage, Problem> {
        // One more than wanted tells whether there is more.
        let limit = usize::try_from(wanted.saturating_add(1)).unwrap_or(usize::MAX).min(PAGE_RECORDS_MAX);
        let mut page = self.page(self.query.page.offset, None, limit).await?;
        if page.records.is_empty() && page.incomplete {
            let detail = "the catalog is being rebuilt: what was asked for may exist; ask again later";
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "rebuilding", detail);
            return Err(problem.retry_after(RETRY_AFTER_SECONDS));
        }
        if page.records.is_empty() && page.unreadable && self.query.study.is_some() {
            return Err(Problem::unreadable());
        }
        let given = usize::try_from(wanted).unwrap_or(usize::MAX);
        if page.records.len() > given {
            page.records.truncate(given);
            page.next = None;
            return Ok(FirstPage { page, more: true });
        }
        let more = match &page.next {
            None => false,
            Some(_) => {
                let beyond = self.query.page.offset.saturating_add(wanted);
                !self.page(beyond, None, 1).await?.records.is_empty()
            }
        };
        Ok(FirstPage { page, more })
    }

    async fn page(&self, offset: u64, cursor: Option<Cursor>, limit: usize) -> Result<Page, ArchiveError> {
        let mut query = self.query.clone();
        query.page = PageRequest { offset, cursor, limit };
        self.doors.archive.find(&self.caller, &query).await
    }

    fn record_json(&self, record: Record) -> Result<Bytes, ArchiveError> {
        let mut attributes = record.attributes;
        if let Some(url) = self.retrieve_url(&attributes) {
            attributes.insert(RETRIEVE_URL, &json!({"vr": "UR", "Value": [url]}));
        }
        let text = serde_json::to_vec(&attributes);
        text.map(Bytes::from).map_err(|error| ArchiveError::Internal(format!("a record as JSON: {error}")))
    }

    fn retrieve_url(&self, attributes: &archive_core::dicom::attributes::Attributes) -> Option<String> {
        let text = |tag| attributes.text(tag);
        let study = StudyUid::parse(&text(STUDY_UID)?).ok()?;
        match self.query.level {
            QueryLevel::Patient => None,
            QueryLevel::Study => Some(self.base.study(&study)),
            QueryLevel::Series => Some(self.base.series(&study, &SeriesUid::parse(&text(SERIES_UID)?).ok()?)),
            QueryLevel::Instance => {
                let series = SeriesUid::parse(&text(SERIES_UID)?).ok()?;
                Some(self.base.instance(&study, &series, &SopUid::parse(&text(SOP_UID)?).ok()?))
            }
        }
    }
}

/// Where the stream of records stands.
struct Progress {
    search: Search,
    records: VecDeque<Record>,
    next: Option<Cursor>,
    left: u64,
    incomplete: bool,
    /// What goes before the next record: `[`, then commas.
    separator: &'static [u8],
}

fn records_json(
    search: Search,
    first: Page,
    wanted: u64,
) -> impl stream::Stream<Item = Result<Bytes, ArchiveError>> + Send {
    let progress = Progress {
        search,
        records: first.records.into(),
        next: first.next,
        left: wanted,
        incomplete: first.incomplete,
        separator: b"[",
    };
    stream::unfold(Some(progress), |progress| async move {
        let mut progress = progress?;
        match next_piece(&mut progress).await {
            Ok(Some(bytes)) => Some((Ok(bytes), Some(progress))),
            Ok(None) if progress.separator == b"[" => Some((Ok(Bytes::from_static(b"[]")), None)),
            Ok(None) => Some((Ok(Bytes::from_static(b"]")), None)),
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

/// The records of one page as one chunk, `None` at the end.
async fn next_piece(progress: &mut Progress) -> Result<Option<Bytes>, ArchiveError> {
    if progress.records.is_empty() && progress.left > 0 {
        let Some(cursor) = progress.next.take() else { return Ok(None) };
        let limit = usize::try_from(progress.left).unwrap_or(usize::MAX).min(PAGE_RECORDS_MAX);
        let page = progress.search.page(0, Some(cursor), limit).await?;
        if page.incomplete && !progress.incomplete {
            return Err(ArchiveError::Internal("a rebuild began while an answer was on its way".into()));
        }
        progress.records = page.records.into();
        progress.next = page.next;
        if progress.records.is_empty() && progress.next.is_none() {
            return Ok(None);
        }
    }
    let mut piece = Vec::new();
    while progress.left > 0 && piece.len() < PIECE_BYTES {
        let Some(record) = progress.records.pop_front() else { break };
        piece.extend_from_slice(std::mem::replace(&mut progress.separator, b","));
        piece.extend_from_slice(&progress.search.record_json(record)?);
        progress.left -= 1;
    }
    // A page may be empty and yet not be the last: an empty chunk, and the stream goes on.
    let over = piece.is_empty() && (progress.left == 0 || progress.next.is_none());
    Ok((!over).then(|| Bytes::from(piece)))
}

/// Records are gathered into pieces of about this many bytes.
const PIECE_BYTES: usize = 64 * 1024;
