//! What the archive is told at start; every bound has a default in the configuration of the program.

use std::path::PathBuf;
use std::time::Duration;

use crate::catalog::Backend;
use crate::receipt::Resolved;

/// How the archive behaves.
#[derive(Clone, Debug)]
pub struct ArchiveOptions {
    /// The data folder: `journal/`, `catalog/`, `scratch/` lie in it.
    pub data: PathBuf,
    /// Version of the program, for the ledger.
    pub program: String,
    /// The journal.
    pub journal: JournalLimits,
    /// Memory for what is not sealed (bytes).
    pub overlay_bytes: u64,
    /// Receipts that are not sealed.
    pub overlay_receipts: u64,
    /// The store that the catalog lies in.
    pub catalog_backend: Backend,
    /// Memory for pages of the catalog (bytes); a quarter of it is added for rows as they were read.
    pub catalog_cache_bytes: u64,
    /// Memory for what is known of packs: roots, parts of index and metadata (bytes).
    pub pack_cache_bytes: u64,
    /// Memory for bytes that are read before they are asked for, all readers together (bytes).
    pub read_ahead_bytes: u64,
    /// What receiving resolves into each receipt.
    pub resolved: Resolved,
    /// When and how studies are sealed.
    pub seal: SealOptions,
    /// When and how small packs are merged.
    pub merge: MergeOptions,
    /// Uptime between a merge and the deletion of what it replaced.
    pub gate_grace: Duration,
}

/// Bounds of the journal.
#[derive(Clone, Debug)]
pub struct JournalLimits {
    /// A second folder on another disk, written before any answer.
    pub mirror: Option<PathBuf>,
    /// An instance up to this size is gathered in memory (bytes).
    pub inline_bytes: u64,
    /// Memory for all instances being gathered (bytes).
    pub memory_bytes: u64,
    /// Size of a segment (bytes).
    pub segment_bytes: u64,
    /// Write past the page cache where the file system can.
    pub direct: bool,
    /// Segments that are kept ready, written full of zeros.
    pub spare_segments: usize,
    /// The journal grows no larger (bytes).
    pub cap_bytes: u64,
    /// Disk space left alone (bytes).
    pub reserve_bytes: u64,
    /// Live records of older segments are copied forward.
    pub compact_after: Duration,
    /// Allow a file system that forgets everything at power-off.
    pub allow_volatile: bool,
}

/// When and how studies are sealed.
#[derive(Clone, Debug)]
pub struct SealOptions {
    /// Nothing came for this long.
    pub quiet: Duration,
    /// The oldest unsealed receipt is this old.
    pub max_age: Duration,
    /// Size that packs aim at (bytes).
    pub pack_target: u64,
    /// Zstandard level.
    pub zstd_level: i32,
    /// After so many failures in a row a study is set aside, and a case opened.
    pub attempts: u32,
}

/// When and how small packs are merged.
#[derive(Clone, Debug)]
pub struct MergeOptions {
    /// So many packs, each under a quarter of the target.
    pub packs_min: usize,
    /// Nothing was sealed for this long.
    pub quiet: Duration,
    /// Zstandard level.
    pub zstd_level: i32,
}
