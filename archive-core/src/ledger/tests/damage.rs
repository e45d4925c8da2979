//! Damage is found, and named: object and line.

use super::faults::copy_all;
use super::*;

fn position(sequence: u64) -> Position {
    Position { epoch: 1, sequence }
}

async fn bytes_of(store: &Arc<FaultStore>, sequence: u64) -> Bytes {
    store.inner().read(&position(sequence).key().unwrap()).await.unwrap()
}

fn put(store: &Arc<FaultStore>, sequence: u64, bytes: impl Into<Bytes>) {
    store.inner().damage(&position(sequence).key().unwrap(), bytes.into());
}

fn names(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.object.as_str()).collect()
}

/// The plain text of a segment, changed, with everything in it made consistent again where `repair` says so.
fn rewritten(bytes: &[u8], change: impl Fn(String) -> String) -> Vec<u8> {
    let text = crate::ledger::zstd_frame::decompress(bytes, 1 << 20).unwrap();
    crate::ledger::zstd_frame::compress(change(String::from_utf8(text).unwrap()).as_bytes()).unwrap()
}

#[tokio::test]
async fn i11_a_flip_in_any_byte_of_any_segment_is_found_and_named() {
    let (world, ledger) = World::with_appends(3).await;
    let head = ledger.head();
    for sequence in 0..4 {
        let good = bytes_of(&world.home, sequence).await;
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] ^= 1 << (at % 8);
            put(&world.home, sequence, bad);
            let report = verify_store(&world.home, head).await;
            let expected = position(sequence).name();
            assert!(names(&report).contains(&expected.as_str()), "byte {at} of segment {sequence}: {report}");
            assert!(report.findings.len() <= 2, "byte {at} of segment {sequence}: {report}");
        }
        put(&world.home, sequence, good);
    }
    assert!(verify_store(&world.home, head).await.is_good());
}

#[tokio::test]
async fn a_flip_in_the_last_segment_changes_no_entry_unnoticed_even_without_a_remembered_head() {
    let (world, _ledger) = World::with_appends(3).await;
    let entries = lines(&world.home).await.unwrap();
    let good = bytes_of(&world.home, 3).await;
    for at in 0..good.len() {
        let mut bad = good.to_vec();
        bad[at] ^= 1 << (at % 8);
        put(&world.home, 3, bad);
        if verify_store(&world.home, None).await.is_good() {
            assert_eq!(lines(&world.home).await.unwrap(), entries, "byte {at}");
        }
    }
}

#[tokio::test]
async fn a_segment_that_is_missing_is_named_and_the_rest_is_still_verified() {
    let (world, ledger) = World::with_appends(5).await;
    for sequence in 0..5 {
        let good = bytes_of(&world.home, sequence).await;
        world.home.inner().lose(&position(sequence).key().unwrap());
        let report = verify_store(&world.home, ledger.head()).await;
        assert_eq!(names(&report), [position(sequence).name()], "{report}");
        assert_eq!(report.findings[0].fault, Fault::Missing);
        assert_eq!(report.summary.segments, 5);
        assert!(lines(&world.home).await.is_err());
        put(&world.home, sequence, good);
    }
    for sequence in 1..4 {
        world.home.inner().lose(&position(sequence).key().unwrap());
    }
    let report = verify_store(&world.home, ledger.head()).await;
    assert_eq!(report.findings.len(), 1, "{report}");
    assert_eq!(report.findings[0].fault, Fault::MissingThrough { last: 3 });
}

#[tokio::test]
async fn an_end_that_was_cut_off_is_found_by_a_remembered_head() {
    let (world, ledger) = World::with_appends(5).await;
    world.home.inner().lose(&position(5).key().unwrap());
    let alone = verify_store(&world.home, None).await;
    assert!(alone.is_good() && !alone.summary.remembered);
    assert!(alone.to_string().contains("nothing else vouches for the end"));
    let report = verify_store(&world.home, ledger.head()).await;
    assert_eq!(names(&report), [position(5).name()], "{report}");
}

#[tokio::test]
async fn segments_in_each_others_places_are_named() {
    let (world, ledger) = World::with_appends(5).await;
    let (two, three) = (bytes_of(&world.home, 2).await, bytes_of(&world.home, 3).await);
    put(&world.home, 2, three);
    put(&world.home, 3, two);
    let report = verify_store(&world.home, ledger.head()).await;
    assert_eq!(names(&report), [position(2).name(), position(3).name()], "{report}");
    assert!(report.findings.iter().all(|finding| finding.fault == Fault::OtherPlace));
}

#[tokio::test]
async fn i11_a_segment_that_was_rewritten_with_its_checkpoint_made_good_is_named() {
    let (world, ledger) = World::with_appends(5).await;
    let original = Segment::decode(position(2), &bytes_of(&world.home, 2).await).unwrap();
    let forged_entry =
        Recorded::of(crate::ledger::entry::Entry { body: job(666), ..original.entries[0].entry.clone() });
    let (_, forged) = Segment::encode(original.header.clone(), vec![forged_entry.unwrap()]).unwrap();
    put(&world.home, 2, forged);
    let report = verify_store(&world.home, ledger.head()).await;
    assert_eq!(report.findings[0].object, position(2).name(), "{report}");
    assert_eq!(report.findings[0].fault, Fault::NotContinued);
    assert!(lines(&world.home).await.is_err());
}

#[tokio::test]
async fn what_is_wrong_inside_a_segment_is_named_by_line() {
    let (world, ledger) = World::with_appends(0).await;
    let _ = ledger.append(vec![job(1), job(2), job(3)]).await.unwrap();
    let good = bytes_of(&world.home, 1).await;
    type Case = (fn(String) -> String, Option<u64>, Fault);
    let cases: [Case; 9] = [
        (|text| text.replace(r#""format":1"#, r#""format":2"#), Some(1), Fault::NewerFormat { found: 2 }),
        (|text| text.replace(r#""sequence":1"#, r#""sequence":2"#), Some(1), Fault::OtherPlace),
        (|text| text.replace(r#""first":2"#, r#""first":3"#), Some(1), Fault::FrontierShape),
        (|text| text.replace(r#""n":3"#, r#""n":4"#), Some(3), Fault::Number { expected: 3, found: 4 }),
        (|text| text.replace(r#"{"n":4"#, r#"{"m":4"#), Some(4), Fault::Entry { column: 0 }),
        (|text| text.replace("/00112233", "/10112233"), Some(5), Fault::Root),
        (|text| text.replace(r#""job":"test""#, r#""job":"tost""#), Some(5), Fault::Root),
        (|text| text.replace("checkpoint", "chuckpoint"), Some(5), Fault::Checkpoint),
        (|text| text.trim_end().to_owned(), None, Fault::Text),
    ];
    for (change, line, fault) in cases {
        put(&world.home, 1, rewritten(&good, change));
        let report = verify_store(&world.home, None).await;
        assert_eq!(report.findings[0], Damage { object: position(1).name(), line, fault }, "{report}");
    }
    let backwards = rewritten(&good, |text| text.replacen(r#""vouched":"2026"#, r#""vouched":"2027"#, 1));
    put(&world.home, 1, backwards);
    let report = verify_store(&world.home, None).await;
    assert_eq!(report.findings[0].fault, Fault::TimeRunsBack);
    assert_eq!(report.findings[0].line, Some(3));
}

#[tokio::test]
async fn hostile_objects_cost_no_more_than_a_segment() {
    let (world, ledger) = World::with_appends(2).await;
    let bomb = crate::ledger::zstd_frame::compress(&vec![b'\n'; 64 << 20]).unwrap();
    let long = vec![0; 4 << 20];
    for (bytes, limit) in [(bomb, 1 << 20), (long, (1 << 20) + (16 << 10))] {
        put(&world.home, 1, bytes);
        let report = verify_store(&world.home, ledger.head()).await;
        assert_eq!(report.findings[0].fault, Fault::TooLong { limit }, "{report}");
    }
}

#[tokio::test]
async fn a_lonely_segment_of_an_enormous_number_is_a_gap_and_no_endless_search() {
    let (world, ledger) = World::with_appends(2).await;
    let good = bytes_of(&world.home, 2).await;
    put(&world.home, 9_999_999_999, good);
    let report = verify_store(&world.home, ledger.head()).await;
    assert_eq!(report.findings[0].object, position(3).name());
    assert_eq!(report.findings[0].fault, Fault::MissingThrough { last: 9_999_999_998 });
    assert_eq!(report.findings[1].fault, Fault::OtherPlace);
    assert!(matches!(find_end(&*world.home).await.unwrap(), LedgerState::Damaged(_)));
}

#[tokio::test]
async fn names_that_vellum_gives_to_nothing_are_reported_and_disturb_nobody() {
    let (mut world, ledger) = World::with_appends(2).await;
    drop(ledger);
    let stray = StoreKey::parse("ledger/000001/0000000/notes.txt").unwrap();
    world.home.inner().create(&stray, Bytes::from_static(b"hello")).await.unwrap();
    let report = verify_store(&world.home, None).await;
    assert_eq!(names(&report), [stray.as_str()]);
    assert_eq!(report.findings[0].fault, Fault::Name);
    world.open().await.unwrap();
}

#[tokio::test]
async fn i11_two_valid_continuations_are_a_fork_that_names_where_they_part() {
    let (mut world, ledger) = World::with_appends(4).await;
    drop(ledger);
    let other = FaultStore::of("required", world.machine.clone(), None);
    copy_all(&world.home, &other).await;
    let one = world.open().await.unwrap();
    for number in 10..13 {
        let _ = one.append(vec![job(number)]).await.unwrap();
    }
    drop(one);
    let mut elsewhere = World::new();
    elsewhere.home = other.clone();
    let ledger =
        Ledger::open(Opening { entropy: SeededEntropy::from_seed(77), ..elsewhere.opening() }).await.unwrap().ledger;
    for number in 20..22 {
        let _ = ledger.append(vec![job(number)]).await.unwrap();
    }
    assert!(verify_store(&world.home, None).await.is_good());
    assert!(verify_store(&other, None).await.is_good(), "each alone is a good ledger");
    world.required = other;
    match world.open().await.unwrap_err() {
        LedgerError::Forked { store, home, at } => {
            assert_eq!((store.as_str(), home.as_str(), at), ("required", "home", position(5)));
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn damage_is_healed_from_another_store_by_putting_the_same_bytes_back() {
    let (mut world, ledger) = World::with_appends(5).await;
    drop(ledger);
    put(&world.home, 2, vec![0; 10]);
    assert!(matches!(world.open().await, Err(LedgerError::Damaged { .. })));
    let good = bytes_of(&world.required, 2).await;
    put(&world.home, 2, good);
    let ledger = world.open().await.unwrap();
    assert_eq!(ledger.append(vec![job(50)]).await.unwrap().first, 7);
}
