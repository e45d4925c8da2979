//! The instances of a study or series, folded over overlay and catalog, the first few by some order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Holdings;
use super::collect::Smallest;
use super::views::resolve;
use crate::catalog::CatalogError;
use crate::catalog::versions::ResolvedInstance;
use crate::identifiers::{SeriesUid, SopUid, StudyUid};
use crate::overlay::OverlayStudy;

/// How often reading is tried again because a seal came in between.
const TRIES: usize = 4;

impl Holdings {
    /// The instances whose current version is in the series, each given to `choose`, which says under which key and as
    /// what it is kept; the `limit` smallest keys behind `after`.
    pub(super) fn instances<K: Ord, V>(
        &self,
        study: &StudyUid,
        series: Option<&SeriesUid>,
        unsealed: Option<&OverlayStudy>,
        after: impl Fn() -> Option<K>,
        limit: usize,
        choose: impl Fn(&ResolvedInstance) -> Option<(K, V)>,
    ) -> Result<BTreeMap<K, V>, CatalogError> {
        let mut tried = 1;
        loop {
            let before = self.catalog().generation();
            let mut kept = Smallest::new(after(), limit);
            self.each_instance(study, series, unsealed, |instance| {
                if let Some((key, value)) = choose(instance) {
                    kept.offer(key, || value);
                }
            })?;
            if tried == TRIES || before == self.catalog().generation() {
                return Ok(kept.into_kept());
            }
            tried += 1;
        }
    }

    fn each_instance(
        &self,
        study: &StudyUid,
        series: Option<&SeriesUid>,
        unsealed: Option<&OverlayStudy>,
        mut visit: impl FnMut(&ResolvedInstance),
    ) -> Result<(), CatalogError> {
        let catalog = self.catalog();
        let promotions = catalog.promotions(study)?;
        let mut offer = |instance: Option<ResolvedInstance>| {
            let current = instance.as_ref().and_then(ResolvedInstance::current);
            let inside = |uid: &SeriesUid| current.is_some_and(|current| current.facts.keys.series == *uid);
            if let (Some(instance), true) = (&instance, series.is_none_or(inside)) {
                visit(instance);
            }
        };
        let mut seen: BTreeSet<SopUid> = BTreeSet::new();
        for id in catalog.row_ids(study, series)? {
            for sealed in catalog.row(&id)?.values() {
                let held = unsealed.and_then(|unsealed| unsealed.instances.get(&sealed.sop));
                if held.is_some() {
                    seen.insert(sealed.sop.clone());
                }
                offer(resolve(Some(sealed), held.map(Arc::as_ref), &promotions));
            }
        }
        let Some(unsealed) = unsealed else { return Ok(()) };
        let sealed_elsewhere = series.is_some() && catalog.study(study)?.is_some();
        for (sop, held) in unsealed.instances.iter().filter(|(sop, _)| !seen.contains(*sop)) {
            // Its sealed versions may name another series, and so lie in rows that were not read.
            let sealed = if sealed_elsewhere { catalog.instance(study, sop)? } else { None };
            offer(resolve(sealed.as_ref().map(|(_, held)| held), Some(held), &promotions));
        }
        Ok(())
    }
}
