//! Which attributes of a data set go into the index: what a query may ask for or expects in an answer.
//!
//! The list is data, in the order of tags. An attribute that is not here can still be had from the header. Those that
//! are computed (Modalities in Study, Number of Study Related Instances, Instance Availability, …) are no attributes
//! of a data set. Retired attributes are here too: archives hold them.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

/// Why an attribute is indexed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// Matching key of the query models: PS3.4 Tables C.6-1 to C.6-5 (patient, study, series, instance), PS3.18 Tables
    /// 10.6.1-5 and 10.6.3-3 to 10.6.3-5.
    Required,
    /// Answered by search although it is no required key: PS3.18 Tables 10.6.3-3 to 10.6.3-5.
    Response,
    /// Describes a series or its equipment: PS3.3 §C.7.3.1, §C.7.5.1, §C.7.6.22.
    Series,
    /// Describes an instance: PS3.3 §C.12.1, §C.7.6.1, §C.7.6.3.
    Instance,
    /// Says what a document, plan or presentation is, or belongs to: PS3.3 §C.17.2, §C.24.2, §C.10.9, §C.11.10, §C.8.8.
    Object,
}

/// An attribute of the index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndexAttribute {
    /// The attribute, of the data set itself.
    pub tag: Tag,
    /// Why.
    pub source: Source,
}

const fn attribute(tag: Tag, source: Source) -> IndexAttribute {
    IndexAttribute { tag, source }
}

const REQUIRED: Source = Source::Required;
const RESPONSE: Source = Source::Response;
const SERIES: Source = Source::Series;
const INSTANCE: Source = Source::Instance;
const OBJECT: Source = Source::Object;

/// All of them, by tag.
#[allow(deprecated)]
pub const INDEX_ATTRIBUTES: [IndexAttribute; 99] = [
    attribute(tags::SPECIFIC_CHARACTER_SET, REQUIRED),
    attribute(tags::IMAGE_TYPE, INSTANCE),
    attribute(tags::INSTANCE_CREATION_DATE, INSTANCE),
    attribute(tags::INSTANCE_CREATION_TIME, INSTANCE),
    attribute(tags::SOP_CLASS_UID, REQUIRED),
    attribute(tags::SOP_INSTANCE_UID, REQUIRED),
    attribute(tags::STUDY_DATE, REQUIRED),
    attribute(tags::SERIES_DATE, SERIES),
    attribute(tags::ACQUISITION_DATE, INSTANCE),
    attribute(tags::CONTENT_DATE, INSTANCE),
    attribute(tags::ACQUISITION_DATE_TIME, INSTANCE),
    attribute(tags::STUDY_TIME, REQUIRED),
    attribute(tags::SERIES_TIME, SERIES),
    attribute(tags::ACQUISITION_TIME, INSTANCE),
    attribute(tags::CONTENT_TIME, INSTANCE),
    attribute(tags::ACCESSION_NUMBER, REQUIRED),
    attribute(tags::ISSUER_OF_ACCESSION_NUMBER_SEQUENCE, REQUIRED),
    attribute(tags::MODALITY, REQUIRED),
    attribute(tags::CONVERSION_TYPE, INSTANCE),
    attribute(tags::MANUFACTURER, SERIES),
    attribute(tags::INSTITUTION_NAME, SERIES),
    attribute(tags::REFERRING_PHYSICIAN_NAME, REQUIRED),
    attribute(tags::TIMEZONE_OFFSET_FROM_UTC, RESPONSE),
    attribute(tags::STATION_NAME, SERIES),
    attribute(tags::STUDY_DESCRIPTION, REQUIRED),
    attribute(tags::PROCEDURE_CODE_SEQUENCE, REQUIRED),
    attribute(tags::SERIES_DESCRIPTION, RESPONSE),
    attribute(tags::INSTITUTIONAL_DEPARTMENT_NAME, SERIES),
    attribute(tags::PERFORMING_PHYSICIAN_NAME, SERIES),
    attribute(tags::NAME_OF_PHYSICIANS_READING_STUDY, REQUIRED),
    attribute(tags::OPERATORS_NAME, SERIES),
    attribute(tags::ADMITTING_DIAGNOSES_DESCRIPTION, REQUIRED),
    attribute(tags::MANUFACTURER_MODEL_NAME, SERIES),
    attribute(tags::REFERENCED_STUDY_SEQUENCE, OBJECT),
    attribute(tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, SERIES),
    attribute(tags::PATIENT_NAME, REQUIRED),
    attribute(tags::PATIENT_ID, REQUIRED),
    attribute(tags::ISSUER_OF_PATIENT_ID, REQUIRED),
    attribute(tags::TYPE_OF_PATIENT_ID, REQUIRED),
    attribute(tags::ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE, REQUIRED),
    attribute(tags::PATIENT_BIRTH_DATE, REQUIRED),
    attribute(tags::PATIENT_BIRTH_TIME, REQUIRED),
    attribute(tags::PATIENT_SEX, REQUIRED),
    attribute(tags::OTHER_PATIENT_I_DS, REQUIRED),
    attribute(tags::OTHER_PATIENT_NAMES, REQUIRED),
    attribute(tags::OTHER_PATIENT_I_DS_SEQUENCE, REQUIRED),
    attribute(tags::PATIENT_AGE, REQUIRED),
    attribute(tags::PATIENT_SIZE, REQUIRED),
    attribute(tags::PATIENT_WEIGHT, REQUIRED),
    attribute(tags::ETHNIC_GROUP, REQUIRED),
    attribute(tags::OCCUPATION, REQUIRED),
    attribute(tags::ADDITIONAL_PATIENT_HISTORY, REQUIRED),
    attribute(tags::PATIENT_SPECIES_DESCRIPTION, REQUIRED),
    attribute(tags::RESPONSIBLE_PERSON, REQUIRED),
    attribute(tags::PATIENT_COMMENTS, REQUIRED),
    attribute(tags::BODY_PART_EXAMINED, SERIES),
    attribute(tags::PROTOCOL_NAME, SERIES),
    attribute(tags::STUDY_INSTANCE_UID, REQUIRED),
    attribute(tags::SERIES_INSTANCE_UID, REQUIRED),
    attribute(tags::STUDY_ID, REQUIRED),
    attribute(tags::SERIES_NUMBER, REQUIRED),
    attribute(tags::ACQUISITION_NUMBER, INSTANCE),
    attribute(tags::INSTANCE_NUMBER, REQUIRED),
    attribute(tags::PATIENT_ORIENTATION, INSTANCE),
    attribute(tags::FRAME_OF_REFERENCE_UID, SERIES),
    attribute(tags::LATERALITY, SERIES),
    attribute(tags::IMAGE_LATERALITY, INSTANCE),
    attribute(tags::SAMPLES_PER_PIXEL, INSTANCE),
    attribute(tags::PHOTOMETRIC_INTERPRETATION, INSTANCE),
    attribute(tags::NUMBER_OF_FRAMES, RESPONSE),
    attribute(tags::ROWS, RESPONSE),
    attribute(tags::COLUMNS, RESPONSE),
    attribute(tags::BITS_ALLOCATED, RESPONSE),
    attribute(tags::BITS_STORED, INSTANCE),
    attribute(tags::PERFORMED_STATION_AE_TITLE, SERIES),
    attribute(tags::PERFORMED_PROCEDURE_STEP_START_DATE, REQUIRED),
    attribute(tags::PERFORMED_PROCEDURE_STEP_START_TIME, REQUIRED),
    attribute(tags::PERFORMED_PROCEDURE_STEP_ID, SERIES),
    attribute(tags::PERFORMED_PROCEDURE_STEP_DESCRIPTION, SERIES),
    attribute(tags::REQUEST_ATTRIBUTES_SEQUENCE, REQUIRED),
    attribute(tags::CONTAINER_IDENTIFIER, SERIES),
    attribute(tags::VERIFICATION_DATE_TIME, OBJECT),
    attribute(tags::CONCEPT_NAME_CODE_SEQUENCE, OBJECT),
    attribute(tags::COMPLETION_FLAG, OBJECT),
    attribute(tags::VERIFICATION_FLAG, OBJECT),
    attribute(tags::CONTENT_TEMPLATE_SEQUENCE, OBJECT),
    attribute(tags::DOCUMENT_TITLE, OBJECT),
    attribute(tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT, OBJECT),
    attribute(tags::CONTENT_LABEL, OBJECT),
    attribute(tags::CONTENT_DESCRIPTION, OBJECT),
    attribute(tags::PRESENTATION_CREATION_DATE, OBJECT),
    attribute(tags::PRESENTATION_CREATION_TIME, OBJECT),
    attribute(tags::CONTENT_CREATOR_NAME, OBJECT),
    attribute(tags::SOP_INSTANCE_STATUS, OBJECT),
    attribute(tags::BARCODE_VALUE, SERIES),
    attribute(tags::STRUCTURE_SET_LABEL, OBJECT),
    attribute(tags::STRUCTURE_SET_DATE, OBJECT),
    attribute(tags::RT_PLAN_LABEL, OBJECT),
    attribute(tags::RT_PLAN_DATE, OBJECT),
];

/// Whether an attribute of the data set goes into the index.
#[must_use]
pub fn is_indexed(tag: Tag) -> bool {
    INDEX_ATTRIBUTES.binary_search_by_key(&tag, |attribute| attribute.tag).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_and_names_each_attribute_once() {
        assert!(INDEX_ATTRIBUTES.windows(2).all(|pair| pair[0].tag < pair[1].tag));
        assert!(is_indexed(tags::PATIENT_ID));
        assert!(!is_indexed(tags::PIXEL_DATA));
    }
}
