//! What goes on with each study that has receipts in the journal: which versions are durable there, which are just
//! being written, whether the study is frozen for sealing, when it is due.
//!
//! Bytes of a version that arrives again are dropped only against a durable record of the same version that is not
//! frozen for sealing; where one is just being written, whoever comes second waits for it (one write, all answered).
//! The lock is held for look-ups only, never while something is read, written or awaited.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::caller::{Door, SourceKey};
use crate::identifiers::{ReceiptNumber, SopUid, StudyUid};
use crate::instance::VersionKey;
use crate::journal::JournalEntry;
use crate::ledger::ranges::RUNS_MAX;

/// A version of an instance within its study.
pub(super) type VersionOfInstance = (SopUid, VersionKey);

/// What a version is in the journal.
#[derive(Debug)]
enum State {
    /// Being written; the sender of the channel drops when it is decided.
    Pending(watch::Receiver<()>),
    /// Durable under this number.
    Live(ReceiptNumber),
}

/// How the bytes of an arriving version are to be kept.
#[derive(Debug)]
pub(super) enum Claim {
    /// Write them; dropping the guard without saying how it ended lets the next one write.
    Write(Writing),
    /// A durable record has them.
    Share(ReceiptNumber),
    /// Somebody writes them just now: wait, then ask again.
    Wait(watch::Receiver<()>),
}

/// The right to write a version; others of the same version wait while it exists.
#[derive(Debug)]
pub(super) struct Writing {
    study: StudyUid,
    version: VersionOfInstance,
    exclusive: bool,
    /// Closes when this is dropped, which is how those who wait learn of it.
    _decided: watch::Sender<()>,
}

/// A receipt that is not sealed.
#[derive(Clone, Debug)]
struct Waiting {
    source: SourceKey,
    door: Door,
    bytes: u64,
    /// A `received` entry of the ledger speaks of it.
    told: bool,
}

/// Receipts of one source and study that the ledger does not speak of yet, as many as one entry may name.
#[derive(Clone, Debug)]
pub(super) struct Untold {
    pub(super) study: StudyUid,
    pub(super) source: SourceKey,
    pub(super) door: Door,
    pub(super) numbers: Vec<ReceiptNumber>,
    pub(super) bytes: u64,
}

#[derive(Debug, Default)]
struct Study {
    versions: HashMap<VersionOfInstance, State>,
    receipts: BTreeMap<ReceiptNumber, Waiting>,
    first_received: Duration,
    last_received: Duration,
    frozen: bool,
    failures: u32,
    /// Some of it was found at start: sealing may have been under way.
    recovered: bool,
    not_before: Duration,
}

/// Whether somebody writes this version just now; one that was cut off, or ended while its study was frozen, does not.
fn is_being_written(state: &State) -> bool {
    matches!(state, State::Pending(receiver) if receiver.has_changed().is_ok())
}

/// A study of which nothing is left takes no memory. One that is frozen is forgotten when it is thawed.
fn forget_empty(studies: &mut HashMap<StudyUid, Study>, study: &StudyUid) {
    if studies.get(study).is_some_and(|entry| {
        !entry.frozen && entry.receipts.is_empty() && !entry.versions.values().any(is_being_written)
    }) {
        studies.remove(study);
    }
}

/// A study is frozen while this exists.
#[derive(Debug)]
pub(super) struct FrozenStudy<'a> {
    unsealed: &'a Unsealed,
    study: StudyUid,
}

impl Drop for FrozenStudy<'_> {
    fn drop(&mut self) {
        let mut studies = self.unsealed.studies.lock();
        if let Some(entry) = studies.get_mut(&self.study) {
            entry.frozen = false;
        }
        forget_empty(&mut studies, &self.study);
    }
}

/// All studies with unsealed receipts.
#[derive(Debug, Default)]
pub(super) struct Unsealed {
    studies: Mutex<HashMap<StudyUid, Study>>,
}

impl Unsealed {
    /// Decides how an arriving version is kept.
    pub(super) fn claim(&self, study: &StudyUid, version: &VersionOfInstance) -> Claim {
        let mut studies = self.studies.lock();
        let entry = studies.entry(study.clone()).or_default();
        let (decided, waiting) = watch::channel(());
        let exclusive = !entry.frozen;
        if exclusive {
            match entry.versions.get(version) {
                Some(State::Live(number)) => return Claim::Share(*number),
                // A closed channel without an outcome: whoever wrote was cut off.
                Some(State::Pending(receiver)) if receiver.has_changed().is_ok() => {
                    return Claim::Wait(receiver.clone());
                }
                Some(State::Pending(_)) | None => {
                    entry.versions.insert(version.clone(), State::Pending(waiting));
                }
            }
        }
        Claim::Write(Writing { study: study.clone(), version: version.clone(), exclusive, _decided: decided })
    }

    /// The version is durable: later arrivals share it.
    pub(super) fn written(&self, writing: Writing, number: ReceiptNumber) {
        if writing.exclusive
            && let Some(study) = self.studies.lock().get_mut(&writing.study)
            && !study.frozen
        {
            study.versions.insert(writing.version.clone(), State::Live(number));
        }
    }

    /// The version was not written: the next one may.
    pub(super) fn abandoned(&self, writing: Writing) {
        if writing.exclusive
            && let Some(study) = self.studies.lock().get_mut(&writing.study)
            && matches!(study.versions.get(&writing.version), Some(State::Pending(_)))
        {
            study.versions.remove(&writing.version);
        }
        forget_empty(&mut self.studies.lock(), &writing.study);
    }

    /// A receipt is durable and in the overlay; `told` where the ledger speaks of it already.
    pub(super) fn received(&self, entry: &JournalEntry, told: bool, now: Duration) {
        let mut studies = self.studies.lock();
        let study = studies.entry(entry.facts.keys.study.clone()).or_default();
        if study.receipts.is_empty() {
            study.first_received = now;
        }
        study.last_received = now;
        let receipt = &entry.held.receipt;
        let bytes = if entry.shares.is_some() { 0 } else { entry.facts.content_length };
        let waiting = Waiting { source: receipt.source.clone(), door: receipt.door, bytes, told };
        study.receipts.insert(receipt.number, waiting);
    }

    /// A receipt that recovery found, so that arriving copies of it share its bytes.
    pub(super) fn recovered(&self, entry: &JournalEntry, told: bool, now: Duration) {
        self.received(entry, told, now);
        if let Some(study) = self.studies.lock().get_mut(&entry.facts.keys.study) {
            let version = (entry.facts.keys.sop.clone(), entry.facts.version.clone());
            study.versions.entry(version).or_insert(State::Live(entry.number()));
            study.recovered = true;
        }
    }

    /// The receipts of a study that are not sealed, lowest number first.
    pub(super) fn receipts_of(&self, study: &StudyUid) -> Vec<ReceiptNumber> {
        self.studies.lock().get(study).map(|entry| entry.receipts.keys().copied().collect()).unwrap_or_default()
    }

    /// The studies that have receipts that are not sealed, in the order of their UIDs.
    pub(super) fn studies(&self) -> Vec<StudyUid> {
        let studies = self.studies.lock();
        let waiting = studies.iter().filter(|(_, entry)| !entry.receipts.is_empty());
        let mut waiting: Vec<StudyUid> = waiting.map(|(study, _)| study.clone()).collect();
        waiting.sort_unstable();
        waiting
    }

    /// What the ledger does not speak of yet, by study, source and door.
    pub(super) fn untold(&self) -> Vec<Untold> {
        let studies = self.studies.lock();
        let mut groups: BTreeMap<(StudyUid, SourceKey, Door), Vec<Untold>> = BTreeMap::new();
        for (study, entry) in studies.iter() {
            for (number, waiting) in entry.receipts.iter().filter(|(_, waiting)| !waiting.told) {
                let groups = groups.entry((study.clone(), waiting.source.clone(), waiting.door)).or_default();
                if let Some(group) = groups.last_mut().filter(|group| group.numbers.len() < RUNS_MAX) {
                    group.numbers.push(*number);
                    group.bytes += waiting.bytes;
                    continue;
                }
                groups.push(Untold {
                    study: study.clone(),
                    source: waiting.source.clone(),
                    door: waiting.door,
                    numbers: vec![*number],
                    bytes: waiting.bytes,
                });
            }
        }
        groups.into_values().flatten().collect()
    }

    /// The ledger speaks of these now.
    pub(super) fn tell(&self, told: &Untold) {
        if let Some(study) = self.studies.lock().get_mut(&told.study) {
            for number in &told.numbers {
                if let Some(waiting) = study.receipts.get_mut(number) {
                    waiting.told = true;
                }
            }
        }
    }

    /// From here on, arriving copies are written anew until the study is thawed;
    /// that is when what is given back is dropped, however sealing ended.
    pub(super) fn freeze(&self, study: &StudyUid) -> FrozenStudy<'_> {
        if let Some(entry) = self.studies.lock().get_mut(study) {
            entry.frozen = true;
            entry.versions.retain(|_, state| is_being_written(state));
        }
        FrozenStudy { unsealed: self, study: study.clone() }
    }

    /// These receipts are in packs now; their records are no ground any more to drop bytes.
    pub(super) fn sealed(&self, study: &StudyUid, numbers: &[ReceiptNumber]) {
        let mut studies = self.studies.lock();
        let Some(entry) = studies.get_mut(study) else { return };
        for number in numbers {
            entry.receipts.remove(number);
        }
        entry.versions.retain(|_, state| match state {
            State::Live(number) => entry.receipts.contains_key(number),
            pending @ State::Pending(_) => is_being_written(pending),
        });
        forget_empty(&mut studies, study);
    }

    /// Whether the last attempt to seal a study failed, or an earlier process may have left one.
    pub(super) fn has_failed(&self, study: &StudyUid) -> bool {
        self.studies.lock().get(study).is_some_and(|entry| entry.failures > 0 || entry.recovered)
    }

    /// Sealing of a study ended well.
    pub(super) fn thaw(&self, study: &StudyUid, now: Duration) {
        let mut studies = self.studies.lock();
        let Some(entry) = studies.get_mut(study) else { return };
        entry.frozen = false;
        entry.failures = 0;
        entry.recovered = false;
        entry.not_before = Duration::ZERO;
        entry.first_received = now;
        forget_empty(&mut studies, study);
    }

    /// Sealing failed: tried again after a pause that doubles, from 5 s to 10 min. Gives the number of failures.
    pub(super) fn failed(&self, study: &StudyUid, now: Duration) -> u32 {
        let mut studies = self.studies.lock();
        let Some(entry) = studies.get_mut(study) else { return 0 };
        entry.frozen = false;
        entry.failures += 1;
        let pause = Duration::from_secs(5).saturating_mul(1 << entry.failures.min(7)).min(Duration::from_secs(600));
        entry.not_before = now + pause;
        entry.failures
    }

    /// The studies whose time has come, the longest waiting first; with `all`, every one that has receipts.
    pub(super) fn due(&self, now: Duration, quiet: Duration, max_age: Duration, all: bool) -> Vec<StudyUid> {
        let studies = self.studies.lock();
        let is_due = |entry: &Study| {
            let waited = now.saturating_sub(entry.last_received) >= quiet;
            let old = now.saturating_sub(entry.first_received) >= max_age;
            !entry.receipts.is_empty() && !entry.frozen && (all || (now >= entry.not_before && (waited || old)))
        };
        let mut due: Vec<(&StudyUid, &Study)> = studies.iter().filter(|(_, entry)| is_due(entry)).collect();
        due.sort_by_key(|(study, entry)| (entry.first_received, *study));
        due.into_iter().map(|(study, _)| study.clone()).collect()
    }

    /// Divides studies, in their order, into lists of at most so many studies and about so many bytes.
    pub(super) fn divided(&self, studies: Vec<StudyUid>, studies_max: usize, bytes_max: u64) -> Vec<Vec<StudyUid>> {
        let known = self.studies.lock();
        let mut lists: Vec<Vec<StudyUid>> = Vec::new();
        let mut filled = 0_u64;
        for study in studies {
            let bytes = known.get(&study).map_or(0, |entry| entry.receipts.values().map(|waiting| waiting.bytes).sum());
            match lists.last_mut().filter(|list| list.len() < studies_max && filled.saturating_add(bytes) <= bytes_max)
            {
                Some(list) => {
                    filled += bytes;
                    list.push(study);
                }
                None => {
                    filled = bytes;
                    lists.push(vec![study]);
                }
            }
        }
        lists
    }

    /// Whether nothing of a study waits to be sealed.
    pub(super) fn is_quiet(&self, study: &StudyUid) -> bool {
        self.studies.lock().get(study).is_none_or(|entry| entry.receipts.is_empty())
    }

    /// Studies that have unsealed receipts.
    pub(super) fn count(&self) -> usize {
        self.studies.lock().values().filter(|entry| !entry.receipts.is_empty()).count()
    }
}

#[cfg(test)]
mod tests;
