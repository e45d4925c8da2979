//! What an append promises.

use std::time::Duration;

use super::*;
use crate::ledger::entry::StoreRole;
use crate::ledger::segment::MAX_ENTRIES;

#[tokio::test]
async fn i10_an_append_is_answered_when_home_and_required_stores_have_it() {
    let (world, ledger) = World::with_appends(0).await;
    let appended = ledger.append(vec![job(1), job(2)]).await.unwrap();
    assert_eq!((appended.first, appended.last), (2, 3));
    assert_eq!(appended.standing.stores, [store_id('1'), store_id('2')]);
    assert!(appended.is_in_all_required());
    assert_eq!(lines(&world.home).await.unwrap(), lines(&world.required).await.unwrap());
    assert_eq!(lines(&world.home).await.unwrap().len(), 4);
    assert!(lines(&world.lagging).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_new_archive_begins_with_who_it_is_and_its_first_epoch() {
    let (world, _ledger) = World::with_appends(0).await;
    let lines = lines(&world.home).await.unwrap();
    assert_eq!(
        lines[0],
        concat!(
            r#"{"n":0,"time":"2026-01-01T00:00:00Z","vouched":"2026-01-01T00:00:00Z","kind":"archive_created","#,
            r#""archive":"00112233445566778899aabbccddeeff","format":1,"stores":["#,
            r#"{"store":"11111111111111111111111111111111","role":"home"},"#,
            r#"{"store":"22222222222222222222222222222222","role":"required"},"#,
            r#"{"store":"33333333333333333333333333333333","role":"lagging"}]}"#
        )
    );
    assert_eq!(
        lines[1],
        concat!(
            r#"{"n":1,"time":"2026-01-01T00:00:00Z","vouched":"2026-01-01T00:00:00Z","kind":"epoch_opened","#,
            r#""epoch":1,"program":"vellum-0.1.0"}"#
        )
    );
}

#[tokio::test]
async fn a_restart_goes_on_where_the_ledger_ended() {
    let (mut world, ledger) = World::with_appends(3).await;
    drop(ledger);
    world.clock.advance(Duration::from_secs(60));
    let ledger = world.open().await.unwrap();
    assert_eq!(ledger.append(vec![job(9)]).await.unwrap().first, 5);
    let report = verify_store(&world.home, ledger.head()).await;
    assert!(report.is_good() && report.summary.remembered, "{report}");
    assert_eq!((report.summary.entries, report.summary.segments), (6, 5));
    assert_eq!(report.summary.unsigned_checkpoints, 5);
    assert!(report.to_string().contains("5 unsigned"));
}

#[tokio::test]
async fn vouched_time_stands_still_between_two_processes_and_never_follows_the_calendar() {
    let (mut world, ledger) = World::with_appends(0).await;
    world.clock.advance(Duration::from_secs(10));
    let _ = ledger.append(vec![job(1)]).await.unwrap();
    drop(ledger);
    world.clock.advance(Duration::from_secs(86_400));
    let ledger = world.open().await.unwrap();
    world.clock.advance(Duration::from_secs(5));
    let _ = ledger.append(vec![job(2)]).await.unwrap();
    let last = lines(&world.home).await.unwrap().pop().unwrap();
    assert!(last.contains(r#""time":"2026-01-02T00:00:15Z","vouched":"2026-01-01T00:00:15Z""#), "{last}");
}

#[tokio::test]
async fn appends_that_wait_together_share_a_segment_and_each_learns_its_own_numbers() {
    let (world, ledger) = World::with_appends(0).await;
    let appends = (0..50).map(|number| ledger.append(vec![job(number), job(number + 1000)]));
    let answers = futures::future::join_all(appends).await;
    let mut next = 2;
    for answer in answers {
        let appended = answer.unwrap();
        assert_eq!((appended.first, appended.last), (next, next + 1));
        next += 2;
    }
    let report = verify_store(&world.home, ledger.head()).await;
    assert!(report.is_good(), "{report}");
    assert_eq!(report.summary.entries, 102);
    assert!(report.summary.segments < 10, "{} segments", report.summary.segments);
}

#[tokio::test]
async fn what_does_not_fit_into_one_segment_waits_for_the_next() {
    let (world, ledger) = World::with_appends(0).await;
    let big = |seed: u64| -> Vec<EntryBody> { (0..2000).map(|number| job(seed + number)).collect() };
    let appends = (0..5).map(|number| ledger.append(big(number * 10_000)));
    let appended: Vec<Appended> = futures::future::join_all(appends).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(appended.last().unwrap().last, 10_001);
    let report = verify_store(&world.home, ledger.head()).await;
    assert!(report.is_good() && report.summary.segments >= 3, "{report}");
}

#[tokio::test]
async fn an_append_that_no_segment_can_hold_is_refused_whole() {
    let (world, ledger) = World::with_appends(0).await;
    let before = ledger.head();
    let huge: Vec<EntryBody> = (0..20_000).map(job).collect();
    match ledger.append(huge).await.unwrap_err() {
        LedgerError::TooLarge { bytes, limit } => assert!(bytes > limit && limit == MAX_ENTRIES),
        other => panic!("{other}"),
    }
    assert!(matches!(ledger.append(Vec::new()).await, Err(LedgerError::NotAppendable(_))));
    let closing = EntryBody::EpochClosed { epoch: 1, by: crate::caller::SourceKey::new("nobody") };
    assert!(matches!(ledger.append(vec![closing]).await, Err(LedgerError::NotAppendable(_))));
    let unknown = EntryBody::Unknown([("kind".to_owned(), "sung".into())].into());
    assert!(matches!(ledger.append(vec![unknown]).await, Err(LedgerError::NotAppendable(_))));
    assert_eq!(ledger.head(), before);
    assert_eq!(lines(&world.home).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_take_its_entries_back() {
    let (world, ledger) = World::with_appends(0).await;
    {
        let append = ledger.append(vec![job(1)]);
        futures::pin_mut!(append);
        assert!(futures::poll!(&mut append).is_pending());
    }
    let _ = ledger.append(vec![job(2)]).await.unwrap();
    assert_eq!(lines(&world.home).await.unwrap().len(), 4);
}

#[tokio::test]
async fn lagging_stores_are_fed_by_catching_up_and_their_lag_is_known() {
    let (world, ledger) = World::with_appends(7).await;
    let lag = |ledger: &Ledger| ledger.lags().into_iter().find(|lag| lag.role == StoreRole::Lagging).unwrap();
    assert_eq!(lag(&ledger).segments, Some(8));
    world.lagging.plan([StoreFault::None, StoreFault::Refused, StoreFault::Refused]);
    let lags = ledger.catch_up().await.unwrap();
    assert!(lags.iter().any(|lag| lag.error.is_some()));
    assert_eq!(lag(&ledger).segments, Some(7));
    let _ = ledger.catch_up().await.unwrap();
    assert_eq!(lag(&ledger).segments, Some(0));
    assert_eq!(lines(&world.home).await.unwrap(), lines(&world.lagging).await.unwrap());
}

#[tokio::test]
async fn entries_are_shown_from_any_index_by_kind_and_by_study() {
    let (world, ledger) = World::with_appends(5).await;
    let study = crate::identifiers::StudyUid::parse("1.2.3").unwrap();
    let copied =
        EntryBody::Copied { pack: crate::identifiers::PackId::of(b"pack"), study: study.clone(), store: store_id('2') };
    let _ = ledger.append(vec![job(77), copied, job(78)]).await.unwrap();
    let end = ledger.head().unwrap().position();
    let show = async |filter: Filter| {
        let mut entries = Entries::begin(world.home.clone(), archive(), filter, end).await.unwrap();
        let mut numbers = Vec::new();
        while let Some(entry) = entries.next().await.unwrap() {
            numbers.push(entry.entry.n);
        }
        numbers
    };
    for from in 0..12 {
        assert_eq!(show(Filter { from, ..Filter::default() }).await, (from..10).collect::<Vec<u64>>());
    }
    assert_eq!(show(Filter { kind: Some("copied".to_owned()), ..Filter::default() }).await, [8]);
    assert_eq!(show(Filter { study: Some(study.clone()), from: 3, kind: None }).await, [8]);
    assert!(show(Filter { study: Some(study), from: 9, kind: None }).await.is_empty());
}

#[tokio::test]
async fn i11_anyone_can_prove_an_entry_and_a_beginning_from_two_heads() {
    use crate::ledger::proof::{ProofBuilder, continues, includes};
    let (world, ledger) = World::with_appends(4).await;
    let older = ledger.head().unwrap();
    for number in 10..20 {
        let _ = ledger.append(vec![job(number)]).await.unwrap();
    }
    let newer = ledger.head().unwrap();
    let all = lines(&world.home).await.unwrap();
    for (n, line) in (0_u64..).zip(&all) {
        let proof = ProofBuilder::inclusion(n, newer.size).unwrap();
        let proof = prove(world.home.clone(), archive(), proof, newer.position()).await.unwrap();
        let leaf = crate::ledger::merkle::leaf_hash(line.as_bytes());
        assert!(includes(&leaf, n, newer.size, &proof, &newer.root));
    }
    let proof = ProofBuilder::consistency(older.size, newer.size).unwrap();
    let proof = prove(world.home.clone(), archive(), proof, newer.position()).await.unwrap();
    assert!(continues(&older.tree(), &newer.tree(), &proof));
    let beyond = ProofBuilder::inclusion(0, newer.size + 1).unwrap();
    assert!(prove(world.home.clone(), archive(), beyond, newer.position()).await.is_err());
}
