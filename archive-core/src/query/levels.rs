//! Which level an attribute belongs to, and what a record of a level always holds (PS3.4 §C.6.1.1 and §C.6.2.1,
//! PS3.18 Tables 10.6.3-3 to 10.6.3-5).

use dicom_core::dictionary::{DataDictionary as _, DataDictionaryEntry as _, VirtualVr};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};

use super::QueryLevel;

/// Attributes of the patient. Retired ones are in what archives hold.
#[expect(deprecated, reason = "data sets of twenty years hold retired attributes")]
const PATIENT: &[Tag] = &[
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::ISSUER_OF_PATIENT_ID,
    tags::TYPE_OF_PATIENT_ID,
    tags::ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_BIRTH_TIME,
    tags::PATIENT_SEX,
    tags::OTHER_PATIENT_I_DS,
    tags::OTHER_PATIENT_NAMES,
    tags::OTHER_PATIENT_I_DS_SEQUENCE,
    tags::ETHNIC_GROUP,
    tags::PATIENT_COMMENTS,
];

/// Attributes of the study, computed ones included.
const STUDY: &[Tag] = &[
    tags::STUDY_INSTANCE_UID,
    tags::STUDY_DATE,
    tags::STUDY_TIME,
    tags::ACCESSION_NUMBER,
    tags::ISSUER_OF_ACCESSION_NUMBER_SEQUENCE,
    tags::STUDY_ID,
    tags::STUDY_DESCRIPTION,
    tags::REFERRING_PHYSICIAN_NAME,
    tags::CONSULTING_PHYSICIAN_NAME,
    tags::PHYSICIANS_OF_RECORD,
    tags::NAME_OF_PHYSICIANS_READING_STUDY,
    tags::ADMITTING_DIAGNOSES_DESCRIPTION,
    tags::PROCEDURE_CODE_SEQUENCE,
    tags::TIMEZONE_OFFSET_FROM_UTC,
    tags::PATIENT_AGE,
    tags::PATIENT_SIZE,
    tags::PATIENT_WEIGHT,
    tags::OCCUPATION,
    tags::ADDITIONAL_PATIENT_HISTORY,
    tags::ADMISSION_ID,
    tags::MODALITIES_IN_STUDY,
    tags::SOP_CLASSES_IN_STUDY,
    tags::NUMBER_OF_STUDY_RELATED_SERIES,
    tags::NUMBER_OF_STUDY_RELATED_INSTANCES,
];

/// Attributes of the series, computed ones included.
const SERIES: &[Tag] = &[
    tags::SERIES_INSTANCE_UID,
    tags::MODALITY,
    tags::SERIES_NUMBER,
    tags::SERIES_DESCRIPTION,
    tags::SERIES_DESCRIPTION_CODE_SEQUENCE,
    tags::SERIES_DATE,
    tags::SERIES_TIME,
    tags::BODY_PART_EXAMINED,
    tags::LATERALITY,
    tags::PATIENT_POSITION,
    tags::PROTOCOL_NAME,
    tags::PERFORMING_PHYSICIAN_NAME,
    tags::OPERATORS_NAME,
    tags::INSTITUTION_NAME,
    tags::INSTITUTIONAL_DEPARTMENT_NAME,
    tags::STATION_NAME,
    tags::MANUFACTURER,
    tags::MANUFACTURER_MODEL_NAME,
    tags::DEVICE_SERIAL_NUMBER,
    tags::PERFORMED_PROCEDURE_STEP_START_DATE,
    tags::PERFORMED_PROCEDURE_STEP_START_TIME,
    tags::PERFORMED_PROCEDURE_STEP_ID,
    tags::PERFORMED_PROCEDURE_STEP_DESCRIPTION,
    tags::REQUEST_ATTRIBUTES_SEQUENCE,
    tags::FRAME_OF_REFERENCE_UID,
    tags::NUMBER_OF_SERIES_RELATED_INSTANCES,
];

/// Computed for the patient; may be asked for at every level.
const PATIENT_COUNTS: &[Tag] = &[
    tags::NUMBER_OF_PATIENT_RELATED_STUDIES,
    tags::NUMBER_OF_PATIENT_RELATED_SERIES,
    tags::NUMBER_OF_PATIENT_RELATED_INSTANCES,
];

/// Always in a record of the level or below.
const PATIENT_ALWAYS: &[Tag] =
    &[tags::PATIENT_NAME, tags::PATIENT_ID, tags::ISSUER_OF_PATIENT_ID, tags::PATIENT_BIRTH_DATE, tags::PATIENT_SEX];
const STUDY_ALWAYS: &[Tag] = &[
    tags::STUDY_DATE,
    tags::STUDY_TIME,
    tags::ACCESSION_NUMBER,
    tags::INSTANCE_AVAILABILITY,
    tags::MODALITIES_IN_STUDY,
    tags::REFERRING_PHYSICIAN_NAME,
    tags::STUDY_INSTANCE_UID,
    tags::STUDY_ID,
    tags::STUDY_DESCRIPTION,
    tags::NUMBER_OF_STUDY_RELATED_SERIES,
    tags::NUMBER_OF_STUDY_RELATED_INSTANCES,
];
const SERIES_ALWAYS: &[Tag] = &[
    tags::MODALITY,
    tags::SERIES_DESCRIPTION,
    tags::SERIES_INSTANCE_UID,
    tags::SERIES_NUMBER,
    tags::NUMBER_OF_SERIES_RELATED_INSTANCES,
];
const INSTANCE_ALWAYS: &[Tag] = &[tags::SOP_CLASS_UID, tags::SOP_INSTANCE_UID, tags::INSTANCE_NUMBER];
/// In a record where the instance has them (type 1C or "if present").
const WHERE_PRESENT: &[(QueryLevel, &[Tag])] = &[
    (QueryLevel::Study, &[tags::TIMEZONE_OFFSET_FROM_UTC]),
    (
        QueryLevel::Series,
        &[
            tags::PERFORMED_PROCEDURE_STEP_START_DATE,
            tags::PERFORMED_PROCEDURE_STEP_START_TIME,
            tags::REQUEST_ATTRIBUTES_SEQUENCE,
        ],
    ),
    (QueryLevel::Instance, &[tags::ROWS, tags::COLUMNS, tags::BITS_ALLOCATED, tags::NUMBER_OF_FRAMES]),
];

/// May be keys at every level and restrict nothing: where to retrieve from, and the zone of the query (see `times`).
pub const ASKS_ONLY: &[Tag] = &[
    tags::INSTANCE_AVAILABILITY,
    tags::RETRIEVE_URL,
    tags::RETRIEVE_AE_TITLE,
    tags::TIMEZONE_OFFSET_FROM_UTC,
    tags::SPECIFIC_CHARACTER_SET,
];

/// The level that an attribute belongs to; what no table names belongs to the instance.
#[must_use]
pub fn level_of(tag: Tag) -> QueryLevel {
    if PATIENT.contains(&tag) || PATIENT_COUNTS.contains(&tag) {
        QueryLevel::Patient
    } else if STUDY.contains(&tag) {
        QueryLevel::Study
    } else if SERIES.contains(&tag) {
        QueryLevel::Series
    } else {
        QueryLevel::Instance
    }
}

/// Whether the fold of a series or study keeps the distinct values of an attribute.
#[must_use]
pub fn is_folded(tag: Tag) -> bool {
    level_of(tag) < QueryLevel::Instance || tag == tags::SOP_CLASS_UID
}

/// Attributes that every record of a level holds, those of the levels above included; empty where unknown.
#[must_use]
pub fn always(level: QueryLevel) -> Vec<Tag> {
    let mut found = PATIENT_ALWAYS.to_vec();
    if level == QueryLevel::Patient {
        found.extend(PATIENT_COUNTS);
    }
    for (from, list) in [
        (QueryLevel::Study, STUDY_ALWAYS),
        (QueryLevel::Series, SERIES_ALWAYS),
        (QueryLevel::Instance, INSTANCE_ALWAYS),
    ] {
        if level >= from {
            found.extend(list);
        }
    }
    found
}

/// Attributes that a record of a level holds where they are known.
pub fn where_present(level: QueryLevel) -> impl Iterator<Item = Tag> {
    WHERE_PRESENT.iter().filter(move |(from, _)| level >= *from).flat_map(|(_, list)| list.iter().copied())
}

/// Whether records can be searched by an attribute at a level: one of the level or above that is in the dictionary.
#[must_use]
pub fn is_searchable(tag: Tag, level: QueryLevel) -> bool {
    let standard = tag.group().is_multiple_of(2) && StandardDataDictionary.by_tag(tag).is_some();
    ASKS_ONLY.contains(&tag) || (standard && level_of(tag) <= level)
}

/// The value representation of an attribute in the standard's dictionary; UN if it is not there.
#[must_use]
pub fn vr_of(tag: Tag) -> VR {
    match StandardDataDictionary.by_tag(tag).map(|entry| entry.vr()) {
        Some(VirtualVr::Exact(vr)) => vr,
        Some(VirtualVr::Xs) => VR::US,
        Some(VirtualVr::Ox | VirtualVr::Px | VirtualVr::Lt) => VR::OW,
        _ => VR::UN,
    }
}
