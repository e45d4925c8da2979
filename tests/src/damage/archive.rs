//! An archive in this process, on local folders; nothing happens in it unless it is asked.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use archive_core::archive::{
    Archive, ArchiveOptions, CatalogPlace, Incoming, Input, JournalLimits, MergeOptions, OpenError, Parts, SealOptions,
    StoreSpec,
};
use archive_core::caller::{Caller, Door, SourceKey};
use archive_core::catalog::Backend;
use archive_core::clock::ManualClock;
use archive_core::entropy::SystemEntropy;
use archive_core::journal::RealDisk;
use archive_core::ledger::entry::StoreRole;
use archive_core::receipt::Resolved;
use archive_core::store::LocalPlace;

use super::kind::Kind;

/// An instance up to this size lies in a segment of the journal (bytes).
pub(super) const INLINE_BYTES: u64 = 4 * 1024;

pub(super) async fn open(data: &Path, kind: Kind) -> Result<Arc<Archive>, OpenError> {
    let options = ArchiveOptions {
        data: data.to_owned(),
        program: "0.1.0".to_owned(),
        journal: JournalLimits {
            mirror: kind.is_mirrored().then(|| data.join("mirror")),
            inline_bytes: INLINE_BYTES,
            memory_bytes: 1024 * 1024,
            segment_bytes: 64 * 1024,
            direct: true,
            spare_segments: 0,
            cap_bytes: 16 * 1024 * 1024,
            reserve_bytes: 0,
            compact_after: Duration::from_secs(3600),
            allow_volatile: true,
        },
        overlay_bytes: 16 * 1024 * 1024,
        overlay_receipts: 10_000,
        catalog_backend: if kind == Kind::RedbCatalog { Backend::Redb } else { Backend::Sled },
        catalog_cache_bytes: 8 * 1024 * 1024,
        pack_cache_bytes: 8 * 1024 * 1024,
        read_ahead_bytes: 8 * 1024 * 1024,
        resolved: Resolved::default(),
        seal: SealOptions {
            quiet: Duration::from_secs(60),
            max_age: Duration::from_secs(3600),
            pack_target: 16 * 1024 * 1024,
            zstd_level: 1,
            attempts: 3,
        },
        merge: MergeOptions { packs_min: 100, quiet: Duration::ZERO, zstd_level: 1 },
        gate_grace: Duration::from_secs(3600),
    };
    let stores = (0..kind.stores()).map(|number| {
        let name = format!("store{number}");
        let place = Arc::new(LocalPlace::new(&name, data.join(&name), SystemEntropy::shared()));
        let role = if number == 0 { StoreRole::Home } else { StoreRole::Required };
        StoreSpec { place, role, home: number == 0, create: false }
    });
    let parts = Parts {
        clock: ManualClock::new(),
        entropy: SystemEntropy::shared(),
        disk: Arc::new(RealDisk),
        catalog: CatalogPlace::Embedded,
        stores: stores.collect(),
    };
    let archive = Archive::open(options, parts).await?;
    archive.rebuilt().await;
    Ok(archive)
}

pub(super) async fn receive(archive: &Arc<Archive>, file: &[u8]) {
    let incoming = Incoming {
        door: Door::Import,
        source: SourceKey::new("damage"),
        form: Input::File,
        local_ae: None,
        expected_sop: None,
        expected_class: None,
        expected_study: None,
    };
    let mut receiving = archive.receive(&Caller::local(), incoming).await.expect("it receives");
    receiving.write(file.to_vec().into()).await.expect("it takes the bytes");
    let _received = receiving.finish().await.expect("it is durable");
}
