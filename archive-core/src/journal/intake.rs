//! One instance on its way in: gathered in memory while small, in a spill file when large.
//!
//! Memory is taken from one budget in steps. Nobody waits for memory while holding some: whoever gets no more goes on
//! in a file, so no set of callers can block each other. Dropping an intake forgets it: memory is given back, the
//! file deleted.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError, mpsc, oneshot};

use super::appender::{Group, GroupContent, Inline};
use super::entry::{JournalEntry, PendingReceipt};
use super::error::{JournalError, is_full};
use super::folder::SpillName;
use super::frame::COMMIT_BYTES_MAX;
use super::options::{CHUNK_BYTES, PERMIT_BYTES};
use super::record::{ContentKey, Holder, Place, RecordParts};
use super::state::{Removal, Shared};
use super::tables::{self, ROWS_AT_ONCE_MAX, TABLES_INLINE_MAX, TablesError, TablesPlace};
use super::writer::{Append, Request};
use crate::dicom::cut::CutList;

/// Facts and prefix of one instance are never longer (bytes).
const FACTS_BYTES_MAX: usize = 8 * 1024 * 1024;
const _: () = assert!((FACTS_BYTES_MAX as u64) < COMMIT_BYTES_MAX / 2 + 1);
/// Memory permits of one chunk.
const CHUNK_PERMITS: usize = CHUNK_BYTES / PERMIT_BYTES as usize;

/// An instance that is being received. [`Intake::write`] its content, then [`Intake::commit`].
#[derive(Debug)]
#[must_use = "an intake that is dropped forgets what was written to it"]
pub struct Intake {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
    permit: OwnedSemaphorePermit,
    /// `None` after a write failed: then nothing can be committed.
    held: Option<Held>,
    length: u64,
    crc32c: u32,
}

#[derive(Debug)]
enum Held {
    Memory(Vec<Vec<u8>>),
    File(SpillFile),
}

impl Intake {
    pub(super) fn new(shared: Arc<Shared>, requests: mpsc::Sender<Request>, permit: OwnedSemaphorePermit) -> Self {
        Self { shared, requests, permit, held: Some(Held::Memory(Vec::new())), length: 0, crc32c: 0 }
    }

    /// Bytes written so far.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Takes the next bytes of the content.
    ///
    /// # Errors
    /// [`JournalError::Full`] when the cap or the disk is reached, [`JournalError::Stopped`]. After an error the
    /// intake can only be dropped.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), JournalError> {
        let held = self.held.take().ok_or_else(failed_before)?;
        self.length += bytes.len() as u64;
        self.crc32c = crc32c::crc32c_append(self.crc32c, &bytes);
        let held = match held {
            Held::Memory(mut chunks) if self.memory_for(self.length)? => {
                gather(&mut chunks, &bytes);
                Held::Memory(chunks)
            }
            Held::Memory(chunks) => {
                let file = self.spill(chunks).await?;
                self.write_file(file, bytes).await?
            }
            Held::File(file) => self.write_file(file, bytes).await?,
        };
        self.held = Some(held);
        Ok(())
    }

    /// Whether so many bytes may be held in memory; takes them from the budget if they may.
    fn memory_for(&mut self, length: u64) -> Result<bool, JournalError> {
        if length > self.shared.options.inline_bytes {
            return Ok(false);
        }
        let chunks = usize::try_from(length.div_ceil(CHUNK_BYTES as u64)).unwrap_or(usize::MAX);
        let missing = chunks.saturating_mul(CHUNK_PERMITS).saturating_sub(self.permit.num_permits());
        let Ok(missing) = u32::try_from(missing) else { return Ok(false) };
        match Arc::clone(&self.shared.memory).try_acquire_many_owned(missing) {
            Ok(more) => {
                self.permit.merge(more);
                Ok(true)
            }
            Err(TryAcquireError::NoPermits) => Ok(false),
            Err(TryAcquireError::Closed) => Err(JournalError::Stopped { reason: "it was shut down".to_owned() }),
        }
    }

    /// Gives memory back but for one chunk, which holds what is not written to the file yet.
    fn keep_one_chunk(&mut self) {
        drop(self.permit.split(self.permit.num_permits().saturating_sub(CHUNK_PERMITS)));
    }

    /// Moves what was gathered into a file of its own.
    async fn spill(&mut self, chunks: Vec<Vec<u8>>) -> Result<SpillFile, JournalError> {
        let shared = Arc::clone(&self.shared);
        let file = off_the_runtime(move || {
            let mut file = SpillFile::create(shared)?;
            chunks.into_iter().try_for_each(|chunk| file.append(&chunk))?;
            Ok(file)
        });
        let file = file.await?;
        self.keep_one_chunk();
        Ok(file)
    }

    async fn write_file(&self, mut file: SpillFile, bytes: Bytes) -> Result<Held, JournalError> {
        if file.pending.len() + bytes.len() < CHUNK_BYTES {
            file.pending.extend_from_slice(&bytes);
            return Ok(Held::File(file));
        }
        let written = off_the_runtime(move || {
            file.flush()?;
            file.append(&bytes)?;
            Ok(file)
        });
        written.await.map(Held::File)
    }

    /// Makes the instance durable and gives it its number. Success means that it would survive a power cut (promise
    /// I1). If the future is dropped, the instance may still become durable; [`super::Journal::take_unclaimed`] has
    /// it then.
    ///
    /// # Errors
    /// [`JournalError::Full`], nothing is kept; [`JournalError::Stopped`], what is kept is found at the next start;
    /// [`JournalError::Invalid`] if facts or cut list are not those of what was written.
    pub async fn commit(mut self, pending: PendingReceipt) -> Result<JournalEntry, JournalError> {
        let held = self.held.take().ok_or_else(failed_before)?;
        if pending.facts.content_length != self.length {
            let found = format!("facts speak of {} bytes, {} were written", pending.facts.content_length, self.length);
            return Err(JournalError::Invalid { what: found });
        }
        let mut record = record_parts(&pending)?;
        let PendingReceipt { facts, cut, shares, .. } = pending;
        let leaned_on = shares.map(|number| self.lean_on(number, &facts.version)).transpose()?.flatten();
        let (content, guard, pinned) = if let Some((place, pin)) = leaned_on {
            self.keep_one_chunk();
            drop(held);
            (GroupContent::At(place), None, Some(pin))
        } else {
            record.shares = None;
            let (content, guard) = self.own_content(held, cut).await?;
            (content, guard, None)
        };
        let (answer, answered) = oneshot::channel();
        let Self { shared, requests, permit, .. } = self;
        let group = Group { content, records: vec![record] };
        let request = Request::Append(Box::new(Append { group, facts, guard, pinned, permit, answer }));
        if requests.send(request).await.is_err() {
            return Err(shared.stop("its writer has ended"));
        }
        answered.await.unwrap_or_else(|_| Err(shared.stop("its writer has ended")))
    }

    /// The content of a live receipt, pinned; `None` if that is not live any more.
    fn lean_on(
        &self,
        number: crate::identifiers::ReceiptNumber,
        version: &crate::instance::VersionKey,
    ) -> Result<Option<(Arc<Place>, Pin)>, JournalError> {
        let mut state = self.shared.state.lock();
        let Some(live) = state.live.get(&number) else { return Ok(None) };
        if live.version != *version {
            return Err(JournalError::Invalid { what: format!("receipt {number} is of another version") });
        }
        let place = Arc::clone(&live.place);
        state.pin(&place);
        let pin = Pin { shared: Arc::clone(&self.shared), key: Some(place.key()) };
        Ok(Some((place, pin)))
    }

    /// Prepares content and cut list: in memory, or written to the spill file and synced.
    async fn own_content(&self, held: Held, cut: CutList) -> Result<(GroupContent, Option<SpillGuard>), JournalError> {
        let (length, crc32c) = (self.length, self.crc32c);
        let extent = tables::extent(&cut);
        let file = match held {
            Held::Memory(chunks) if extent.stored_bytes() <= TABLES_INLINE_MAX => {
                let inline = move || inline(chunks, length, crc32c, &cut);
                let few = extent.units + extent.fragments + extent.frames <= ROWS_AT_ONCE_MAX;
                let inline = if few { inline()? } else { off_the_runtime(inline).await? };
                return Ok((GroupContent::Write(inline), None));
            }
            Held::Memory(chunks) => {
                let shared = Arc::clone(&self.shared);
                let spilled = off_the_runtime(move || {
                    let mut file = SpillFile::create(shared)?;
                    chunks.into_iter().try_for_each(|chunk| file.append(&chunk))?;
                    Ok(file)
                });
                spilled.await?
            }
            Held::File(file) => file,
        };
        let (place, guard) = off_the_runtime(move || file.finish(length, crc32c, &cut)).await?;
        Ok((GroupContent::At(Arc::new(place)), Some(guard)))
    }
}

fn failed_before() -> JournalError {
    JournalError::Invalid { what: "an earlier write of this instance failed".to_owned() }
}

fn record_parts(pending: &PendingReceipt) -> Result<RecordParts, JournalError> {
    let facts_json = serde_json::to_vec(&pending.facts)
        .map_err(|error| JournalError::Invalid { what: format!("the facts are no JSON: {error}") })?;
    if facts_json.len() + pending.prefix.as_ref().map_or(0, Vec::len) > FACTS_BYTES_MAX {
        let what = format!("facts and prefix are over {FACTS_BYTES_MAX} bytes");
        return Err(JournalError::Invalid { what });
    }
    Ok(RecordParts { receipt: pending.receipt(), facts_json, prefix: pending.prefix.clone(), shares: pending.shares })
}

/// Appends to chunks of bounded size; copies, so that no caller's larger buffer is held by a few bytes.
fn gather(chunks: &mut Vec<Vec<u8>>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        if chunks.last().is_none_or(|chunk| chunk.len() >= CHUNK_BYTES) {
            chunks.push(Vec::new());
        }
        let Some(chunk) = chunks.last_mut() else { return };
        let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES - chunk.len()));
        // Doubled, but never beyond what was taken from the budget.
        let wanted = (chunk.len() * 2).min(CHUNK_BYTES).max(chunk.len() + now.len());
        chunk.reserve_exact(wanted - chunk.len());
        chunk.extend_from_slice(now);
        bytes = later;
    }
}

fn inline(chunks: Vec<Vec<u8>>, length: u64, crc32c: u32, cut: &CutList) -> Result<Inline, JournalError> {
    let mut bytes = Vec::new();
    let tables_place = tables::write_tables(cut, length, |block| {
        bytes.extend_from_slice(block);
        Ok(())
    })
    .map_err(cut_error)?;
    Ok(Inline { chunks, length, crc32c, tables: bytes, tables_place })
}

fn cut_error(error: TablesError) -> JournalError {
    match error {
        TablesError::NotCovering { at } => JournalError::Invalid {
            what: format!("the units do not cover the content: gap, overlap or end at byte {at}"),
        },
        TablesError::Io(source) => JournalError::io("reading the cut list in", std::path::Path::new("scratch"))(source),
    }
}

/// Runs blocking work where it may block.
pub(super) async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    let ended = |_| Err(JournalError::Stopped { reason: "a thread of the journal ended".to_owned() });
    crate::off_runtime::blocking(work).await.unwrap_or_else(ended)
}

/// Keeps the content of another receipt from being deleted until it is dropped. Must not be dropped under the lock
/// of the state.
#[derive(Debug)]
pub(super) struct Pin {
    shared: Arc<Shared>,
    key: Option<ContentKey>,
}

impl Pin {
    /// Gives up the pin without taking it back: the caller does that.
    pub(super) fn into_key(mut self) -> Option<ContentKey> {
        self.key.take()
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut removals = Vec::new();
        if let Some(key) = self.key.take() {
            self.shared.state.lock().unpin(&key, &mut removals);
            remove_off_the_runtime(&self.shared, removals);
        }
    }
}

/// Deletes files from a place that may be on the runtime or not.
fn remove_off_the_runtime(shared: &Arc<Shared>, removals: Vec<Removal>) {
    if removals.is_empty() {
        return;
    }
    let shared = Arc::clone(shared);
    crate::off_runtime::blocking_in_background(move || shared.remove(removals));
}

/// Deletes a spill file when dropped, unless it is to be kept.
#[derive(Debug)]
pub(super) struct SpillGuard {
    shared: Arc<Shared>,
    name: SpillName,
    bytes: u64,
    kept: bool,
}

impl SpillGuard {
    /// The file stays.
    pub(super) fn keep(&mut self) {
        self.kept = true;
    }

    /// Bytes that are counted as being spilled.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its bytes are counted with the live ones from here on.
    pub(super) fn counted_elsewhere(&mut self) {
        self.bytes = 0;
    }
}

impl Drop for SpillGuard {
    fn drop(&mut self) {
        self.shared.spilling.fetch_sub(self.bytes, Ordering::Relaxed);
        if self.kept {
            return;
        }
        remove_off_the_runtime(&self.shared, vec![Removal::Spill(self.name.clone())]);
    }
}

/// A spill file that is being written, with its twin in the mirror. All methods block.
#[derive(Debug)]
struct SpillFile {
    guard: SpillGuard,
    files: Vec<Arc<File>>,
    written: u64,
    pending: Vec<u8>,
}

impl SpillFile {
    fn create(shared: Arc<Shared>) -> Result<Self, JournalError> {
        shared.free_for(0)?;
        let no_name = |error| JournalError::io("drawing a name in", shared.main.path())(error);
        let drawn = shared.entropy.nonce().map_err(no_name)?;
        let name =
            SpillName::parse(&drawn).ok_or_else(|| JournalError::Invalid { what: "no spill name".to_owned() })?;
        let mut files = Vec::new();
        let guard = SpillGuard { shared: Arc::clone(&shared), name: name.clone(), bytes: 0, kept: false };
        for folder in shared.folders() {
            let path = folder.spill(&name);
            let created = shared.disk.create(&path).map_err(|error| stop_unless_full(&shared, "making", &error))?;
            files.push(Arc::new(created));
        }
        Ok(Self { guard, files, written: 0, pending: Vec::new() })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        let shared = Arc::clone(&self.guard.shared);
        shared.admit(bytes.len() as u64, 1)?;
        if shared.free_is_stale() {
            shared.free_for(bytes.len() as u64)?;
        }
        for file in &self.files {
            let written = shared.disk.write_at(file, bytes, self.written);
            written.map_err(|error| stop_unless_full(&shared, "writing", &error))?;
        }
        self.written += bytes.len() as u64;
        self.guard.bytes += bytes.len() as u64;
        shared.spilling.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), JournalError> {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() { Ok(()) } else { self.append(&pending) }
    }

    /// Appends the cut list and syncs file and folder: only then may a commit record name it. A crash before that
    /// record leaves a file that nothing names; the next start removes it.
    fn finish(mut self, length: u64, crc32c: u32, cut: &CutList) -> Result<(Place, SpillGuard), JournalError> {
        self.flush()?;
        let mut refused = None;
        let written = tables::write_tables(cut, length, |block| {
            self.append(block).map_err(|error| {
                refused = Some(error);
                std::io::Error::other("the journal refused")
            })
        });
        let tables = match (written, refused) {
            (Ok(tables), _) => tables,
            (Err(_), Some(refused)) => return Err(refused),
            (Err(error), None) => return Err(cut_error(error)),
        };
        let shared = Arc::clone(&self.guard.shared);
        for file in &self.files {
            shared.disk.sync(file).map_err(|error| stop_unless_full(&shared, "syncing", &error))?;
        }
        for folder in shared.folders() {
            let synced = shared.disk.sync_folder(&folder.spill_folder());
            synced.map_err(|error| stop_unless_full(&shared, "syncing the folder of", &error))?;
        }
        let tables = TablesPlace { offset: length, ..tables };
        let holder = Holder::Spill(self.guard.name.clone());
        Ok((Place { holder, offset: 0, length, crc32c, tables }, self.guard))
    }
}

/// A spill file holds one receipt that nobody was told of: no room costs only that. Anything else says that the disk
/// cannot be trusted.
fn stop_unless_full(shared: &Shared, doing: &str, error: &std::io::Error) -> JournalError {
    if is_full(error) {
        return JournalError::Full { what: format!("{doing} a spill file: {error}") };
    }
    shared.stop(&format!("{doing} a spill file: {error}"))
}
