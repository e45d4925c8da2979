//! Segments made ahead, written full of zeros and synced before they are needed, by a thread of their own.
//!
//! Overwriting costs the disk one sync of data. Writing into room that was only reserved also changes the file system's
//! metadata with every sync, which takes about twice as long (docs/adr/0012). For a reader there is no difference: reserved
//! room is zero too. A segment that is not ready in time, or for which there is no room, is made when it is needed.
//!
//! They are made while nothing is received: a burst finds them ready and does not share the disk with them.
//!
//! The files of released segments are used again, which also spares the memory of their pages.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::disk::Disk;
use super::folder::Folder;
use super::state::{Shared, Twin};

/// Zeros written before each sync: receiving shares the disk, and must not wait long behind one sync of them (bytes).
const PIECE_BYTES: usize = 8 * 1024 * 1024;
/// After a failure, full disk among them, the next attempt waits so long, or until a spare is taken.
const PAUSE: Duration = Duration::from_secs(30);

/// Nothing was received for so long when a spare is begun.
#[cfg(not(test))]
const IDLE: Duration = Duration::from_secs(1);
#[cfg(test)]
const IDLE: Duration = Duration::from_millis(1);

/// A segment that waits for its name.
#[derive(Debug)]
pub(super) struct Spare {
    /// Which of the names for spares it has.
    pub index: u64,
    pub files: Twin,
    /// Bytes that are written.
    pub room: u64,
}

/// The spares that are ready.
#[derive(Debug, Default)]
pub(super) struct Spares {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Spare>,
    /// The file of a released segment, which is not zero yet: one is kept for the next spare.
    used: Option<Spare>,
    made: u64,
    ended: bool,
}

impl Spares {
    /// The next spare, if it has so much room.
    pub(super) fn take(&self, room: u64) -> Option<Spare> {
        let mut state = self.state.lock();
        let fits = state.ready.front().is_some_and(|spare| spare.room >= room);
        let spare = if fits { state.ready.pop_front() } else { None };
        self.changed.notify_all();
        spare
    }

    /// Ends the thread.
    pub(super) fn end(&self) {
        self.state.lock().ended = true;
        self.changed.notify_all();
    }

    fn has_ended(&self) -> bool {
        self.state.lock().ended
    }

    /// Waits until one more is wanted and nothing is received, which `batches` counts; gives what it is made of, or `None`
    /// at the end.
    fn wanted(&self, count: usize, batches: impl Fn() -> u64) -> Option<Source> {
        let mut state = self.state.lock();
        while !state.ended {
            if state.ready.len() >= count {
                self.changed.wait(&mut state);
                continue;
            }
            let before = batches();
            // Woken early, it looks again.
            let whole = self.changed.wait_for(&mut state, IDLE).timed_out();
            if whole && batches() == before {
                break;
            }
        }
        if state.ended {
            return None;
        }
        if let Some(used) = state.used.take() {
            return Some(Source::Used(used));
        }
        state.made += 1;
        Some(Source::New(state.made))
    }

    /// The index of one more spare, if a used file is welcome.
    fn welcome(&self, count: usize) -> Option<u64> {
        let mut state = self.state.lock();
        if state.ended || state.used.is_some() || count == 0 {
            return None;
        }
        state.made += 1;
        Some(state.made)
    }

    /// Gives a used file; gives back one that is too many.
    fn offer(&self, used: Spare) -> Option<Spare> {
        let too_many = self.state.lock().used.replace(used);
        self.changed.notify_all();
        too_many
    }

    fn pause(&self) {
        let mut state = self.state.lock();
        if !state.ended {
            self.changed.wait_for(&mut state, PAUSE);
        }
    }

    /// Gives one that is ready, or gives it back.
    pub(super) fn put(&self, spare: Spare) {
        self.state.lock().ready.push_back(spare);
        self.changed.notify_all();
    }

    /// Waits until so many are ready.
    #[cfg(test)]
    pub(super) fn wait_for(&self, count: usize) {
        let mut state = self.state.lock();
        while !state.ended && state.ready.len() < count {
            self.changed.wait(&mut state);
        }
    }

    fn drain(&self) -> Vec<Spare> {
        let mut state = self.state.lock();
        let used = state.used.take();
        state.ready.drain(..).chain(used).collect()
    }
}

/// What a spare is made of.
enum Source {
    New(u64),
    Used(Spare),
}

/// Keeps the files of a released segment for a spare, if one is wanted and nobody reads them; tells whether it did.
pub(super) fn reuse(shared: &Shared, number: u64, files: Twin) -> bool {
    // Nobody can come to read them any more; who began before holds them.
    if files.files().any(|file| Arc::strong_count(file) > 1) {
        return false;
    }
    let Some(index) = shared.spares.welcome(shared.options.spare_segments) else { return false };
    for folder in shared.folders_mirror_first() {
        if shared.disk.rename(&folder.segment(number), &folder.spare(index)).is_err() {
            // What has the new name is swept by the next start, what has the old one is deleted now.
            return false;
        }
    }
    if let Some(too_many) = shared.spares.offer(Spare { index, files, room: 0 }) {
        remove(shared, too_many.index);
    }
    true
}

/// Keeps spares ready until it is told to end; then they are deleted.
pub(super) fn run(shared: &Shared) {
    while let Some(source) = shared.spares.wanted(shared.options.spare_segments, || shared.state.lock().batches) {
        let (index, made) = match source {
            Source::New(index) => (index, make(shared, index)),
            Source::Used(spare) => (spare.index, fill_again(shared, spare)),
        };
        match made {
            Ok(spare) => shared.spares.put(spare),
            Err(error) => {
                tracing::debug!(%error, "no segment of the journal is made ahead for now");
                remove(shared, index);
                shared.spares.pause();
            }
        }
    }
    shared.spares.drain().iter().for_each(|spare| remove(shared, spare.index));
}

fn make(shared: &Shared, index: u64) -> io::Result<Spare> {
    let room = shared.options.segment_bytes;
    shared.free_for(room).map_err(io::Error::other)?;
    let filled = |folder: &Folder| {
        let file = shared.disk.create(&folder.spare(index))?;
        fill(shared, &file, room)?;
        Ok::<_, io::Error>(Arc::new(file))
    };
    let main = filled(&shared.main)?;
    let mirror = shared.mirror.as_ref().map(filled).transpose()?;
    Ok(Spare { index, files: Twin { main, mirror }, room })
}

fn fill_again(shared: &Shared, used: Spare) -> io::Result<Spare> {
    let room = shared.options.segment_bytes;
    // It was cut where its last record ended, and may have been longer than others.
    shared.free_for(room).map_err(io::Error::other)?;
    for file in used.files.files() {
        shared.disk.truncate(file, room)?;
        fill(shared, file, room)?;
    }
    Ok(Spare { room, ..used })
}

fn fill(shared: &Shared, file: &File, room: u64) -> io::Result<()> {
    let zeros = vec![0; PIECE_BYTES.min(usize::try_from(room).unwrap_or(PIECE_BYTES))];
    let mut at = 0;
    while at < room {
        if shared.spares.has_ended() {
            return Err(io::Error::other("the journal is being shut down"));
        }
        let count = usize::try_from(room - at).unwrap_or(usize::MAX).min(zeros.len());
        shared.disk.write_at(file, zeros.get(..count).unwrap_or_default(), at)?;
        shared.disk.sync(file)?;
        at += count as u64;
    }
    Ok(())
}

fn remove(shared: &Shared, index: u64) {
    for folder in shared.folders() {
        // What is left behind is swept by the next start.
        drop(shared.disk.remove(&folder.spare(index)));
    }
}

/// Removes spares of an earlier process: nobody knows how far they were written.
pub(super) fn sweep(folder: &Folder, disk: &dyn Disk) -> io::Result<()> {
    for path in folder.spares()? {
        disk.remove(&path)?;
    }
    Ok(())
}
