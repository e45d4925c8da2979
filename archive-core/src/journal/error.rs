//! What can go wrong with the journal, by what the caller should do.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::identifiers::ReceiptNumber;

/// Why the journal refused or failed. Cloned to all who shared a batch.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// No room; nothing was kept of this instance. Accepts again when sealing or an administrator made room.
    #[error("the journal has no room: {what}")]
    Full {
        /// Which bound was reached.
        what: String,
    },
    /// A write or sync failed: what is on the disk is not known until it is read back by a new process.
    #[error(
        "the journal has stopped receiving: {reason}; end this process, the next one recovers what was acknowledged"
    )]
    Stopped {
        /// What failed.
        reason: String,
    },
    /// Another process has the folder.
    #[error("the journal {folder} is in use by another process; stop it, or give this one a data folder of its own")]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder lies in memory.
    #[error(
        "the journal {folder} lies on {kind}, which forgets everything at a power cut; move it to a disk, \
         or allow it explicitly for tests"
    )]
    Volatile {
        /// The folder.
        folder: PathBuf,
        /// The file system.
        kind: &'static str,
    },
    /// The folder holds another archive's journal.
    #[error("{file} belongs to archive {found}, not to {expected}; check the data folder, nothing was changed")]
    OtherArchive {
        /// The segment.
        file: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose journal was to be opened.
        expected: String,
    },
    /// The folder knows a later epoch than the ledger that was opened.
    #[error("{file} is of epoch {found}, later than {expected}; the ledger that was opened is behind this journal")]
    LaterEpoch {
        /// The segment.
        file: PathBuf,
        /// Its epoch.
        found: u32,
        /// The epoch that was to be opened.
        expected: u32,
    },
    /// A later program wrote it.
    #[error(
        "{file} holds journal frames of version {version}, kind {kind}; this program reads version 1: use the later one"
    )]
    NewerFormat {
        /// The segment.
        file: PathBuf,
        /// The frame's version.
        version: u16,
        /// The frame's kind.
        kind: u16,
    },
    /// What was to be committed does not fit together; nothing was written.
    #[error("not committed: {what}")]
    Invalid {
        /// What does not fit.
        what: String,
    },
    /// Not a live receipt of this journal.
    #[error("receipt {receipt} is not in the journal (any more)")]
    NotHeld {
        /// Its number.
        receipt: ReceiptNumber,
    },
    /// An option cannot work.
    #[error("journal options: {what}")]
    Options {
        /// Which, and why.
        what: String,
    },
    /// The operating system refused.
    #[error("journal: {doing} {path}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What it said.
        source: Arc<io::Error>,
    },
}

impl JournalError {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| {
            if is_full(&source) {
                return Self::Full { what: format!("{doing} {}: {source}", path.display()) };
            }
            Self::Io { doing, path, source: Arc::new(source) }
        }
    }
}

/// Whether an error says "no room" and nothing worse: disk, quota, the size a file may have, or files open at once.
pub(super) fn is_full(error: &io::Error) -> bool {
    let too_many_files = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE].map(rustix::io::Errno::raw_os_error);
    if error.raw_os_error().is_some_and(|errno| too_many_files.contains(&errno)) {
        return true;
    }
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}
