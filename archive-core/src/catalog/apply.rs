//! Changes to a catalog: one study, one atomic batch each.
//!
//! The rows that a change touches are read, changed and folded anew; series and study are folded anew from the summaries
//! of all rows. Nothing is counted up, so applying a change twice gives what applying it once gives: a pack's lines may
//! come again after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dicom_dictionary_std::tags;

use super::cases::{self, CaseFinding};
use super::elements::{Interner, first_text, parse};
use super::keyed::{KeyedCatalog, StoredSeries, StoredStudy};
use super::keys::{self, RowId, StudyIndex, StudyOrder};
use super::kv::Batch;
use super::patients::PatientKey;
use super::rows::{self, ROW_INSTANCES_MAX, Row, RowHead};
use super::summary::{RowSummary, StudySummary};
use super::versions::{Facts, HeldInstance, Holding, Place, Promotion, ReceiptFacts};
use super::{CHANGE_LINES_MAX, Catalog as _, CatalogChange, CatalogError, ChangeKind, text, values};
use crate::identifiers::{PackId, SopUid, StudyUid};
use crate::pack::{IndexedVersion, PackPlace, PackRef};
use crate::query::fold::{fold, fold_name};
use crate::query::times;

/// Applies a change.
pub(super) fn apply(catalog: &KeyedCatalog, change: &CatalogChange) -> Result<Vec<CaseFinding>, CatalogError> {
    let _writing = catalog.writing.lock();
    let at = catalog.watermark()?;
    if change.watermark.is_some_and(|to| to <= at) {
        return Ok(Vec::new());
    }
    let last = change.watermark.is_some();
    let mut work = match &change.kind {
        ChangeKind::Nothing => None,
        ChangeKind::Sealed { pack, lines } => Some(StudyWork::of_lines(catalog, pack, lines, &[])?),
        ChangeKind::Merged { pack, lines, replaces } => {
            let mut work = StudyWork::of_lines(catalog, pack, lines, replaces)?;
            if last {
                work.forget_packs(replaces)?;
            }
            Some(work)
        }
        ChangeKind::Promoted(promotion) => Some(StudyWork::of_promotion(catalog, promotion)?),
    };
    let mut batch = Batch::new();
    if let Some(to) = change.watermark {
        values::write(catalog.store(), &mut batch, keys::WATERMARK_KEY, &to)?;
    }
    let outcome = work.as_mut().map(|work| work.finish(&mut batch)).transpose()?;
    let _visible = catalog.visible.write();
    catalog.store.apply(batch)?;
    catalog.generation.fetch_add(1, Ordering::SeqCst);
    work.into_iter().for_each(StudyWork::keep_rows);
    let Some(outcome) = outcome else { return Ok(Vec::new()) };
    if let (Some(index), Some((study, order, folded))) = (catalog.text.lock().as_mut(), &outcome.text) {
        index.set(study, order.clone(), folded);
    }
    Ok(outcome.cases)
}

/// The cuts of a row's instances, each with the ends of their UIDs.
type Cuts = BTreeMap<String, String>;

struct Outcome {
    cases: Vec<CaseFinding>,
    text: Option<(StudyUid, StudyOrder, String)>,
}

/// One study while it is being changed.
struct StudyWork<'a> {
    catalog: &'a KeyedCatalog,
    study: StudyUid,
    part: String,
    heads: BTreeMap<RowId, RowHead>,
    /// Rows read so far.
    rows: BTreeMap<RowId, Arc<Row>>,
    /// Rows that changed, with the index entries that they had.
    dirty: BTreeMap<RowId, Cuts>,
    touched: BTreeSet<SopUid>,
    promotions: Vec<Promotion>,
    promoted: bool,
}

impl<'a> StudyWork<'a> {
    fn begin(catalog: &'a KeyedCatalog, study: &StudyUid) -> Result<Self, CatalogError> {
        let part = keys::study_part(study);
        Ok(Self {
            catalog,
            study: study.clone(),
            heads: catalog.read_heads(&keys::study_prefix(b'm', &part))?.into_iter().collect(),
            part,
            rows: BTreeMap::new(),
            dirty: BTreeMap::new(),
            touched: BTreeSet::new(),
            promotions: catalog.read_promotions(study)?,
            promoted: false,
        })
    }

    fn of_lines(
        catalog: &'a KeyedCatalog,
        pack: &PackRef,
        lines: &[IndexedVersion],
        replaces: &[PackId],
    ) -> Result<Self, CatalogError> {
        if lines.len() > CHANGE_LINES_MAX {
            return Err(CatalogError::TooManyLines { lines: lines.len() });
        }
        let mut work = Self::begin(catalog, &pack.study)?;
        let mut interner = Interner::default();
        for line in lines {
            let holding = Holding {
                facts: Arc::new(Facts::of(&line.facts, &mut interner)),
                receipts: line.receipts.iter().map(|held| ReceiptFacts::of(&held.receipt)).collect(),
                place: Place::Pack(PackPlace { pack: pack.clone(), line: line.line }),
                has_content: line.has_content,
            };
            work.hold(&line.facts.keys.sop, holding, replaces)?;
        }
        Ok(work)
    }

    fn of_promotion(catalog: &'a KeyedCatalog, promotion: &Promotion) -> Result<Self, CatalogError> {
        let mut work = Self::begin(catalog, &promotion.study)?;
        work.promotions.retain(|known| known.entry != promotion.entry);
        work.promotions.push(promotion.clone());
        work.promotions.sort_by_key(|promotion| promotion.entry);
        work.promoted = true;
        if let Some(id) = work.find(&promotion.sop)? {
            work.mark(&id);
            work.touched.insert(promotion.sop.clone());
        }
        Ok(work)
    }

    fn load(&mut self, id: &RowId) -> Result<&mut Row, CatalogError> {
        if !self.rows.contains_key(id) {
            let row = self.catalog.read_row(id)?.unwrap_or_default();
            self.rows.insert(id.clone(), row);
        }
        Ok(Arc::make_mut(self.rows.entry(id.clone()).or_default()))
    }

    /// What was written is read next, perhaps.
    fn keep_rows(self) {
        for id in self.dirty.into_keys() {
            match self.rows.get(&id).filter(|row| !row.is_empty()) {
                Some(row) => self.catalog.rows.put(id, Arc::clone(row), rows::weight(row)),
                None => self.catalog.rows.forget(&id),
            }
        }
    }

    /// The row that an instance lies in.
    fn find(&mut self, sop: &SopUid) -> Result<Option<RowId>, CatalogError> {
        if let Some((id, _)) = self.rows.iter().find(|(_, row)| row.contains_key(sop)) {
            return Ok(Some(id.clone()));
        }
        for id in self.catalog.rows_with(sop, Some(&self.part))? {
            if self.load(&id)?.contains_key(sop) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Remembers that a row changes, before it does.
    fn mark(&mut self, id: &RowId) {
        if !self.dirty.contains_key(id) {
            let cuts = self.rows.get(id).map(|row| cuts_of(row)).unwrap_or_default();
            self.dirty.insert(id.clone(), cuts);
        }
    }

    /// Puts what a place holds of a version where its instance lies.
    fn hold(&mut self, sop: &SopUid, holding: Holding, replaces: &[PackId]) -> Result<(), CatalogError> {
        self.touched.insert(sop.clone());
        let group = keys::series_part(&holding.facts.keys.series);
        let Some(id) = self.find(sop)? else {
            let id = self.open_row(&group)?;
            self.mark(&id);
            self.load(&id)?.insert(sop.clone(), HeldInstance { sop: sop.clone(), holdings: vec![holding] });
            return Ok(());
        };
        self.mark(&id);
        let row = self.load(&id)?;
        let Some(instance) = row.get_mut(sop) else { return Ok(()) };
        instance.holdings.retain(|held| {
            let known = same_place(held, &holding) && held.facts.version == holding.facts.version;
            !known && !is_in(held, replaces)
        });
        instance.holdings.push(holding);
        let wanders = id.group != group && id.group != keys::MIXED;
        if let Some(instance) = wanders.then(|| row.remove(sop)).flatten() {
            let mixed = self.open_row(keys::MIXED)?;
            self.mark(&mixed);
            self.load(&mixed)?.insert(sop.clone(), instance);
        }
        Ok(())
    }

    /// A row of a group that has room.
    fn open_row(&mut self, group: &str) -> Result<RowId, CatalogError> {
        let row = |row: u32| RowId { study: self.part.clone(), group: group.to_owned(), row };
        let (first, last) = (row(0), row(u32::MAX));
        let stored = self.heads.range(first.clone()..=last.clone()).next_back().map(|(id, _)| id.clone());
        let loaded = self.rows.range(first.clone()..=last).next_back().map(|(id, _)| id.clone());
        let Some(id) = stored.max(loaded) else { return Ok(first) };
        let used = self.load(&id)?.len();
        Ok(if used < ROW_INSTANCES_MAX { id } else { RowId { row: id.row + 1, ..id } })
    }

    /// Forgets what replaced packs held, in every row of the study.
    fn forget_packs(&mut self, replaces: &[PackId]) -> Result<(), CatalogError> {
        let ids: BTreeSet<RowId> = self.heads.keys().chain(self.rows.keys()).cloned().collect();
        for id in ids {
            let holds =
                self.load(&id)?.values().any(|instance| instance.holdings.iter().any(|held| is_in(held, replaces)));
            if !holds {
                continue;
            }
            self.mark(&id);
            let row = self.load(&id)?;
            for instance in row.values_mut() {
                instance.holdings.retain(|held| !is_in(held, replaces));
            }
            row.retain(|_, instance| !instance.holdings.is_empty());
        }
        Ok(())
    }

    /// Writes everything that changed into a batch.
    fn finish(&mut self, batch: &mut Batch) -> Result<Outcome, CatalogError> {
        let store = self.catalog.store();
        if self.promoted {
            values::write(store, batch, &keys::study_key(b'v', &self.part), &self.promotions)?;
        }
        for (id, cuts_before) in &self.dirty {
            let row = self.rows.get(id);
            let cuts = row.map(|row| cuts_of(row)).unwrap_or_default();
            for cut in cuts_before.keys().filter(|cut| !cuts.contains_key(*cut)) {
                batch.insert(keys::cut_key(cut, id), None);
            }
            for (cut, ends) in cuts.iter().filter(|(cut, ends)| cuts_before.get(*cut) != Some(ends)) {
                let key = keys::cut_key(cut, id);
                let value = values::seal_text(&key, ends);
                batch.insert(key, Some(value));
            }
            match row.filter(|row| !row.is_empty()) {
                Some(row) => {
                    let head = rows::head_of(row, &self.promotions);
                    values::write(store, batch, &id.key(b'r'), &rows::encode(&self.study, row))?;
                    values::write(store, batch, &id.key(b'm'), &head)?;
                    self.heads.insert(id.clone(), head);
                }
                None => {
                    values::remove(store, batch, &id.key(b'r'))?;
                    values::remove(store, batch, &id.key(b'm'))?;
                    self.heads.remove(id);
                }
            }
        }
        let mut whole = RowSummary::default();
        self.heads.values().for_each(|head| whole.fold(&head.summary));
        whole.bound();
        self.write_series(&whole, batch)?;
        let text = self.write_study(&whole, batch)?;
        Ok(Outcome { cases: self.cases(&whole, batch)?, text })
    }

    fn write_series(&self, whole: &RowSummary, batch: &mut Batch) -> Result<(), CatalogError> {
        let store = self.catalog.store();
        let mut vanished: BTreeMap<Vec<u8>, StoredSeries> = BTreeMap::new();
        self.catalog.scan_prefix(&keys::study_prefix(b's', &self.part), |key, value| {
            vanished.insert(key.to_vec(), values::decode(store, key, value)?);
            Ok(true)
        })?;
        for (series, summary) in &whole.series {
            let key = keys::series_key(&self.part, &keys::series_part(series));
            let stored = StoredSeries { series: series.clone(), summary: summary.clone() };
            if vanished.remove(&key).as_ref() != Some(&stored) {
                values::write(store, batch, &key, &stored)?;
            }
        }
        for key in vanished.keys() {
            values::remove(store, batch, key)?;
        }
        Ok(())
    }

    /// Writes study and index entries; gives the study's folded text.
    fn write_study(
        &self,
        whole: &RowSummary,
        batch: &mut Batch,
    ) -> Result<Option<(StudyUid, StudyOrder, String)>, CatalogError> {
        let store = self.catalog.store();
        let key = keys::study_key(b't', &self.part);
        let text_key = keys::study_key(b'f', &self.part);
        let before: Option<StoredStudy> = values::read(store, &key)?;
        let known = before.map(|stored| stored.entries).unwrap_or_default();
        let mut entries = BTreeSet::new();
        let mut listed = String::new();
        let text;
        if whole.series.is_empty() {
            values::remove(store, batch, &key)?;
            batch.insert(text_key, None);
            text = known.first().map(|_| (self.study.clone(), StudyOrder::new(None, None, &self.study), String::new()));
        } else {
            let summary = whole.study();
            let order = study_order(&self.study, &summary);
            entries = entries_of(&self.study, &order, &summary, whole);
            let folded = searched_text(&summary);
            listed = order.entry(&self.study);
            let line = format!("{listed}\n{folded}");
            let value = values::seal_text(&text_key, &line);
            batch.insert(text_key, Some(value));
            text = Some((self.study.clone(), order.clone(), folded));
            let texts = entries.iter().map(|entry| text_of(entry)).collect();
            let stored = StoredStudy { study: self.study.clone(), order: order.0, summary, entries: texts };
            values::write(store, batch, &key, &stored)?;
        }
        for gone in known.iter().filter_map(|entry| bytes_of(entry)).filter(|entry| !entries.contains(entry)) {
            batch.insert(gone, None);
        }
        for entry in entries {
            let value = values::seal_text(&entry, &listed);
            batch.insert(entry, Some(value));
        }
        Ok(text)
    }

    /// Cases in what was touched; notes the birth dates of the study's patients.
    fn cases(&self, whole: &RowSummary, batch: &mut Batch) -> Result<Vec<CaseFinding>, CatalogError> {
        let mut found = Vec::new();
        for sop in &self.touched {
            let instance = self.rows.values().find_map(|row| row.get(sop));
            if let Some(resolved) = instance.and_then(|held| rows::resolve_instance(held, &self.promotions)) {
                found.extend(cases::of_instance(&self.study, sop, &resolved));
            }
            found.extend(cases::of_sop(sop, &self.studies_of(sop)?));
        }
        found.extend(cases::of_study(&self.study, whole.everyone.keys()));
        for (patient, dates) in &whole.everyone {
            found.extend(self.birth_date_case(patient, dates, batch)?);
        }
        Ok(found)
    }

    /// The studies that an instance lies in, this one included.
    fn studies_of(&self, sop: &SopUid) -> Result<BTreeSet<StudyUid>, CatalogError> {
        let mut studies = BTreeSet::from([self.study.clone()]);
        for id in self.catalog.rows_with(sop, None)?.into_iter().filter(|id| id.study != self.part) {
            let instance = self.catalog.read_instance(&id, sop)?;
            studies.extend(instance.and_then(|held| held.holdings.first().map(|held| held.facts.keys.study.clone())));
        }
        Ok(studies)
    }

    fn birth_date_case(
        &self,
        patient: &PatientKey,
        dates: &BTreeSet<String>,
        batch: &mut Batch,
    ) -> Result<Option<CaseFinding>, CatalogError> {
        let digest = patient.digest();
        let mut all = BTreeSet::new();
        self.catalog.scan_prefix(&keys::patient_prefix(b'd', &digest), |key, value| {
            all.insert(values::open_text(key, value)?);
            Ok(all.len() < 3)
        })?;
        for date in dates {
            let key = keys::birth_date_key(&digest, date);
            let value = values::seal_text(&key, date);
            batch.insert(key, Some(value));
        }
        all.extend(dates.iter().cloned());
        Ok(cases::of_patient(patient, &all))
    }
}

fn same_place(a: &Holding, b: &Holding) -> bool {
    match (&a.place, &b.place) {
        (Place::Pack(a), Place::Pack(b)) => a.pack.pack == b.pack.pack,
        (a, b) => a == b,
    }
}

fn is_in(holding: &Holding, packs: &[PackId]) -> bool {
    matches!(&holding.place, Place::Pack(place) if packs.contains(&place.pack.pack))
}

fn cuts_of(row: &Row) -> Cuts {
    let mut cuts = Cuts::new();
    for (cut, end) in row.keys().map(keys::sop_cut) {
        keys::add_end(cuts.entry(cut).or_default(), &end);
    }
    cuts
}

/// Where a study stands in the order of answers, by its latest date and time.
pub(crate) fn study_order(study: &StudyUid, summary: &StudySummary) -> StudyOrder {
    let text = |tag| summary.summary.latest(tag).and_then(|text| first_text(text));
    let day = text(tags::STUDY_DATE).and_then(|text| times::date(&text)).map(|span| span.day_number());
    let moment = text(tags::STUDY_TIME).and_then(|text| times::time(&text)).map(|span| span.first);
    StudyOrder::new(day, moment, study)
}

/// Every index entry of a study.
fn entries_of(study: &StudyUid, order: &StudyOrder, whole: &StudySummary, rows: &RowSummary) -> BTreeSet<Vec<u8>> {
    let part = keys::study_part(study);
    let summary = &whole.summary;
    let mut entries = BTreeSet::new();
    let mut add = |index, text: &str| entries.insert(keys::index_key(index, text, &part));
    for series in rows.series.keys() {
        add(StudyIndex::Series, &keys::series_part(series));
    }
    if !summary.is_without_patient() {
        add(StudyIndex::Order, &order.0);
        let days = summary.texts(tags::STUDY_DATE).into_iter().filter_map(|text| times::date(&text));
        for day in
            days.map(|span| keys::descending_day(span.day_number())).filter(|day| !order.0.starts_with(day.as_str()))
        {
            add(StudyIndex::OtherDate, &day);
        }
        for (index, tag) in [(StudyIndex::PatientId, tags::PATIENT_ID), (StudyIndex::Accession, tags::ACCESSION_NUMBER)]
        {
            for text in summary.distinct(tag).iter().flat_map(|element| text_values(element)) {
                add(index, &text);
            }
        }
        for group in summary.distinct(tags::PATIENT_NAME).iter().flat_map(|element| name_groups(element)) {
            add(StudyIndex::PatientName, &group);
        }
    }
    if let Some(patient) = summary.patient() {
        let mut key = keys::patient_prefix(b'p', &patient.digest());
        key.extend_from_slice(part.as_bytes());
        entries.insert(key);
    }
    entries
}

/// A key as text, a character a byte: most of a key is text, and then packs as well as the UIDs beside it.
fn text_of(key: &[u8]) -> String {
    key.iter().map(|&byte| char::from(byte)).collect()
}

fn bytes_of(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(c).ok()).collect()
}

/// What substring searches look in.
fn searched_text(whole: &StudySummary) -> String {
    if whole.summary.is_without_patient() {
        return String::new();
    }
    let distinct = |tag| whole.summary.distinct(tag);
    let texts = |tag| distinct(tag).iter().flat_map(|element| text_values(element)).map(|value| fold(&value)).collect();
    text::line_of([
        distinct(tags::PATIENT_NAME).iter().flat_map(|element| name_groups(element)).collect(),
        texts(tags::PATIENT_ID),
        texts(tags::ACCESSION_NUMBER),
        texts(tags::STUDY_DESCRIPTION),
    ])
}

/// The text values of an element, trimmed as matching trims them.
fn text_values(element: &str) -> Vec<String> {
    let element = parse(element);
    let values = element.get("Value").and_then(serde_json::Value::as_array).cloned().unwrap_or_default();
    let texts = values.iter().filter_map(serde_json::Value::as_str);
    texts.map(|text| text.trim_matches([' ', '\0']).to_owned()).filter(|text| !text.is_empty()).collect()
}

/// The groups of the person names of an element, folded.
fn name_groups(element: &str) -> Vec<String> {
    let element = parse(element);
    let values = element.get("Value").and_then(serde_json::Value::as_array).cloned().unwrap_or_default();
    let groups = values.iter().flat_map(|name| match name {
        serde_json::Value::String(text) => vec![fold_name(text)],
        other => ["Alphabetic", "Ideographic", "Phonetic"]
            .iter()
            .filter_map(|group| other.get(group).and_then(serde_json::Value::as_str))
            .map(fold_name)
            .collect(),
    });
    groups.filter(|group| !group.is_empty()).collect()
}
