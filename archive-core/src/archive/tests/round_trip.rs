//! What was acknowledged is found and comes back byte for byte, before and after sealing, merging and rebuilding.

use super::house::{House, STUDY, contents, data_set, found, seal, send};
use crate::archive::Selection;
use crate::caller::Caller;
use crate::identifiers::StudyUid;
use crate::ledger::entry::StoreRole;
use crate::ledger::{LedgerState, find_end};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_i2_what_was_answered_is_found_and_comes_back_from_journal_and_pack() {
    let house = House::new();
    let archive = house.open().await;
    let sent: Vec<_> = (1..=3).map(|n| data_set(STUDY, n, "as it came")).collect();
    for bytes in &sent {
        assert!(!send(&archive, "CT1", bytes.clone()).await.unwrap().duplicate);
    }
    assert_eq!(found(&archive).await, [1, 1, 3]);
    assert_eq!(contents(&archive, STUDY).await.unwrap(), sent, "from the journal");
    assert!(seal(&archive).await.is_empty());
    assert_eq!(archive.status().await.journal.live_receipts, 0);
    assert_eq!(found(&archive).await, [1, 1, 3]);
    assert_eq!(contents(&archive, STUDY).await.unwrap(), sent, "from the pack");
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resend_is_shared_in_the_journal_and_dropped_at_seal_once_the_pack_was_read_back() {
    let house = House::new();
    let archive = house.open().await;
    let bytes = data_set(STUDY, 1, "again and again");
    assert!(!send(&archive, "CT1", bytes.clone()).await.unwrap().duplicate);
    assert!(send(&archive, "CT1", bytes.clone()).await.unwrap().duplicate);
    assert!(seal(&archive).await.is_empty());
    assert!(
        !send(&archive, "CT2", bytes.clone()).await.unwrap().duplicate,
        "sealed content is no ground to drop bytes"
    );
    assert!(seal(&archive).await.is_empty());
    assert_eq!(contents(&archive, STUDY).await.unwrap(), vec![bytes]);
    assert_eq!(house.home.packs().await.len(), 2);
    let selection = Selection { study: StudyUid::parse(STUDY).unwrap(), series: None, sop: None, all_versions: true };
    let (held, _) = archive.select(&Caller::local(), &selection, None).await.unwrap();
    let open = archive.open_version(&Caller::local(), &held[0]).await.unwrap();
    assert_eq!(open.receipts().len(), 3, "no receipt is lost");
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_was_sealed_after_it_was_selected_is_opened_where_it_is_now() {
    let house = House::new();
    let archive = house.open().await;
    let bytes = data_set(STUDY, 1, "on the move");
    let _received = send(&archive, "CT1", bytes).await.unwrap();
    let selection = Selection { study: StudyUid::parse(STUDY).unwrap(), series: None, sop: None, all_versions: false };
    let (held, _) = archive.select(&Caller::local(), &selection, None).await.unwrap();
    assert!(seal(&archive).await.is_empty());
    assert!(held[0].place_in_words().starts_with("journal"));
    archive.open_version(&Caller::local(), &held[0]).await.unwrap();
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_replaced_packs_go_from_a_store_that_may_lag_once_they_were_announced_there() {
    let house = House::with(StoreRole::Lagging);
    let archive = house.open().await;
    for n in 1..=2 {
        let _received = send(&archive, "CT1", data_set(STUDY, n, "late")).await.unwrap();
        assert!(seal(&archive).await.is_empty());
    }
    archive.catch_up_stores().await.unwrap();
    archive.merge_due().await.unwrap();
    archive.catch_up_stores().await.unwrap();
    assert_eq!(house.second().packs().await.len(), 3);
    house.clock.advance(house.grace);
    archive.delete_superseded().await.unwrap();
    assert_eq!(house.home.packs().await.len(), 1);
    assert_eq!(house.second().packs().await, house.home.packs().await);
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_merged_packs_are_one_and_the_old_ones_go_by_the_gate_after_their_grace() {
    let house = House::new();
    let archive = house.open().await;
    let sent: Vec<_> = (1..=3).map(|n| data_set(STUDY, n, "late")).collect();
    for bytes in &sent {
        let _received = send(&archive, "CT1", bytes.clone()).await.unwrap();
        assert!(seal(&archive).await.is_empty());
    }
    archive.merge_due().await.unwrap();
    assert_eq!(archive.status().await.packs, 1);
    archive.delete_superseded().await.unwrap();
    assert_eq!(house.home.packs().await.len(), 4, "the grace is not over");
    house.clock.advance(house.grace);
    archive.delete_superseded().await.unwrap();
    assert_eq!(house.home.packs().await.len(), 1);
    assert_eq!(contents(&archive, STUDY).await.unwrap(), sent);
    archive.close().await;
    drop(archive);
    let archive = house.open().await;
    assert_eq!(contents(&archive, STUDY).await.unwrap(), sent);
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i11_a_store_that_lags_is_behind_and_not_damaged_but_what_it_had_must_be_there() {
    let house = House::with(StoreRole::Lagging);
    let archive = house.open().await;
    let _received = send(&archive, "CT1", data_set(STUDY, 1, "first")).await.unwrap();
    assert!(seal(&archive).await.is_empty());
    archive.catch_up_stores().await.unwrap();
    archive.catch_up_stores().await.unwrap();
    let end = || async { find_end(&**house.second()).await.unwrap() };
    let LedgerState::EndsAt(reached) = end().await else { panic!("a ledger that ends somewhere") };
    let _received = send(&archive, "CT1", data_set(STUDY, 2, "second")).await.unwrap();
    assert!(seal(&archive).await.is_empty());

    let reports = archive.verify_ledger(&Caller::local()).await.unwrap();
    let [home, second] = reports.as_slice() else { panic!("two stores") };
    assert_eq!((home.behind, &home.findings), (Some(0), &Vec::new()));
    assert_eq!((second.behind, &second.findings), (Some(home.segments - second.segments), &Vec::new()));
    assert!(second.behind > Some(0), "it was not fed meanwhile");

    house.second().inner().lose(&reached.key().unwrap());
    let reports = archive.verify_ledger(&Caller::local()).await.unwrap();
    assert!(reports[0].findings.is_empty());
    let [finding] = reports[1].findings.as_slice() else { panic!("one finding: {:?}", reports[1].findings) };
    assert!(finding.contains("missing"), "{finding}");
    archive.close().await;
}
