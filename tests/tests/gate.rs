//! The gate over a real S3-compatible server and a real folder.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use archive_core::caller::{Door, SourceKey};
use archive_core::clock::{Clock as _, ManualClock};
use archive_core::dicom::attributes::Attributes;
use archive_core::dicom::scan::InstanceKeys;
use archive_core::entropy::SystemEntropy;
use archive_core::identifiers::{
    ContentId, ReceiptNumber, SeriesUid, SopClassUid, SopUid, StoreId, StudyUid, TransferSyntaxUid,
};
use archive_core::instance::{HeldReceipt, VersionFacts, VersionKey};
use archive_core::ledger::entry::Ground;
use archive_core::pack::IndexedVersion;
use archive_core::receipt::{Receipt, Resolved};
use archive_core::store::gate::{
    DeletingStore, Deletion, Gate, GateError, GatedStore, GroundCheck, GuardedStore, InFlightDeletes, LedgerPort,
    OpenIntent, OrphanEvidence, PortError, SupersededEvidence,
};
use archive_core::store::{LocalStore, S3Credentials, S3Options, S3Store, Store, StoreError, StoreKey};
use async_trait::async_trait;
use jiff::Timestamp;
use system_tests::lossy_proxy::LossyProxy;
use system_tests::s3_server::S3Server;
use system_tests::scripted_server::{Answer, ScriptedServer};
use tempfile::TempDir;

/// A ledger that takes everything, and counts what was confirmed.
#[derive(Debug, Default)]
struct WillingLedger {
    deleted: AtomicU64,
}

#[async_trait]
impl LedgerPort for WillingLedger {
    async fn intend(&self, _: Ground, _: &StoreId, _: &StoreKey) -> Result<u64, PortError> {
        Ok(1)
    }
    async fn deleted(&self, _: Ground, _: &StoreId, _: &StoreKey, _: u64) -> Result<(), PortError> {
        self.deleted.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
    async fn check_heads(&self) -> Result<(), PortError> {
        Ok(())
    }
    async fn named_by_ledger(&self, _: &StoreKey) -> Result<bool, PortError> {
        Ok(false)
    }
    async fn open_intents(&self) -> Result<Vec<OpenIntent>, PortError> {
        Ok(vec![])
    }
    async fn vouched_now(&self) -> Result<Timestamp, PortError> {
        Ok(ManualClock::new().now())
    }
}

/// Every pack is superseded by one that holds the same.
#[derive(Debug)]
struct EverythingIsSuperseded;

#[async_trait]
impl GroundCheck for EverythingIsSuperseded {
    async fn superseded(&self, _: &StoreId, _: &StoreKey) -> Result<SupersededEvidence, PortError> {
        let versions = vec![version()];
        Ok(SupersededEvidence { old: versions.clone(), successors: vec![], new: versions, grace: Duration::ZERO })
    }
    async fn orphan(&self, _: &StoreId, _: &StoreKey) -> Result<OrphanEvidence, PortError> {
        let versions = vec![version()];
        let modified = Timestamp::UNIX_EPOCH;
        Ok(OrphanEvidence { modified, orphan: versions.clone(), elsewhere: versions, disposed: BTreeSet::new() })
    }
}

fn version() -> IndexedVersion {
    let content = ContentId::of(b"content");
    let transfer_syntax = TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap();
    let receipt = Receipt {
        number: ReceiptNumber { epoch: 1, number: 1 },
        time: Timestamp::UNIX_EPOCH,
        door: Door::CStore,
        source: SourceKey::new("CT1"),
        content,
        transfer_syntax: transfer_syntax.clone(),
        file: None,
        resolved: Resolved::default(),
    };
    IndexedVersion {
        facts: VersionFacts {
            keys: InstanceKeys {
                study: StudyUid::parse("1.2").unwrap(),
                series: SeriesUid::parse("1.2.3").unwrap(),
                sop_class: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
                sop: SopUid::parse("1.2.3.4").unwrap(),
            },
            version: VersionKey { content, transfer_syntax },
            content_length: 7,
            inflated: false,
            frame_count: 0,
            attributes: Attributes::default(),
            scanner_revision: 1,
            warnings: vec![],
        },
        receipts: vec![HeldReceipt { receipt, prefix: None }],
        line: 0,
        has_content: true,
    }
}

struct Gated {
    gate: Gate,
    guarded: Arc<GuardedStore>,
    ledger: Arc<WillingLedger>,
    clock: Arc<ManualClock>,
    id: StoreId,
    key: StoreKey,
}

async fn gated(deleting: Arc<dyn DeletingStore>) -> Gated {
    let (clock, ledger) = (ManualClock::new(), Arc::new(WillingLedger::default()));
    let in_flight = InFlightDeletes::new(clock.clone());
    let guarded = GuardedStore::new(Arc::clone(&deleting), Arc::clone(&in_flight));
    let id = StoreId::parse(&"1".repeat(32)).unwrap();
    let stores = vec![GatedStore { id: id.clone(), deleting, in_flight }];
    let gate = Gate::open(stores, ledger.clone(), Arc::new(EverythingIsSuperseded), clock.clone(), Duration::ZERO)
        .await
        .unwrap();
    gate.set_rebuilding(false);
    gate.set_ledger_unreadable(false);
    Gated { gate, guarded, ledger, clock, id, key: StoreKey::parse("studies/ab/1.2/0123.zip").unwrap() }
}

impl Gated {
    async fn delete(&self) -> Result<Deletion, GateError> {
        self.gate.delete(&self.id, &self.key, Ground::Superseded).await
    }

    async fn a_pack_goes_and_only_that_one(&self) {
        let other = StoreKey::parse("studies/ab/1.2/0123.zip.other").unwrap();
        self.guarded.create(&self.key, "a pack".into()).await.unwrap();
        self.guarded.create(&other, "another".into()).await.unwrap();
        assert!(matches!(self.delete().await, Ok(Deletion::Done { .. })));
        assert_eq!(self.guarded.size(&self.key).await.unwrap(), None);
        assert_eq!(self.guarded.size(&other).await.unwrap(), Some(7));
        assert!(matches!(self.delete().await, Ok(Deletion::Done { .. })), "what is gone already is well");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_a_pack_goes_from_a_folder_by_the_gate() {
    let folder = TempDir::new().unwrap();
    let store = LocalStore::create("disk", folder.path(), SystemEntropy::shared()).await.unwrap();
    gated(Arc::new(store)).await.a_pack_goes_and_only_that_one().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_a_pack_goes_from_a_bucket_by_the_gate() {
    let Some(server) = S3Server::start() else { return };
    let store = S3Store::open("bucket", &server.options()).unwrap();
    gated(Arc::new(store)).await.a_pack_goes_and_only_that_one().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_whose_answer_is_lost_blocks_its_name_until_it_is_settled() {
    let Some(server) = S3Server::start() else { return };
    let proxy = LossyProxy::to(server.port()).await;
    let store = S3Store::open("bucket", &server.options_through(proxy.port())).unwrap();
    let world = gated(Arc::new(store)).await;
    world.guarded.create(&world.key, "a pack".into()).await.unwrap();
    proxy.lose_answers(1);
    assert!(matches!(world.delete().await, Ok(Deletion::InFlight { .. })));
    let refused = world.guarded.create(&world.key, "a pack".into()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable { .. }), "{refused}");
    world.clock.advance(Duration::from_secs(16 * 60));
    assert_eq!(world.gate.settle().await.unwrap(), 1);
    assert_eq!(world.ledger.deleted.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_is_sent_once_and_a_refusal_is_told_from_an_unknown_outcome() {
    for (answer, known) in [(Answer::error(403, "AccessDenied"), true), (Answer::error(503, "SlowDown"), false)] {
        let server = ScriptedServer::start(move |_, _| answer.clone()).await;
        let keys = TempDir::new().unwrap();
        std::fs::write(keys.path().join("key"), "visibly-a-test-key").unwrap();
        let key = keys.path().join("key");
        let options = S3Options {
            endpoint: Some(format!("http://127.0.0.1:{}", server.port())),
            region: Some("us-east-1".to_owned()),
            allow_http: true,
            credentials: S3Credentials::Files { access_key: key.clone(), secret_key: key },
            ..S3Options::bucket("vellum")
        };
        let world = gated(Arc::new(S3Store::open("bucket", &options).unwrap())).await;
        let outcome = world.delete().await;
        if known {
            assert!(matches!(outcome, Err(GateError::Store(_))), "{outcome:?}");
        } else {
            assert!(matches!(outcome, Ok(Deletion::InFlight { .. })), "{outcome:?}");
        }
        assert_eq!(server.requests(), ["DELETE /vellum/studies/ab/1.2/0123.zip"]);
    }
}
