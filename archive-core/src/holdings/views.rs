//! Views: the fold of a study that has unsealed receipts, remembered until the study changes.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Holdings;
use crate::catalog::keys::{RowId, StudyOrder};
use crate::catalog::summary::{RowSummary, StudySummary};
use crate::catalog::versions::{HeldInstance, Holding, Promotion, ResolvedInstance};
use crate::catalog::{Catalog, CatalogError, Row, study_order};
use crate::identifiers::{SopUid, StudyUid};
use crate::overlay::{OverlaySnapshot, OverlayStudy};

/// How often a fold is tried again because a seal came in between; the last one is used once and not remembered.
const TRIES: usize = 4;

/// A study folded over overlay and catalog.
#[derive(Debug)]
pub(super) struct View {
    pub(super) order: StudyOrder,
    pub(super) study: Arc<StudySummary>,
    pub(super) rows: RowSummary,
    overlay_generation: u64,
    catalog_generation: u64,
    /// Nothing of the study was sealed or promoted: then other studies' seals do not matter.
    only_overlay: bool,
}

/// Views by study; at most as many as the overlay has studies.
#[derive(Debug, Default)]
pub(super) struct Views {
    known: Mutex<HashMap<StudyUid, Arc<View>>>,
}

impl Holdings {
    /// The fold of a study of the overlay.
    pub(super) fn view(&self, uid: &StudyUid, unsealed: &OverlayStudy) -> Result<Arc<View>, CatalogError> {
        let known = self.views.known.lock().get(uid).cloned();
        if let Some(view) = known.filter(|view| view.overlay_generation == unsealed.generation) {
            let catalog = self.catalog();
            let unchanged = view.catalog_generation == catalog.generation()
                || (view.only_overlay && catalog.row_ids(uid, None)?.is_empty() && catalog.promotions(uid)?.is_empty());
            if unchanged {
                return Ok(view);
            }
        }
        for tried in 1.. {
            let before = self.catalog().generation();
            let view = Arc::new(self.fold_view(uid, unsealed, before)?);
            if before == self.catalog().generation() {
                self.views.known.lock().insert(uid.clone(), Arc::clone(&view));
                return Ok(view);
            }
            if tried == TRIES {
                return Ok(view);
            }
        }
        // The loop above ends only by returning.
        self.fold_view(uid, unsealed, self.catalog().generation()).map(Arc::new)
    }

    /// Forgets the views of studies that the overlay has no more.
    pub(super) fn trim_views(&self, overlay: &OverlaySnapshot) {
        let mut known = self.views.known.lock();
        if known.len() > overlay.len() {
            known.retain(|uid, _| overlay.contains_key(uid));
        }
    }

    fn fold_view(&self, uid: &StudyUid, unsealed: &OverlayStudy, generation: u64) -> Result<View, CatalogError> {
        let catalog = self.catalog();
        let promotions = catalog.promotions(uid)?;
        let mut heads: BTreeMap<RowId, RowSummary> = catalog.rows_of(uid, None)?.into_iter().collect();
        let only_overlay = heads.is_empty() && promotions.is_empty();
        let touched = touched_rows(catalog, uid, unsealed, heads.keys().cloned().collect())?;
        let mut rows = RowSummary::default();
        let mut folded: BTreeSet<&SopUid> = BTreeSet::new();
        for (id, instances) in &touched {
            heads.remove(id);
            for sealed in instances.values() {
                let held = unsealed.instances.get(&sealed.sop);
                folded.insert(&sealed.sop);
                if let Some(instance) = resolve(Some(sealed), held.map(Arc::as_ref), &promotions) {
                    rows.add(&instance);
                }
            }
        }
        for (_, held) in unsealed.instances.iter().filter(|(sop, _)| !folded.contains(sop)) {
            if let Some(instance) = resolve(None, Some(held), &promotions) {
                rows.add(&instance);
            }
        }
        heads.values().for_each(|summary| rows.fold(summary));
        rows.bound();
        let study = rows.study();
        Ok(View {
            order: study_order(uid, &study),
            study: Arc::new(study),
            rows,
            overlay_generation: unsealed.generation,
            catalog_generation: generation,
            only_overlay,
        })
    }
}

/// The rows that hold instances of which something is unsealed, with all their instances.
fn touched_rows(
    catalog: &dyn Catalog,
    uid: &StudyUid,
    unsealed: &OverlayStudy,
    all: Vec<RowId>,
) -> Result<BTreeMap<RowId, Arc<Row>>, CatalogError> {
    let mut touched = BTreeMap::new();
    if all.len() <= unsealed.instances.len() {
        // Fewer rows than instances to look up: read each row once.
        for id in all {
            let instances = catalog.row(&id)?;
            if instances.keys().any(|sop| unsealed.instances.contains_key(sop)) {
                touched.insert(id, instances);
            }
        }
        return Ok(touched);
    }
    for sop in unsealed.instances.keys() {
        let Some((id, _)) = catalog.instance(uid, sop)? else { continue };
        if let Entry::Vacant(untouched) = touched.entry(id) {
            let instances = catalog.row(untouched.key())?;
            untouched.insert(instances);
        }
    }
    Ok(touched)
}

/// Folds what is sealed and what is not of one instance.
pub(super) fn resolve(
    sealed: Option<&HeldInstance>,
    unsealed: Option<&Vec<Holding>>,
    promotions: &[Promotion],
) -> Option<ResolvedInstance> {
    let holdings = sealed.into_iter().flat_map(|held| &held.holdings).chain(unsealed.into_iter().flatten());
    let sop = sealed
        .map(|held| &held.sop)
        .or_else(|| unsealed.and_then(|held| held.first()).map(|holding| &holding.facts.keys.sop))?;
    let own: Vec<&Promotion> = promotions.iter().filter(|promotion| promotion.sop == *sop).collect();
    ResolvedInstance::of(holdings, &own)
}
