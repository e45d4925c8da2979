//! Bundles: derived, checked, and never trusted.

use super::*;
use crate::ledger::name::{FOLDER, Folder};

const FIRST: Folder = Folder { epoch: 1, number: 0 };

async fn with_a_full_folder() -> (World, Ledger) {
    let (world, ledger) = World::with_appends(FOLDER + 5).await;
    let _ = ledger.catch_up().await.unwrap();
    (world, ledger)
}

#[tokio::test]
async fn a_full_folder_gets_a_bundle_in_every_store_that_is_its_concatenation() {
    let (world, ledger) = with_a_full_folder().await;
    let key = FIRST.bundle_key().unwrap();
    let mut concatenated = Vec::new();
    for sequence in 0..FOLDER {
        let segment = Position { epoch: 1, sequence }.key().unwrap();
        concatenated.extend_from_slice(&world.home.inner().read(&segment).await.unwrap());
    }
    for store in [&world.home, &world.required, &world.lagging] {
        assert_eq!(store.inner().read(&key).await.unwrap(), concatenated);
        let report = verify_store(store, ledger.head()).await;
        assert!(report.is_good() && report.summary.bundles == 1, "{report}");
    }
    let text = zstd::stream::decode_all(concatenated.as_slice()).unwrap();
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count() as u64, FOLDER * 3 + 1, "zstdcat reads all frames");
    assert_eq!(find_end(&*world.home).await.unwrap(), LedgerState::EndsAt(ledger.head().unwrap().position()));
}

#[tokio::test]
async fn a_restore_reads_a_folder_in_one_request_and_a_damaged_bundle_costs_only_time() {
    let (world, ledger) = with_a_full_folder().await;
    let expected = lines(&world.required).await.unwrap();
    let reads = async || {
        let before = world.machine.calls();
        let store: SharedStore = world.home.clone();
        let mut walk = Walk::begin(store, archive(), Start::Genesis, ledger.head().unwrap().position()).await.unwrap();
        let mut read = Vec::new();
        while let Some(segment) = walk.next().await.unwrap() {
            read.extend(segment.entries.into_iter().map(|entry| entry.line));
        }
        assert_eq!(read, expected);
        world.machine.calls() - before
    };
    assert!(reads().await < 50);
    let key = FIRST.bundle_key().unwrap();
    let good = world.home.inner().read(&key).await.unwrap();
    let mut flipped = good.to_vec();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for bad in [Bytes::from(flipped), good.slice(..good.len() - 1), Bytes::from_static(b"none"), Bytes::new()] {
        world.home.inner().damage(&key, bad);
        assert!(reads().await > 500, "segments are read one by one from the damage on");
        let report = verify_store(&world.home, ledger.head()).await;
        assert_eq!(report.findings.len(), 1, "{report}");
        assert_eq!(report.findings[0].object, key.as_str());
        assert_eq!(report.findings[0].fault, Fault::Bundle);
    }
    world.home.inner().lose(&key);
    assert!(reads().await > 1000);
    let report = verify_store(&world.home, ledger.head()).await;
    assert!(report.is_good() && report.summary.folders_without_bundle == 1, "{report}");
    let _ = ledger.catch_up().await.unwrap();
    assert_eq!(world.home.inner().read(&key).await.unwrap(), good);
}

#[tokio::test]
async fn a_segment_that_only_the_bundle_still_has_is_named_as_missing() {
    let (world, ledger) = with_a_full_folder().await;
    let position = Position { epoch: 1, sequence: 500 };
    world.home.inner().lose(&position.key().unwrap());
    let report = verify_store(&world.home, ledger.head()).await;
    assert_eq!(report.findings.len(), 1, "{report}");
    assert_eq!(report.findings[0].object, position.name());
}
