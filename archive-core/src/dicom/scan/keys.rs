//! The UIDs that place an instance, taken from the data set itself, never from its meta group or its surroundings.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use uuid::Uuid;

use super::warnings::{self, Warnings};
use super::{InstanceKeys, ScanError};
use crate::dicom::sop_classes;
use crate::identifiers::{SeriesUid, SopClassUid, SopUid, StudyUid};

/// A UID that is part of a key may be malformed, but not longer than this (bytes); PS3.5 §9.1 allows 64.
pub(super) const KEY_UID_BYTES_MAX: u64 = 1024;

/// Media Storage Directory Storage: a DICOMDIR (PS3.10 §8).
pub(super) const DIRECTORY_CLASS: &str = "1.2.840.10008.1.3.10";

/// The UIDs as they were found.
#[derive(Debug, Default)]
pub(super) struct KeyValues {
    sop_class: Option<SopClassUid>,
    sop: Option<SopUid>,
    study: Option<StudyUid>,
    series: Option<SeriesUid>,
    /// Where those begin that have no value; the first of each tag counts, so there are at most four.
    empty: Vec<(Tag, u64)>,
}

/// What the meta group says of the same.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct MediaStorage {
    /// Media Storage SOP Class UID (0002,0002).
    pub sop_class: Option<SopClassUid>,
    /// Media Storage SOP Instance UID (0002,0003).
    pub sop: Option<SopUid>,
}

impl KeyValues {
    /// Whether this attribute of the data set is part of its key.
    pub(super) const fn wants(tag: Tag) -> bool {
        matches!(
            tag,
            tags::SOP_CLASS_UID | tags::SOP_INSTANCE_UID | tags::STUDY_INSTANCE_UID | tags::SERIES_INSTANCE_UID
        )
    }

    /// Takes the value of such an attribute, which begins at a byte of the input; one without a value counts as missing.
    pub(super) fn note(&mut self, tag: Tag, value: &[u8], offset: u64) {
        let is_there = match tag {
            tags::SOP_CLASS_UID => taken(&mut self.sop_class, SopClassUid::from_bytes(value).ok()),
            tags::SOP_INSTANCE_UID => taken(&mut self.sop, SopUid::from_bytes(value).ok()),
            tags::STUDY_INSTANCE_UID => taken(&mut self.study, StudyUid::from_bytes(value).ok()),
            tags::SERIES_INSTANCE_UID => taken(&mut self.series, SeriesUid::from_bytes(value).ok()),
            _ => return,
        };
        if !is_there {
            self.empty.push((tag, offset));
        }
    }

    /// Where the instance belongs; the data set ended at a byte of the input.
    pub(super) fn resolve(
        self,
        media: &MediaStorage,
        ended_at: u64,
        warnings: &mut Warnings,
    ) -> Result<InstanceKeys, ScanError> {
        let Self { sop_class, sop, study, series, empty } = self;
        let missing = |name, tag| {
            let empty = empty.iter().find(|(empty, _)| *empty == tag);
            ScanError::MissingUid { name, tag, offset: empty.map_or(ended_at, |(_, offset)| *offset) }
        };
        let sop_class = sop_class.ok_or_else(|| missing("SOPClassUID", tags::SOP_CLASS_UID))?;
        if sop_class.as_str() == DIRECTORY_CLASS {
            return Err(not_an_instance());
        }
        let sop = sop.ok_or_else(|| missing("SOPInstanceUID", tags::SOP_INSTANCE_UID))?;
        if media.sop_class.as_ref().is_some_and(|class| *class != sop_class) {
            warnings.note_prefix(warnings::META_SOP_CLASS_DIFFERS, tags::MEDIA_STORAGE_SOP_CLASS_UID, 0);
        }
        if media.sop.as_ref().is_some_and(|uid| *uid != sop) {
            warnings.note_prefix(warnings::META_SOP_UID_DIFFERS, tags::MEDIA_STORAGE_SOP_INSTANCE_UID, 0);
        }
        if !sop_classes::is_storage(&sop_class) {
            warnings.note(warnings::UNKNOWN_SOP_CLASS, tags::SOP_CLASS_UID, 0);
        }
        if sop_classes::is_non_patient(&sop_class) {
            let study = pseudo_study(&sop_class);
            let study = study.ok_or_else(|| missing("StudyInstanceUID", tags::STUDY_INSTANCE_UID))?;
            let series = pseudo_series(&sop_class);
            let series = series.ok_or_else(|| missing("SeriesInstanceUID", tags::SERIES_INSTANCE_UID))?;
            return Ok(InstanceKeys { study, series, sop_class, sop });
        }
        let study = study.ok_or_else(|| missing("StudyInstanceUID", tags::STUDY_INSTANCE_UID))?;
        let series = series.ok_or_else(|| missing("SeriesInstanceUID", tags::SERIES_INSTANCE_UID))?;
        Ok(InstanceKeys { study, series, sop_class, sop })
    }
}

/// Keeps a UID; gives whether there is one.
fn taken<T>(to: &mut Option<T>, uid: Option<T>) -> bool {
    *to = uid;
    to.is_some()
}

/// The refusal of a DICOMDIR.
pub(super) const fn not_an_instance() -> ScanError {
    ScanError::NotAnInstance { what: "a DICOMDIR is the directory of a medium; send the files that it names" }
}

/// The pseudo studies of all classes without patients, which no search lists that does not name them: what exports
/// everything asks for them one by one.
pub fn pseudo_studies() -> impl Iterator<Item = StudyUid> {
    let classes = sop_classes::storage_sop_classes().filter(|class| class.is_non_patient());
    classes.filter_map(|class| pseudo_study(&SopClassUid::parse(class.uid()).ok()?))
}

/// The pseudo study of a class without patients: `2.25.` and the decimal form of the UUID of version 5 in the namespace of
/// OIDs whose name is the class UID. A Study Instance UID in such an object places nothing (PS3.4 GG.3).
fn pseudo_study(class: &SopClassUid) -> Option<StudyUid> {
    StudyUid::parse(&uuid_uid(class.as_str())).ok()
}

/// The pseudo series of a class without patients: as its study, the name being the class UID and `.series`.
fn pseudo_series(class: &SopClassUid) -> Option<SeriesUid> {
    SeriesUid::parse(&uuid_uid(&format!("{}.series", class.as_str()))).ok()
}

/// A UID made of a name (PS3.5 §B.2).
fn uuid_uid(name: &str) -> String {
    format!("2.25.{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).as_u128())
}
