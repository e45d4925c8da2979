//! Listing a local store: in the order of names, without following links, a folder at a time.
//!
//! Memory is bounded by one folder on each level of the way. Names that no object can have (a file manager's leftovers,
//! the staging area) are passed over.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use jiff::Timestamp;
use rustix::fs::{AtFlags, Dir, FileType, Stat};
use rustix::io::Errno;

use super::folders::open_folder;
use crate::store::{StoreKey, StoredObject};

/// How deep a store's folders go at most; the layout needs four.
const DEPTH_MAX: usize = 32;

/// A listing under way.
pub(super) struct Listing<'a> {
    /// Names up to and including this one are left out.
    pub(super) after: Option<&'a StoreKey>,
    /// How many objects at most.
    pub(super) limit: usize,
    /// What was found so far.
    pub(super) found: Vec<StoredObject>,
}

impl Listing<'_> {
    /// Lists what lies in an open folder, whose name is `prefix` (ending in `/`).
    pub(super) fn walk(&mut self, folder: BorrowedFd<'_>, prefix: &str, depth: usize) -> io::Result<()> {
        for name in ordered_names(folder)? {
            if self.found.len() >= self.limit {
                return Ok(());
            }
            let full = format!("{prefix}{name}");
            if let Some(inner) = name.strip_suffix('/') {
                if depth < DEPTH_MAX && !self.is_past(&full) {
                    self.descend(folder, inner, &full, depth)?;
                }
            } else if let Ok(key) = StoreKey::parse(&full)
                && self.after.is_none_or(|after| key > *after)
            {
                self.add(folder, &name, key)?;
            }
        }
        Ok(())
    }

    /// Whether every name in the folder `full` is left out by `after`.
    fn is_past(&self, full: &str) -> bool {
        self.after.is_some_and(|after| full < after.as_str() && !after.as_str().starts_with(full))
    }

    fn descend(&mut self, folder: BorrowedFd<'_>, name: &str, full: &str, depth: usize) -> io::Result<()> {
        match open_folder(folder, name) {
            Ok(inner) => self.walk(inner.as_fd(), full, depth + 1),
            // Gone, or exchanged for a link, since its name was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn add(&mut self, folder: BorrowedFd<'_>, name: &str, key: StoreKey) -> io::Result<()> {
        match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
                let size = u64::try_from(stat.st_size).map_err(io::Error::other)?;
                self.found.push(StoredObject { key, size, modified: modified(&stat) });
                Ok(())
            }
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The names in a folder, a folder's name with `/` behind it, in the order that full names have: the names below `a/`
/// come after `a-b` and before `a0`.
fn ordered_names(folder: BorrowedFd<'_>) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name.starts_with('.') || StoreKey::parse(name).is_err() {
            continue;
        }
        match kind_of(folder, name, entry.file_type())? {
            Some(FileType::Directory) => names.push(format!("{name}/")),
            Some(FileType::RegularFile) => names.push(name.to_owned()),
            _ => tracing::debug!(name, "a link or special file in a store is passed over"),
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// What an entry is, asking the file system where the folder does not say.
fn kind_of(folder: BorrowedFd<'_>, name: &str, said: FileType) -> io::Result<Option<FileType>> {
    if said != FileType::Unknown {
        return Ok(Some(said));
    }
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn modified(stat: &Stat) -> Timestamp {
    let nanoseconds = i32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    Timestamp::new(stat.st_mtime, nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}
