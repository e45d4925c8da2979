//! Cases that follow from what is held: something that a person should look at. They never block receiving.
//!
//! Each finding is a pure function of the set of versions and receipts, not of the order in which they came. A case's
//! id is a digest of its kind and keys, so the same trouble found again is the same case. Keys that are patient data
//! go into the digest and nowhere else: what may be written to the ledger are UIDs.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::patients::{PatientKey, is_placeholder};
use super::versions::ResolvedInstance;
use crate::identifiers::{Sha256Digest, SopUid, StudyUid};

/// Kinds of case that follow from what is held.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CaseKind {
    /// Another source sent other content for the same instance. Keys: study, sop.
    OtherContent,
    /// Equal bytes were received under two transfer syntaxes. Keys: study, sop.
    TwoSyntaxes,
    /// A receipt of a version resolved to another character set or issuer than its lowest-numbered one. Keys: study, sop.
    OtherReading,
    /// One SOP Instance UID lies in two studies. Key: sop.
    SopInTwoStudies,
    /// One Study Instance UID names two patients. Key: study.
    StudyOfTwoPatients,
    /// One patient id (with issuer) has two birth dates. Key: the patient, in the digest only.
    TwoBirthDates,
}

impl CaseKind {
    /// The word that the ledger's `case_opened` says in `about`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::OtherContent => "other-content",
            Self::TwoSyntaxes => "two-syntaxes",
            Self::OtherReading => "other-reading",
            Self::SopInTwoStudies => "sop-in-two-studies",
            Self::StudyOfTwoPatients => "study-of-two-patients",
            Self::TwoBirthDates => "two-birth-dates",
        }
    }
}

/// A case that was found.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CaseFinding {
    /// Its kind.
    pub kind: CaseKind,
    /// What may be written to the ledger: UIDs, by the names `study` and `sop`.
    pub keys: BTreeMap<String, String>,
    /// SHA-256 over kind and keys, each with its length before it.
    pub case_id: Sha256Digest,
}

impl CaseFinding {
    fn new(kind: CaseKind, keys: &[(&str, &str)], secret: &[&str]) -> Self {
        let mut digest = Sha256::new();
        let mut part = |text: &str| {
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text.as_bytes());
        };
        part(kind.word());
        for (name, value) in keys {
            part(name);
            part(value);
        }
        for value in secret {
            part(value);
        }
        let keys = keys.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { kind, keys, case_id: Sha256Digest::from_raw(digest.finalize().into()) }
    }
}

/// Cases within one instance.
#[must_use]
pub fn of_instance(study: &StudyUid, sop: &SopUid, instance: &ResolvedInstance) -> Vec<CaseFinding> {
    let versions = &instance.versions;
    let sources: Vec<BTreeSet<_>> =
        versions.iter().map(|version| version.receipts.iter().map(|receipt| &receipt.source).collect()).collect();
    let every: BTreeSet<_> = sources.iter().flatten().collect();
    let other_content = versions.len() > 1 && every.len() > 1;
    let contents: BTreeSet<_> = versions.iter().map(|version| version.facts.version.content).collect();
    let other_reading = versions.iter().any(|version| {
        let mut readings = version
            .receipts
            .iter()
            .map(|receipt| (&receipt.resolved.default_issuer, &receipt.resolved.assumed_charset));
        readings.next().is_some_and(|first| readings.any(|reading| reading != first))
    });
    let keys = [("study", study.as_str()), ("sop", sop.as_str())];
    [
        (other_content, CaseKind::OtherContent),
        (contents.len() < versions.len(), CaseKind::TwoSyntaxes),
        (other_reading, CaseKind::OtherReading),
    ]
    .into_iter()
    .filter(|(found, _)| *found)
    .map(|(_, kind)| CaseFinding::new(kind, &keys, &[]))
    .collect()
}

/// The case of one SOP Instance UID in several studies.
#[must_use]
pub fn of_sop(sop: &SopUid, studies: &BTreeSet<StudyUid>) -> Option<CaseFinding> {
    (studies.len() > 1).then(|| CaseFinding::new(CaseKind::SopInTwoStudies, &[("sop", sop.as_str())], &[]))
}

/// The case of a study with several patients, counted over all versions; placeholders do not count.
#[must_use]
pub fn of_study<'a>(study: &StudyUid, patients: impl IntoIterator<Item = &'a PatientKey>) -> Option<CaseFinding> {
    let distinct: BTreeSet<_> = patients.into_iter().filter(|patient| !is_placeholder(&patient.id)).collect();
    let keys = [("study", study.as_str())];
    (distinct.len() > 1).then(|| CaseFinding::new(CaseKind::StudyOfTwoPatients, &keys, &[]))
}

/// The case of a patient with several birth dates, counted over all versions of all studies; empty dates and
/// placeholder ids do not count.
#[must_use]
pub fn of_patient(patient: &PatientKey, birth_dates: &BTreeSet<String>) -> Option<CaseFinding> {
    let dates = birth_dates.iter().filter(|date| !date.trim().is_empty()).count();
    let found = dates > 1 && !is_placeholder(&patient.id);
    found.then(|| CaseFinding::new(CaseKind::TwoBirthDates, &[], &[&patient.id, &patient.issuer]))
}

/// Cases remembered by a counter; beyond it some id is forgotten and would be opened anew, which the ledger's own
/// fold then finds to be open already.
pub const CASES_COUNTED_MAX: usize = 100_000;

/// How often each case was found. A case is opened once.
#[derive(Debug, Default)]
pub struct CaseCounters {
    counts: BTreeMap<Sha256Digest, (CaseKind, u64)>,
}

impl CaseCounters {
    /// Counts findings; gives back those that were not known before: they are to be opened.
    pub fn note(&mut self, findings: impl IntoIterator<Item = CaseFinding>) -> Vec<CaseFinding> {
        let mut new = Vec::new();
        for finding in findings {
            if self.counts.len() >= CASES_COUNTED_MAX && !self.counts.contains_key(&finding.case_id) {
                self.counts.pop_first();
            }
            let counter = self.counts.entry(finding.case_id).or_insert((finding.kind, 0));
            counter.1 += 1;
            if counter.1 == 1 {
                new.push(finding);
            }
        }
        new
    }

    /// How often a case was found.
    #[must_use]
    pub fn count(&self, case: &Sha256Digest) -> u64 {
        self.counts.get(case).map_or(0, |(_, count)| *count)
    }

    /// How many cases of each kind are known.
    #[must_use]
    pub fn by_kind(&self) -> BTreeMap<CaseKind, u64> {
        let mut kinds = BTreeMap::new();
        for (kind, _) in self.counts.values() {
            *kinds.entry(*kind).or_default() += 1;
        }
        kinds
    }
}
