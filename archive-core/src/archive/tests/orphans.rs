//! Packs that no ledger entry names: what a seal left behind goes once all of it is elsewhere, and nothing else ever does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;

use super::house::{FaultStore, House, Op, STUDY, StoreFault, contents, data_set, seal, send};
use crate::archive::{Archive, CaseRecord, LedgerFilter};
use crate::caller::Caller;
use crate::identifiers::{Sha256Digest, uid_fan_out};
use crate::ledger::entry::StoreRole;
use crate::store::{Store as _, StoreKey};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// An archive that received two instances and crashed between creating their pack and entering it in the ledger.
struct Orphaned {
    house: House,
    archive: Arc<Archive>,
    sent: Vec<Bytes>,
    orphan: StoreKey,
}

async fn orphaned(mut house: House) -> Orphaned {
    let archive = house.open().await;
    let sent: Vec<_> = (1..=2).map(|n| data_set(STUDY, n, "twice in the store")).collect();
    for bytes in &sent {
        let _received = send(&archive, "CT1", bytes.clone()).await.unwrap();
    }
    for _ in 0..20 {
        house.home.fail(Op::Create, "ledger/", StoreFault::Refused);
    }
    assert_eq!(seal(&archive).await.len(), 1);
    let orphan = house.home.packs().await.remove(0);
    let archive = house.crash_with_faults_over(archive).await;
    Orphaned { house, archive, sent, orphan }
}

impl House {
    async fn crash_with_faults_over(&mut self, archive: Arc<Archive>) -> Arc<Archive> {
        self.home.set_away(false);
        self.crash(archive).await
    }
}

impl Orphaned {
    /// Sealed again, under another name.
    async fn sealed_elsewhere(self) -> Self {
        assert!(seal(&self.archive).await.is_empty());
        assert_eq!(self.house.home.packs().await.len(), 2);
        self
    }

    /// The pack that counts.
    async fn other(&self) -> StoreKey {
        self.house.home.packs().await.into_iter().find(|pack| *pack != self.orphan).unwrap()
    }

    async fn is_there(&self) -> bool {
        self.house.home.packs().await.contains(&self.orphan)
    }

    async fn sweep(&self) {
        self.archive.delete_orphans().await.unwrap();
    }

    async fn holds_all(&self) {
        assert_eq!(contents(&self.archive, STUDY).await.unwrap(), self.sent);
    }
}

/// Lines of the ledger of one kind.
async fn recorded(archive: &Arc<Archive>, kind: &str) -> Vec<String> {
    let filter = LedgerFilter { from: 0, limit: u64::MAX, kind: Some(kind.to_owned()) };
    archive.ledger_lines(&Caller::local(), filter).try_collect().await.unwrap()
}

async fn unknown_packs(archive: &Arc<Archive>) -> Vec<CaseRecord> {
    let mut cases = archive.cases(&Caller::local(), true).await;
    cases.retain(|case| case.about == "unknown-pack");
    cases
}

/// Puts bytes into a store under the name that a pack of these bytes would have.
async fn put_under_the_right_name(store: &FaultStore, bytes: &Bytes) -> StoreKey {
    let name = format!("studies/{}/{STUDY}/{}.zip", uid_fan_out(STUDY), Sha256Digest::of(bytes));
    let key = StoreKey::parse(&name).unwrap();
    store.inner().create(&key, bytes.clone()).await.unwrap();
    key
}

/// The object with one byte changed.
fn flipped(bytes: &Bytes, at: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes.into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_an_orphan_goes_after_seven_days_when_all_it_held_lies_elsewhere() {
    let left = orphaned(House::new()).await.sealed_elsewhere().await;
    left.house.clock.advance(6 * DAY);
    left.sweep().await;
    assert!(left.is_there().await, "it is too young");
    assert!(recorded(&left.archive, "delete_intended").await.is_empty());
    left.house.clock.advance(DAY + Duration::from_secs(1));
    left.sweep().await;
    assert_eq!(left.house.home.packs().await, [left.other().await]);
    for kind in ["delete_intended", "deleted"] {
        let [line] = &recorded(&left.archive, kind).await[..] else { panic!("one entry {kind}") };
        assert!(line.contains(r#""ground":"orphan""#) && line.contains(left.orphan.as_str()), "{line}");
        assert!(line.contains(&format!(r#""study":"{STUDY}""#)), "{line}");
    }
    assert!(unknown_packs(&left.archive).await.is_empty());
    left.holds_all().await;
    left.archive.close().await;
    let Orphaned { house, archive, sent, .. } = left;
    drop(archive);
    let archive = house.open().await;
    assert_eq!(contents(&archive, STUDY).await.unwrap(), sent, "after a restart too");
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_what_lies_nowhere_else_is_an_unknown_pack_one_case_and_stays() {
    let left = orphaned(House::new()).await;
    left.house.clock.advance(8 * DAY);
    for _ in 0..3 {
        left.sweep().await;
        let cases = unknown_packs(&left.archive).await;
        let [case] = &cases[..] else { panic!("{cases:?}") };
        assert!(left.orphan.as_str().ends_with(&format!("{}.zip", case.keys["pack"])), "{case:?}");
        assert_eq!(case.keys["study"], STUDY);
    }
    assert_eq!(recorded(&left.archive, "case_opened").await.len(), 1);
    assert!(left.is_there().await);
    assert!(recorded(&left.archive, "delete_intended").await.is_empty());
    let left = left.sealed_elsewhere().await;
    left.sweep().await;
    assert!(!left.is_there().await, "and goes when it was sealed after all");
    left.holds_all().await;
    left.archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_an_orphan_of_which_one_receipt_lies_nowhere_else_stays() {
    let mut house = House::new();
    let archive = house.open().await;
    let bytes = data_set(STUDY, 1, "received twice");
    let _received = send(&archive, "CT1", bytes.clone()).await.unwrap();
    assert!(seal(&archive).await.is_empty());
    let _received = send(&archive, "CT2", bytes.clone()).await.unwrap();
    for _ in 0..20 {
        house.home.fail(Op::Create, "ledger/", StoreFault::Refused);
    }
    assert_eq!(seal(&archive).await.len(), 1);
    let archive = house.crash_with_faults_over(archive).await;
    assert_eq!(house.home.packs().await.len(), 2);
    house.clock.advance(8 * DAY);
    archive.delete_orphans().await.unwrap();
    assert_eq!(house.home.packs().await.len(), 2, "the bytes are elsewhere, the second receipt is not");
    assert_eq!(unknown_packs(&archive).await.len(), 1);
    assert!(seal(&archive).await.is_empty());
    archive.delete_orphans().await.unwrap();
    assert_eq!(house.home.packs().await.len(), 2, "now both are");
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_an_orphan_stays_while_the_other_copy_is_damaged_wherever_it_is() {
    let left = orphaned(House::new()).await.sealed_elsewhere().await;
    left.house.clock.advance(8 * DAY);
    let other = left.other().await;
    let whole = left.house.home.inner().read(&other).await.unwrap();
    // The first bytes are no part of any version: only the digest of the whole covers them.
    for at in (0..whole.len()).step_by(97).chain([10, whole.len() - 1]) {
        left.house.home.inner().damage(&other, flipped(&whole, at));
        left.sweep().await;
        assert!(left.is_there().await, "byte {at} of the other copy is wrong");
    }
    assert!(recorded(&left.archive, "delete_intended").await.is_empty());
    assert!(unknown_packs(&left.archive).await.is_empty(), "what cannot be read may be there");
    left.house.home.inner().damage(&other, whole);
    left.sweep().await;
    assert!(!left.is_there().await);
    left.holds_all().await;
    left.archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orphan_goes_from_every_store_when_one_has_the_other_copy_whole() {
    let left = orphaned(House::with(StoreRole::Required)).await.sealed_elsewhere().await;
    left.house.clock.advance(8 * DAY);
    let other = left.other().await;
    let whole = left.house.home.inner().read(&other).await.unwrap();
    left.house.home.inner().damage(&other, flipped(&whole, whole.len() / 2));
    assert_eq!(left.house.second().packs().await.len(), 2);
    left.sweep().await;
    assert_eq!(left.house.home.packs().await, std::slice::from_ref(&other));
    assert_eq!(left.house.second().packs().await, [other]);
    assert_eq!(recorded(&left.archive, "deleted").await.len(), 2);
    left.holds_all().await;
    left.archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orphan_goes_from_a_store_that_may_lag_when_its_ledger_says_so_too() {
    let left = orphaned(House::with(StoreRole::Lagging)).await.sealed_elsewhere().await;
    let bytes = left.house.home.inner().read(&left.orphan).await.unwrap();
    left.house.second().inner().create(&left.orphan, bytes).await.unwrap();
    left.house.clock.advance(8 * DAY);
    left.house.second().fail(Op::Create, "ledger/", StoreFault::Refused);
    left.house.second().fail(Op::Create, "ledger/", StoreFault::Refused);
    left.sweep().await;
    assert_eq!(
        left.house.second().packs().await,
        std::slice::from_ref(&left.orphan),
        "it could not be announced there"
    );
    assert_eq!(recorded(&left.archive, "delete_intended").await.len(), 1, "nor was it in vain");
    left.house.second().set_away(false);
    left.sweep().await;
    assert!(left.house.second().packs().await.is_empty());
    assert_eq!(recorded(&left.archive, "deleted").await.len(), 2);
    left.archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_an_unnamed_pack_whose_bytes_make_no_pack_is_a_case_and_stays() {
    let house = House::new();
    let archive = house.open().await;
    let _received = send(&archive, "CT1", data_set(STUDY, 1, "sealed")).await.unwrap();
    assert!(seal(&archive).await.is_empty());
    let sealed = house.home.packs().await.remove(0);
    let whole = house.home.inner().read(&sealed).await.unwrap();
    let cut = whole.slice(..whole.len() - 1);
    let mut there = vec![sealed];
    for bytes in [Bytes::new(), "no pack at all".into(), vec![0; 1000].into(), cut] {
        there.push(put_under_the_right_name(&house.home, &bytes).await);
    }
    there.sort();
    house.clock.advance(8 * DAY);
    for _ in 0..2 {
        archive.delete_orphans().await.unwrap();
        assert_eq!(house.home.packs().await, there);
    }
    let cases = unknown_packs(&archive).await;
    assert_eq!(cases.len(), there.len() - 1, "all but the one that counts: {cases:?}");
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orphan_whose_bytes_are_not_those_of_its_name_stays() {
    let left = orphaned(House::new()).await.sealed_elsewhere().await;
    left.house.clock.advance(8 * DAY);
    let whole = left.house.home.inner().read(&left.orphan).await.unwrap();
    for at in (0..whole.len()).step_by(97).chain([10, whole.len() - 1]) {
        left.house.home.inner().damage(&left.orphan, flipped(&whole, at));
        left.sweep().await;
        assert!(left.is_there().await, "byte {at} of it is wrong");
    }
    assert_eq!(unknown_packs(&left.archive).await.len(), 1);
    assert!(recorded(&left.archive, "delete_intended").await.is_empty());
    left.archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_a_pack_that_the_ledger_names_is_no_orphan_however_old_it_is() {
    let house = House::new();
    let archive = house.open().await;
    let bytes = data_set(STUDY, 1, "sealed twice over");
    for source in ["CT1", "CT2"] {
        let _received = send(&archive, source, bytes.clone()).await.unwrap();
        assert!(seal(&archive).await.is_empty());
    }
    archive.merge_due().await.unwrap();
    let there = house.home.packs().await;
    assert_eq!(there.len(), 3, "two that were replaced, one that counts");
    house.clock.advance(365 * DAY);
    archive.delete_orphans().await.unwrap();
    assert_eq!(house.home.packs().await, there);
    assert!(recorded(&archive, "delete_intended").await.is_empty());
    assert_eq!(archive.status().await.open_cases, 0);
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_looked_for_while_the_catalog_is_being_rebuilt() {
    let left = orphaned(House::new()).await.sealed_elsewhere().await;
    left.house.clock.advance(8 * DAY);
    // Vouched time goes on from the last entry when the archive is opened again.
    let _received = send(&left.archive, "CT1", data_set("1.2.3", 1, "later")).await.unwrap();
    left.archive.record_received().await.unwrap();
    // The rebuild fails at its first step and rests until the archive is closed.
    left.house.home.fail(Op::Read, "ledger/", StoreFault::Refused);
    let events = left.archive.rebuild(&Caller::local()).unwrap();
    drop(events);
    left.sweep().await;
    assert!(left.is_there().await);
    left.archive.close().await;
    let Orphaned { house, archive, orphan, .. } = left;
    drop(archive);
    let archive = house.open().await;
    archive.delete_orphans().await.unwrap();
    assert!(!house.home.packs().await.contains(&orphan), "afterwards it goes");
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_asks_about_so_many_packs_and_the_next_goes_on_behind_them() {
    let house = House::with(StoreRole::Required);
    let archive = house.open().await;
    for store in [&house.home, house.second()] {
        for text in ["no pack", "none either"] {
            put_under_the_right_name(store, &format!("{text} in {}", store.name()).into()).await;
        }
    }
    house.clock.advance(8 * DAY);
    for known in 1..=4 {
        archive.sweep_orphans(1).await.unwrap();
        assert_eq!(unknown_packs(&archive).await.len(), known);
    }
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_being_sealed_is_waited_for_whatever_the_stores_clock_says() {
    let left = orphaned(House::new()).await.sealed_elsewhere().await;
    left.house.clock.advance(8 * DAY);
    let sealing = left.archive.study_locks.lock_folder(STUDY).await;
    let archive = Arc::clone(&left.archive);
    let sweep = tokio::spawn(async move { archive.delete_orphans().await });
    while !left.archive.study_locks.is_waited_for(STUDY) && !sweep.is_finished() {
        tokio::task::yield_now().await;
    }
    assert!(left.is_there().await && !sweep.is_finished());
    assert!(recorded(&left.archive, "delete_intended").await.is_empty());
    drop(sealing);
    sweep.await.unwrap().unwrap();
    assert!(!left.is_there().await);
    left.archive.close().await;
}
