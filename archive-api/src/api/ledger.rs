//! The ledger and the cases that it tells of.

use std::sync::Arc;

use archive_core::archive::{Archive, LedgerFilter};
use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::StreamExt as _;
use serde::Deserialize;

use super::{Refusal, caller};

/// Which entries.
#[derive(Deserialize)]
pub struct Parameters {
    #[serde(default)]
    from: u64,
    limit: Option<u64>,
    kind: Option<String>,
}

/// Entries at most in one answer.
const ENTRIES_MAX: u64 = 1_000_000;

/// `GET /ledger?from=0&limit=1000&kind=sealed`: the entries' lines as they are stored.
pub async fn show(State(archive): State<Arc<Archive>>, Query(parameters): Query<Parameters>) -> Response {
    let filter = LedgerFilter {
        from: parameters.from,
        limit: parameters.limit.unwrap_or(ENTRIES_MAX).min(ENTRIES_MAX),
        kind: parameters.kind.filter(|kind| !kind.is_empty()),
    };
    let lines = archive.ledger_lines(&caller(), filter).map(|line| line.map(|line| Bytes::from(line + "\n")));
    ([("content-type", "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

/// `POST /ledger/verify`: a report for each store.
pub async fn verify(State(archive): State<Arc<Archive>>) -> Result<Response, Refusal> {
    Ok(Json(archive.verify_ledger(&caller()).await?).into_response())
}

/// Which cases.
#[derive(Deserialize)]
pub struct CaseParameters {
    #[serde(default)]
    all: bool,
}

/// `GET /cases?all=false`
pub async fn cases(State(archive): State<Arc<Archive>>, Query(parameters): Query<CaseParameters>) -> Response {
    Json(archive.cases(&caller(), parameters.all).await).into_response()
}
