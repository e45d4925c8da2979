//! The archive put together from its configuration: stores, clock and randomness from the operating system, the worker.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use archive_core::archive::{
    Archive, ArchiveOptions, CatalogPlace, JournalLimits, MergeOptions, OpenError, Parts, SealOptions, StoreSpec,
};
use archive_core::clock::{SharedClock, SystemClock};
use archive_core::entropy::{SharedEntropy, SystemEntropy};
use archive_core::journal::RealDisk;
use archive_core::receipt::Resolved;
use archive_core::store::{LocalPlace, OpenPlace, S3Credentials, S3Options, S3Store, StoreKey, StorePlace};
use axum::Router;
use lifecycle::{Schedule, Worker};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::api;
use crate::config::{Config, StoreKind, StoreSection};
use crate::http::{self, Doors, HttpConfig};
use crate::measures;
use crate::readiness::ArchiveReadiness;

/// Why the archive could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A store's configuration cannot be used.
    #[error("store {store}: {what}")]
    Store {
        /// The store's name.
        store: String,
        /// What is wrong.
        what: String,
    },
    /// The archive refused to open.
    #[error(transparent)]
    Archive(#[from] OpenError),
}

/// An open archive with its worker.
#[derive(Debug)]
pub struct Running {
    archive: Arc<Archive>,
    worker: Worker,
    clock: SharedClock,
    entropy: SharedEntropy,
    http: Arc<HttpConfig>,
    metrics: Option<PrometheusHandle>,
}

impl Running {
    /// Opens the archive of a data folder.
    ///
    /// # Errors
    /// [`StartError`], with what to do.
    pub async fn open(data: &Path, config: &Config) -> Result<Self, StartError> {
        let (clock, entropy) = (SystemClock::start(), SystemEntropy::shared());
        let mut stores = Vec::new();
        for (name, section) in &config.stores {
            let place = place_of(name, section, data, &entropy)?;
            let home = *name == config.ledger.home;
            stores.push(StoreSpec { place, role: section.role, home, create: section.create });
        }
        let parts = Parts {
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            disk: Arc::new(RealDisk),
            catalog: CatalogPlace::Embedded,
            stores,
        };
        let metrics = measures::install();
        let archive = Archive::open(options(data, config), parts).await?;
        let schedule = Schedule {
            received: config.ledger.received_every.0,
            catch_up: config.copies.every.0,
            merge: config.merge.every.0,
            delete: config.gate.every.0,
            orphans: config.gate.orphans_every.0,
            ..Schedule::default()
        };
        let worker = Worker::start(Arc::clone(&archive), &schedule);
        Ok(Self { archive, worker, clock, entropy, http: Arc::new(http_config(config)), metrics })
    }

    /// The archive.
    #[must_use]
    pub const fn archive(&self) -> &Arc<Archive> {
        &self.archive
    }

    /// How HTTP is served.
    #[must_use]
    pub const fn http(&self) -> &Arc<HttpConfig> {
        &self.http
    }

    /// All that HTTP offers: DICOMweb, the archive's own API, health and metrics.
    pub fn router(&self) -> Router {
        let doors = Doors {
            archive: Arc::new(Arc::clone(&self.archive)),
            config: Arc::clone(&self.http),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            readiness: Arc::new(ArchiveReadiness::of(&self.archive)),
            metrics: self.metrics.clone(),
        };
        http::router(doors, api::router(Arc::clone(&self.archive)))
    }

    /// Stops the jobs and closes everything in order.
    pub async fn close(self) {
        // Before the worker is waited for: many studies may be due, and what is not sealed now waits in the journal.
        self.archive.begin_closing();
        self.worker.stop().await;
        self.archive.close().await;
    }
}

/// Where a store should be.
fn place_of(
    name: &str,
    section: &StoreSection,
    data: &Path,
    entropy: &SharedEntropy,
) -> Result<Arc<dyn StorePlace>, StartError> {
    let wrong = |what: String| StartError::Store { store: name.to_owned(), what };
    match section.kind {
        StoreKind::Local => Ok(Arc::new(LocalPlace::new(name, data.join(&section.path), Arc::clone(entropy)))),
        StoreKind::S3 => {
            let options = s3_options(section).map_err(wrong)?;
            let store = S3Store::open(name, &options).map_err(|error| wrong(error.to_string()))?;
            Ok(Arc::new(OpenPlace::of(Arc::new(store))))
        }
    }
}

fn s3_options(section: &StoreSection) -> Result<S3Options, String> {
    let prefix = some(&section.prefix).map(|prefix| StoreKey::parse(prefix.trim_matches('/'))).transpose();
    let credentials = match (some_path(&section.access_key_file), some_path(&section.secret_key_file)) {
        (Some(access_key), Some(secret_key)) => S3Credentials::Files { access_key, secret_key },
        (None, None) => S3Credentials::Environment,
        _ => return Err("access_key_file and secret_key_file go together".to_owned()),
    };
    Ok(S3Options {
        prefix: prefix.map_err(|error| format!("prefix: {error}"))?,
        endpoint: some(&section.endpoint),
        region: some(&section.region),
        allow_http: section.allow_http,
        virtual_hosted: section.virtual_host,
        credentials,
        ..S3Options::bucket(&section.bucket)
    })
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn some_path(path: &Path) -> Option<PathBuf> {
    (!path.as_os_str().is_empty()).then(|| path.to_owned())
}

fn options(data: &Path, config: &Config) -> ArchiveOptions {
    ArchiveOptions {
        data: data.to_owned(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        journal: JournalLimits {
            mirror: some_path(&config.journal.mirror),
            inline_bytes: config.journal.inline.0,
            memory_bytes: config.journal.memory.0,
            segment_bytes: config.journal.segment.0,
            direct: config.journal.direct,
            spare_segments: usize::from(config.journal.spares),
            cap_bytes: config.journal.cap.0,
            reserve_bytes: config.journal.reserve.0,
            compact_after: config.journal.compact_after.0,
            allow_volatile: config.journal.allow_volatile,
        },
        overlay_bytes: config.overlay.bytes.0,
        overlay_receipts: config.overlay.receipts,
        catalog_backend: config.catalog.store,
        catalog_cache_bytes: config.catalog.cache.0,
        pack_cache_bytes: config.reading.pack_cache.0,
        read_ahead_bytes: config.reading.ahead.0,
        resolved: Resolved {
            duplicate_rule: config.receive.duplicate_rule,
            default_issuer: some(&config.receive.default_issuer),
            assumed_charset: some(&config.receive.assumed_charset),
            local_ae: None,
        },
        seal: SealOptions {
            quiet: config.seal.quiet.0,
            max_age: config.seal.max_age.0,
            pack_target: config.seal.pack_target.0,
            zstd_level: config.seal.zstd_level,
            attempts: config.seal.attempts,
        },
        merge: MergeOptions {
            packs_min: config.merge.packs_min,
            quiet: config.merge.quiet.0,
            zstd_level: config.merge.zstd_level,
        },
        gate_grace: config.gate.grace.0,
    }
}

fn http_config(config: &Config) -> HttpConfig {
    let mut http = HttpConfig {
        listen: config.http.listen,
        public_url: some(config.http.public_url.trim_end_matches('/')),
        connections: config.http.connections_max,
        connections_per_address: config.http.connections_per_address_max,
        ..HttpConfig::default()
    };
    http.multipart.parts = config.http.parts_max;
    http
}
