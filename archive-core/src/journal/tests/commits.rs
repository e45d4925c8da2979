//! Taking in, numbering, sharing, releasing, limits.

use super::*;
use std::time::Duration;

#[tokio::test]
async fn i1_acknowledged_is_found_again_with_the_same_bytes() {
    let mut world = World::new();
    let (journal, recovered) = world.open();
    assert!(recovered.fresh && recovered.entries.is_empty());
    let mut given = Vec::new();
    for (seed, length) in [(1, 10), (2, 999), (3, 5000), (4, 16 * 1024), (5, 16 * 1024 + 1), (6, 900_000)] {
        given.push(put(&journal, &content(seed, length)).await.unwrap());
    }
    journal.shut_down().await;
    let (journal, recovered) = world.open();
    assert_eq!(recovered.entries, given);
    assert_eq!(recovered.findings, []);
    assert_eq!(recovered.next_receipt, ReceiptNumber { epoch: 1, number: 7 });
    assert!(!recovered.fresh);
    check_entries(&journal, &recovered).await;
}

#[tokio::test]
async fn numbers_are_dense_from_one_and_begin_anew_in_an_epoch() {
    let mut world = World::new();
    let (journal, _) = world.open();
    for expected in 1..=5 {
        assert_eq!(put(&journal, &content(expected, 100)).await.unwrap().number().number, expected);
    }
    journal.shut_down().await;
    world.options.epoch = 2;
    let (journal, recovered) = world.open();
    assert_eq!((recovered.entries.len(), recovered.epoch_found), (5, Some(1)));
    let number = put(&journal, &content(9, 100)).await.unwrap().number();
    assert_eq!(number, ReceiptNumber { epoch: 2, number: 1 });
    journal.shut_down().await;
    world.options.epoch = 1;
    assert!(matches!(world.try_open(), Err(JournalError::LaterEpoch { found: 2, expected: 1, .. })));
}

#[tokio::test]
async fn a_number_is_never_given_again_after_everything_was_released() {
    let mut world = World::new();
    let mut next = 1;
    for round in 0..4 {
        let (journal, recovered) = world.open();
        let old: Vec<ReceiptNumber> = recovered.entries.iter().map(JournalEntry::number).collect();
        journal.release(&old).await;
        for index in 0..7 * round {
            let entry = put(&journal, &content(index, 9000)).await.unwrap();
            assert_eq!(entry.number().number, next);
            next += 1;
            journal.release(&[entry.number()]).await;
        }
        assert_eq!(journal.status().receipts_live, 0);
        assert!(journal.status().segments <= 1, "what is released is deleted, but for the newest segment");
        journal.shut_down().await;
    }
    world.options.numbers_from = 1000;
    let (journal, _) = world.open();
    assert_eq!(put(&journal, b"x").await.unwrap().number().number, 1000, "the ledger may know of more");
}

#[tokio::test]
async fn a_segment_goes_only_when_every_receipt_that_leans_on_it_was_released() {
    let mut world = World::new();
    let (journal, _) = world.open();
    let bytes = content(1, 9000);
    let owner = put(&journal, &bytes).await.unwrap();
    for seed in 10..20 {
        let filler = put(&journal, &content(seed, 15_000)).await.unwrap();
        journal.release(&[filler.number()]).await;
    }
    let leaning = PendingReceipt { shares: Some(owner.number()), ..pending(&bytes) };
    let duplicate = put_with(&journal, &bytes, leaning).await.unwrap();
    assert_eq!(duplicate.shares, Some(owner.number()));
    journal.release(&[owner.number()]).await;
    assert!(segment_path(&world.main(), 1).exists(), "a live duplicate leans on it");
    assert_eq!(read_back(&journal, duplicate.number()).await.unwrap(), bytes);
    let reader = journal.reader(duplicate.number()).await.unwrap();
    journal.release(&[duplicate.number()]).await;
    assert!(!segment_path(&world.main(), 1).exists());
    use crate::reading::VersionReader as _;
    assert!(reader.read(0..10).await.is_ok(), "what was opened stays readable");
    assert!(journal.reader(duplicate.number()).await.is_err());
}

#[tokio::test]
async fn a_duplicate_of_a_spilled_instance_leans_on_its_file_and_survives_a_restart() {
    let mut world = World::new();
    let (journal, _) = world.open();
    let bytes = content(3, 50_000);
    let owner = put(&journal, &bytes).await.unwrap();
    let leaning = PendingReceipt { shares: Some(owner.number()), ..pending(&bytes) };
    let duplicate = put_with(&journal, &bytes, leaning).await.unwrap();
    // It goes in the background, once the answer is given.
    let dropped = async {
        while files_in(&world.main().join("spill")).len() > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), dropped).await.expect("the second copy is dropped");
    assert_eq!(files_in(&world.main().join("spill")).len(), 1, "the first copy stays");
    journal.release(&[owner.number()]).await;
    journal.shut_down().await;
    let (journal, recovered) = world.open();
    assert_eq!(recovered.entries.last(), Some(&duplicate));
    check_entries(&journal, &recovered).await;
    journal.release(&[owner.number(), duplicate.number()]).await;
    assert!(files_in(&world.main().join("spill")).is_empty());
}

#[tokio::test]
async fn sharing_with_what_was_released_keeps_the_content_and_with_another_version_is_refused() {
    let mut world = World::new();
    let (journal, _) = world.open();
    let bytes = content(1, 2000);
    let owner = put(&journal, &bytes).await.unwrap();
    let other = content(2, 2000);
    let wrong = PendingReceipt { shares: Some(owner.number()), ..pending(&other) };
    assert!(matches!(put_with(&journal, &other, wrong).await, Err(JournalError::Invalid { .. })));
    journal.release(&[owner.number()]).await;
    let late = PendingReceipt { shares: Some(owner.number()), ..pending(&bytes) };
    let entry = put_with(&journal, &bytes, late).await.unwrap();
    assert_eq!(entry.shares, None);
    assert_eq!(read_back(&journal, entry.number()).await.unwrap(), bytes);
}

#[tokio::test]
async fn what_does_not_fit_together_is_refused_before_anything_is_written() {
    let mut world = World::new();
    let (journal, _) = world.open();
    let bytes = content(1, 5000);
    let short = put_with(&journal, &bytes[..4000], pending(&bytes)).await;
    assert!(matches!(short, Err(JournalError::Invalid { .. })));
    let gap = PendingReceipt { cut: cut_of(&bytes[..4000]), ..pending(&bytes) };
    assert!(matches!(put_with(&journal, &bytes, gap).await, Err(JournalError::Invalid { .. })));
    let large = content(1, 50_000);
    let gap = PendingReceipt { cut: cut_of(&large[..4000]), ..pending(&large) };
    assert!(matches!(put_with(&journal, &large, gap).await, Err(JournalError::Invalid { .. })));
    assert_eq!(journal.status().receipts_live, 0);
    assert_eq!(put(&journal, &bytes).await.unwrap().number().number, 1);
    journal.shut_down().await;
    assert!(files_in(&world.main().join("spill")).is_empty());
}

#[tokio::test]
async fn an_intake_that_is_dropped_leaves_nothing() {
    let mut world = World::new();
    world.options.memory_bytes = 1 << 20;
    let (journal, _) = world.open();
    let memory = journal.shared.memory.available_permits();
    for length in [100, 600_000] {
        let mut intake = journal.intake().await.unwrap();
        intake.write(Bytes::from(content(1, length))).await.unwrap();
        drop(intake);
    }
    journal.shut_down().await;
    let (journal, recovered) = world.open();
    assert_eq!(recovered.entries, []);
    assert_eq!(journal.shared.memory.available_permits(), memory);
    assert!(files_in(&world.main().join("spill")).is_empty());
    assert_eq!(journal.status().bytes, 0);
}

#[tokio::test]
async fn i12_memory_is_bounded_who_comes_later_waits_and_who_gets_no_more_goes_on_in_a_file() {
    let mut world = World::new();
    world.options.memory_bytes = 512 * 1024;
    world.options.inline_bytes = 8 << 20;
    let (journal, _) = world.open();
    let mut first = journal.intake().await.unwrap();
    let second = journal.intake().await.unwrap();
    assert_eq!(journal.shared.memory.available_permits(), 0);
    let waiting = journal.intake();
    tokio::pin!(waiting);
    assert!(futures::poll!(&mut waiting).is_pending());
    let bytes = content(1, 700_000);
    first.write(Bytes::from(bytes.clone())).await.unwrap();
    assert_eq!(files_in(&world.main().join("spill")).len(), 1, "under the inline size, but there was no memory");
    let entry = first.commit(pending(&bytes)).await.unwrap();
    assert_eq!(read_back(&journal, entry.number()).await.unwrap(), bytes);
    drop(waiting.await.unwrap());
    drop(second);
    assert_eq!(journal.shared.memory.available_permits(), 512);
}

#[tokio::test]
async fn at_its_cap_the_journal_refuses_and_accepts_again_once_there_is_room() {
    let mut world = World::new();
    world.options.cap_bytes = 100_000;
    let (journal, _) = world.open();
    let mut held = Vec::new();
    let full = loop {
        match put(&journal, &content(held.len() as u64, 15_000)).await {
            Ok(entry) => held.push(entry.number()),
            Err(error) => break error,
        }
        assert!(held.len() < 20);
    };
    assert!(matches!(full, JournalError::Full { .. }), "{full}");
    let large = put(&journal, &content(50, 200_000)).await;
    assert!(matches!(large, Err(JournalError::Full { .. })));
    assert_eq!(read_back(&journal, held[0]).await.unwrap(), content(0, 15_000), "reading goes on");
    journal.release(&held).await;
    let next = put(&journal, &content(99, 15_000)).await.unwrap();
    assert_eq!(next.number().number, held.len() as u64 + 1);
    assert!(journal.status().stopped.is_none());
}

#[tokio::test]
async fn a_count_of_receipts_is_a_cap_too() {
    let mut world = World::new();
    world.options.receipts_max = 2;
    let (journal, _) = world.open();
    let first = put(&journal, b"1").await.unwrap();
    put(&journal, b"2").await.unwrap();
    assert!(matches!(put(&journal, b"3").await, Err(JournalError::Full { .. })));
    journal.release(&[first.number()]).await;
    put(&journal, b"3").await.unwrap();
}

#[tokio::test]
async fn below_the_disk_reserve_nothing_new_is_accepted() {
    let mut world = World::new();
    world.options.reserve_bytes = u64::MAX;
    let (journal, _) = world.open();
    assert!(matches!(journal.intake().await, Err(JournalError::Full { .. })));
    assert!(matches!(journal.intake().await, Err(JournalError::Full { .. })), "as last seen");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_who_wait_share_syncs() {
    let mut world = World::new();
    let disk = crate::testing::FaultDisk::new();
    world.disk = disk.clone();
    world.options.segment_bytes = 8 << 20;
    world.options.memory_bytes = 64 << 20;
    let (journal, _) = world.open();
    let journal = Arc::new(journal);
    // The first sync is held until the others queue behind it: then they must all go with the next one.
    let hold = disk.hold_syncs();
    let start = |seed: u64| {
        let journal = Arc::clone(&journal);
        tokio::spawn(async move { put(&journal, &content(seed, 3000)).await.unwrap().number().number })
    };
    let mut tasks = vec![start(0)];
    while disk.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    tasks.extend((1..65).map(start));
    while journal.requests.capacity() > journal.requests.max_capacity() - 64 {
        tokio::task::yield_now().await;
    }
    drop(hold);
    let mut numbers = Vec::new();
    for task in tasks {
        numbers.push(task.await.unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=65).collect::<Vec<_>>());
    assert_eq!(journal.status().batches, 2);
}

#[tokio::test]
async fn a_second_process_is_kept_out_until_the_first_has_gone() {
    let mut world = World::new();
    let (journal, _) = world.open();
    let refused = world.try_open().unwrap_err();
    assert!(matches!(&refused, JournalError::Locked { folder } if *folder == world.main()), "{refused}");
    journal.shut_down().await;
    let (journal, _) = world.open();
    let intake = journal.intake().await.unwrap();
    journal.shut_down().await;
    let stopped = intake.commit(pending(b"")).await;
    assert!(matches!(stopped, Err(JournalError::Stopped { .. })));
    world.open();
}

#[test]
fn a_folder_in_memory_is_refused_unless_it_is_allowed() {
    let Ok(folder) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("skipped: /dev/shm cannot be written here");
        return;
    };
    let stat = rustix::fs::statfs(folder.path()).unwrap();
    if stat.f_type != 0x0102_1994 {
        eprintln!("skipped: /dev/shm is no tmpfs here");
        return;
    }
    let mut world = World::new();
    world.options.folder = folder.path().join("journal");
    world.options.allow_volatile = false;
    assert!(matches!(world.try_open(), Err(JournalError::Volatile { kind: "tmpfs", .. })));
    world.options.allow_volatile = true;
    world.open();
}

#[tokio::test]
async fn another_archives_journal_is_refused() {
    let mut world = World::new();
    let (journal, _) = world.open();
    put(&journal, b"x").await.unwrap();
    journal.shut_down().await;
    world.options.archive = ArchiveId::parse(&"b2".repeat(16)).unwrap();
    assert!(matches!(world.try_open(), Err(JournalError::OtherArchive { .. })));
}

#[tokio::test]
async fn an_entry_whose_committer_has_gone_is_not_forgotten() {
    let mut world = World::new();
    let disk = crate::testing::FaultDisk::new();
    world.disk = disk.clone();
    let (journal, _) = world.open();
    let hold = disk.hold_syncs();
    {
        let commit = put(&journal, b"abandoned");
        tokio::pin!(commit);
        while journal.requests.capacity() == journal.requests.max_capacity() && disk.waiting() == 0 {
            assert!(futures::poll!(&mut commit).is_pending());
            tokio::task::yield_now().await;
        }
    }
    drop(hold);
    let after = put(&journal, b"after").await.unwrap();
    assert_eq!(after.number().number, 2);
    let unclaimed = journal.take_unclaimed();
    assert_eq!(unclaimed.len(), 1);
    assert_eq!(unclaimed[0].number().number, 1);
    assert!(journal.take_unclaimed().is_empty());
}

#[tokio::test]
async fn one_study_that_stays_does_not_pin_old_segments() {
    let mut world = World::new();
    let (journal, _) = world.open();
    let small = content(1, 500);
    let large = content(2, 30_000);
    let stays = put(&journal, &small).await.unwrap();
    let stays_large = put(&journal, &large).await.unwrap();
    let leaning = PendingReceipt { shares: Some(stays.number()), ..pending(&small) };
    let mut released = Vec::new();
    for seed in 10..40 {
        released.push(put(&journal, &content(seed, 15_000)).await.unwrap().number());
    }
    let duplicate = put_with(&journal, &small, leaning).await.unwrap();
    journal.release(&released).await;
    assert_eq!(journal.compact().await.unwrap(), Compacted::default(), "not old enough");
    world.clock.advance(Duration::from_secs(7 * 3600));
    let done = journal.compact().await.unwrap();
    assert!(done.receipts >= 3 && done.unreadable == 0, "{done:?}");
    assert!(!segment_path(&world.main(), 1).exists());
    assert_eq!(journal.status().segments, 1);
    for (entry, bytes) in [(&stays, &small), (&stays_large, &large), (&duplicate, &small)] {
        assert_eq!(&read_back(&journal, entry.number()).await.unwrap(), bytes);
    }
    let next = put(&journal, b"next").await.unwrap();
    assert_eq!(next.number().number, duplicate.number().number + 1);
    journal.shut_down().await;
    let (journal, recovered) = world.open();
    assert_eq!(recovered.entries, [stays, stays_large, duplicate, next]);
    assert_eq!((&recovered.findings[..], &recovered.lost[..], &recovered.gone[..]), (&[][..], &[][..], &[][..]));
    check_entries(&journal, &recovered).await;
    let all: Vec<ReceiptNumber> = recovered.entries.iter().map(JournalEntry::number).collect();
    journal.release(&all).await;
    assert_eq!((journal.status().receipts_live, journal.status().live_bytes), (0, 0));
}

#[tokio::test]
async fn a_record_whose_content_file_was_released_is_gone_and_not_damaged() {
    let mut world = World::new();
    let (journal, _) = world.open();
    let spilled = put(&journal, &content(1, 40_000)).await.unwrap();
    let stays = put(&journal, &content(2, 400)).await.unwrap();
    journal.release(&[spilled.number()]).await;
    journal.shut_down().await;
    let recovered = world.look().await;
    assert_eq!(recovered.entries, [stays]);
    assert_eq!((&recovered.gone[..], &recovered.lost[..]), (&[spilled.number()][..], &[][..]));
    assert_eq!(recovered.findings, []);
}

#[tokio::test]
async fn nothing_of_a_patient_is_printed() {
    let mut world = World::new();
    let (journal, _) = world.open();
    let entry = put(&journal, &content(1, 100)).await.unwrap();
    let printed = format!("{:?} {:?} {entry:?} {:?}", pending(b"x"), journal, journal.status());
    assert!(!printed.contains("DOE") && !printed.contains("prefix that came"), "{printed}");
    let shown: Vec<_> = inspect(&segment_path(&world.main(), 1)).unwrap().map(Result::unwrap).collect();
    assert!(matches!(shown[0].what, InspectedWhat::Head { first_receipt: 1, segment: 1, .. }));
    assert!(matches!(shown[3].what, InspectedWhat::Commit { content_length: 100, .. }));
    assert_eq!(shown.len(), 4);
    assert!(!format!("{shown:?}").contains("DOE"));
}
