//! What the worker does beside sealing and merging: tell the ledger what came, keep the journal small, bring stores up to
//! date, delete what was replaced.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::Archive;
use super::error::ArchiveError;
use super::gate_ports::GatePorts;
use crate::identifiers::{PackId, Sha256Digest, StoreId};
use crate::ledger::entry::{EntryBody, Ground, ReceiptRanges};
use crate::ledger::in_batches;
use crate::off_runtime::{self, PiecewiseSha256};
use crate::pack::PackRef;
use crate::store::gate::{Deletion, Gate, GateError, GatedStore, Grace};
use crate::store::{Member, SharedStore, StoreError, StoreKey, verify_object};

/// Bytes read at once when a pack is copied.
const COPY_CHUNK_BYTES: u64 = 8 * 1024 * 1024;
/// Objects in one page of a listing.
const LIST_PAGE: usize = 1000;
/// The file that remembers how long replaced packs have waited.
const GRACE_FILE: &str = "grace.json";

/// Reads how long replaced packs have waited; where nobody knows, their grace begins anew.
pub(super) fn read_grace(data: &Path) -> Grace {
    let Ok(bytes) = std::fs::read(data.join(GRACE_FILE)) else { return Grace::default() };
    Grace::from_json(&bytes).unwrap_or_else(|error| {
        tracing::warn!(%error, "every grace begins anew");
        Grace::default()
    })
}

impl Archive {
    /// Writes down what came and is not sealed, so that after a disaster the ledger says whom to ask for what; and the
    /// cases that were found. Also ends the archive's receiving where the journal has stopped.
    ///
    /// # Errors
    /// The ledger's; tried again with the next tick.
    pub async fn record_received(self: &Arc<Self>) -> Result<(), ArchiveError> {
        if let Some(why) = self.journal.status().stopped {
            self.stop(why);
        }
        for entry in self.journal.take_unclaimed() {
            // Whoever sent it hung up before the answer; it is durable, so it counts.
            self.take_into_overlay(&entry, false);
        }
        self.record_cases().await?;
        let untold = self.unsealed.untold();
        let bodies = untold.iter().map(|group| EntryBody::Received {
            source: group.source.clone(),
            door: group.door,
            study: group.study.clone(),
            receipts: ReceiptRanges::covering(group.numbers.iter().copied()),
            bytes: group.bytes,
        });
        let batches = in_batches(bodies).map_err(|error| self.ledger_failed(error))?;
        let mut groups = untold.iter();
        for batch in batches {
            let count = batch.len();
            // In home is enough: told again to a store that is away, it would be appended again with every tick.
            let _in_home = self.record(batch).await?;
            groups.by_ref().take(count).for_each(|group| self.unsealed.tell(group));
        }
        Ok(())
    }

    /// Copies forward what keeps old journal segments alive.
    ///
    /// # Errors
    /// The journal's.
    pub async fn compact_journal(&self) -> Result<(), ArchiveError> {
        let compacted = self.journal.compact().await?;
        if compacted.receipts > 0 {
            tracing::info!(receipts = compacted.receipts, "journal records were copied forward");
        }
        Ok(())
    }

    /// The stores changed since the ledger last named them: that is recorded.
    pub(super) async fn record_config_change(&self) {
        let stores = self.stores.entries();
        let mut known = self.history.lock().stores().to_vec();
        let mut now = stores.clone();
        known.sort_by(|a, b| a.store.cmp(&b.store));
        now.sort_by(|a, b| a.store.cmp(&b.store));
        if known == now {
            return;
        }
        let sha256 = Sha256Digest::of(&serde_json::to_vec(&stores).unwrap_or_default());
        if let Err(error) = self.record(vec![EntryBody::ConfigChanged { stores, sha256 }]).await {
            tracing::warn!(%error, "the change of stores could not be recorded yet");
        }
    }

    /// Brings stores that lack ledger segments or packs up to date.
    ///
    /// # Errors
    /// The first store's that fails; the others were tried.
    pub async fn catch_up_stores(self: &Arc<Self>) -> Result<(), ArchiveError> {
        let lags = self.ledger.catch_up().await.map_err(|error| self.ledger_failed(error))?;
        let mut trouble = BTreeMap::new();
        for lag in &lags {
            let Some(error) = &lag.error else { continue };
            tracing::debug!(store = %lag.store, %error, "a store does not follow");
            trouble.insert(lag.store.clone(), error.to_string());
        }
        let mut first_error = None;
        let others: Vec<Member> = self.stores.read_order().filter(|m| m.id != self.stores.home().id).cloned().collect();
        for member in others {
            if let Err(error) = self.complete_store(&member).await {
                tracing::warn!(store = member.store.name(), %error, "a store is not complete yet");
                trouble.entry(member.id.clone()).or_insert_with(|| error.to_string());
                first_error.get_or_insert(error);
            }
        }
        *self.store_trouble.lock() = trouble;
        first_error.map_or(Ok(()), Err)
    }

    /// Copies to a store the packs that it lacks. What it has is asked of it, and of the ledger, only where nobody knows:
    /// after a start.
    async fn complete_store(self: &Arc<Self>, member: &Member) -> Result<(), ArchiveError> {
        if self.unsure.lock().contains(&member.id) {
            let there = packs_in(&member.store).await?;
            // What an earlier process copied and did not come to record is copied again: it is found there, compared,
            // and recorded now.
            let recorded = self.recorded_in(&member.id).await?;
            let is_done = |pack: &PackRef| there.contains(&pack.pack) && recorded.contains(&pack.pack);
            let mut missing: Vec<PackRef> =
                self.history.lock().packs().filter(|pack| !is_done(pack)).cloned().collect();
            missing.sort_unstable_by_key(|pack| pack.pack);
            let mut to_copy = self.to_copy.lock();
            // What was sealed meanwhile is in the queue already.
            let queue = to_copy.entry(member.id.clone()).or_default();
            let queued: HashSet<PackId> = queue.iter().map(|pack| pack.pack).collect();
            queue.extend(missing.into_iter().filter(|pack| !queued.contains(&pack.pack)));
            drop(to_copy);
            self.unsure.lock().remove(&member.id);
        }
        let mut left = Vec::new();
        let mut first_error = None;
        // One pack that cannot be copied does not keep the others away.
        while let Some(pack) = self.next_to_copy(member) {
            if !self.history.lock().counts(&pack.pack) {
                continue;
            }
            if let Err(error) = self.copy_pack(&pack, member).await {
                let is_away = matches!(&error, ArchiveError::Store(StoreError::Unavailable { store, .. })
                    if store == member.store.name());
                first_error.get_or_insert(error);
                left.push(pack);
                if is_away {
                    break;
                }
            }
        }
        self.to_copy.lock().entry(member.id.clone()).or_default().extend(left);
        first_error.map_or(Ok(()), Err)
    }

    /// The packs that the ledger says a store got.
    async fn recorded_in(&self, store: &StoreId) -> Result<HashSet<PackId>, ArchiveError> {
        let mut recorded = HashSet::new();
        let mut entries = self.entries_from(0).await?;
        while let Some(entry) = entries.next().await.map_err(|error| self.ledger_failed(error))? {
            match &entry.entry.body {
                EntryBody::Sealed { pack, stores, .. } | EntryBody::Merged { pack, stores, .. }
                    if stores.contains(store) =>
                {
                    recorded.insert(pack.pack);
                }
                EntryBody::Copied { pack, store: to, .. } if to == store => {
                    recorded.insert(*pack);
                }
                _ => {}
            }
        }
        Ok(recorded)
    }

    fn next_to_copy(&self, member: &Member) -> Option<PackRef> {
        if self.is_closed() { None } else { self.to_copy.lock().get_mut(&member.id)?.pop() }
    }

    /// Copies a pack to a store: read, compare, create, read back, record (promise I8).
    async fn copy_pack(self: &Arc<Self>, pack: &PackRef, to: &Member) -> Result<(), ArchiveError> {
        let key = pack.key().map_err(|error| ArchiveError::internal("naming a pack", error))?;
        let sha256 = Sha256Digest::from_raw(*pack.pack.as_raw());
        let mut last = None;
        for from in self.stores.read_order().filter(|member| member.id != to.id) {
            match self.fetch_pack(&from.store, &key, pack).await {
                Ok(file) => {
                    to.store.create_from_file(&key, file.path(), pack.size, sha256).await?;
                    verify_object(&*to.store, &key, pack.size, sha256).await?;
                    let copied = EntryBody::Copied { pack: pack.pack, study: pack.study.clone(), store: to.id.clone() };
                    let _in_home = self.record(vec![copied]).await?;
                    return Ok(());
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| ArchiveError::NotFound(format!("a copy of pack {}", pack.pack))))
    }

    /// Reads a pack into a scratch file, comparing its digest.
    async fn fetch_pack(
        &self,
        from: &SharedStore,
        key: &StoreKey,
        pack: &PackRef,
    ) -> Result<ScratchPack, ArchiveError> {
        use std::io::Write as _;
        let path = self.scratch().join(format!("copy-{}.zip", pack.pack));
        let failed = |error| ArchiveError::internal("scratch space", error);
        let created = off_runtime::blocking({
            let path = path.clone();
            move || std::fs::File::create(path)
        });
        let gone = |error| ArchiveError::internal("a thread for scratch space", error);
        let file = Arc::new(created.await.map_err(gone)?.map_err(failed)?);
        let scratch = ScratchPack { path };
        let (mut digest, mut at) = (PiecewiseSha256::default(), 0);
        while at < pack.size {
            let bytes = from.read_range(key, at..(at + COPY_CHUNK_BYTES).min(pack.size)).await?;
            digest.update(&bytes).await.map_err(failed)?;
            at += bytes.len() as u64;
            let file = Arc::clone(&file);
            let written = off_runtime::blocking(move || (&*file).write_all(&bytes));
            written.await.map_err(gone)?.map_err(failed)?;
        }
        if PackId::from_raw(digest.finish()) != pack.pack {
            self.damage_observer().damaged(from.name(), pack, "the whole pack");
            let object = format!("{key} in store {}", from.name());
            return Err(crate::reading::ReadError::Damaged { object, what: "the whole pack".into() }.into());
        }
        Ok(scratch)
    }

    /// A pack was sealed or merged: stores that may lag get it later.
    pub(super) fn will_be_copied(&self, pack: &PackRef) {
        let mut to_copy = self.to_copy.lock();
        for member in self.stores.lagging() {
            to_copy.entry(member.id.clone()).or_default().push(pack.clone());
        }
    }

    /// Opens the gate's bookkeeping; it stays shut until the catalog is complete.
    pub(super) async fn open_gate(self: &Arc<Self>, gated: Vec<GatedStore>) -> Result<(), ArchiveError> {
        let ports = GatePorts::of(self);
        let (clock, grace) = (Arc::clone(&self.clock), self.options.gate_grace);
        let gate = Gate::open(gated, ports.clone(), ports, clock, grace).await;
        let gate = gate.map_err(|error| ArchiveError::internal("the gate", error))?;
        gate.set_ledger_unreadable(false);
        let first = self.gate.set(gate).is_ok();
        debug_assert!(first, "the gate is opened once");
        for member in self.stores.read_order() {
            let superseded = self.history.lock().superseded_in(&member.id);
            self.wait_for_grace(member, &superseded);
        }
        Ok(())
    }

    /// Nothing is deleted while the catalog is being rebuilt.
    pub(super) fn gate_is_shut_for_rebuild(&self, shut: bool) {
        if let Some(gate) = self.gate.get() {
            gate.set_rebuilding(shut);
        }
    }

    fn wait_for_grace(&self, member: &Member, packs: &[PackRef]) {
        let now = self.clock.monotonic();
        let mut grace = self.grace.lock();
        for key in packs.iter().filter_map(|pack| pack.key().ok()) {
            grace.begin(&member.id, &key, now);
        }
    }

    /// Packs were replaced: their grace begins in every store.
    pub(super) fn begin_grace(&self, packs: &[PackRef]) {
        for member in self.stores.read_order() {
            self.wait_for_grace(member, packs);
        }
    }

    /// Deletes replaced packs whose grace is over, by the gate.
    ///
    /// # Errors
    /// Where the ledger or a store cannot be asked; what could not be deleted is tried again.
    pub async fn delete_superseded(self: &Arc<Self>) -> Result<(), ArchiveError> {
        let Some(gate) = self.gate.get() else { return Ok(()) };
        if self.rebuild.progress().is_some() {
            return Ok(());
        }
        let over: Vec<_> = {
            let mut grace = self.grace.lock();
            grace.tick(self.clock.monotonic());
            grace.over(self.options.gate_grace).map(|(store, key)| (store.clone(), key.clone())).collect()
        };
        for (store, key) in over {
            if self.is_closed() {
                break;
            }
            let study = super::gate_ports::study_of(self, &key);
            let _study = match &study {
                Some(study) => Some(self.study_locks.lock(study).await),
                None => None,
            };
            match gate.delete(&store, &key, Ground::Superseded).await {
                Ok(Deletion::Done { .. }) => {
                    tracing::info!(%store, %key, "a replaced pack was deleted");
                    self.grace.lock().forget(&store, &key);
                }
                Ok(Deletion::InFlight { reason }) => {
                    tracing::warn!(%store, %key, %reason, "nobody knows whether a replaced pack is gone; it is found out later");
                }
                Err(GateError::Shut { .. } | GateError::Busy { .. }) => {}
                Err(_) if self.is_absent(&store, &key).await => self.grace.lock().forget(&store, &key),
                Err(error) => tracing::warn!(%store, %key, %error, "a replaced pack was left"),
            }
        }
        gate.settle().await.map_err(|error| ArchiveError::internal("the gate", error))?;
        self.write_grace().await
    }

    /// Whether a store never got a pack, or lost it: then there is nothing to delete.
    async fn is_absent(&self, store: &StoreId, key: &StoreKey) -> bool {
        match self.stores.get(store) {
            Some(member) => matches!(member.store.size(key).await, Ok(None)),
            None => true,
        }
    }

    async fn write_grace(&self) -> Result<(), ArchiveError> {
        let bytes = self.grace.lock().to_json().map_err(|error| ArchiveError::internal("remembering graces", error))?;
        let path = self.options.data.join(GRACE_FILE);
        let failed = |error: &dyn std::fmt::Display| ArchiveError::internal("remembering graces", error);
        let written = off_runtime::blocking(move || std::fs::write(path, bytes)).await;
        written.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }
}

/// A scratch file that goes when nobody needs it.
#[derive(Debug)]
struct ScratchPack {
    path: std::path::PathBuf,
}

impl ScratchPack {
    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ScratchPack {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "a scratch file stays until the next start");
        }
    }
}

/// The packs that a store has, by their names.
async fn packs_in(store: &SharedStore) -> Result<HashSet<PackId>, ArchiveError> {
    let folder = StoreKey::parse("studies").map_err(|error| ArchiveError::internal("naming a folder", error))?;
    let mut there = HashSet::new();
    let mut after: Option<StoreKey> = None;
    loop {
        let page = store.list(&folder, after.as_ref(), LIST_PAGE).await?;
        let names = page.iter().filter_map(|object| object.key.as_str().rsplit('/').next()?.strip_suffix(".zip"));
        there.extend(names.filter_map(|name| PackId::parse(name).ok()));
        let is_last = page.len() < LIST_PAGE;
        match page.into_iter().last() {
            Some(last) if !is_last => after = Some(last.key),
            _ => return Ok(there),
        }
    }
}
