//! Orphans: packs in a store that no ledger entry names. A seal or merge that did not come to its end leaves them, and
//! they are never read. Once everything in one was read back from packs that the ledger names, the gate lets it go; what
//! is nowhere else makes it an **unknown pack**: it stays, and is a case.

use std::sync::Arc;

use super::Archive;
use super::error::ArchiveError;
use super::gate_ports::{pack_of, study_of};
use crate::identifiers::Sha256Digest;
use crate::ledger::entry::{CaseSubject, Ground};
use crate::store::gate::{Deletion, Gate, GateError, Missing, NoGround, is_old_enough};
use crate::store::{Member, StoreKey, StoredObject};

/// Objects in one page of a listing.
const LIST_PAGE: usize = 1000;
/// Packs that one sweep asks the gate about, for each may be read whole, and what it holds elsewhere too. The next sweep
/// goes on behind them.
const ASKED_ABOUT_MAX: usize = 1000;

/// How far a store was searched.
enum Swept {
    /// To its end.
    Whole,
    /// Up to this name; the next sweep goes on behind it.
    UpTo(Option<StoreKey>),
}

impl Archive {
    /// Looks in every store for packs that no ledger entry names, and deletes by the gate those that are orphans. Slow: it
    /// lists all packs, a page at a time.
    ///
    /// # Errors
    /// Where the ledger is not in every required store, or a store cannot be listed; the others were looked at. The next
    /// sweep tries again.
    pub async fn delete_orphans(self: &Arc<Self>) -> Result<(), ArchiveError> {
        self.sweep_orphans(ASKED_ABOUT_MAX).await
    }

    pub(super) async fn sweep_orphans(self: &Arc<Self>, mut left: usize) -> Result<(), ArchiveError> {
        let Some(gate) = self.gate.get() else { return Ok(()) };
        if self.must_not_sweep() {
            return Ok(());
        }
        // An entry that was appended without an answer may name what looks like an orphan.
        self.settle_everywhere().await?;
        let mut first_error = None;
        let from = self.orphans_from.lock().take();
        let is_before = |member: &&Member| from.as_ref().is_some_and(|(store, _)| member.id != *store);
        for member in self.stores.read_order().skip_while(is_before) {
            let after = from.as_ref().filter(|(store, _)| member.id == *store).and_then(|(_, key)| key.clone());
            match self.sweep_store(gate, member, after, &mut left).await {
                Ok(Swept::Whole) => {}
                Ok(Swept::UpTo(reached)) => {
                    *self.orphans_from.lock() = Some((member.id.clone(), reached));
                    break;
                }
                Err(error) => {
                    tracing::warn!(store = member.store.name(), %error, "a store could not be searched for orphans");
                    first_error.get_or_insert(error);
                }
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    fn must_not_sweep(&self) -> bool {
        self.is_closed() || self.rebuild.progress().is_some()
    }

    /// Sweeps a store from behind a name on.
    async fn sweep_store(
        &self,
        gate: &Gate,
        member: &Member,
        mut after: Option<StoreKey>,
        left: &mut usize,
    ) -> Result<Swept, ArchiveError> {
        let folder = StoreKey::parse("studies").map_err(|error| ArchiveError::internal("naming a folder", error))?;
        loop {
            let page = member.store.list(&folder, after.as_ref(), LIST_PAGE).await?;
            let is_last = page.len() < LIST_PAGE;
            for object in page {
                if self.may_be_orphan(&object) {
                    if *left == 0 || self.must_not_sweep() {
                        return Ok(Swept::UpTo(after));
                    }
                    *left -= 1;
                    self.delete_if_orphan(gate, member, &object.key).await;
                }
                after = Some(object.key);
            }
            if is_last {
                return Ok(Swept::Whole);
            }
        }
    }

    /// Whether an object is worth asking the gate about, which looks at all of it anew.
    fn may_be_orphan(&self, object: &StoredObject) -> bool {
        let unnamed = pack_of(&object.key).is_ok_and(|pack| !self.history.lock().names(&pack));
        unnamed && is_old_enough(object.modified, self.ledger.vouched_now())
    }

    async fn delete_if_orphan(&self, gate: &Gate, member: &Member, key: &StoreKey) {
        let store = member.store.name();
        // What is sealed or merged just now has no entry yet, whatever the store's clock says of its age.
        let Some(folder) = key.segments().nth(2) else { return };
        let _study = self.study_locks.lock_folder(folder).await;
        match gate.delete(&member.id, key, Ground::Orphan).await {
            Ok(Deletion::Done { .. }) => {
                metrics::counter!("vellum_orphans_deleted_total").increment(1);
                tracing::info!(store, %key, "a pack that no ledger entry named was deleted; all it held is in packs that count");
            }
            Ok(Deletion::InFlight { reason }) => {
                tracing::warn!(store, %key, %reason, "nobody knows whether an orphan is gone; it is found out later");
            }
            Err(GateError::NoGround { reason: NoGround::Missing(missing), .. }) => {
                self.note_unknown_pack(member, key, &missing).await;
            }
            // Young, named meanwhile, or not now: the next sweep asks again.
            Err(GateError::NoGround { .. } | GateError::Shut { .. } | GateError::Busy { .. }) => {}
            Err(error) => {
                tracing::warn!(store, %key, %error, "a pack that no ledger entry names was left; it is looked at again")
            }
        }
    }

    /// A pack that no entry names and that holds what nothing else holds is a case; it is never deleted.
    async fn note_unknown_pack(&self, member: &Member, key: &StoreKey, missing: &Missing) {
        let Ok(pack) = pack_of(key) else { return };
        let case = Sha256Digest::of(format!("unknown-pack\0{pack}").as_bytes());
        let subject = CaseSubject {
            studies: study_of(self, key).into_iter().collect(),
            pack: Some(pack),
            store: Some(member.id.clone()),
            ..CaseSubject::default()
        };
        let store = member.store.name();
        match self.open_case(case, "unknown-pack", subject).await {
            Ok(true) => {
                metrics::counter!("vellum_unknown_packs_total").increment(1);
                tracing::warn!(
                    store, %key, %missing,
                    "an unknown pack: no ledger entry names it and not all it holds is elsewhere, so it stays; \
                     `vellum case ls` shows it, and docs/OPERATIONS.md says what to do"
                );
            }
            Ok(false) => tracing::debug!(store, %key, %missing, "an unknown pack is still there"),
            Err(error) => tracing::warn!(store, %key, %error, "the case of an unknown pack could not be written yet"),
        }
    }
}
