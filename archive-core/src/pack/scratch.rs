//! The file in which a pack is built: written in order, with local headers put right once their members are complete.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::identifiers::PackId;

/// Bytes read and written at once.
const BUFFER_BYTES: usize = 1024 * 1024;

/// A named scratch file that is removed when nobody needs it any more.
#[derive(Debug)]
pub(crate) struct ScratchPath(PathBuf);

impl ScratchPath {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchPath {
    fn drop(&mut self) {
        // What stays behind after a crash is removed with the scratch folder's other contents at the next start.
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(%error, "a scratch file of a pack could not be removed");
        }
    }
}

/// A pack being written.
#[derive(Debug)]
pub(crate) struct ScratchFile {
    writer: BufWriter<File>,
    path: ScratchPath,
    position: u64,
}

impl ScratchFile {
    /// Creates `<folder>/pack-<nonce>.zip`, which must not exist.
    pub(crate) fn create(folder: &Path, nonce: &str) -> io::Result<Self> {
        let path = folder.join(format!("pack-{nonce}.zip"));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok(Self { writer: BufWriter::with_capacity(BUFFER_BYTES, file), path: ScratchPath(path), position: 0 })
    }

    /// Where the next byte goes.
    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    /// Appends.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Puts other bytes in the place of some that were written.
    pub(crate) fn patch(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.writer.flush()?;
        self.writer.get_ref().write_all_at(bytes, at)
    }

    /// Reads back what was written.
    pub(crate) fn read_at(&mut self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.writer.flush()?;
        self.writer.get_ref().read_exact_at(bytes, at)
    }

    /// Forgets everything from a position on.
    pub(crate) fn cut_to(&mut self, position: u64) -> io::Result<()> {
        use std::io::Seek as _;
        self.writer.flush()?;
        self.writer.get_ref().set_len(position)?;
        self.writer.seek(io::SeekFrom::Start(position))?;
        self.position = position;
        Ok(())
    }

    /// Ends writing: the path, the size and the digest of the whole, read back from the file.
    pub(crate) fn finish(self) -> io::Result<(ScratchPath, u64, PackId)> {
        let Self { mut writer, path, position } = self;
        writer.flush()?;
        let (size, pack) = digest_of(path.path())?;
        if size != position {
            return Err(io::Error::other("the file has another length than was written"));
        }
        Ok((path, size, pack))
    }
}

/// Size and SHA-256 of a file.
pub(crate) fn digest_of(path: &Path) -> io::Result<(u64, PackId)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0_u8; BUFFER_BYTES];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((size, PackId::from_raw(hasher.finalize().into())));
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
        size += count as u64;
    }
}
