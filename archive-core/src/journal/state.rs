//! What the journal knows of itself while it runs: live receipts, the files that they pin, how full it is.
//!
//! Segments and spill files are pinned by what leans on them: a live receipt pins the segment of its commit record
//! and its content. What nothing pins is deleted, but for the newest segment: its head keeps the numbering.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::disk::SharedDisk;
use super::entry::JournalEntry;
use super::error::JournalError;
use super::folder::{Folder, SpillName};
use super::options::JournalOptions;
use super::record::{ContentKey, Holder, Place};
use super::spares::{self, Spares};
use crate::clock::SharedClock;
use crate::entropy::SharedEntropy;
use crate::identifiers::ReceiptNumber;
use crate::instance::VersionKey;

/// Free disk is asked for at most this often.
const FREE_ASKED_EVERY: Duration = Duration::from_secs(1);

/// A file in the journal and, where there is one, its twin in the mirror.
#[derive(Clone, Debug)]
pub(super) struct Twin {
    pub main: Arc<File>,
    pub mirror: Option<Arc<File>>,
}

impl Twin {
    /// Both files, the journal's first.
    pub(super) fn files(&self) -> impl Iterator<Item = &Arc<File>> {
        std::iter::once(&self.main).chain(&self.mirror)
    }
}

/// A segment that is there.
#[derive(Debug)]
pub(super) struct Segment {
    pub files: Twin,
    /// Bytes written so far.
    pub bytes: u64,
    /// Bytes of contents and records that are still needed.
    pub live_bytes: u64,
    /// Live commit records and live contents in it.
    pub pins: u64,
    pub created: Timestamp,
}

/// Where a commit record lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct CommitPlace {
    pub segment: u64,
    /// Offset of its frame.
    pub offset: u64,
    /// Bytes of its payload.
    pub length: u64,
}

/// A receipt that is not released.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub version: VersionKey,
    pub place: Arc<Place>,
    pub commit: CommitPlace,
    pub time: Timestamp,
}

#[derive(Debug)]
struct Content {
    place: Arc<Place>,
    pins: u64,
}

/// A file that nothing pins any more.
#[derive(Debug)]
pub(super) enum Removal {
    /// With its files, which a reader may still hold too.
    Segment(u64, Twin),
    Spill(SpillName),
}

/// What changes; behind the lock of [`Shared`], never held across I/O or an await.
#[derive(Debug, Default)]
pub(super) struct State {
    pub live: BTreeMap<ReceiptNumber, Live>,
    pub segments: BTreeMap<u64, Segment>,
    /// Why nothing is accepted any more.
    pub stopped: Option<String>,
    /// Durable entries whose committer had gone when they became so.
    pub unclaimed: Vec<JournalEntry>,
    pub batches: u64,
    contents: HashMap<ContentKey, Content>,
    spill_bytes: u64,
    /// Free disk when it was last asked for, and when that was.
    free: Option<(Duration, u64)>,
}

impl State {
    /// Keeps a content from being deleted.
    pub(super) fn pin(&mut self, place: &Arc<Place>) {
        let content = self.contents.entry(place.key()).or_insert_with(|| Content { place: Arc::clone(place), pins: 0 });
        content.pins += 1;
        if content.pins > 1 {
            return;
        }
        match &place.holder {
            Holder::Segment(number) => self.segment_pin(*number, place.stored_bytes()),
            Holder::Spill(_) => self.spill_bytes += place.stored_bytes(),
        }
    }

    /// Takes back one [`State::pin`].
    pub(super) fn unpin(&mut self, key: &ContentKey, removals: &mut Vec<Removal>) {
        let Some(content) = self.contents.get_mut(key) else { return };
        content.pins -= 1;
        if content.pins > 0 {
            return;
        }
        let bytes = content.place.stored_bytes();
        self.contents.remove(key);
        match &key.holder {
            Holder::Segment(number) => self.segment_unpin(*number, bytes, removals),
            Holder::Spill(name) => {
                self.spill_bytes = self.spill_bytes.saturating_sub(bytes);
                removals.push(Removal::Spill(name.clone()));
            }
        }
    }

    fn segment_pin(&mut self, number: u64, bytes: u64) {
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.pins += 1;
            segment.live_bytes += bytes;
        }
    }

    fn segment_unpin(&mut self, number: u64, bytes: u64, removals: &mut Vec<Removal>) {
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.pins = segment.pins.saturating_sub(1);
            segment.live_bytes = segment.live_bytes.saturating_sub(bytes);
        }
        self.collect(number, removals);
    }

    /// Forgets a segment that nothing pins; the newest stays, for its head keeps the numbering.
    fn collect(&mut self, number: u64, removals: &mut Vec<Removal>) {
        let newest = self.segments.keys().next_back().copied();
        if newest != Some(number) && self.segments.get(&number).is_some_and(|segment| segment.pins == 0) {
            let gone = self.segments.remove(&number);
            removals.extend(gone.map(|segment| Removal::Segment(number, segment.files)));
        }
    }

    /// [`State::collect`] for all: what was the newest may not be so any more.
    pub(super) fn collect_all(&mut self, removals: &mut Vec<Removal>) {
        for number in self.segments.keys().copied().collect::<Vec<_>>() {
            self.collect(number, removals);
        }
    }

    /// A receipt is durable, or lies elsewhere now: what it pinned before is unpinned.
    pub(super) fn set_live(&mut self, number: ReceiptNumber, live: Live, removals: &mut Vec<Removal>) {
        self.pin(&live.place);
        self.segment_pin(live.commit.segment, live.commit.length);
        if let Some(before) = self.live.insert(number, live) {
            self.forget(&before, removals);
        }
    }

    /// A receipt is sealed: what only it needed may go.
    pub(super) fn release(&mut self, number: ReceiptNumber, removals: &mut Vec<Removal>) {
        if let Some(before) = self.live.remove(&number) {
            self.forget(&before, removals);
        }
    }

    fn forget(&mut self, live: &Live, removals: &mut Vec<Removal>) {
        self.unpin(&live.place.key(), removals);
        self.segment_unpin(live.commit.segment, live.commit.length, removals);
    }

    /// Whether something leans on a spill file.
    pub(super) fn holds_spill(&self, name: &SpillName) -> bool {
        self.contents.contains_key(&ContentKey { holder: Holder::Spill(name.clone()), offset: 0 })
    }

    /// The spill files that something leans on, and what lies in them.
    pub(super) fn spill_places(&self) -> Vec<(SpillName, Arc<Place>)> {
        let spills = self.contents.values().filter_map(|content| match &content.place.holder {
            Holder::Spill(name) => Some((name.clone(), Arc::clone(&content.place))),
            Holder::Segment(_) => None,
        });
        spills.collect()
    }

    /// Live receipts whose record or content lies in a segment, by content.
    pub(super) fn leaning_on(&self, segment: u64) -> BTreeMap<ContentKey, Vec<(ReceiptNumber, Live)>> {
        let mut leaning: BTreeMap<ContentKey, Vec<(ReceiptNumber, Live)>> = BTreeMap::new();
        for (&number, live) in &self.live {
            if live.commit.segment == segment || live.place.holder == Holder::Segment(segment) {
                leaning.entry(live.place.key()).or_default().push((number, live.clone()));
            }
        }
        leaning
    }

    fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.bytes).sum::<u64>() + self.spill_bytes
    }
}

/// What all parts of a running journal share.
#[derive(Debug)]
pub(super) struct Shared {
    pub options: JournalOptions,
    pub main: Folder,
    pub mirror: Option<Folder>,
    pub disk: SharedDisk,
    pub clock: SharedClock,
    pub entropy: SharedEntropy,
    pub memory: Arc<Semaphore>,
    pub state: Mutex<State>,
    pub spares: Spares,
    /// Bytes of spill files that are not committed yet.
    pub spilling: AtomicU64,
    /// Bytes that were kept because they could not be read, as found at start.
    pub kept_bytes: u64,
    /// The locks of the folders.
    pub locks: Vec<File>,
}

impl Shared {
    /// Both folders, the journal's own first.
    pub(super) fn folders(&self) -> impl Iterator<Item = &Folder> {
        std::iter::once(&self.main).chain(&self.mirror)
    }

    /// Whether `bytes` more of `receipts` more would be accepted.
    pub(super) fn admit(&self, bytes: u64, receipts: u64) -> Result<(), JournalError> {
        let state = self.state.lock();
        if let Some(reason) = &state.stopped {
            return Err(JournalError::Stopped { reason: reason.clone() });
        }
        let options = &self.options;
        let held = state.bytes() + self.spilling.load(Ordering::Relaxed);
        if held.saturating_add(bytes) > options.cap_bytes {
            return Err(JournalError::Full {
                what: format!("it holds {held} bytes, its cap is {}", options.cap_bytes),
            });
        }
        if state.live.len() as u64 + receipts > options.receipts_max {
            let what = format!("it holds {} receipts, its cap is {}", state.live.len(), options.receipts_max);
            return Err(JournalError::Full { what });
        }
        Ok(())
    }

    /// Whether the free disk must be asked for again.
    pub(super) fn free_is_stale(&self) -> bool {
        let now = self.clock.monotonic();
        self.state.lock().free.is_none_or(|(asked, _)| now.saturating_sub(asked) >= FREE_ASKED_EVERY)
    }

    /// Whether the reserve is there beyond `bytes`; asks the file systems. Blocking.
    pub(super) fn free_for(&self, bytes: u64) -> Result<(), JournalError> {
        let asked = self.clock.monotonic();
        let mut least = u64::MAX;
        for folder in self.folders() {
            let free = self.disk.free_bytes(folder.path());
            least = least.min(free.map_err(JournalError::io("asking for free disk of", folder.path()))?);
        }
        self.state.lock().free = Some((asked, least));
        let needed = self.options.reserve_bytes.saturating_add(bytes);
        if least < needed {
            let what = format!("{least} bytes of disk are free, {needed} are needed with what is kept in reserve");
            return Err(JournalError::Full { what });
        }
        Ok(())
    }

    /// As [`Shared::free_for`] with nothing beyond the reserve, by what was last found.
    pub(super) fn free_as_last_seen(&self) -> Result<(), JournalError> {
        let (free, reserve) = (self.state.lock().free, self.options.reserve_bytes);
        match free {
            Some((_, least)) if least < reserve => Err(JournalError::Full {
                what: format!("{least} bytes of disk are free, {reserve} are kept in reserve"),
            }),
            _ => Ok(()),
        }
    }

    /// Nothing is accepted from here on; the first reason stays.
    pub(super) fn stop(&self, reason: &str) -> JournalError {
        let mut state = self.state.lock();
        let reason = state.stopped.get_or_insert_with(|| reason.to_owned()).clone();
        JournalError::Stopped { reason }
    }

    /// Deletes files that nothing pins. The mirror's go first, so that a crash in between does not make the next
    /// start believe that the journal lost them. What comes back after a crash is released again. Blocking.
    pub(super) fn remove(&self, removals: Vec<Removal>) {
        for removal in removals {
            let (segment, spill) = match removal {
                Removal::Segment(number, files) => {
                    if spares::reuse(self, number, files) {
                        continue;
                    }
                    (Some(number), None)
                }
                Removal::Spill(name) => (None, Some(name)),
            };
            for folder in self.folders_mirror_first() {
                let segment = segment.map(|number| folder.segment(number));
                let Some(path) = segment.or_else(|| spill.as_ref().map(|name| folder.spill(name))) else { continue };
                match self.disk.remove(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        tracing::warn!(path = %path.display(), %error, "a released journal file could not be deleted");
                    }
                    _ => {}
                }
            }
        }
    }

    /// Both folders, the mirror first.
    pub(super) fn folders_mirror_first(&self) -> impl Iterator<Item = &Folder> {
        self.mirror.iter().chain(std::iter::once(&self.main))
    }

    /// The figures of this moment.
    pub(super) fn status(&self) -> JournalStatus {
        let state = self.state.lock();
        let segments_live: u64 = state.segments.values().map(|segment| segment.live_bytes).sum();
        JournalStatus {
            bytes: state.bytes() + self.spilling.load(Ordering::Relaxed),
            live_bytes: segments_live + state.spill_bytes,
            capacity_bytes: self.options.cap_bytes,
            kept_bytes: self.kept_bytes,
            segments: state.segments.len() as u64,
            receipts_live: state.live.len() as u64,
            oldest_live: state.live.values().next().map(|live| live.time),
            batches: state.batches,
            stopped: state.stopped.clone(),
        }
    }
}

/// Figures of a journal, for metrics and for the decision to seal early.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalStatus {
    /// Bytes of segments and spill files, without the room reserved ahead in the current segment.
    pub bytes: u64,
    /// Bytes of these that live receipts need.
    pub live_bytes: u64,
    /// Bytes at which new instances are refused.
    pub capacity_bytes: u64,
    /// Bytes that were kept at start because they could not be read; for a person to look at and delete.
    pub kept_bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Receipts that are not released.
    pub receipts_live: u64,
    /// When the lowest-numbered live receipt came.
    pub oldest_live: Option<Timestamp>,
    /// Batches written since the start; each cost one sync a disk.
    pub batches: u64,
    /// Why nothing is accepted any more; the process should end.
    pub stopped: Option<String>,
}
