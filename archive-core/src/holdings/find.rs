//! Searching: candidates in a stable order, matched level by level, cut into pages.
//!
//! The order is: studies by date and time, newest first, then by UID; series by number, then UID; instances by number,
//! then UID; patients by a digest of id and issuer. Studies of objects without a patient appear only where the query
//! names them by a UID.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::cursor::{InstanceKey, Position, SeriesKey};
use super::plan::{CANDIDATES_MAX, Plan};
use super::record::{Columns, InstanceValues, PatientCounts, SeriesValues, Shown as _, StudyValues};
use super::views::View;
use super::{Holdings, HoldingsError};
use crate::catalog::keys::StudyOrder;
use crate::catalog::patients::PatientDigest;
use crate::catalog::summary::{StudySummary, Summary};
use crate::catalog::{Days, elements};
use crate::identifiers::{SeriesUid, StudyUid};
use crate::overlay::OverlaySnapshot;
use crate::query::matching::Matching;
use crate::query::{PAGE_RECORDS_MAX, Page, Query, QueryError, QueryLevel, Record};

/// Studies read from the catalog's order at once.
const BATCH: usize = 256;

/// What every step of one search needs.
#[derive(Debug)]
pub(super) struct Search<'a> {
    pub(super) query: &'a Query,
    pub(super) matching: Matching,
    pub(super) columns: Columns,
    pub(super) overlay: OverlaySnapshot,
    pub(super) after: Option<Position>,
    counts_wanted: bool,
    /// Studies of the overlay by patient, where patients are counted.
    pub(super) overlay_patients: BTreeMap<PatientDigest, Vec<StudyUid>>,
}

/// A page while it fills.
#[derive(Debug)]
pub(super) struct Filling {
    skip: u64,
    limit: usize,
    page: Page,
    last: Option<Position>,
}

impl Filling {
    /// How many more things are worth looking at: to skip, to show, and one to know that there is more.
    pub(super) fn wanted(&self) -> usize {
        let shown = self.limit - self.page.records.len();
        usize::try_from(self.skip).unwrap_or(usize::MAX).saturating_add(shown).saturating_add(1)
    }

    /// Takes a record or skips it; gives `false` once the page is full and it is known that there is more.
    pub(super) fn take(&mut self, position: Position, record: impl FnOnce() -> Record) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
        } else if self.page.records.len() < self.limit {
            self.page.records.push(record());
            self.last = Some(position);
        } else {
            self.page.next = self.last.as_ref().map(Position::cursor);
            return false;
        }
        true
    }
}

/// A study that may match, wherever it lies.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) uid: StudyUid,
    pub(super) study: Arc<StudySummary>,
    pub(super) order: StudyOrder,
    pub(super) view: Option<Arc<View>>,
}

impl Holdings {
    /// Answers a query.
    ///
    /// # Errors
    /// [`QueryError`] for what cannot be understood, [`crate::catalog::CatalogError`].
    pub fn find(&self, query: &Query) -> Result<Page, HoldingsError> {
        let matching = Matching::compile(query)?;
        let overlay = self.overlay().snapshot();
        self.trim_views(&overlay);
        let after = query.page.cursor.as_ref().map(|cursor| super::cursor::read(&cursor.0)).transpose()?;
        let mut search = Search {
            query,
            columns: Columns::of(query, &matching),
            matching,
            overlay,
            counts_wanted: query.level == QueryLevel::Patient || PatientCounts::are_wanted(query),
            after,
            overlay_patients: BTreeMap::new(),
        };
        if search.counts_wanted {
            search.overlay_patients = self.overlay_patients(&search)?;
        }
        let mut filling = Filling {
            skip: if search.after.is_some() { 0 } else { query.page.offset },
            limit: query.page.limit.clamp(1, PAGE_RECORDS_MAX),
            page: Page::default(),
            last: None,
        };
        if query.level == QueryLevel::Patient {
            self.find_patients(&search, &mut filling)?;
        } else {
            self.find_below(&search, &mut filling)?;
        }
        filling.page.incomplete = self.is_incomplete();
        Ok(filling.page)
    }

    fn find_below(&self, search: &Search<'_>, filling: &mut Filling) -> Result<(), HoldingsError> {
        let (start, include_start) = match (&search.after, search.query.level) {
            (None, _) => (None, false),
            (Some(Position::Study(uid)), QueryLevel::Study) => (Some(uid), false),
            (Some(Position::Series(uid, _)), QueryLevel::Series)
            | (Some(Position::Instance(uid, ..)), QueryLevel::Instance) => (Some(uid), true),
            _ => return Err(QueryError::Cursor.into()),
        };
        let start = match start {
            None => None,
            Some(uid) => Some(self.candidate(search, uid)?.ok_or(QueryError::Cursor)?.order),
        };
        let mut studies = self.studies(search, start.as_ref(), include_start)?;
        while let Some(mut candidate) = studies.next(self, search)? {
            let counts = if search.counts_wanted { self.counts_of(search, &candidate)? } else { None };
            let values = StudyValues { uid: &candidate.uid, study: &candidate.study, patient: counts };
            let matches = search.matching.matches(QueryLevel::Patient, &values)
                && search.matching.matches(QueryLevel::Study, &values);
            if !matches {
                continue;
            }
            let goes_on = if search.query.level == QueryLevel::Study {
                filling.take(Position::Study(candidate.uid.clone()), || search.columns.record(&[&values]))
            } else {
                let series = self.series(&mut candidate)?;
                let values = StudyValues { uid: &candidate.uid, study: &candidate.study, patient: counts };
                self.find_series(search, filling, &candidate, &values, series)?
            };
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    /// Goes through the series of a study that matches; `false` once the page is full.
    fn find_series(
        &self,
        search: &Search<'_>,
        filling: &mut Filling,
        candidate: &Candidate,
        study: &StudyValues<'_>,
        series: Vec<(SeriesKey, Summary)>,
    ) -> Result<bool, HoldingsError> {
        let uid = &candidate.uid;
        for (key, summary) in series {
            let behind = match &search.after {
                Some(Position::Series(at, last)) => at == uid && key <= *last,
                Some(Position::Instance(at, last, _)) => at == uid && key < *last,
                _ => false,
            };
            let values = SeriesValues { uid: &key.1, summary: &summary };
            let other = search.query.series.as_ref().is_some_and(|wanted| *wanted != key.1);
            if behind || other || !search.matching.matches(QueryLevel::Series, &values) {
                continue;
            }
            let goes_on = if search.query.level == QueryLevel::Series {
                let position = Position::Series(uid.clone(), key.clone());
                filling.take(position, || search.columns.record(&[&values, study]))
            } else {
                self.find_instances(search, filling, study, &key, &values)?
            };
            if !goes_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Goes through the instances of a series that matches; `false` once the page is full.
    fn find_instances(
        &self,
        search: &Search<'_>,
        filling: &mut Filling,
        study: &StudyValues<'_>,
        series_key: &SeriesKey,
        series: &SeriesValues<'_>,
    ) -> Result<bool, HoldingsError> {
        let after = match &search.after {
            Some(Position::Instance(uid, last, at)) if uid == study.uid && last == series_key => Some(at.clone()),
            _ => None,
        };
        let unsealed = search.overlay.get(study.uid).map(Arc::as_ref);
        let wanted = filling.wanted();
        let found = self.instances(
            study.uid,
            Some(&series_key.1),
            unsealed,
            || after.clone(),
            wanted,
            |_, _| false,
            |instance| {
                let version = instance.current()?;
                let values = InstanceValues { version };
                if !search.matching.matches(QueryLevel::Instance, &values) {
                    return None;
                }
                let number = number_of(values.shown(tags::INSTANCE_NUMBER));
                Some((InstanceKey(number, version.facts.keys.sop.clone()), version.clone()))
            },
        )?;
        for (key, version) in found {
            let values = InstanceValues { version: &version };
            let position = Position::Instance(study.uid.clone(), series_key.clone(), key);
            if !filling.take(position, || search.columns.record(&[&values, series, study])) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A study, folded with what is unsealed of it.
    pub(super) fn candidate(&self, search: &Search<'_>, uid: &StudyUid) -> Result<Option<Candidate>, HoldingsError> {
        if let Some(unsealed) = search.overlay.get(uid) {
            let view = self.view(uid, unsealed)?;
            let (study, order) = (Arc::clone(&view.study), view.order.clone());
            return Ok(Some(Candidate { uid: uid.clone(), study, order, view: Some(view) }));
        }
        let record = self.catalog().study(uid)?;
        Ok(record.map(|found| Candidate {
            uid: found.study,
            study: Arc::new(found.summary),
            order: found.order,
            view: None,
        }))
    }

    /// The series of a study in their order.
    pub(super) fn series(&self, candidate: &mut Candidate) -> Result<Vec<(SeriesKey, Summary)>, HoldingsError> {
        let found: Vec<(SeriesUid, Summary)> = match &candidate.view {
            Some(view) => view.rows.series.iter().map(|(uid, summary)| (uid.clone(), summary.clone())).collect(),
            None => self.catalog().series_of(&candidate.uid)?,
        };
        let number = |summary: &Summary| number_of(summary.latest(tags::SERIES_NUMBER).cloned());
        let mut ordered: Vec<(SeriesKey, Summary)> =
            found.into_iter().map(|(uid, summary)| (SeriesKey(number(&summary), uid), summary)).collect();
        ordered.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(ordered)
    }

    fn studies(
        &self,
        search: &Search<'_>,
        start: Option<&StudyOrder>,
        include_start: bool,
    ) -> Result<Studies, HoldingsError> {
        let behind =
            |order: &StudyOrder| start.is_some_and(|start| order < start || (order == start && !include_start));
        let mut listed = Vec::new();
        for uid in search.overlay.keys() {
            listed.extend(self.candidate(search, uid)?.map(|found| (found.order, found.uid, found.study)));
        }
        let named = names_a_uid(search);
        listed.retain(|(order, _, study)| !behind(order) && (named || !study.summary.is_without_patient()));
        let mut listed: Vec<(StudyOrder, StudyUid)> = listed.into_iter().map(|(order, uid, _)| (order, uid)).collect();
        let scan = match self.plan(search.query, &search.matching)? {
            Plan::Named(studies) => {
                for uid in studies.iter().filter(|uid| !search.overlay.contains_key(*uid)) {
                    let found = self.catalog().study(uid)?.map(|record| (record.order, record.study));
                    listed.extend(found.filter(|(order, _)| !behind(order)));
                }
                None
            }
            Plan::Listed(studies) => {
                let wanted =
                    |(order, uid): &(StudyOrder, StudyUid)| !behind(order) && !search.overlay.contains_key(uid);
                listed.extend(studies.into_iter().filter(wanted));
                None
            }
            Plan::Days(days) => Some(self.scan(search, days, start, include_start, &mut listed)?),
        };
        listed.sort_unstable();
        listed.dedup();
        Ok(Studies { listed: listed.into(), scan })
    }

    fn scan(
        &self,
        search: &Search<'_>,
        days: Days,
        start: Option<&StudyOrder>,
        include_start: bool,
        listed: &mut Vec<(StudyOrder, StudyUid)>,
    ) -> Result<Scan, HoldingsError> {
        let mut scan = Scan { days, after: start.cloned(), ready: VecDeque::new(), done: false };
        if days == (None, None) {
            scan.put_back(include_start, search, self)?;
            return Ok(scan);
        }
        // Studies that are ordered by a day outside the range, and have another date inside it.
        if let Some(others) = self.catalog().studies_of_other_dates(days, CANDIDATES_MAX)? {
            for uid in others.iter().map(|(_, uid)| uid).filter(|uid| !search.overlay.contains_key(*uid)) {
                let Some(record) = self.catalog().study(uid)? else { continue };
                let ordered_inside = order_is_within(&record.summary, days);
                let behind =
                    start.is_some_and(|start| record.order < *start || (record.order == *start && !include_start));
                if !ordered_inside && !behind {
                    listed.push((record.order, record.study));
                }
            }
        } else {
            // So many that listing them would cost more than going through all.
            scan.days = (None, None);
        }
        scan.put_back(include_start, search, self)?;
        Ok(scan)
    }
}

/// Whether the date by which a study is ordered lies within some days.
fn order_is_within(study: &StudySummary, (first, last): Days) -> bool {
    let text = study.summary.latest(tags::STUDY_DATE).and_then(|text| elements::first_text(text));
    let day = text.and_then(|text| crate::query::times::date(&text)).map(|span| span.day_number());
    day.is_some_and(|day| first.is_none_or(|first| first <= day) && last.is_none_or(|last| day <= last))
}

/// Whether a query names studies, series or instances by UID.
fn names_a_uid(search: &Search<'_>) -> bool {
    let named = |tag: Tag| search.matching.exact(tag).is_some();
    search.query.study.is_some()
        || search.query.series.is_some()
        || [tags::STUDY_INSTANCE_UID, tags::SERIES_INSTANCE_UID, tags::SOP_INSTANCE_UID].into_iter().any(named)
}

/// The whole number in an element; those without one come last.
pub(super) fn number_of(element: Option<elements::ElementText>) -> i64 {
    let text = element.and_then(|text| elements::first_text(&text));
    text.and_then(|text| text.parse().ok()).unwrap_or(i64::MAX)
}

/// Candidates in their order: those listed, merged with those read from the catalog's order.
#[derive(Debug)]
struct Studies {
    listed: VecDeque<(StudyOrder, StudyUid)>,
    scan: Option<Scan>,
}

#[derive(Debug)]
struct Scan {
    days: Days,
    after: Option<StudyOrder>,
    ready: VecDeque<(StudyOrder, StudyUid)>,
    done: bool,
}

impl Scan {
    /// Makes the scan begin with the study that the cursor names, not behind it.
    fn put_back(&mut self, include_start: bool, search: &Search<'_>, holdings: &Holdings) -> Result<(), HoldingsError> {
        let uid = match &search.after {
            Some(Position::Series(uid, _) | Position::Instance(uid, ..)) if include_start => uid,
            _ => return Ok(()),
        };
        if !search.overlay.contains_key(uid) {
            self.ready.extend(holdings.catalog().study(uid)?.map(|record| (record.order, record.study)));
        }
        Ok(())
    }

    fn fill(&mut self, holdings: &Holdings, search: &Search<'_>) -> Result<(), HoldingsError> {
        while self.ready.is_empty() && !self.done {
            let batch = holdings.catalog().studies_in_order(self.after.as_ref(), self.days, BATCH)?;
            self.done = batch.len() < BATCH;
            self.after = batch.last().map(|(order, _)| order.clone()).or_else(|| self.after.take());
            self.ready.extend(batch.into_iter().filter(|(_, uid)| !search.overlay.contains_key(uid)));
        }
        Ok(())
    }
}

impl Studies {
    fn next(&mut self, holdings: &Holdings, search: &Search<'_>) -> Result<Option<Candidate>, HoldingsError> {
        loop {
            if let Some(scan) = &mut self.scan {
                scan.fill(holdings, search)?;
            }
            let scanned = self.scan.as_ref().and_then(|scan| scan.ready.front());
            let take_listed = match (self.listed.front(), scanned) {
                (Some(listed), Some(scanned)) => listed < scanned,
                (listed, _) => listed.is_some(),
            };
            if self.listed.front().is_some() && self.listed.front() == scanned {
                self.listed.pop_front();
            }
            let next = match &mut self.scan {
                Some(scan) if !take_listed => scan.ready.pop_front(),
                _ => self.listed.pop_front(),
            };
            let Some((_, uid)) = next else { return Ok(None) };
            if let Some(found) = holdings.candidate(search, &uid)? {
                return Ok(Some(found));
            }
        }
    }
}
