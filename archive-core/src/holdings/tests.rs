use std::sync::Arc;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use serde_json::json;

use super::samples::{self, Made, lines, pack, query, sop, study};
use super::*;
use crate::catalog::{CatalogChange, ChangeKind, KeyedCatalog};
use crate::overlay::UnsealedEntry;
use crate::query::{PageRequest, Query, QueryLevel, Record};

fn holdings() -> Holdings {
    Holdings::new(Arc::new(KeyedCatalog::in_memory().unwrap()), OverlayLimits::default())
}

fn seal(holdings: &Holdings, entries: &[UnsealedEntry]) {
    let watermark = holdings.catalog().watermark().unwrap() + 1;
    let kind = ChangeKind::Sealed { pack: pack(&entries[0].facts.keys.study, watermark), lines: lines(entries) };
    holdings.catalog().apply(&CatalogChange { watermark: Some(watermark), kind }).unwrap();
    holdings.overlay().remove(entries.iter().map(|entry| entry.receipt.number));
}

/// Studies 0 to 19, every other one sealed, dates ascending.
fn twenty() -> Holdings {
    let holdings = holdings();
    for n in 0..20_u32 {
        let made = Made::new(n, 1, 1)
            .with(tags::STUDY_DATE, "DA", format!("202401{:02}", n + 1))
            .with(tags::STUDY_TIME, "TM", "120000")
            .with(tags::PATIENT_ID, "LO", format!("PID{}", n / 2))
            .with(tags::PATIENT_NAME, "PN", json!({"Alphabetic": format!("Müller{n}^Anna")}))
            .with(tags::ACCESSION_NUMBER, "SH", format!("ACC{n:04}"))
            .with(tags::STUDY_DESCRIPTION, "LO", format!("CT Thorax {n}"));
        let entry = made.by(u64::from(n) + 1);
        if n % 2 == 0 { seal(&holdings, &[entry]) } else { drop(holdings.overlay().apply(&entry)) }
    }
    holdings
}

fn text(record: &Record, tag: Tag) -> String {
    record.attributes.text(tag).unwrap_or_default()
}

fn found(holdings: &Holdings, query: &Query) -> Vec<String> {
    let page = holdings.find(query).unwrap();
    assert!(page.next.is_none());
    page.records.iter().map(|record| text(record, tags::STUDY_INSTANCE_UID)).collect()
}

fn uids(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(|n| study(n).as_str().to_owned()).collect()
}

#[test]
fn studies_are_found_by_every_kind_of_key_sealed_or_not() {
    let holdings = twenty();
    let by = |keys: &[(Tag, &str)]| found(&holdings, &query(QueryLevel::Study, keys));
    assert_eq!(by(&[]), uids((0..20).rev()), "newest first");
    assert_eq!(by(&[(tags::PATIENT_ID, "PID3")]), uids([7, 6]));
    assert_eq!(by(&[(tags::PATIENT_ID, "PID3"), (tags::ACCESSION_NUMBER, "ACC0006")]), uids([6]));
    assert_eq!(by(&[(tags::ACCESSION_NUMBER, "ACC000*")]), uids((0..10).rev()));
    assert_eq!(by(&[(tags::STUDY_DATE, "20240103-20240105")]), uids([4, 3, 2]));
    assert_eq!(by(&[(tags::STUDY_DATE, "20240103-20240105"), (tags::STUDY_TIME, "1300-1100")]), uids([3]));
    assert_eq!(by(&[(tags::PATIENT_NAME, "muller1^*")]), uids([1]));
    assert_eq!(by(&[(tags::PATIENT_NAME, "*LLER1*")]), uids([19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 1]));
    assert_eq!(by(&[(tags::STUDY_DESCRIPTION, "*Thorax 1?")]), uids((10..20).rev()));
    assert_eq!(by(&[(tags::STUDY_DESCRIPTION, "*thorax*")]), uids([]), "only names are folded");
    assert_eq!(by(&[(tags::STUDY_INSTANCE_UID, "1.2.4\\1.2.5\\1.2.99")]), uids([5, 4]));
    assert_eq!(by(&[(tags::MODALITIES_IN_STUDY, "MR")]), uids([]));
    assert_eq!(by(&[(tags::MODALITIES_IN_STUDY, "CT"), (tags::PATIENT_ID, "PID0")]), uids([1, 0]));
    let fuzzy = Query { fuzzy: true, ..query(QueryLevel::Study, &[(tags::PATIENT_NAME, "anna mull")]) };
    assert_eq!(found(&holdings, &fuzzy).len(), 20);
    let series = found(&holdings, &query(QueryLevel::Series, &[(tags::SERIES_INSTANCE_UID, "1.2.4.1,1.2.7.1")]));
    assert_eq!(series, uids([7, 4]));
    let sops = found(&holdings, &query(QueryLevel::Instance, &[(tags::SOP_INSTANCE_UID, "1.2.8.7.1\\1.2.9.7.1")]));
    assert_eq!(sops, uids([9, 8]));
}

#[test]
fn pages_join_without_gap_or_repeat_while_studies_come_in() {
    let holdings = twenty();
    for level in [QueryLevel::Patient, QueryLevel::Study, QueryLevel::Series, QueryLevel::Instance] {
        let whole = holdings.find(&Query::all(level)).unwrap().records;
        let mut joined = Vec::new();
        let mut cursor = None;
        loop {
            let page = PageRequest { offset: 0, cursor: cursor.take(), limit: 3 };
            let found = holdings.find(&Query { page, ..Query::all(level) }).unwrap();
            joined.extend(found.records);
            let Some(next) = found.next else { break };
            assert!(!next.0.contains("PID") && !hex::decode(&next.0).unwrap().windows(3).any(|text| text == b"PID"));
            cursor = Some(next);
        }
        assert_eq!(joined, whole, "{level:?}");
        let page = PageRequest { offset: 4, cursor: None, limit: 2 };
        let skipped = holdings.find(&Query { page, ..Query::all(level) }).unwrap();
        assert_eq!(skipped.records, whole[4..6], "{level:?}");
    }
    let page = PageRequest { limit: 5, ..PageRequest::default() };
    let first = holdings.find(&Query { page, ..Query::all(QueryLevel::Study) }).unwrap();
    let newer = Made::new(77, 1, 1).with(tags::STUDY_DATE, "DA", "20250101").by(500);
    holdings.overlay().apply(&newer);
    let entries: Vec<UnsealedEntry> = vec![newer];
    seal(&holdings, &entries);
    let page = PageRequest { cursor: first.next, limit: 5, ..PageRequest::default() };
    let second = holdings.find(&Query { page, ..Query::all(QueryLevel::Study) }).unwrap();
    let shown: Vec<String> = second.records.iter().map(|record| text(record, tags::STUDY_INSTANCE_UID)).collect();
    assert_eq!(shown, uids((10..15).rev()), "what came in does not move the next page");
    for wrong in ["", "zz", "7b7d", "ffff"] {
        let page = PageRequest { cursor: Some(crate::query::Cursor(wrong.to_owned())), ..PageRequest::default() };
        let error = holdings.find(&Query { page, ..Query::all(QueryLevel::Study) }).unwrap_err();
        assert_eq!(error, HoldingsError::Query(QueryError::Cursor));
    }
}

#[test]
fn records_hold_what_the_standard_wants_with_unknown_attributes_empty() {
    let holdings = holdings();
    let made = |n| Made::new(1, n % 2, n).with(tags::ROWS, "US", 512).with(tags::STUDY_DATE, "DA", "20240101");
    seal(&holdings, &[made(1).by(1), made(2).by(2)]);
    holdings.overlay().apply(&made(3).by(3));
    let page = holdings.find(&Query { study: Some(study(1)), ..Query::all(QueryLevel::Instance) }).unwrap();
    assert_eq!(page.records.len(), 3);
    let record = &page.records[2].attributes;
    assert_eq!(record.text(tags::NUMBER_OF_STUDY_RELATED_INSTANCES).as_deref(), Some("3"));
    assert_eq!(record.text(tags::NUMBER_OF_STUDY_RELATED_SERIES).as_deref(), Some("2"));
    assert_eq!(record.text(tags::NUMBER_OF_SERIES_RELATED_INSTANCES).as_deref(), Some("2"));
    assert_eq!(record.text(tags::INSTANCE_AVAILABILITY).as_deref(), Some("ONLINE"));
    assert_eq!(record.text(tags::ROWS).as_deref(), Some("512"));
    assert_eq!(record.text(tags::SOP_INSTANCE_UID).as_deref(), Some(sop(1, 3).as_str()));
    assert_eq!(record.element(tags::PATIENT_NAME), Some(json!({"vr": "PN"})));
    let study_record = &holdings.find(&Query::all(QueryLevel::Study)).unwrap().records[0].attributes;
    assert_eq!(study_record.texts(tags::MODALITIES_IN_STUDY), ["CT"]);
    assert!(study_record.element(tags::ROWS).is_none() && study_record.element(tags::SOP_CLASSES_IN_STUDY).is_none());
    let mut with_classes = Query::all(QueryLevel::Study);
    with_classes.include.tags.push(tags::SOP_CLASSES_IN_STUDY);
    let record = &holdings.find(&with_classes).unwrap().records[0].attributes;
    assert_eq!(record.texts(tags::SOP_CLASSES_IN_STUDY), ["1.2.840.10008.5.1.4.1.1.2"]);
}

#[test]
fn a_patient_is_shown_as_the_latest_study_has_it_and_counted_over_all() {
    let holdings = holdings();
    let made = |n: u32, date: &str, name: &str| {
        Made::new(n, 1, 1).with(tags::PATIENT_ID, "LO", "P1").with(tags::STUDY_DATE, "DA", date).with(
            tags::PATIENT_NAME,
            "PN",
            json!({"Alphabetic": name}),
        )
    };
    holdings.overlay().apply(&made(1, "20240101", "Born^Jane").by(1));
    seal(&holdings, &[made(2, "20250101", "Married^Jane").by(2)]);
    seal(&holdings, &[Made::new(3, 1, 1).by(3)]);
    for key in ["BORN*", "Married^jane", ""] {
        let page = holdings.find(&query(QueryLevel::Patient, &[(tags::PATIENT_NAME, key)])).unwrap();
        assert_eq!(page.records.len(), 1, "a study without a Patient ID has no patient");
        let record = &page.records[0].attributes;
        assert_eq!(record.text(tags::PATIENT_NAME).as_deref(), Some("Married^Jane"));
        assert_eq!(record.text(tags::NUMBER_OF_PATIENT_RELATED_STUDIES).as_deref(), Some("2"));
        assert!(record.element(tags::STUDY_DATE).is_none());
    }
    assert!(holdings.find(&query(QueryLevel::Patient, &[(tags::PATIENT_NAME, "X*")])).unwrap().records.is_empty());
    let wants = query(QueryLevel::Study, &[(tags::NUMBER_OF_PATIENT_RELATED_STUDIES, ""), (tags::PATIENT_ID, "P1")]);
    let record = &holdings.find(&wants).unwrap().records[0].attributes;
    assert_eq!(record.text(tags::NUMBER_OF_PATIENT_RELATED_STUDIES).as_deref(), Some("2"));
}

#[test]
fn objects_without_a_patient_appear_only_when_named() {
    let holdings = holdings();
    let hanging = Made { class: "1.2.840.10008.5.1.4.38.1", ..Made::new(1, 1, 1) };
    holdings.overlay().apply(&hanging.by(1));
    let check = |what: &str| {
        for level in [QueryLevel::Patient, QueryLevel::Study, QueryLevel::Series, QueryLevel::Instance] {
            assert!(holdings.find(&Query::all(level)).unwrap().records.is_empty(), "{what} {level:?}");
        }
        let named = query(QueryLevel::Instance, &[(tags::SOP_INSTANCE_UID, sop(1, 1).as_str())]);
        assert_eq!(found(&holdings, &named).len(), 1, "{what}");
        let of_study = Query { study: Some(study(1)), ..Query::all(QueryLevel::Instance) };
        assert_eq!(found(&holdings, &of_study).len(), 1, "{what}");
    };
    check("unsealed");
    seal(&holdings, &[hanging.by(1)]);
    check("sealed");
}

#[test]
fn versions_come_in_order_with_their_places_a_page_at_a_time() {
    let holdings = holdings();
    let entries: Vec<UnsealedEntry> = (0..1100).map(|n| Made::new(1, 1, n).by(u64::from(n) + 1)).collect();
    for chunk in entries[..1000].chunks(500) {
        seal(&holdings, chunk);
    }
    entries[900..].iter().for_each(|entry| drop(holdings.overlay().apply(entry)));
    holdings.overlay().apply(&Made::new(1, 1, 7).content(1).by(5000));
    let mut selected = Selected { study: study(1), series: None, sop: None, all_versions: true };
    let (mut all, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = holdings.versions(&selected, after.as_deref()).unwrap();
        assert!(page.versions.len() <= SELECT_VERSIONS_MAX);
        all.extend(page.versions);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(all.len(), 1101);
    assert!(all[7].version.current && !all[8].version.current, "the current version of an instance comes first");
    assert_eq!(all[8].version.facts.keys.sop, sop(1, 7));
    assert!(all.iter().all(|held| held.receipts().len() == 1), "what lies in both places counts once");
    assert_eq!(all[951].places().len(), 2);
    selected.sop = Some(sop(1, 7));
    assert_eq!(holdings.versions(&selected, None).unwrap().versions.len(), 2);
    selected.all_versions = false;
    assert_eq!(holdings.versions(&selected, None).unwrap().versions.len(), 1);
    assert_eq!(holdings.studies_of_sop(&sop(1, 1050)).unwrap().len(), 1);
}

#[test]
fn the_overlay_is_capped_and_forgets_what_was_sealed() {
    let limits = OverlayLimits { bytes: usize::MAX, receipts: 2 };
    let holdings = Holdings::new(Arc::new(KeyedCatalog::in_memory().unwrap()), limits);
    let entries = [Made::new(1, 1, 1).by(1), Made::new(1, 1, 2).by(2)];
    holdings.overlay().apply(&entries[0]);
    assert!(holdings.overlay().has_room());
    holdings.overlay().apply(&entries[1]);
    holdings.overlay().apply(&entries[1]);
    assert!(!holdings.overlay().has_room());
    seal(&holdings, &entries);
    let fill = holdings.overlay().fill();
    assert_eq!((fill.bytes, fill.receipts), (0, 0));
    assert!(holdings.overlay().snapshot().is_empty());
    assert_eq!(samples::study(1).as_str(), found(&holdings, &Query::all(QueryLevel::Study))[0]);
}

#[test]
fn unsealed_studies_are_told_apart_by_their_cases() {
    use crate::catalog::cases::CaseKind;
    let holdings = holdings();
    let kinds = |entry: &UnsealedEntry| -> Vec<CaseKind> {
        holdings.overlay().apply(entry).into_iter().map(|case| case.kind).collect()
    };
    let of = |id: &str, n| Made::new(1, 1, n).with(tags::PATIENT_ID, "LO", id);
    assert_eq!(kinds(&of("P1", 1).by(1)), []);
    assert_eq!(kinds(&of("P2", 2).by(2)), [CaseKind::StudyOfTwoPatients]);
    let mut elsewhere = of("P1", 1).by(3);
    elsewhere.facts.keys.study = study(2);
    assert_eq!(kinds(&elsewhere), [CaseKind::SopInTwoStudies]);
}

#[test]
fn while_the_catalog_is_rebuilt_pages_say_so() {
    let holdings = holdings();
    holdings.set_incomplete(true);
    assert!(holdings.find(&Query::all(QueryLevel::Study)).unwrap().incomplete);
    holdings.set_incomplete(false);
    assert!(!holdings.find(&Query::all(QueryLevel::Study)).unwrap().incomplete);
}

#[test]
fn patient_data_does_not_print() {
    let holdings = holdings();
    let made = Made::new(1, 1, 1)
        .with(tags::PATIENT_ID, "LO", "SECRET")
        .with(tags::PATIENT_BIRTH_DATE, "DA", "19701231")
        .with(tags::STUDY_DESCRIPTION, "LO", "SECRET");
    holdings.overlay().apply(&made.by(1));
    seal(&holdings, &[Made { instance: 2, ..made.clone() }.by(2)]);
    let wanted =
        query(QueryLevel::Study, &[(tags::PATIENT_BIRTH_DATE, "19701231"), (tags::STUDY_DESCRIPTION, "*SECRET*")]);
    let page = holdings.find(&wanted).unwrap();
    assert_eq!(page.records.len(), 1);
    let selected = Selected { study: study(1), series: None, sop: None, all_versions: true };
    let catalog = holdings.catalog();
    let printed = format!(
        "{holdings:?} {page:?} {wanted:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        crate::query::matching::Matching::compile(&wanted).unwrap(),
        holdings.versions(&selected, None).unwrap(),
        catalog.study(&study(1)).unwrap(),
        catalog.rows_of(&study(1), None).unwrap(),
        catalog.series_of(&study(1)).unwrap(),
        holdings.overlay().snapshot(),
    );
    assert!(!printed.to_uppercase().contains("SECRET") && !printed.contains("1970"), "{printed}");
}
