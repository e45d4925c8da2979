//! No page of another origin makes a browser change anything here (`docs/THREATS.md`, 35).
//!
//! There are no users yet: whoever reaches the address is trusted, and that is also the browser of somebody who works on
//! this machine and has a stranger's page open. Browsers say where a request comes from in `Sec-Fetch-Site` (W3C Fetch
//! Metadata), which no page can set. Programs do not send it and are not concerned. Reading needs nothing of this: without
//! CORS no other origin is shown an answer.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{Method, StatusCode};

use super::problem::Problem;

const SITE: &str = "sec-fetch-site";
/// A page of ours, and what a person typed or bookmarked.
const OURS: [&[u8]; 2] = [b"same-origin", b"none"];

/// Refuses what another origin's page asks for, unless it only reads.
pub async fn refuse_other_origins(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let is_ours = request.headers().get_all(SITE).iter().all(|site| OURS.contains(&site.as_bytes()));
    if reads || is_ours {
        return next.run(request).await;
    }
    let detail = "a page of another origin asked for this; open the archive itself, or use a program";
    Problem::new(StatusCode::FORBIDDEN, "other-origin", detail).into_response()
}
