//! What goes on for long: sealing, verifying, rebuilding.

use std::sync::Arc;

use archive_core::archive::{Archive, ArchiveError};
use archive_core::identifiers::StudyUid;
use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use serde::{Deserialize, Serialize};

use super::{Refusal, caller};

/// Parameters of `seal`.
#[derive(Deserialize)]
pub struct SealParameters {
    #[serde(default)]
    now: bool,
}

/// `POST /seal?now=true`
pub async fn seal(
    State(archive): State<Arc<Archive>>,
    Query(parameters): Query<SealParameters>,
) -> Result<Response, Refusal> {
    Ok(Json(archive.seal(&caller(), parameters.now).await?).into_response())
}

/// Parameters of `verify`.
#[derive(Deserialize)]
pub struct VerifyParameters {
    study: Option<String>,
}

/// `POST /verify?study=…`: JSON lines.
pub async fn verify(
    State(archive): State<Arc<Archive>>,
    Query(parameters): Query<VerifyParameters>,
) -> Result<Response, Refusal> {
    let study = parameters.study.as_deref().map(StudyUid::parse).transpose();
    let study = study.map_err(|_| ArchiveError::NotFound("an empty UID".to_owned()))?;
    Ok(lines(archive.verify(&caller(), study)))
}

/// `POST /rebuild`: JSON lines.
pub async fn rebuild(State(archive): State<Arc<Archive>>) -> Result<Response, Refusal> {
    Ok(lines(archive.rebuild(&caller())?))
}

/// One JSON object a line, as they come.
pub(super) fn lines<T: Serialize + Send + 'static>(events: impl Stream<Item = T> + Send + 'static) -> Response {
    let lines = events.map(|event| {
        let mut line = serde_json::to_vec(&event).map_err(std::io::Error::other)?;
        line.push(b'\n');
        Ok::<Bytes, std::io::Error>(line.into())
    });
    ([("content-type", "application/x-ndjson")], Body::from_stream(lines)).into_response()
}
