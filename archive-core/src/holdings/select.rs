//! Selecting versions to read: which versions of which instances, where their bytes lie, in a stable order.

use std::sync::Arc;

use dicom_dictionary_std::tags;
use serde::{Deserialize, Serialize};

use super::collect::Smallest;
use super::cursor;
use super::find::number_of;
use super::{Holdings, HoldingsError};
use crate::catalog::versions::{Facts, HeldVersion, Place, ReceiptFacts};
use crate::identifiers::{ReceiptNumber, SeriesUid, SopUid, StudyUid};

/// Versions on one page.
pub const SELECT_VERSIONS_MAX: usize = 500;

/// Which versions are meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selected {
    /// Of this study.
    pub study: StudyUid,
    /// Only instances whose current version is in this series.
    pub series: Option<SeriesUid>,
    /// Only this instance.
    pub sop: Option<SopUid>,
    /// Also versions that are not current.
    pub all_versions: bool,
}

/// A version and where it lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldVersionAt {
    /// The version, its receipts (lowest number first), its places and whether it is current.
    pub version: HeldVersion,
}

impl HeldVersionAt {
    /// Where the bytes lie: packs first, then the journal.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.version.places
    }

    /// All receipts of the version, lowest number first.
    #[must_use]
    pub fn receipts(&self) -> &[ReceiptFacts] {
        &self.version.receipts
    }
}

/// Versions in the order (series UID, instance number, SOP UID, current first, lowest receipt number).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HeldPage {
    /// At most [`SELECT_VERSIONS_MAX`].
    pub versions: Vec<HeldVersionAt>,
    /// Where the next page begins, if there is more.
    pub next: Option<String>,
}

/// Series of the instance's current version, instance number, SOP UID, not current, lowest receipt.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Key(SeriesUid, i64, SopUid, bool, Option<ReceiptNumber>);

impl Holdings {
    /// The versions selected, a page at a time; `after` is what the page before gave as `next`.
    ///
    /// # Errors
    /// [`crate::query::QueryError::Cursor`] for an `after` that is not ours; [`crate::catalog::CatalogError`].
    pub fn versions(&self, selected: &Selected, after: Option<&str>) -> Result<HeldPage, HoldingsError> {
        let after: Option<Key> = after.map(cursor::read).transpose()?;
        let overlay = self.overlay().snapshot();
        let unsealed = overlay.get(&selected.study).map(Arc::as_ref);
        let mut keys: Vec<(Key, HeldVersion)> = Vec::new();
        if let Some(sop) = &selected.sop {
            keys.extend(self.versions_of(selected, sop, unsealed)?);
            keys.retain(|(key, _)| after.as_ref().is_none_or(|after| key > after));
        } else {
            // An instance counts once here, however many versions it has: one page has no more instances than versions.
            let start = after.clone().map(|Key(series, number, sop, ..)| (series, number, sop));
            let series = selected.series.as_ref();
            let begin = || None;
            // The instance that the last page ended in may have nothing left.
            let wanted = SELECT_VERSIONS_MAX + 2;
            let passes = |facts: &Facts, kept: &Smallest<_, _>| {
                let key = (facts.keys.series.clone(), instance_number(facts), facts.keys.sop.clone());
                start.as_ref().is_some_and(|start| key < *start) || !kept.wants(&key)
            };
            let found = self.instances(&selected.study, series, unsealed, begin, wanted, passes, |instance| {
                let versions = keyed(selected, instance)?;
                let Key(series, number, sop, ..) = versions.first().map(|(key, _)| key.clone())?;
                let key = (series, number, sop);
                let behind = start.as_ref().is_some_and(|start| key < *start);
                (!behind).then_some((key, versions))
            })?;
            let all = found.into_values().flatten();
            let fresh = all.filter(|(key, _)| after.as_ref().is_none_or(|after| key > after));
            keys.extend(fresh.take(SELECT_VERSIONS_MAX + 1));
        }
        Ok(page_of(keys))
    }

    fn versions_of(
        &self,
        selected: &Selected,
        sop: &SopUid,
        unsealed: Option<&crate::overlay::OverlayStudy>,
    ) -> Result<Vec<(Key, HeldVersion)>, HoldingsError> {
        let catalog = self.catalog();
        let promotions = catalog.promotions(&selected.study)?;
        let sealed = catalog.instance(&selected.study, sop)?;
        let held = unsealed.and_then(|unsealed| unsealed.instances.get(sop)).map(Arc::as_ref);
        let instance = super::views::resolve(sealed.as_ref().map(|(_, held)| held), held, &promotions);
        let inside = |instance: &crate::catalog::versions::ResolvedInstance| {
            let current = instance.current().map(|current| &current.facts.keys.series);
            selected.series.as_ref().is_none_or(|wanted| current == Some(wanted))
        };
        Ok(instance.filter(inside).and_then(|instance| keyed(selected, &instance)).unwrap_or_default())
    }
}

/// The versions of an instance that are meant, with their keys, in order.
fn keyed(
    selected: &Selected,
    instance: &crate::catalog::versions::ResolvedInstance,
) -> Option<Vec<(Key, HeldVersion)>> {
    let current = instance.current()?;
    let number = instance_number(&current.facts);
    let (series, sop) = (&current.facts.keys.series, &current.facts.keys.sop);
    let meant = instance.versions.iter().filter(|version| version.current || selected.all_versions);
    let mut found: Vec<(Key, HeldVersion)> = meant
        .map(|version| {
            let lowest = version.receipts.first().map(|receipt| receipt.number);
            (Key(series.clone(), number, sop.clone(), !version.current, lowest), version.clone())
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Some(found)
}

fn instance_number(facts: &Facts) -> i64 {
    number_of(facts.elements.get(tags::INSTANCE_NUMBER).cloned())
}

fn page_of(mut keys: Vec<(Key, HeldVersion)>) -> HeldPage {
    let more = keys.len() > SELECT_VERSIONS_MAX;
    keys.truncate(SELECT_VERSIONS_MAX);
    let next = if more { keys.last().map(|(key, _)| cursor::text_of(key)) } else { None };
    HeldPage { versions: keys.into_iter().map(|(_, version)| HeldVersionAt { version }).collect(), next }
}
