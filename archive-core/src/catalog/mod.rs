//! The catalog: a cache of what is sealed, for queries.
//!
//! It is a pure function of (ledger, pack indexes) and may be deleted at any moment (promise I3). Every change is one
//! atomic batch with the watermark that it reaches; a crash between batches leaves an older state, never a
//! mixed one. Damage is never repaired in place: the caller puts the folder aside and rebuilds.
//!
//! All calls block; async callers use `off_runtime::blocking`.

pub mod cases;
pub mod elements;
pub mod embedded;
pub mod keys;
pub mod kv;
pub mod patients;
pub mod redb_store;
pub mod sled_store;
pub mod summary;
pub mod text;
pub mod versions;

mod apply;
mod keyed;
mod packed;
mod rows;
mod values;

#[cfg(test)]
mod conformance;

use std::collections::BTreeSet;
use std::sync::Arc;

use self::cases::CaseFinding;
use self::keys::{RowId, StudyIndex, StudyOrder};
use self::patients::PatientDigest;
use self::summary::{RowSummary, StudySummary, Summary};
use self::versions::{HeldInstance, Promotion};
use crate::identifiers::{PackId, SeriesUid, SopUid, StudyUid};
use crate::pack::{IndexedVersion, PackRef};

pub(crate) use self::apply::study_order;
pub use self::embedded::{Backend, CatalogState, EmbeddedOptions, open_embedded};
pub use self::keyed::KeyedCatalog;
pub use self::rows::{ROW_INSTANCES_MAX, Row};
pub use self::text::TextField;

/// Lines of a pack's index that one change may carry.
pub const CHANGE_LINES_MAX: usize = 500;

/// What can go wrong with a catalog.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CatalogError {
    /// What lies there is not what was written; it is to be put aside and rebuilt.
    #[error("the catalog is damaged ({what}): it is put aside and rebuilt from the stores")]
    Damaged {
        /// What was found.
        what: String,
    },
    /// It was written by a program with another layout; it is to be put aside and rebuilt.
    #[error("the catalog has layout {found}, this program has {expected}: it is put aside and rebuilt from the stores")]
    OtherLayout {
        /// The layout found.
        found: u32,
        /// The layout of this program.
        expected: u32,
    },
    /// It lies in the other embedded store; it is to be put aside and rebuilt.
    #[error(
        "the catalog lies in {found:?}, catalog.store says {wanted:?}: it is put aside and rebuilt from the stores"
    )]
    OtherBackend {
        /// The store found.
        found: Backend,
        /// The store configured.
        wanted: Backend,
    },
    /// The store below failed: disk full, I/O error, folder open elsewhere.
    #[error("the catalog's store failed: {what}")]
    Store {
        /// What it said.
        what: String,
    },
    /// A change carries more lines than one batch may.
    #[error("a change carries {lines} lines of an index, at most 500 are allowed: divide it")]
    TooManyLines {
        /// How many.
        lines: usize,
    },
}

impl CatalogError {
    /// Whether putting the catalog aside and rebuilding it is the answer.
    #[must_use]
    pub const fn wants_rebuild(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::OtherLayout { .. } | Self::OtherBackend { .. })
    }
}

/// What a ledger entry changes in the catalog.
#[derive(Clone, PartialEq, Debug)]
pub enum ChangeKind {
    /// A pack was sealed; these are lines of its index.
    Sealed {
        /// The pack.
        pack: PackRef,
        /// At most [`CHANGE_LINES_MAX`] lines.
        lines: Vec<IndexedVersion>,
    },
    /// A pack replaced others of its study; these are lines of its index. What the replaced packs held is forgotten with
    /// the change that carries the watermark, so that it must come last.
    Merged {
        /// The new pack.
        pack: PackRef,
        /// At most [`CHANGE_LINES_MAX`] lines.
        lines: Vec<IndexedVersion>,
        /// The packs that it replaces.
        replaces: Vec<PackId>,
    },
    /// A person chose the current version.
    Promoted(Promotion),
    /// The entry changes nothing here.
    Nothing,
}

/// One atomic change.
#[derive(Clone, PartialEq, Debug)]
pub struct CatalogChange {
    /// Ledger entries applied once this change is; `None` where further lines of the same entry follow. A change whose
    /// watermark is not above the catalog's is left out: it was applied before.
    pub watermark: Option<u64>,
    /// What changes.
    pub kind: ChangeKind,
}

/// A study as the catalog has it.
#[derive(Clone, PartialEq, Debug)]
pub struct StudyRecord {
    /// Which study.
    pub study: StudyUid,
    /// Its place in the order of answers.
    pub order: StudyOrder,
    /// The fold of its instances.
    pub summary: StudySummary,
}

/// What an index lookup asks for.
#[derive(Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The text, folded where the index is.
    pub text: String,
    /// The whole text, not only its beginning.
    pub exact: bool,
}

impl std::fmt::Debug for Lookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lookup(exact: {})", self.exact)
    }
}

/// Studies with their places in the order of answers; in no order themselves, and a study may be there twice.
pub type ListedStudies = Vec<(StudyOrder, StudyUid)>;

/// First and last day number (see [`crate::query::times`]), both ends included; `None` is an open end.
pub type Days = (Option<i64>, Option<i64>);

/// A catalog of what is sealed. All calls block.
pub trait Catalog: Send + Sync + std::fmt::Debug {
    /// Ledger entries applied.
    ///
    /// # Errors
    /// [`CatalogError`], as all calls.
    fn watermark(&self) -> Result<u64, CatalogError>;

    /// Applies a change atomically; tells the cases that are found in what it touched. Not durable before
    /// [`Catalog::checkpoint`]; after a crash the ledger's entries above the watermark are applied again.
    ///
    /// # Errors
    /// [`CatalogError`]; nothing of the change was applied then.
    fn apply(&self, change: &CatalogChange) -> Result<Vec<CaseFinding>, CatalogError>;

    /// Makes everything applied durable.
    ///
    /// # Errors
    /// As [`Catalog::watermark`].
    fn checkpoint(&self) -> Result<(), CatalogError>;

    /// Forgets everything, the watermark too.
    ///
    /// # Errors
    /// As [`Catalog::watermark`].
    fn clear(&self) -> Result<(), CatalogError>;

    /// Counts the changes applied since this catalog was opened: two reads with the same count before and after saw
    /// one state.
    fn generation(&self) -> u64;

    /// A study.
    ///
    /// # Errors
    /// As [`Catalog::watermark`].
    fn study(&self, study: &StudyUid) -> Result<Option<StudyRecord>, CatalogError>;

    /// The series of a study, in the order of their UIDs.
    ///
    /// # Errors
    /// As [`Catalog::watermark`].
    fn series_of(&self, study: &StudyUid) -> Result<Vec<(SeriesUid, Summary)>, CatalogError>;

    /// The rows of a study with their folds; of one series: its rows, and the row of instances whose versions name
    /// several series.
    ///
    /// # Errors
    /// As [`Catalog::watermark`].
    fn rows_of(&self, study: &StudyUid, series: Option<&SeriesUid>) -> Result<Vec<(RowId, RowSummary)>, CatalogError>;

    /// The rows alone, as [`Catalog::rows_of`] gives them.
    ///
    /// # Errors
    /// As [`Catalog::watermark`].
    fn row_ids(&self, study: &StudyUid, series: Option<&SeriesUid>) -> Result<Vec<RowId>, CatalogError>;

    /// The instances of a row; empty where the row is gone.
    ///
    /// # Errors
    /// As [`Catalog::watermark`].
    fn row(&self, row: &RowId) -> Result<Arc<Row>, CatalogError>;

    /// The row that an instance lies in, and what is held of it.
    ///
    /// # Errors
    /// As [`Catalog::watermark`].
    fn instance(&self, study: &StudyUid, sop: &SopUid) -> Result<Option<(RowId, HeldInstance)>, CatalogError>;

    /// The studies that hold a SOP Instance UID.
    ///
    /// # Errors
    /// As [`Catalog::watermark`].
    fn studies_of_sop(&self, sop: &SopUid) -> Result<BTreeSet<StudyUid>, CatalogError>;

    /// The promotions in a study, also of instances that are not sealed yet.
    ///
    /// # Errors
    /// As [`Catalog::watermark`].
    fn promotions(&self, study: &StudyUid) -> Result<Vec<Promotion>, CatalogError>;

    /// Listed studies in the order of answers, from behind `after`, of these days, at most `limit`.
    ///
    /// # Errors
    /// As [`Catalog::watermark`].
    fn studies_in_order(
        &self,
        after: Option<&StudyOrder>,
        days: Days,
        limit: usize,
    ) -> Result<ListedStudies, CatalogError>;

    /// Studies that have a date of these days which they are not ordered by; `None` if there are more than `limit`.
    ///
    /// # Errors
    /// As [`Catalog::watermark`].
    fn studies_of_other_dates(&self, days: Days, limit: usize) -> Result<Option<ListedStudies>, CatalogError>;

    /// Studies by an index; a superset of what matches. `None` if there are more than `limit`.
    ///
    /// # Errors
    /// As [`Catalog::watermark`].
    fn studies_by(
        &self,
        index: StudyIndex,
        lookups: &[Lookup],
        limit: usize,
    ) -> Result<Option<ListedStudies>, CatalogError>;

    /// Studies of which this field holds one of these folded texts; a superset. `None` if there are more than `limit`.
    ///
    /// # Errors
    /// As [`Catalog::watermark`].
    fn studies_with_text(
        &self,
        field: TextField,
        folded: &[String],
        limit: usize,
    ) -> Result<Option<ListedStudies>, CatalogError>;

    /// Patients in the order of their digests, from behind `after`.
    ///
    /// # Errors
    /// As [`Catalog::watermark`].
    fn patients(&self, after: Option<&PatientDigest>, limit: usize) -> Result<Vec<PatientDigest>, CatalogError>;

    /// The studies of a patient.
    ///
    /// # Errors
    /// As [`Catalog::watermark`].
    fn studies_of_patient(&self, patient: &PatientDigest) -> Result<Vec<StudyUid>, CatalogError>;
}
