//! A disk that works on real files, can be told to fail, and can forget what was not synced, as a power cut does.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::machine::{Fate, Machine};
use crate::journal::{Disk, RealDisk};

/// A sector is written whole or not at all (bytes).
const SECTOR: u64 = 512;
/// What it says is free: what really is would not be the same twice (bytes).
const FREE_BYTES: u64 = 1 << 40;

/// What fails, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskFault {
    /// The n-th call that changes something, from 1.
    pub at: u64,
    /// What the system says.
    pub errno: rustix::io::Errno,
    /// Also every later call.
    pub stays: bool,
}

#[derive(Debug, Default)]
struct Memory {
    calls: u64,
    fault: Option<DiskFault>,
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
    /// Removals that are not durable yet.
    removed: Vec<Removed>,
    /// Durable names that were changed, and are not durable under the new name yet.
    renamed: Vec<(PathBuf, PathBuf)>,
    held: bool,
    lies: bool,
    waiting: u64,
}

/// A name that was removed, and what the file had.
#[derive(Debug)]
struct Removed {
    name: PathBuf,
    inode: u64,
    bytes: Vec<u8>,
}

/// A disk that works on real files.
#[derive(Debug)]
pub struct FaultDisk {
    machine: Arc<Machine>,
    memory: Mutex<Memory>,
    released: Condvar,
}

/// While it lives, syncs wait.
#[derive(Debug)]
pub struct Hold(Arc<FaultDisk>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.memory.lock().held = false;
        self.0.released.notify_all();
    }
}

impl FaultDisk {
    /// A disk of a machine of its own.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::of(Machine::new())
    }

    /// A disk of a machine.
    #[must_use]
    pub fn of(machine: Arc<Machine>) -> Arc<Self> {
        Arc::new(Self { machine, memory: Mutex::default(), released: Condvar::new() })
    }

    /// From now on calls that change something are counted, and fail so; `None` ends that.
    pub fn fail(&self, fault: Option<DiskFault>) {
        let mut memory = self.memory.lock();
        memory.calls = 0;
        memory.fault = fault;
        memory.fault_hit = false;
        memory.syncs_after_failure = 0;
        memory.failed_syncs.clear();
    }

    /// From now on syncs are answered, and nothing is made durable by them: what a test must notice.
    pub fn lie_about_syncs(&self) {
        self.memory.lock().lies = true;
    }

    /// Whether the fault was hit.
    #[must_use]
    pub fn fault_hit(&self) -> bool {
        self.memory.lock().fault_hit
    }

    /// Syncs of a file that were asked for after one of the same file had failed.
    #[must_use]
    pub fn syncs_after_failure(&self) -> u64 {
        self.memory.lock().syncs_after_failure
    }

    /// Whether a file or folder was synced since the disk was made.
    #[must_use]
    pub fn was_synced(&self, path: &Path) -> bool {
        let memory = self.memory.lock();
        memory.synced_folders.contains(path) || memory.synced.contains(&std::fs::metadata(path).unwrap().ino())
    }

    /// Syncs wait while what is given lives.
    #[must_use]
    pub fn hold_syncs(self: &Arc<Self>) -> Hold {
        self.memory.lock().held = true;
        Hold(Arc::clone(self))
    }

    /// Syncs that wait.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.memory.lock().waiting
    }

    /// A power cut: of what was not synced, each sector and each name survives as `survives` says.
    pub fn power_cut(&self, mut survives: impl FnMut() -> bool) {
        let mut memory = self.memory.lock();
        let mut unsynced: Vec<_> = std::mem::take(&mut memory.unsynced).into_iter().collect();
        unsynced.sort();
        let mut removed = std::mem::take(&mut memory.removed);
        for ((inode, at), before) in unsynced {
            if survives() {
                continue;
            }
            if let Some(removed) = removed.iter_mut().find(|removed| removed.inode == inode) {
                put(&mut removed.bytes, at, &before);
            } else if let Some(path) = memory.paths.get(&inode)
                && let Ok(file) = File::options().write(true).open(path)
            {
                file.write_all_at(&before, at).unwrap();
            }
        }
        for (from, to) in std::mem::take(&mut memory.renamed).into_iter().rev() {
            if !survives() && !from.exists() {
                drop(std::fs::rename(to, from));
            }
        }
        for removed in removed {
            if !survives() && !removed.name.exists() {
                std::fs::write(removed.name, removed.bytes).unwrap();
            }
        }
        let mut names: Vec<_> = std::mem::take(&mut memory.new_names).into_iter().collect();
        names.sort();
        for name in names {
            if !survives() {
                drop(std::fs::remove_file(name));
            }
        }
        memory.paths.clear();
    }

    /// Counts a call, and says whether it is made whole, in part or not at all.
    fn step(&self, doing: &str, name: &Path) -> io::Result<()> {
        let name = name.file_name().unwrap_or_default().display();
        match self.machine.call(format_args!("disk: {doing} {name}")) {
            Fate::Goes => {}
            // What it does now it does while the machine dies.
            Fate::GoesAndDies => return Ok(()),
            Fate::Dies => return Err(rustix::io::Errno::IO.into()),
            Fate::Dead => return Err(rustix::io::Errno::NXIO.into()),
        }
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

    fn name_of(&self, file: &File) -> io::Result<PathBuf> {
        Ok(self.memory.lock().paths.get(&file.metadata()?.ino()).cloned().unwrap_or_default())
    }

    /// A call that succeeded while the machine died: nobody hears of it.
    fn heard<T>(&self, done: T) -> io::Result<T> {
        if self.machine.is_dead() { Err(rustix::io::Errno::NXIO.into()) } else { Ok(done) }
    }
}

/// Whether the machine was dead before the call.
fn is_dead(outcome: &io::Result<()>) -> bool {
    let dead = rustix::io::Errno::NXIO.raw_os_error();
    outcome.as_ref().is_err_and(|error| error.raw_os_error() == Some(dead))
}

fn put(bytes: &mut Vec<u8>, at: u64, before: &[u8]) {
    let at = usize::try_from(at).unwrap();
    if bytes.len() < at + before.len() {
        bytes.resize(at + before.len(), 0);
    }
    bytes[at..at + before.len()].copy_from_slice(before);
}

impl Disk for FaultDisk {
    /// An ordinary handle: what is written by it goes the same way, and is forgotten by the same power cuts.
    fn open_direct(&self, path: &Path) -> io::Result<Option<File>> {
        // What is there before is read through it.
        File::options().read(true).write(true).open(path).map(Some)
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        self.step("create", path)?;
        let file = RealDisk.create(path)?;
        let mut memory = self.memory.lock();
        memory.paths.insert(file.metadata()?.ino(), path.to_owned());
        memory.new_names.insert(path.to_owned());
        drop(memory);
        self.heard(file)
    }

    fn preallocate(&self, file: &File, length: u64) -> io::Result<()> {
        self.step("preallocate", &self.name_of(file)?)?;
        RealDisk.preallocate(file, length)?;
        self.heard(())
    }

    fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        let failed = self.step("write", &self.name_of(file)?);
        if is_dead(&failed) {
            return failed;
        }
        // A write that fails may have written something.
        let bytes = if failed.is_err() { &bytes[..bytes.len() / 2] } else { bytes };
        let inode = file.metadata()?.ino();
        let mut memory = self.memory.lock();
        for sector in at / SECTOR..(at + bytes.len() as u64).div_ceil(SECTOR) {
            memory.unsynced.entry((inode, sector * SECTOR)).or_insert_with(|| {
                let mut before = vec![0; usize::try_from(SECTOR).unwrap()];
                let read = file.read_at(&mut before, sector * SECTOR).unwrap();
                before.truncate(read);
                before.resize(usize::try_from(SECTOR).unwrap(), 0);
                before
            });
        }
        drop(memory);
        RealDisk.write_at(file, bytes, at)?;
        failed.and_then(|()| self.heard(()))
    }

    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        self.step("truncate", &self.name_of(file)?)?;
        let inode = file.metadata()?.ino();
        self.memory.lock().unsynced.retain(|&(of, at), _| of != inode || at < length);
        RealDisk.truncate(file, length)?;
        self.heard(())
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
        if let Err(error) = self.step("sync", &self.name_of(file)?) {
            self.memory.lock().failed_syncs.insert(inode);
            return Err(error);
        }
        let mut memory = self.memory.lock();
        if !memory.lies {
            memory.unsynced.retain(|&(of, _), _| of != inode);
            memory.synced.insert(inode);
        }
        drop(memory);
        self.heard(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.step("sync folder", folder)?;
        let mut memory = self.memory.lock();
        memory.synced_folders.insert(folder.to_owned());
        memory.new_names.retain(|name| name.parent() != Some(folder));
        memory.removed.retain(|removed| removed.name.parent() != Some(folder));
        memory.renamed.retain(|(_, to)| to.parent() != Some(folder));
        drop(memory);
        self.heard(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step("remove", path)?;
        let mut memory = self.memory.lock();
        let (inode, bytes) = (std::fs::metadata(path)?.ino(), std::fs::read(path)?);
        RealDisk.remove(path)?;
        if !memory.new_names.remove(path) {
            memory.removed.push(Removed { name: path.to_owned(), inode, bytes });
        }
        drop(memory);
        self.heard(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step("rename", from)?;
        RealDisk.rename(from, to)?;
        let mut memory = self.memory.lock();
        if memory.new_names.remove(from) {
            memory.new_names.insert(to.to_owned());
        } else {
            memory.renamed.push((from.to_owned(), to.to_owned()));
        }
        memory.paths.insert(File::open(to)?.metadata()?.ino(), to.to_owned());
        drop(memory);
        self.heard(())
    }

    fn free_bytes(&self, _folder: &Path) -> io::Result<u64> {
        Ok(FREE_BYTES)
    }
}
