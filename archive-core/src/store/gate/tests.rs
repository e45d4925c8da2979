//! The gate, with a ledger and packs that can be told what to say.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;
use crate::caller::{Door, SourceKey};
use crate::clock::{Clock as _, ManualClock};
use crate::dicom::attributes::Attributes;
use crate::dicom::scan::{InstanceKeys, ScanWarning};
use crate::identifiers::{
    ContentId, ReceiptNumber, SeriesUid, Sha256Digest, SopClassUid, SopUid, StudyUid, TransferSyntaxUid,
};
use crate::instance::{HeldReceipt, VersionFacts, VersionKey};
use crate::pack::IndexedVersion;
use crate::receipt::{Receipt, Resolved};
use crate::store::{Created, MemoryStore, Store, StoredObject};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MINUTE: Duration = Duration::from_secs(60);

/// What happened, in order.
type Log = Arc<Mutex<Vec<String>>>;

#[derive(Debug)]
struct FakeLedger {
    log: Log,
    clock: Arc<ManualClock>,
    named: Mutex<bool>,
    heads_agree: Mutex<bool>,
    confirms: Mutex<bool>,
    open: Mutex<Vec<OpenIntent>>,
}

#[async_trait]
impl LedgerPort for FakeLedger {
    async fn intend(&self, ground: Ground, _store: &StoreId, key: &StoreKey) -> Result<u64, PortError> {
        self.log.lock().push(format!("intended {ground:?} {key}"));
        Ok(42)
    }

    async fn deleted(&self, _: Ground, _: &StoreId, key: &StoreKey, intended: u64) -> Result<(), PortError> {
        if !*self.confirms.lock() {
            return Err(PortError::Ledger("home is away".to_owned()));
        }
        self.log.lock().push(format!("deleted {key} as {intended}"));
        Ok(())
    }

    async fn check_heads(&self) -> Result<(), PortError> {
        self.log.lock().push("heads".to_owned());
        if *self.heads_agree.lock() { Ok(()) } else { Err(PortError::Ledger("a head is longer".to_owned())) }
    }

    async fn named_by_ledger(&self, _key: &StoreKey) -> Result<bool, PortError> {
        Ok(*self.named.lock())
    }

    async fn open_intents(&self) -> Result<Vec<OpenIntent>, PortError> {
        Ok(self.open.lock().clone())
    }

    async fn vouched_now(&self) -> Result<Timestamp, PortError> {
        Ok(self.clock.now())
    }
}

/// Evidence for each look; the last one is given again and again.
#[derive(Debug)]
struct FakeGrounds {
    log: Log,
    superseded: Mutex<Vec<SupersededEvidence>>,
    orphan: Mutex<OrphanEvidence>,
}

#[async_trait]
impl GroundCheck for FakeGrounds {
    async fn superseded(&self, _: &StoreId, _: &StoreKey) -> Result<SupersededEvidence, PortError> {
        self.log.lock().push("looked".to_owned());
        let mut all = self.superseded.lock();
        Ok(if all.len() > 1 { all.remove(0) } else { all[0].clone() })
    }

    async fn orphan(&self, _: &StoreId, _: &StoreKey) -> Result<OrphanEvidence, PortError> {
        Ok(self.orphan.lock().clone())
    }
}

/// How the store behaves at the next delete.
#[derive(Debug, Clone, Copy)]
enum Behaviour {
    Deletes,
    AnswersLate,
    DeletesAndLosesTheAnswer,
    LosesTheRequest,
    Refuses,
    HangsForEver,
}

#[derive(Debug)]
struct FakeStore {
    log: Log,
    clock: Arc<ManualClock>,
    memory: Arc<MemoryStore>,
    behaviour: Mutex<Behaviour>,
}

#[async_trait]
impl Store for FakeStore {
    fn name(&self) -> &str {
        self.memory.name()
    }
    async fn create(&self, key: &StoreKey, bytes: Bytes) -> Result<Created, StoreError> {
        self.memory.create(key, bytes).await
    }
    async fn create_from_file(
        &self,
        key: &StoreKey,
        file: &Path,
        size: u64,
        sha256: Sha256Digest,
    ) -> Result<Created, StoreError> {
        self.memory.create_from_file(key, file, size, sha256).await
    }
    async fn read(&self, key: &StoreKey) -> Result<Bytes, StoreError> {
        self.memory.read(key).await
    }
    async fn read_range(&self, key: &StoreKey, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.memory.read_range(key, range).await
    }
    async fn size(&self, key: &StoreKey) -> Result<Option<u64>, StoreError> {
        self.memory.size(key).await
    }
    async fn list(&self, f: &StoreKey, a: Option<&StoreKey>, limit: usize) -> Result<Vec<StoredObject>, StoreError> {
        self.memory.list(f, a, limit).await
    }
}

#[async_trait]
impl DeletingStore for FakeStore {
    async fn delete(&self, permit: Permit) -> DeleteOutcome {
        let behaviour = *self.behaviour.lock();
        self.log.lock().push(format!("store asked to delete {}", permit.key()));
        let unclear = |key: &StoreKey| StoreError::unavailable("main", "deleting", key, "timed out");
        let key = permit.key().clone();
        match behaviour {
            Behaviour::Deletes => self.memory.delete(permit).await,
            Behaviour::AnswersLate => {
                self.clock.advance(PERMIT_LIFETIME + Duration::from_secs(1));
                self.memory.delete(permit).await
            }
            Behaviour::DeletesAndLosesTheAnswer => {
                let _ = self.memory.delete(permit).await;
                DeleteOutcome::Unknown(unclear(&key))
            }
            Behaviour::LosesTheRequest => DeleteOutcome::Unknown(unclear(&key)),
            Behaviour::Refuses => DeleteOutcome::Refused(unclear(&key)),
            Behaviour::HangsForEver => std::future::pending().await,
        }
    }
}

struct World {
    log: Log,
    clock: Arc<ManualClock>,
    ledger: Arc<FakeLedger>,
    grounds: Arc<FakeGrounds>,
    store: Arc<FakeStore>,
    guarded: Arc<GuardedStore>,
    gate: Gate,
    id: StoreId,
    key: StoreKey,
}

/// A world in which one pack is superseded, and its grace is over.
async fn world() -> World {
    world_with(vec![]).await
}

async fn world_with(open: Vec<OpenIntent>) -> World {
    let (log, clock) = (Log::default(), ManualClock::new());
    let memory = MemoryStore::named("main");
    let key = pack_key();
    memory.create(&key, "a pack".into()).await.unwrap();
    let store = Arc::new(FakeStore {
        log: Arc::clone(&log),
        clock: Arc::clone(&clock),
        memory,
        behaviour: Mutex::new(Behaviour::Deletes),
    });
    let ledger = Arc::new(FakeLedger {
        log: Arc::clone(&log),
        clock: Arc::clone(&clock),
        named: Mutex::new(false),
        heads_agree: Mutex::new(true),
        confirms: Mutex::new(true),
        open: Mutex::new(open),
    });
    let versions = vec![version("1.1", 1, &[1, 2])];
    let grounds = Arc::new(FakeGrounds {
        log: Arc::clone(&log),
        superseded: Mutex::new(vec![SupersededEvidence {
            old: versions.clone(),
            successors: vec![],
            new: versions.clone(),
            grace: DAY,
        }]),
        orphan: Mutex::new(OrphanEvidence {
            modified: clock.now(),
            orphan: versions.clone(),
            elsewhere: versions,
            disposed: BTreeSet::new(),
        }),
    });
    let in_flight = InFlightDeletes::new(clock.clone());
    let guarded = GuardedStore::new(store.clone(), Arc::clone(&in_flight));
    let gated = GatedStore { id: store_id(), deleting: store.clone(), in_flight };
    let gate = Gate::open(vec![gated], ledger.clone(), grounds.clone(), clock.clone(), GRACE_DEFAULT).await.unwrap();
    gate.set_rebuilding(false);
    gate.set_ledger_unreadable(false);
    World { log, clock, ledger, grounds, store, guarded, gate, id: store_id(), key }
}

impl World {
    async fn delete(&self) -> Result<Deletion, GateError> {
        self.gate.delete(&self.id, &self.key, Ground::Superseded).await
    }

    fn behave(&self, behaviour: Behaviour) {
        *self.store.behaviour.lock() = behaviour;
    }

    async fn is_there(&self) -> bool {
        self.store.size(&self.key).await.unwrap().is_some()
    }

    fn logged(&self, what: &str) -> usize {
        self.log.lock().iter().filter(|line| line.starts_with(what)).count()
    }
}

fn store_id() -> StoreId {
    StoreId::parse(&"1".repeat(32)).unwrap()
}

fn pack_key() -> StoreKey {
    StoreKey::parse("studies/ab/1.2/0123.zip").unwrap()
}

fn version(sop: &str, content: u8, receipts: &[u64]) -> IndexedVersion {
    let version = VersionKey {
        content: ContentId::of(&[content]),
        transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
    };
    let receipts = receipts.iter().map(|number| HeldReceipt {
        receipt: Receipt {
            number: ReceiptNumber { epoch: 1, number: *number },
            time: Timestamp::UNIX_EPOCH,
            door: Door::CStore,
            source: SourceKey::new("CT1"),
            content: version.content,
            transfer_syntax: version.transfer_syntax.clone(),
            file: None,
            resolved: Resolved::default(),
        },
        prefix: Some(vec![0; 8]),
    });
    IndexedVersion {
        receipts: receipts.collect(),
        facts: VersionFacts {
            keys: InstanceKeys {
                study: StudyUid::parse("1.2").unwrap(),
                series: SeriesUid::parse("1.2.3").unwrap(),
                sop_class: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
                sop: SopUid::parse(sop).unwrap(),
            },
            version,
            content_length: 1,
            inflated: false,
            frame_count: 0,
            attributes: Attributes::default(),
            scanner_revision: 1,
            warnings: vec![ScanWarning { code: "odd-length".into(), tag: None, offset: 7 }],
        },
        line: 0,
        has_content: true,
    }
}

#[tokio::test]
async fn i5_i10_a_delete_is_looked_at_announced_and_recorded_in_this_order() {
    let world = world().await;
    assert!(matches!(world.delete().await, Ok(Deletion::Done { intended: 42 })));
    let expected = [
        "looked".to_owned(),
        format!("intended Superseded {}", world.key),
        "heads".to_owned(),
        "looked".to_owned(),
        format!("store asked to delete {}", world.key),
        format!("deleted {} as 42", world.key),
    ];
    assert_eq!(*world.log.lock(), expected);
    assert!(!world.is_there().await);
}

#[tokio::test]
async fn without_a_ground_nothing_is_even_announced() {
    let world = world().await;
    world.grounds.superseded.lock()[0].new.clear();
    assert!(matches!(world.delete().await, Err(GateError::NoGround { .. })));
    assert_eq!(world.logged("intended"), 0);
    assert!(world.is_there().await);
}

#[tokio::test]
async fn a_ground_that_falls_away_after_the_announcement_deletes_nothing() {
    let world = world().await;
    let mut later = world.grounds.superseded.lock()[0].clone();
    later.new[0].receipts.pop();
    world.grounds.superseded.lock().push(later);
    assert!(matches!(world.delete().await, Err(GateError::NoGround { .. })));
    assert_eq!((world.logged("intended"), world.logged("store asked")), (1, 0));
    assert!(world.is_there().await);
}

#[tokio::test]
async fn heads_that_differ_stop_every_delete() {
    let world = world().await;
    *world.ledger.heads_agree.lock() = false;
    assert!(matches!(world.delete().await, Err(GateError::Ledger(_))));
    assert!(world.is_there().await);
}

#[tokio::test]
async fn nothing_is_deleted_during_a_rebuild_or_without_a_ledger() {
    let world = world().await;
    world.gate.set_rebuilding(true);
    assert!(matches!(world.delete().await, Err(GateError::Shut { .. })));
    world.gate.set_rebuilding(false);
    world.gate.set_ledger_unreadable(true);
    assert!(matches!(world.delete().await, Err(GateError::Shut { .. })));
    assert!(world.log.lock().is_empty() && world.is_there().await);
}

#[tokio::test]
async fn a_new_gate_is_shut() {
    let world = world().await;
    let gate = Gate::open(vec![], world.ledger.clone(), world.grounds.clone(), world.clock.clone(), DAY).await.unwrap();
    assert!(matches!(gate.delete(&world.id, &world.key, Ground::Superseded).await, Err(GateError::Shut { .. })));
}

#[tokio::test]
async fn i6_grounds_of_later_versions_delete_nothing() {
    let world = world().await;
    for ground in [Ground::Repaired, Ground::Moved, Ground::Disposed, Ground::Expired] {
        let refused = world.gate.delete(&world.id, &world.key, ground).await;
        assert!(matches!(refused, Err(GateError::NotAvailable { .. })));
    }
    assert!(world.log.lock().is_empty() && world.is_there().await);
}

#[tokio::test]
async fn i11_ledger_and_identity_are_never_deletable() {
    let world = world().await;
    for name in ["ledger/000001/0000000/0000000000.jsonl.zst", "archive.json", "README.txt", "documents/ab/x.json"] {
        for ground in [Ground::Superseded, Ground::Orphan] {
            let refused = world.gate.delete(&world.id, &StoreKey::parse(name).unwrap(), ground).await;
            assert!(matches!(refused, Err(GateError::NeverDeletable { .. })), "{name}");
        }
    }
}

#[tokio::test]
async fn a_permit_is_worth_nothing_after_ten_seconds() {
    let world = world().await;
    world.behave(Behaviour::AnswersLate);
    let refused = world.delete().await;
    assert!(matches!(refused, Err(GateError::Permit { reason: PermitError::Expired { age_seconds: 11 }, .. })));
    assert!(world.is_there().await);
    world.behave(Behaviour::Deletes);
    assert!(matches!(world.delete().await, Ok(Deletion::Done { .. })), "the next attempt has a permit of its own");
}

#[tokio::test]
async fn a_permit_is_worth_nothing_in_another_store() {
    let clock = ManualClock::new();
    let other = MemoryStore::named("other");
    other.create(&pack_key(), "a pack".into()).await.unwrap();
    let permit = Permit::issue("main", &pack_key(), Ground::Superseded, 1, clock);
    assert!(matches!(other.delete(permit).await, DeleteOutcome::NotPermitted(PermitError::OtherStore { .. })));
    assert_eq!(other.size(&pack_key()).await.unwrap(), Some(6));
}

#[tokio::test]
async fn no_name_is_created_while_a_delete_of_it_may_still_come() {
    let world = world().await;
    world.behave(Behaviour::DeletesAndLosesTheAnswer);
    assert!(matches!(world.delete().await, Ok(Deletion::InFlight { .. })));
    assert_eq!(world.logged("deleted"), 0);
    world.clock.advance(15 * MINUTE);
    let error = world.guarded.create(&world.key, "a pack".into()).await.unwrap_err();
    assert!(error.to_string().contains("may still come"), "{error}");
    assert!(matches!(world.delete().await, Err(GateError::Busy { .. })), "nor is it deleted a second time");
    assert_eq!(world.gate.settle().await.unwrap(), 0);
    world.guarded.create(&StoreKey::parse("studies/ab/1.2/other.zip").unwrap(), "x".into()).await.unwrap();
    world.clock.advance(MINUTE);
    assert_eq!(world.gate.settle().await.unwrap(), 1);
    assert_eq!(world.logged("deleted"), 1, "what turned out to be gone is recorded");
    assert_eq!(world.guarded.create(&world.key, "a pack".into()).await.unwrap(), Created::New);
}

#[tokio::test]
async fn a_delete_that_never_arrived_is_not_recorded_and_may_be_tried_again() {
    let world = world().await;
    world.behave(Behaviour::LosesTheRequest);
    assert!(matches!(world.delete().await, Ok(Deletion::InFlight { .. })));
    world.clock.advance(16 * MINUTE);
    assert_eq!(world.gate.settle().await.unwrap(), 1);
    assert_eq!(world.logged("deleted"), 0);
    world.behave(Behaviour::Deletes);
    assert!(matches!(world.delete().await, Ok(Deletion::Done { .. })));
}

#[tokio::test]
async fn a_refused_delete_is_over_at_once() {
    let world = world().await;
    world.behave(Behaviour::Refuses);
    assert!(matches!(world.delete().await, Err(GateError::Store(_))));
    assert_eq!(world.guarded.create(&world.key, "a pack".into()).await.unwrap(), Created::AlreadyThere);
}

#[tokio::test]
async fn a_delete_that_nobody_waits_for_any_more_is_in_flight() {
    let world = world().await;
    world.behave(Behaviour::HangsForEver);
    {
        let mut waiting = std::pin::pin!(world.delete());
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        assert_eq!(world.logged("store asked"), 1);
    }
    assert!(matches!(world.guarded.create(&world.key, "x".into()).await, Err(StoreError::Unavailable { .. })));
}

#[tokio::test]
async fn a_delete_that_could_not_be_recorded_is_recorded_later() {
    let world = world().await;
    *world.ledger.confirms.lock() = false;
    assert!(matches!(world.delete().await, Err(GateError::Ledger(_))));
    *world.ledger.confirms.lock() = true;
    world.clock.advance(16 * MINUTE);
    assert_eq!(world.gate.settle().await.unwrap(), 1);
    assert_eq!(world.logged("deleted"), 1);
}

#[tokio::test]
async fn after_a_restart_an_announced_delete_counts_as_in_flight() {
    let intent = |intended| OpenIntent { store: store_id(), key: pack_key(), ground: Ground::Superseded, intended };
    let world = world_with(vec![intent(7), intent(9)]).await;
    assert!(matches!(world.guarded.create(&world.key, "x".into()).await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(world.delete().await, Err(GateError::Busy { .. })));
    world.store.memory.lose(&world.key);
    world.clock.advance(16 * MINUTE);
    assert_eq!(world.gate.settle().await.unwrap(), 1);
    assert_eq!(*world.log.lock(), [format!("deleted {} as 9", world.key)]);
}

#[tokio::test]
async fn an_orphan_goes_only_unnamed_old_and_held_elsewhere() {
    let world = world().await;
    let delete = async || world.gate.delete(&world.id, &world.key, Ground::Orphan).await;
    let reason = |refused: Result<Deletion, GateError>| match refused {
        Err(GateError::NoGround { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    world.clock.advance(7 * DAY);
    assert!(matches!(reason(delete().await), NoGround::TooYoung { .. }), "older than 7 days, not as old");
    world.clock.advance(MINUTE);
    *world.ledger.named.lock() = true;
    assert_eq!(reason(delete().await), NoGround::Named);
    *world.ledger.named.lock() = false;
    let elsewhere = std::mem::take(&mut world.grounds.orphan.lock().elsewhere);
    assert!(matches!(reason(delete().await), NoGround::Missing(Missing::Content { .. })));
    world.grounds.orphan.lock().elsewhere = elsewhere;
    assert!(matches!(delete().await, Ok(Deletion::Done { .. })));
}

#[tokio::test]
async fn an_orphan_from_the_future_stays() {
    let world = world().await;
    world.grounds.orphan.lock().modified = world.clock.now() + jiff::SignedDuration::from_hours(24 * 30);
    let refused = world.gate.delete(&world.id, &world.key, Ground::Orphan).await;
    assert!(matches!(refused, Err(GateError::NoGround { reason: NoGround::TooYoung { .. }, .. })));
}

#[tokio::test]
async fn a_superseded_pack_stays_until_its_grace_is_over() {
    let world = world().await;
    world.grounds.superseded.lock()[0].grace = DAY - Duration::from_secs(1);
    let refused = world.delete().await;
    assert!(matches!(refused, Err(GateError::NoGround { reason: NoGround::Grace { .. }, .. })));
    assert!(world.is_there().await);
}

#[tokio::test]
async fn no_pack_is_its_own_successor() {
    let world = world().await;
    world.grounds.superseded.lock()[0].successors.push(world.key.clone());
    assert!(matches!(world.delete().await, Err(GateError::NoGround { reason: NoGround::Itself, .. })));
    assert!(world.is_there().await);
}

#[test]
fn what_was_disposed_of_need_not_be_elsewhere() {
    let orphan = [version("1.1", 1, &[1]), version("1.2", 2, &[2])];
    let elsewhere = [version("1.1", 1, &[1])];
    assert!(matches!(orphan_of(&orphan, &elsewhere, &BTreeSet::new()), Err(Missing::Content { .. })));
    assert_eq!(orphan_of(&orphan, &elsewhere, &BTreeSet::from([ContentId::of(&[2])])), Ok(()));
}

#[test]
fn a_pack_of_which_nothing_is_known_is_superseded_by_nothing() {
    let some = [version("1.1", 1, &[1])];
    assert_eq!(superseded_by(&[], &some), Err(Missing::Everything));
    assert_eq!(orphan_of(&[], &some, &BTreeSet::new()), Err(Missing::Everything));
}

#[test]
fn a_receipt_or_prefix_that_differs_is_not_held() {
    let old = [version("1.1", 1, &[1])];
    let mut new = old.clone();
    new[0].receipts[0].prefix = None;
    assert_eq!(superseded_by(&old, &new), Err(Missing::Prefix(ReceiptNumber { epoch: 1, number: 1 })));
    let mut new = old.clone();
    new[0].receipts[0].receipt.source = SourceKey::new("CT2");
    assert_eq!(superseded_by(&old, &new), Err(Missing::Receipt(ReceiptNumber { epoch: 1, number: 1 })));
}

/// Versions, each with some receipts of its own.
fn versions() -> impl Strategy<Value = Vec<IndexedVersion>> {
    proptest::collection::vec((1_u8..6, 1_usize..4), 1..6).prop_map(|shapes| {
        let mut next = 0;
        let version_of = |(index, (content, count)): (usize, (u8, usize))| {
            let receipts: Vec<u64> = (0..count as u64).map(|offset| next + offset).collect();
            next += count as u64;
            version(&format!("1.{}", index + 1), content, &receipts)
        };
        shapes.into_iter().enumerate().map(version_of).collect()
    })
}

/// Spreads every version over two lines, as two successors would.
fn spread(versions: &[IndexedVersion]) -> Vec<IndexedVersion> {
    let mut lines = Vec::new();
    for version in versions {
        let (mut first, mut second) = (version.clone(), version.clone());
        second.receipts = first.receipts.split_off(first.receipts.len() / 2);
        second.has_content = false;
        second.facts.warnings.clear();
        lines.extend([second, first]);
    }
    lines
}

proptest! {
    #[test]
    fn successors_may_divide_and_order_what_they_hold_as_they_like(old in versions(), turn in 0_usize..12) {
        let mut new = spread(&old);
        let turn = turn % new.len();
        new.rotate_left(turn);
        prop_assert_eq!(superseded_by(&old, &new), Ok(()));
        prop_assert_eq!(orphan_of(&old, &new, &BTreeSet::new()), Ok(()));
    }

    #[test]
    fn any_single_thing_left_out_is_missed(old in versions(), at in any::<prop::sample::Index>(), what in 0..4) {
        let mut new = old.clone();
        let line = at.index(new.len());
        match what {
            0 => new[line].has_content = false,
            1 => { new[line].receipts.pop(); }
            2 => new[line].facts.warnings.clear(),
            _ => { new.remove(line); }
        }
        prop_assert!(superseded_by(&old, &new).is_err());
        prop_assert!(orphan_of(&old, &new, &BTreeSet::new()).is_err());
    }
}
