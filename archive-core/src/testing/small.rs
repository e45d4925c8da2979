//! An archive small enough that a few tiny data sets fill its segments and make its packs due.

use std::path::Path;
use std::time::Duration;

use crate::archive::{ArchiveOptions, JournalLimits, MergeOptions, SealOptions};
use crate::receipt::Resolved;

/// Options of a small archive in a folder, which may lie in memory.
#[must_use]
pub fn options(data: &Path) -> ArchiveOptions {
    ArchiveOptions {
        data: data.to_owned(),
        program: "0.1.0".to_owned(),
        journal: JournalLimits {
            mirror: None,
            inline_bytes: 4 * 1024,
            memory_bytes: 8 * 1024 * 1024,
            segment_bytes: 64 * 1024,
            direct: true,
            // They are made by a thread, which no simulation could repeat.
            spare_segments: 0,
            cap_bytes: 64 * 1024 * 1024,
            reserve_bytes: 0,
            compact_after: Duration::from_secs(1800),
            allow_volatile: true,
        },
        overlay_bytes: 64 * 1024 * 1024,
        overlay_receipts: 10_000,
        catalog_backend: crate::catalog::Backend::Sled,
        catalog_cache_bytes: 1024 * 1024,
        pack_cache_bytes: 1024 * 1024,
        read_ahead_bytes: 1024 * 1024,
        resolved: Resolved::default(),
        seal: SealOptions {
            quiet: Duration::from_secs(60),
            max_age: Duration::from_secs(3600),
            pack_target: 64 * 1024 * 1024,
            zstd_level: 1,
            attempts: 3,
        },
        merge: MergeOptions { packs_min: 2, quiet: Duration::ZERO, zstd_level: 1 },
        gate_grace: Duration::from_secs(10),
    }
}
