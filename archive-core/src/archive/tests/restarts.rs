//! Crashes: an archive that was not closed, and its successor.

use bytes::Bytes;

use super::house::{House, Op, STUDY, StoreFault, contents, data_set, found, seal, send};
use crate::archive::OpenError;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_received_nothing_starts_again() {
    let house = House::new();
    house.open().await.close().await;
    let archive = house.open().await;
    assert_eq!(found(&archive).await, [0, 0, 0]);
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_a_crash_at_any_call_to_the_store_while_sealing_and_merging_loses_nothing() {
    for calls in (0..60).step_by(3) {
        let mut house = House::new();
        let archive = house.open().await;
        let sent: Vec<_> = (1..=2).map(|n| data_set(STUDY, n, "kept")).collect();
        let _received = send(&archive, "CT1", sent[0].clone()).await.unwrap();
        assert!(seal(&archive).await.is_empty());
        let _received = send(&archive, "CT1", sent[1].clone()).await.unwrap();
        house.home.away_after(calls);
        let _failed = seal(&archive).await;
        let _failed = archive.merge_due().await;
        house.home.set_away(false);
        let archive = house.crash(archive).await;
        assert_eq!(contents(&archive, STUDY).await.unwrap(), sent, "after {calls} calls");
        assert!(seal(&archive).await.is_empty(), "after {calls} calls");
        archive.merge_due().await.unwrap();
        assert_eq!(archive.status().await.journal.live_receipts, 0, "after {calls} calls");
        assert_eq!(contents(&archive, STUDY).await.unwrap(), sent, "after {calls} calls, sealed");
        assert_eq!(found(&archive).await, [1, 1, 2], "after {calls} calls");
        archive.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_entry_whose_answer_was_lost_counts_and_the_study_is_not_sealed_twice() {
    let house = House::new();
    let archive = house.open().await;
    let bytes = data_set(STUDY, 1, "once");
    let _received = send(&archive, "CT1", bytes.clone()).await.unwrap();
    house.home.fail(Op::Create, "ledger/", StoreFault::AnswerLost);
    // The look at what lies there fails as well, so that nobody knows.
    house.home.fail(Op::Read, "ledger/", StoreFault::Refused);
    let failed = seal(&archive).await;
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(seal(&archive).await.is_empty());
    assert_eq!(house.home.packs().await.len(), 1);
    assert_eq!(archive.status().await.journal.live_receipts, 0);
    assert_eq!(contents(&archive, STUDY).await.unwrap(), vec![bytes]);
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_that_the_journal_lost_are_named_and_are_a_case() {
    let mut house = House::new();
    let archive = house.open().await;
    let text = "x".repeat(1000);
    let _received = send(&archive, "CT1", data_set(STUDY, 1, &text)).await.unwrap();
    let segment = std::fs::read_dir(house.data.path().join("journal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_file() && std::fs::read(path).is_ok_and(|bytes| find(&bytes, text.as_bytes()).is_some()))
        .unwrap();
    let mut damaged = std::fs::read(&segment).unwrap();
    let at = find(&damaged, text.as_bytes()).unwrap();
    damaged[at] ^= 1;
    std::fs::write(&segment, damaged).unwrap();
    let archive = house.crash(archive).await;
    let status = archive.status().await;
    assert!(status.findings.iter().any(|finding| finding.starts_with("lost: 1 receipts")), "{:?}", status.findings);
    assert_eq!(status.open_cases, 1);
    archive.close().await;
}

/// Sequences within sequences (Request Attributes Sequence, which is indexed), a name in the innermost.
fn nested(depth: usize) -> Vec<u8> {
    let name = b"\x10\x00\x10\x00PN\x04\x00A^B ".to_vec();
    let begin = b"\x40\x00\x75\x02SQ\x00\x00\xFF\xFF\xFF\xFF\xFE\xFF\x00\xE0\xFF\xFF\xFF\xFF";
    let end = b"\xFE\xFF\x0D\xE0\x00\x00\x00\x00\xFE\xFF\xDD\xE0\x00\x00\x00\x00";
    [begin.repeat(depth), name, end.repeat(depth)].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_an_instance_whose_sequences_nest_as_deep_as_is_allowed_survives_a_crash_and_is_sealed() {
    let mut house = House::new();
    let archive = house.open().await;
    let mut sent = Vec::new();
    for depth in 30..=64_u32 {
        let bytes: Bytes = [&data_set(STUDY, depth, "deep")[..], &nested(depth as usize)].concat().into();
        let _received = send(&archive, "CT1", bytes.clone()).await.unwrap();
        sent.push(bytes);
    }
    sent.sort();
    let archive = house.crash(archive).await;
    assert_eq!(archive.status().await.findings, [""; 0]);
    assert!(contents(&archive, STUDY).await.unwrap() == sent, "from the journal");
    assert_eq!(seal(&archive).await, [""; 0]);
    assert!(contents(&archive, STUDY).await.unwrap() == sent, "from the pack");
    archive.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_that_the_ledger_knows_and_the_journal_does_not_any_more_are_named_and_are_a_case() {
    let house = House::new();
    let archive = house.open().await;
    let _received = send(&archive, "CT1", data_set(STUDY, 1, "in the segment that goes")).await.unwrap();
    archive.record_received().await.unwrap();
    archive.close().await;
    drop(archive);
    let archive = house.open().await;
    let _received = send(&archive, "CT1", data_set(STUDY, 2, "in the next one")).await.unwrap();
    archive.close().await;
    drop(archive);
    std::fs::remove_file(house.data.path().join("journal").join("segment-0000000001.journal")).unwrap();
    let archive = house.open().await;
    let status = archive.status().await;
    assert!(status.findings.iter().any(|finding| finding.starts_with("lost: 1 receipts")), "{:?}", status.findings);
    assert_eq!(status.open_cases, 1);
    assert_eq!(found(&archive).await, [1, 1, 1], "what is there is given");
    archive.close().await;
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_is_gone_is_refused_and_nothing_is_made_in_its_place() {
    let house = House::new();
    let archive = house.open().await;
    let _received = send(&archive, "CT1", data_set(STUDY, 1, "only here")).await.unwrap();
    archive.close().await;
    drop(archive);
    std::fs::remove_dir_all(house.data.path().join("journal")).unwrap();
    for _ in 0..2 {
        let refused = house.try_open(house.data.path()).await;
        assert!(matches!(refused, Err(OpenError::NoJournal { .. })), "{refused:?}");
    }
}
