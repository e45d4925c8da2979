//! A disk that works on real files, can be told to fail, and can forget what was not synced, as a power cut does.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::journal::disk::{Disk, RealDisk};

/// A sector is written whole or not at all (bytes).
const SECTOR: u64 = 512;

/// What fails, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    /// The n-th call that changes something, from 1.
    pub at: u64,
    pub errno: rustix::io::Errno,
    /// Also every later call.
    pub stays: bool,
}

#[derive(Debug, Default)]
struct Memory {
    calls: u64,
    fault: Option<Fault>,
    fault_hit: bool,
    failed_syncs: HashSet<u64>,
    synced: HashSet<u64>,
    synced_folders: HashSet<PathBuf>,
    syncs_after_failure: u64,
    /// Sectors that were written and not synced: what was there before, by inode and offset.
    unsynced: HashMap<(u64, u64), Vec<u8>>,
    paths: HashMap<u64, PathBuf>,
    /// Names that are not durable yet.
    new_names: HashSet<PathBuf>,
    /// Removals that are not durable yet: the name, and where its file waits.
    removed: Vec<(PathBuf, PathBuf)>,
    graves: Option<tempfile::TempDir>,
    held: bool,
    waiting: u64,
}

#[derive(Debug, Default)]
pub(super) struct Simulated {
    memory: Mutex<Memory>,
    released: Condvar,
}

/// While it lives, syncs wait.
pub(super) struct Hold(Arc<Simulated>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.memory.lock().held = false;
        self.0.released.notify_all();
    }
}

impl Simulated {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(super) fn fail(&self, fault: Option<Fault>) {
        let mut memory = self.memory.lock();
        memory.calls = 0;
        memory.fault = fault;
        memory.fault_hit = false;
        memory.syncs_after_failure = 0;
        memory.failed_syncs.clear();
    }

    pub(super) fn fault_hit(&self) -> bool {
        self.memory.lock().fault_hit
    }

    /// Syncs of a file that were asked for after one of the same file had failed.
    pub(super) fn syncs_after_failure(&self) -> u64 {
        self.memory.lock().syncs_after_failure
    }

    /// Whether a file or folder was synced since the disk was made.
    pub(super) fn was_synced(&self, path: &Path) -> bool {
        let memory = self.memory.lock();
        memory.synced_folders.contains(path) || memory.synced.contains(&std::fs::metadata(path).unwrap().ino())
    }

    pub(super) fn hold_syncs(self: &Arc<Self>) -> Hold {
        self.memory.lock().held = true;
        Hold(Arc::clone(self))
    }

    /// Syncs that wait.
    pub(super) fn waiting(&self) -> u64 {
        self.memory.lock().waiting
    }

    /// A power cut: of what was not synced, each sector and each name survives as `survives` says.
    pub(super) fn power_cut(&self, mut survives: impl FnMut() -> bool) {
        let mut memory = self.memory.lock();
        let mut unsynced: Vec<_> = std::mem::take(&mut memory.unsynced).into_iter().collect();
        unsynced.sort();
        for ((inode, at), before) in unsynced {
            if !survives()
                && let Some(path) = memory.paths.get(&inode)
                && let Ok(file) = File::options().write(true).open(path)
            {
                file.write_all_at(&before, at).unwrap();
            }
        }
        for (name, grave) in std::mem::take(&mut memory.removed) {
            if !survives() && !name.exists() {
                std::fs::rename(grave, name).unwrap();
            }
        }
        let mut names: Vec<_> = std::mem::take(&mut memory.new_names).into_iter().collect();
        names.sort();
        for name in names {
            if !survives() {
                drop(std::fs::remove_file(name));
            }
        }
    }

    fn step(&self) -> io::Result<()> {
        let mut memory = self.memory.lock();
        memory.calls += 1;
        match memory.fault {
            Some(fault) if memory.calls == fault.at || (fault.stays && memory.calls > fault.at) => {
                memory.fault_hit = true;
                Err(fault.errno.into())
            }
            _ => Ok(()),
        }
    }
}

impl Disk for Simulated {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.step()?;
        let file = RealDisk.create(path)?;
        let mut memory = self.memory.lock();
        memory.paths.insert(file.metadata()?.ino(), path.to_owned());
        memory.new_names.insert(path.to_owned());
        Ok(file)
    }

    fn preallocate(&self, file: &File, length: u64) -> io::Result<()> {
        self.step()?;
        RealDisk.preallocate(file, length)
    }

    fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        let failed = self.step();
        // A write that fails may have written something.
        let bytes = if failed.is_err() { &bytes[..bytes.len() / 2] } else { bytes };
        let inode = file.metadata()?.ino();
        let mut memory = self.memory.lock();
        for sector in at / SECTOR..(at + bytes.len() as u64).div_ceil(SECTOR) {
            memory.unsynced.entry((inode, sector * SECTOR)).or_insert_with(|| {
                let mut before = vec![0; SECTOR as usize];
                let read = file.read_at(&mut before, sector * SECTOR).unwrap();
                before.truncate(read);
                before.resize(SECTOR as usize, 0);
                before
            });
        }
        drop(memory);
        RealDisk.write_at(file, bytes, at)?;
        failed
    }

    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        self.step()?;
        let inode = file.metadata()?.ino();
        self.memory.lock().unsynced.retain(|&(of, at), _| of != inode || at < length);
        RealDisk.truncate(file, length)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let inode = file.metadata()?.ino();
        let mut memory = self.memory.lock();
        if memory.failed_syncs.contains(&inode) {
            memory.syncs_after_failure += 1;
        }
        memory.waiting += 1;
        while memory.held {
            self.released.wait(&mut memory);
        }
        memory.waiting -= 1;
        drop(memory);
        if let Err(error) = self.step() {
            self.memory.lock().failed_syncs.insert(inode);
            return Err(error);
        }
        let mut memory = self.memory.lock();
        memory.unsynced.retain(|&(of, _), _| of != inode);
        memory.synced.insert(inode);
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.step()?;
        let mut memory = self.memory.lock();
        memory.synced_folders.insert(folder.to_owned());
        memory.new_names.retain(|name| name.parent() != Some(folder));
        memory.removed.retain(|(name, _)| name.parent() != Some(folder));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        let mut memory = self.memory.lock();
        let count = memory.removed.len();
        let graves = memory.graves.get_or_insert_with(|| tempfile::tempdir().unwrap());
        let grave = graves.path().join(format!("{count}-{}", path.file_name().unwrap().display()));
        std::fs::rename(path, &grave)?;
        if !memory.new_names.remove(path) {
            memory.removed.push((path.to_owned(), grave));
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        RealDisk.rename(from, to)?;
        let mut memory = self.memory.lock();
        if memory.new_names.remove(from) {
            memory.new_names.insert(to.to_owned());
        }
        memory.paths.insert(File::open(to)?.metadata()?.ino(), to.to_owned());
        Ok(())
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(folder)
    }
}
