//! The façade: everything a door or a job may ask of the archive.
//!
//! Doors hold an `Arc<Archive>` and nothing else of this crate's inside. What changes what the archive holds goes through
//! [`Archive::receive`] into the journal, or through `record` into the ledger (promise I10); what is read comes out of
//! [`OpenVersion`], every byte checked (promise I9).

mod cases;
mod divide;
mod error;
mod gate_ports;
mod held;
mod history;
mod identify;
mod inflated;
mod job_trouble;
mod jobs;
mod known;
mod lacking;
mod ledger_views;
mod lock;
mod merge;
mod open;
mod open_version;
mod options;
mod orphan_evidence;
mod orphans;
mod pack_source;
mod read_ahead;
mod rebuild;
mod receive;
mod record;
mod seal;
mod seal_together;
mod several_places;
mod status;
mod study_locks;
#[cfg(test)]
mod tests;
mod unsealed;
mod verify;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use tokio::sync::watch;

pub use crate::dicom::scan::Input;
pub use error::ArchiveError;
pub use held::{Held, SelectCursor, Selection};
pub use history::CaseRecord;
pub use job_trouble::JobTrouble;
pub use lacking::Lack;
pub use ledger_views::{LedgerFilter, LedgerReport};
pub use open::{CatalogPlace, OpenError, Parts, StoreSpec};
pub use open_version::{ByteStream, DistinctFile, OpenVersion};
pub use options::{ArchiveOptions, JournalLimits, MergeOptions, SealOptions};
pub use rebuild::{RebuildEvent, RebuildProgress};
pub use receive::{Incoming, Received, Receiving};
pub use seal::SealSummary;
pub use status::{JournalFigures, LedgerFigures, Status, StoreFigures};
pub use verify::VerifyEvent;

use crate::catalog::cases::CaseFinding;
use crate::catalog::{Catalog, CatalogError};
use crate::clock::SharedClock;
use crate::entropy::SharedEntropy;
use crate::holdings::Holdings;
use crate::identifiers::{ArchiveId, Sha256Digest, StoreId};
use crate::journal::{Journal, JournalError};
use crate::ledger::Ledger;
use crate::overlay::OverlayLimits;
use crate::pack::{DamageObserver, LogDamage, PackCache, PackRef};
use crate::store::gate::{GatedStore, Grace};
use crate::store::{StoreKey, StoreSet};

/// The archive.
#[derive(Debug)]
pub struct Archive {
    options: ArchiveOptions,
    archive_id: ArchiveId,
    epoch: u32,
    clock: SharedClock,
    entropy: SharedEntropy,
    stores: StoreSet,
    fitness: BTreeMap<StoreId, String>,
    findings: Vec<String>,
    journal: Journal,
    ledger: Ledger,
    /// Held from an append until history and catalog follow.
    ledger_turn: tokio::sync::Mutex<()>,
    history: Mutex<History>,
    known: Mutex<known::Known>,
    holdings: Arc<Holdings>,
    unsealed: unsealed::Unsealed,
    study_locks: study_locks::StudyLocks,
    found_cases: Mutex<HashMap<Sha256Digest, CaseFinding>>,
    pack_cache: Arc<PackCache>,
    read_ahead: read_ahead::ReadAhead,
    rebuild: rebuild::Rebuild,
    lacking: lacking::Lacking,
    gate: OnceLock<crate::store::gate::Gate>,
    grace: Mutex<Grace>,
    /// Where the last search for orphans stopped before its end.
    orphans_from: Mutex<Option<(StoreId, Option<StoreKey>)>>,
    /// What stores that may lag still have to get, and stores of which nobody knows what they have.
    to_copy: Mutex<HashMap<StoreId, Vec<PackRef>>>,
    unsure: Mutex<HashSet<StoreId>>,
    /// Why the last attempt to seal failed, as long as none has succeeded since.
    seal_trouble: Mutex<Option<String>>,
    job_trouble: JobTrouble,
    /// What kept stores from being brought up to date, when that was last tried.
    store_trouble: Mutex<BTreeMap<StoreId, String>>,
    /// Why the archive cannot go on.
    stopped: watch::Sender<Option<String>>,
    closing: watch::Sender<bool>,
    scratch: PathBuf,
    me: Weak<Self>,
    _lock: lock::FolderLock,
}

use history::History;

/// What opening found, on its way into the archive.
struct Assembled {
    known: known::Known,
    stores: StoreSet,
    gated: Vec<GatedStore>,
    fitness: BTreeMap<StoreId, String>,
    findings: Vec<String>,
    ledger: Ledger,
    history: History,
    journal: Journal,
    catalog: Arc<dyn Catalog>,
}

impl Archive {
    fn assemble(options: ArchiveOptions, parts: Parts, lock: lock::FolderLock, found: Assembled) -> Arc<Self> {
        let limits = OverlayLimits {
            bytes: usize::try_from(options.overlay_bytes).unwrap_or(usize::MAX),
            receipts: usize::try_from(options.overlay_receipts).unwrap_or(usize::MAX),
        };
        let epoch = found.ledger.head().map_or(1, |head| head.epoch);
        let home = &found.stores.home().id;
        let unsure = found.gated.iter().map(|gated| gated.id.clone()).filter(|id| id != home).collect();
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            archive_id: found.known.archive.clone(),
            epoch,
            clock: parts.clock,
            entropy: parts.entropy,
            unsure: Mutex::new(unsure),
            stores: found.stores,
            fitness: found.fitness,
            findings: found.findings,
            journal: found.journal,
            ledger: found.ledger,
            ledger_turn: tokio::sync::Mutex::default(),
            history: Mutex::new(found.history),
            known: Mutex::new(found.known),
            holdings: Arc::new(Holdings::new(found.catalog, limits)),
            unsealed: unsealed::Unsealed::default(),
            study_locks: study_locks::StudyLocks::default(),
            found_cases: Mutex::default(),
            pack_cache: PackCache::of_bytes(usize::try_from(options.pack_cache_bytes).unwrap_or(usize::MAX)),
            read_ahead: read_ahead::ReadAhead::of_bytes(options.read_ahead_bytes),
            rebuild: rebuild::Rebuild::default(),
            lacking: lacking::Lacking::default(),
            gate: OnceLock::new(),
            grace: Mutex::new(jobs::read_grace(&options.data)),
            orphans_from: Mutex::default(),
            to_copy: Mutex::default(),
            seal_trouble: Mutex::default(),
            job_trouble: JobTrouble::default(),
            store_trouble: Mutex::default(),
            stopped: watch::Sender::new(None),
            closing: watch::Sender::new(false),
            scratch: options.data.join("scratch"),
            options,
            _lock: lock,
        })
    }

    /// The folder for what need not survive.
    fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Refuses to receive where nothing can be made durable, or where there is no room.
    fn check_receiving(&self) -> Result<(), ArchiveError> {
        if let Some(why) = self.stopped.borrow().clone() {
            return Err(ArchiveError::NotReceiving(why));
        }
        if self.is_closed() {
            return Err(ArchiveError::NotReceiving("the archive is being stopped; send again when it is back".into()));
        }
        if !self.holdings.overlay().has_room() {
            return Err(ArchiveError::Full(
                "too much waits to be sealed (overlay.bytes, overlay.receipts); receiving goes on when sealing made room".into(),
            ));
        }
        Ok(())
    }

    /// Whether sealing should not wait for studies to be quiet.
    fn must_seal_early(&self) -> bool {
        let fill = self.holdings.overlay().fill();
        let journal = self.journal.status();
        fill.bytes > fill.limits.bytes / 2
            || fill.receipts > fill.limits.receipts / 2
            || journal.bytes > journal.capacity_bytes / 2
    }

    /// Nothing can be received or sealed any more: the process should end, and its successor recovers.
    fn stop(&self, why: String) {
        self.stopped.send_if_modified(|stopped| {
            let first = stopped.is_none();
            if first {
                *stopped = Some(why);
            }
            first
        });
    }

    /// Waits until the archive cannot go on; tells why.
    pub async fn stopped(&self) -> String {
        let mut stopped = self.stopped.subscribe();
        let why = stopped.wait_for(Option::is_some).await.map(|why| why.clone().unwrap_or_default());
        // The sender lives as long as this archive.
        why.unwrap_or_default()
    }

    fn is_closed(&self) -> bool {
        *self.closing.borrow()
    }

    /// Nothing more is received, and jobs end at their next step; [`Archive::close`] comes when they have.
    pub fn begin_closing(&self) {
        self.closing.send_replace(true);
    }

    /// Ends: nothing more is received, what is under way is finished, catalog and journal are closed.
    pub async fn close(&self) {
        self.begin_closing();
        self.rebuilt().await;
        if let Err(error) = self.checkpoint_catalog().await {
            tracing::warn!(%error, "the catalog was not written to disk; the next start brings it up to date");
        }
        self.remember_head().await;
        self.journal.shut_down().await;
    }

    /// Runs something on the catalog, off the runtime.
    async fn in_catalog<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Catalog) -> Result<T, CatalogError> + Send + 'static,
    ) -> Result<T, ArchiveError> {
        let holdings = Arc::clone(&self.holdings);
        let done = crate::off_runtime::blocking(move || work(holdings.catalog())).await;
        let done = done.map_err(|error| ArchiveError::internal("working on the catalog", error))?;
        done.map_err(|error| {
            self.catalog_failed(&error);
            ArchiveError::internal("the catalog", error)
        })
    }

    async fn checkpoint_catalog(&self) -> Result<(), ArchiveError> {
        self.in_catalog(|catalog| catalog.checkpoint()).await
    }

    /// Whom readers of packs tell of damage.
    fn damage_observer(&self) -> Arc<dyn DamageObserver> {
        Arc::new(LogDamage)
    }

    /// Keeps the ledger's head beside the journal.
    async fn remember_head(&self) {
        let known = {
            let mut known = self.known.lock();
            known.head = self.ledger.head();
            known.clone()
        };
        let data = self.options.data.clone();
        let written = crate::off_runtime::blocking(move || known.write(&data)).await;
        if !matches!(written, Ok(Ok(()))) {
            tracing::warn!("the ledger's head could not be remembered in the data folder");
        }
    }

    /// Receipts that are sealed leave overlay and journal: those that a crash kept from being released. Where a required
    /// store lacks the end of the ledger they stay, and leave when their study is sealed again.
    async fn release_what_is_sealed(&self) {
        if let Err(error) = self.settle_everywhere().await {
            tracing::warn!(%error, "what is sealed stays in the journal for now");
            return;
        }
        for study in self.unsealed.studies() {
            let _study = self.study_locks.lock(&study).await;
            if let Err(error) = self.release_sealed_of(&study).await {
                tracing::warn!(%study, %error, "what is sealed of a study stays in the journal for now");
            }
        }
    }
}

impl From<JournalError> for ArchiveError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Full { .. } => Self::Full(error.to_string()),
            JournalError::Stopped { .. } => Self::NotReceiving(error.to_string()),
            other => Self::Internal(other.to_string()),
        }
    }
}
