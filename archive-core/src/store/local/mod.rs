//! A store in a local folder.
//!
//! What must always hold: an object appears whole or not at all, under a name that bore nothing before; when a call
//! says "created", the object, its name and every folder up to the root survive a power cut (promise I1). So each
//! object is written to the staging area, synced, linked to its name create-only, and every folder is synced up to the
//! root. No path leads through a symbolic link. All disk work runs off the async runtime.

mod folders;
mod listing;
mod stage;
mod steps;
#[cfg(test)]
mod tests;
mod write;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use self::folders::{Absent, Chain, open_file, open_folder};
use self::listing::Listing;
use self::stage::Stage;
use self::steps::{Step, Steps, Undisturbed};
use self::write::Source;
pub(crate) use self::write::not_as_announced;
use super::gate::{DeleteOutcome, DeletingStore, Permit};
use super::{
    AdminError, ConditionalStore, Created, ProbeKey, READ_WHOLE_BYTES_MAX, Store, StoreAdmin, StoreError, StoreKey,
    StoredObject, Versioning,
};
use crate::entropy::SharedEntropy;
use crate::identifiers::Sha256Digest;

/// A store in a local folder.
#[derive(Debug, Clone)]
pub struct LocalStore {
    folder: Arc<Folder>,
}

/// The open root and what is needed to write below it.
#[derive(Debug)]
struct Folder {
    name: String,
    path: PathBuf,
    root: OwnedFd,
    /// Entered at the first write: before that nobody knows whether this folder is the store that it should be, and in
    /// one that is not, nothing may be created.
    stage: Mutex<Option<Arc<Stage>>>,
    entropy: SharedEntropy,
    steps: Arc<dyn Steps>,
}

impl LocalStore {
    /// Opens a folder that exists; nothing is created in it. The first write sweeps what a crash left in its staging area.
    /// A folder that is not there is an error: it may be a disk that is not mounted, and an empty folder must never take
    /// its place.
    ///
    /// # Errors
    /// What the operating system says; a root that is itself a symbolic link is followed, what lies below is not.
    pub async fn open(name: &str, root: &Path, entropy: SharedEntropy) -> io::Result<Self> {
        let (name, root) = (name.to_owned(), root.to_owned());
        spawn(move || Self::open_now(&name, &root, entropy, Arc::new(Undisturbed))).await
    }

    /// Makes a folder for a new store, with the folders above it where they are missing, and opens it. One that exists
    /// is opened.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn create(name: &str, root: &Path, entropy: SharedEntropy) -> io::Result<Self> {
        let (name, root) = (name.to_owned(), root.to_owned());
        spawn(move || {
            make_root(&root)?;
            Self::open_now(&name, &root, entropy, Arc::new(Undisturbed))
        })
        .await
    }

    fn open_now(name: &str, path: &Path, entropy: SharedEntropy, steps: Arc<dyn Steps>) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&path, flags, Mode::empty())?;
        let folder = Folder { name: name.to_owned(), path, root, stage: Mutex::new(None), entropy, steps };
        Ok(Self { folder: Arc::new(folder) })
    }

    /// Runs disk work off the runtime. It goes on to its end even if nobody waits for it any more.
    async fn run<T: Send + 'static>(
        &self,
        doing: &'static str,
        key: &StoreKey,
        work: impl FnOnce(&Folder, &StoreKey) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (folder, name) = (Arc::clone(&self.folder), key.clone());
        let done = crate::off_runtime::blocking(move || work(&folder, &name)).await;
        done.unwrap_or_else(|panic| Err(StoreError::unavailable(&self.folder.name, doing, key, panic)))
    }
}

impl Folder {
    fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Our part of the staging area.
    fn stage(&self) -> io::Result<Arc<Stage>> {
        let mut entered = self.stage.lock();
        if let Some(stage) = entered.as_ref() {
            return Ok(Arc::clone(stage));
        }
        let (stage, swept) = Stage::enter(self.root(), &self.entropy.nonce()?)?;
        if swept > 0 {
            tracing::info!(store = %self.name, swept, "staged files of a process that ended were taken away");
        }
        let stage = Arc::new(stage);
        *entered = Some(Arc::clone(&stage));
        Ok(stage)
    }

    /// Turns what the operating system said into what the archive says. "Not found" is said only while the folder that
    /// was opened still is where the configuration says: otherwise the disk went away, and nothing can be told.
    fn error(&self, doing: &'static str, key: &StoreKey, error: io::Error) -> StoreError {
        if error.kind() != io::ErrorKind::NotFound {
            return StoreError::unavailable(&self.name, doing, key, explained(error));
        }
        match self.is_still_there() {
            Ok(true) => StoreError::NotFound { store: self.name.clone(), key: key.clone() },
            _ => {
                let found = format!("the folder {} is not the one that was opened any more", self.path.display());
                StoreError::unavailable(&self.name, doing, key, found)
            }
        }
    }

    /// As [`Folder::error`] for writing: what is not found then is our own staging area or the root, so the staging
    /// area is entered anew the next time, and "not found" is not the answer.
    fn write_error(&self, doing: &'static str, key: &StoreKey, error: io::Error) -> StoreError {
        if error.kind() == io::ErrorKind::NotFound {
            *self.stage.lock() = None;
            let found = format!("a folder below {} went away meanwhile", self.path.display());
            return StoreError::unavailable(&self.name, doing, key, found);
        }
        self.error(doing, key, error)
    }

    fn is_still_there(&self) -> io::Result<bool> {
        let (opened, there) = (rustix::fs::fstat(&self.root)?, rustix::fs::stat(&self.path)?);
        Ok(opened.st_nlink > 0 && (opened.st_dev, opened.st_ino) == (there.st_dev, there.st_ino))
    }

    fn open_object(&self, key: &StoreKey) -> io::Result<(File, u64)> {
        let (chain, leaf) = Chain::to(self.root(), key, Absent::Fail, &*self.steps)?;
        open_file(chain.innermost(), leaf)
    }

    fn read(&self, key: &StoreKey, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        let doing = if range.is_some() { "reading a range of" } else { "reading" };
        let failed = |error| self.error(doing, key, error);
        let (file, size) = self.open_object(key).map_err(failed)?;
        let range = match range {
            None if size > READ_WHOLE_BYTES_MAX => return Err(StoreError::too_large(&self.name, key, size)),
            None => 0..size,
            Some(range) if range.start > range.end || range.end > size => {
                return Err(StoreError::past_the_end(&self.name, key, &range, size));
            }
            Some(range) => range,
        };
        let length = usize::try_from(range.end - range.start).map_err(|error| failed(io::Error::other(error)))?;
        read_at(&file, range.start, length).map(Bytes::from).map_err(failed)
    }

    fn size(&self, key: &StoreKey) -> Result<Option<u64>, StoreError> {
        let found = Chain::to(self.root(), key, Absent::Fail, &*self.steps).and_then(|(chain, leaf)| {
            let stat = rustix::fs::statat(chain.innermost(), leaf, AtFlags::SYMLINK_NOFOLLOW)?;
            folders::object_size(&stat)
        });
        match found.map_err(|error| self.error("looking for", key, error)) {
            Ok(size) => Ok(Some(size)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self, folder: &StoreKey, after: Option<&StoreKey>, limit: usize) -> Result<Vec<StoredObject>, StoreError> {
        let mut listing = Listing { after, limit, found: Vec::new() };
        let walked = Chain::to(self.root(), folder, Absent::Fail, &*self.steps).and_then(|(chain, last)| {
            let opened = open_folder(chain.innermost(), last)?;
            listing.walk(opened.as_fd(), &format!("{folder}/"), 0)
        });
        match walked.map_err(|error| self.error("listing", folder, error)) {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(listing.found),
            Err(error) => Err(error),
        }
    }

    /// Takes a name away and makes that durable.
    fn unlink(&self, key: &StoreKey) -> DeleteOutcome {
        let opened = Chain::to(self.root(), key, Absent::Fail, &*self.steps);
        let (chain, leaf) = match opened.map_err(|error| self.error("deleting", key, error)) {
            Ok(opened) => opened,
            Err(StoreError::NotFound { .. }) => return DeleteOutcome::WasAbsent,
            Err(error) => return DeleteOutcome::Refused(error),
        };
        let unlinked = self
            .steps
            .before(Step::Unlink)
            .and_then(|()| rustix::fs::unlinkat(chain.innermost(), leaf, AtFlags::empty()).map_err(io::Error::from));
        let outcome = match unlinked {
            Ok(()) => DeleteOutcome::Gone,
            Err(error) if error.kind() == io::ErrorKind::NotFound => DeleteOutcome::WasAbsent,
            Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => {
                return DeleteOutcome::Unknown(self.error("deleting", key, error));
            }
            Err(error) => return DeleteOutcome::Refused(self.error("deleting", key, error)),
        };
        // A crash here may bring the name back: the object is then still there, and the intent in the ledger says why
        // it may go. Synced also where the name was gone: an earlier attempt may have ended before its sync.
        match chain.sync(&*self.steps) {
            Ok(()) => outcome,
            Err(error) => DeleteOutcome::Unknown(self.error("deleting", key, error)),
        }
    }
}

#[async_trait]
impl Store for LocalStore {
    fn name(&self) -> &str {
        &self.folder.name
    }

    async fn create(&self, key: &StoreKey, bytes: Bytes) -> Result<Created, StoreError> {
        self.run("creating", key, move |folder, key| folder.create(key, &Source::Bytes(&bytes))).await
    }

    async fn create_from_file(
        &self,
        key: &StoreKey,
        file: &Path,
        size: u64,
        sha256: Sha256Digest,
    ) -> Result<Created, StoreError> {
        let path = file.to_owned();
        self.run("creating", key, move |folder, key| folder.create(key, &Source::File { path: &path, size, sha256 }))
            .await
    }

    async fn read(&self, key: &StoreKey) -> Result<Bytes, StoreError> {
        self.run("reading", key, |folder, key| folder.read(key, None)).await
    }

    async fn read_range(&self, key: &StoreKey, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.run("reading a range of", key, |folder, key| folder.read(key, Some(range))).await
    }

    async fn size(&self, key: &StoreKey) -> Result<Option<u64>, StoreError> {
        self.run("looking for", key, Folder::size).await
    }

    async fn list(
        &self,
        folder: &StoreKey,
        after: Option<&StoreKey>,
        limit: usize,
    ) -> Result<Vec<StoredObject>, StoreError> {
        let after = after.cloned();
        self.run("listing", folder, move |root, folder| root.list(folder, after.as_ref(), limit)).await
    }
}

#[async_trait]
impl ConditionalStore for LocalStore {
    async fn put_if_absent(&self, key: &ProbeKey, bytes: Bytes) -> Result<bool, StoreError> {
        self.run("probing with", key.key(), move |folder, key| folder.put_if_absent(key, &Source::Bytes(&bytes))).await
    }

    async fn remove_probe(&self, key: &ProbeKey) -> Result<(), StoreError> {
        self.run("deleting the probe", key.key(), |folder, key| match folder.unlink(key) {
            DeleteOutcome::Refused(error) | DeleteOutcome::Unknown(error) => Err(error),
            _ => Ok(()),
        })
        .await
    }
}

#[async_trait]
impl DeletingStore for LocalStore {
    async fn delete(&self, permit: Permit) -> DeleteOutcome {
        let key = permit.key().clone();
        let name = self.folder.name.clone();
        let deleted = self.run("deleting", &key, move |folder, _| {
            // Spent here and not before: the queue of disk work may have been long.
            Ok(match permit.spend(&name) {
                Ok(key) => folder.unlink(&key),
                Err(error) => DeleteOutcome::NotPermitted(error),
            })
        });
        deleted.await.unwrap_or_else(DeleteOutcome::Unknown)
    }
}

#[async_trait]
impl StoreAdmin for LocalStore {
    async fn versioning(&self) -> Result<Versioning, AdminError> {
        // Snapshots of the file system are beyond what we can see, as backups of a bucket are.
        Ok(Versioning::Off)
    }
}

async fn spawn<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    crate::off_runtime::blocking(work).await.unwrap_or_else(|panic| Err(io::Error::other(panic)))
}

/// Bytes of a file from an offset; the memory for them is not filled first.
fn read_at(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let at = offset + bytes.len() as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut bytes), at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // There may have been more room than was asked for.
    bytes.truncate(length);
    Ok(bytes)
}

/// Makes a folder and those above it, and syncs each folder that got a new name in it.
fn make_root(root: &Path) -> io::Result<()> {
    let root = std::path::absolute(root)?;
    let missing: Vec<&Path> = root.ancestors().take_while(|folder| !folder.exists()).collect();
    for folder in missing.iter().rev() {
        match std::fs::DirBuilder::new().mode(folders::FOLDER_MODE.as_raw_mode()).create(folder) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        if let Some(above) = folder.parent() {
            File::open(above)?.sync_all()?;
        }
    }
    Ok(())
}

/// Adds to an error of the operating system what it means here and what to do.
fn explained(error: io::Error) -> io::Error {
    let advice = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOSPC) => "the disk is full (blocks or inodes): free some room or add some",
        Some(Errno::DQUOT) => "the quota of the archive's user is used up: raise it",
        Some(Errno::FBIG) => "the file is larger than the file system or the process limit allows",
        Some(Errno::ROFS) => "the file system is mounted read-only: look for disk errors before mounting it again",
        Some(Errno::LOOP | Errno::NOTDIR) => {
            "a symbolic link or a file lies where a folder or an object should be: no link in a store is followed"
        }
        Some(Errno::ACCESS | Errno::PERM) => "the archive's user may not do that: look at owner and mode of the folder",
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}: {advice}"))
}
