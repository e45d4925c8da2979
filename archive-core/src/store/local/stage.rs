//! The staging area of a local store: `.stage/<nonce>/`, where files are written before they get their names.
//!
//! Every process that writes has a folder of its own with a locked file `lock` in it. Whoever opens the store takes the
//! folders away whose lock nobody holds: their process ended. So a crash leaves nothing for long, and a second process
//! (a verb of the command line beside the running archive) never sweeps what the first is writing.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::folders::{FILE_MODE, FOLDER_MODE, open_folder};
use super::steps::{Step, Steps};

/// The folder's name in the root. It begins with a dot, so that no object's name can lead into it.
pub(super) const STAGE: &str = ".stage";
const LOCK: &str = "lock";

/// Our own part of the staging area, held as long as this lives.
#[derive(Debug)]
pub(super) struct Stage {
    all: OwnedFd,
    own: OwnedFd,
    nonce: String,
    _lock: OwnedFd,
    next: AtomicU64,
}

/// A staged file: it has no name in the store yet.
#[derive(Debug)]
pub(super) struct Staged {
    /// Where to write.
    pub(super) file: File,
    /// Its name in the staging area.
    pub(super) name: String,
}

impl Stage {
    /// Makes our own part, and sweeps those whose process ended. Gives how many files were swept.
    ///
    /// # Errors
    /// What the operating system says, a read-only file system for instance.
    pub(super) fn enter(root: BorrowedFd<'_>, nonce: &str) -> io::Result<(Self, u64)> {
        make(root, STAGE)?;
        let all = open_folder(root, STAGE)?;
        // Held while entering: between making a folder and locking it, it looks like one whose process ended. Where the
        // file system has no locks, nothing is swept.
        let guarded = rustix::fs::flock(&all, FlockOperation::LockExclusive).is_ok();
        let swept = if guarded { sweep(all.as_fd())? } else { 0 };
        make(all.as_fd(), nonce)?;
        let own = open_folder(all.as_fd(), nonce)?;
        let lock = create_file(own.as_fd(), LOCK)?;
        if guarded {
            rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
            rustix::fs::flock(&all, FlockOperation::Unlock)?;
        }
        Ok((Self { all, own, nonce: nonce.to_owned(), _lock: lock, next: AtomicU64::new(0) }, swept))
    }

    /// Opens a new file.
    pub(super) fn open(&self, steps: &dyn Steps) -> io::Result<Staged> {
        let name = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        steps.before(Step::OpenStage)?;
        let file = create_file(self.own.as_fd(), &name)?;
        Ok(Staged { file: File::from(file), name })
    }

    /// Gives a staged file its name in a folder, if nothing bears it yet: `false` when something does. The staged name
    /// is gone or of no consequence afterwards.
    ///
    /// A hard link is create-only on every file system that has them; where there are none, `RENAME_NOREPLACE` is.
    pub(super) fn publish(
        &self,
        staged: &str,
        folder: BorrowedFd<'_>,
        name: &str,
        steps: &dyn Steps,
    ) -> io::Result<bool> {
        steps.before(Step::Publish)?;
        let linked = rustix::fs::linkat(&self.own, staged, folder, name, AtFlags::empty());
        let outcome = match linked {
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
                rustix::fs::renameat_with(&self.own, staged, folder, name, rustix::fs::RenameFlags::NOREPLACE)
            }
            other => other,
        };
        match outcome {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(other) => Err(other.into()),
        }
    }

    /// Takes a staged name away. A failure is of no consequence: the next to open the store sweeps it.
    pub(super) fn forget(&self, staged: &str, steps: &dyn Steps) {
        if steps.before(Step::DropStage).is_err() {
            return;
        }
        match rustix::fs::unlinkat(&self.own, staged, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => tracing::debug!(%error, "a staged file stays behind until the store is opened again"),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A folder that still holds a staged file stays, and is swept by the next who opens the store.
        let _ = rustix::fs::unlinkat(&self.own, LOCK, AtFlags::empty());
        let _ = rustix::fs::unlinkat(&self.all, self.nonce.as_str(), AtFlags::REMOVEDIR);
    }
}

fn make(within: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    match rustix::fs::mkdirat(within, name, FOLDER_MODE) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(other) => Err(other.into()),
    }
}

fn create_file(within: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(within, name, flags, FILE_MODE)?)
}

/// Takes away every part whose lock nobody holds; gives how many staged files that were.
fn sweep(all: BorrowedFd<'_>) -> io::Result<u64> {
    let mut swept = 0;
    for name in names(all)? {
        let Ok(part) = open_folder(all, &name) else { continue };
        if let Some(lock) = open_lock(part.as_fd())
            && rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err()
        {
            continue;
        }
        for staged in names(part.as_fd())? {
            rustix::fs::unlinkat(&part, staged.as_str(), AtFlags::empty())?;
            swept += u64::from(staged != LOCK);
        }
        rustix::fs::unlinkat(all, name.as_str(), AtFlags::REMOVEDIR)?;
    }
    Ok(swept)
}

fn open_lock(part: BorrowedFd<'_>) -> Option<OwnedFd> {
    rustix::fs::openat(part, LOCK, OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).ok()
}

fn names(folder: BorrowedFd<'_>) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().to_str()
            && name != "."
            && name != ".."
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
