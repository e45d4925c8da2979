//! What became of an instance, as a status code of DICOM: one table for both doors.
//!
//! A C-STORE response (PS3.4 Table B.2-1, PS3.7 Annex C) and the Failure and Warning Reason of STOW-RS (PS3.18 Tables
//! I.2-1 and I.2-2) draw on the same codes, so one cause has one code, whichever way the instance came. Senders take
//! A7xx for "try again later" and everything else for "this will never be taken": so a limit of the data set, which no
//! waiting mends, is C000H.

use std::io;

use archive_core::archive::ArchiveError;
use archive_core::dicom::scan::ScanError;

/// A status code of storing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreStatus(u16);

impl StoreStatus {
    /// 0000H.
    pub const SUCCESS: Self = Self(0x0000);
    /// 0110H: processing failure.
    pub const PROCESSING_FAILURE: Self = Self(0x0110);
    /// A700H: refused, out of resources; the same may be taken later.
    pub const OUT_OF_RESOURCES: Self = Self(0xA700);
    /// A900H: the data set does not match its SOP class, or what was announced.
    pub const DOES_NOT_MATCH: Self = Self(0xA900);
    /// B007H: stored; the data set does not match the SOP class that was announced.
    pub const CLASS_DIFFERS: Self = Self(0xB007);
    /// C000H: cannot understand.
    pub const CANNOT_UNDERSTAND: Self = Self(0xC000);

    /// The number.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.0
    }

    /// The table.
    #[must_use]
    pub fn of(error: &ArchiveError) -> Self {
        match error {
            ArchiveError::Refused(refusal) => Self::of_refusal(refusal),
            ArchiveError::Mismatch { .. } => Self::DOES_NOT_MATCH,
            ArchiveError::Full(_) | ArchiveError::NotReceiving(_) | ArchiveError::Busy(_) => Self::OUT_OF_RESOURCES,
            ArchiveError::Rebuilding { .. }
            | ArchiveError::Unreadable { .. }
            | ArchiveError::NotFound(_)
            | ArchiveError::Query(_)
            | ArchiveError::Read(_)
            | ArchiveError::Store(_)
            | ArchiveError::Internal(_) => Self::PROCESSING_FAILURE,
        }
    }

    fn of_refusal(refusal: &ScanError) -> Self {
        match refusal {
            ScanError::NotDicom { .. }
            | ScanError::NotAnInstance { .. }
            | ScanError::Truncated { .. }
            | ScanError::Malformed { .. }
            | ScanError::Limit { .. } => Self::CANNOT_UNDERSTAND,
            // Each of the four is of type 1 in every composite IOD (PS3.3 §C.12.1, §C.7.2.1, §C.7.3.1).
            ScanError::MissingUid { .. } => Self::DOES_NOT_MATCH,
            ScanError::Scratch(source) if is_out_of_space(source) => Self::OUT_OF_RESOURCES,
            ScanError::Scratch(_) => Self::PROCESSING_FAILURE,
        }
    }
}

/// Whether scratch space failed for want of room: then there is room again later.
#[must_use]
pub fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use dicom_core::Tag;

    use super::*;

    #[test]
    fn i14_every_refusal_has_its_code() {
        let of = |error: ScanError| StoreStatus::of(&ArchiveError::Refused(error)).code();
        let (tag, offset) = (Some(Tag(8, 8)), 1);
        assert_eq!(of(ScanError::NotDicom { found: "text" }), 0xC000);
        assert_eq!(of(ScanError::NotAnInstance { what: "a DICOMDIR" }), 0xC000);
        assert_eq!(of(ScanError::Truncated { tag, offset, end: 2 }), 0xC000);
        assert_eq!(of(ScanError::Malformed { what: "x", tag, offset }), 0xC000);
        assert_eq!(of(ScanError::Limit { what: "x", limit: 64, tag, offset }), 0xC000);
        assert_eq!(of(ScanError::MissingUid { name: "x", tag: Tag(8, 8), offset }), 0xA900);
        assert_eq!(of(ScanError::Scratch(io::ErrorKind::StorageFull.into())), 0xA700);
        assert_eq!(of(ScanError::Scratch(io::ErrorKind::PermissionDenied.into())), 0x0110);
    }

    #[test]
    fn only_what_may_be_taken_later_is_out_of_resources() {
        let of = |error: ArchiveError| StoreStatus::of(&error).code();
        for later in [ArchiveError::Full("x".into()), ArchiveError::NotReceiving("x".into())] {
            assert_eq!(of(later), 0xA700);
        }
        let (tag, announced, found) = (Tag(8, 0x18), "1".to_owned(), "2".to_owned());
        let mismatch = ArchiveError::Mismatch { what: "x", tag, announced, found };
        assert_eq!(of(mismatch), 0xA900);
        for ours in [ArchiveError::Internal("x".into()), ArchiveError::NotFound("x".into())] {
            assert_eq!(of(ours), 0x0110);
        }
    }
}
