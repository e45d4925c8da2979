//! What every catalog must do, run on each backend.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use dicom_dictionary_std::tags;
use parking_lot::Mutex;

use super::cases::{CaseCounters, CaseKind};
use super::keys::StudyIndex;
use super::kv::{Batch, MemoryStore, OrderedStore, Pair};
use super::*;
use crate::holdings::samples::{self, Made, lines, pack, sop, study};
use crate::identifiers::SeriesUid;
use crate::overlay::UnsealedEntry;
use crate::receipt::DuplicateRule;

const BACKENDS: [Backend; 2] = [Backend::Sled, Backend::Redb];

const fn options(backend: Backend) -> EmbeddedOptions {
    EmbeddedOptions { backend, cache_bytes: 1024 * 1024 }
}

fn embedded(folder: &Path, backend: Backend) -> KeyedCatalog {
    match open_embedded(folder, options(backend)).unwrap() {
        CatalogState::Ready(catalog) => *catalog,
        CatalogState::Damaged(error) => panic!("{error}"),
    }
}

fn on_every_backend(check: impl Fn(&dyn Catalog)) {
    check(&KeyedCatalog::in_memory().unwrap());
    for backend in BACKENDS {
        let folder = tempfile::tempdir().unwrap();
        check(&embedded(folder.path(), backend));
    }
}

fn sealed(nonce: u64, watermark: u64, entries: &[UnsealedEntry]) -> CatalogChange {
    let uid = &entries[0].facts.keys.study;
    CatalogChange {
        watermark: Some(watermark),
        kind: ChangeKind::Sealed { pack: pack(uid, nonce), lines: lines(entries) },
    }
}

#[test]
fn a_change_is_applied_once_with_its_watermark() {
    on_every_backend(|catalog| {
        let change = sealed(1, 7, &[Made::new(1, 1, 1).by(1)]);
        catalog.apply(&change).unwrap();
        let generation = catalog.generation();
        catalog.apply(&change).unwrap();
        assert_eq!((catalog.watermark().unwrap(), catalog.generation()), (7, generation));
        catalog.apply(&CatalogChange { watermark: Some(8), kind: ChangeKind::Nothing }).unwrap();
        assert_eq!(catalog.watermark().unwrap(), 8);
        assert_eq!(catalog.study(&study(1)).unwrap().unwrap().summary.summary.instances, 1);
        catalog.clear().unwrap();
        assert_eq!((catalog.watermark().unwrap(), catalog.study(&study(1)).unwrap()), (0, None));
        catalog.apply(&change).unwrap();
        assert_eq!(catalog.watermark().unwrap(), 7);
    });
}

#[test]
fn rows_hold_at_most_five_hundred_instances() {
    on_every_backend(|catalog| {
        for chunk in 0..3_u32 {
            let entries: Vec<UnsealedEntry> =
                (0..400).map(|n| Made::new(1, 1, chunk * 400 + n).by(u64::from(chunk * 400 + n) + 1)).collect();
            let watermark = (chunk == 2).then_some(1);
            let kind = ChangeKind::Sealed { pack: pack(&study(1), 1), lines: lines(&entries) };
            catalog.apply(&CatalogChange { watermark, kind }).unwrap();
        }
        let series = SeriesUid::parse("1.2.1.1").unwrap();
        let rows = catalog.rows_of(&study(1), Some(&series)).unwrap();
        let sizes: Vec<usize> = rows.iter().map(|(id, _)| catalog.row(id).unwrap().len()).collect();
        assert_eq!(sizes, [500, 500, 200]);
        let record = catalog.study(&study(1)).unwrap().unwrap();
        assert_eq!((record.summary.summary.instances, record.summary.series), (1200, 1));
        for n in [0, 499, 500, 1199] {
            assert_eq!(catalog.instance(&study(1), &sop(1, n)).unwrap().unwrap().1.sop, sop(1, n));
            assert_eq!(catalog.studies_of_sop(&sop(1, n)).unwrap(), BTreeSet::from([study(1)]));
        }
        assert_eq!(catalog.instance(&study(1), &sop(1, 1200)).unwrap(), None);
        let many = ChangeKind::Sealed { pack: pack(&study(1), 2), lines: lines(&[Made::new(1, 1, 1).by(9)]) };
        let ChangeKind::Sealed { pack, lines } = many else { panic!("sealed") };
        let lines = vec![lines[0].clone(); CHANGE_LINES_MAX + 1];
        let change = CatalogChange { watermark: Some(2), kind: ChangeKind::Sealed { pack, lines } };
        assert_eq!(catalog.apply(&change), Err(CatalogError::TooManyLines { lines: 501 }));
    });
}

#[test]
fn studies_are_found_by_their_indexes_and_no_longer_once_they_change() {
    on_every_backend(|catalog| {
        let first = Made::new(1, 1, 1).with(tags::PATIENT_ID, "LO", "OLD").with(tags::ACCESSION_NUMBER, "SH", "A1");
        let second =
            Made::new(1, 1, 1).content(1).with(tags::PATIENT_ID, "LO", "NEW").with(tags::ACCESSION_NUMBER, "SH", "A1");
        let by = |index, text: &str, exact| {
            let lookup = Lookup { text: text.to_owned(), exact };
            catalog.studies_by(index, &[lookup], 10).unwrap().unwrap().len()
        };
        catalog.apply(&sealed(1, 1, &[first.by(1)])).unwrap();
        assert_eq!((by(StudyIndex::PatientId, "OLD", true), by(StudyIndex::PatientId, "OL", false)), (1, 1));
        assert_eq!(by(StudyIndex::PatientId, "OL", true), 0);
        catalog.apply(&sealed(2, 2, &[second.by(2)])).unwrap();
        assert_eq!((by(StudyIndex::PatientId, "OLD", true), by(StudyIndex::PatientId, "NEW", true)), (0, 1));
        assert_eq!(by(StudyIndex::Accession, "A1", true), 1);
        assert_eq!(catalog.studies_with_text(TextField::PatientId, &["new".to_owned()], 10).unwrap().unwrap().len(), 1);
        assert_eq!(catalog.studies_with_text(TextField::PatientId, &["old".to_owned()], 10).unwrap().unwrap().len(), 0);
    });
}

#[test]
fn a_study_of_many_distinct_values_fits_into_values_of_bounded_size() {
    on_every_backend(|catalog| {
        let digest = |n: u32| crate::identifiers::Sha256Digest::of(&n.to_le_bytes()).to_hex().repeat(16);
        let entries: Vec<UnsealedEntry> = (0..300)
            .map(|n| Made::new(1, 1, n).with(tags::SERIES_DESCRIPTION, "LO", digest(n)).by(u64::from(n) + 1))
            .collect();
        catalog.apply(&sealed(1, 1, &entries)).unwrap();
        let series = catalog.series_of(&study(1)).unwrap();
        assert_eq!(series[0].1.distinct(tags::SERIES_DESCRIPTION).len(), 300);
        catalog.apply(&sealed(1, 2, &entries[..1])).unwrap();
        assert_eq!(catalog.series_of(&study(1)).unwrap(), series);
    });
}

#[test]
fn cases_are_found_and_say_nothing_of_the_patient() {
    on_every_backend(|catalog| {
        let of = |made: Made| made.with(tags::PATIENT_ID, "LO", "P1").with(tags::PATIENT_BIRTH_DATE, "DA", "19700101");
        let mut counters = CaseCounters::default();
        let mut nonce = 0;
        let mut kinds = |entries: &[UnsealedEntry]| -> Vec<CaseKind> {
            nonce += 1;
            let found = catalog.apply(&sealed(nonce, nonce, entries)).unwrap();
            assert!(found.iter().all(|case| case.keys.values().all(|value| value.starts_with("1.2."))));
            counters.note(found).into_iter().map(|case| case.kind).collect()
        };
        assert_eq!(kinds(&[of(Made::new(1, 1, 1)).by(1)]), []);
        assert_eq!(kinds(&[of(Made::new(1, 1, 1)).content(1).by(2)]), [], "a source may correct itself");
        let other = of(Made::new(1, 1, 1)).content(2).received(3, "B", DuplicateRule::SameSourceReplaces);
        assert_eq!(kinds(std::slice::from_ref(&other)), [CaseKind::OtherContent]);
        assert_eq!(kinds(&[other]), [], "a case is opened once");
        let mut same_sop = of(Made::new(2, 1, 1)).by(4);
        same_sop.facts.keys.sop = sop(1, 1);
        assert_eq!(kinds(&[same_sop]), [CaseKind::SopInTwoStudies]);
        let stranger = Made::new(2, 1, 2).with(tags::PATIENT_ID, "LO", "P2");
        assert_eq!(kinds(&[stranger.by(5)]), [CaseKind::StudyOfTwoPatients]);
        let older =
            Made::new(3, 1, 1).with(tags::PATIENT_ID, "LO", "P1").with(tags::PATIENT_BIRTH_DATE, "DA", "19600101");
        assert_eq!(kinds(&[older.by(6)]), [CaseKind::TwoBirthDates]);
        for (n, id) in [(10, "UNKNOWN"), (11, "anonymous"), (12, "0")] {
            let nobody =
                Made::new(n, 1, 1).with(tags::PATIENT_ID, "LO", id).with(tags::PATIENT_BIRTH_DATE, "DA", "19500101");
            let somebody = Made::new(n, 1, 2).with(tags::PATIENT_ID, "LO", format!("X{n}"));
            let younger =
                Made::new(n, 1, 3).with(tags::PATIENT_ID, "LO", id).with(tags::PATIENT_BIRTH_DATE, "DA", "19510101");
            let n = u64::from(n) * 10;
            assert_eq!(kinds(&[nobody.by(n), somebody.by(n + 1), younger.by(n + 2)]), []);
        }
        let mut syntax = of(Made::new(4, 1, 1)).by(300);
        syntax.facts.version.transfer_syntax =
            crate::identifiers::TransferSyntaxUid::parse("1.2.840.10008.1.2").unwrap();
        assert!(kinds(&[of(Made::new(4, 1, 1)).by(299), syntax]).contains(&CaseKind::TwoSyntaxes));
        let mut read_otherwise = of(Made::new(5, 1, 1)).by(400);
        read_otherwise.receipt.resolved.assumed_charset = Some("ISO_IR 100".to_owned());
        assert!(kinds(&[of(Made::new(5, 1, 1)).by(399), read_otherwise]).contains(&CaseKind::OtherReading));
    });
}

/// A store that loses what was not flushed when it is killed, as a page cache may.
#[derive(Debug, Default)]
struct Mortal {
    kept: Arc<Mutex<Vec<Batch>>>,
    applied: Mutex<Vec<Batch>>,
    store: MemoryStore,
}

impl Mortal {
    /// A store with the first batches only: any beginning of what was applied may survive.
    fn after_kill(kept: &Arc<Mutex<Vec<Batch>>>, batches: usize) -> Self {
        let mortal = Self::default();
        for batch in kept.lock().iter().take(batches) {
            mortal.apply(batch.clone()).unwrap();
        }
        mortal
    }
}

impl OrderedStore for Mortal {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, CatalogError> {
        self.store.get(key)
    }
    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, CatalogError> {
        self.store.range(from, to, limit)
    }
    fn apply(&self, batch: Batch) -> Result<(), CatalogError> {
        self.applied.lock().push(batch.clone());
        self.kept.lock().push(batch.clone());
        self.store.apply(batch)
    }
    fn flush(&self) -> Result<(), CatalogError> {
        Ok(())
    }
    fn clear(&self) -> Result<(), CatalogError> {
        self.store.clear()
    }
}

#[test]
fn i3_a_kill_between_any_two_batches_is_caught_up_from_the_ledger() {
    let merged = |watermark| CatalogChange {
        watermark,
        kind: ChangeKind::Merged {
            pack: pack(&study(1), 9),
            lines: lines(&[Made::new(1, 1, 1).by(1), Made::new(1, 2, 1).content(1).by(2), Made::new(1, 1, 2).by(3)]),
            replaces: vec![pack(&study(1), 1).pack, pack(&study(1), 2).pack],
        },
    };
    let ledger = [
        sealed(1, 1, &[Made::new(1, 1, 1).by(1), Made::new(1, 2, 1).content(1).by(2)]),
        sealed(2, 2, &[Made::new(1, 1, 2).by(3)]),
        sealed(3, 3, &[Made::new(2, 1, 2).by(4)]),
        merged(None),
        merged(Some(4)),
    ];
    let store = Mortal::default();
    let batches = Arc::clone(&store.kept);
    let whole = KeyedCatalog::open(Box::new(store)).unwrap();
    ledger.iter().for_each(|change| drop(whole.apply(change).unwrap()));
    let total = batches.lock().len();
    assert!(total > ledger.len());
    for survived in 0..=total {
        let catalog = KeyedCatalog::open(Box::new(Mortal::after_kill(&batches, survived))).unwrap();
        let watermark = catalog.watermark().unwrap();
        for change in ledger.iter().filter(|change| change.watermark.unwrap_or(4) > watermark) {
            catalog.apply(change).unwrap();
        }
        for n in [1, 2] {
            assert_eq!(catalog.study(&study(n)).unwrap(), whole.study(&study(n)).unwrap(), "{survived} batches");
            assert_eq!(catalog.rows_of(&study(n), None).unwrap(), whole.rows_of(&study(n), None).unwrap());
            assert_eq!(
                catalog.instance(&study(n), &sop(n, 1)).unwrap(),
                whole.instance(&study(n), &sop(n, 1)).unwrap()
            );
        }
    }
}

#[test]
fn a_flipped_byte_in_a_value_is_found_or_changes_nothing() {
    let answers = |catalog: &KeyedCatalog| -> Result<String, CatalogError> {
        Ok(format!(
            "{:?} {:?} {:?} {:?} {:?}",
            catalog.study(&study(1))?.map(|found| found.summary.summary.distinct(tags::PATIENT_ID)),
            catalog.series_of(&study(1))?.len(),
            catalog.instance(&study(1), &sop(1, 2))?,
            catalog.studies_in_order(None, (None, None), 10)?.into_iter().map(|(_, uid)| uid).collect::<Vec<_>>(),
            catalog.studies_with_text(TextField::PatientId, &["p7".to_owned()], 10)?,
        ))
    };
    let build = |flip: Option<(usize, usize)>| -> (Result<String, CatalogError>, usize) {
        let whole = KeyedCatalog::in_memory().unwrap();
        let entries: Vec<_> =
            (1..4).map(|n| Made::new(1, 1, n).with(tags::PATIENT_ID, "LO", "P7").by(u64::from(n))).collect();
        whole.apply(&sealed(1, 1, &entries)).unwrap();
        let pairs = whole.store.range(&[], &[0xff; 64], usize::MAX).unwrap();
        let store = MemoryStore::default();
        let mut batch: Batch = pairs.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
        if let Some((pair, byte)) = flip {
            let (key, mut value) = pairs[pair].clone();
            let at = byte % value.len();
            value[at] ^= 0x10;
            batch.insert(key, Some(value));
        }
        store.apply(batch).unwrap();
        (KeyedCatalog::open(Box::new(store)).and_then(|catalog| answers(&catalog)), pairs.len())
    };
    let (good, pairs) = build(None);
    let good = good.unwrap();
    let mut found = 0;
    for pair in 0..pairs {
        for byte in [0, 3, 4, 5, 9, 40] {
            match build(Some((pair, byte))).0 {
                Ok(answer) => assert_eq!(answer, good, "pair {pair} byte {byte}"),
                Err(error) => {
                    assert!(error.wants_rebuild(), "{error}");
                    found += 1;
                }
            }
        }
    }
    assert!(found > 20, "{found} flips were found");
}

#[test]
fn another_layout_and_a_broken_folder_are_reported_for_rebuild() {
    let store = MemoryStore::default();
    let mut batch = Batch::new();
    super::values::write(&store, &mut batch, keys::LAYOUT_KEY, &(keys::LAYOUT + 1)).unwrap();
    store.apply(batch).unwrap();
    let error = KeyedCatalog::open(Box::new(store)).unwrap_err();
    assert!(matches!(error, CatalogError::OtherLayout { .. }) && error.wants_rebuild());

    for backend in BACKENDS {
        let folder = tempfile::tempdir().unwrap();
        drop(embedded(folder.path(), backend));
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::write(path, b"not what a store wrote, and long enough to be read as something").unwrap();
            }
        }
        let state = open_embedded(folder.path(), options(backend)).unwrap();
        assert!(matches!(state, CatalogState::Damaged(_)), "{state:?}");
    }
}

#[test]
fn a_catalog_in_the_other_store_is_reported_for_rebuild_and_left_as_it_is() {
    for (first, second) in [(Backend::Sled, Backend::Redb), (Backend::Redb, Backend::Sled)] {
        let folder = tempfile::tempdir().unwrap();
        let catalog = embedded(folder.path(), first);
        catalog.apply(&sealed(1, 5, &[Made::new(1, 1, 1).by(1)])).unwrap();
        catalog.checkpoint().unwrap();
        drop(catalog);
        let state = open_embedded(folder.path(), options(second)).unwrap();
        let CatalogState::Damaged(error) = state else { panic!("{state:?}") };
        assert!(matches!(error, CatalogError::OtherBackend { .. }) && error.wants_rebuild(), "{error}");
        assert_eq!(embedded(folder.path(), first).watermark().unwrap(), 5);
    }
}

#[test]
fn the_embedded_catalog_is_there_again_after_a_checkpoint() {
    for backend in BACKENDS {
        let folder = tempfile::tempdir().unwrap();
        let catalog = embedded(folder.path(), backend);
        catalog.apply(&sealed(1, 5, &[Made::new(1, 1, 1).by(1)])).unwrap();
        catalog.checkpoint().unwrap();
        let twice = open_embedded(folder.path(), options(backend));
        assert!(matches!(twice, Err(CatalogError::Store { .. })), "{twice:?}");
        drop(catalog);
        let catalog = embedded(folder.path(), backend);
        assert_eq!(catalog.watermark().unwrap(), 5);
        assert_eq!(catalog.study(&study(1)).unwrap().unwrap().study, samples::study(1));
    }
}
