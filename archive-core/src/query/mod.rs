//! A query is one typed value, whichever door it came from; matching is implemented once (PS3.4 §C.2.2.2).

pub mod fold;
pub mod levels;
pub mod matching;
pub mod times;
pub mod wildcard;

use dicom_core::Tag;

use crate::dicom::attributes::Attributes;
use crate::identifiers::{SeriesUid, StudyUid};
use crate::phi::Phi;

/// The level whose records are wanted (PS3.4 §C.6.1.1, with the patient on top).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum QueryLevel {
    /// Patients: id and issuer.
    Patient,
    /// Studies.
    Study,
    /// Series.
    Series,
    /// Instances: one record for each, of its current version.
    Instance,
}

/// One matching key: an attribute, or one inside a sequence, and the text the door was given. The value representation
/// decides what the text means: single value, list (backslash or comma at the door's word), wildcard, range, UID list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MatchKey {
    /// The attribute: one tag, or the tags of sequences down to it.
    pub path: Vec<Tag>,
    /// The key as it came: empty matches everything (universal matching).
    pub value: Phi<String>,
}

/// What records should hold beyond what the level always returns.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Include {
    /// Everything that is known at the level and above.
    pub all: bool,
    /// These attributes.
    pub tags: Vec<Tag>,
}

/// Which part of the answer is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PageRequest {
    /// Records to skip (PS3.18 `offset`).
    pub offset: u64,
    /// Where an earlier page ended; goes before `offset`.
    pub cursor: Option<Cursor>,
    /// Records at most, 1 to [`PAGE_RECORDS_MAX`].
    pub limit: usize,
}

/// No page holds more records.
pub const PAGE_RECORDS_MAX: usize = 1000;

impl Default for PageRequest {
    fn default() -> Self {
        Self { offset: 0, cursor: None, limit: PAGE_RECORDS_MAX }
    }
}

/// Where a page ended; opaque to everybody else. Holds no patient data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cursor(pub String);

/// A query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// What is wanted.
    pub level: QueryLevel,
    /// Only within this study.
    pub study: Option<StudyUid>,
    /// Only within this series.
    pub series: Option<SeriesUid>,
    /// All of these must match.
    pub keys: Vec<MatchKey>,
    /// Person names match by their parts (PS3.18 `fuzzymatching`).
    pub fuzzy: bool,
    /// What the records should hold.
    pub include: Include,
    /// Which part of the answer.
    pub page: PageRequest,
}

impl Query {
    /// All records of a level.
    #[must_use]
    pub fn all(level: QueryLevel) -> Self {
        Self {
            level,
            study: None,
            series: None,
            keys: Vec::new(),
            fuzzy: false,
            include: Include::default(),
            page: PageRequest::default(),
        }
    }
}

/// A key cannot be understood.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum QueryError {
    /// The text is no value of the attribute's representation; the text itself may be patient data and is not shown.
    #[error("the value given for {tag} is not a valid {vr} key: {what}")]
    Key {
        /// The attribute.
        tag: Tag,
        /// Its value representation.
        vr: &'static str,
        /// What is wrong.
        what: &'static str,
    },
    /// The attribute is not one that this level can be searched by.
    #[error("{tag} is not an attribute that can be searched at this level; leave it out or ask at another level")]
    NotSearchable {
        /// The attribute.
        tag: Tag,
    },
    /// A word of the question is none that is known.
    #[error("{0}")]
    Unknown(
        /// Which, and the nearest right one.
        String,
    ),
    /// A cursor is not one of ours, or its archive was rebuilt differently.
    #[error("the cursor is not known; begin again without one")]
    Cursor,
}

/// One record of an answer: the attributes of its level and of those above, with the computed ones
/// (Number of Study Related Series and so on).
#[derive(Clone, PartialEq, Debug)]
pub struct Record {
    /// The attributes.
    pub attributes: Attributes,
}

/// Part of an answer, in a stable order.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Page {
    /// The records.
    pub records: Vec<Record>,
    /// Where the next page begins, if there may be more.
    pub next: Option<Cursor>,
    /// The catalog is being rebuilt: a miss is not an absence.
    pub incomplete: bool,
    /// Packs of which no store has a good copy may hold further matches.
    pub unreadable: bool,
}
