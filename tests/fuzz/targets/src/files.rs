//! Bytes as a file that no disk sees.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

/// A file in memory; its path is good while it lives.
pub(crate) struct MemoryFile(File);

impl MemoryFile {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let file =
            File::from(rustix::fs::memfd_create("fuzz", rustix::fs::MemfdFlags::CLOEXEC).expect("a file in memory"));
        file.write_all_at(bytes, 0).expect("memory");
        Self(file)
    }

    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}
