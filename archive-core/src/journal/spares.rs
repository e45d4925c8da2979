//! Segments made ahead, written full of zeros and synced before they are needed, by a thread of their own.
//!
//! Overwriting costs the disk one sync of data. Writing into room that was only reserved also changes the file system's
//! metadata with every sync, which takes about twice as long (docs/adr/0012). For a reader there is no difference: reserved
//! room is zero too. A segment that is not ready in time, or for which there is no room, is made when it is needed.

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

    /// Waits until one more is wanted; gives its index, or `None` at the end.
    fn wanted(&self, count: usize) -> Option<u64> {
        let mut state = self.state.lock();
        while !state.ended && state.ready.len() >= count {
            self.changed.wait(&mut state);
        }
        if state.ended {
            return None;
        }
        state.made += 1;
        Some(state.made)
    }

    fn pause(&self) {
        let mut state = self.state.lock();
        if !state.ended {
            self.changed.wait_for(&mut state, PAUSE);
        }
    }

    fn put(&self, spare: Spare) {
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
        self.state.lock().ready.drain(..).collect()
    }
}

/// Keeps spares ready until it is told to end; then they are deleted.
pub(super) fn run(shared: &Shared) {
    while let Some(index) = shared.spares.wanted(shared.options.spare_segments) {
        match make(shared, index) {
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
    let main = filled(shared, &shared.main, index, room)?;
    let mirror = shared.mirror.as_ref().map(|folder| filled(shared, folder, index, room)).transpose()?;
    Ok(Spare { index, files: Twin { main, mirror }, room })
}

fn filled(shared: &Shared, folder: &Folder, index: u64, room: u64) -> io::Result<Arc<File>> {
    let disk = &shared.disk;
    let file = disk.create(&folder.spare(index))?;
    let zeros = vec![0; PIECE_BYTES.min(usize::try_from(room).unwrap_or(PIECE_BYTES))];
    let mut at = 0;
    while at < room {
        if shared.spares.has_ended() {
            return Err(io::Error::other("the journal is being shut down"));
        }
        let count = usize::try_from(room - at).unwrap_or(usize::MAX).min(zeros.len());
        disk.write_at(&file, zeros.get(..count).unwrap_or_default(), at)?;
        disk.sync(&file)?;
        at += count as u64;
    }
    Ok(Arc::new(file))
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
