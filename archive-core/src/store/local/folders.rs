//! Walking to an object from the root, one folder at a time, never through a symbolic link.
//!
//! Each folder is opened relative to the one before with `O_NOFOLLOW`, so that whatever lies in a store — a link put
//! there by accident or on purpose — never leads out of it. The open folders are kept: the same descriptors are synced
//! afterwards, and not whatever bears their names by then.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};

use super::steps::{Step, Steps};
use crate::store::StoreKey;

/// Folders are for the archive's user alone.
pub(super) const FOLDER_MODE: Mode = Mode::RWXU;
/// Files are for the archive's user alone.
pub(super) const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// What to do about a folder that is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Absent {
    /// Make it.
    Make,
    /// Say `NotFound`.
    Fail,
}

/// The open folders from below the root to the one that holds an object.
#[derive(Debug)]
pub(super) struct Chain<'root> {
    root: BorrowedFd<'root>,
    below: Vec<OwnedFd>,
}

impl<'root> Chain<'root> {
    /// Opens the folders that a name leads through; gives the object's own last segment too.
    ///
    /// # Errors
    /// What the operating system says; `NotFound` only for a folder that is not there.
    pub(super) fn to<'key>(
        root: BorrowedFd<'root>,
        key: &'key StoreKey,
        absent: Absent,
        steps: &dyn Steps,
    ) -> io::Result<(Self, &'key str)> {
        let mut chain = Self { root, below: Vec::new() };
        let mut segments = key.segments().peekable();
        while let Some(segment) = segments.next() {
            if segments.peek().is_none() {
                return Ok((chain, segment));
            }
            if absent == Absent::Make {
                make_folder(chain.innermost(), segment, steps)?;
            }
            let folder = open_folder(chain.innermost(), segment)?;
            chain.below.push(folder);
        }
        Err(io::Error::new(io::ErrorKind::InvalidInput, "a name without a segment"))
    }

    /// The folder that holds the object.
    pub(super) fn innermost(&self) -> BorrowedFd<'_> {
        self.below.last().map_or(self.root, AsFd::as_fd)
    }

    /// Syncs every folder, the innermost first, the root last: a name is durable once the folder that holds it is, and
    /// that folder's own name once the one above is.
    ///
    /// # Errors
    /// What the operating system says; nothing may then be taken for durable.
    pub(super) fn sync(&self, steps: &dyn Steps) -> io::Result<()> {
        for folder in self.below.iter().rev().map(AsFd::as_fd).chain([self.root]) {
            steps.before(Step::SyncFolder)?;
            rustix::fs::fsync(folder)?;
        }
        Ok(())
    }
}

fn make_folder(within: BorrowedFd<'_>, name: &str, steps: &dyn Steps) -> io::Result<()> {
    match rustix::fs::statat(within, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => return Ok(()),
        Err(rustix::io::Errno::NOENT) => {}
        Err(other) => return Err(other.into()),
    }
    steps.before(Step::MakeFolder)?;
    match rustix::fs::mkdirat(within, name, FOLDER_MODE) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(other) => Err(other.into()),
    }
}

/// Opens a folder that is no symbolic link.
pub(super) fn open_folder(within: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(within, name, flags, Mode::empty())?)
}

/// Opens a regular file that is no symbolic link; gives its size too. A folder under that name is `NotFound`: there is
/// no such object.
pub(super) fn open_file(within: BorrowedFd<'_>, name: &str) -> io::Result<(File, u64)> {
    // NONBLOCK: a pipe that somebody put there must not hang the archive.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(within, name, flags, Mode::empty())?);
    let stat = rustix::fs::fstat(&file)?;
    let size = object_size(&stat)?;
    Ok((file, size))
}

/// The size of an object that `stat` describes.
///
/// # Errors
/// `NotFound` for a folder; `InvalidData` for a link, a pipe, a device.
pub(super) fn object_size(stat: &Stat) -> io::Result<u64> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => u64::try_from(stat.st_size).map_err(io::Error::other),
        FileType::Directory => Err(io::Error::from(io::ErrorKind::NotFound)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it is a link or a special file, and no object")),
    }
}
