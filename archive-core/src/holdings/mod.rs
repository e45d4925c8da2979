//! What the archive holds, sealed or not, as one: overlay and catalog folded together (docs/ARCHITECTURE.md).
//!
//! A read takes the overlay first and the catalog second. Sealing writes the catalog first and clears the overlay
//! second. So nothing is ever missed in between; what is seen twice counts once, by its receipt number.
//!
//! All calls block: async callers use `off_runtime::blocking`.

mod collect;
mod cursor;
mod find;
mod instances;
mod patients;
mod plan;
mod record;
mod select;
mod views;

#[cfg(test)]
mod histories;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::catalog::{Catalog, CatalogError};
use crate::identifiers::{SopUid, StudyUid};
use crate::overlay::{Overlay, OverlayLimits};
use crate::query::QueryError;

pub use self::select::{HeldPage, HeldVersionAt, SELECT_VERSIONS_MAX, Selected};

/// Why a search failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HoldingsError {
    /// The query cannot be understood.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Overlay and catalog as one.
#[derive(Debug)]
pub struct Holdings {
    overlay: Overlay,
    catalog: Arc<dyn Catalog>,
    views: views::Views,
    incomplete: AtomicBool,
}

impl Holdings {
    /// Joins a catalog with an empty overlay.
    #[must_use]
    pub fn new(catalog: Arc<dyn Catalog>, limits: OverlayLimits) -> Self {
        Self {
            overlay: Overlay::new(limits),
            catalog,
            views: views::Views::default(),
            incomplete: AtomicBool::new(false),
        }
    }

    /// What is unsealed.
    #[must_use]
    pub const fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// What is sealed.
    #[must_use]
    pub fn catalog(&self) -> &dyn Catalog {
        self.catalog.as_ref()
    }

    /// Says whether the catalog is being rebuilt: a miss is no absence then, and pages say so.
    pub fn set_incomplete(&self, incomplete: bool) {
        self.incomplete.store(incomplete, Ordering::SeqCst);
    }

    /// Whether the catalog is being rebuilt.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.incomplete.load(Ordering::SeqCst)
    }

    /// The studies that hold a SOP Instance UID; a storage commitment names no study.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn studies_of_sop(&self, sop: &SopUid) -> Result<BTreeSet<StudyUid>, CatalogError> {
        let overlay = self.overlay.snapshot();
        let mut studies = self.catalog.studies_of_sop(sop)?;
        studies
            .extend(overlay.iter().filter(|(_, study)| study.instances.contains_key(sop)).map(|(uid, _)| uid.clone()));
        Ok(studies)
    }
}
