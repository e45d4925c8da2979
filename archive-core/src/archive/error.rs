//! What can go wrong when the archive is asked for something, by what the caller should do. Doors translate it into a
//! DIMSE status or a problem document, in one place each. No text holds patient data.

use dicom_core::Tag;

use crate::dicom::scan::ScanError;
use crate::identifiers::{PackId, StudyUid};
use crate::query::QueryError;
use crate::reading::ReadError;
use crate::store::StoreError;

/// An answer that is not the wanted one.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The input was refused; nothing of it was stored. Mend the input.
    #[error("refused: {0}; nothing was stored")]
    Refused(#[from] ScanError),
    /// What the door announced and the data set disagree; nothing was stored. Mend the sender.
    #[error(
        "refused: the {what} announced, {announced}, is not that of the data set, {tag} {found}; nothing was stored"
    )]
    Mismatch {
        /// Which identifier.
        what: &'static str,
        /// Its element in the data set.
        tag: Tag,
        /// What the door said.
        announced: String,
        /// What the data set holds.
        found: String,
    },
    /// No room. Usable again when there is.
    #[error("out of resources: {0}")]
    Full(
        /// What is full, and what makes room.
        String,
    ),
    /// The archive does not receive at present or any more.
    #[error("not receiving: {0}")]
    NotReceiving(
        /// Why, and what goes on.
        String,
    ),
    /// The catalog is being rebuilt: what was not found may exist all the same. Ask again.
    #[error(
        "the catalog is being rebuilt ({percent} %), so what was not found may exist: ask again in {retry_after_seconds} s"
    )]
    Rebuilding {
        /// How far.
        percent: u8,
        /// When to ask again.
        retry_after_seconds: u32,
    },
    /// No store has a good copy of packs that hold part of a study.
    #[error(
        "part of study {study} cannot be read: no store has a good copy of {}; put one back in its place, and it is taken in \
         within minutes (`vellum case ls`)",
        in_words(packs)
    )]
    Unreadable {
        /// The study.
        study: StudyUid,
        /// The packs.
        packs: Vec<PackId>,
    },
    /// There is no such thing.
    #[error("{0} is not in this archive")]
    NotFound(
        /// What was asked for, by UID.
        String,
    ),
    /// Another call does this already.
    #[error("{0}")]
    Busy(
        /// What goes on, and when to ask again.
        String,
    ),
    /// The query cannot be understood.
    #[error("query: {0}")]
    Query(#[from] QueryError),
    /// Stored bytes could not be read, or are not what was recorded; nothing wrong was handed out.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A store failed or is not the one it should be.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A defect, or a local disk that fails: the text says which file.
    #[error("internal: {0}")]
    Internal(
        /// What happened, to what.
        String,
    ),
}

impl ArchiveError {
    /// For failures of local disk and of tasks: what was being done, and what was said.
    pub(crate) fn internal(doing: &str, source: impl std::fmt::Display) -> Self {
        Self::Internal(format!("{doing}: {source}"))
    }
}

fn in_words(packs: &[PackId]) -> String {
    let named: Vec<String> = packs.iter().take(PACKS_NAMED_MAX).map(|pack| format!("pack {pack}")).collect();
    let more = packs.len().saturating_sub(PACKS_NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", named.join(", "))
}

/// Packs that an error names one by one.
const PACKS_NAMED_MAX: usize = 3;
