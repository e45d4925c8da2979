//! The n-th call fails, for every n: nothing that was acknowledged is lost, nothing is synced twice.

use super::*;
use crate::testing::{DiskFault, FaultDisk};
use rustix::io::Errno;

/// A small life: small and large instances, a duplicate, rotation, release, compaction. Gives what was acknowledged
/// and not released.
async fn life(journal: &Journal, clock: &ManualClock) -> Vec<JournalEntry> {
    let mut held: Vec<JournalEntry> = Vec::new();
    for (seed, length) in [(1, 900), (2, 20_000), (3, 15_000), (4, 15_000), (5, 15_000), (6, 15_000), (7, 900)] {
        held.extend(put(journal, &content(seed, length)).await.ok());
        if seed == 4 && !held.is_empty() {
            let released = held.remove(held.len() / 2);
            journal.release(&[released.number()]).await;
        }
    }
    let bytes = content(1, 900);
    let shares = held.iter().find(|entry| entry.facts == facts_of(&bytes)).map(JournalEntry::number);
    held.extend(put_with(journal, &bytes, PendingReceipt { shares, ..pending(&bytes) }).await.ok());
    clock.advance(std::time::Duration::from_secs(7 * 3600));
    let drop_now: Vec<ReceiptNumber> = held.iter().skip(2).step_by(2).map(JournalEntry::number).collect();
    journal.release(&drop_now).await;
    held.retain(|entry| !drop_now.contains(&entry.number()));
    let _refused_or_done = journal.compact().await;
    held.extend(put(journal, &content(8, 500)).await.ok());
    held
}

/// Runs [`life`] with the n-th call failing, for n from 1 until no fault was hit.
async fn nth_call_loop(mirrored: bool, errno: Errno, stays: bool) {
    let mut at = 1;
    loop {
        let mut world = if mirrored { World::mirrored() } else { World::new() };
        let disk = FaultDisk::new();
        world.disk = disk.clone();
        let (journal, _) = world.open();
        disk.fail(Some(DiskFault { at, errno, stays }));
        let clock = Arc::clone(&world.clock);
        let held = life(&journal, &clock).await;
        for entry in &held {
            let read = read_back(&journal, entry.number()).await.unwrap();
            assert_eq!(ContentId::of(&read), entry.held.receipt.content, "reading goes on after call {at} failed");
        }
        let stopped = journal.status().stopped.is_some();
        if stopped {
            assert!(put(&journal, b"late").await.is_err(), "nothing is accepted after call {at} failed");
            assert_eq!(disk.syncs_after_failure(), 0, "no sync is tried after call {at} failed");
        }
        let hit = disk.fault_hit();
        journal.shut_down().await;
        disk.fail(None);
        let recovered = world.look().await;
        for entry in &held {
            assert!(recovered.entries.contains(entry), "call {at} {errno:?}: {entry:?} was acknowledged");
        }
        let mut given: Vec<u64> = numbers(&recovered);
        given.dedup();
        assert_eq!(given.len(), recovered.entries.len());
        assert!(recovered.lost.is_empty(), "call {at} {errno:?}: {:?}", recovered);
        let highest = given.last().copied().unwrap_or(0);
        assert!(recovered.next_receipt.number > highest);
        if !hit {
            assert!(at > 40, "the life is longer than {at} calls");
            return;
        }
        at += 1;
    }
}

#[tokio::test]
async fn i1_whichever_call_fails_once_nothing_acknowledged_is_lost() {
    nth_call_loop(false, Errno::IO, false).await;
}

#[tokio::test]
async fn i1_whichever_call_fails_once_with_a_mirror_nothing_acknowledged_is_lost() {
    nth_call_loop(true, Errno::IO, false).await;
}

#[tokio::test]
async fn i1_whichever_call_the_disk_dies_at_nothing_acknowledged_is_lost() {
    nth_call_loop(false, Errno::IO, true).await;
}

#[tokio::test]
async fn whichever_call_finds_the_disk_full_the_journal_is_right_afterwards() {
    nth_call_loop(false, Errno::NOSPC, false).await;
    nth_call_loop(true, Errno::DQUOT, false).await;
}

#[tokio::test]
async fn i1_recovery_syncs_every_file_and_folder_that_it_relies_on() {
    let mut world = World::mirrored();
    let (journal, _) = world.open();
    for (seed, length) in [(1, 15_000), (2, 40_000), (3, 15_000), (4, 15_000), (5, 15_000)] {
        put(&journal, &content(seed, length)).await.unwrap();
    }
    journal.shut_down().await;
    let disk = FaultDisk::new();
    world.disk = disk.clone();
    let (_journal, recovered) = world.open();
    assert_eq!((recovered.entries.len(), recovered.findings.len()), (5, 0));
    for folder in [world.main(), world.mirror()] {
        let spill = folder.join("spill").join(&files_in(&folder.join("spill"))[0]);
        for relied_on in [segment_path(&folder, 1), segment_path(&folder, 2), spill, folder.join("spill"), folder] {
            assert!(disk.was_synced(&relied_on), "{}", relied_on.display());
        }
    }
}

#[tokio::test]
async fn a_failed_sync_answers_all_who_wait_and_is_not_tried_again() {
    let mut world = World::new();
    let disk = FaultDisk::new();
    world.disk = disk.clone();
    let (journal, _) = world.open();
    let first = put(&journal, b"first").await.unwrap();
    disk.fail(Some(DiskFault { at: 2, errno: Errno::IO, stays: false }));
    let waiting = [b"second", b"third_"].map(|bytes| put(&journal, bytes));
    for answer in futures::future::join_all(waiting).await {
        assert!(matches!(answer, Err(JournalError::Stopped { .. })), "{answer:?}");
    }
    assert!(journal.status().stopped.unwrap().contains("syncing"));
    assert!(matches!(journal.intake().await, Err(JournalError::Stopped { .. })));
    assert_eq!(disk.syncs_after_failure(), 0);
    assert_eq!(read_back(&journal, first.number()).await.unwrap(), b"first", "reading goes on");
}

#[tokio::test]
async fn no_room_for_a_new_segment_is_full_and_not_the_end() {
    let mut world = World::new();
    let disk = FaultDisk::new();
    world.disk = disk.clone();
    let (journal, _) = world.open();
    for errno in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
        for at in 1..=3 {
            disk.fail(Some(DiskFault { at, errno, stays: false }));
            let refused = put(&journal, &content(at, 60_000)).await;
            assert!(matches!(refused, Err(JournalError::Full { .. })), "{refused:?}");
            let segment_full = loop {
                disk.fail(Some(DiskFault { at, errno, stays: true }));
                match put(&journal, &content(at, 15_000)).await {
                    Ok(_) => disk.fail(None),
                    Err(error) => break error,
                }
            };
            assert!(matches!(segment_full, JournalError::Full { .. } | JournalError::Stopped { .. }));
            disk.fail(None);
            if journal.status().stopped.is_some() {
                // Cutting back a batch that was half written could not be synced.
                return assert!(at > 1);
            }
            put(&journal, b"there is room again").await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_full_disk_in_the_middle_of_a_batch_leaves_nothing_of_it() {
    let mut world = World::new();
    let disk = FaultDisk::new();
    world.disk = disk.clone();
    let (journal, _) = world.open();
    let first = put(&journal, b"first").await.unwrap();
    disk.fail(Some(DiskFault { at: 1, errno: Errno::NOSPC, stays: false }));
    assert!(matches!(put(&journal, &content(1, 3000)).await, Err(JournalError::Full { .. })));
    let third = put(&journal, b"third").await.unwrap();
    assert!(third.number() > first.number());
    journal.shut_down().await;
    let recovered = world.look().await;
    assert_eq!((recovered.entries, recovered.findings), (vec![first, third], vec![]));
}
