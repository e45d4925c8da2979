//! The archive's own HTTP API, under `/api/v1`: what the verbs of the command line speak, and what the console will.
//!
//! JSON objects; what goes on for long answers with JSON lines. It listens on loopback and on the Unix socket only.

mod find;
mod instances;
mod jobs;
mod ledger;
mod versions;

use std::sync::Arc;

use archive_core::archive::{Archive, ArchiveError};
use archive_core::caller::Caller;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use crate::http::problem::Problem;

/// The routes.
pub fn router(archive: Arc<Archive>) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/instances", post(instances::receive))
        .route("/find", get(find::find))
        .route("/versions", get(versions::list))
        .route("/files", get(versions::files))
        .route("/file", get(versions::file))
        .route("/seal", post(jobs::seal))
        .route("/verify", post(jobs::verify))
        .route("/rebuild", post(jobs::rebuild))
        .route("/ledger", get(ledger::show))
        .route("/ledger/verify", post(ledger::verify))
        .route("/cases", get(ledger::cases))
        .with_state(archive)
}

/// An error as a problem document.
#[derive(Debug)]
pub struct Refusal(ArchiveError);

impl From<ArchiveError> for Refusal {
    fn from(error: ArchiveError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        // Whoever asks here works on this machine and may read the log as well.
        let detail = self.0.to_string();
        Problem::from(self.0).with_detail(detail).into_response()
    }
}

/// Whoever reaches this API is on this machine.
fn caller() -> Caller {
    Caller::local()
}

async fn status(State(archive): State<Arc<Archive>>) -> Response {
    Json(archive.status().await).into_response()
}
