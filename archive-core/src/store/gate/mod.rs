//! The gate: the only way to delete (promise I5).
//!
//! A store deletes nothing without a [`Permit`], and only the gate makes one: for one object, after the ground was
//! looked at anew, after `delete_intended` is durable in that store and in every required one, and after their heads
//! were checked. The outcome is recorded; one that is not known counts as in flight for 15 minutes, also after a
//! restart, and until then no object of that name is created in that store.
//!
//! All permits pass one queue. Holds will pass the same one: a hold is then answered when no matching permit is out.

mod grace;
mod grounds;
mod in_flight;
mod permit;
mod port;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

pub use self::grace::{GRACE_DEFAULT, Grace, GraceError};
pub use self::grounds::{Missing, NoGround, ORPHAN_AGE_MIN, is_old_enough, orphan_of, superseded_by};
pub use self::in_flight::{GuardedStore, IN_FLIGHT, IN_FLIGHT_MAX, InFlightDeletes};
pub use self::permit::{DeleteOutcome, DeletingStore, PERMIT_LIFETIME, Permit, PermitError};
pub use self::port::{GroundCheck, LedgerPort, OpenIntent, OrphanEvidence, PortError, SupersededEvidence};
use super::{StoreError, StoreKey};
use crate::clock::SharedClock;
use crate::identifiers::StoreId;
use crate::ledger::entry::Ground;

/// A store as the gate knows it.
#[derive(Clone, Debug)]
pub struct GatedStore {
    /// Its id.
    pub id: StoreId,
    /// What deletes in it.
    pub deleting: Arc<dyn DeletingStore>,
    /// Its deletes whose outcome is not known; shared with the [`GuardedStore`] that everyone else writes through.
    pub in_flight: Arc<InFlightDeletes>,
}

/// What came of a deletion that was permitted.
#[derive(Debug)]
#[must_use = "an object may still be there"]
pub enum Deletion {
    /// The object is gone and the ledger says so.
    Done {
        /// The entry that announced it.
        intended: u64,
    },
    /// Nobody knows; [`Gate::settle`] finds out after 15 minutes.
    InFlight {
        /// What the store said.
        reason: StoreError,
    },
}

/// Why nothing was deleted.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The gate is shut: the archive is being rebuilt, or its ledger cannot be read.
    #[error("nothing is deleted {why}; it is tried again afterwards")]
    Shut {
        /// Since when or why.
        why: &'static str,
    },
    /// This version of the program does not delete for that reason.
    #[error("deleting on the ground {ground:?} is not available in this version; {key} was left")]
    NotAvailable {
        /// The reason.
        ground: Ground,
        /// The object.
        key: StoreKey,
    },
    /// Objects of that name are never deleted on that ground.
    #[error("{key} is no object that may ever be deleted on the ground {ground:?}; it was left")]
    NeverDeletable {
        /// The reason.
        ground: Ground,
        /// The object.
        key: StoreKey,
    },
    /// No store of the archive has that id.
    #[error("no store of this archive has the id {0}")]
    NoStore(StoreId),
    /// The ground does not hold.
    #[error("store {store}: {key} was left: {reason}")]
    NoGround {
        /// The store.
        store: StoreId,
        /// The object.
        key: StoreKey,
        /// Why not.
        reason: NoGround,
    },
    /// A delete of the same object is on its way, or too many are.
    #[error("store {store}: {key} was left: a delete of it is in flight, or too many deletes are; wait 15 minutes")]
    Busy {
        /// The store.
        store: StoreId,
        /// The object.
        key: StoreKey,
    },
    /// The ledger could not be asked or written.
    #[error(transparent)]
    Ledger(#[from] PortError),
    /// The store said no; the object is there.
    #[error("{0}")]
    Store(StoreError),
    /// The permit came too late.
    #[error("{key} was left: {reason}; it is tried again")]
    Permit {
        /// The object.
        key: StoreKey,
        /// Why.
        reason: PermitError,
    },
}

/// The gate of an archive.
#[derive(Debug)]
pub struct Gate {
    stores: BTreeMap<StoreId, GatedStore>,
    ledger: Arc<dyn LedgerPort>,
    grounds: Arc<dyn GroundCheck>,
    clock: SharedClock,
    grace: Duration,
    queue: Semaphore,
    rebuilding: AtomicBool,
    ledger_unreadable: AtomicBool,
}

impl Gate {
    /// A gate that is shut until [`Gate::set_rebuilding`] and [`Gate::set_ledger_unreadable`] say otherwise. Deletes
    /// that the ledger announced and never confirmed count as in flight from now on.
    ///
    /// # Errors
    /// [`GateError::Ledger`] when the ledger cannot be asked for them; [`GateError::Busy`] when there are too many:
    /// they are settled first.
    pub async fn open(
        stores: Vec<GatedStore>,
        ledger: Arc<dyn LedgerPort>,
        grounds: Arc<dyn GroundCheck>,
        clock: SharedClock,
        grace: Duration,
    ) -> Result<Self, GateError> {
        let stores: BTreeMap<StoreId, GatedStore> = stores.into_iter().map(|store| (store.id.clone(), store)).collect();
        for intent in ledger.open_intents().await? {
            let Some(gated) = stores.get(&intent.store) else { continue };
            if !gated.in_flight.restore(&intent) {
                return Err(GateError::Busy { store: intent.store, key: intent.key });
            }
        }
        Ok(Self {
            stores,
            ledger,
            grounds,
            clock,
            grace,
            queue: Semaphore::new(1),
            rebuilding: AtomicBool::new(true),
            ledger_unreadable: AtomicBool::new(true),
        })
    }

    /// Says whether the archive is being rebuilt; nothing is deleted meanwhile.
    pub fn set_rebuilding(&self, rebuilding: bool) {
        self.rebuilding.store(rebuilding, Ordering::SeqCst);
    }

    /// Says whether the ledger cannot be read; nothing is deleted meanwhile.
    pub fn set_ledger_unreadable(&self, unreadable: bool) {
        self.ledger_unreadable.store(unreadable, Ordering::SeqCst);
    }

    /// Deletes one object of one store, if the ground holds. The caller sees to it that nothing is sealed or merged in
    /// the same study meanwhile.
    ///
    /// # Errors
    /// [`GateError`]; nothing was deleted then.
    pub async fn delete(&self, store: &StoreId, key: &StoreKey, ground: Ground) -> Result<Deletion, GateError> {
        self.refuse_if_shut()?;
        grounds::refuse_name(key, ground)?;
        let gated = self.stores.get(store).ok_or_else(|| GateError::NoStore(store.clone()))?;
        let _turn = self.turn().await?;
        if !gated.in_flight.is_free(key) {
            return Err(GateError::Busy { store: store.clone(), key: key.clone() });
        }
        // Looked at before it is announced, so that the ledger announces only what has a ground…
        self.look(store, key, ground).await?;
        let intended = self.ledger.intend(ground, store, key).await?;
        // A crash from here on leaves an announced delete: the next start counts it as in flight and settles it.
        self.ledger.check_heads().await?;
        // …and anew at the last moment, for this may have taken long.
        self.look(store, key, ground).await?;
        self.refuse_if_shut()?;
        // Marked before the request leaves: if whoever waits goes away, its outcome is not known.
        if !gated.in_flight.begin(key, ground, intended) {
            return Err(GateError::Busy { store: store.clone(), key: key.clone() });
        }
        let permit = Permit::issue(gated.deleting.name(), key, ground, intended, Arc::clone(&self.clock));
        let outcome = gated.deleting.delete(permit).await;
        self.record(gated, key, ground, intended, outcome).await
    }

    /// Looks what became of deletes whose 15 minutes are over: what is gone is recorded, what is there stays, free to
    /// be deleted or created anew. Gives how many were settled.
    ///
    /// # Errors
    /// The first failure of ledger or store; the rest is settled the next time.
    pub async fn settle(&self) -> Result<usize, GateError> {
        self.refuse_if_shut()?;
        let _turn = self.turn().await?;
        let mut settled = 0;
        for gated in self.stores.values() {
            for OpenIntent { store: _, key, ground, intended } in gated.in_flight.over(&gated.id) {
                if gated.deleting.size(&key).await.map_err(GateError::Store)?.is_none() {
                    self.ledger.deleted(ground, &gated.id, &key, intended).await?;
                }
                gated.in_flight.end(&key);
                settled += 1;
            }
        }
        Ok(settled)
    }

    /// One at a time, in the order of asking. Held to the end of a deletion: that is what it is for.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, GateError> {
        self.queue.acquire().await.map_err(|_| GateError::Shut { why: "while the archive shuts down" })
    }

    fn refuse_if_shut(&self) -> Result<(), GateError> {
        if self.rebuilding.load(Ordering::SeqCst) {
            return Err(GateError::Shut { why: "while the archive is being rebuilt" });
        }
        if self.ledger_unreadable.load(Ordering::SeqCst) {
            return Err(GateError::Shut { why: "while the ledger cannot be read" });
        }
        Ok(())
    }

    /// Looks whether the ground holds at this moment.
    async fn look(&self, store: &StoreId, key: &StoreKey, ground: Ground) -> Result<(), GateError> {
        let held = match ground {
            Ground::Superseded => {
                let evidence = self.grounds.superseded(store, key).await?;
                grounds::superseded(key, &evidence, self.grace)
            }
            Ground::Orphan => {
                let named = self.ledger.named_by_ledger(key).await?;
                let now = self.ledger.vouched_now().await?;
                let evidence = self.grounds.orphan(store, key).await?;
                grounds::orphan(&evidence, named, now)
            }
            _ => return Err(GateError::NotAvailable { ground, key: key.clone() }),
        };
        held.map_err(|reason| GateError::NoGround { store: store.clone(), key: key.clone(), reason })
    }

    /// Records how a delete ended.
    async fn record(
        &self,
        gated: &GatedStore,
        key: &StoreKey,
        ground: Ground,
        intended: u64,
        outcome: DeleteOutcome,
    ) -> Result<Deletion, GateError> {
        match outcome {
            DeleteOutcome::Gone | DeleteOutcome::WasAbsent => {
                // If this fails, the delete stays in flight, and is settled and recorded later.
                self.ledger.deleted(ground, &gated.id, key, intended).await?;
                gated.in_flight.end(key);
                Ok(Deletion::Done { intended })
            }
            DeleteOutcome::Unknown(reason) => {
                gated.in_flight.extend(key);
                Ok(Deletion::InFlight { reason })
            }
            DeleteOutcome::Refused(error) => {
                gated.in_flight.end(key);
                Err(GateError::Store(error))
            }
            DeleteOutcome::NotPermitted(reason) => {
                gated.in_flight.end(key);
                Err(GateError::Permit { key: key.clone(), reason })
            }
        }
    }
}
