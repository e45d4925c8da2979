//! Cursors: where a page ended, as UIDs and numbers of the last record; a patient is a digest. No patient data.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::catalog::patients::PatientDigest;
use crate::identifiers::{SeriesUid, SopUid, StudyUid};
use crate::query::{Cursor, QueryError};

/// Where a series stands among those of its study: by number, those without one last, then by UID.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(super) struct SeriesKey(pub(super) i64, pub(super) SeriesUid);

/// Where an instance stands among those of its series.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(super) struct InstanceKey(pub(super) i64, pub(super) SopUid);

/// The last record of a page.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Position {
    /// A patient.
    #[serde(rename = "p")]
    Patient(PatientDigest),
    /// A study. Its place in the order is looked up anew, for a date has no business in a cursor.
    #[serde(rename = "s")]
    Study(StudyUid),
    /// A series of a study.
    #[serde(rename = "e")]
    Series(StudyUid, SeriesKey),
    /// An instance of a series of a study.
    #[serde(rename = "i")]
    Instance(StudyUid, SeriesKey, InstanceKey),
}

/// Text of a cursor is hexadecimal and longer than this only if it is not ours.
const CURSOR_LENGTH_MAX: usize = 512 * 1024;

/// The opaque text of a position.
pub(super) fn text_of<T: Serialize>(position: &T) -> String {
    hex::encode(serde_json::to_vec(position).unwrap_or_default())
}

/// Reads the opaque text of a position.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, QueryError> {
    if text.len() > CURSOR_LENGTH_MAX {
        return Err(QueryError::Cursor);
    }
    let json = hex::decode(text).map_err(|_| QueryError::Cursor)?;
    serde_json::from_slice(&json).map_err(|_| QueryError::Cursor)
}

impl Position {
    pub(super) fn cursor(&self) -> Cursor {
        Cursor(text_of(self))
    }
}
