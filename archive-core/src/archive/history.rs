//! The fold of the ledger that the archive holds in memory: which packs count, which were replaced, which cases are open,
//! which receipts the ledger knows, which deletes were announced. Made at start by reading the ledger, then kept by
//! absorbing every entry that this process appends, through the same function.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use serde::Serialize;

use crate::identifiers::{PackId, ReceiptNumber, Sha256Digest, StoreId, StudyUid};
use crate::journal::{JournalEntry, Recovered};
use crate::ledger::Recorded;
use crate::ledger::entry::{After, EntryBody, Ground, ReceiptRanges, StoreEntry};
use crate::pack::PackRef;
use crate::store::StoreKey;
use crate::store::gate::OpenIntent;

/// A case as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct CaseRecord {
    /// Digest of kind and keys.
    pub case: Sha256Digest,
    /// Its kind, as a word.
    pub about: String,
    /// `open` or `closed`.
    pub state: &'static str,
    /// UIDs that it is about.
    pub keys: BTreeMap<String, String>,
    /// How often it was found since the start.
    pub count: u64,
    /// When it was opened.
    pub opened: Timestamp,
}

/// A pack that was replaced and may still lie in stores.
#[derive(Clone, Debug)]
pub(super) struct Replaced {
    pub(super) old: PackRef,
    pub(super) successor: PackId,
}

/// What the ledger tells, as far as the archive needs it at hand.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Entries absorbed.
    size: u64,
    /// Packs that count, with their study.
    packs: HashMap<PackId, PackRef>,
    by_study: HashMap<StudyUid, Vec<PackId>>,
    /// Of the packs that count: the entry that made them count.
    entries: HashMap<PackId, u64>,
    /// Packs that counted once and were replaced.
    replaced: HashMap<PackId, Replaced>,
    /// Of the replaced ones, those whose deletion is recorded, by store.
    deleted: HashSet<(StoreId, StoreKey)>,
    intents: BTreeMap<u64, Vec<OpenIntent>>,
    cases: BTreeMap<Sha256Digest, CaseRecord>,
    highest: After,
    stores: Vec<StoreEntry>,
    /// Highest receipt number of each epoch that a `received` or `sealed` entry covers.
    told: After,
    /// Receipts that `sealed` entries cover.
    sealed: Covered,
    /// Receipts that `received` or `sealed` entries cover.
    spoken_of: Covered,
}

/// A set of receipt numbers: by epoch and first number the last one, no two touching.
#[derive(Debug, Default)]
struct Covered(BTreeMap<(u32, u64), u64>);

impl Covered {
    fn add(&mut self, receipts: &ReceiptRanges) {
        for range in &receipts.0 {
            let (epoch, mut first, mut last) = (range.epoch, range.first, range.last);
            // Swallows those that overlap or touch, the nearest below `last + 1` first.
            while let Some((&(_, from), &to)) = self.0.range((epoch, 0)..=(epoch, last.saturating_add(1))).next_back() {
                if to.saturating_add(1) < first {
                    break;
                }
                self.0.remove(&(epoch, from));
                (first, last) = (first.min(from), last.max(to));
            }
            self.0.insert((epoch, first), last);
        }
    }

    /// Runs of an epoch's numbers that another set does not have.
    fn without(&self, other: &Self, epoch: u32) -> Vec<(u64, u64)> {
        let mut left = Vec::new();
        for (&(_, first), &last) in self.0.range((epoch, 0)..=(epoch, u64::MAX)) {
            let mut at = first;
            let below = other.0.range((epoch, 0)..=(epoch, first)).next_back().filter(|&(_, &to)| to >= first);
            let above = other.0.range((epoch, first.saturating_add(1))..=(epoch, last.max(first.saturating_add(1))));
            for (&(_, from), &to) in below.into_iter().chain(above) {
                if from > at {
                    left.push((at, from - 1));
                }
                at = at.max(to.saturating_add(1));
            }
            if at <= last {
                left.push((at, last));
            }
        }
        left
    }

    fn has(&self, number: ReceiptNumber) -> bool {
        let below = self.0.range((number.epoch, 0)..=(number.epoch, number.number)).next_back();
        below.is_some_and(|(_, &last)| last >= number.number)
    }
}

impl History {
    /// Whether nothing was ever received, as far as the ledger speaks of it.
    pub(super) fn is_blank(&self) -> bool {
        self.told.is_empty() && self.packs.is_empty()
    }

    /// Entries absorbed so far.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Takes an entry in; entries come in order, one that was absorbed before is passed over.
    pub(super) fn absorb(&mut self, recorded: &Recorded) {
        let entry = &recorded.entry;
        if entry.n < self.size {
            return;
        }
        self.size = entry.n + 1;
        match &entry.body {
            EntryBody::ArchiveCreated { stores, .. }
            | EntryBody::HomeChanged { stores }
            | EntryBody::ConfigChanged { stores, .. } => self.stores.clone_from(stores),
            EntryBody::Received { receipts, .. } => self.tell(receipts),
            EntryBody::Sealed { pack, receipts, .. } => {
                self.tell(receipts);
                self.sealed.add(receipts);
                self.count(pack, entry.n);
            }
            EntryBody::Merged { pack, replaces, .. } => self.merged(pack, replaces, entry.n),
            EntryBody::CaseOpened { case, about, subject } => {
                let studies = subject.studies.iter().enumerate();
                let mut keys: BTreeMap<String, String> = studies
                    .map(|(index, study)| {
                        let name = if index == 0 { "study".to_owned() } else { format!("study {}", index + 1) };
                        (name, study.to_string())
                    })
                    .collect();
                keys.extend(subject.sop.iter().map(|sop| ("sop".to_owned(), sop.to_string())));
                keys.extend(subject.pack.iter().map(|pack| ("pack".to_owned(), pack.to_string())));
                keys.extend(subject.store.iter().map(|store| ("store".to_owned(), store.to_string())));
                let about = about.as_str().to_owned();
                let record = CaseRecord { case: *case, about, state: "open", keys, count: 1, opened: entry.time };
                self.cases.entry(*case).or_insert(record).state = "open";
            }
            EntryBody::CaseClosed { case, .. } => {
                if let Some(record) = self.cases.get_mut(case) {
                    record.state = "closed";
                }
            }
            EntryBody::DeleteIntended { ground, store, objects, .. } => self.intended(entry.n, *ground, store, objects),
            EntryBody::Deleted { store, objects, intended, .. } => {
                self.intents.remove(intended);
                // It confirms every earlier announcement of the same object as well.
                let gone = |intent: &OpenIntent| intent.store == *store && objects.contains(&intent.key);
                self.intents.retain(|_, intents| {
                    intents.retain(|intent| !gone(intent));
                    !intents.is_empty()
                });
                self.deleted.extend(objects.iter().map(|key| (store.clone(), key.clone())));
            }
            _ => {}
        }
    }

    fn tell(&mut self, receipts: &ReceiptRanges) {
        self.spoken_of.add(receipts);
        for range in &receipts.0 {
            for highest in [&mut self.told, &mut self.highest] {
                let known = highest.entry(range.epoch).or_default();
                *known = (*known).max(range.last);
            }
        }
    }

    fn merged(&mut self, pack: &PackRef, replaces: &[PackId], n: u64) {
        for old in replaces {
            if let Some(old) = self.packs.remove(old) {
                self.entries.remove(&old.pack);
                if let Some(packs) = self.by_study.get_mut(&old.study) {
                    packs.retain(|pack| *pack != old.pack);
                }
                self.replaced.insert(old.pack, Replaced { old, successor: pack.pack });
            }
        }
        self.count(pack, n);
    }

    fn count(&mut self, pack: &PackRef, n: u64) {
        self.entries.insert(pack.pack, n);
        if self.packs.insert(pack.pack, pack.clone()).is_none() {
            self.by_study.entry(pack.study.clone()).or_default().push(pack.pack);
        }
    }

    fn intended(&mut self, n: u64, ground: Ground, store: &StoreId, objects: &[StoreKey]) {
        let intents =
            objects.iter().map(|key| OpenIntent { store: store.clone(), key: key.clone(), ground, intended: n });
        self.intents.insert(n, intents.collect());
    }

    /// The study of a pack that the ledger names.
    pub(super) fn study_of(&self, pack: &PackId) -> Option<StudyUid> {
        let replaced = || self.replaced.get(pack).map(|replaced| &replaced.old);
        self.packs.get(pack).or_else(replaced).map(|pack| pack.study.clone())
    }

    /// A receipt was given this number: whoever writes an entry has seen it.
    pub(super) fn saw(&mut self, number: ReceiptNumber) {
        let highest = self.highest.entry(number.epoch).or_default();
        *highest = (*highest).max(number.number);
    }

    /// The highest receipt number of each epoch seen so far.
    pub(super) fn after(&self) -> After {
        self.highest.clone()
    }

    /// The highest number of an epoch that the ledger speaks of; 0 for none.
    pub(super) fn told(&self, epoch: u32) -> u64 {
        self.told.get(&epoch).copied().unwrap_or_default()
    }

    /// Whether the ledger speaks of a receipt.
    pub(super) fn speaks_of(&self, number: ReceiptNumber) -> bool {
        self.spoken_of.has(number)
    }

    /// Those of some receipts that no pack has.
    pub(super) fn not_sealed<'a>(&self, numbers: impl Iterator<Item = &'a ReceiptNumber>) -> Vec<ReceiptNumber> {
        numbers.copied().filter(|number| !self.sealed.has(*number)).collect()
    }

    /// Receipts that were acknowledged and are nowhere: the journal knows of them and cannot read them, or the ledger says that
    /// they came and the journal knows nothing of them any more; and no pack has them.
    pub(super) fn lost(&self, recovered: &Recovered, epoch: u32) -> Vec<ReceiptNumber> {
        let mut lost: BTreeSet<ReceiptNumber> =
            self.not_sealed(recovered.lost.iter().chain(&recovered.gone)).into_iter().collect();
        let there: HashSet<ReceiptNumber> = recovered.entries.iter().map(JournalEntry::number).collect();
        let not_in_packs = self.spoken_of.without(&self.sealed, epoch).into_iter();
        let numbers = not_in_packs.flat_map(|(first, last)| first..=last);
        lost.extend(numbers.map(|number| ReceiptNumber { epoch, number }).filter(|number| !there.contains(number)));
        lost.into_iter().collect()
    }

    /// The stores of the archive and their parts, as the ledger last named them.
    pub(super) fn stores(&self) -> &[StoreEntry] {
        &self.stores
    }

    /// Whether a pack counts.
    pub(super) fn counts(&self, pack: &PackId) -> bool {
        self.packs.contains_key(pack)
    }

    /// Whether the ledger names a pack at all.
    pub(super) fn names(&self, pack: &PackId) -> bool {
        self.counts(pack) || self.replaced.contains_key(pack)
    }

    /// What replaced a pack, through as many merges as there were; `None` for one that counts or is not known.
    pub(super) fn successor(&self, pack: &PackId) -> Option<&PackRef> {
        let mut at = self.replaced.get(pack)?.successor;
        // A merge replaces only packs that were there before it, so this ends.
        while let Some(next) = self.replaced.get(&at) {
            at = next.successor;
        }
        self.packs.get(&at)
    }

    /// A replaced pack.
    pub(super) fn replaced(&self, pack: &PackId) -> Option<&Replaced> {
        self.replaced.get(pack)
    }

    /// Replaced packs whose deletion in a store is not recorded.
    pub(super) fn superseded_in(&self, store: &StoreId) -> Vec<PackRef> {
        let there =
            |replaced: &&Replaced| replaced.old.key().is_ok_and(|key| !self.deleted.contains(&(store.clone(), key)));
        self.replaced.values().filter(there).map(|replaced| replaced.old.clone()).collect()
    }

    /// All packs that count, in no order.
    pub(super) fn packs(&self) -> impl Iterator<Item = &PackRef> {
        self.packs.values()
    }

    /// How many packs count.
    pub(super) fn pack_count(&self) -> usize {
        self.packs.len()
    }

    /// The packs of one study that count.
    pub(super) fn packs_of(&self, study: &StudyUid) -> Vec<PackRef> {
        let packs = self.by_study.get(study).into_iter().flatten();
        packs.filter_map(|pack| self.packs.get(pack)).cloned().collect()
    }

    /// The packs of one study that count, with the entries that made them count.
    pub(super) fn packs_with_entries(&self, study: &StudyUid) -> Vec<(PackId, u64)> {
        let packs = self.by_study.get(study).into_iter().flatten();
        packs.filter_map(|pack| Some((*pack, *self.entries.get(pack)?))).collect()
    }

    /// A pack that counts.
    pub(super) fn pack(&self, pack: &PackId) -> Option<&PackRef> {
        self.packs.get(pack)
    }

    /// The packs that one pack replaced.
    pub(super) fn replaced_by(&self, pack: &PackId) -> Vec<PackId> {
        self.replaced.values().filter(|old| old.successor == *pack).map(|old| old.old.pack).collect()
    }

    /// Studies with at least so many packs that count, in the order of their UIDs.
    pub(super) fn studies_with_packs(&self, at_least: usize) -> Vec<StudyUid> {
        let many = self.by_study.iter().filter(|(_, packs)| packs.len() >= at_least);
        let mut studies: Vec<StudyUid> = many.map(|(study, _)| study.clone()).collect();
        studies.sort_unstable();
        studies
    }

    /// Deletes that were announced and not recorded as done.
    pub(super) fn open_intents(&self) -> Vec<OpenIntent> {
        self.intents.values().flatten().cloned().collect()
    }

    /// Cases, the newest first.
    pub(super) fn cases(&self, closed_too: bool) -> Vec<CaseRecord> {
        let mut cases: Vec<CaseRecord> =
            self.cases.values().filter(|case| closed_too || case.state == "open").cloned().collect();
        cases.sort_by_key(|case| std::cmp::Reverse(case.opened));
        cases
    }

    /// Whether a case is open; counts that it was found again.
    pub(super) fn is_open(&mut self, case: &Sha256Digest) -> bool {
        self.found_again(case) && self.cases.get(case).is_some_and(|record| record.state == "open")
    }

    /// Open cases of a kind that is about packs, with their packs.
    pub(super) fn open_pack_cases(&self, about: &str) -> Vec<(Sha256Digest, PackId)> {
        let open = self.cases.values().filter(|case| case.about == about && case.state == "open");
        open.filter_map(|case| Some((case.case, PackId::parse(case.keys.get("pack")?).ok()?))).collect()
    }

    /// Whether a case is known; counts that it was found again.
    pub(super) fn found_again(&mut self, case: &Sha256Digest) -> bool {
        match self.cases.get_mut(case) {
            Some(record) => {
                record.count += 1;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::entry::ReceiptRange;

    fn covered(runs: &[(u64, u64)]) -> Covered {
        let mut covered = Covered::default();
        covered.add(&ReceiptRanges(runs.iter().map(|&(first, last)| ReceiptRange { epoch: 1, first, last }).collect()));
        covered
    }

    #[test]
    fn what_one_set_has_and_another_has_not() {
        let all = covered(&[(1, 10), (20, 20), (30, 40)]);
        let check = |others: &[(u64, u64)], left: &[(u64, u64)]| {
            assert_eq!(all.without(&covered(others), 1), left, "without {others:?}");
        };
        check(&[], &[(1, 10), (20, 20), (30, 40)]);
        check(&[(1, 40)], &[]);
        check(&[(3, 4), (8, 25), (40, 50)], &[(1, 2), (5, 7), (30, 39)]);
        check(&[(1, 1), (10, 19), (21, 35)], &[(2, 9), (20, 20), (36, 40)]);
        assert!(all.without(&covered(&[]), 2).is_empty());
    }
}
