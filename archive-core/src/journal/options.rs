//! What the journal is told: where it lies, how large it may grow, whose it is.

use std::path::PathBuf;
use std::time::Duration;

use super::error::JournalError;
use crate::identifiers::ArchiveId;

/// Memory that every intake holds from its first byte on (bytes): the unit in which the budget is taken.
pub(super) const CHUNK_BYTES: usize = 256 * 1024;
/// Bytes of one memory permit.
pub(super) const PERMIT_BYTES: u64 = 1024;
/// No segment is made smaller than this (bytes): a head and one batch.
const SEGMENT_BYTES_MIN: u64 = 8 * 1024;

/// Where the journal lies and what bounds it. All sizes are bytes.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// The journal's folder; made if it is not there (its parent must be).
    pub folder: PathBuf,
    /// A second folder on another disk, written and synced before every answer.
    pub mirror: Option<PathBuf>,
    /// Where large cut lists spill to when they are read back; unnamed files, gone with the process.
    pub scratch: PathBuf,
    /// The archive whose journal this is; another's is refused.
    pub archive: ArchiveId,
    /// The ledger epoch in which numbers are given now; they begin at 1 in each.
    pub epoch: u32,
    /// No receipt of this epoch gets a lower number: one above the highest that the ledger knows, 1 if it knows none.
    pub numbers_from: u64,
    /// A segment is preallocated with this size (1 GiB).
    pub segment_bytes: u64,
    /// Batches are written past the page cache where the file system can (yes).
    pub direct: bool,
    /// Segments that are kept ready, written full of zeros; 0, the default, makes each when it is needed.
    pub spare_segments: usize,
    /// An instance up to this size is gathered in memory, a larger one in a file of its own (8 MiB).
    pub inline_bytes: u64,
    /// Sum of the memory of all intakes and of batches on their way to the disk (256 MiB); who comes later waits.
    pub memory_bytes: u64,
    /// A batch that shares one sync takes no further entries beyond this (8 MiB).
    pub batch_bytes: u64,
    /// Entries are refused as [`JournalError::Full`] when segments and spill files hold this much (64 GiB).
    pub cap_bytes: u64,
    /// … and when this many receipts are live (1,000,000): their facts are held in memory by the archive.
    pub receipts_max: u64,
    /// Free disk that is left to others: new segments and large instances are refused below it (2 GiB).
    pub reserve_bytes: u64,
    /// Segments older than this, of which less than half is still needed, are copied forward (6 h).
    pub compact_after: Duration,
    /// Accept a folder on tmpfs or ramfs, where a sync means nothing. For tests only.
    pub allow_volatile: bool,
}

impl JournalOptions {
    /// The defaults for a journal in `folder`.
    #[must_use]
    pub fn new(folder: PathBuf, archive: ArchiveId, epoch: u32) -> Self {
        Self {
            scratch: folder.join(super::folder::SPILL_FOLDER),
            folder,
            mirror: None,
            archive,
            epoch,
            numbers_from: 1,
            segment_bytes: 1 << 30,
            direct: true,
            spare_segments: 0,
            inline_bytes: 8 << 20,
            memory_bytes: 256 << 20,
            batch_bytes: 8 << 20,
            cap_bytes: 64 << 30,
            receipts_max: 1_000_000,
            reserve_bytes: 2 << 30,
            compact_after: Duration::from_secs(6 * 3600),
            allow_volatile: false,
        }
    }

    /// Refuses what cannot work, before anything is touched.
    pub(super) fn check(&self) -> Result<(), JournalError> {
        let refuse = |what: String| Err(JournalError::Options { what });
        if self.memory_bytes < CHUNK_BYTES as u64 {
            return refuse(format!("memory_bytes is {}, the least is {CHUNK_BYTES}", self.memory_bytes));
        }
        if self.memory_bytes / PERMIT_BYTES > u64::from(u32::MAX) {
            return refuse(format!("memory_bytes is {}, the most is 4 TiB", self.memory_bytes));
        }
        if self.segment_bytes < SEGMENT_BYTES_MIN {
            return refuse(format!("segment_bytes is {}, the least is {SEGMENT_BYTES_MIN}", self.segment_bytes));
        }
        if self.mirror.as_ref() == Some(&self.folder) {
            return refuse("the mirror is the journal's own folder; it belongs on another disk".to_owned());
        }
        Ok(())
    }
}
