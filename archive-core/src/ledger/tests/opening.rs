//! What a start refuses, and what it mends.

use super::faults::copy_all;
use super::*;

async fn refused(world: &mut World) -> LedgerError {
    world.open().await.expect_err("it should have been refused")
}

fn fresh(world: &World, name: &str) -> Arc<FaultStore> {
    FaultStore::of(name, world.machine.clone(), None)
}

#[tokio::test]
async fn an_empty_home_never_becomes_a_new_archive_by_accident() {
    let mut world = World::new();
    let mut opening = world.opening();
    opening.options.when_empty = WhenEmpty::Refuse;
    assert!(matches!(Ledger::open(opening).await, Err(LedgerError::NoLedger { .. })));

    let (mut world, ledger) = World::with_appends(2).await;
    drop(ledger);
    world.home = fresh(&world, "home");
    assert!(matches!(refused(&mut world).await, LedgerError::RolledBack { .. }));
    world.remembered = None;
    let error = refused(&mut world).await;
    assert!(matches!(&error, LedgerError::HomeBehind { store, .. } if store == "required"), "{error}");
    assert!(lines(&world.home).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_home_older_than_remembered_is_a_rolled_back_store() {
    let (mut world, ledger) = World::with_appends(2).await;
    drop(ledger);
    let backup = fresh(&world, "home");
    copy_all(&world.home, &backup).await;
    let ledger = world.open().await.unwrap();
    world.remembered = Some(ledger.append(vec![job(10)]).await.unwrap().standing.head);
    drop(ledger);
    world.home = backup;
    let error = refused(&mut world).await;
    assert!(matches!(&error, LedgerError::RolledBack { remembered, .. } if remembered.sequence == 3), "{error}");
    world.remembered = None;
    let error = refused(&mut world).await;
    assert!(matches!(&error, LedgerError::HomeBehind { .. }), "the required store remembers too: {error}");
}

#[tokio::test]
async fn a_home_that_holds_something_else_at_the_remembered_place_is_refused() {
    let (mut world, ledger) = World::with_appends(2).await;
    drop(ledger);
    world.remembered = world.remembered.map(|head| Head { sha256: Sha256Digest::of(b"another"), ..head });
    assert!(matches!(refused(&mut world).await, LedgerError::Forked { .. }));
}

#[tokio::test]
async fn stores_that_are_merely_behind_are_caught_up() {
    let (mut world, ledger) = World::with_appends(6).await;
    drop(ledger);
    for sequence in 3..7 {
        world.required.inner().lose(&Position { epoch: 1, sequence }.key().unwrap());
    }
    world.open().await.unwrap();
    assert_eq!(lines(&world.home).await.unwrap(), lines(&world.required).await.unwrap());
    world.required = fresh(&world, "required");
    world.open().await.unwrap();
    assert_eq!(lines(&world.home).await.unwrap(), lines(&world.required).await.unwrap());
}

#[tokio::test]
async fn anything_above_a_gap_is_damage_and_nothing_is_appended() {
    let (mut world, ledger) = World::with_appends(6).await;
    drop(ledger);
    // The home is read whole; a required store is looked at by names and by its end, the rest is for verification.
    let home = world.home.clone();
    let required = world.required.clone();
    let cases = (0..6).map(|missing| (home.clone(), missing)).chain([(required.clone(), 0), (required, 5)]);
    for (store, missing) in cases {
        let key = Position { epoch: 1, sequence: missing }.key().unwrap();
        let good = store.inner().read(&key).await.unwrap();
        store.inner().lose(&key);
        let before = store.inner().list(&StoreKey::parse("ledger").unwrap(), None, 100).await.unwrap();
        let error = refused(&mut world).await;
        assert!(
            matches!(&error, LedgerError::Damaged { store: named, .. } if named == store.name()),
            "{missing}: {error}"
        );
        assert_eq!(store.inner().list(&StoreKey::parse("ledger").unwrap(), None, 100).await.unwrap(), before);
        store.inner().damage(&key, good);
    }
}

#[tokio::test]
async fn another_archives_store_is_refused() {
    let (mut world, ledger) = World::with_appends(1).await;
    drop(ledger);
    let opening = world.opening();
    let other = ArchiveId::parse("ffffffffffffffffffffffffffffffff").unwrap();
    let error = Ledger::open(Opening { archive: other, remembered: None, ..opening }).await.unwrap_err();
    assert!(matches!(&error, LedgerError::Damaged { damage, .. } if damage.fault == Fault::OtherArchive), "{error}");
}

#[tokio::test]
async fn the_order_of_a_configuration_file_does_not_change_the_home() {
    let (mut world, ledger) = World::with_appends(1).await;
    drop(ledger);
    let mut opening = world.opening();
    std::mem::swap(&mut opening.stores.home, &mut opening.stores.required[0]);
    let error = Ledger::open(opening).await.unwrap_err();
    assert!(
        matches!(&error, LedgerError::NotHome { given, named } if *given == store_id('2') && *named == store_id('1')),
        "{error}"
    );
}

#[tokio::test]
async fn a_writer_refuses_a_ledger_with_a_kind_it_does_not_know_and_a_reader_shows_it() {
    let (mut world, ledger) = World::with_appends(1).await;
    drop(ledger);
    let last = Segment::decode(
        Position { epoch: 1, sequence: 1 },
        &world.home.inner().read(&Position { epoch: 1, sequence: 1 }.key().unwrap()).await.unwrap(),
    )
    .unwrap();
    let line = last.entries[0].line.replace(r#""n":2"#, r#""n":3"#).replace("job_started", "from_the_future");
    let header = segment::Header {
        sequence: 2,
        first: 3,
        previous: Some(last.sha256),
        frontier: last.frontier.subtrees().to_vec(),
        ..last.header.clone()
    };
    let (segment, bytes) = Segment::encode(header, vec![Recorded::parse(&line).unwrap()]).unwrap();
    world.home.inner().create(&segment.position.key().unwrap(), bytes).await.unwrap();

    let error = refused(&mut world).await;
    assert!(matches!(error, LedgerError::UnknownKind { n: 3, .. }), "{error}");
    assert_eq!(lines(&world.home).await.unwrap().last(), Some(&line));
    let report = verify_store(&world.home, None).await;
    assert!(report.is_good() && report.summary.unknown_kinds == 1, "{report}");
}

#[tokio::test]
async fn a_lagging_store_that_is_away_keeps_nobody_from_writing() {
    let (mut world, ledger) = World::with_appends(1).await;
    drop(ledger);
    world.lagging.fail_reads(1);
    let opened = Ledger::open(world.opening()).await.unwrap();
    let lag = opened.lags.last().unwrap();
    assert!(lag.segments.is_none() && lag.error.is_some());
    let _ = opened.ledger.catch_up().await.unwrap();
    assert_eq!(lines(&world.home).await.unwrap(), lines(&world.lagging).await.unwrap());
}

#[tokio::test]
async fn a_home_that_is_away_is_said_to_be_away_and_never_to_be_empty() {
    let (mut world, ledger) = World::with_appends(1).await;
    drop(ledger);
    for calls in 1..8 {
        world.home.fail_reads(calls);
        assert!(matches!(refused(&mut world).await, LedgerError::Store(_)));
        world.home.fail_reads(0);
    }
}

#[tokio::test]
async fn what_was_checked_before_is_not_read_again() {
    let (mut world, ledger) = World::with_appends(20).await;
    let head = ledger.head().unwrap();
    let _ = ledger.append(vec![job(100)]).await.unwrap();
    drop(ledger);
    let mut opening = world.opening();
    opening.options.checked = Some(Checked { head, home: store_id('1') });
    world.home.inner().damage(&Position { epoch: 1, sequence: 5 }.key().unwrap(), Bytes::from_static(b"unread"));
    assert!(Ledger::open(opening.clone()).await.is_ok());
    opening.options.checked = Some(Checked { head, home: store_id('2') });
    assert!(matches!(Ledger::open(opening).await, Err(LedgerError::NotHome { .. })));
}

#[tokio::test]
async fn a_head_is_found_in_few_requests_and_is_kept_as_json() {
    let (world, ledger) = World::with_appends(100).await;
    let head = ledger.head().unwrap();
    assert_eq!(find_end(&*world.home).await.unwrap(), LedgerState::EndsAt(head.position()));
    let text = serde_json::to_string(&head).unwrap();
    assert_eq!(serde_json::from_str::<Head>(&text).unwrap(), head);
    let before = world.machine.calls();
    find_end(&*world.home).await.unwrap();
    let calls = world.machine.calls() - before;
    assert!(calls <= 20, "{calls} requests");
}
