//! Rows: up to 500 sealed instances in one value. What many of them share (elements, packs, sources, UIDs) is written
//! once, in dictionaries of the row; `vellum/index.jsonl` of the pack has everything else.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use dicom_core::Tag;
use serde::{Deserialize, Serialize};

use super::CatalogError;
use super::elements::{ElementText, Elements};
use super::summary::RowSummary;
use super::versions::{Facts, HeldInstance, Holding, Place, Promotion, ReceiptFacts, ResolvedInstance};
use crate::caller::SourceKey;
use crate::dicom::scan::InstanceKeys;
use crate::identifiers::{ContentId, ReceiptNumber, SeriesUid, SopClassUid, SopUid, StudyUid, TransferSyntaxUid};
use crate::instance::VersionKey;
use crate::pack::{PackPlace, PackRef};
use crate::receipt::Resolved;

/// Instances in one row at most.
pub const ROW_INSTANCES_MAX: usize = 500;

/// A row as it is stored.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredRow {
    study: StudyUid,
    packs: Vec<PackRef>,
    origins: Vec<(SourceKey, Resolved)>,
    texts: Vec<String>,
    elements: Vec<(u16, u16, ElementText)>,
    instances: Vec<(SopUid, Vec<StoredHolding>)>,
}

#[derive(Serialize, Deserialize)]
struct StoredHolding {
    series: u32,
    class: u32,
    syntax: u32,
    content: ContentId,
    length: u64,
    frames: u64,
    elements: Vec<u32>,
    /// Epoch, number, origin.
    receipts: Vec<(u32, u64, u32)>,
    pack: u32,
    line: u32,
    bytes: bool,
}

/// Gives each distinct thing a number.
struct Dictionary<T> {
    numbers: HashMap<T, u32>,
    items: Vec<T>,
}

impl<T: Clone + Eq + Hash> Dictionary<T> {
    fn new() -> Self {
        Self { numbers: HashMap::new(), items: Vec::new() }
    }

    fn number(&mut self, item: &T) -> u32 {
        if let Some(&known) = self.numbers.get(item) {
            return known;
        }
        let number = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        self.numbers.insert(item.clone(), number);
        self.items.push(item.clone());
        number
    }
}

/// A row in memory.
pub type Row = BTreeMap<SopUid, HeldInstance>;

/// Bytes that a row takes in memory, about.
pub(super) fn weight(row: &Row) -> usize {
    let of_holding = |holding: &Holding| 900 + holding.facts.elements.len() * 24 + holding.receipts.len() * 200;
    row.values().map(|instance| 200 + instance.holdings.iter().map(of_holding).sum::<usize>()).sum()
}

/// Makes the stored form of a row.
pub(super) fn encode(study: &StudyUid, row: &Row) -> StoredRow {
    let (mut packs, mut origins, mut texts) = (Dictionary::new(), Dictionary::new(), Dictionary::new());
    let mut elements = Dictionary::<(u16, u16, ElementText)>::new();
    let mut instances = Vec::with_capacity(row.len());
    for (sop, instance) in row {
        let mut stored = Vec::with_capacity(instance.holdings.len());
        for holding in &instance.holdings {
            let Place::Pack(place) = &holding.place else { continue };
            let facts = &holding.facts;
            let tagged = |(tag, text): (Tag, &ElementText)| (tag.group(), tag.element(), Arc::clone(text));
            stored.push(StoredHolding {
                series: texts.number(&facts.keys.series.as_str().to_owned()),
                class: texts.number(&facts.keys.sop_class.as_str().to_owned()),
                syntax: texts.number(&facts.version.transfer_syntax.as_str().to_owned()),
                content: facts.version.content,
                length: facts.content_length,
                frames: facts.frame_count,
                elements: facts.elements.iter().map(|item| elements.number(&tagged(item))).collect(),
                receipts: holding
                    .receipts
                    .iter()
                    .map(|receipt| {
                        let origin = origins.number(&(receipt.source.clone(), receipt.resolved.clone()));
                        (receipt.number.epoch, receipt.number.number, origin)
                    })
                    .collect(),
                pack: packs.number(&place.pack),
                line: place.line,
                bytes: holding.has_content,
            });
        }
        instances.push((sop.clone(), stored));
    }
    StoredRow {
        study: study.clone(),
        packs: packs.items,
        origins: origins.items,
        texts: texts.items,
        elements: elements.items,
        instances,
    }
}

fn broken() -> CatalogError {
    CatalogError::Damaged { what: "a row points past its dictionaries".to_owned() }
}

fn at<T>(items: &[T], index: u32) -> Result<&T, CatalogError> {
    usize::try_from(index).ok().and_then(|index| items.get(index)).ok_or_else(broken)
}

/// Reads the stored form of a row.
pub(super) fn decode(stored: StoredRow) -> Result<Row, CatalogError> {
    let mut row = Row::new();
    for (sop, held) in &stored.instances {
        let holdings: Result<Vec<Holding>, CatalogError> =
            held.iter().map(|holding| decode_holding(&stored, sop, holding)).collect();
        row.insert(sop.clone(), HeldInstance { sop: sop.clone(), holdings: holdings? });
    }
    Ok(row)
}

fn decode_holding(row: &StoredRow, sop: &SopUid, stored: &StoredHolding) -> Result<Holding, CatalogError> {
    let mut items = Vec::with_capacity(stored.elements.len());
    for &number in &stored.elements {
        let (group, element, text) = at(&row.elements, number)?;
        items.push((Tag(*group, *element), Arc::clone(text)));
    }
    let mut receipts = Vec::with_capacity(stored.receipts.len());
    for &(epoch, number, origin) in &stored.receipts {
        let (source, resolved) = at(&row.origins, origin)?;
        let number = ReceiptNumber { epoch, number };
        receipts.push(ReceiptFacts { number, source: source.clone(), resolved: resolved.clone() });
    }
    let keys = InstanceKeys {
        study: row.study.clone(),
        series: SeriesUid::parse(at(&row.texts, stored.series)?).map_err(|_| broken())?,
        sop_class: SopClassUid::parse(at(&row.texts, stored.class)?).map_err(|_| broken())?,
        sop: sop.clone(),
    };
    let transfer_syntax = TransferSyntaxUid::parse(at(&row.texts, stored.syntax)?).map_err(|_| broken())?;
    let facts = Facts {
        keys,
        version: VersionKey { content: stored.content, transfer_syntax },
        content_length: stored.length,
        frame_count: stored.frames,
        elements: Elements::from_items(items),
    };
    let pack = at(&row.packs, stored.pack)?.clone();
    Ok(Holding {
        facts: Arc::new(facts),
        receipts,
        place: Place::Pack(PackPlace { pack, line: stored.line }),
        has_content: stored.bytes,
    })
}

/// A row's summary with the number of instances in it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(super) struct RowHead {
    /// Instances in the row.
    pub(super) instances: usize,
    /// Their fold.
    pub(super) summary: RowSummary,
}

/// Folds a row.
pub(super) fn head_of(row: &Row, promotions: &[Promotion]) -> RowHead {
    let mut summary = RowSummary::default();
    for instance in row.values() {
        if let Some(resolved) = resolve_instance(instance, promotions) {
            summary.add(&resolved);
        }
    }
    summary.bound();
    RowHead { instances: row.len(), summary }
}

/// Resolves an instance with the promotions of its study.
pub(super) fn resolve_instance(instance: &HeldInstance, promotions: &[Promotion]) -> Option<ResolvedInstance> {
    let own: Vec<&Promotion> = promotions.iter().filter(|promotion| promotion.sop == instance.sop).collect();
    ResolvedInstance::of(&instance.holdings, &own)
}
