//! A part of a study never passes for the whole: while the catalog is made anew, and while a pack has no good copy.

use std::sync::Arc;

use super::house::{House, Op, STUDY, StoreFault, close_without_catalog, contents, data_set, found, seal, send};
use crate::archive::{Archive, ArchiveError, Lack, Selection};
use crate::caller::Caller;
use crate::identifiers::{SopUid, StudyUid};
use crate::query::{Query, QueryLevel};
use crate::store::{Store as _, StoreKey};

const OTHER: &str = "1.2.826.0.1.7.2";
const FILLERS: u32 = 12;

/// Sends and seals one instance; gives its pack.
async fn sealed(house: &House, archive: &Arc<Archive>, study: &str, n: u32) -> StoreKey {
    let before = house.home.packs().await;
    let _received = send(archive, "CT1", data_set(study, n, "a part")).await.unwrap();
    assert!(seal(archive).await.is_empty());
    house.home.packs().await.into_iter().find(|pack| !before.contains(pack)).unwrap()
}

/// A house whose journal soon forgets what is sealed: else it would still have what a lost pack had.
fn forgetful() -> House {
    let mut house = House::new();
    house.segment_bytes = 256 * 1024;
    house
}

/// So many bytes pass through the journal that no segment of before is left.
async fn push_out_of_the_journal(archive: &Arc<Archive>) {
    for n in 1..=FILLERS {
        let filler = data_set("1.2.826.0.1.7.9", n, &"x".repeat(60_000));
        let _received = send(archive, "CT1", filler).await.unwrap();
    }
    assert!(seal(archive).await.is_empty());
}

/// One instance by its UID.
async fn instance(archive: &Arc<Archive>, study: &str, n: u32) -> Result<usize, ArchiveError> {
    let sop = Some(SopUid::parse(&format!("{study}.1.{n}")).unwrap());
    let selection = Selection { study: StudyUid::parse(study).unwrap(), series: None, sop, all_versions: false };
    archive.select(&Caller::local(), &selection, None).await.map(|(held, _)| held.len())
}

/// Whether a search within a study, and one over everything, say that there may be more.
async fn searches_say_so(archive: &Arc<Archive>, study: &str) -> [bool; 2] {
    let within = Query { study: Some(StudyUid::parse(study).unwrap()), ..Query::all(QueryLevel::Instance) };
    let everywhere = Query::all(QueryLevel::Instance);
    let caller = Caller::local();
    let within = archive.find(&caller, &within).await.unwrap();
    let everywhere = archive.find(&caller, &everywhere).await.unwrap();
    [within.unreadable, everywhere.unreadable]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_study_whose_pack_has_no_good_copy_is_not_given_in_part_and_is_whole_when_the_copy_is_back() {
    let house = forgetful();
    let archive = house.open().await;
    let lost = sealed(&house, &archive, STUDY, 1).await;
    let _kept = sealed(&house, &archive, STUDY, 2).await;
    let _other = sealed(&house, &archive, OTHER, 1).await;
    push_out_of_the_journal(&archive).await;
    close_without_catalog(&house, archive).await;
    let bytes = house.home.inner().read(&lost).await.unwrap();
    house.home.inner().lose(&lost);

    let mut archive = house.open().await;
    // Also after a start that has nothing to rebuild.
    for _ in 0..2 {
        let study = StudyUid::parse(STUDY).unwrap();
        assert_eq!(archive.lacks(&study), Some(Lack::Damaged));
        assert!(matches!(contents(&archive, STUDY).await, Err(ArchiveError::Unreadable { .. })));
        assert_eq!(instance(&archive, STUDY, 2).await.unwrap(), 1, "what is whole is found one by one");
        assert!(matches!(instance(&archive, STUDY, 1).await, Err(ArchiveError::Unreadable { .. })), "not absent");
        assert!(matches!(instance(&archive, OTHER, 9).await, Err(ArchiveError::NotFound(_))), "absent");
        assert_eq!(contents(&archive, OTHER).await.unwrap().len(), 1);
        assert_eq!(searches_say_so(&archive, STUDY).await, [true, true]);
        assert_eq!(searches_say_so(&archive, OTHER).await, [false, true]);
        let status = archive.status().await;
        assert_eq!((status.unreadable_packs, status.open_cases), (1, 1));
        archive.take_in_repaired().await.unwrap();
        archive.close().await;
        drop(archive);
        archive = house.open().await;
    }

    house.home.inner().damage(&lost, bytes);
    archive.take_in_repaired().await.unwrap();
    for _ in 0..2 {
        assert_eq!(contents(&archive, STUDY).await.unwrap().len(), 2);
        assert_eq!(found(&archive).await, [3, 3, 3 + FILLERS as usize]);
        assert_eq!(searches_say_so(&archive, STUDY).await, [false, false]);
        let status = archive.status().await;
        assert_eq!((status.unreadable_packs, status.open_cases), (0, 0));
        archive.close().await;
        drop(archive);
        archive = house.open().await;
    }

    // Damaged once more: the case is opened again.
    house.home.inner().lose(&lost);
    close_without_catalog(&house, archive).await;
    let archive = house.open().await;
    assert_eq!(archive.status().await.open_cases, 1);
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i9_a_damaged_pack_that_holds_only_another_receipt_of_a_version_keeps_nobody_from_its_bytes() {
    let house = forgetful();
    let archive = house.open().await;
    let _content = sealed(&house, &archive, STUDY, 1).await;
    let receipt = sealed(&house, &archive, STUDY, 1).await;
    push_out_of_the_journal(&archive).await;
    archive.close().await;
    drop(archive);
    let bytes = house.home.inner().read(&receipt).await.unwrap();
    for at in (0..bytes.len()).step_by(bytes.len() / 24) {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 1;
        house.home.inner().damage(&receipt, damaged.into());
        // What an earlier process has read of the pack would be good still.
        let archive = house.open().await;
        assert_eq!(contents(&archive, STUDY).await.unwrap(), [data_set(STUDY, 1, "a part")], "byte {at}");
        archive.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_from_nothing_that_finds_the_copy_back_closes_the_case() {
    let house = forgetful();
    let archive = house.open().await;
    let lost = sealed(&house, &archive, STUDY, 1).await;
    let bytes = house.home.inner().read(&lost).await.unwrap();
    push_out_of_the_journal(&archive).await;
    close_without_catalog(&house, archive).await;
    house.home.inner().lose(&lost);
    let archive = house.open().await;
    assert_eq!(archive.status().await.open_cases, 1);
    house.home.inner().damage(&lost, bytes);
    close_without_catalog(&house, archive).await;
    let archive = house.open().await;
    archive.take_in_repaired().await.unwrap();
    assert_eq!(archive.status().await.open_cases, 0);
    assert_eq!(contents(&archive, STUDY).await.unwrap().len(), 1);
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_rebuilding_a_study_is_given_when_all_its_packs_are_in_the_catalog_and_not_in_part() {
    let house = forgetful();
    let archive = house.open().await;
    let _whole = sealed(&house, &archive, OTHER, 1).await;
    let _first = sealed(&house, &archive, STUDY, 1).await;
    let second = sealed(&house, &archive, STUDY, 2).await;
    push_out_of_the_journal(&archive).await;
    close_without_catalog(&house, archive).await;
    // The store does not answer for one pack: the rebuild rests before it, for ten seconds.
    house.home.fail(Op::Read, second.as_str(), StoreFault::Refused);
    let archive = house.open_while_rebuilding(house.data.path()).await.unwrap();
    while archive.status().await.rebuilding.is_some_and(|progress| progress.done < 2) {
        tokio::task::yield_now().await;
    }
    assert_eq!(contents(&archive, OTHER).await.unwrap().len(), 1, "it is known to be complete");
    assert!(matches!(contents(&archive, STUDY).await, Err(ArchiveError::Rebuilding { .. })), "only a part is there");
    assert_eq!(instance(&archive, STUDY, 1).await.unwrap(), 1, "a hit is a hit");
    assert_eq!(archive.lacks(&StudyUid::parse(STUDY).unwrap()), Some(Lack::Rebuilding));
    assert_eq!(archive.lacks(&StudyUid::parse(OTHER).unwrap()), None);
    assert!(matches!(instance(&archive, STUDY, 2).await, Err(ArchiveError::Rebuilding { .. })));
    archive.close().await;
}
