//! The journal's folder: the names in it, its lock, and whether it lies on a disk at all.
//!
//! ```text
//! lock                            held by the process that has the journal
//! segment-0000000001.journal      segments, numbered in the order they were made
//! spill/<32 hex>.bin              large instances, one a file
//! spare-0000000001.zeros          segments made ahead: zeros, which hold nothing
//! tail-…                          what could not be read, kept for a person
//! ```
//! A mirror has the same files with the same bytes. No name is made from what was received.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::disk::Disk;
use super::error::JournalError;

/// Where spill files lie, within the folder.
pub(super) const SPILL_FOLDER: &str = "spill";
const LOCK_FILE: &str = "lock";
const TMPFS_MAGIC: u64 = 0x0102_1994;
const RAMFS_MAGIC: u64 = 0x8584_58f6;

/// The random name of a spill file: 32 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct SpillName(String);

impl SpillName {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let good = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        good.then(|| Self(text.to_owned()))
    }
}

impl TryFrom<String> for SpillName {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("a spill file is named by 32 lower-case hexadecimal digits")
    }
}

impl From<SpillName> for String {
    fn from(name: SpillName) -> Self {
        name.0
    }
}

impl std::fmt::Display for SpillName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// One folder with the journal's files: the journal's own, or its mirror.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn segment(&self, number: u64) -> PathBuf {
        self.path.join(format!("segment-{number:010}.journal"))
    }

    /// Where a segment lies that was made ahead and has no number yet.
    pub(super) fn spare(&self, index: u64) -> PathBuf {
        self.path.join(format!("spare-{index:010}.zeros"))
    }

    pub(super) fn spill_folder(&self) -> PathBuf {
        self.path.join(SPILL_FOLDER)
    }

    pub(super) fn spill(&self, name: &SpillName) -> PathBuf {
        self.spill_folder().join(format!("{name}.bin"))
    }

    /// Where the bytes from `offset` of a segment on are kept if they cannot be read.
    pub(super) fn tail(&self, segment: u64, offset: u64) -> PathBuf {
        self.path.join(format!("tail-{segment:010}-{offset}.bin"))
    }

    /// Where a spill file is kept that no record names although some record could not be read.
    pub(super) fn tail_spill(&self, name: &SpillName) -> PathBuf {
        self.path.join(format!("tail-spill-{name}.bin"))
    }

    /// Makes the folder if it is not there, takes its lock and refuses what forgets.
    pub(super) fn take(path: &Path, allow_volatile: bool, disk: &dyn Disk) -> Result<(Self, File), JournalError> {
        let folder = Self { path: path.to_owned() };
        let spill = folder.spill_folder();
        std::fs::create_dir_all(&spill).map_err(JournalError::io("making", &spill))?;
        if !allow_volatile {
            refuse_volatile(path)?;
        }
        let lock = folder.lock()?;
        // A crash here leaves an empty folder; the next start goes on from it.
        for synced in [Some(path), path.parent().filter(|parent| !parent.as_os_str().is_empty())].into_iter().flatten()
        {
            disk.sync_folder(synced).map_err(JournalError::io("syncing", synced))?;
        }
        Ok((folder, lock))
    }

    fn lock(&self) -> Result<File, JournalError> {
        let path = self.path.join(LOCK_FILE);
        let opened = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(JournalError::io("opening", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(JournalError::Locked { folder: self.path.clone() }),
            Err(error) => Err(JournalError::io("locking", &path)(error.into())),
        }
    }

    /// Numbers of the segments that are there, ascending.
    pub(super) fn segments(&self) -> io::Result<Vec<u64>> {
        let digits = |name: &str| name.strip_prefix("segment-")?.strip_suffix(".journal")?.parse::<u64>().ok();
        let mut numbers = names(&self.path)?.iter().filter_map(|name| digits(name)).collect::<Vec<_>>();
        numbers.retain(|&number| self.segment(number).is_file());
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Segments made ahead that are there.
    pub(super) fn spares(&self) -> io::Result<Vec<PathBuf>> {
        let all = names(&self.path)?;
        let spares = all.iter().filter(|name| name.starts_with("spare-") && name.ends_with(".zeros"));
        Ok(spares.map(|name| self.path.join(name)).collect())
    }

    /// Names of the spill files that are there.
    pub(super) fn spills(&self) -> io::Result<Vec<SpillName>> {
        let all = names(&self.spill_folder())?;
        Ok(all.iter().filter_map(|name| SpillName::parse(name.strip_suffix(".bin")?)).collect())
    }

    /// Bytes of everything that was kept because it could not be read.
    pub(super) fn kept_bytes(&self) -> io::Result<u64> {
        let kept = names(&self.path)?.into_iter().filter(|name| name.starts_with("tail-"));
        kept.map(|name| Ok(std::fs::metadata(self.path.join(name))?.len())).sum()
    }
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

fn refuse_volatile(path: &Path) -> Result<(), JournalError> {
    let stat = rustix::fs::statfs(path)
        .map_err(|error| JournalError::io("asking for the file system of", path)(error.into()))?;
    let kind = match u64::from_ne_bytes(stat.f_type.to_ne_bytes()) & 0xFFFF_FFFF {
        TMPFS_MAGIC => "tmpfs",
        RAMFS_MAGIC => "ramfs",
        _ => return Ok(()),
    };
    Err(JournalError::Volatile { folder: path.to_owned(), kind })
}
