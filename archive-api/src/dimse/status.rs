//! What the archive says, as the status of a DIMSE response (PS3.7 Annex C): this file and no other. Which code an error
//! of the archive has is in the table of both doors, [`StoreStatus`].
//!
//! The comment that goes with a status is of our own words, tags and numbers: never a value of the data set.

use archive_core::archive::{ArchiveError, Received};
use archive_core::dicom::scan::ScanError;
use dicom_core::Tag;

use crate::store_status::{StoreStatus, is_out_of_space};

/// The comment on what is no fault of the peer.
const INTERNAL: &str = "internal failure: see the archive's log";

/// Characters of an Error Comment (VR LO).
const COMMENT_CHARACTERS_MAX: usize = 64;

const SUCCESS: u16 = StoreStatus::SUCCESS.code();
const CLASS_NOT_SUPPORTED: u16 = 0x0122;
const UNRECOGNIZED_OPERATION: u16 = 0x0211;
const MISTYPED_ARGUMENT: u16 = 0x0212;
const DOES_NOT_MATCH: u16 = StoreStatus::DOES_NOT_MATCH.code();
const CLASS_DIFFERS: u16 = StoreStatus::CLASS_DIFFERS.code();
const CANNOT_UNDERSTAND: u16 = StoreStatus::CANNOT_UNDERSTAND.code();

/// The outcome of an operation, as it goes into a response.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub struct DimseStatus {
    /// (0000,0900)
    pub code: u16,
    /// (0000,0902): at most 64 printable ASCII characters.
    pub comment: Option<String>,
    /// (0000,0901): the element that is to blame, group and number.
    pub offending: Option<(u16, u16)>,
}

impl DimseStatus {
    /// 0000H.
    pub const fn success() -> Self {
        Self { code: SUCCESS, comment: None, offending: None }
    }

    /// 0211H: no service here has this operation.
    pub fn unrecognized_operation() -> Self {
        Self::with(UNRECOGNIZED_OPERATION, "this operation is not offered")
    }

    /// 0122H: the context on which the request came is not for storage.
    pub fn class_not_supported() -> Self {
        Self::with(CLASS_NOT_SUPPORTED, "the presentation context is not for storage")
    }

    /// 0212H: the command announces a data set where its operation has none.
    pub fn unexpected_data_set() -> Self {
        Self::with(MISTYPED_ARGUMENT, "this operation has no data set")
    }

    /// C000H: the command announces no data set where its operation needs one.
    pub fn no_data_set() -> Self {
        Self { offending: Some((0x0000, 0x0800)), ..Self::with(CANNOT_UNDERSTAND, "C-STORE without a data set") }
    }

    /// A900H: the command lacks a UID, so that the data set cannot match it; names the element of the command.
    pub fn command_without(element: u16) -> Self {
        let what = "a UID of the command is missing or empty";
        Self { offending: Some((0x0000, element)), ..Self::with(DOES_NOT_MATCH, what) }
    }

    /// Success, or B007H where another class was announced than the data set's.
    pub fn of_received(received: &Received) -> Self {
        if received.class_differs { Self::class_differs() } else { Self::success() }
    }

    /// B007H: stored, but the class announced or negotiated is not that of the data set.
    pub fn class_differs() -> Self {
        let what = "stored; its SOP class is not the one announced";
        Self { offending: Some((0x0008, 0x0016)), ..Self::with(CLASS_DIFFERS, what) }
    }

    /// What an error of the archive is for the peer.
    pub fn of_error(error: &ArchiveError) -> Self {
        let (comment, offending) = match error {
            ArchiveError::Refused(refusal) => in_words(refusal),
            ArchiveError::Mismatch { what, tag, .. } => {
                (format!("{what} announced is not that of the data set"), Some(*tag))
            }
            ArchiveError::Full(_) => ("out of resources: try again later".to_owned(), None),
            ArchiveError::NotReceiving(_) => ("not receiving now: try again later".to_owned(), None),
            ArchiveError::Busy(_) => ("busy: try again later".to_owned(), None),
            ArchiveError::Store(_)
            | ArchiveError::Rebuilding { .. }
            | ArchiveError::Unreadable { .. }
            | ArchiveError::NotFound(_)
            | ArchiveError::Query(_)
            | ArchiveError::Read(_)
            | ArchiveError::Internal(_) => (INTERNAL.to_owned(), None),
        };
        let offending = offending.map(|Tag(group, element)| (group, element));
        Self { offending, ..Self::with(StoreStatus::of(error).code(), &comment) }
    }

    /// Whether nothing was done: neither success nor a warning (PS3.7 Annex C.1).
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        !matches!(self.code, SUCCESS | 0x0001 | 0x0107 | 0x0116 | 0xB000..=0xBFFF)
    }

    /// The code as PS3.7 writes it: `A700`.
    #[must_use]
    pub fn code_text(&self) -> String {
        format!("{:04X}", self.code)
    }

    fn with(code: u16, comment: &str) -> Self {
        let printable = |c: &char| (c.is_ascii_graphic() || *c == ' ') && *c != '\\';
        let comment = comment.chars().filter(printable).take(COMMENT_CHARACTERS_MAX).collect();
        Self { code, comment: Some(comment), offending: None }
    }
}

/// A refusal in few words, and the element to blame. Where comes first: what is past 64 characters is cut.
fn in_words(refusal: &ScanError) -> (String, Option<Tag>) {
    match refusal {
        ScanError::NotDicom { found } => (format!("not DICOM: {found}"), None),
        &ScanError::Truncated { tag, offset, end } => {
            (format!("truncated at byte {end}, in what began at byte {offset}"), tag)
        }
        &ScanError::Limit { what, limit, tag, offset } => (format!("byte {offset}: over {limit} {what}"), tag),
        &ScanError::Malformed { what, offset, tag } => (format!("byte {offset}: {what}"), tag),
        ScanError::NotAnInstance { .. } => ("not an instance: a DICOMDIR".to_owned(), None),
        &ScanError::MissingUid { name, tag, offset } => {
            (format!("byte {offset}: {name} is missing or empty"), Some(tag))
        }
        ScanError::Scratch(source) if is_out_of_space(source) => {
            ("out of scratch space: try again later".to_owned(), None)
        }
        ScanError::Scratch(_) => (INTERNAL.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(error: ArchiveError) -> (u16, Option<(u16, u16)>) {
        let status = DimseStatus::of_error(&error);
        let comment = status.comment.as_deref().expect("every failure has a comment");
        assert!(status.is_failure() && !comment.is_empty() && comment.len() <= COMMENT_CHARACTERS_MAX, "{comment}");
        (status.code, status.offending)
    }

    #[test]
    fn every_error_of_the_archive_has_its_status() {
        assert_eq!(code(ArchiveError::Full("a disk at /some/path".into())).0, 0xA700);
        assert_eq!(code(ArchiveError::NotReceiving("stopping".into())).0, 0xA700);
        assert_eq!(code(ArchiveError::Internal("a bug".into())).0, 0x0110);
        assert_eq!(code(ArchiveError::NotFound("x".into())).0, 0x0110);
        let refused = |error| code(ArchiveError::Refused(error));
        assert_eq!(refused(ScanError::NotDicom { found: "a PNG image" }), (0xC000, None));
        assert_eq!(refused(ScanError::Scratch(std::io::ErrorKind::StorageFull.into())).0, 0xA700);
        assert_eq!(refused(ScanError::Scratch(std::io::Error::other("a disk fault"))).0, 0x0110);
        let study = ScanError::MissingUid { name: "StudyInstanceUID", tag: Tag(0x20, 0xD), offset: 300 };
        assert_eq!(refused(study), (0xA900, Some((0x20, 0xD))));
        let nowhere = ScanError::Truncated { tag: None, offset: 0, end: 3 };
        assert_eq!(refused(nowhere), (0xC000, None), "(0000,0000) is no element of a data set");
    }

    #[test]
    fn i14_a_mismatch_is_told_without_the_values_that_differ() {
        let status = DimseStatus::of_error(&ArchiveError::Mismatch {
            what: "SOP Instance UID",
            tag: Tag(0x08, 0x18),
            announced: "1.2.3".into(),
            found: "4.5.6".into(),
        });
        assert_eq!((status.code, status.offending), (0xA900, Some((0x08, 0x18))));
        let comment = status.comment.expect("a comment");
        assert!(!comment.contains("1.2.3") && !comment.contains("4.5.6"), "{comment}");
    }

    #[test]
    fn a_comment_is_cut_to_the_characters_that_its_element_holds() {
        let status = DimseStatus::with(0xC000, &"é\\\u{1b}word ".repeat(40));
        assert!(status.comment.is_some_and(|comment| comment.len() == 64 && comment.starts_with("word word")));
    }

    #[test]
    fn warnings_and_success_are_no_failures() {
        assert!(!DimseStatus::success().is_failure() && !DimseStatus::class_differs().is_failure());
        assert!(DimseStatus::unrecognized_operation().is_failure() && DimseStatus::no_data_set().is_failure());
        assert_eq!(DimseStatus::class_differs().code_text(), "B007");
    }
}
