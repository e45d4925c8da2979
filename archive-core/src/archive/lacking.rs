//! What the catalog lacks: packs that a rebuild has not come to yet, and packs of which no store has a good copy. The ledger
//! knows the packs of each study, so a part of a study never passes for the whole (docs/ARCHITECTURE.md, rule 4).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dicom_dictionary_std::tags;
use futures::StreamExt as _;
use parking_lot::Mutex;

use super::Archive;
use super::error::ArchiveError;
use crate::caller::SourceKey;
use crate::identifiers::{PackId, Sha256Digest, StudyUid};
use crate::ledger::Word;
use crate::ledger::entry::{CaseSubject, EntryBody};
use crate::pack::{DamageObserver, PackCache, PackReader, PackRef};
use crate::query::Query;
use crate::query::matching::Matching;

/// The word of a case about a pack of which no store has a good copy.
pub(super) const DAMAGED_PACK: &str = "damaged-pack";
/// Packs looked at again in one go.
const LOOKED_AT_MAX: usize = 100;
/// Memory for the index of a pack that is looked at again (bytes).
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Why a part of a study cannot be answered now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lack {
    /// The catalog is being rebuilt and has not come to it.
    Rebuilding,
    /// No store has a good copy of it.
    Damaged,
}

/// What the catalog lacks.
#[derive(Debug, Default)]
pub(super) struct Lacking {
    /// Packs that the catalog goes without: no store has a good copy.
    damaged: Mutex<BTreeSet<PackId>>,
    /// The pack that was looked at last.
    looked_at: Mutex<Option<PackId>>,
    /// Entries of the ledger that the catalog has taken in. Asked only while it is being rebuilt: otherwise what it lags
    /// behind is in the overlay still.
    taken_in: AtomicU64,
    /// How often the catalog was emptied.
    emptied: AtomicU64,
}

impl Lacking {
    /// The catalog is about to be emptied.
    pub(super) fn empties(&self) {
        self.emptied.fetch_add(1, Ordering::SeqCst);
        self.took_in(0);
        self.damaged.lock().clear();
    }

    /// The catalog has so many entries of the ledger.
    pub(super) fn took_in(&self, entries: u64) {
        self.taken_in.store(entries, Ordering::SeqCst);
    }

    /// How often the catalog was emptied: what was read while that changed may be a part.
    pub(super) fn times_emptied(&self) -> u64 {
        self.emptied.load(Ordering::SeqCst)
    }

    /// The catalog goes without these.
    pub(super) fn goes_without(&self, packs: impl IntoIterator<Item = PackId>) {
        self.damaged.lock().extend(packs);
    }

    /// The catalog has this one.
    pub(super) fn has(&self, pack: &PackId) {
        self.damaged.lock().remove(pack);
    }

    /// How many packs the catalog goes without.
    pub(super) fn count(&self) -> usize {
        self.damaged.lock().len()
    }

    fn packs(&self) -> BTreeSet<PackId> {
        self.damaged.lock().clone()
    }

    /// Whether the catalog goes without this one.
    pub(super) fn is_damaged(&self, pack: &PackId) -> bool {
        self.damaged.lock().contains(pack)
    }

    /// Some of the packs, others each time.
    fn next_to_look_at(&self) -> Vec<PackId> {
        let damaged = self.damaged.lock();
        let mut last = self.looked_at.lock();
        let behind = damaged.iter().filter(|pack| last.is_none_or(|last| **pack > last));
        let before = damaged.iter().filter(|pack| last.is_some_and(|last| **pack <= last));
        let next: Vec<PackId> = behind.chain(before).take(LOOKED_AT_MAX).copied().collect();
        *last = next.last().copied();
        next
    }
}

impl Archive {
    /// Whether something that was sealed of a study cannot be answered now, and why.
    #[must_use]
    pub fn lacks(&self, study: &StudyUid) -> Option<Lack> {
        let packs = self.history.lock().packs_with_entries(study);
        let taken_in = self.lacking.taken_in.load(Ordering::SeqCst);
        if self.rebuild.progress().is_some() && packs.iter().any(|(_, entry)| *entry >= taken_in) {
            return Some(Lack::Rebuilding);
        }
        packs.iter().any(|(pack, _)| self.lacking.is_damaged(pack)).then_some(Lack::Damaged)
    }

    /// The error for what was not found in a study: it may exist all the same.
    pub(super) fn not_found_in(&self, study: &StudyUid, what: String) -> ArchiveError {
        match self.lacks(study) {
            Some(Lack::Damaged) => self.unreadable(study),
            Some(Lack::Rebuilding) | None => self.not_found(what),
        }
    }

    /// Refuses to give a study that cannot be given whole.
    pub(super) fn must_not_lack(&self, study: &StudyUid) -> Result<(), ArchiveError> {
        match self.lacks(study) {
            None => Ok(()),
            Some(Lack::Damaged) => Err(self.unreadable(study)),
            Some(Lack::Rebuilding) => Err(self.rebuilding()),
        }
    }

    fn unreadable(&self, study: &StudyUid) -> ArchiveError {
        let packs = self.history.lock().packs_with_entries(study);
        let packs = packs.into_iter().map(|(pack, _)| pack).filter(|pack| self.lacking.is_damaged(pack)).collect();
        ArchiveError::Unreadable { study: study.clone(), packs }
    }

    /// Whether packs of which no store has a good copy may hold further matches of a query.
    pub(super) fn may_match_unreadable(&self, query: &Query) -> bool {
        let packs = self.lacking.packs();
        if packs.is_empty() {
            return false;
        }
        let studies: BTreeSet<StudyUid> = {
            let history = self.history.lock();
            packs.iter().filter(|pack| history.counts(pack)).filter_map(|pack| history.study_of(pack)).collect()
        };
        let of_keys = || Matching::compile(query).ok()?.exact(tags::STUDY_INSTANCE_UID);
        match (&query.study, of_keys()) {
            (Some(study), _) => studies.contains(study),
            (None, Some(named)) => named.iter().any(|uid| StudyUid::parse(uid).is_ok_and(|uid| studies.contains(&uid))),
            (None, None) => !studies.is_empty(),
        }
    }

    /// No store has a good copy of a pack: a case, which outlives this process. It is opened again where it was closed.
    pub(super) async fn open_case_damaged_pack(&self, pack: &PackRef) -> Result<(), ArchiveError> {
        let case = case_of(&pack.pack);
        if self.history.lock().is_open(&case) {
            return Ok(());
        }
        let about = Word::parse(DAMAGED_PACK).map_err(|error| ArchiveError::internal("naming a case", error))?;
        let subject =
            CaseSubject { studies: vec![pack.study.clone()], pack: Some(pack.pack), ..CaseSubject::default() };
        self.record(vec![EntryBody::CaseOpened { case, about, subject }]).await.map(drop)
    }

    /// Looks again at packs that the catalog goes without; those of which a good copy is back are taken in, and their cases
    /// closed.
    ///
    /// # Errors
    /// The ledger's or the catalog's; tried again with the next tick.
    pub async fn take_in_repaired(&self) -> Result<(), ArchiveError> {
        for id in self.lacking.next_to_look_at() {
            if self.is_closed() || self.rebuild.progress().is_some() {
                return Ok(());
            }
            let pack = self.history.lock().pack(&id).cloned();
            match pack {
                None => self.lacking.has(&id),
                Some(pack) if self.is_whole_again(&pack).await => self.take_in(&pack).await?,
                Some(_) => {}
            }
        }
        self.close_cases_of_repaired().await
    }

    /// Whether the index of a pack can be read from some store. Nobody is told of damage: it is known.
    async fn is_whole_again(&self, pack: &PackRef) -> bool {
        let stores: Vec<_> = self.stores.read_order().map(|member| member.store.clone()).collect();
        let cache = PackCache::of_bytes(CACHE_BYTES);
        let Ok(reader) = PackReader::open(&stores, pack.clone(), &cache, Arc::new(Unheard)).await else { return false };
        let mut lines = reader.index(reader.lines());
        while let Some(line) = lines.next().await {
            if line.is_err() {
                return false;
            }
        }
        true
    }

    /// Brings a pack into the catalog that it went without.
    async fn take_in(&self, pack: &PackRef) -> Result<(), ArchiveError> {
        // Nothing is merged meanwhile, and no rebuild begins to empty the catalog.
        let _turn = self.ledger_turn.lock().await;
        if self.rebuild.progress().is_some() || !self.history.lock().counts(&pack.pack) {
            return Ok(());
        }
        let replaces = self.history.lock().replaced_by(&pack.pack);
        self.apply_pack(pack, Some(&replaces).filter(|replaces| !replaces.is_empty()), None).await?;
        self.in_catalog(|catalog| catalog.checkpoint()).await?;
        self.lacking.has(&pack.pack);
        tracing::info!(pack = %pack.pack, study = %pack.study, "a good copy of a pack is back; its instances are found again");
        Ok(())
    }

    /// Closes the cases of packs that the catalog has.
    pub(super) async fn close_cases_of_repaired(&self) -> Result<(), ArchiveError> {
        let open = self.history.lock().open_pack_cases(DAMAGED_PACK);
        let repaired = open.into_iter().filter(|(_, pack)| !self.lacking.is_damaged(pack));
        for (case, _) in repaired {
            let outcome =
                Word::parse("repaired").map_err(|error| ArchiveError::internal("naming an outcome", error))?;
            let closed = EntryBody::CaseClosed { case, by: SourceKey::new("vellum"), outcome };
            let _in_home = self.record(vec![closed]).await?;
        }
        Ok(())
    }
}

fn case_of(pack: &PackId) -> Sha256Digest {
    Sha256Digest::of(format!("{DAMAGED_PACK}\0{pack}").as_bytes())
}

/// Hears of damage that is known already.
#[derive(Debug)]
struct Unheard;

impl DamageObserver for Unheard {
    fn damaged(&self, store: &str, pack: &PackRef, what: &str) {
        tracing::debug!(store, pack = %pack.pack, what, "a copy of a pack is still damaged");
    }
    fn missing(&self, store: &str, pack: &PackRef) {
        tracing::debug!(store, pack = %pack.pack, "a copy of a pack is still missing");
    }
}
