//! Keys of the ordered store. All under 1 KiB; UIDs stand in their path form, so that no UID can break a key.
//!
//! | key | value |
//! |---|---|
//! | `!layout`, `!watermark` | layout version; ledger entries applied |
//! | `r` study 0 group 0 row | a row: up to 500 instances |
//! | `m` study 0 group 0 row | the row's summary |
//! | `t` study | the study: fold of all summaries, and which index entries it has |
//! | `s` study 0 series | a series |
//! | `v` study | promotions |
//! | `i` cut of SOP UID 0 study 0 group 0 row | which instances of this cut the row holds |
//! | `x` index text 0 study | ordered indexes; each entry says where the study stands in the order of answers |
//! | `p` patient digest, study | studies of a patient |
//! | `d` patient digest, digest of date | birth dates of a patient |
//! | `f` study | folded text for substring search |
//! | `+` … | further parts of large values |
//!
//! A row's group is the series that all versions of its instances name, or [`MIXED`] for instances whose versions name
//! several. An instance lies in one row. A SOP Instance UID is indexed without its last three characters, and those are
//! listed in the entry: the thousand or so UIDs that share such a cut are mostly of one series, so a row of 500 instances
//! has a handful of index entries, not 500. Where many small studies share a cut, the list says which of them to read.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::identifiers::{SeriesUid, SopUid, StudyUid, uid_path_component};

/// Layout of keys and values; another one is rebuilt, never converted.
pub const LAYOUT: u32 = 3;
/// Where the layout version lies.
pub const LAYOUT_KEY: &[u8] = b"!layout";
/// Where the watermark lies.
pub const WATERMARK_KEY: &[u8] = b"!watermark";
/// The group of instances whose versions name several series. No UID has this path form.
pub const MIXED: &str = "*";
/// Bytes of indexed text in a key.
pub const INDEXED_TEXT_MAX: usize = 200;

/// An ordered index over studies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum StudyIndex {
    /// Every study that is listed, newest first.
    Order,
    /// Study dates beyond the one that a study is ordered by.
    OtherDate,
    /// Patient ID, as it is.
    PatientId,
    /// Accession Number, as it is.
    Accession,
    /// Each group of Patient's Name, folded.
    PatientName,
    /// Series Instance UID in its path form.
    Series,
}

impl StudyIndex {
    const fn letter(self) -> u8 {
        match self {
            Self::Order => b'o',
            Self::OtherDate => b'd',
            Self::PatientId => b'i',
            Self::Accession => b'a',
            Self::PatientName => b'n',
            Self::Series => b's',
        }
    }
}

/// Which row.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RowId {
    /// Path form of the study.
    pub study: String,
    /// Path form of the series, or [`MIXED`].
    pub group: String,
    /// Counts the rows of a group from 0.
    pub row: u32,
}

impl RowId {
    /// Key of the row or of its summary.
    #[must_use]
    pub fn key(&self, letter: u8) -> Vec<u8> {
        let mut key = group_prefix(letter, &self.study, &self.group);
        key.extend_from_slice(&self.row.to_be_bytes());
        key
    }

    /// Reads what follows the letter of a row's key.
    #[must_use]
    pub fn parse(rest: &[u8]) -> Option<Self> {
        let (head, row) = rest.split_last_chunk::<4>()?;
        let mut parts = head.strip_suffix(&[0])?.splitn(2, |byte| *byte == 0);
        let mut text = || String::from_utf8(parts.next()?.to_vec()).ok();
        Some(Self { study: text()?, group: text()?, row: u32::from_be_bytes(*row) })
    }
}

/// Path form of a study.
#[must_use]
pub fn study_part(study: &StudyUid) -> String {
    uid_path_component(study.as_str())
}

/// Path form of a series.
#[must_use]
pub fn series_part(series: &SeriesUid) -> String {
    uid_path_component(series.as_str())
}

/// `letter` study.
#[must_use]
pub fn study_key(letter: u8, study: &str) -> Vec<u8> {
    [&[letter], study.as_bytes()].concat()
}

/// Begins every key of a study under a letter.
#[must_use]
pub fn study_prefix(letter: u8, study: &str) -> Vec<u8> {
    [&[letter], study.as_bytes(), &[0]].concat()
}

/// Begins every key of a group of a study under a letter.
#[must_use]
pub fn group_prefix(letter: u8, study: &str, group: &str) -> Vec<u8> {
    [&[letter], study.as_bytes(), &[0], group.as_bytes(), &[0]].concat()
}

/// Key of a series.
#[must_use]
pub fn series_key(study: &str, series: &str) -> Vec<u8> {
    [b"s", study.as_bytes(), &[0], series.as_bytes()].concat()
}

/// A SOP Instance UID as it is indexed: its path form without the last three characters, and those.
#[must_use]
pub fn sop_cut(sop: &SopUid) -> (String, String) {
    let mut part = uid_path_component(sop.as_str());
    // A path form is ASCII, so any place is a border.
    let end = part.split_off(part.len().saturating_sub(3));
    (part, end)
}

/// The value of an index entry with one more end.
pub fn add_end(ends: &mut String, end: &str) {
    if !ends.is_empty() {
        ends.push(',');
    }
    ends.push_str(end);
}

/// Whether the value of an index entry lists an end.
#[must_use]
pub fn has_end(ends: &str, end: &str) -> bool {
    ends.split(',').any(|listed| listed == end)
}

/// Begins every index entry of a cut.
#[must_use]
pub fn cut_prefix(cut: &str) -> Vec<u8> {
    [b"i", cut.as_bytes(), &[0]].concat()
}

/// Index entry: a row holds instances of this cut. Its value lists the ends of their UIDs.
#[must_use]
pub fn cut_key(cut: &str, row: &RowId) -> Vec<u8> {
    let mut key = cut_prefix(cut);
    key.extend_from_slice(row.study.as_bytes());
    key.push(0);
    key.extend_from_slice(row.group.as_bytes());
    key.push(0);
    key.extend_from_slice(&row.row.to_be_bytes());
    key
}

/// Text as an index key holds it: cut, and without NUL.
fn indexed(text: &str) -> Vec<u8> {
    text.bytes().map(|byte| byte.max(1)).take(INDEXED_TEXT_MAX).collect()
}

/// Begins all entries of an index.
#[must_use]
pub fn index_prefix(index: StudyIndex) -> Vec<u8> {
    vec![b'x', index.letter()]
}

/// Begins all entries whose text begins so, or is exactly so.
#[must_use]
pub fn index_lookup(index: StudyIndex, text: &str, exact: bool) -> Vec<u8> {
    let mut key = index_prefix(index);
    let text = indexed(text);
    let whole = text.len() < INDEXED_TEXT_MAX;
    key.extend_from_slice(&text);
    if exact && whole {
        key.push(0);
    }
    key
}

/// An index entry of a study.
#[must_use]
pub fn index_key(index: StudyIndex, text: &str, study: &str) -> Vec<u8> {
    let mut key = index_prefix(index);
    key.extend_from_slice(&indexed(text));
    key.push(0);
    key.extend_from_slice(study.as_bytes());
    key
}

/// Begins all studies of a patient.
#[must_use]
pub fn patient_prefix(letter: u8, patient: &[u8; 16]) -> Vec<u8> {
    [&[letter], patient.as_slice()].concat()
}

/// A birth date of a patient.
#[must_use]
pub fn birth_date_key(patient: &[u8; 16], date: &str) -> Vec<u8> {
    let digest = Sha256::digest(date.as_bytes());
    [b"d", patient.as_slice(), &digest[..16]].concat()
}

/// The first key after all that begin with a prefix.
#[must_use]
pub fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut next = prefix.to_vec();
    while let Some(last) = next.pop() {
        if last < 0xff {
            next.push(last + 1);
            return next;
        }
    }
    vec![0xff; 64]
}

/// Where a study stands in the order of answers: newest date first, then newest time, then UID; studies without a date
/// come last. Its text is what the order index holds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StudyOrder(pub String);

impl fmt::Debug for StudyOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StudyOrder(…)")
    }
}

const NO_DATE: &str = "~~~~~~~";
const NO_TIME: &str = "~~~~~~~~~~~";

impl StudyOrder {
    /// The place of a study with this day number and these microseconds since midnight.
    #[must_use]
    pub fn new(day: Option<i64>, moment: Option<i64>, study: &StudyUid) -> Self {
        let day = day.map_or_else(|| NO_DATE.to_owned(), descending_day);
        let moment = moment.map_or_else(
            || NO_TIME.to_owned(),
            |moment| format!("{:011}", 99_999_999_999 - moment.clamp(0, 99_999_999_999)),
        );
        Self(format!("{day}{moment}{}", study_part(study)))
    }
}

/// Characters of a [`StudyOrder`] that say when; the rest is the UID.
const WHEN_LENGTH: usize = NO_DATE.len() + NO_TIME.len();

impl StudyOrder {
    /// What an index entry says of a study: where it stands, and which it is. With it a search needs no record to put
    /// what it found in order.
    #[must_use]
    pub fn entry(&self, study: &StudyUid) -> String {
        format!("{}{}", self.0.get(..WHEN_LENGTH).unwrap_or_default(), study.as_str())
    }

    /// Reads what an index entry says.
    #[must_use]
    pub fn read_entry(text: &str) -> Option<(Self, StudyUid)> {
        let (when, uid) = text.split_at_checked(WHEN_LENGTH)?;
        let study = StudyUid::parse(uid).ok()?;
        Some((Self(format!("{when}{}", study_part(&study))), study))
    }
}

/// A day number so written that later days come first.
#[must_use]
pub fn descending_day(day: i64) -> String {
    format!("{:07}", 9_999_999 - day.clamp(0, 9_999_999))
}
