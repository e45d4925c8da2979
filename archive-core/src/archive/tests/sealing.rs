//! Sealing while stores are away, and callers that go away.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;

use super::house::{House, Op, STUDY, StoreFault, contents, data_set, seal, send};
use crate::archive::{Archive, LedgerFilter};
use crate::caller::Caller;
use crate::identifiers::StudyUid;
use crate::ledger::entry::StoreRole;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_required_store_that_is_away_leaves_the_study_in_the_journal_and_no_orphans_anywhere() {
    let house = House::with(StoreRole::Required);
    let archive = house.open().await;
    let bytes = data_set(STUDY, 1, "waits");
    let _received = send(&archive, "CT1", bytes.clone()).await.unwrap();
    house.second().set_away(true);
    for _ in 0..3 {
        assert_eq!(seal(&archive).await.len(), 1);
        assert_eq!(archive.status().await.journal.live_receipts, 1);
    }
    assert!(house.home.packs().await.is_empty(), "every attempt would leave another");
    house.second().set_away(false);
    assert!(seal(&archive).await.is_empty());
    assert_eq!(house.home.packs().await, house.second().packs().await);
    assert_eq!(archive.status().await.journal.live_receipts, 0);
    assert_eq!(contents(&archive, STUDY).await.unwrap(), vec![bytes]);
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_what_a_required_store_does_not_know_as_sealed_stays_in_the_journal_also_after_a_restart() {
    let mut house = House::with(StoreRole::Required);
    let archive = house.open().await;
    let _received = send(&archive, "CT1", data_set(STUDY, 1, "stays")).await.unwrap();
    // The pack arrives there, the entry does not.
    for _ in 0..20 {
        house.second().fail(Op::Create, "ledger/", StoreFault::Refused);
    }
    assert_eq!(seal(&archive).await.len(), 1);
    assert_eq!(archive.status().await.journal.live_receipts, 1);
    house.second().set_away(false);
    let archive = house.crash(archive).await;
    assert!(seal(&archive).await.is_empty());
    assert_eq!(archive.status().await.journal.live_receipts, 0);
    assert_eq!(house.home.packs().await.len(), 1, "it was released, not sealed again");
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_is_told_once_while_a_required_store_is_away() {
    let house = House::with(StoreRole::Required);
    let archive = house.open().await;
    let _received = send(&archive, "CT1", data_set(STUDY, 1, "told")).await.unwrap();
    house.second().set_away(true);
    archive.record_received().await.unwrap();
    let entries = archive.status().await.ledger.entries;
    archive.record_received().await.unwrap();
    assert_eq!(archive.status().await.ledger.entries, entries);
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_hangs_up_does_not_leave_a_study_frozen() {
    let house = House::new();
    let archive = house.open().await;
    let _received = send(&archive, "CT1", data_set(STUDY, 1, "not for ever")).await.unwrap();
    {
        let caller = Caller::local();
        let asked = archive.seal(&caller, true);
        let mut asked = std::pin::pin!(asked);
        // Polled once, then dropped.
        assert!(futures::poll!(&mut asked).is_pending());
    }
    let archive_too = std::sync::Arc::clone(&archive);
    while archive.status().await.journal.live_receipts > 0 {
        let _summary = archive_too.seal(&Caller::local(), true).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(archive.status().await.unsealed_studies, 0);
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lagging_store_gets_packs_that_were_sealed_while_it_was_away() {
    let house = House::with(StoreRole::Lagging);
    let archive = house.open().await;
    house.second().set_away(true);
    for n in 1..=2 {
        let _received = send(&archive, "CT1", data_set(STUDY, n, "later")).await.unwrap();
        assert!(seal(&archive).await.is_empty());
    }
    assert!(archive.catch_up_stores().await.is_err());
    house.second().set_away(false);
    archive.catch_up_stores().await.unwrap();
    assert_eq!(house.home.packs().await, house.second().packs().await);
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i8_a_copy_that_a_crash_kept_from_the_ledger_is_compared_and_recorded_by_the_next_start() {
    let mut house = House::with(StoreRole::Lagging);
    let archive = house.open().await;
    for n in 1..=2 {
        let _received = send(&archive, "CT1", data_set(STUDY, n, "copied")).await.unwrap();
        assert!(seal(&archive).await.is_empty());
    }
    // The first to be copied is there, and nobody gets to know.
    house.second().fail(Op::Create, "studies/", StoreFault::AnswerLost);
    assert!(archive.catch_up_stores().await.is_err());
    assert_eq!((house.second().packs().await.len(), copies(&archive).await), (1, 0));
    let archive = house.crash(archive).await;
    for _ in 0..2 {
        archive.catch_up_stores().await.unwrap();
        assert_eq!(copies(&archive).await, 2, "each once");
    }
    archive.close().await;
}

/// Entries of copies in the ledger.
async fn copies(archive: &Arc<Archive>) -> usize {
    let filter = LedgerFilter { from: 0, limit: u64::MAX, kind: Some("copied".to_owned()) };
    archive.ledger_lines(&Caller::local(), filter).try_collect::<Vec<_>>().await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_pack_that_cannot_be_copied_does_not_keep_the_others_away() {
    let house = House::with(StoreRole::Lagging);
    let archive = house.open().await;
    for n in 1..=3 {
        let _received = send(&archive, "CT1", data_set(STUDY, n, "copied")).await.unwrap();
        assert!(seal(&archive).await.is_empty());
    }
    let bad = house.home.packs().await.remove(1);
    house.home.inner().damage(&bad, "rubbish".into());
    assert!(archive.catch_up_stores().await.is_err());
    assert_eq!(house.second().packs().await.len(), 2);
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_study_that_cannot_be_sealed_is_not_tried_all_the_time_when_room_is_short() {
    let house = House::new();
    let archive = house.open().await;
    let _received = send(&archive, "CT1", data_set(STUDY, 1, "patience")).await.unwrap();
    house.clock.advance(Duration::from_secs(120));
    house.home.set_away(true);
    archive.seal_due().await.unwrap();
    house.home.set_away(false);
    archive.seal_due().await.unwrap();
    assert_eq!(archive.status().await.journal.live_receipts, 1, "it rests after a failure");
    house.clock.advance(Duration::from_secs(20));
    archive.seal_due().await.unwrap();
    assert_eq!(archive.status().await.journal.live_receipts, 0);
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_seal_the_same_studies_at_once_never_wait_for_each_other() {
    let house = House::new();
    let archive = house.open().await;
    let studies: Vec<StudyUid> = (1..=4).map(|n| StudyUid::parse(&format!("1.2.3.{n}")).unwrap()).collect();
    for round in 0..10 {
        for study in &studies {
            let _received = send(&archive, "CT1", data_set(study.as_str(), round + 1, "x")).await.unwrap();
        }
        let backwards = studies.iter().rev().cloned().collect();
        let both = async { tokio::join!(archive.seal_together(studies.clone()), archive.seal_together(backwards)) };
        let (one, other) = tokio::time::timeout(Duration::from_secs(60), both).await.expect("they wait for ever");
        assert!(one.iter().chain(&other).all(|(_, outcome)| outcome.is_ok()), "{one:?} {other:?}");
    }
    archive.close().await;
}
