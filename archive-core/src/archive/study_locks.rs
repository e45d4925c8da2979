//! Seal, merge and gate of one study exclude each other; different studies do not wait for one another.
//!
//! A study goes by the name of its folder in the stores: of a pack that no entry names, that is all that is known.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use crate::identifiers::{StudyUid, uid_path_component};

/// A lock for each study that somebody works on.
#[derive(Debug, Default)]
pub(super) struct StudyLocks {
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl StudyLocks {
    /// Waits for a study.
    pub(super) async fn lock(&self, study: &StudyUid) -> OwnedMutexGuard<()> {
        self.lock_folder(&uid_path_component(study.as_str())).await
    }

    /// Waits for the study whose packs lie in a folder of this name.
    pub(super) async fn lock_folder(&self, folder: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock();
            // Locks that nobody holds or waits for are forgotten here, so the map stays as small as the work under way.
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(locks.entry(folder.to_owned()).or_default())
        };
        lock.lock_owned().await
    }

    /// Whether somebody waits for a study, or works on it without being the only one who wants to.
    #[cfg(test)]
    pub(super) fn is_waited_for(&self, folder: &str) -> bool {
        // The map, whoever has it, and one more.
        self.locks.lock().get(folder).is_some_and(|lock| Arc::strong_count(lock) > 2)
    }
}
