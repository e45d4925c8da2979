//! Promise I3, over shuffled histories: receipts, seals, merges, promotions, restarts and lost catalogs in any order.
//!
//! Three archives must give the same answers: the one that lived through it; one rebuilt by replaying the ledger; one
//! rebuilt from the packs that are left, in reverse. And they must be those of a model that was simple enough to watch
//! events as they happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dicom_dictionary_std::tags;
use proptest::prelude::*;
use serde_json::json;

use super::samples::{self, Made};
use super::{Holdings, Selected};
use crate::catalog::versions::Promotion;
use crate::catalog::{
    Backend, Catalog, CatalogChange, CatalogState, ChangeKind, EmbeddedOptions, KeyedCatalog, open_embedded,
};
use crate::identifiers::{PackId, ReceiptNumber, SopUid, StudyUid};
use crate::instance::VersionKey;
use crate::ledger::entry::After;
use crate::overlay::{OverlayLimits, UnsealedEntry};
use crate::query::{Include, PageRequest, Query, QueryLevel};
use crate::receipt::DuplicateRule;

#[derive(Clone, Debug)]
enum Event {
    Receive { study: u32, instance: u32, content: u32, source: u8, rule: u8, issuer: u8 },
    Seal { study: u32, keep_back: usize },
    Merge { study: u32 },
    Promote { study: u32, instance: u32, content: u32 },
    Restart,
    LoseCatalog,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let receive = (0_u32..3, 0_u32..4, 0_u32..3, 0_u8..3, 0_u8..4, 0_u8..3).prop_map(
        |(study, instance, content, source, rule, issuer)| Event::Receive {
            study,
            instance,
            content,
            source,
            rule,
            issuer,
        },
    );
    let event = prop_oneof![
        12 => receive,
        4 => (0_u32..3, 0_usize..3).prop_map(|(study, keep_back)| Event::Seal { study, keep_back }),
        1 => (0_u32..3).prop_map(|study| Event::Merge { study }),
        2 => (0_u32..3, 0_u32..4, 0_u32..3).prop_map(|(study, instance, content)| Event::Promote { study, instance, content }),
        1 => Just(Event::Restart),
        1 => Just(Event::LoseCatalog),
    ];
    prop::collection::vec(event, 1..50)
}

/// A version, as a receipt with this issuer reads it. Its series depends on the content: some instances wander.
fn made(study: u32, instance: u32, content: u32, issuer: u8) -> Made {
    Made::new(study, (instance + content / 2) % 2, instance)
        .content(content)
        .with(tags::STUDY_DATE, "DA", format!("2024010{}", 1 + content))
        .with(tags::STUDY_DESCRIPTION, "LO", format!("content {content}, read {issuer}"))
        .with(tags::PATIENT_ID, "LO", format!("P{}", (study + content / 2) % 2))
        .with(tags::PATIENT_NAME, "PN", json!({"Alphabetic": format!("Name{content}^Of{study}")}))
        .with(tags::SERIES_DESCRIPTION, "LO", format!("series of {instance}"))
}

/// Watches one instance as events happen.
#[derive(Debug)]
struct Watched {
    current: VersionKey,
    since: u64,
    owner: String,
    promoted: bool,
    seen: BTreeSet<VersionKey>,
    last: u64,
}

#[derive(Default)]
struct World {
    journal: Vec<UnsealedEntry>,
    /// Live packs and all that they hold.
    packs: BTreeMap<PackId, (StudyUid, u64, Vec<UnsealedEntry>)>,
    ledger: Vec<ChangeKind>,
    /// Every receipt ever.
    all: Vec<UnsealedEntry>,
    watched: BTreeMap<(StudyUid, SopUid), Watched>,
    number: u64,
    nonce: u64,
}

impl World {
    fn receive(&mut self, entry: UnsealedEntry) {
        let keys = &entry.facts.keys;
        let (version, receipt) = (&entry.facts.version, &entry.receipt);
        let source = receipt.source.as_str().to_owned();
        let fresh = || Watched {
            current: version.clone(),
            since: receipt.number.number,
            owner: source.clone(),
            promoted: false,
            seen: BTreeSet::new(),
            last: 0,
        };
        let watched = self.watched.entry((keys.study.clone(), keys.sop.clone())).or_insert_with(fresh);
        let new = watched.seen.insert(version.clone());
        let wins = match receipt.resolved.duplicate_rule {
            DuplicateRule::SameSourceReplaces => watched.owner == source,
            DuplicateRule::FirstWins => false,
            DuplicateRule::LatestWins => true,
        };
        watched.last = receipt.number.number;
        if watched.current != *version && wins && (new || !watched.promoted) {
            watched.current = version.clone();
            watched.since = receipt.number.number;
            watched.owner = source;
            watched.promoted = false;
        }
        self.all.push(entry.clone());
        self.journal.push(entry);
    }

    fn promote(&mut self, study: u32, instance: u32, content: u32) -> Promotion {
        let version = made(study, instance, content, 0).facts().version;
        let key = (samples::study(study), samples::sop(study, instance));
        if let Some(watched) = self.watched.get_mut(&key).filter(|watched| watched.seen.contains(&version)) {
            watched.current = version.clone();
            watched.since = watched.last;
            watched.promoted = true;
        }
        let entry = self.ledger.len() as u64;
        Promotion { entry, study: key.0, sop: key.1, version, after: After::from([(1, self.number)]) }
    }

    fn record(&mut self, holdings: &Holdings, kind: ChangeKind) {
        self.ledger.push(kind.clone());
        apply(holdings.catalog(), self.ledger.len() as u64, kind);
    }

    fn seal(&mut self, holdings: &Holdings, study: u32, keep_back: usize) {
        let uid = samples::study(study);
        let mut of_study: Vec<UnsealedEntry> =
            self.journal.iter().filter(|entry| entry.facts.keys.study == uid).cloned().collect();
        // Any receipts may be sealed first, not only the oldest.
        let kept: Vec<UnsealedEntry> = of_study.drain(..keep_back.min(of_study.len())).collect();
        if of_study.is_empty() {
            return;
        }
        self.nonce += 1;
        let pack = samples::pack(&uid, self.nonce);
        self.packs.insert(pack.pack, (uid.clone(), self.nonce, of_study.clone()));
        self.record(holdings, ChangeKind::Sealed { pack, lines: samples::lines(&of_study) });
        let numbers: Vec<ReceiptNumber> = of_study.iter().map(|entry| entry.receipt.number).collect();
        self.journal.retain(|entry| !numbers.contains(&entry.receipt.number));
        assert!(kept.iter().all(|entry| self.journal.contains(entry)));
        holdings.overlay().remove(numbers);
    }

    fn merge(&mut self, holdings: &Holdings, study: u32) {
        let uid = samples::study(study);
        let old: Vec<PackId> = self.packs.iter().filter(|(_, (of, ..))| *of == uid).map(|(id, _)| *id).collect();
        if old.len() < 2 {
            return;
        }
        let entries: Vec<UnsealedEntry> =
            old.iter().filter_map(|id| self.packs.remove(id)).flat_map(|(_, _, held)| held).collect();
        self.nonce += 1;
        let pack = samples::pack(&uid, self.nonce);
        let lines = samples::lines(&entries);
        self.packs.insert(pack.pack, (uid, self.nonce, entries));
        self.record(holdings, ChangeKind::Merged { pack, lines, replaces: old });
    }

    /// A catalog from the ledger, entry by entry.
    fn replay(&self, catalog: &dyn Catalog) {
        for (kind, watermark) in self.ledger.iter().zip(1..) {
            apply(catalog, watermark, kind.clone());
        }
    }

    /// A catalog from the packs that are left, the last one first, and the promotions.
    fn adopt(&self, catalog: &dyn Catalog) {
        for (kind, watermark) in self.ledger.iter().filter(|kind| matches!(kind, ChangeKind::Promoted(_))).zip(1..) {
            apply(catalog, watermark, kind.clone());
        }
        for ((uid, nonce, entries), watermark) in self.packs.values().rev().zip(1000..) {
            let kind = ChangeKind::Sealed { pack: samples::pack(uid, *nonce), lines: samples::lines(entries) };
            apply(catalog, watermark, kind);
        }
    }

    fn open(&self, catalog: Arc<dyn Catalog>, reverse: bool) -> Holdings {
        let holdings = Holdings::new(catalog, OverlayLimits::default());
        let mut journal: Vec<&UnsealedEntry> = self.journal.iter().collect();
        if reverse {
            journal.reverse();
        }
        for entry in journal {
            holdings.overlay().apply(entry);
        }
        holdings
    }
}

/// Applies in two chunks, and once more: neither may matter.
fn apply(catalog: &dyn Catalog, watermark: u64, kind: ChangeKind) {
    let half = |lines: &[crate::pack::IndexedVersion]| lines[..lines.len() / 2].to_vec();
    let first = match &kind {
        ChangeKind::Sealed { pack, lines } => Some(ChangeKind::Sealed { pack: pack.clone(), lines: half(lines) }),
        ChangeKind::Merged { pack, lines, replaces } => {
            Some(ChangeKind::Merged { pack: pack.clone(), lines: half(lines), replaces: replaces.clone() })
        }
        _ => None,
    };
    if let Some(kind) = first {
        catalog.apply(&CatalogChange { watermark: None, kind }).unwrap();
    }
    let change = CatalogChange { watermark: Some(watermark), kind };
    catalog.apply(&change).unwrap();
    catalog.apply(&change).unwrap();
    assert_eq!(catalog.watermark().unwrap(), watermark);
}

/// Every record of a level, a page of two at a time.
fn records(holdings: &Holdings, level: QueryLevel) -> Vec<serde_json::Value> {
    let mut found = Vec::new();
    let mut cursor = None;
    loop {
        let query = Query {
            include: Include { all: true, tags: Vec::new() },
            page: PageRequest { offset: 0, cursor: cursor.take(), limit: 2 },
            ..Query::all(level)
        };
        let page = holdings.find(&query).unwrap();
        found.extend(page.records.iter().map(|record| record.attributes.to_json()));
        cursor = page.next;
        if cursor.is_none() {
            return found;
        }
    }
}

fn answers(holdings: &Holdings) -> Vec<String> {
    let levels = [QueryLevel::Patient, QueryLevel::Study, QueryLevel::Series, QueryLevel::Instance];
    let mut all: Vec<String> =
        levels.iter().flat_map(|level| records(holdings, *level)).map(|record| record.to_string()).collect();
    for study in 0..3 {
        let selected = Selected { study: samples::study(study), series: None, sop: None, all_versions: true };
        let page = holdings.versions(&selected, None).unwrap();
        for held in page.versions {
            let version = &held.version;
            let elements: Vec<String> =
                version.facts.elements.iter().map(|(tag, text)| format!("{tag}{text}")).collect();
            all.push(format!("{version:?} {elements:?}"));
        }
    }
    all
}

/// What the model says of each instance: study, sop, description, patient and issuer of its current version.
fn expected(world: &World) -> (BTreeSet<[String; 5]>, BTreeMap<String, String>) {
    let mut instances = BTreeSet::new();
    let mut latest: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for ((study, sop), watched) in &world.watched {
        let of_version = |entry: &&UnsealedEntry| {
            entry.facts.keys.study == *study && entry.facts.keys.sop == *sop && entry.facts.version == watched.current
        };
        let reading = world.all.iter().filter(of_version).min_by_key(|entry| entry.receipt.number).unwrap();
        let text = |tag| reading.facts.attributes.text(tag).unwrap_or_default();
        let description = text(tags::STUDY_DESCRIPTION);
        instances.insert([
            study.as_str().to_owned(),
            sop.as_str().to_owned(),
            reading.facts.keys.series.as_str().to_owned(),
            text(tags::PATIENT_ID),
            reading.receipt.resolved.default_issuer.clone().unwrap_or_default(),
        ]);
        let entry = latest.entry(study.as_str().to_owned()).or_default();
        *entry = entry.clone().max((watched.since, description));
    }
    (instances, latest.into_iter().map(|(study, (_, text))| (study, text)).collect())
}

fn check_against_model(world: &World, holdings: &Holdings) {
    let (instances, descriptions) = expected(world);
    let mut found = BTreeSet::new();
    for study in 0..3 {
        let selected = Selected { study: samples::study(study), series: None, sop: None, all_versions: false };
        for held in holdings.versions(&selected, None).unwrap().versions {
            let facts = &held.version.facts;
            found.insert([
                facts.keys.study.as_str().to_owned(),
                facts.keys.sop.as_str().to_owned(),
                facts.keys.series.as_str().to_owned(),
                facts.elements.text(tags::PATIENT_ID).unwrap_or_default(),
                facts.elements.text(tags::ISSUER_OF_PATIENT_ID).unwrap_or_default(),
            ]);
        }
    }
    assert_eq!(found, instances, "the current versions");
    let attribute = |record: &serde_json::Value, key: &str| record[key]["Value"][0].as_str().map(str::to_owned);
    let studies = records(holdings, QueryLevel::Study);
    let shown: BTreeMap<String, String> = studies
        .iter()
        .map(|record| (attribute(record, "0020000D").unwrap(), attribute(record, "00081030").unwrap()))
        .collect();
    assert_eq!(shown, descriptions, "a study shows what its latest current version says");
    for record in &studies {
        let uid = attribute(record, "0020000D").unwrap();
        let of_study: Vec<_> = instances.iter().filter(|instance| instance[0] == uid).collect();
        let series: BTreeSet<_> = of_study.iter().map(|instance| &instance[2]).collect();
        assert_eq!(record["00201208"]["Value"][0], of_study.len());
        assert_eq!(record["00201206"]["Value"][0], series.len());
    }
    assert_eq!(records(holdings, QueryLevel::Instance).len(), instances.len());
}

fn live_through(history: Vec<Event>, mut reopen: impl FnMut(bool) -> Arc<dyn Catalog>) {
    let mut world = World::default();
    let mut holdings = world.open(reopen(true), false);
    for event in history {
        match event {
            Event::Receive { study, instance, content, source, rule, issuer } => {
                world.number += 1;
                let rule = [DuplicateRule::SameSourceReplaces, DuplicateRule::FirstWins, DuplicateRule::LatestWins]
                    [usize::from(rule) % 3];
                let source = ["A", "B", "C"][usize::from(source)];
                let mut entry = made(study, instance, content, issuer).received(world.number, source, rule);
                entry.receipt.resolved.default_issuer = (issuer > 0).then(|| format!("ISSUER{issuer}"));
                holdings.overlay().apply(&entry);
                world.receive(entry);
            }
            Event::Seal { study, keep_back } => world.seal(&holdings, study, keep_back),
            Event::Merge { study } => world.merge(&holdings, study),
            Event::Promote { study, instance, content } => {
                let promotion = world.promote(study, instance, content);
                world.record(&holdings, ChangeKind::Promoted(promotion));
            }
            Event::Restart => {
                drop(holdings);
                holdings = world.open(reopen(false), true);
                if holdings.catalog().watermark().unwrap() == 0 {
                    world.replay(holdings.catalog());
                }
            }
            Event::LoseCatalog => {
                drop(holdings);
                holdings = world.open(reopen(true), false);
                world.replay(holdings.catalog());
            }
        }
        // Asking in between fills what is remembered between queries.
        records(&holdings, QueryLevel::Study);
    }
    check_against_model(&world, &holdings);
    let lived = answers(&holdings);
    let replayed = world.open(Arc::new(KeyedCatalog::in_memory().unwrap()), true);
    world.replay(replayed.catalog());
    assert_eq!(answers(&replayed), lived, "rebuilt from the ledger");
    let adopted = world.open(Arc::new(KeyedCatalog::in_memory().unwrap()), false);
    world.adopt(adopted.catalog());
    assert_eq!(answers(&adopted), lived, "rebuilt from the packs");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn i3_answers_are_the_same_after_any_history_and_any_rebuild(history in events()) {
        live_through(history, |_| Arc::new(KeyedCatalog::in_memory().unwrap()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]
    #[test]
    fn i3_answers_are_the_same_with_the_embedded_catalog_reopened(history in events(), is_redb in proptest::bool::ANY) {
        let backend = if is_redb { Backend::Redb } else { Backend::Sled };
        let folder = tempfile::tempdir().unwrap();
        let mut number = 0;
        live_through(history, |lose| {
            number += u32::from(lose);
            let options = EmbeddedOptions { backend, cache_bytes: 1024 * 1024 };
            match open_embedded(&folder.path().join(number.to_string()), options).unwrap() {
                CatalogState::Ready(catalog) => Arc::new(*catalog),
                CatalogState::Damaged(error) => panic!("{error}"),
            }
        });
    }
}
