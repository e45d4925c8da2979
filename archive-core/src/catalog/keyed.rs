//! The catalog over any ordered key-value store: reads. Changes are in `apply`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use super::cases::CaseFinding;
use super::keys::{self, RowId, StudyIndex, StudyOrder};
use super::kv::{Batch, OrderedStore, Pair};
use super::patients::PatientDigest;
use super::rows::{self, Row, RowHead, StoredRow};
use super::summary::{RowSummary, StudySummary, Summary};
use super::text::{TextField, TextIndex};
use super::versions::{HeldInstance, Promotion};
use super::{Catalog, CatalogChange, CatalogError, Days, ListedStudies, Lookup, StudyRecord, values};
use crate::identifiers::{SeriesUid, SopUid, StudyUid};
use crate::recent::Recent;

/// Bytes of rows that are kept as they were read, where nothing else is said.
const ROWS_KEPT_BYTES: usize = 16 * 1024 * 1024;

/// Pairs read from the store at once where all of a prefix are wanted.
const SCAN_PAIRS: usize = 1024;

/// A study as it is stored.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredStudy {
    pub(super) study: StudyUid,
    pub(super) order: String,
    pub(super) summary: StudySummary,
    /// Index entries of the study, a character a byte.
    pub(super) entries: BTreeSet<String>,
}

/// A series as it is stored.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct StoredSeries {
    pub(super) series: SeriesUid,
    pub(super) summary: Summary,
}

/// A catalog in an ordered key-value store.
#[derive(Debug)]
pub struct KeyedCatalog {
    pub(super) store: Box<dyn OrderedStore>,
    /// Held while a change is made.
    pub(super) writing: Mutex<()>,
    /// Held for writing while a batch becomes visible, for reading by every call that reads more than once.
    pub(super) visible: RwLock<()>,
    /// Loaded when first needed.
    pub(super) text: Mutex<Option<TextIndex>>,
    pub(super) generation: AtomicU64,
    /// Rows as they were read; what a change touches is put in anew while nothing is visible.
    pub(super) rows: Recent<RowId, Arc<Row>>,
}

impl KeyedCatalog {
    /// A new catalog in memory.
    ///
    /// # Errors
    /// As [`KeyedCatalog::open`]; in practice never.
    pub fn in_memory() -> Result<Self, CatalogError> {
        Self::open(Box::<super::kv::MemoryStore>::default())
    }

    fn over(store: Box<dyn OrderedStore>, rows_kept_bytes: usize) -> Self {
        Self {
            store,
            writing: Mutex::default(),
            visible: RwLock::default(),
            text: Mutex::default(),
            generation: AtomicU64::default(),
            rows: Recent::of_bytes(rows_kept_bytes),
        }
    }

    /// The catalog that lies in a store, or a new one where the store is empty.
    ///
    /// # Errors
    /// [`CatalogError::OtherLayout`], [`CatalogError::Damaged`], [`CatalogError::Store`].
    pub fn open(store: Box<dyn OrderedStore>) -> Result<Self, CatalogError> {
        Self::open_keeping(store, ROWS_KEPT_BYTES)
    }

    /// The same, keeping so many bytes of rows as they were read.
    ///
    /// # Errors
    /// As [`KeyedCatalog::open`].
    pub fn open_keeping(store: Box<dyn OrderedStore>, rows_kept_bytes: usize) -> Result<Self, CatalogError> {
        let catalog = Self::over(store, rows_kept_bytes);
        let expected = keys::LAYOUT;
        match values::read::<u32>(catalog.store(), keys::LAYOUT_KEY)? {
            Some(found) if found == expected => {}
            Some(found) => return Err(CatalogError::OtherLayout { found, expected }),
            None if catalog.store.range(&[], &[0xff; 64], 1)?.is_empty() => catalog.begin()?,
            None => return Err(CatalogError::Damaged { what: "it does not say its layout".to_owned() }),
        }
        catalog.watermark()?;
        Ok(catalog)
    }

    fn begin(&self) -> Result<(), CatalogError> {
        let mut batch = Batch::new();
        values::write(self.store(), &mut batch, keys::LAYOUT_KEY, &keys::LAYOUT)?;
        values::write(self.store(), &mut batch, keys::WATERMARK_KEY, &0_u64)?;
        self.store.apply(batch)?;
        self.store.flush()
    }

    pub(super) fn store(&self) -> &dyn OrderedStore {
        self.store.as_ref()
    }

    /// Calls `visit` with every pair from `from` to `to`, in order, until it says that it has enough.
    pub(super) fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool, CatalogError>,
    ) -> Result<(), CatalogError> {
        let mut from = from.to_vec();
        loop {
            let pairs: Vec<Pair> = self.store.range(&from, to, SCAN_PAIRS)?;
            for (key, value) in &pairs {
                if !visit(key, value)? {
                    return Ok(());
                }
            }
            match pairs.last() {
                Some((key, _)) if pairs.len() == SCAN_PAIRS => from = [key.as_slice(), &[0]].concat(),
                _ => return Ok(()),
            }
        }
    }

    pub(super) fn scan_prefix(
        &self,
        prefix: &[u8],
        visit: impl FnMut(&[u8], &[u8]) -> Result<bool, CatalogError>,
    ) -> Result<(), CatalogError> {
        self.scan(prefix, &keys::after_prefix(prefix), visit)
    }

    /// A row, from those that are kept or from the store.
    pub(super) fn read_row(&self, id: &RowId) -> Result<Option<Arc<Row>>, CatalogError> {
        if let Some(kept) = self.rows.get(id) {
            return Ok(Some(kept));
        }
        let Some(stored) = values::read::<StoredRow>(self.store(), &id.key(b'r'))? else { return Ok(None) };
        let row = Arc::new(rows::decode(stored)?);
        self.rows.put(id.clone(), Arc::clone(&row), rows::weight(&row));
        Ok(Some(row))
    }

    /// One instance of a row.
    pub(super) fn read_instance(&self, id: &RowId, sop: &SopUid) -> Result<Option<HeldInstance>, CatalogError> {
        Ok(self.read_row(id)?.and_then(|row| row.get(sop).cloned()))
    }

    /// All row heads under a prefix of `m`.
    pub(super) fn read_heads(&self, prefix: &[u8]) -> Result<Vec<(RowId, RowHead)>, CatalogError> {
        let mut found = Vec::new();
        self.scan_prefix(prefix, |key, value| {
            found.push((row_id(key.get(1..).unwrap_or_default())?, values::decode(self.store(), key, value)?));
            Ok(true)
        })?;
        Ok(found)
    }

    /// Rows that hold an instance, in any study or in one.
    pub(super) fn rows_with(&self, sop: &SopUid, study: Option<&str>) -> Result<Vec<RowId>, CatalogError> {
        let (cut, end) = keys::sop_cut(sop);
        let cut = keys::cut_prefix(&cut);
        let mut prefix = cut.clone();
        if let Some(study) = study {
            prefix.extend_from_slice(study.as_bytes());
            prefix.push(0);
        }
        let mut found = Vec::new();
        self.scan_prefix(&prefix, |key, value| {
            if keys::has_end(&values::open_text(key, value)?, &end) {
                found.push(row_id(key.get(cut.len()..).unwrap_or_default())?);
            }
            Ok(true)
        })?;
        Ok(found)
    }

    pub(super) fn read_promotions(&self, study: &StudyUid) -> Result<Vec<Promotion>, CatalogError> {
        let key = keys::study_key(b'v', &keys::study_part(study));
        Ok(values::read(self.store(), &key)?.unwrap_or_default())
    }

    /// Studies that the entries under some prefixes name.
    fn studies_under(&self, prefixes: &[Vec<u8>], limit: usize) -> Result<Option<ListedStudies>, CatalogError> {
        let ranges = prefixes.iter().map(|prefix| (prefix.clone(), keys::after_prefix(prefix)));
        self.studies_between(ranges, limit)
    }

    fn studies_between(
        &self,
        ranges: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
        limit: usize,
    ) -> Result<Option<ListedStudies>, CatalogError> {
        let _visible = self.visible.read();
        let mut found = Vec::new();
        for (from, to) in ranges {
            self.scan(&from, &to, |key, value| {
                found.push(listed_study(key, value)?);
                Ok(found.len() <= limit)
            })?;
        }
        Ok((found.len() <= limit).then_some(found))
    }

    fn load_text(&self) -> Result<TextIndex, CatalogError> {
        let mut index = TextIndex::default();
        self.scan_prefix(b"f", |key, value| {
            let line = values::open_text(key, value)?;
            let (entry, folded) = line.split_once('\n').ok_or_else(not_understood)?;
            let (order, study) = StudyOrder::read_entry(entry).ok_or_else(not_understood)?;
            index.set(&study, order, folded);
            Ok(true)
        })?;
        Ok(index)
    }
}

fn not_understood() -> CatalogError {
    CatalogError::Damaged { what: "an index entry is not understood".to_owned() }
}

fn row_id(rest: &[u8]) -> Result<RowId, CatalogError> {
    RowId::parse(rest).ok_or_else(not_understood)
}

/// Begin the keys of the summaries of a study's rows; of one series: of its rows, and of the mixed ones.
fn head_prefixes(study: &StudyUid, series: Option<&SeriesUid>) -> Vec<Vec<u8>> {
    let study = keys::study_part(study);
    let of_group = |group: &str| keys::group_prefix(b'm', &study, group);
    match series {
        None => vec![keys::study_prefix(b'm', &study)],
        Some(series) => vec![of_group(keys::MIXED), of_group(&keys::series_part(series))],
    }
}

fn listed_study(key: &[u8], value: &[u8]) -> Result<(StudyOrder, StudyUid), CatalogError> {
    StudyOrder::read_entry(&values::open_text(key, value)?).ok_or_else(not_understood)
}

/// The keys of an index of descending days, between two days.
fn day_range(index: StudyIndex, (first, last): Days) -> (Vec<u8>, Vec<u8>) {
    let prefix = keys::index_prefix(index);
    let with = |day: i64| [prefix.as_slice(), keys::descending_day(day).as_bytes()].concat();
    let from = last.map_or_else(|| prefix.clone(), with);
    let to = first.map_or_else(|| keys::after_prefix(&prefix), |day| keys::after_prefix(&with(day)));
    (from, to)
}

impl Catalog for KeyedCatalog {
    fn watermark(&self) -> Result<u64, CatalogError> {
        let missing = || CatalogError::Damaged { what: "it has no watermark".to_owned() };
        values::read(self.store(), keys::WATERMARK_KEY)?.ok_or_else(missing)
    }

    fn apply(&self, change: &CatalogChange) -> Result<Vec<CaseFinding>, CatalogError> {
        super::apply::apply(self, change)
    }

    fn checkpoint(&self) -> Result<(), CatalogError> {
        self.store.flush()
    }

    fn clear(&self) -> Result<(), CatalogError> {
        let _writing = self.writing.lock();
        let _visible = self.visible.write();
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.store.clear()?;
        self.rows.clear();
        *self.text.lock() = None;
        self.begin()
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    fn study(&self, study: &StudyUid) -> Result<Option<StudyRecord>, CatalogError> {
        let _visible = self.visible.read();
        let stored: Option<StoredStudy> = values::read(self.store(), &keys::study_key(b't', &keys::study_part(study)))?;
        Ok(stored.map(|stored| StudyRecord {
            study: stored.study,
            order: StudyOrder(stored.order),
            summary: stored.summary,
        }))
    }

    fn series_of(&self, study: &StudyUid) -> Result<Vec<(SeriesUid, Summary)>, CatalogError> {
        let _visible = self.visible.read();
        let mut found = Vec::new();
        self.scan_prefix(&keys::study_prefix(b's', &keys::study_part(study)), |key, value| {
            let stored: StoredSeries = values::decode(self.store(), key, value)?;
            found.push((stored.series, stored.summary));
            Ok(true)
        })?;
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    fn rows_of(&self, study: &StudyUid, series: Option<&SeriesUid>) -> Result<Vec<(RowId, RowSummary)>, CatalogError> {
        let _visible = self.visible.read();
        let mut found = Vec::new();
        for prefix in head_prefixes(study, series) {
            found.extend(self.read_heads(&prefix)?.into_iter().map(|(id, head)| (id, head.summary)));
        }
        Ok(found)
    }

    fn row_ids(&self, study: &StudyUid, series: Option<&SeriesUid>) -> Result<Vec<RowId>, CatalogError> {
        let _visible = self.visible.read();
        let mut found = Vec::new();
        for prefix in head_prefixes(study, series) {
            self.scan_prefix(&prefix, |key, _| {
                found.push(row_id(key.get(1..).unwrap_or_default())?);
                Ok(true)
            })?;
        }
        Ok(found)
    }

    fn row(&self, row: &RowId) -> Result<Arc<Row>, CatalogError> {
        let _visible = self.visible.read();
        Ok(self.read_row(row)?.unwrap_or_default())
    }

    fn instance(&self, study: &StudyUid, sop: &SopUid) -> Result<Option<(RowId, HeldInstance)>, CatalogError> {
        let _visible = self.visible.read();
        for id in self.rows_with(sop, Some(&keys::study_part(study)))? {
            if let Some(instance) = self.read_instance(&id, sop)? {
                return Ok(Some((id, instance)));
            }
        }
        Ok(None)
    }

    fn studies_of_sop(&self, sop: &SopUid) -> Result<BTreeSet<StudyUid>, CatalogError> {
        let _visible = self.visible.read();
        let mut found = BTreeSet::new();
        for id in self.rows_with(sop, None)? {
            let instance = self.read_instance(&id, sop)?;
            found.extend(instance.and_then(|held| held.holdings.first().map(|held| held.facts.keys.study.clone())));
        }
        Ok(found)
    }

    fn promotions(&self, study: &StudyUid) -> Result<Vec<Promotion>, CatalogError> {
        let _visible = self.visible.read();
        self.read_promotions(study)
    }

    fn studies_in_order(
        &self,
        after: Option<&StudyOrder>,
        days: Days,
        limit: usize,
    ) -> Result<ListedStudies, CatalogError> {
        let _visible = self.visible.read();
        let (mut from, to) = day_range(StudyIndex::Order, days);
        if let Some(after) = after {
            from = from.max(keys::after_prefix(&keys::index_lookup(StudyIndex::Order, &after.0, true)));
        }
        let mut found = Vec::new();
        self.scan(&from, &to, |key, value| {
            found.push(listed_study(key, value)?);
            Ok(found.len() < limit)
        })?;
        Ok(found)
    }

    fn studies_of_other_dates(&self, days: Days, limit: usize) -> Result<Option<ListedStudies>, CatalogError> {
        self.studies_between([day_range(StudyIndex::OtherDate, days)], limit)
    }

    fn studies_by(
        &self,
        index: StudyIndex,
        lookups: &[Lookup],
        limit: usize,
    ) -> Result<Option<ListedStudies>, CatalogError> {
        let prefixes: Vec<Vec<u8>> =
            lookups.iter().map(|lookup| keys::index_lookup(index, &lookup.text, lookup.exact)).collect();
        self.studies_under(&prefixes, limit)
    }

    fn studies_with_text(
        &self,
        field: TextField,
        folded: &[String],
        limit: usize,
    ) -> Result<Option<ListedStudies>, CatalogError> {
        let _visible = self.visible.read();
        let mut text = self.text.lock();
        let index = match text.take() {
            Some(index) => index,
            None => self.load_text()?,
        };
        Ok(text.insert(index).find(field, folded, limit))
    }

    fn patients(&self, after: Option<&PatientDigest>, limit: usize) -> Result<Vec<PatientDigest>, CatalogError> {
        let _visible = self.visible.read();
        let mut found: Vec<PatientDigest> = Vec::new();
        let mut from =
            after.map_or_else(|| b"p".to_vec(), |after| keys::after_prefix(&keys::patient_prefix(b'p', after)));
        let to = keys::after_prefix(b"p");
        while found.len() < limit {
            let Some((key, _)) = self.store.range(&from, &to, 1)?.pop() else { break };
            let digest = key.get(1..).and_then(|rest| rest.first_chunk::<16>()).ok_or_else(not_understood)?;
            found.push(*digest);
            from = keys::after_prefix(&keys::patient_prefix(b'p', digest));
        }
        Ok(found)
    }

    fn studies_of_patient(&self, patient: &PatientDigest) -> Result<Vec<StudyUid>, CatalogError> {
        let found = self.studies_under(&[keys::patient_prefix(b'p', patient)], usize::MAX)?;
        Ok(found.unwrap_or_default().into_iter().map(|(_, study)| study).collect())
    }
}
