//! What became of one part: its code (PS3.18 Tables I.2-1 and I.2-2), and its part in the status of the response.

use archive_core::archive::{ArchiveError, Received};
use http::StatusCode;

use super::announced::Announced;
use crate::http::problem::Problem;
use crate::store_status::StoreStatus;

/// What became of one part.
#[derive(Debug)]
pub enum Outcome {
    /// It is durable.
    Stored(Box<Received>),
    /// It was not stored.
    Failed(Failure),
}

/// Why a part was not stored.
#[derive(Debug)]
pub struct Failure {
    /// Failure Reason (0008,1197).
    pub reason: StoreStatus,
    /// In words.
    pub text: String,
    /// The status of the whole response, were this its only part.
    pub status: StatusCode,
    /// When to send again, where that helps.
    pub retry_after_seconds: Option<u32>,
    /// The instance, as far as the file itself named it.
    pub announced: Option<Announced>,
}

impl Failure {
    /// The failure that an error of the archive is.
    #[must_use]
    pub fn of(error: ArchiveError, announced: Option<Announced>) -> Self {
        let reason = StoreStatus::of(&error);
        tracing::warn!(reason = format!("{:04X}", reason.code()), %error, "instance refused");
        let problem = Problem::from(error);
        Self {
            reason,
            text: problem.detail().to_owned(),
            status: of_well_formed_request(problem.status()),
            retry_after_seconds: problem.retry_after_seconds(),
            announced,
        }
    }

    /// A part that is not DICOM by its own words.
    #[must_use]
    pub fn not_understood(text: &str) -> Self {
        Self {
            reason: StoreStatus::CANNOT_UNDERSTAND,
            text: text.to_owned(),
            status: StatusCode::CONFLICT,
            retry_after_seconds: None,
            announced: None,
        }
    }
}

/// The status of a request whose parts could be told apart: 400 is for one with bad syntax of its own, and one that is in
/// order while none of its instances can be stored is a conflict (PS3.18 Table 10.5.3-1).
fn of_well_formed_request(status: StatusCode) -> StatusCode {
    if status == StatusCode::BAD_REQUEST { StatusCode::CONFLICT } else { status }
}
