//! The instances of a study or series, folded over overlay and catalog, the first few by some order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Holdings;
use super::collect::Smallest;
use super::views::resolve;
use crate::catalog::CatalogError;
use crate::catalog::versions::{Facts, ResolvedInstance};
use crate::identifiers::{SeriesUid, SopUid, StudyUid};
use crate::overlay::OverlayStudy;

/// How often reading is tried again because a seal came in between.
const TRIES: usize = 4;

/// An instance on the way.
enum Known<'a> {
    /// It has one version, which is current; the answer tells whether more of it is wanted.
    OneVersion(&'a Facts),
    /// All of it.
    Whole(&'a ResolvedInstance),
}

impl Holdings {
    /// The instances whose current version is in the series, each given to `choose`, which says under which key and as
    /// what it is kept; the `limit` smallest keys behind `after`. `passes` tells of what has one version only
    /// whether it is passed over, so that this costs next to nothing: a page of a large series goes past all of it.
    #[allow(clippy::too_many_arguments, reason = "where, from where, how many, and two questions about each")]
    pub(super) fn instances<K: Ord, V>(
        &self,
        study: &StudyUid,
        series: Option<&SeriesUid>,
        unsealed: Option<&OverlayStudy>,
        after: impl Fn() -> Option<K>,
        limit: usize,
        passes: impl Fn(&Facts, &Smallest<K, V>) -> bool,
        choose: impl Fn(&ResolvedInstance) -> Option<(K, V)>,
    ) -> Result<BTreeMap<K, V>, CatalogError> {
        let mut tried = 1;
        loop {
            let before = self.catalog().generation();
            let mut kept = Smallest::new(after(), limit);
            self.each_instance(study, series, unsealed, |known| {
                let instance = match known {
                    Known::OneVersion(facts) => {
                        return !passes(facts, &kept);
                    }
                    Known::Whole(instance) => instance,
                };
                if let Some((key, value)) = choose(instance) {
                    kept.offer(key, || value);
                }
                true
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
        mut visit: impl FnMut(Known<'_>) -> bool,
    ) -> Result<(), CatalogError> {
        let catalog = self.catalog();
        let promotions = catalog.promotions(study)?;
        let offer = |instance: Option<ResolvedInstance>, visit: &mut dyn FnMut(Known<'_>) -> bool| {
            let current = instance.as_ref().and_then(ResolvedInstance::current);
            let inside = |uid: &SeriesUid| current.is_some_and(|current| current.facts.keys.series == *uid);
            if let (Some(instance), true) = (&instance, series.is_none_or(inside)) {
                visit(Known::Whole(instance));
            }
        };
        let mut seen: BTreeSet<SopUid> = BTreeSet::new();
        for id in catalog.row_ids(study, series)? {
            for sealed in catalog.row(&id)?.values() {
                let held = unsealed.and_then(|unsealed| unsealed.instances.get(&sealed.sop));
                if held.is_some() {
                    seen.insert(sealed.sop.clone());
                } else if let ([only], true) = (sealed.holdings.as_slice(), promotions.is_empty())
                    && !visit(Known::OneVersion(&only.facts))
                {
                    continue;
                }
                offer(resolve(Some(sealed), held.map(Arc::as_ref), &promotions), &mut visit);
            }
        }
        let Some(unsealed) = unsealed else { return Ok(()) };
        let sealed_elsewhere = series.is_some() && catalog.study(study)?.is_some();
        for (sop, held) in unsealed.instances.iter().filter(|(sop, _)| !seen.contains(*sop)) {
            // Its sealed versions may name another series, and so lie in rows that were not read.
            let sealed = if sealed_elsewhere { catalog.instance(study, sop)? } else { None };
            offer(resolve(sealed.as_ref().map(|(_, held)| held), Some(held), &promotions), &mut visit);
        }
        Ok(())
    }
}
