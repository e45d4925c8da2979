//! Records: what an answer says of a patient, study, series or instance, with the computed attributes.

use std::collections::BTreeSet;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use serde_json::json;

use crate::catalog::elements::{ElementText, of_count, of_texts};
use crate::catalog::summary::{StudySummary, Summary};
use crate::catalog::versions::HeldVersion;
use crate::dicom::attributes::Attributes;
use crate::identifiers::{SeriesUid, StudyUid};
use crate::query::levels::{always, level_of, vr_of, where_present};
use crate::query::matching::{Matching, Values};
use crate::query::{Query, QueryLevel, Record};

/// Something that has one element of an attribute to show, and several to match.
pub(super) trait Shown: Values {
    /// The element to show.
    fn shown(&self, tag: Tag) -> Option<ElementText>;
    /// Everything that is known.
    fn known(&self) -> BTreeSet<Tag>;
}

/// How many studies, series and instances a patient has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct PatientCounts {
    pub(super) studies: u64,
    pub(super) series: u64,
    pub(super) instances: u64,
}

impl PatientCounts {
    fn computed(&self, tag: Tag) -> Option<ElementText> {
        match tag {
            tags::NUMBER_OF_PATIENT_RELATED_STUDIES => Some(of_count(self.studies)),
            tags::NUMBER_OF_PATIENT_RELATED_SERIES => Some(of_count(self.series)),
            tags::NUMBER_OF_PATIENT_RELATED_INSTANCES => Some(of_count(self.instances)),
            _ => None,
        }
    }

    /// Whether a query wants these counts.
    pub(super) fn are_wanted(query: &Query) -> bool {
        let counts = [
            tags::NUMBER_OF_PATIENT_RELATED_STUDIES,
            tags::NUMBER_OF_PATIENT_RELATED_SERIES,
            tags::NUMBER_OF_PATIENT_RELATED_INSTANCES,
        ];
        let keys = query.keys.iter().filter_map(|key| key.path.first());
        query.include.all || keys.chain(&query.include.tags).any(|tag| counts.contains(tag))
    }
}

/// Patient and study level of an answer.
#[derive(Debug)]
pub(super) struct StudyValues<'a> {
    pub(super) uid: &'a StudyUid,
    pub(super) study: &'a StudySummary,
    pub(super) patient: Option<PatientCounts>,
}

impl StudyValues<'_> {
    fn computed(&self, tag: Tag) -> Option<ElementText> {
        let list = |vr, tag| of_texts(vr, &self.study.summary.texts(tag).into_iter().collect::<Vec<_>>());
        match tag {
            tags::STUDY_INSTANCE_UID => Some(of_texts("UI", &[self.uid.as_str().to_owned()])),
            tags::MODALITIES_IN_STUDY => Some(list("CS", tags::MODALITY)),
            tags::SOP_CLASSES_IN_STUDY => Some(list("UI", tags::SOP_CLASS_UID)),
            tags::NUMBER_OF_STUDY_RELATED_SERIES => Some(of_count(self.study.series)),
            tags::NUMBER_OF_STUDY_RELATED_INSTANCES => Some(of_count(self.study.summary.instances)),
            tags::INSTANCE_AVAILABILITY => Some(of_texts("CS", &["ONLINE".to_owned()])),
            _ => self.patient.and_then(|counts| counts.computed(tag)),
        }
    }
}

impl Values for StudyValues<'_> {
    fn distinct(&self, tag: Tag) -> Vec<ElementText> {
        self.computed(tag).map_or_else(|| self.study.summary.distinct(tag), |element| vec![element])
    }
}

impl Shown for StudyValues<'_> {
    fn shown(&self, tag: Tag) -> Option<ElementText> {
        self.computed(tag).or_else(|| self.study.summary.latest(tag).cloned())
    }

    fn known(&self) -> BTreeSet<Tag> {
        self.study
            .summary
            .tags()
            .filter(|tag| level_of(*tag) <= QueryLevel::Study)
            .chain([tags::SOP_CLASSES_IN_STUDY])
            .collect()
    }
}

/// Series level of an answer.
#[derive(Debug)]
pub(super) struct SeriesValues<'a> {
    pub(super) uid: &'a SeriesUid,
    pub(super) summary: &'a Summary,
}

impl SeriesValues<'_> {
    fn computed(&self, tag: Tag) -> Option<ElementText> {
        match tag {
            tags::SERIES_INSTANCE_UID => Some(of_texts("UI", &[self.uid.as_str().to_owned()])),
            tags::NUMBER_OF_SERIES_RELATED_INSTANCES => Some(of_count(self.summary.instances)),
            _ => None,
        }
    }
}

impl Values for SeriesValues<'_> {
    fn distinct(&self, tag: Tag) -> Vec<ElementText> {
        self.computed(tag).map_or_else(|| self.summary.distinct(tag), |element| vec![element])
    }
}

impl Shown for SeriesValues<'_> {
    fn shown(&self, tag: Tag) -> Option<ElementText> {
        self.computed(tag).or_else(|| self.summary.latest(tag).cloned())
    }

    fn known(&self) -> BTreeSet<Tag> {
        self.summary.tags().filter(|tag| level_of(*tag) == QueryLevel::Series).collect()
    }
}

/// Instance level of an answer: the current version.
#[derive(Debug)]
pub(super) struct InstanceValues<'a> {
    pub(super) version: &'a HeldVersion,
}

impl Values for InstanceValues<'_> {
    fn distinct(&self, tag: Tag) -> Vec<ElementText> {
        self.shown(tag).into_iter().collect()
    }
}

impl Shown for InstanceValues<'_> {
    fn shown(&self, tag: Tag) -> Option<ElementText> {
        let facts = &self.version.facts;
        let uid = |text: &str| Some(of_texts("UI", &[text.to_owned()]));
        match tag {
            tags::SOP_INSTANCE_UID => uid(facts.keys.sop.as_str()),
            tags::SOP_CLASS_UID => uid(facts.keys.sop_class.as_str()),
            tags::AVAILABLE_TRANSFER_SYNTAX_UID => uid(facts.version.transfer_syntax.as_str()),
            tags::INSTANCE_AVAILABILITY => Some(of_texts("CS", &["ONLINE".to_owned()])),
            _ => facts.elements.get(tag).cloned(),
        }
    }

    fn known(&self) -> BTreeSet<Tag> {
        let elements = self.version.facts.elements.iter().map(|(tag, _)| tag);
        elements.filter(|tag| level_of(*tag) == QueryLevel::Instance).collect()
    }
}

/// Which attributes the records of a query hold; made once a query.
#[derive(Debug)]
pub(super) struct Columns {
    always: Vec<Tag>,
    where_present: Vec<Tag>,
    all: bool,
}

impl Columns {
    /// The columns of a query: what the level always returns, what was asked for or matched.
    pub(super) fn of(query: &Query, matching: &Matching) -> Self {
        let asked = query.include.tags.iter().copied().chain(matching.tags());
        Self {
            always: always(query.level),
            where_present: where_present(query.level).chain(asked).collect(),
            all: query.include.all,
        }
    }

    /// The record of a patient: nothing of the study that it was read from.
    pub(super) fn patient_record(&self, study: &StudyValues<'_>) -> Record {
        let whole = self.record(&[study]);
        let mut attributes = Attributes::default();
        for (tag, element) in whole.attributes.iter().filter(|(tag, _)| level_of(*tag) == QueryLevel::Patient) {
            attributes.insert_text(tag, element);
        }
        Record { attributes }
    }

    /// The record of some levels, the lowest first.
    pub(super) fn record(&self, levels: &[&dyn Shown]) -> Record {
        let mut attributes = Attributes::default();
        let find = |tag: Tag| levels.iter().find_map(|level| level.shown(tag));
        let mut wanted: BTreeSet<Tag> = self.where_present.iter().copied().collect();
        if self.all {
            levels.iter().for_each(|level| wanted.extend(level.known()));
        }
        for tag in wanted {
            if let Some(element) = find(tag) {
                attributes.insert_text(tag, &element);
            }
        }
        for &tag in &self.always {
            match find(tag) {
                Some(element) => attributes.insert_text(tag, &element),
                None => attributes.insert(tag, &json!({ "vr": vr_of(tag).to_string() })),
            }
        }
        Record { attributes }
    }
}
