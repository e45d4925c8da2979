//! What the journal asks of a disk: the one place where its writes, syncs and deletions happen.
//!
//! Behind a trait, so that tests can fail the n-th call and can forget, as a power cut does, what was not synced.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

/// A disk that several parts share.
pub type SharedDisk = Arc<dyn Disk>;

/// Everything that changes files of the journal. Each call does one thing and reports what the system said.
pub trait Disk: Send + Sync + std::fmt::Debug {
    /// A new file; an error if the name is taken.
    ///
    /// # Errors
    /// When the system refuses, or the name is taken.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// A second handle on a file, whose writes go past the page cache: whole blocks, from memory on a border of blocks.
    /// `None` where that is not to be had.
    ///
    /// # Errors
    /// When the system refuses.
    fn open_direct(&self, path: &Path) -> io::Result<Option<File>>;
    /// Reserves room, so that a full disk shows when a segment is made and not when a receipt is committed. Where
    /// the file system cannot, nothing happens.
    ///
    /// # Errors
    /// When there is no room.
    fn preallocate(&self, file: &File, length: u64) -> io::Result<()>;
    /// Writes all bytes there.
    ///
    /// # Errors
    /// When the system refuses; some of the bytes may be there.
    fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Cuts the file.
    ///
    /// # Errors
    /// When the system refuses.
    fn truncate(&self, file: &File, length: u64) -> io::Result<()>;
    /// Data, and what is needed to read it, reach the disk.
    ///
    /// # Errors
    /// When the system reports that bytes did not reach the disk; what is on it is not known then.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// The names in a folder reach the disk.
    ///
    /// # Errors
    /// As [`Disk::sync`].
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Removes a name.
    ///
    /// # Errors
    /// When the system refuses.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Gives a file another name in the same folder; what had that name is gone.
    ///
    /// # Errors
    /// When the system refuses.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Bytes that this process may still take on the file system of a folder.
    ///
    /// # Errors
    /// When the system does not tell.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;
}

/// The operating system's files.
#[derive(Debug)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        File::options().read(true).write(true).create_new(true).open(path)
    }

    fn open_direct(&self, path: &Path) -> io::Result<Option<File>> {
        let direct = rustix::fs::OFlags::DIRECT.bits();
        let flags = i32::try_from(direct).map_err(io::Error::other)?;
        match File::options().write(true).custom_flags(flags).open(path) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => Ok(None),
            other => other.map(Some),
        }
    }

    fn preallocate(&self, file: &File, length: u64) -> io::Result<()> {
        match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, length) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            other => Ok(other?),
        }
    }

    fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(folder)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}
