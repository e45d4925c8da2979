//! Sealing: what is in the journal becomes a pack. The steps, each of which must be complete before the next begins
//! (docs/FORMAT.md, "Sealing"): freeze the receipts, build the pack in scratch, read the scratch file back and compare,
//! create it in each required store and read it back there, append `sealed`, apply to the catalog, release the journal.
//!
//! A crash anywhere in between means: run again. What lies in a store and is not in the ledger is an orphan, and harmless.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Archive;
use super::divide::Frozen;
use super::error::ArchiveError;
use super::pack_source::{PackItem, build_pack};
use super::rebuild::RebuildProgress;
use super::seal_together::TOGETHER_MAX;
use crate::caller::Caller;
use crate::catalog::{Catalog, CatalogError};
use crate::identifiers::{ReceiptNumber, SeriesUid, Sha256Digest, StudyUid};
use crate::instance::VersionKey;
use crate::journal::JournalEntry;
use crate::pack::BuiltPack;
use crate::store::check_identity;

/// What sealing did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SealSummary {
    /// Studies sealed.
    pub studies: u64,
    /// Packs made.
    pub packs: u64,
    /// Versions in them.
    pub versions: u64,
    /// Studies that are not due yet.
    pub waiting: u64,
    /// What failed, for people; it is tried again.
    pub failed: Vec<String>,
}

impl Archive {
    /// Seals what is due, for the worker.
    ///
    /// # Errors
    /// [`ArchiveError::Full`] and others where nothing can be sealed at all; single studies that fail are logged.
    pub async fn seal_due(self: &Arc<Self>) -> Result<(), ArchiveError> {
        if self.take_wanted_rebuild() {
            self.start_rebuild(true);
        }
        if self.rebuild.progress().is_none() {
            self.seal_studies(false).await;
        }
        Ok(())
    }

    /// Seals what is due, or with `now` everything that is not sealed.
    ///
    /// # Errors
    /// [`ArchiveError::Busy`] while the catalog is being rebuilt.
    pub async fn seal(self: &Arc<Self>, caller: &Caller, now: bool) -> Result<SealSummary, ArchiveError> {
        tracing::info!(by = %caller.name, now, "sealing was asked for");
        if let Some(RebuildProgress { done, total, .. }) = self.rebuild.progress() {
            return Err(ArchiveError::Busy(format!(
                "nothing is sealed while the catalog is being rebuilt ({done} of {total} packs so far; `vellum status` shows \
                 how far it is): what waits is safe in the journal, and sealing goes on by itself afterwards"
            )));
        }
        // A task of its own: a caller that hangs up must not leave a study half sealed.
        let archive = Arc::clone(self);
        let sealed = tokio::spawn(async move { archive.seal_studies(now).await }).await;
        sealed.map_err(|error| ArchiveError::internal("sealing", error))
    }

    async fn seal_studies(self: &Arc<Self>, now: bool) -> SealSummary {
        let options = &self.options.seal;
        // What failed keeps its pause also when room is short: trying again at once would only make it shorter.
        let quiet = if self.must_seal_early() { Duration::ZERO } else { options.quiet };
        let due = self.unsealed.due(self.clock.monotonic(), quiet, options.max_age, now);
        let mut summary = SealSummary::default();
        for together in self.unsealed.divided(due, TOGETHER_MAX, options.pack_target) {
            if self.is_closed() || self.rebuild.progress().is_some() {
                break;
            }
            for (study, outcome) in self.seal_together(together).await {
                match outcome {
                    Ok(sealed) => {
                        *self.seal_trouble.lock() = None;
                        summary.studies += 1;
                        summary.packs += sealed.packs;
                        summary.versions += sealed.versions;
                    }
                    Err(error) => {
                        summary.failed.push(format!("study {study}: {error}"));
                        self.sealing_failed(&study, &error).await;
                    }
                }
            }
        }
        if summary.packs > 0
            && let Err(error) = self.record_cases().await
        {
            tracing::warn!(%error, "cases that sealing found are written with the next tick");
        }
        summary.waiting = self.unsealed.count() as u64;
        summary
    }

    async fn sealing_failed(&self, study: &StudyUid, error: &ArchiveError) {
        let failures = self.unsealed.failed(study, self.clock.monotonic());
        metrics::counter!("vellum_seal_failures_total").increment(1);
        tracing::warn!(%study, failures, %error, "a study could not be sealed; it stays in the journal");
        *self.seal_trouble.lock() = Some(error.to_string());
        if failures == self.options.seal.attempts {
            self.open_case_cannot_seal(study).await;
        }
    }

    /// Looks whether a pack could count now. Asked before it is built: one that is created in some stores and does not
    /// come to count is an orphan, and each further attempt would leave another.
    pub(super) async fn can_seal(&self) -> Result<(), ArchiveError> {
        for member in self.stores.required() {
            check_identity(&*member.store, &self.archive_id, &member.id).await?;
        }
        self.settle_everywhere().await
    }

    /// Receipts of a study that count as sealed, in every required store, leave overlay and journal.
    pub(super) async fn release_sealed_of(&self, study: &StudyUid) -> Result<(), ArchiveError> {
        let mut done = self.unsealed.receipts_of(study);
        let of = study.clone();
        let sealed = self.in_catalog(move |catalog| sealed_receipts(catalog, &of)).await?;
        done.retain(|number| sealed.contains(number));
        if !done.is_empty() {
            self.checkpoint_catalog().await?;
            self.release(&done).await;
            self.unsealed.sealed(study, &done);
        }
        Ok(())
    }

    /// The unsealed receipts of a study, by version in the order of a pack. Where a pack has the bytes of a version
    /// already, it is read back now: if it is whole, only the receipts go into the new pack, otherwise the bytes again.
    pub(super) async fn freeze(
        self: &Arc<Self>,
        study: &StudyUid,
    ) -> Result<BTreeMap<(SeriesUid, ReceiptNumber), Frozen>, ArchiveError> {
        let mut by_version: BTreeMap<(crate::identifiers::SopUid, VersionKey), Vec<Arc<JournalEntry>>> =
            BTreeMap::new();
        for number in self.unsealed.receipts_of(study) {
            let entry = Arc::new(self.journal.entry(number).await?);
            let version = (entry.facts.keys.sop.clone(), entry.facts.version.clone());
            by_version.entry(version).or_default().push(entry);
        }
        let mut frozen = BTreeMap::new();
        for entries in by_version.into_values() {
            let mut entries = entries;
            entries.sort_by_key(|entry| entry.number());
            let Some(first) = entries.first() else { continue };
            let key = (first.facts.keys.series.clone(), first.number());
            let with_content = !self.sealed_copy_is_whole(first).await?;
            frozen.insert(key, Frozen { entries, with_content });
        }
        Ok(frozen)
    }

    /// Builds a pack in scratch and reads it back whole.
    pub(super) async fn build(
        self: &Arc<Self>,
        study: &StudyUid,
        items: Vec<PackItem>,
        zstd_level: i32,
    ) -> Result<BuiltPack, ArchiveError> {
        let nonce = self.entropy.nonce().map_err(|error| ArchiveError::internal("drawing a nonce", error))?;
        let archive = Arc::clone(self);
        let study = study.clone();
        let built = crate::off_runtime::blocking(move || build_pack(&archive, &study, items, nonce, zstd_level)).await;
        built.map_err(|error| ArchiveError::internal("building a pack", error))?
    }

    /// Creates a pack in every required store and reads it back from each; gives the stores that have it.
    pub(super) async fn create_in_stores(
        &self,
        built: &BuiltPack,
    ) -> Result<Vec<crate::identifiers::StoreId>, ArchiveError> {
        let key = built.pack.key().map_err(|error| ArchiveError::internal("naming a pack", error))?;
        let sha256 = Sha256Digest::from_raw(*built.pack.pack.as_raw());
        Ok(self.stores.create_file_in_required(&key, built.path(), built.pack.size, sha256).await?)
    }

    /// Receipts that are in packs and in the ledger leave overlay and journal.
    pub(super) async fn release(&self, numbers: &[ReceiptNumber]) {
        self.holdings.overlay().remove(numbers.iter().copied());
        self.journal.release(numbers).await;
    }
}

/// The receipts of a study that are in packs.
fn sealed_receipts(catalog: &dyn Catalog, study: &StudyUid) -> Result<HashSet<ReceiptNumber>, CatalogError> {
    let mut numbers = HashSet::new();
    for row in catalog.row_ids(study, None)? {
        for instance in catalog.row(&row)?.values() {
            let holdings = instance.holdings.iter();
            numbers.extend(holdings.flat_map(|holding| holding.receipts.iter().map(|receipt| receipt.number)));
        }
    }
    Ok(numbers)
}
