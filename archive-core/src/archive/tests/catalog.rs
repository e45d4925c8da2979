//! The catalog is a cache: whatever happens to it, the stores and the journal give the same answers.

use futures::StreamExt as _;

use super::house::{House, STUDY, contents, data_set, found, seal, send};
use crate::archive::{ArchiveError, RebuildEvent};
use crate::caller::Caller;
use crate::query::{Query, QueryLevel};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i3_a_rebuilt_catalog_gives_the_same_answers_and_none_is_absence_meanwhile() {
    let house = House::new();
    let archive = house.open().await;
    let sent: Vec<_> = (1..=4).map(|n| data_set(STUDY, n, "the same")).collect();
    for (index, bytes) in sent.iter().enumerate() {
        let _received = send(&archive, "CT1", bytes.clone()).await.unwrap();
        if index < 3 {
            assert!(seal(&archive).await.is_empty());
        }
    }
    let mut events = Box::pin(archive.rebuild(&Caller::local()).unwrap());
    let page = archive.find(&Caller::local(), &Query::all(QueryLevel::Instance)).await.unwrap();
    assert!(page.incomplete || page.records.len() == 4, "a miss would be an absence");
    let mut last = None;
    while let Some(event) = events.next().await {
        last = Some(event);
    }
    assert!(matches!(last, Some(RebuildEvent::Finished { packs: 3, versions: 3, .. })), "{last:?}");
    assert_eq!(found(&archive).await, [1, 1, 4]);
    assert_eq!(contents(&archive, STUDY).await.unwrap(), sent);
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_rebuild_goes_on_pages_say_that_they_are_incomplete() {
    let house = House::new();
    let archive = house.open().await;
    let _received = send(&archive, "CT1", data_set(STUDY, 1, "sealed")).await.unwrap();
    assert!(seal(&archive).await.is_empty());
    house.home.set_away(true);
    let events = archive.rebuild(&Caller::local()).unwrap();
    let page = archive.find(&Caller::local(), &Query::all(QueryLevel::Study)).await.unwrap();
    assert!(page.incomplete);
    drop(events);
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i14_sealing_asked_for_during_a_rebuild_says_how_far_that_is_and_that_it_goes_on_by_itself() {
    let house = House::new();
    let archive = house.open().await;
    let _received = send(&archive, "CT1", data_set(STUDY, 1, "sealed")).await.unwrap();
    assert!(seal(&archive).await.is_empty());
    house.home.set_away(true);
    let _events = archive.rebuild(&Caller::local()).unwrap();
    let error = archive.seal(&Caller::local(), true).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ArchiveError::Busy(_)), "{text}");
    assert!(text.contains("rebuilt") && text.contains("packs so far") && text.contains("by itself"), "{text}");
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_could_not_be_applied_is_not_passed_over_for_ever() {
    let house = House::new();
    let archive = house.open().await;
    let sent: Vec<_> = (1..=3).map(|n| data_set(STUDY, n, "no gap")).collect();
    for bytes in sent.get(..2).unwrap() {
        let _received = send(&archive, "CT1", bytes.clone()).await.unwrap();
        assert!(seal(&archive).await.is_empty());
    }
    // Merging reads both packs, reads the new one back as a whole, and then its index, for the catalog: that fails.
    let before = house.home.created().len();
    house.home.fail_after_create("ledger/", "studies/");
    let merged = archive.merge_due().await;
    assert!(merged.is_err(), "the catalog could not follow");
    assert!(house.home.created().len() > before);
    archive.rebuilt().await;
    let _received = send(&archive, "CT1", sent[2].clone()).await.unwrap();
    assert!(seal(&archive).await.is_empty());
    house.clock.advance(house.grace);
    archive.delete_superseded().await.unwrap();
    assert_eq!(house.home.packs().await.len(), 2, "the replaced packs are gone");
    assert_eq!(contents(&archive, STUDY).await.unwrap(), sent, "and nothing refers to them");
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pack_without_a_good_copy_is_a_case_and_keeps_nothing_else_out_of_the_catalog() {
    let house = House::new();
    let archive = house.open().await;
    let other = "1.2.826.0.1.7.2";
    let _received = send(&archive, "CT1", data_set(STUDY, 1, "damaged")).await.unwrap();
    assert!(seal(&archive).await.is_empty());
    let key = house.home.packs().await.remove(0);
    let _received = send(&archive, "CT1", data_set(other, 1, "whole")).await.unwrap();
    assert!(seal(&archive).await.is_empty());
    archive.close().await;
    drop(archive);
    house.home.inner().lose(&key);
    std::fs::remove_dir_all(house.data.path().join("catalog")).unwrap();
    let archive = house.open().await;
    assert_eq!(contents(&archive, other).await.unwrap().len(), 1);
    assert_eq!(archive.status().await.open_cases, 1);
    assert!(archive.obstacles().is_empty());
    archive.close().await;
}
