//! What became of one part, and the codes that say so (PS3.18 Tables I.2-1 and I.2-2).

use archive_core::archive::{ArchiveError, Received};
use archive_core::dicom::scan::ScanError;
use http::StatusCode;

use super::announced::Announced;
use crate::http::problem::Problem;

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
    pub reason: u16,
    /// In words.
    pub text: String,
    /// The status of the whole response, were this its only part.
    pub status: StatusCode,
    /// When to send again, where that helps.
    pub retry_after_seconds: Option<u32>,
    /// The instance, as far as the file itself named it.
    pub announced: Option<Announced>,
}

/// Processing failure.
const PROCESSING: u16 = 0x0110;
/// Refused: out of resources.
const OUT_OF_RESOURCES: u16 = 0xA700;
/// Error: data set does not match.
const DOES_NOT_MATCH: u16 = 0xA900;
/// Error: cannot understand.
pub const CANNOT_UNDERSTAND: u16 = 0xC000;
/// Warning: data set does not match SOP class.
pub const CLASS_DIFFERS: u16 = 0xB007;

impl Failure {
    /// The failure that an error of the archive is.
    #[must_use]
    pub fn of(error: ArchiveError, announced: Option<Announced>) -> Self {
        let reason = reason(&error);
        tracing::warn!(reason = format!("{reason:04X}"), %error, "instance refused");
        let problem = Problem::from(error);
        Self {
            reason,
            text: problem.detail().to_owned(),
            status: problem.status(),
            retry_after_seconds: problem.retry_after_seconds(),
            announced,
        }
    }

    /// A part that is not DICOM by its own words.
    #[must_use]
    pub fn not_understood(text: &str) -> Self {
        Self {
            reason: CANNOT_UNDERSTAND,
            text: text.to_owned(),
            status: StatusCode::BAD_REQUEST,
            retry_after_seconds: None,
            announced: None,
        }
    }
}

fn reason(error: &ArchiveError) -> u16 {
    match error {
        ArchiveError::Refused(ScanError::Limit { .. })
        | ArchiveError::Full(_)
        | ArchiveError::Busy(_)
        | ArchiveError::NotReceiving(_) => OUT_OF_RESOURCES,
        ArchiveError::Refused(ScanError::Scratch(_)) => PROCESSING,
        ArchiveError::Refused(_) => CANNOT_UNDERSTAND,
        ArchiveError::Mismatch { .. } => DOES_NOT_MATCH,
        ArchiveError::Rebuilding { .. }
        | ArchiveError::Unreadable { .. }
        | ArchiveError::NotFound(_)
        | ArchiveError::Query(_)
        | ArchiveError::Read(_)
        | ArchiveError::Store(_)
        | ArchiveError::Internal(_) => PROCESSING,
    }
}
