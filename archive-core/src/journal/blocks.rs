//! Writing a batch in whole blocks, past the page cache where the file system lets us.
//!
//! Bytes of the journal are read again once, when they are sealed, or never; finding pages for them in the page cache costs
//! the writer several times what the disk does (docs/adr/0013). A batch begins on a border of blocks and is zero behind
//! its last frame, so whole blocks can be written from memory that lies on such a border.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::Disk;
use super::frame::BATCH_ALIGN;

/// Bytes gathered before they are written.
const GATHERED_BYTES: usize = 1024 * 1024;
const BLOCK: usize = BATCH_ALIGN as usize;

/// One file of the segment that is written to.
#[derive(Debug)]
pub(super) struct BlockWriter {
    path: PathBuf,
    file: Arc<File>,
    /// The same file, past the page cache; `None` where that is not wanted or not possible.
    direct: Option<File>,
    gathered: Gathered,
}

impl BlockWriter {
    /// Writes to a file, past the page cache if `direct` says so and the system can.
    pub(super) fn new(file: Arc<File>, path: &Path, disk: &dyn Disk, direct: bool) -> Self {
        let opened = if direct { disk.open_direct(path) } else { Ok(None) };
        let direct = opened.unwrap_or_else(|error| {
            tracing::debug!(path = %path.display(), %error, "the journal is written through the page cache");
            None
        });
        Self { path: path.to_owned(), file, direct, gathered: Gathered::new() }
    }

    /// The file's name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes pieces one behind the other from `at`, which is a border of blocks, and zeros to the next border.
    pub(super) fn write(&mut self, disk: &dyn Disk, pieces: &[&[u8]], at: u64) -> io::Result<()> {
        let mut at = at;
        self.gathered.filled = 0;
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                rest = self.gathered.take(rest);
                if self.gathered.is_full() {
                    at = self.put(disk, at)?;
                }
            }
        }
        self.gathered.fill_up_to_border();
        self.put(disk, at)?;
        Ok(())
    }

    /// Data, and what is needed to read it, reach the disk.
    pub(super) fn sync(&self, disk: &dyn Disk) -> io::Result<()> {
        disk.sync(&self.file)
    }

    /// Writes what is gathered; gives where the next goes.
    fn put(&mut self, disk: &dyn Disk, at: u64) -> io::Result<u64> {
        let bytes = self.gathered.bytes();
        let next = at + bytes.len() as u64;
        if !bytes.is_empty() {
            match self.direct.as_ref().map(|direct| disk.write_at(direct, bytes, at)) {
                Some(Err(error)) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {
                    // Larger blocks than ours, or a file system that says it can and cannot.
                    self.direct = None;
                    disk.write_at(&self.file, bytes, at)?;
                }
                Some(written) => written?,
                None => disk.write_at(&self.file, bytes, at)?,
            }
        }
        self.gathered.filled = 0;
        Ok(next)
    }
}

/// Memory that begins on a border of blocks.
struct Gathered {
    memory: Vec<u8>,
    start: usize,
    filled: usize,
}

impl std::fmt::Debug for Gathered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gathered({} bytes)", self.filled)
    }
}

impl Gathered {
    fn new() -> Self {
        let memory = vec![0; GATHERED_BYTES + BLOCK];
        // Where there is no such place, writing past the page cache is refused, and goes through it.
        let start = memory.as_ptr().align_offset(BLOCK).min(BLOCK);
        Self { memory, start, filled: 0 }
    }

    fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..self.start + self.filled).unwrap_or_default()
    }

    fn is_full(&self) -> bool {
        self.filled == GATHERED_BYTES
    }

    /// Copies as much as there is room for; gives the rest.
    fn take<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (now, later) = bytes.split_at(bytes.len().min(GATHERED_BYTES - self.filled));
        let from = self.start + self.filled;
        if let Some(room) = self.memory.get_mut(from..from + now.len()) {
            room.copy_from_slice(now);
        }
        self.filled += now.len();
        later
    }

    fn fill_up_to_border(&mut self) {
        let end = self.filled.next_multiple_of(BLOCK);
        if let Some(rest) = self.memory.get_mut(self.start + self.filled..self.start + end) {
            rest.fill(0);
        }
        self.filled = end;
    }
}
