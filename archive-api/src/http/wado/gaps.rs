//! Where part of a study cannot be answered, an instance that is found is given with a warning: a later version of it may be
//! among what is not known.

use archive_core::archive::Lack;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderValue;
use http::header::WARNING;

use crate::http::address::Address;
use crate::http::doors::Doors;

const REBUILDING: &str = "299 vellum \"The catalog is being rebuilt: there may be a later version\"";
const UNREADABLE: &str = "299 vellum \"Part of this study cannot be read: there may be a later version\"";

/// Adds the warning to what succeeded.
pub async fn warn_of_gaps(State(doors): State<Doors>, address: Address, request: Request, next: Next) -> Response {
    // Asked before: what is missing then may be there when the answer is made, not the other way round.
    let lack = address.study.as_ref().and_then(|study| doors.archive.lacks(study));
    let mut response = next.run(request).await;
    if let Some(lack) = lack.filter(|_| response.status().is_success()) {
        let warning = match lack {
            Lack::Rebuilding => REBUILDING,
            Lack::Damaged => UNREADABLE,
        };
        response.headers_mut().append(WARNING, HeaderValue::from_static(warning));
    }
    response
}
