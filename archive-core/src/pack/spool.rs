//! Bytes that are gathered in order and given back once: in memory while few, in an unnamed scratch file when many.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::rows::unnamed_file;

/// What a spool holds in memory (bytes).
const SPOOL_MEMORY_MAX: usize = 1024 * 1024;

/// Bytes in order.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
    memory: Vec<u8>,
    file: Option<File>,
    in_file: u64,
}

impl Spool {
    /// An empty spool whose file, once needed, lies in `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), memory: Vec::new(), file: None, in_file: 0 }
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> u64 {
        self.in_file + self.memory.len() as u64
    }

    /// Appends.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.memory.len() + bytes.len() > SPOOL_MEMORY_MAX {
            let mut file = match self.file.take() {
                Some(file) => file,
                None => unnamed_file(&self.folder)?,
            };
            file.write_all(&self.memory)?;
            file.write_all(bytes)?;
            self.file = Some(file);
            self.in_file += (self.memory.len() + bytes.len()) as u64;
            self.memory.clear();
            return Ok(());
        }
        self.memory.extend_from_slice(bytes);
        Ok(())
    }

    /// Gives all bytes, piece by piece, in order.
    pub(crate) fn for_each_piece<E: From<io::Error>>(
        &self,
        mut visit: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some(file) = &self.file {
            let mut piece = vec![0_u8; SPOOL_MEMORY_MAX];
            let mut at = 0;
            while at < self.in_file {
                let wanted = usize::try_from(self.in_file - at).unwrap_or(usize::MAX).min(piece.len());
                let bytes = piece.get_mut(..wanted).unwrap_or_default();
                file.read_exact_at(bytes, at)?;
                visit(bytes)?;
                at += bytes.len() as u64;
            }
        }
        if self.memory.is_empty() { Ok(()) } else { visit(&self.memory) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i12_a_spool_keeps_order_when_it_moves_to_scratch() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(folder.path());
        let mut expected = Vec::new();
        for number in 0..40_000_u32 {
            let piece = number.to_le_bytes().repeat(20);
            spool.push(&piece).unwrap();
            expected.extend_from_slice(&piece);
        }
        let mut found = Vec::new();
        spool
            .for_each_piece(|piece| {
                found.extend_from_slice(piece);
                Ok::<(), io::Error>(())
            })
            .unwrap();
        assert!(spool.file.is_some() && spool.memory.len() <= SPOOL_MEMORY_MAX);
        assert_eq!(spool.len(), expected.len() as u64);
        assert!(found == expected);
    }
}
