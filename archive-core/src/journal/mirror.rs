//! The mirror at start: entries that are missing here are taken from it, and what it lacks is copied into it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::appender::{Appender, Group, GroupContent, Inline};
use super::disk::Disk;
use super::entry::JournalEntry;
use super::error::JournalError;
use super::folder::Folder;
use super::options::CHUNK_BYTES;
use super::record::{ContentKey, Holder, Place};
use super::recover::{Finding, FindingKind, append_error};
use super::scan::{ContentState, FoundCommit, ScannedFolder, ScannedSegment};
use super::state::{Live, Shared};
use crate::identifiers::ReceiptNumber;

const HALF_COPY: &str = ".new";

/// Entries that are whole in the mirror only are written again, into both folders.
pub(super) fn take_missing(
    shared: &Shared,
    appender: &mut Appender,
    twin: &mut ScannedFolder,
    held: &[JournalEntry],
    findings: &mut Vec<Finding>,
) -> Result<Vec<JournalEntry>, JournalError> {
    let mut seen: BTreeSet<ReceiptNumber> = held.iter().map(JournalEntry::number).collect();
    let mut by_content: BTreeMap<ContentKey, Vec<FoundCommit>> = BTreeMap::new();
    for commit in std::mem::take(&mut twin.commits).into_iter().rev() {
        let whole = twin.content(&commit.record.place)? == ContentState::Whole && commit.record.facts().is_some();
        if whole && seen.insert(commit.number()) {
            by_content.entry(commit.record.place.key()).or_default().push(commit);
        }
    }
    let mut taken = Vec::new();
    for commits in by_content.into_values() {
        let place = commits.first().map(|commit| commit.record.place.clone());
        if let Some(place) = place {
            taken.append(&mut write_again(shared, appender, twin, place, commits)?);
        }
    }
    if !taken.is_empty() {
        let mut receipts: Vec<ReceiptNumber> = taken.iter().map(JournalEntry::number).collect();
        receipts.sort_unstable();
        let file = twin.folder.path().to_owned();
        findings.push(Finding { kind: FindingKind::TakenFromMirror, file, range: 0..0, kept_at: None, receipts });
    }
    Ok(taken)
}

fn write_again(
    shared: &Shared,
    appender: &mut Appender,
    twin: &ScannedFolder,
    place: Place,
    commits: Vec<FoundCommit>,
) -> Result<Vec<JournalEntry>, JournalError> {
    let content = match &place.holder {
        Holder::Segment(number) => {
            let Some(segment) = twin.segments.get(number) else { return Ok(Vec::new()) };
            let reading = JournalError::io("reading", &twin.folder.segment(*number));
            GroupContent::Write(read_inline(&segment.file, &place).map_err(reading)?)
        }
        Holder::Spill(name) => {
            let (from, to) = (twin.folder.spill(name), shared.main.spill(name));
            if to.exists() {
                // Ours is not whole, or its record would have been found whole.
                let aside = shared.main.tail_spill(name);
                shared.disk.rename(&to, &aside).map_err(JournalError::io("setting aside", &to))?;
            }
            copy_file(&*shared.disk, &from, &shared.main.spill_folder(), &to)?;
            GroupContent::At(std::sync::Arc::new(place))
        }
    };
    let facts: Vec<_> = commits.iter().filter_map(|commit| commit.record.facts()).collect();
    let times: Vec<_> = commits.iter().map(|commit| commit.record.held.receipt.time).collect();
    let records = commits.into_iter().map(|commit| commit.record.into_parts()).collect();
    let group = Group { content, records };
    let placed = appender.append(shared, &[&group]).map_err(append_error)?;
    let mut entries = Vec::new();
    let mut removals = Vec::new();
    let mut state = shared.state.lock();
    for (((placed, facts), time), record) in placed.into_iter().flatten().zip(facts).zip(times).zip(group.records) {
        let live = Live { version: facts.version.clone(), place: placed.place, commit: placed.commit, time };
        state.set_live(placed.number, live, &mut removals);
        let held = crate::instance::HeldReceipt { receipt: record.receipt, prefix: record.prefix };
        entries.push(JournalEntry { held, facts, shares: record.shares });
    }
    Ok(entries)
}

/// Reads content and cut list out of a segment, to be written elsewhere. The caller checks them against `place`.
pub(super) fn read_inline(file: &File, place: &Place) -> io::Result<Inline> {
    let mut chunks = Vec::new();
    let mut at = 0;
    while at < place.length {
        let length = usize::try_from(place.length - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let mut chunk = vec![0_u8; length];
        file.read_exact_at(&mut chunk, place.offset + at)?;
        chunks.push(chunk);
        at += length as u64;
    }
    let mut tables = vec![0_u8; usize::try_from(place.tables.stored_bytes()).map_err(io::Error::other)?];
    file.read_exact_at(&mut tables, place.tables.offset)?;
    let crc32c = chunks.iter().fold(0, |crc, chunk| crc32c::crc32c_append(crc, chunk));
    Ok(Inline { chunks, length: place.length, crc32c, tables, tables_place: place.tables })
}

/// Makes the mirror hold what the journal holds. Where a segment of the journal is damaged itself, the mirror's stays.
pub(super) fn restore(
    shared: &Shared,
    main: &ScannedFolder,
    twin: &mut ScannedFolder,
    findings: &mut Vec<Finding>,
) -> Result<(), JournalError> {
    let mut restored = |file: std::path::PathBuf| {
        let (kind, range) = (FindingKind::MirrorRestored, 0..0);
        findings.push(Finding { kind, file, range, kept_at: None, receipts: Vec::new() });
    };
    for (&number, segment) in main.segments.iter().filter(|(_, segment)| segment.commits > 0) {
        let mirror = twin.segments.get(&number);
        let damaged = segment.bad.iter().any(|bad| bad.commit_follows);
        if mirror.is_some_and(|mirror| {
            same(segment, mirror) || damaged || (mirror.bad.is_empty() && !segment.bad.is_empty())
        }) {
            continue;
        }
        let to = twin.folder.segment(number);
        copy_file(&*shared.disk, &main.folder.segment(number), twin.folder.path(), &to)?;
        let copied = File::options().read(true).write(true).open(&to).map_err(JournalError::io("opening", &to))?;
        if let Some(live) = shared.state.lock().segments.get_mut(&number) {
            live.files.mirror = Some(std::sync::Arc::new(copied));
        }
        restored(to);
    }
    let live_spills = shared.state.lock().spill_places();
    for (name, place) in live_spills {
        let to = twin.folder.spill(&name);
        match twin.content(&place)? {
            ContentState::Whole => continue,
            ContentState::Gone => {}
            ContentState::Damaged => {
                let aside = twin.folder.tail_spill(&name);
                shared.disk.rename(&to, &aside).map_err(JournalError::io("setting aside", &to))?;
            }
        }
        copy_file(&*shared.disk, &shared.main.spill(&name), &twin.folder.spill_folder(), &to)?;
        restored(to);
    }
    // What the mirror alone had was written again above, or was not whole: its bad ranges are kept.
    for &number in twin.segments.keys().filter(|number| !main.segments.contains_key(number)) {
        let path = twin.folder.segment(number);
        shared.disk.remove(&path).map_err(JournalError::io("removing", &path))?;
    }
    Ok(())
}

fn same(segment: &ScannedSegment, mirror: &ScannedSegment) -> bool {
    segment.id.is_some() && (segment.id, segment.last) == (mirror.id, mirror.last) && mirror.bad.is_empty()
}

/// Copies a file under a passing name, synced, then gives it its own. A crash before leaves the passing name, which
/// the next start removes.
fn copy_file(disk: &dyn Disk, from: &Path, folder: &Path, to: &Path) -> Result<(), JournalError> {
    let source = File::open(from).map_err(JournalError::io("opening", from))?;
    let length = source.metadata().map_err(JournalError::io("reading", from))?.len();
    copy_range(disk, &source, 0..length, folder, to).map_err(JournalError::io("copying to", to))
}

/// As [`copy_file`], for a range of an open file.
pub(super) fn copy_range(
    disk: &dyn Disk,
    source: &File,
    range: Range<u64>,
    folder: &Path,
    to: &Path,
) -> io::Result<()> {
    let mut passing = to.as_os_str().to_owned();
    passing.push(HALF_COPY);
    let passing = Path::new(&passing);
    let target = disk.create(passing)?;
    let mut buffer = vec![0_u8; CHUNK_BYTES];
    let mut at = range.start;
    while at < range.end {
        let length = usize::try_from(range.end - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let bytes = buffer.get_mut(..length).unwrap_or_default();
        let copied = source.read_exact_at(bytes, at).and_then(|()| disk.write_at(&target, bytes, at - range.start));
        if let Err(error) = copied {
            drop(disk.remove(passing));
            return Err(error);
        }
        at += length as u64;
    }
    disk.sync(&target)?;
    disk.rename(passing, to)?;
    disk.sync_folder(folder)
}

/// Removes copies that a crash left half made.
pub(super) fn remove_half_copies(folder: &Folder, disk: &dyn Disk) {
    for place in [folder.path().to_owned(), folder.spill_folder()] {
        let Ok(names) = std::fs::read_dir(&place) else { continue };
        for path in names.flatten().map(|entry| entry.path()) {
            if path.to_string_lossy().ends_with(HALF_COPY) {
                drop(disk.remove(&path));
            }
        }
    }
}
