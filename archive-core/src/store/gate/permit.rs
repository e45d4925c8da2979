//! Permits: what a store must be given before it deletes anything.
//!
//! Only the gate makes one (the constructor is private to it), for one object of one store. A permit is spent by its
//! use, cannot be copied, and is worth nothing after ten seconds of monotonic time: what was true when the gate looked
//! must still be true when the bytes go.

use std::time::Duration;

use async_trait::async_trait;

use crate::clock::SharedClock;
use crate::ledger::entry::Ground;
use crate::store::{Store, StoreError, StoreKey};

/// How long a permit is worth anything.
pub const PERMIT_LIFETIME: Duration = Duration::from_secs(10);

/// Leave to delete one object of one store, once, now.
#[derive(Debug)]
#[must_use = "a permit that is not used was recorded for nothing"]
pub struct Permit {
    store: String,
    key: StoreKey,
    ground: Ground,
    intended: u64,
    issued: Duration,
    clock: SharedClock,
}

/// Why a store did not honour a permit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PermitError {
    /// It was used too late.
    #[error("the permit was {age_seconds} s old; it is worth 10 s, and the ground must be looked at anew")]
    Expired {
        /// Its age.
        age_seconds: u64,
    },
    /// It was made for another store.
    #[error("the permit is for store {permitted}")]
    OtherStore {
        /// The store it is for.
        permitted: String,
    },
}

impl Permit {
    /// Makes a permit, valid from now. The gate's alone.
    pub(super) fn issue(store: &str, key: &StoreKey, ground: Ground, intended: u64, clock: SharedClock) -> Self {
        Self { store: store.to_owned(), key: key.clone(), ground, intended, issued: clock.monotonic(), clock }
    }

    /// A permit for tests of a store's own delete.
    #[cfg(test)]
    pub(crate) fn for_test(store: &str, key: &StoreKey) -> Self {
        Self::issue(store, key, Ground::Superseded, 0, crate::clock::ManualClock::new())
    }

    /// The object that may go.
    #[must_use]
    pub fn key(&self) -> &StoreKey {
        &self.key
    }

    /// Why it may go.
    #[must_use]
    pub fn ground(&self) -> Ground {
        self.ground
    }

    /// The ledger entry that says so.
    #[must_use]
    pub fn intended(&self) -> u64 {
        self.intended
    }

    /// Spends the permit in a store: gives the object's name if the permit is worth anything there and now.
    ///
    /// # Errors
    /// [`PermitError`]; nothing may be deleted then.
    pub fn spend(self, store: &str) -> Result<StoreKey, PermitError> {
        if self.store != store {
            return Err(PermitError::OtherStore { permitted: self.store });
        }
        let age = self.clock.monotonic().saturating_sub(self.issued);
        if age > PERMIT_LIFETIME {
            return Err(PermitError::Expired { age_seconds: age.as_secs() });
        }
        Ok(self.key)
    }
}

/// How an attempt to delete ended.
#[derive(Debug)]
#[must_use = "an unknown outcome counts as in flight"]
pub enum DeleteOutcome {
    /// The object is gone, durably.
    Gone,
    /// There was none.
    WasAbsent,
    /// The permit was not honoured; nothing was asked of the store.
    NotPermitted(PermitError),
    /// The store said no; the object is there.
    Refused(StoreError),
    /// Nobody knows: the object may go later. For 15 minutes no object of that name may be created.
    Unknown(StoreError),
}

/// A store that can delete. Nothing calls this but the gate, for nothing else has a permit.
#[async_trait]
pub trait DeletingStore: Store {
    /// Deletes the object that the permit names, with one request and no second try.
    async fn delete(&self, permit: Permit) -> DeleteOutcome;
}
