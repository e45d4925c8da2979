//! Tables of fixed-width rows that stay in memory while small and spill to a scratch file when they grow.
//!
//! A slide of four gigapixels has a million frames, and a hostile file may claim 2^26 fragments: the cut list of one
//! instance must not decide how much memory the process takes. Rows have one width and one byte form, the same in
//! the scratch file, in the journal and in `vellum/frames.bin` of a pack (docs/FORMAT.md, "Tables").

use std::fs::File;
use std::io::{self, Write as _};
use std::marker::PhantomData;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Rows kept in memory before a table moves to scratch.
pub const ROWS_IN_MEMORY_MAX: usize = 65_536;

/// A row with one width and one byte form (little endian).
pub trait FixedRow: Copy {
    /// Bytes of a row.
    const WIDTH: usize;
    /// Writes the row; `into` has [`FixedRow::WIDTH`] bytes.
    fn encode(&self, into: &mut [u8]);
    /// Reads a row; `from` has [`FixedRow::WIDTH`] bytes. Any bytes give some row: whoever reads stored rows checks
    /// them against the digest of their block first and against their bounds before use.
    fn decode(from: &[u8]) -> Self;
}

/// A table of rows: appended to, then read by index.
#[derive(Debug)]
pub struct Table<R> {
    memory: Vec<R>,
    spill: Option<Spill>,
    spill_folder: Option<PathBuf>,
    memory_rows_max: usize,
    marker: PhantomData<R>,
}

/// Bytes gathered before they are written to scratch.
const PENDING_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug)]
struct Spill {
    file: File,
    rows: u64,
    written: u64,
    pending: Vec<u8>,
}

impl Spill {
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        let on_disk = usize::try_from(self.written.saturating_sub(at)).unwrap_or(usize::MAX).min(bytes.len());
        let (head, tail) = bytes.split_at_mut(on_disk);
        self.file.read_exact_at(head, at)?;
        let start = usize::try_from(at.saturating_sub(self.written)).unwrap_or(usize::MAX);
        let from = self.pending.get(start..).and_then(|pending| pending.get(..tail.len()));
        tail.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl<R: FixedRow> Table<R> {
    /// A table that moves to an unnamed file in `spill_folder` above [`ROWS_IN_MEMORY_MAX`] rows.
    #[must_use]
    pub fn with_spill(spill_folder: &Path) -> Self {
        Self { spill_folder: Some(spill_folder.to_owned()), ..Self::in_memory() }
    }

    /// A table that stays in memory: for what is bounded by other means.
    #[must_use]
    pub const fn in_memory() -> Self {
        Self {
            memory: Vec::new(),
            spill: None,
            spill_folder: None,
            memory_rows_max: ROWS_IN_MEMORY_MAX,
            marker: PhantomData,
        }
    }

    /// Rows so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.memory.len() as u64 + self.spill.as_ref().map_or(0, |spill| spill.rows)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a row.
    ///
    /// # Errors
    /// When the scratch file cannot be made or written.
    pub fn push(&mut self, row: R) -> io::Result<()> {
        if self.memory.len() < self.memory_rows_max || self.spill_folder.is_none() {
            self.memory.push(row);
            return Ok(());
        }
        if self.spill.is_none() {
            let folder = self.spill_folder.as_deref().unwrap_or_else(|| Path::new("."));
            self.spill = Some(Spill { file: unnamed_file(folder)?, rows: 0, written: 0, pending: Vec::new() });
        }
        if let Some(spill) = &mut self.spill {
            let start = spill.pending.len();
            spill.pending.resize(start + R::WIDTH, 0);
            row.encode(spill.pending.get_mut(start..).unwrap_or_default());
            spill.rows += 1;
            if spill.pending.len() >= PENDING_BYTES_MAX {
                spill.file.write_all(&spill.pending)?;
                spill.written += spill.pending.len() as u64;
                spill.pending.clear();
            }
        }
        Ok(())
    }

    /// The row at an index from 0, or `None` past the end.
    ///
    /// # Errors
    /// When the scratch file cannot be read.
    pub fn get(&self, index: u64) -> io::Result<Option<R>> {
        let in_memory = self.memory.len() as u64;
        if index < in_memory {
            return Ok(usize::try_from(index).ok().and_then(|index| self.memory.get(index).copied()));
        }
        let Some(spill) = &self.spill else { return Ok(None) };
        let row = index - in_memory;
        if row >= spill.rows {
            return Ok(None);
        }
        let mut bytes = vec![0_u8; R::WIDTH];
        spill.read_at(&mut bytes, row * R::WIDTH as u64)?;
        Ok(Some(R::decode(&bytes)))
    }

    /// Calls `visit` with each row in order; stops at the first error.
    ///
    /// # Errors
    /// What `visit` says, or a scratch file that cannot be read.
    pub fn for_each<E: From<io::Error>>(&self, mut visit: impl FnMut(R) -> Result<(), E>) -> Result<(), E> {
        for &row in &self.memory {
            visit(row)?;
        }
        let Some(spill) = &self.spill else { return Ok(()) };
        let mut block = vec![0_u8; R::WIDTH * 1024];
        let mut read = 0;
        while read < spill.rows {
            let count = (spill.rows - read).min(1024);
            let length = usize::try_from(count).unwrap_or(1024) * R::WIDTH;
            let bytes = block.get_mut(..length).unwrap_or_default();
            spill.read_at(bytes, read * R::WIDTH as u64)?;
            for row in bytes.chunks_exact(R::WIDTH) {
                visit(R::decode(row))?;
            }
            read += count;
        }
        Ok(())
    }

    /// All rows, where the caller knows that they are few.
    ///
    /// # Errors
    /// When the scratch file cannot be read.
    pub fn to_vec(&self) -> io::Result<Vec<R>> {
        let mut rows = Vec::new();
        self.for_each(|row| {
            rows.push(row);
            Ok::<(), io::Error>(())
        })?;
        Ok(rows)
    }
}

impl<R: FixedRow> FromIterator<R> for Table<R> {
    fn from_iter<I: IntoIterator<Item = R>>(rows: I) -> Self {
        Self { memory: rows.into_iter().collect(), ..Self::in_memory() }
    }
}

/// A file without a name: it is gone when the process is, however the process ends.
pub(crate) fn unnamed_file(folder: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Number(u64);
    impl FixedRow for Number {
        const WIDTH: usize = 8;
        fn encode(&self, into: &mut [u8]) {
            into.copy_from_slice(&self.0.to_le_bytes());
        }
        fn decode(from: &[u8]) -> Self {
            Self(u64::from_le_bytes(from.try_into().unwrap()))
        }
    }

    #[test]
    fn i12_a_table_reads_the_same_in_memory_and_spilled() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = Table::with_spill(folder.path());
        let rows = ROWS_IN_MEMORY_MAX as u64 + 3000;
        for number in 0..rows {
            table.push(Number(number * 7)).unwrap();
        }
        assert_eq!(table.len(), rows);
        assert_eq!(table.memory.len(), ROWS_IN_MEMORY_MAX);
        assert_eq!(table.get(rows - 1).unwrap(), Some(Number((rows - 1) * 7)));
        assert_eq!(table.get(5).unwrap(), Some(Number(35)));
        assert_eq!(table.get(rows).unwrap(), None);
        let all = table.to_vec().unwrap();
        assert!(all.iter().enumerate().all(|(index, row)| row.0 == index as u64 * 7));
        table.push(Number(1)).unwrap();
        assert_eq!(table.get(rows).unwrap(), Some(Number(1)));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the scratch file has no name");
    }
}
