//! The overlay: what was received and is not sealed yet, in memory, so that a query right after the acknowledgement
//! finds it. Rebuilt from the journal at start.
//!
//! Applying never fails, for what is applied is durable already: whoever receives asks [`Overlay::has_room`] first.
//! The order in which entries are applied does not matter, nor does an entry that is applied twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dicom_dictionary_std::tags;
use parking_lot::RwLock;

use crate::catalog::cases::{self, CaseFinding};
use crate::catalog::elements::Interner;
use crate::catalog::patients::PatientKey;
use crate::catalog::versions::{Facts, Holding, Place, ReceiptFacts, ResolvedInstance};
use crate::identifiers::{ReceiptNumber, SopUid, StudyUid};
use crate::instance::VersionFacts;
use crate::receipt::Receipt;

/// How much may wait unsealed before receiving has to pause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OverlayLimits {
    /// Bytes of memory, as estimated for each receipt.
    pub bytes: usize,
    /// Receipts.
    pub receipts: usize,
}

impl Default for OverlayLimits {
    fn default() -> Self {
        Self { bytes: 256 * 1024 * 1024, receipts: 250_000 }
    }
}

/// What the journal holds of one receipt.
#[derive(Clone, PartialEq, Debug)]
pub struct UnsealedEntry {
    /// The version, as this receipt reads it.
    pub facts: VersionFacts,
    /// The receipt.
    pub receipt: Receipt,
    /// The bytes lie in the journal under this receipt; false where they were dropped as a duplicate.
    pub has_content: bool,
}

/// What waits unsealed, and what may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OverlayFill {
    /// Estimated bytes.
    pub bytes: usize,
    /// Receipts.
    pub receipts: usize,
    /// The caps.
    pub limits: OverlayLimits,
}

/// The unsealed part of one study.
#[derive(Clone, Debug, Default)]
pub struct OverlayStudy {
    /// Rises with every change of the overlay that touches this study; no two states of any study share one.
    pub generation: u64,
    /// By instance; one holding a receipt, by ascending number.
    pub instances: BTreeMap<SopUid, Arc<Vec<Holding>>>,
}

/// All unsealed studies at one moment.
pub type OverlaySnapshot = Arc<BTreeMap<StudyUid, Arc<OverlayStudy>>>;

#[derive(Default)]
struct Inner {
    studies: OverlaySnapshot,
    receipts: BTreeMap<ReceiptNumber, (StudyUid, SopUid, usize)>,
    studies_of_sop: BTreeMap<SopUid, BTreeSet<StudyUid>>,
    /// Texts and patients of a study, for as long as anything of it is unsealed.
    known: BTreeMap<StudyUid, (Interner, BTreeMap<PatientKey, BTreeSet<String>>)>,
    bytes: usize,
    generation: u64,
}

/// The overlay.
pub struct Overlay {
    limits: OverlayLimits,
    inner: RwLock<Inner>,
}

/// What a receipt costs beside its attributes: keys, maps, counters (bytes, estimated).
const RECEIPT_OVERHEAD: usize = 1024;

impl std::fmt::Debug for Overlay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Overlay({:?})", self.fill())
    }
}

impl Overlay {
    /// An empty overlay.
    #[must_use]
    pub fn new(limits: OverlayLimits) -> Self {
        Self { limits, inner: RwLock::default() }
    }

    /// How full it is.
    #[must_use]
    pub fn fill(&self) -> OverlayFill {
        let inner = self.inner.read();
        OverlayFill { bytes: inner.bytes, receipts: inner.receipts.len(), limits: self.limits }
    }

    /// Whether another receipt may be taken in. Where not: seal early; until that has made room, refuse with
    /// "out of resources".
    #[must_use]
    pub fn has_room(&self) -> bool {
        let fill = self.fill();
        fill.bytes < self.limits.bytes && fill.receipts < self.limits.receipts
    }

    /// Takes in a receipt that is durable in the journal; tells the cases found among what is unsealed. Cases with
    /// what is sealed are found when this is sealed, for the catalog on disk is not on the way of receiving.
    pub fn apply(&self, entry: &UnsealedEntry) -> Vec<CaseFinding> {
        let keys = &entry.facts.keys;
        let number = entry.receipt.number;
        let mut guard = self.inner.write();
        let inner = &mut *guard;
        if inner.receipts.contains_key(&number) {
            return Vec::new();
        }
        let (interner, patients) = inner.known.entry(keys.study.clone()).or_default();
        let holding = Holding {
            facts: Arc::new(Facts::of(&entry.facts, interner)),
            receipts: vec![ReceiptFacts::of(&entry.receipt)],
            place: Place::Journal(number),
            has_content: entry.has_content,
        };
        let bytes = RECEIPT_OVERHEAD + holding.facts.elements.bytes();
        inner.bytes += bytes;
        inner.receipts.insert(number, (keys.study.clone(), keys.sop.clone(), bytes));
        inner.generation += 1;
        let study = Arc::make_mut(Arc::make_mut(&mut inner.studies).entry(keys.study.clone()).or_default());
        study.generation = inner.generation;
        let held = Arc::make_mut(study.instances.entry(keys.sop.clone()).or_default());
        let at = held.partition_point(|known| known.receipts.first().is_some_and(|receipt| receipt.number < number));
        held.insert(at, holding);
        let studies = inner.studies_of_sop.entry(keys.sop.clone()).or_default();
        studies.insert(keys.study.clone());
        let mut found: Vec<CaseFinding> = cases::of_sop(&keys.sop, studies).into_iter().collect();
        if let Some(instance) = ResolvedInstance::of(held.iter(), &[]) {
            found.extend(cases::of_instance(&keys.study, &keys.sop, &instance));
            for facts in instance.versions.iter().map(|version| &version.facts) {
                if let Some(patient) = PatientKey::of(&facts.elements) {
                    patients.entry(patient).or_default().extend(facts.elements.text(tags::PATIENT_BIRTH_DATE));
                }
            }
        }
        found.extend(cases::of_study(&keys.study, patients.keys()));
        found.extend(patients.iter().filter_map(|(patient, dates)| cases::of_patient(patient, dates)));
        found
    }

    /// Forgets receipts that the catalog has now. Until this is called, a receipt that is in both counts once.
    pub fn remove(&self, receipts: impl IntoIterator<Item = ReceiptNumber>) {
        let mut guard = self.inner.write();
        let inner = &mut *guard;
        for number in receipts {
            let Some((study_uid, sop, bytes)) = inner.receipts.remove(&number) else { continue };
            inner.bytes -= bytes;
            inner.generation += 1;
            let studies = Arc::make_mut(&mut inner.studies);
            let Some(study) = studies.get_mut(&study_uid).map(Arc::make_mut) else { continue };
            study.generation = inner.generation;
            let Some(held) = study.instances.get_mut(&sop).map(Arc::make_mut) else { continue };
            held.retain(|holding| holding.place != Place::Journal(number));
            if !held.is_empty() {
                continue;
            }
            study.instances.remove(&sop);
            if study.instances.is_empty() {
                studies.remove(&study_uid);
                inner.known.remove(&study_uid);
            }
            if let Some(others) = inner.studies_of_sop.get_mut(&sop) {
                others.remove(&study_uid);
                if others.is_empty() {
                    inner.studies_of_sop.remove(&sop);
                }
            }
        }
    }

    /// Everything unsealed, as it is now; later changes do not show in it.
    #[must_use]
    pub fn snapshot(&self) -> OverlaySnapshot {
        Arc::clone(&self.inner.read().studies)
    }
}
