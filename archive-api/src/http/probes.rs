//! `/livez`, `/readyz`, `/metrics`: for whoever watches the process. They ask no store and hold no patient data.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::json;

use super::doors::Doors;
use super::problem::Problem;

/// 200 as long as the process answers at all.
pub async fn livez() -> &'static str {
    "ok\n"
}

/// 200 when traffic may come, 503 with the reasons otherwise.
pub async fn readyz(State(doors): State<Doors>) -> Response {
    let obstacles = doors.readiness.obstacles();
    let status = if obstacles.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let document = json!({"ready": obstacles.is_empty(), "obstacles": obstacles});
    (status, [(CONTENT_TYPE, "application/json")], document.to_string()).into_response()
}

/// Metrics in the Prometheus text format.
///
/// # Errors
/// 404 where metrics are not recorded.
pub async fn metrics(State(doors): State<Doors>) -> Result<Response, Problem> {
    let handle = doors.metrics.ok_or_else(Problem::not_found)?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], handle.render()).into_response())
}
