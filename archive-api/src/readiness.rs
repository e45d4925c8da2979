//! Whether this process may take traffic, from what is known already: no probe waits for a store.

use std::sync::{Arc, Weak};

use archive_core::archive::Archive;

use crate::http::{Obstacle, Readiness};

/// The archive's readiness.
#[derive(Debug)]
pub struct ArchiveReadiness {
    archive: Weak<Archive>,
}

impl ArchiveReadiness {
    /// Of this archive.
    #[must_use]
    pub fn of(archive: &Arc<Archive>) -> Self {
        Self { archive: Arc::downgrade(archive) }
    }
}

impl Readiness for ArchiveReadiness {
    fn obstacles(&self) -> Vec<Obstacle> {
        let Some(archive) = self.archive.upgrade() else {
            return vec![Obstacle { part: "archive".to_owned(), reason: "it is closed".to_owned() }];
        };
        let obstacles = archive.obstacles().into_iter();
        obstacles.map(|(part, reason)| Obstacle { part: part.to_owned(), reason }).collect()
    }
}
