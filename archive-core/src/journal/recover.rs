//! Recovery: what a process that ended, in whatever way, left in the journal.
//!
//! In this order: lock, sync everything that is relied on (what a kill left in the page cache is not durable because
//! it was found), drop the page cache, read every byte of both folders, judge, keep what cannot be read, take from
//! the mirror what is missing here, make the mirror whole again. Any crash in between: it runs again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::appender::{AppendError, Appender};
use super::disk::{Disk, SharedDisk};
use super::entry::JournalEntry;
use super::error::JournalError;
use super::folder::{Folder, SpillName};
use super::mirror;
use super::options::{JournalOptions, PERMIT_BYTES};
use super::record::Holder;
use super::scan::{BadRange, COMMIT_FRAME_BYTES_MIN, ContentState, FoundCommit, ScannedFolder};
use super::spares::{self, Spares};
use super::state::{Live, Segment, Shared, State, Twin};
use crate::clock::SharedClock;
use crate::entropy::SharedEntropy;
use crate::identifiers::ReceiptNumber;

/// What kind of thing was found at start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FindingKind {
    /// The end of a batch that was never acknowledged: no whole commit record was in it. Ordinary after a power cut.
    Torn,
    /// Bytes that were whole once, or may have been: an incident. The receipts it hit are named as far as known.
    Damaged,
    /// Entries were not whole here and were taken from the mirror.
    TakenFromMirror,
    /// The mirror lacked files, or held damaged ones, and was made whole from the journal.
    MirrorRestored,
}

/// Something found at start that a person may want to know of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// In which file.
    pub file: PathBuf,
    /// Which bytes of it; empty where the whole file is meant.
    pub range: Range<u64>,
    /// Where a copy of these bytes is kept; `None` if there was nothing to keep or no room.
    pub kept_at: Option<PathBuf>,
    /// Receipts that it concerns, as far as that is known.
    pub receipts: Vec<ReceiptNumber>,
}

/// What [`super::Journal::open`] found.
#[derive(Debug)]
pub struct Recovered {
    /// Every whole entry that is still in the journal, in the order of receipt numbers. Some may be sealed already:
    /// the archive compares with the ledger and releases these.
    pub entries: Vec<JournalEntry>,
    /// What was odd.
    pub findings: Vec<Finding>,
    /// Receipts that are known and cannot be read, neither here nor in the mirror. Those that are not sealed are lost.
    pub lost: Vec<ReceiptNumber>,
    /// Receipts whose record is here and whose content file is not: released before, or deleted by somebody. Those
    /// that are not sealed are lost.
    pub gone: Vec<ReceiptNumber>,
    /// The number that the next receipt gets. Numbers ascend; after a bad tail some are skipped.
    pub next_receipt: ReceiptNumber,
    /// No segment was found, neither here nor in the mirror: a new journal, or a lost one. The caller knows which.
    pub fresh: bool,
    /// The latest epoch that any segment speaks of.
    pub epoch_found: Option<u32>,
}

/// Opens the folders, recovers, and gives what a running journal needs.
pub(super) fn recover(
    disk: SharedDisk,
    options: JournalOptions,
    clock: SharedClock,
    entropy: SharedEntropy,
) -> Result<(Arc<Shared>, Appender, Recovered), JournalError> {
    options.check()?;
    let (folder, mirror_folder, locks) = take_folders(&options, &*disk)?;
    let mut main = ScannedFolder::read(&folder, |_| true)?;
    let mut judged = Judged::of(&mut main)?;
    let mut twin = match &mirror_folder {
        Some(folder) => Some(ScannedFolder::read(folder, |number| !judged.whole.contains_key(&number))?),
        None => None,
    };
    let folders = || std::iter::once(&main).chain(&twin);
    for scanned in folders() {
        refuse_foreign(scanned, &options)?;
    }
    let fresh = folders().all(|scanned| scanned.segments.is_empty());
    let epoch_found = folders().flat_map(|scanned| scanned.highest.keys().copied()).max();
    let (next_receipt, skipped) = next_receipt(&options, folders());
    let next_segment = folders().filter_map(|scanned| scanned.segments.keys().next_back()).max().map_or(1, |n| n + 1);

    let kept_bytes = std::iter::once(&folder).chain(&mirror_folder).map(|f| f.kept_bytes().unwrap_or(0)).sum();
    let permits = usize::try_from(options.memory_bytes / PERMIT_BYTES).unwrap_or(Semaphore::MAX_PERMITS);
    let shared = Arc::new(Shared {
        memory: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))),
        main: folder,
        mirror: mirror_folder,
        disk,
        clock,
        entropy,
        state: Mutex::new(State::default()),
        spares: Spares::default(),
        spilling: 0.into(),
        kept_bytes,
        locks,
        options,
    });
    add_segments(&shared, &main, twin.as_ref());
    let mut appender = Appender::new(next_segment, next_receipt);
    // The numbers that a bad tail may have held must stay taken once the tail is cut off: a new head says so.
    let may_cut = match skipped.then(|| appender.create_for_numbering(&shared)) {
        // No room: the tail stays where it is, and speaks for itself at the next start.
        Some(Err(AppendError::Full(_))) => false,
        Some(made) => made.map_err(append_error).map(|()| true)?,
        None => true,
    };
    let mut findings = Vec::new();
    for scanned in std::iter::once(&main).chain(&twin) {
        keep_bad(&shared, scanned, may_cut, &mut findings)?;
    }
    let mut entries = set_live(&shared, std::mem::take(&mut judged.whole));
    if let Some(twin) = &mut twin {
        let mut taken = mirror::take_missing(&shared, &mut appender, twin, &entries, &mut findings)?;
        entries.append(&mut taken);
        mirror::restore(&shared, &main, twin, &mut findings)?;
    }
    set_aside_damaged_spills(&shared, &judged, &mut findings);
    for scanned in std::iter::once(&main).chain(&twin) {
        sweep_spills(&shared, scanned, &judged.named_spills);
    }
    entries.sort_by_key(JournalEntry::number);
    take_over_contents(&mut entries);
    let recovered = report(&shared, entries, findings, &judged, next_receipt, fresh, epoch_found);
    let mut removals = Vec::new();
    shared.state.lock().collect_all(&mut removals);
    shared.remove(removals);
    Ok((shared, appender, recovered))
}

/// Where the record is gone that a content came with, the next one that leans on it is the one that has it now: its bytes
/// lie where they lay, and its own record says where.
fn take_over_contents(entries: &mut [JournalEntry]) {
    let there: BTreeSet<ReceiptNumber> = entries.iter().map(JournalEntry::number).collect();
    let mut heirs: BTreeMap<ReceiptNumber, ReceiptNumber> = BTreeMap::new();
    for entry in entries {
        let Some(gone) = entry.shares.filter(|first| !there.contains(first)) else { continue };
        entry.shares = heirs.get(&gone).copied();
        heirs.entry(gone).or_insert(entry.number());
    }
}

/// Locks the journal's folder and its mirror and settles what is in them.
fn take_folders(
    options: &JournalOptions,
    disk: &dyn Disk,
) -> Result<(Folder, Option<Folder>, Vec<File>), JournalError> {
    let take = |path: &Path| {
        let (folder, lock) = Folder::take(path, options.allow_volatile, disk)?;
        settle(&folder, disk)?;
        Ok::<_, JournalError>((folder, lock))
    };
    let (folder, lock) = take(&options.folder)?;
    let Some(path) = &options.mirror else { return Ok((folder, None, vec![lock])) };
    let (mirror, mirror_lock) = take(path)?;
    Ok((folder, Some(mirror), vec![lock, mirror_lock]))
}

/// Syncs everything that is there, then forgets what the page cache says: what is read next comes from the disk.
fn settle(folder: &Folder, disk: &dyn Disk) -> Result<(), JournalError> {
    mirror::remove_half_copies(folder, disk);
    spares::sweep(folder, disk).map_err(JournalError::io("sweeping", folder.path()))?;
    let segments = folder.segments().map_err(JournalError::io("listing", folder.path()))?;
    let spills = folder.spills().map_err(JournalError::io("listing", &folder.spill_folder()))?;
    let files = segments.iter().map(|&n| folder.segment(n)).chain(spills.iter().map(|name| folder.spill(name)));
    for path in files {
        let file = File::options().read(true).write(true).open(&path).map_err(JournalError::io("opening", &path))?;
        disk.sync(&file).map_err(JournalError::io("syncing", &path))?;
        // A hint; where it is not taken, the bytes were synced all the same.
        let _hint = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    }
    for path in [folder.spill_folder(), folder.path().to_owned()] {
        disk.sync_folder(&path).map_err(JournalError::io("syncing", &path))?;
    }
    Ok(())
}

fn refuse_foreign(scanned: &ScannedFolder, options: &JournalOptions) -> Result<(), JournalError> {
    for (&number, segment) in &scanned.segments {
        let Some(head) = segment.head else { continue };
        let file = || scanned.folder.segment(number);
        let found = hex::encode(head.archive);
        if found != options.archive.as_str() {
            let expected = options.archive.to_string();
            return Err(JournalError::OtherArchive { file: file(), found, expected });
        }
        if head.epoch > options.epoch {
            let (found, expected) = (head.epoch, options.epoch);
            return Err(JournalError::LaterEpoch { file: file(), found, expected });
        }
    }
    Ok(())
}

/// The next number, and whether it skips what a bad tail may have held: such a number may have been acknowledged.
fn next_receipt<'a>(options: &JournalOptions, folders: impl Iterator<Item = &'a ScannedFolder>) -> (u64, bool) {
    let mut highest = options.numbers_from.saturating_sub(1);
    let mut unreadable = 0;
    for scanned in folders {
        highest = highest.max(scanned.highest.get(&options.epoch).copied().unwrap_or(0));
        let bad = scanned.segments.values().flat_map(|segment| &segment.bad);
        let tail: u64 = bad.filter(|bad| !bad.commit_follows).map(|bad| bad.range.end - bad.range.start).sum();
        unreadable = unreadable.max(tail);
    }
    let skip = unreadable.div_ceil(COMMIT_FRAME_BYTES_MIN);
    (highest + 1 + skip, skip > 0)
}

/// Which entries of the journal's own folder are whole.
#[derive(Default)]
struct Judged {
    whole: BTreeMap<ReceiptNumber, FoundCommit>,
    damaged: BTreeSet<ReceiptNumber>,
    gone: BTreeSet<ReceiptNumber>,
    named_spills: BTreeSet<SpillName>,
    damaged_spills: BTreeMap<SpillName, BTreeSet<ReceiptNumber>>,
}

impl Judged {
    /// Of several records of one receipt the latest with whole content counts.
    fn of(scanned: &mut ScannedFolder) -> Result<Self, JournalError> {
        let mut judged = Self::default();
        for commit in std::mem::take(&mut scanned.commits).into_iter().rev() {
            let number = commit.number();
            let spill = match &commit.record.place.holder {
                Holder::Spill(name) => Some(name.clone()),
                Holder::Segment(_) => None,
            };
            judged.named_spills.extend(spill.clone());
            if judged.whole.contains_key(&number) {
                continue;
            }
            match scanned.content(&commit.record.place)? {
                ContentState::Whole if commit.record.facts().is_some() => {
                    judged.whole.insert(number, commit);
                }
                ContentState::Whole | ContentState::Damaged => {
                    judged.damaged.insert(number);
                    if let Some(name) = spill {
                        judged.damaged_spills.entry(name).or_default().insert(number);
                    }
                }
                ContentState::Gone => {
                    judged.gone.insert(number);
                }
            }
        }
        Ok(judged)
    }
}

fn add_segments(shared: &Shared, main: &ScannedFolder, twin: Option<&ScannedFolder>) {
    let mut state = shared.state.lock();
    for (&number, found) in &main.segments {
        let mirror = twin
            .and_then(|twin| twin.segments.get(&number))
            .filter(|mirror| found.id.is_some() && mirror.id == found.id)
            .map(|mirror| Arc::clone(&mirror.file));
        let created = found.head.and_then(|head| Timestamp::from_microsecond(head.created).ok());
        let segment = Segment {
            files: Twin { main: Arc::clone(&found.file), mirror },
            bytes: found.end,
            live_bytes: 0,
            pins: 0,
            created: created.unwrap_or(Timestamp::UNIX_EPOCH),
        };
        state.segments.insert(number, segment);
    }
}

/// Keeps a copy of every bad range, cuts off what is torn, gives back reserved room.
fn keep_bad(
    shared: &Shared,
    scanned: &ScannedFolder,
    may_cut: bool,
    findings: &mut Vec<Finding>,
) -> Result<(), JournalError> {
    let last_with_commits = scanned.segments.iter().filter(|(_, segment)| segment.commits > 0).map(|(&n, _)| n).max();
    for (&number, segment) in &scanned.segments {
        let path = scanned.folder.segment(number);
        let later_commits = last_with_commits.is_some_and(|last| last > number);
        let mut cut = Some(segment.end.next_multiple_of(super::frame::BATCH_ALIGN));
        for bad in &segment.bad {
            let torn = !bad.commit_follows && !later_commits;
            let kept_at = keep(shared, &scanned.folder, number, &segment.file, bad)?;
            cut = match (torn, &kept_at) {
                (true, Some(_)) if may_cut => cut.map(|cut| cut.min(bad.range.start)),
                _ => None,
            };
            findings.push(Finding {
                kind: if torn { FindingKind::Torn } else { FindingKind::Damaged },
                file: path.clone(),
                range: bad.range.clone(),
                kept_at,
                receipts: bad.receipts.iter().copied().collect(),
            });
        }
        let length = segment.file.metadata().map_err(JournalError::io("reading", &path))?.len();
        if let Some(cut) = cut.filter(|&cut| cut < length) {
            let cutting = shared.disk.truncate(&segment.file, cut).and_then(|()| shared.disk.sync(&segment.file));
            cutting.map_err(JournalError::io("cutting", &path))?;
        }
    }
    Ok(())
}

/// Copies a bad range to a file of its own, synced; `None` where there is nothing to copy or no room for it.
fn keep(
    shared: &Shared,
    folder: &Folder,
    number: u64,
    file: &File,
    bad: &BadRange,
) -> Result<Option<PathBuf>, JournalError> {
    let path = folder.tail(number, bad.range.start);
    if bad.range.is_empty() || path.exists() {
        return Ok(path.exists().then_some(path));
    }
    match mirror::copy_range(&*shared.disk, file, bad.range.clone(), folder.path(), &path) {
        Ok(()) => Ok(Some(path)),
        Err(error) if super::error::is_full(&error) => Ok(None),
        Err(error) => Err(JournalError::io("keeping bad bytes in", &path)(error)),
    }
}

/// Enters whole entries into the state; gives what the archive needs of them.
fn set_live(shared: &Shared, whole: BTreeMap<ReceiptNumber, FoundCommit>) -> Vec<JournalEntry> {
    let mut removals = Vec::new();
    let mut state = shared.state.lock();
    let mut entries = Vec::with_capacity(whole.len());
    for (number, commit) in whole {
        let Some(facts) = commit.record.facts() else { continue };
        let live = Live {
            version: facts.version.clone(),
            place: Arc::new(commit.record.place),
            commit: commit.at,
            time: commit.record.held.receipt.time,
        };
        state.set_live(number, live, &mut removals);
        entries.push(JournalEntry { held: commit.record.held, facts, shares: commit.record.shares });
    }
    entries
}

/// A spill file that is not what its record says, and that the mirror could not replace, is kept out of the way of
/// deletion.
fn set_aside_damaged_spills(shared: &Shared, judged: &Judged, findings: &mut Vec<Finding>) {
    for (name, receipts) in &judged.damaged_spills {
        if shared.state.lock().holds_spill(name) {
            continue;
        }
        let (file, aside) = (shared.main.spill(name), shared.main.tail_spill(name));
        let moved = shared.disk.rename(&file, &aside).is_ok();
        findings.push(Finding {
            kind: FindingKind::Damaged,
            file,
            range: 0..0,
            kept_at: moved.then_some(aside),
            receipts: receipts.iter().copied().collect(),
        });
    }
}

/// Spill files that no whole record names: left by intakes that were never committed, so they go. If some record
/// could not be read, it may have named them: then they are kept aside.
fn sweep_spills(shared: &Shared, scanned: &ScannedFolder, named: &BTreeSet<SpillName>) {
    let unreadable = scanned.segments.values().any(|segment| !segment.bad.is_empty());
    for name in scanned.spills.iter().filter(|name| !named.contains(name)) {
        if shared.state.lock().holds_spill(name) {
            continue;
        }
        let path = scanned.folder.spill(name);
        let swept = if unreadable {
            shared.disk.rename(&path, &scanned.folder.tail_spill(name))
        } else {
            shared.disk.remove(&path)
        };
        if let Err(error) = swept {
            tracing::warn!(path = %path.display(), %error, "a spill file without a record was left where it is");
        }
    }
}

fn report(
    shared: &Shared,
    entries: Vec<JournalEntry>,
    findings: Vec<Finding>,
    judged: &Judged,
    next_receipt: u64,
    fresh: bool,
    epoch_found: Option<u32>,
) -> Recovered {
    let held: BTreeSet<ReceiptNumber> = entries.iter().map(JournalEntry::number).collect();
    let in_own_folder = |file: &Path| file.starts_with(shared.main.path());
    let damaged = findings
        .iter()
        .filter(|finding| finding.kind == FindingKind::Damaged && in_own_folder(&finding.file))
        .flat_map(|finding| finding.receipts.iter().copied());
    let lost: BTreeSet<ReceiptNumber> = damaged.chain(judged.damaged.iter().copied()).collect();
    let gone = judged.gone.iter().filter(|number| !held.contains(number) && !lost.contains(number));
    Recovered {
        gone: gone.copied().collect(),
        lost: lost.into_iter().filter(|number| !held.contains(number)).collect(),
        entries,
        findings,
        next_receipt: ReceiptNumber { epoch: shared.options.epoch, number: next_receipt },
        fresh,
        epoch_found,
    }
}

pub(super) fn append_error(error: AppendError) -> JournalError {
    match error {
        AppendError::Full(error) => error,
        AppendError::Failed(reason) => JournalError::Stopped { reason },
    }
}
