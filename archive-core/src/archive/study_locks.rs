//! Seal, merge and gate of one study exclude each other; different studies do not wait for one another.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use crate::identifiers::StudyUid;

/// A lock for each study that somebody works on.
#[derive(Debug, Default)]
pub(super) struct StudyLocks {
    locks: Mutex<HashMap<StudyUid, Arc<tokio::sync::Mutex<()>>>>,
}

impl StudyLocks {
    /// Waits for a study.
    pub(super) async fn lock(&self, study: &StudyUid) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock();
            // Locks that nobody holds or waits for are forgotten here, so the map stays as small as the work under way.
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(locks.entry(study.clone()).or_default())
        };
        lock.lock_owned().await
    }
}
