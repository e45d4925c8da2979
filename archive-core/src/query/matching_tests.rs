use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::phi::Phi;

#[derive(Default)]
struct Sample(BTreeMap<Tag, Vec<ElementText>>);

impl Values for Sample {
    fn distinct(&self, tag: Tag) -> Vec<ElementText> {
        self.0.get(&tag).cloned().unwrap_or_default()
    }
}

fn sample(elements: &[(Tag, Value)]) -> Sample {
    let mut sample = Sample::default();
    for (tag, element) in elements {
        sample.0.entry(*tag).or_default().push(Arc::from(element.to_string()));
    }
    sample
}

fn query(keys: &[(&[Tag], &str)]) -> Query {
    let keys = keys.iter().map(|(path, text)| MatchKey { path: path.to_vec(), value: Phi::new((*text).to_owned()) });
    Query { keys: keys.collect(), ..Query::all(QueryLevel::Instance) }
}

fn matches_all(query: &Query, sample: &Sample) -> bool {
    let matching = Matching::compile(query).unwrap();
    [QueryLevel::Patient, QueryLevel::Study, QueryLevel::Series, QueryLevel::Instance]
        .into_iter()
        .all(|level| matching.matches(level, sample))
}

fn check(tag: Tag, element: Value, keys: &[(&str, bool)]) {
    let sample = sample(&[(tag, element)]);
    for (key, expected) in keys {
        assert_eq!(matches_all(&query(&[(&[tag], key)]), &sample), *expected, "{tag} key {key:?}");
    }
}

#[test]
fn text_matches_exactly_with_wildcards_and_lists() {
    let element = json!({"vr": "LO", "Value": ["AB-12 "]});
    let keys = [("AB-12", true), (" AB-12 ", true), ("ab-12", false), ("AB", false), ("AB*", true), ("A?-1?", true)];
    check(tags::PATIENT_ID, element.clone(), &keys);
    check(tags::PATIENT_ID, element, &[("*", true), ("", true), ("X\\AB-12", true), ("X\\Y", false), ("X\\*2", true)]);
    check(tags::PATIENT_ID, json!({"vr": "LO"}), &[("", true), ("*", true), ("**", true), ("X", false)]);
}

#[test]
fn uids_match_lists_of_both_kinds_and_no_wildcards() {
    let element = json!({"vr": "UI", "Value": ["1.2.3"]});
    check(
        tags::STUDY_INSTANCE_UID,
        element,
        &[("1.2.3", true), ("9\\1.2.3", true), ("9,1.2.3", true), ("1.2.*", false)],
    );
}

#[test]
fn person_names_match_without_case_and_accents_in_every_group() {
    let element = json!({"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarō^^^", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}]});
    check(
        tags::PATIENT_NAME,
        element,
        &[
            ("YAMADA^TARO", true),
            ("yamada^taro^", true),
            ("yamada", false),
            ("yamada*", true),
            ("*TARO*", true),
            ("山田*", true),
            ("やまだ^たろう", true),
            ("yamada*=山田*", true),
            ("yamada*=田中*", false),
            ("=山田^太郎", true),
        ],
    );
}

#[test]
fn fuzzy_names_match_by_the_beginnings_of_their_words() {
    let element =
        sample(&[(tags::PATIENT_NAME, json!({"vr": "PN", "Value": [{"Alphabetic": "O'Neill Smith^Jane Ann"}]}))]);
    for (key, expected) in
        [("smith", true), ("jane smi", true), ("Smith^Ann", true), ("mith", false), ("jane x", false)]
    {
        let query = Query { fuzzy: true, ..query(&[(&[tags::PATIENT_NAME], key)]) };
        assert_eq!(matches_all(&query, &element), expected, "{key}");
    }
}

#[test]
fn numbers_match_by_value() {
    check(
        tags::INSTANCE_NUMBER,
        json!({"vr": "IS", "Value": [7]}),
        &[("7", true), ("007", true), ("8\\7", true), ("70", false)],
    );
    check(tags::INSTANCE_NUMBER, json!({"vr": "IS", "Value": ["07 "]}), &[("7", true)]);
}

#[test]
fn study_date_and_time_ranges_combine() {
    let at = |date: &str, time: &str| {
        sample(&[
            (tags::STUDY_DATE, json!({"vr": "DA", "Value": [date]})),
            (tags::STUDY_TIME, json!({"vr": "TM", "Value": [time]})),
        ])
    };
    let query = query(&[(&[tags::STUDY_DATE], "20240101-20240103"), (&[tags::STUDY_TIME], "1000-1200")]);
    for (date, time, expected) in [
        ("20240102", "230000", true),
        ("20240101", "090000", false),
        ("20240103", "1200", true),
        ("20240103", "1300", false),
    ] {
        assert_eq!(matches_all(&query, &at(date, time)), expected, "{date} {time}");
    }
}

#[test]
fn keys_of_a_sequence_match_within_one_item() {
    let sequence = tags::REQUEST_ATTRIBUTES_SEQUENCE;
    let item = |step: &str, procedure: &str| json!({"00400009": {"vr": "SH", "Value": [step]}, "00401001": {"vr": "SH", "Value": [procedure]}});
    let element = sample(&[(sequence, json!({"vr": "SQ", "Value": [item("S1", "P1"), item("S2", "P2")]}))]);
    let step: &[Tag] = &[sequence, tags::SCHEDULED_PROCEDURE_STEP_ID];
    let procedure: &[Tag] = &[sequence, tags::REQUESTED_PROCEDURE_ID];
    assert!(matches_all(&query(&[(step, "S2"), (procedure, "P2")]), &element));
    assert!(!matches_all(&query(&[(step, "S1"), (procedure, "P2")]), &element));
    assert!(matches_all(&query(&[(step, ""), (procedure, "P1")]), &element));
}

#[test]
fn every_distinct_value_matches() {
    let both = sample(&[
        (tags::STUDY_DESCRIPTION, json!({"vr": "LO", "Value": ["HEAD"]})),
        (tags::STUDY_DESCRIPTION, json!({"vr": "LO", "Value": ["NECK"]})),
    ]);
    for (key, expected) in [("HEAD", true), ("NECK", true), ("KNEE", false)] {
        assert_eq!(matches_all(&query(&[(&[tags::STUDY_DESCRIPTION], key)]), &both), expected);
    }
}

#[test]
fn what_cannot_be_understood_is_refused_without_being_shown() {
    let compile = |tag: Tag, key: &str, level| {
        Matching::compile(&Query { level, ..query(&[(&[tag], key)]) }).map(drop).unwrap_err()
    };
    let wrong = compile(tags::PATIENT_BIRTH_DATE, "Jane", QueryLevel::Study);
    assert!(matches!(wrong, QueryError::Key { .. }) && !wrong.to_string().contains("Jane"));
    assert!(matches!(compile(tags::SERIES_NUMBER, "three", QueryLevel::Series), QueryError::Key { .. }));
    assert!(matches!(compile(tags::MODALITY, "CT", QueryLevel::Study), QueryError::NotSearchable { .. }));
    assert!(matches!(compile(Tag(0x0009, 0x0010), "x", QueryLevel::Instance), QueryError::NotSearchable { .. }));
    let long = vec!["1"; KEY_VALUES_MAX + 1].join("\\");
    assert!(matches!(compile(tags::PATIENT_ID, &long, QueryLevel::Study), QueryError::Key { .. }));
}

#[test]
fn the_planner_is_told_what_every_match_must_have() {
    let key = |tag: Tag, text: &str| Matching::compile(&query(&[(&[tag], text)])).unwrap();
    assert_eq!(key(tags::PATIENT_ID, "a\\b").exact(tags::PATIENT_ID), Some(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(key(tags::PATIENT_ID, "a\\b*").exact(tags::PATIENT_ID), None);
    assert_eq!(key(tags::PATIENT_ID, "a\\b*").prefixes(tags::PATIENT_ID), Some(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(key(tags::PATIENT_NAME, "Müll*").prefixes(tags::PATIENT_NAME), Some(vec!["mull".to_owned()]));
    assert_eq!(key(tags::PATIENT_NAME, "*Müll*r*").literals(tags::PATIENT_NAME), Some(vec!["mull".to_owned()]));
    assert_eq!(key(tags::PATIENT_NAME, "*m*").literals(tags::PATIENT_NAME), None);
    assert_eq!(key(tags::PATIENT_NAME, "").prefixes(tags::PATIENT_NAME), None);
}
