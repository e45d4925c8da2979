//! Which version of an instance is current, and as what each version is read: pure functions of the set of receipts
//! and promotions, wherever they lie.
//!
//! The fold goes over the receipts of one instance in the order of their numbers. State: the current version `c`, its
//! owner (the source of the receipt that made it current), whether a person promoted it, and the versions seen.
//! A receipt of version `v` by source `s`, whose configuration resolved to some rule:
//!
//! | situation | same-source-replaces | first-wins | latest-wins |
//! |---|---|---|---|
//! | nothing is held yet | `v` current, owner `s` | same | same |
//! | `v` is current already | nothing changes | same | same |
//! | `s` owns the current version | `v` current, owner `s` | nothing | `v` current, owner `s` |
//! | another owns it | nothing: `v` stays beside | nothing | `v` current, owner `s` |
//! | promoted, `v` was seen before | nothing | nothing | nothing |
//! | promoted, `v` is new | as if the owner before the promotion still owned; if `v` wins, the promotion ends | nothing | `v` current |
//!
//! A promotion stands where its writer stood: after every receipt that it had seen (`after`), before all others; of
//! several promotions the order of their ledger entries decides. It makes the named version current if that version
//! was seen by then, and leaves the owner as it was. New content that does not win leaves the promotion in place.
//!
//! A version is read as its lowest-numbered receipt says, for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use serde::{Deserialize, Serialize};

use super::elements::{Elements, Interner, of_texts};
use crate::caller::SourceKey;
use crate::dicom::scan::InstanceKeys;
use crate::identifiers::{ReceiptNumber, SopUid, StudyUid};
use crate::instance::{VersionFacts, VersionKey};
use crate::ledger::entry::After;
use crate::pack::PackPlace;
use crate::receipt::{DuplicateRule, Receipt, Resolved};

/// What the fold needs of a receipt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReceiptFacts {
    /// Its number.
    pub number: ReceiptNumber,
    /// Who sent it.
    pub source: SourceKey,
    /// What the configuration resolved to then.
    pub resolved: Resolved,
}

impl ReceiptFacts {
    /// The part of a receipt that answers depend on.
    #[must_use]
    pub fn of(receipt: &Receipt) -> Self {
        Self { number: receipt.number, source: receipt.source.clone(), resolved: receipt.resolved.clone() }
    }
}

/// Where the bytes or receipts of a version lie.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Place {
    /// In the journal, under this receipt.
    Journal(ReceiptNumber),
    /// In a pack.
    Pack(PackPlace),
}

/// What is known of a version, as one place read it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Where it belongs.
    pub keys: InstanceKeys,
    /// Which version.
    pub version: VersionKey,
    /// Bytes of content.
    pub content_length: u64,
    /// Frames that can be told apart.
    pub frame_count: u64,
    /// Indexed attributes.
    pub elements: Elements,
}

impl Facts {
    /// The facts of a version.
    #[must_use]
    pub fn of(facts: &VersionFacts, interner: &mut Interner) -> Self {
        Self {
            keys: facts.keys.clone(),
            version: facts.version.clone(),
            content_length: facts.content_length,
            frame_count: facts.frame_count,
            elements: Elements::of(&facts.attributes, interner),
        }
    }
}

/// What one place holds of one version: its facts as the lowest-numbered receipt there reads them, and receipts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holding {
    /// The version.
    pub facts: Arc<Facts>,
    /// Receipts that lie there; at least one.
    pub receipts: Vec<ReceiptFacts>,
    /// The place.
    pub place: Place,
    /// The bytes lie there too.
    pub has_content: bool,
}

/// Everything that is held of one instance of one study.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldInstance {
    /// The instance.
    pub sop: SopUid,
    /// By place.
    pub holdings: Vec<Holding>,
}

/// A person's choice of the current version, as the ledger has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Promotion {
    /// Number of its ledger entry: orders promotions among themselves.
    pub entry: u64,
    /// The study.
    pub study: StudyUid,
    /// The instance.
    pub sop: SopUid,
    /// The version chosen.
    pub version: VersionKey,
    /// The highest receipt of each epoch that the person's archive had seen.
    pub after: After,
}

impl Promotion {
    fn saw(&self, number: ReceiptNumber) -> bool {
        self.after.get(&number.epoch).is_some_and(|&highest| number.number <= highest)
    }
}

/// Outcome of the fold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Current {
    /// The current version.
    pub version: VersionKey,
    /// The receipt since which it is: that which made it current, or the last of this instance that the promotion
    /// had seen. No two instances share one, so "latest" never ties.
    pub since: ReceiptNumber,
}

struct Fold {
    current: VersionKey,
    since: ReceiptNumber,
    owner: SourceKey,
    promoted: bool,
    seen: BTreeSet<VersionKey>,
}

impl Fold {
    fn begin(version: &VersionKey, receipt: &ReceiptFacts) -> Self {
        Self {
            current: version.clone(),
            since: receipt.number,
            owner: receipt.source.clone(),
            promoted: false,
            seen: BTreeSet::from([version.clone()]),
        }
    }

    fn receive(&mut self, version: &VersionKey, receipt: &ReceiptFacts) {
        let new = self.seen.insert(version.clone());
        if *version == self.current || (self.promoted && !new) {
            return;
        }
        let wins = match receipt.resolved.duplicate_rule {
            DuplicateRule::SameSourceReplaces => receipt.source == self.owner,
            DuplicateRule::FirstWins => false,
            DuplicateRule::LatestWins => true,
        };
        if wins {
            self.current = version.clone();
            self.since = receipt.number;
            self.owner = receipt.source.clone();
            self.promoted = false;
        }
    }

    fn promote(&mut self, version: &VersionKey, at: ReceiptNumber) {
        if self.seen.contains(version) {
            self.current = version.clone();
            self.since = at;
            self.promoted = true;
        }
    }
}

/// Which version is current; `None` only where there is no receipt. Receipts may come in any order and more than once
/// (a receipt lies in journal and pack while it is being sealed); promotions are those of this instance.
#[must_use]
pub fn resolve<'a>(
    receipts: impl IntoIterator<Item = (&'a VersionKey, &'a ReceiptFacts)>,
    promotions: &[&Promotion],
) -> Option<Current> {
    let mut waiting: BTreeMap<ReceiptNumber, (&VersionKey, &ReceiptFacts)> =
        receipts.into_iter().map(|(version, receipt)| (receipt.number, (version, receipt))).collect();
    let mut ordered: Vec<&Promotion> = promotions.to_vec();
    ordered.sort_by_key(|promotion| promotion.entry);
    let mut fold: Option<Fold> = None;
    let mut last_seen: Option<ReceiptNumber> = None;
    let step = |fold: &mut Option<Fold>, version: &VersionKey, receipt: &ReceiptFacts| match fold {
        None => *fold = Some(Fold::begin(version, receipt)),
        Some(fold) => fold.receive(version, receipt),
    };
    for promotion in ordered {
        let seen: Vec<ReceiptNumber> = waiting.keys().copied().filter(|&number| promotion.saw(number)).collect();
        for number in seen {
            if let Some((version, receipt)) = waiting.remove(&number) {
                step(&mut fold, version, receipt);
                last_seen = last_seen.max(Some(number));
            }
        }
        if let (Some(fold), Some(at)) = (&mut fold, last_seen) {
            fold.promote(&promotion.version, at);
        }
    }
    for (version, receipt) in waiting.into_values() {
        step(&mut fold, version, receipt);
    }
    fold.map(|fold| Current { version: fold.current, since: fold.since })
}

/// One version as it is read, with all its receipts and places.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldVersion {
    /// As the lowest-numbered receipt reads it; an issuer that it assumed is part of the elements.
    pub facts: Arc<Facts>,
    /// All receipts, lowest number first.
    pub receipts: Vec<ReceiptFacts>,
    /// Places that hold the bytes: packs first, then the journal, each in the order of their lowest receipt.
    pub places: Vec<Place>,
    /// Whether it is the current version.
    pub current: bool,
}

/// An instance as queries see it.
#[derive(Clone, PartialEq, Eq)]
pub struct ResolvedInstance {
    /// All versions, lowest receipt first.
    pub versions: Vec<HeldVersion>,
    /// Index of the current one.
    current: usize,
    /// The receipt since which it is.
    pub since: ReceiptNumber,
}

impl fmt::Debug for ResolvedInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResolvedInstance({} versions)", self.versions.len())
    }
}

impl ResolvedInstance {
    /// Folds everything that is held of an instance; `None` where no receipt is.
    #[must_use]
    pub fn of<'a>(holdings: impl IntoIterator<Item = &'a Holding>, promotions: &[&Promotion]) -> Option<Self> {
        let mut by_version: BTreeMap<&VersionKey, Vec<&Holding>> = BTreeMap::new();
        for holding in holdings {
            by_version.entry(&holding.facts.version).or_default().push(holding);
        }
        let receipts = by_version
            .iter()
            .flat_map(|(version, held)| held.iter().flat_map(|held| &held.receipts).map(|receipt| (*version, receipt)));
        let current = resolve(receipts, promotions)?;
        let mut versions: Vec<HeldVersion> = by_version
            .into_iter()
            .filter_map(|(version, held)| HeldVersion::of(held, *version == current.version))
            .collect();
        versions.sort_by_key(|version| version.receipts.first().map(|receipt| receipt.number));
        let at = versions.iter().position(|version| version.current)?;
        Some(Self { versions, current: at, since: current.since })
    }

    /// The current version's facts.
    #[must_use]
    pub fn current(&self) -> Option<&HeldVersion> {
        self.versions.get(self.current)
    }
}

impl HeldVersion {
    fn of(mut held: Vec<&Holding>, current: bool) -> Option<Self> {
        let lowest = |holding: &Holding| holding.receipts.iter().map(|receipt| receipt.number).min();
        held.retain(|holding| !holding.receipts.is_empty());
        held.sort_by_key(|holding| (lowest(holding), place_order(&holding.place)));
        let reading = *held.first()?;
        let receipts: BTreeMap<ReceiptNumber, &ReceiptFacts> =
            held.iter().flat_map(|holding| &holding.receipts).map(|receipt| (receipt.number, receipt)).collect();
        let receipts: Vec<ReceiptFacts> = receipts.into_values().cloned().collect();
        let issuer = receipts.first().and_then(|receipt| receipt.resolved.default_issuer.as_deref());
        let facts = with_issuer(&reading.facts, issuer);
        let (packs, journal): (Vec<&Holding>, Vec<&Holding>) = held
            .iter()
            .filter(|holding| holding.has_content)
            .partition(|holding| matches!(holding.place, Place::Pack(_)));
        let places = packs.into_iter().chain(journal).map(|holding| holding.place.clone()).collect();
        Some(Self { facts, receipts, places, current })
    }
}

/// Packs before the journal, so that of two equal readings the choice does not depend on where one looked first.
fn place_order(place: &Place) -> (u8, Option<crate::identifiers::PackId>, u32) {
    match place {
        Place::Pack(place) => (0, Some(place.pack.pack), place.line),
        Place::Journal(_) => (1, None, 0),
    }
}

/// A Patient ID that came without an issuer has the one that its receipt assumed.
fn with_issuer(facts: &Arc<Facts>, issuer: Option<&str>) -> Arc<Facts> {
    const ISSUER: Tag = tags::ISSUER_OF_PATIENT_ID;
    let elements = &facts.elements;
    let Some(issuer) = issuer else { return Arc::clone(facts) };
    if elements.text(ISSUER).is_some() || elements.text(tags::PATIENT_ID).is_none() {
        return Arc::clone(facts);
    }
    let mut items: Vec<_> = elements.iter().map(|(tag, text)| (tag, Arc::clone(text))).collect();
    items.push((ISSUER, of_texts("LO", &[issuer.to_owned()])));
    Arc::new(Facts { elements: Elements::from_items(items), ..(**facts).clone() })
}

#[cfg(test)]
#[path = "versions_tests.rs"]
mod tests;
