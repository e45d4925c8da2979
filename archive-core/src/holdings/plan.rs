//! Where to look: the most selective key of a query decides which studies are candidates. Whatever a plan gives is
//! matched against each record afterwards, so a plan may give too much, never too little.

use std::collections::BTreeSet;

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::{Holdings, HoldingsError};
use crate::catalog::keys::{StudyIndex, series_part};
use crate::catalog::{Days, ListedStudies, Lookup, TextField};
use crate::identifiers::{SeriesUid, SopUid, StudyUid};
use crate::query::Query;
use crate::query::matching::Matching;

/// Candidates of one plan at most; above that the studies are gone through in order, which needs no list.
pub const CANDIDATES_MAX: usize = 20_000;

/// Where to look.
#[derive(Debug)]
pub(super) enum Plan {
    /// Only these studies of the catalog, and those of the overlay.
    Named(BTreeSet<StudyUid>),
    /// Likewise, as an index lists them.
    Listed(ListedStudies),
    /// All studies of these days, in order.
    Days(Days),
}

/// Attributes whose text is searched as a whole.
const SEARCHED: [(Tag, TextField); 4] = [
    (tags::PATIENT_NAME, TextField::Name),
    (tags::PATIENT_ID, TextField::PatientId),
    (tags::ACCESSION_NUMBER, TextField::Accession),
    (tags::STUDY_DESCRIPTION, TextField::Description),
];

impl Holdings {
    /// Plans a query: exact UIDs, then exact ids, then beginnings, then parts of text, then days.
    pub(super) fn plan(&self, query: &Query, matching: &Matching) -> Result<Plan, HoldingsError> {
        if let Some(named) = self.named_studies(query, matching)? {
            return Ok(Plan::Named(named));
        }
        let catalog = self.catalog();
        let indexed = [
            (StudyIndex::PatientId, tags::PATIENT_ID),
            (StudyIndex::Accession, tags::ACCESSION_NUMBER),
            (StudyIndex::PatientName, tags::PATIENT_NAME),
        ];
        for (index, tag) in indexed.iter().take(2).copied() {
            if let Some(texts) = matching.exact(tag) {
                let lookups: Vec<Lookup> = texts.into_iter().map(|text| Lookup { text, exact: true }).collect();
                if let Some(found) = catalog.studies_by(index, &lookups, CANDIDATES_MAX)? {
                    return Ok(Plan::Listed(found));
                }
            }
        }
        for (index, tag) in indexed {
            if let Some(texts) = matching.prefixes(tag) {
                let lookups: Vec<Lookup> = texts.into_iter().map(|text| Lookup { text, exact: false }).collect();
                if let Some(found) = catalog.studies_by(index, &lookups, CANDIDATES_MAX)? {
                    return Ok(Plan::Listed(found));
                }
            }
        }
        for (tag, field) in SEARCHED {
            if let Some(texts) = matching.literals(tag)
                && let Some(found) = catalog.studies_with_text(field, &texts, CANDIDATES_MAX)?
            {
                return Ok(Plan::Listed(found));
            }
        }
        Ok(Plan::Days(matching.study_days()))
    }

    /// The studies that UIDs of the query name; `None` where it names none.
    fn named_studies(&self, query: &Query, matching: &Matching) -> Result<Option<BTreeSet<StudyUid>>, HoldingsError> {
        if let Some(study) = &query.study {
            return Ok(Some(BTreeSet::from([study.clone()])));
        }
        if let Some(uids) = matching.exact(tags::STUDY_INSTANCE_UID) {
            return Ok(Some(uids.iter().filter_map(|uid| StudyUid::parse(uid).ok()).collect()));
        }
        let series = query.series.as_ref().map(|uid| vec![uid.as_str().to_owned()]);
        if let Some(uids) = series.or_else(|| matching.exact(tags::SERIES_INSTANCE_UID)) {
            let parts = uids.iter().filter_map(|uid| SeriesUid::parse(uid).ok()).map(|uid| series_part(&uid));
            let lookups: Vec<Lookup> = parts.map(|text| Lookup { text, exact: true }).collect();
            let listed = self.catalog().studies_by(StudyIndex::Series, &lookups, CANDIDATES_MAX)?;
            return Ok(listed.map(|listed| listed.into_iter().map(|(_, study)| study).collect()));
        }
        if let Some(uids) = matching.exact(tags::SOP_INSTANCE_UID) {
            let mut found = BTreeSet::new();
            for sop in uids.iter().filter_map(|uid| SopUid::parse(uid).ok()) {
                found.extend(self.catalog().studies_of_sop(&sop)?);
            }
            return Ok(Some(found));
        }
        Ok(None)
    }
}
