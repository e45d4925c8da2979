//! Problem documents (RFC 9457): the one place where an error becomes an HTTP status.
//!
//! The text says what happened and what to do. It names no store, file or host of ours, for whoever asks may be
//! anyone; the log has the rest. What is not there and what the caller may not see look the same (`docs/THREATS.md`,
//! 44).

use archive_core::archive::ArchiveError;
use archive_core::dicom::scan::ScanError;
use archive_core::reading::ReadError;
use archive_core::store::StoreError;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use crate::store_status::is_out_of_space;

/// Seconds after which to ask again when the archive itself named no time.
pub const RETRY_AFTER_SECONDS: u32 = 30;

/// Why a request was not answered as asked.
#[derive(Clone, PartialEq, Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    retry_after_seconds: Option<u32>,
    supported: Vec<String>,
}

impl Problem {
    /// A problem with its stable code and a text that says what to do.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), retry_after_seconds: None, supported: Vec::new() }
    }

    /// The request is not understood.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }

    /// There is nothing at this address, or nothing that the caller may see.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "nothing in this archive answers to this address")
    }

    /// None of the acceptable forms can be given; says which can.
    #[must_use]
    pub fn not_acceptable(supported: Vec<String>) -> Self {
        let detail = "none of the acceptable media types can be given; `supported` lists those that can";
        Self { supported, ..Self::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", detail) }
    }

    /// The body is in a form that is not taken; says which are.
    #[must_use]
    pub fn unsupported_media_type(detail: &str, supported: Vec<String>) -> Self {
        Self { supported, ..Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail) }
    }

    /// 500: part of a study is damaged in every copy.
    #[must_use]
    pub fn unreadable() -> Self {
        let detail = "part of this study is damaged here and cannot be read; the archive's operator has to repair it. Instances \
                      that a search finds can be retrieved one by one";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "damaged", detail)
    }

    /// Tells when to ask again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// The same with another text: for callers on this machine, who may know more.
    #[must_use]
    pub fn with_detail(mut self, detail: String) -> Self {
        self.detail = detail;
        self
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// What happened and what to do.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// When to ask again, if that helps.
    #[must_use]
    pub const fn retry_after_seconds(&self) -> Option<u32> {
        self.retry_after_seconds
    }

    fn document(&self) -> Value {
        let mut document = Map::new();
        document.insert("title".into(), json!(self.status.canonical_reason().unwrap_or("Error")));
        document.insert("status".into(), json!(self.status.as_u16()));
        document.insert("code".into(), json!(self.code));
        document.insert("detail".into(), json!(self.detail));
        if let Some(seconds) = self.retry_after_seconds {
            document.insert("retryAfterSeconds".into(), json!(seconds));
        }
        if !self.supported.is_empty() {
            document.insert("supported".into(), json!(self.supported));
        }
        Value::Object(document)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.document().to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<ArchiveError> for Problem {
    fn from(error: ArchiveError) -> Self {
        if is_ours(&error) {
            tracing::error!(%error, "a request failed");
        }
        match &error {
            ArchiveError::Refused(scan) => refused(scan, &error),
            ArchiveError::Mismatch { .. } => Self::new(StatusCode::CONFLICT, "mismatch", error.to_string()),
            ArchiveError::Full(_) => full(),
            ArchiveError::NotReceiving(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "not-receiving",
                "the archive does not receive at the moment; nothing was stored; send again later",
            )
            .retry_after(RETRY_AFTER_SECONDS),
            ArchiveError::Rebuilding { retry_after_seconds, .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "rebuilding", error.to_string())
                    .retry_after(*retry_after_seconds)
            }
            ArchiveError::Unreadable { .. } => Self::unreadable(),
            ArchiveError::NotFound(_) => Self::not_found(),
            ArchiveError::Query(_) => Self::bad_request(error.to_string()),
            ArchiveError::Read(read) => read_problem(read),
            ArchiveError::Busy(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", error.to_string()).retry_after(RETRY_AFTER_SECONDS)
            }
            ArchiveError::Store(_) => store_unavailable(),
            ArchiveError::Internal(_) => internal(),
        }
    }
}

/// The archive's fault, which its operator must learn of.
fn is_ours(error: &ArchiveError) -> bool {
    match error {
        ArchiveError::Refused(scan) => matches!(scan, ScanError::Scratch(_)),
        ArchiveError::Mismatch { .. }
        | ArchiveError::Rebuilding { .. }
        | ArchiveError::NotFound(_)
        | ArchiveError::Busy(_)
        | ArchiveError::Query(_) => false,
        ArchiveError::Full(_)
        | ArchiveError::NotReceiving(_)
        | ArchiveError::Read(_)
        | ArchiveError::Unreadable { .. }
        | ArchiveError::Store(_)
        | ArchiveError::Internal(_) => true,
    }
}

fn refused(scan: &ScanError, error: &ArchiveError) -> Problem {
    match scan {
        ScanError::Limit { .. } => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "past-a-limit", error.to_string()),
        ScanError::Scratch(source) if is_out_of_space(source) => full(),
        ScanError::Scratch(_) => internal(),
        ScanError::NotDicom { .. } => Problem::new(StatusCode::BAD_REQUEST, "not-dicom", error.to_string()),
        ScanError::NotAnInstance { .. }
        | ScanError::Truncated { .. }
        | ScanError::Malformed { .. }
        | ScanError::MissingUid { .. } => Problem::new(StatusCode::BAD_REQUEST, "refused", error.to_string()),
    }
}

fn full() -> Problem {
    let detail = "the archive has no room at the moment; nothing was stored; send again later";
    Problem::new(StatusCode::INSUFFICIENT_STORAGE, "full", detail).retry_after(RETRY_AFTER_SECONDS)
}

fn read_problem(read: &ReadError) -> Problem {
    match read {
        ReadError::Damaged { .. } => Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "damaged",
            "what is stored here is damaged and is not served; the archive's operator has to repair it",
        ),
        ReadError::Store(StoreError::Unavailable { .. }) => store_unavailable(),
        ReadError::NotUnderstood { .. } | ReadError::Store(_) | ReadError::Local { .. } => internal(),
    }
}

fn store_unavailable() -> Problem {
    let detail = "the store that holds this cannot be reached at the moment; ask again later";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store-unavailable", detail).retry_after(RETRY_AFTER_SECONDS)
}

fn internal() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the archive could not do this; its log says why")
}

#[cfg(test)]
mod tests {
    use archive_core::identifiers::StudyUid;

    use super::*;

    fn status(error: ArchiveError) -> u16 {
        Problem::from(error).status().as_u16()
    }

    #[test]
    fn every_error_has_the_status_that_says_what_to_do() {
        assert_eq!(status(ArchiveError::Refused(ScanError::NotDicom { found: "text" })), 400);
        let limit = ScanError::Limit { what: "depth", limit: 64, tag: Some(dicom_core::Tag(8, 8)), offset: 1 };
        assert_eq!(status(ArchiveError::Refused(limit)), 413);
        let mismatch = ArchiveError::Mismatch {
            what: "study",
            tag: dicom_core::Tag(0x20, 0xD),
            announced: "1".into(),
            found: "2".into(),
        };
        assert_eq!(status(mismatch), 409);
        assert_eq!(status(ArchiveError::Full("disk".into())), 507);
        assert_eq!(status(ArchiveError::Refused(ScanError::Scratch(std::io::ErrorKind::StorageFull.into()))), 507);
        assert_eq!(status(ArchiveError::Refused(ScanError::Scratch(std::io::Error::other("fault")))), 500);
        assert_eq!(status(ArchiveError::NotReceiving("journal".into())), 503);
        assert_eq!(status(ArchiveError::Rebuilding { percent: 3, retry_after_seconds: 5 }), 503);
        assert_eq!(status(ArchiveError::NotFound("study".into())), 404);
        let damaged = ReadError::Damaged { object: "studies/x".into(), what: "unit 3".into() };
        assert_eq!(status(ArchiveError::Read(damaged)), 500);
        let study = StudyUid::parse("1.2").expect("a UID");
        assert_eq!(status(ArchiveError::Unreadable { study, packs: Vec::new() }), 500);
        assert_eq!(status(ArchiveError::Internal("bug".into())), 500);
    }

    #[test]
    fn a_problem_names_nothing_of_the_inside() {
        let damaged = ReadError::Damaged { object: "studies/ab/1.2.3/x.zip".into(), what: "unit 3".into() };
        for error in [ArchiveError::Read(damaged), ArchiveError::Full("/var/lib/vellum has 3 bytes".into())] {
            let text = Problem::from(error).document().to_string();
            assert!(!text.contains("studies") && !text.contains("/var"), "{text}");
        }
    }

    #[test]
    fn what_is_not_there_always_reads_the_same() {
        let one = Problem::from(ArchiveError::NotFound("study 1.2.3".into()));
        assert_eq!(one.document(), Problem::not_found().document());
    }

    #[test]
    fn a_rebuild_says_when_to_ask_again() {
        let response = Problem::from(ArchiveError::Rebuilding { percent: 3, retry_after_seconds: 7 }).into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "7");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    }
}
