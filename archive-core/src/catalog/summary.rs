//! Summaries: what a row, a series or a study says of its instances, made only by folding, never by counting up.
//!
//! A fold takes the greatest, so it does not matter in which order instances are folded, nor how they are divided
//! over rows, catalog and overlay: that is what makes an answer the same after a rebuild (promise I3).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use serde::{Deserialize, Serialize};

use super::elements::{ElementText, first_text, has_value, of_texts};
use super::patients::PatientKey;
use super::versions::ResolvedInstance;
use crate::dicom::sop_classes;
use crate::identifiers::{ReceiptNumber, SeriesUid};
use crate::query::QueryLevel;
use crate::query::levels::{is_folded, level_of};

/// Distinct values of one attribute that a summary keeps: the latest ones. An attribute with more does not match
/// by its older values at study and series level; it does at instance level.
pub const DISTINCT_VALUES_MAX: usize = 512;

/// Distinct elements, each with the latest receipt since which a current version has it.
type Distinct = BTreeMap<ElementText, ReceiptNumber>;

/// The fold of some instances. Patient data: `Debug` prints counts only.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Instances folded.
    pub instances: u64,
    #[serde(with = "by_tag")]
    values: BTreeMap<Tag, Distinct>,
    #[serde(with = "as_pairs")]
    patients: BTreeMap<PatientKey, ReceiptNumber>,
}

impl Summary {
    /// Adds an instance's current version.
    pub fn add(&mut self, instance: &ResolvedInstance) {
        let Some(current) = instance.current() else { return };
        self.instances += 1;
        let facts = &current.facts;
        for (tag, text) in facts.elements.iter().filter(|(tag, _)| is_folded(*tag) && *tag != tags::SOP_CLASS_UID) {
            self.note(tag, text, instance.since);
        }
        self.note(tags::SOP_CLASS_UID, &of_texts("UI", &[facts.keys.sop_class.as_str().to_owned()]), instance.since);
        if let Some(patient) = PatientKey::of(&facts.elements) {
            raise(&mut self.patients, patient, instance.since);
        }
    }

    fn note(&mut self, tag: Tag, text: &ElementText, since: ReceiptNumber) {
        raise(self.values.entry(tag).or_default(), Arc::clone(text), since);
    }

    /// Folds another summary in: all of it.
    pub fn fold(&mut self, other: &Self) {
        self.fold_tags(other, |_| true);
    }

    /// Folds a series into its study: what belongs to patient and study, and what the computed attributes need.
    pub fn fold_series(&mut self, series: &Self) {
        let computed = [tags::MODALITY, tags::SOP_CLASS_UID];
        self.fold_tags(series, |tag| level_of(tag) <= QueryLevel::Study || computed.contains(&tag));
    }

    fn fold_tags(&mut self, other: &Self, keep: impl Fn(Tag) -> bool) {
        self.instances += other.instances;
        for (&tag, distinct) in other.values.iter().filter(|(tag, _)| keep(**tag)) {
            let own = self.values.entry(tag).or_default();
            for (text, &since) in distinct {
                raise(own, Arc::clone(text), since);
            }
        }
        for (patient, &since) in &other.patients {
            raise(&mut self.patients, patient.clone(), since);
        }
    }

    /// The latest element that has a value; where none has, the latest element.
    #[must_use]
    pub fn latest(&self, tag: Tag) -> Option<&ElementText> {
        let distinct = self.values.get(&tag)?;
        let filled = distinct.iter().filter(|(text, _)| has_value(text)).max_by_key(|(_, since)| **since);
        filled.or_else(|| distinct.iter().max_by_key(|(_, since)| **since)).map(|(text, _)| text)
    }

    /// All distinct elements of an attribute.
    #[must_use]
    pub fn distinct(&self, tag: Tag) -> Vec<ElementText> {
        self.values.get(&tag).into_iter().flat_map(BTreeMap::keys).cloned().collect()
    }

    /// The distinct first values of an attribute as text, ascending.
    #[must_use]
    pub fn texts(&self, tag: Tag) -> BTreeSet<String> {
        self.values.get(&tag).into_iter().flat_map(BTreeMap::keys).filter_map(|text| first_text(text)).collect()
    }

    /// All attributes of which something is known.
    pub fn tags(&self) -> impl Iterator<Item = Tag> {
        self.values.keys().copied()
    }

    /// The patient that the latest instance with a Patient ID names.
    #[must_use]
    pub fn patient(&self) -> Option<&PatientKey> {
        self.patients.iter().max_by_key(|(_, since)| **since).map(|(patient, _)| patient)
    }

    /// Whether everything here is of classes without a patient (hanging protocols and the like).
    #[must_use]
    pub fn is_without_patient(&self) -> bool {
        let classes = self.texts(tags::SOP_CLASS_UID);
        let outside = |class: &String| {
            crate::identifiers::SopClassUid::parse(class).is_ok_and(|class| sop_classes::is_non_patient(&class))
        };
        !classes.is_empty() && classes.iter().all(outside)
    }

    /// Forgets all but the latest distinct values. The latest of a whole are among the latest of its parts, so it does
    /// not matter how instances were divided.
    pub fn bound(&mut self) {
        self.values.values_mut().for_each(bound);
        bound(&mut self.patients);
    }
}

impl fmt::Debug for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Summary({} instances, {} attributes)", self.instances, self.values.len())
    }
}

fn raise<K: Ord>(map: &mut BTreeMap<K, ReceiptNumber>, key: K, since: ReceiptNumber) {
    map.entry(key).and_modify(|known| *known = since.max(*known)).or_insert(since);
}

fn bound<K: Ord>(map: &mut BTreeMap<K, ReceiptNumber>) {
    if map.len() > DISTINCT_VALUES_MAX {
        let mut latest: Vec<ReceiptNumber> = map.values().copied().collect();
        latest.sort_unstable();
        if let Some(&oldest_kept) = latest.get(latest.len() - DISTINCT_VALUES_MAX) {
            map.retain(|_, since| *since >= oldest_kept);
        }
    }
}

/// What one row, or all rows of a study together, say.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RowSummary {
    /// Instances by the series of their current version.
    #[serde(with = "as_pairs")]
    pub series: BTreeMap<SeriesUid, Summary>,
    /// Patients that any version names, with the birth dates given for each.
    #[serde(with = "as_pairs")]
    pub everyone: BTreeMap<PatientKey, BTreeSet<String>>,
}

impl fmt::Debug for RowSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowSummary({} series, {} patients)", self.series.len(), self.everyone.len())
    }
}

impl RowSummary {
    /// Adds an instance.
    pub fn add(&mut self, instance: &ResolvedInstance) {
        let Some(current) = instance.current() else { return };
        self.series.entry(current.facts.keys.series.clone()).or_default().add(instance);
        for version in &instance.versions {
            if let Some(patient) = PatientKey::of(&version.facts.elements) {
                let dates = self.everyone.entry(patient).or_default();
                dates.extend(version.facts.elements.text(tags::PATIENT_BIRTH_DATE));
            }
        }
    }

    /// Folds another one in.
    pub fn fold(&mut self, other: &Self) {
        for (series, summary) in &other.series {
            self.series.entry(series.clone()).or_default().fold(summary);
        }
        for (patient, dates) in &other.everyone {
            self.everyone.entry(patient.clone()).or_default().extend(dates.iter().cloned());
        }
    }

    /// Keeps what is remembered within its bounds.
    pub fn bound(&mut self) {
        self.series.values_mut().for_each(Summary::bound);
        while self.everyone.len() > DISTINCT_VALUES_MAX {
            self.everyone.pop_last();
        }
    }

    /// The study that these series make.
    #[must_use]
    pub fn study(&self) -> StudySummary {
        let mut summary = Summary::default();
        self.series.values().for_each(|series| summary.fold_series(series));
        summary.bound();
        StudySummary { summary, series: self.series.len() as u64 }
    }
}

/// What is known of a study as a whole.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct StudySummary {
    /// Attributes of patient and study, the modalities and classes of its series.
    pub summary: Summary,
    /// How many series have a current instance.
    pub series: u64,
}

mod by_tag {
    use super::{BTreeMap, Distinct, ElementText, ReceiptNumber, Tag};
    use serde::{Deserialize as _, Deserializer, Serializer};

    type Flat = Vec<(u32, Vec<(ElementText, u32, u64)>)>;

    pub(super) fn serialize<S: Serializer>(map: &BTreeMap<Tag, Distinct>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map.iter().map(|(tag, distinct)| {
            let flat: Vec<_> = distinct.iter().map(|(text, since)| (text, since.epoch, since.number)).collect();
            ((u32::from(tag.group()) << 16) | u32::from(tag.element()), flat)
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Tag, Distinct>, D::Error> {
        let flat = Flat::deserialize(deserializer)?;
        let tag = |raw: u32| {
            let [a, b, c, d] = raw.to_be_bytes();
            Tag(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
        };
        let distinct = |flat: Vec<(ElementText, u32, u64)>| {
            flat.into_iter().map(|(text, epoch, number)| (text, ReceiptNumber { epoch, number })).collect()
        };
        Ok(flat.into_iter().map(|(raw, flat)| (tag(raw), distinct(flat))).collect())
    }
}

mod as_pairs {
    use super::BTreeMap;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}
