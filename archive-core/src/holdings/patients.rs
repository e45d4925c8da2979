//! Patients: a patient is who the latest instance of a study with a Patient ID names. It matches if one of its studies
//! matches, and is shown as the study with the latest date has it. Studies without a Patient ID have no patient.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::cursor::Position;
use super::find::{Candidate, Filling, Search};
use super::plan::Plan;
use super::record::{PatientCounts, StudyValues};
use super::{Holdings, HoldingsError};
use crate::catalog::patients::PatientDigest;
use crate::identifiers::StudyUid;
use crate::query::{QueryError, QueryLevel};

/// Patients read from the catalog's order at once.
const BATCH: usize = 64;

impl Holdings {
    pub(super) fn find_patients(&self, search: &Search<'_>, filling: &mut Filling) -> Result<(), HoldingsError> {
        let after = match &search.after {
            None => None,
            Some(Position::Patient(digest)) => Some(*digest),
            Some(_) => return Err(QueryError::Cursor.into()),
        };
        let mut listed: BTreeSet<PatientDigest> = search.overlay_patients.keys().copied().collect();
        let studies: Option<BTreeSet<StudyUid>> = match self.plan(search.query, &search.matching)? {
            Plan::Named(studies) => Some(studies),
            Plan::Listed(studies) => Some(studies.into_iter().map(|(_, study)| study).collect()),
            Plan::Days(_) => None,
        };
        for uid in studies.iter().flatten() {
            listed.extend(self.candidate(search, uid)?.and_then(|study| patient_of(&study)));
        }
        let mut scanning = studies.is_none();
        listed.retain(|digest| after.is_none_or(|after| *digest > after));
        let mut scan_after = after;
        let mut ready: VecDeque<PatientDigest> = VecDeque::new();
        loop {
            if scanning && ready.is_empty() {
                let batch = self.catalog().patients(scan_after.as_ref(), BATCH)?;
                scanning = batch.len() == BATCH;
                scan_after = batch.last().copied().or(scan_after);
                ready.extend(batch);
            }
            let next = match (listed.first().copied(), ready.front().copied()) {
                (Some(a), Some(b)) => a.min(b),
                (Some(only), None) | (None, Some(only)) => only,
                (None, None) => return Ok(()),
            };
            listed.remove(&next);
            if ready.front() == Some(&next) {
                ready.pop_front();
            }
            if !self.take_patient(search, filling, next)? {
                return Ok(());
            }
        }
    }

    /// Shows a patient if one of its studies matches; `false` once the page is full.
    fn take_patient(
        &self,
        search: &Search<'_>,
        filling: &mut Filling,
        digest: PatientDigest,
    ) -> Result<bool, HoldingsError> {
        let (mut latest, mut counts, mut matches): (Option<Candidate>, _, _) = (None, PatientCounts::default(), false);
        for uid in self.studies_of(search, digest)? {
            let Some(study) = self.candidate(search, &uid)?.filter(|study| patient_of(study) == Some(digest)) else {
                continue;
            };
            let values = StudyValues { uid: &study.uid, study: &study.study, patient: None };
            let restricted = search.query.study.as_ref().is_none_or(|wanted| *wanted == uid);
            matches = matches || (restricted && search.matching.matches(QueryLevel::Patient, &values));
            counts.add(&study);
            if latest.as_ref().is_none_or(|known| study.order < known.order) {
                latest = Some(study);
            }
        }
        let Some(study) = latest.filter(|_| matches) else { return Ok(true) };
        let values = StudyValues { uid: &study.uid, study: &study.study, patient: Some(counts) };
        Ok(filling.take(Position::Patient(digest), || search.columns.patient_record(&values)))
    }

    /// The studies that may be of a patient.
    fn studies_of(&self, search: &Search<'_>, digest: PatientDigest) -> Result<BTreeSet<StudyUid>, HoldingsError> {
        let mut studies: BTreeSet<StudyUid> = self.catalog().studies_of_patient(&digest)?.into_iter().collect();
        studies.extend(search.overlay_patients.get(&digest).into_iter().flatten().cloned());
        Ok(studies)
    }

    /// The studies of the overlay by their patients.
    pub(super) fn overlay_patients(
        &self,
        search: &Search<'_>,
    ) -> Result<BTreeMap<PatientDigest, Vec<StudyUid>>, HoldingsError> {
        let mut found: BTreeMap<PatientDigest, Vec<StudyUid>> = BTreeMap::new();
        for uid in search.overlay.keys() {
            if let Some(digest) = self.candidate(search, uid)?.and_then(|study| patient_of(&study)) {
                found.entry(digest).or_default().push(uid.clone());
            }
        }
        Ok(found)
    }

    /// The counts of the patient of a study.
    pub(super) fn counts_of(
        &self,
        search: &Search<'_>,
        study: &Candidate,
    ) -> Result<Option<PatientCounts>, HoldingsError> {
        let Some(digest) = patient_of(study) else { return Ok(None) };
        let mut counts = PatientCounts::default();
        for uid in self.studies_of(search, digest)? {
            let found = self.candidate(search, &uid)?.filter(|study| patient_of(study) == Some(digest));
            found.iter().for_each(|study| counts.add(study));
        }
        Ok(Some(counts))
    }
}

impl PatientCounts {
    fn add(&mut self, study: &Candidate) {
        self.studies += 1;
        self.series += study.study.series;
        self.instances += study.study.summary.instances;
    }
}

fn patient_of(study: &Candidate) -> Option<PatientDigest> {
    study.study.summary.patient().map(crate::catalog::patients::PatientKey::digest)
}
