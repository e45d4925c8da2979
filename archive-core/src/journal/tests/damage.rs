//! Flipped bits, cut files, lost sectors: intact or named, never wrong bytes.

use super::*;
use std::collections::BTreeSet;

const COMMITS: u64 = 3;

/// A journal with three commits of one batch each, shut down; its files can be damaged and opened again and again.
struct Specimen {
    world: World,
    pristine: tempfile::TempDir,
    /// Bytes of the segment that were written.
    written: Vec<u8>,
    /// Frames as `inspect` shows them.
    frames: Vec<Inspected>,
}

impl Specimen {
    async fn make() -> Self {
        let mut world = World::new();
        let (journal, _) = world.open();
        for seed in 1..=COMMITS {
            put(&journal, &content(seed, 1200)).await.unwrap();
        }
        journal.shut_down().await;
        let pristine = tempfile::tempdir().unwrap();
        copy_folder(&world.main(), pristine.path());
        let path = segment_path(&world.main(), 1);
        let frames: Vec<_> = inspect(&path).unwrap().map(Result::unwrap).collect();
        let mut written = std::fs::read(&path).unwrap();
        written.truncate(frames.last().unwrap().range.end as usize);
        Self { world, pristine, written, frames }
    }

    /// Puts the folder back and gives the segment these bytes.
    fn restore(&self, segment: &[u8]) {
        std::fs::remove_dir_all(self.world.main()).unwrap();
        copy_folder(self.pristine.path(), &self.world.main());
        std::fs::write(segment_path(&self.world.main(), 1), segment).unwrap();
    }

    /// The receipt of the frame that has a byte; `None` for the head and for padding.
    fn receipt_at(&self, at: u64) -> Option<u64> {
        let frame = self.frames.iter().find(|frame| frame.range.contains(&at));
        frame.and_then(|frame| frame.receipt).map(|receipt| receipt.number)
    }
}

#[tokio::test]
async fn a_flipped_byte_anywhere_is_named_and_only_what_it_hit_is_missing() {
    let mut specimen = Specimen::make().await;
    let pristine = specimen.written.clone();
    // Every third byte of headers and records, each of the padding right behind a frame; inside bulk and the rest every 61st.
    for at in (0..pristine.len()).filter(|&at| {
        let in_bulk = specimen.frames.iter().any(|frame| {
            matches!(frame.what, InspectedWhat::Content)
                && frame.range.contains(&(at as u64))
                && at as u64 > frame.range.start + 104
        });
        let in_frame = specimen.frames.iter().any(|frame| frame.range.contains(&(at as u64)));
        let behind = specimen.frames.iter().any(|frame| (frame.range.end..frame.range.end + 8).contains(&(at as u64)));
        (in_frame && !in_bulk && at % 3 == 0) || (behind && !in_frame) || at % 61 == 0
    }) {
        let mut flipped = pristine.clone();
        flipped[at] ^= 0x41;
        specimen.restore(&flipped);
        let recovered = specimen.world.look().await;
        let hit: BTreeSet<u64> = specimen.receipt_at(at as u64).into_iter().collect();
        let expected: Vec<u64> = (1..=COMMITS).filter(|number| !hit.contains(number)).collect();
        assert_eq!(numbers(&recovered), expected, "byte {at}");
        let named = recovered.findings.iter().any(|finding| {
            let around = finding.range.start.saturating_sub(8)..finding.range.end + 8;
            around.contains(&(at as u64)) && finding.kept_at.as_ref().is_some_and(|kept| kept.exists())
        });
        assert!(named, "byte {at}: {:?}", recovered.findings);
        if hit.is_empty() && at as u64 > 4096 {
            let blamed: Vec<_> = recovered.findings.iter().flat_map(|finding| &finding.receipts).collect();
            assert_eq!(blamed, Vec::<&ReceiptNumber>::new(), "byte {at}: it is between the frames");
        }
        let lost: BTreeSet<u64> = recovered.lost.iter().map(|receipt| receipt.number).collect();
        let is_last = hit.contains(&COMMITS);
        let torn = recovered.findings.iter().all(|finding| finding.kind == FindingKind::Torn);
        // A last record that is not whole cannot be told from one that was never acknowledged.
        assert!(lost == hit || (is_last && torn && lost.is_empty()), "byte {at}: lost {lost:?}, hit {hit:?}");
        assert!(recovered.next_receipt.number > COMMITS, "byte {at}: a number would be given twice");
    }
}

#[tokio::test]
async fn a_torn_tail_is_cut_off_kept_aside_and_called_torn_at_every_byte_of_the_last_batch() {
    let mut specimen = Specimen::make().await;
    let pristine = specimen.written.clone();
    let last_batch =
        specimen.frames.iter().find(|f| f.receipt.is_some_and(|r| r.number == COMMITS)).unwrap().range.start;
    assert_eq!(last_batch % 4096, 0, "a batch begins on its own sector");
    for end in last_batch as usize..pristine.len() {
        if end > last_batch as usize + 110 && end % 7 != 0 && end + 3 < pristine.len() {
            continue;
        }
        specimen.restore(&pristine[..end]);
        let recovered = specimen.world.look().await;
        assert_eq!(numbers(&recovered), [1, 2], "cut at {end}");
        assert_eq!(recovered.lost, []);
        assert!(recovered.findings.iter().all(|finding| finding.kind == FindingKind::Torn), "cut at {end}");
        assert_eq!(recovered.findings.is_empty(), end == last_batch as usize, "cut at {end}");
        for finding in &recovered.findings {
            let kept = std::fs::read(finding.kept_at.as_ref().unwrap()).unwrap();
            let range = finding.range.start as usize..finding.range.end as usize;
            assert_eq!(kept, pristine[range]);
        }
        let again = specimen.world.look().await;
        assert_eq!((again.findings.len(), numbers(&again)), (0, vec![1, 2]), "it is reported once");
        assert_eq!(again.next_receipt, recovered.next_receipt, "what it skipped stays skipped");
    }
}

#[tokio::test]
async fn whole_records_behind_damage_are_salvaged_and_damage_is_not_called_torn() {
    let mut specimen = Specimen::make().await;
    let second: Vec<_> = specimen.frames.iter().filter(|f| f.receipt.is_some_and(|r| r.number == 2)).cloned().collect();
    let mut zeroed = specimen.written.clone();
    zeroed[second[0].range.start as usize..second[2].range.end as usize].fill(0);
    specimen.restore(&zeroed);
    let recovered = specimen.world.look().await;
    assert_eq!(numbers(&recovered), [1, 3]);
    assert_eq!(recovered.lost, [ReceiptNumber { epoch: 1, number: 2 }], "named although nothing of it is left");
    assert!(recovered.findings.iter().any(|finding| finding.kind == FindingKind::Damaged));
    let again = specimen.world.look().await;
    assert_eq!(again.lost, recovered.lost, "damage is named at every start until its segment goes");
}

#[tokio::test]
async fn after_damage_the_journal_goes_on_in_a_new_segment() {
    let mut specimen = Specimen::make().await;
    let cut = specimen.written.len() - 10;
    specimen.restore(&specimen.written[..cut]);
    let (journal, recovered) = specimen.world.open();
    let entry = put(&journal, b"goes on").await.unwrap();
    assert_eq!(entry.number(), recovered.next_receipt);
    journal.shut_down().await;
    let recovered = specimen.world.look().await;
    assert_eq!(numbers(&recovered), [1, 2, entry.number().number]);
    assert_eq!(recovered.findings, []);
}

#[tokio::test]
async fn frames_of_another_segment_do_not_count_in_recycled_space() {
    let mut specimen = Specimen::make().await;
    let mut world = World::new();
    world.seed = 77;
    let (journal, _) = world.open();
    for seed in 11..=13 {
        put(&journal, &content(seed, 1200)).await.unwrap();
    }
    journal.shut_down().await;
    let other = std::fs::read(segment_path(&world.main(), 1)).unwrap();
    // The same kind of frames at the same places, with right checksums: only the segment's id and the chain differ.
    let border =
        specimen.frames.iter().find(|f| f.receipt.is_some_and(|r| r.number == 3)).unwrap().range.start as usize;
    let mixed = [&specimen.written[..border], &other[border..]].concat();
    specimen.restore(&mixed);
    let recovered = specimen.world.look().await;
    assert_eq!(numbers(&recovered), [1, 2]);
    assert_eq!(recovered.findings.len(), 1);
}

#[tokio::test]
async fn a_misplaced_or_repeated_frame_does_not_count() {
    let mut specimen = Specimen::make().await;
    let second =
        specimen.frames.iter().find(|f| f.receipt.is_some_and(|r| r.number == 2)).unwrap().range.start as usize;
    let third = specimen.frames.iter().find(|f| f.receipt.is_some_and(|r| r.number == 3)).unwrap().range.start as usize;
    let mut misplaced = specimen.written.clone();
    let batch = misplaced[second..third].to_vec();
    misplaced.resize(third, 0);
    misplaced.extend_from_slice(&batch);
    specimen.restore(&misplaced);
    let recovered = specimen.world.look().await;
    assert_eq!(numbers(&recovered), [1, 2]);
    assert_eq!(recovered.findings.len(), 1);
}

#[tokio::test]
async fn a_later_format_is_refused_with_its_version() {
    let mut specimen = Specimen::make().await;
    let mut later = specimen.written.clone();
    later[8] = 2;
    let crc = crc32c::crc32c(&later[..96]);
    later[96..100].copy_from_slice(&crc.to_le_bytes());
    specimen.restore(&later);
    let refused = specimen.world.try_open().unwrap_err();
    assert!(matches!(refused, JournalError::NewerFormat { version: 2, kind: 1, .. }), "{refused}");
    assert_eq!(std::fs::read(segment_path(&specimen.world.main(), 1)).unwrap(), later, "nothing was changed");
}

#[tokio::test]
async fn a_damaged_spill_file_is_named_and_kept() {
    let mut world = World::new();
    let (journal, _) = world.open();
    put(&journal, &content(1, 40_000)).await.unwrap();
    put(&journal, &content(2, 400)).await.unwrap();
    journal.shut_down().await;
    let name = files_in(&world.main().join("spill")).remove(0);
    let path = world.main().join("spill").join(&name);
    let pristine = std::fs::read(&path).unwrap();
    for at in [0, 39_999, 40_000, pristine.len() - 1] {
        let mut flipped = pristine.clone();
        flipped[at] ^= 1;
        std::fs::write(&path, flipped).unwrap();
        let recovered = world.look().await;
        assert_eq!(numbers(&recovered), [2], "byte {at}");
        assert_eq!(recovered.lost, [ReceiptNumber { epoch: 1, number: 1 }]);
        let [finding] = &recovered.findings[..] else { panic!("{:?}", recovered.findings) };
        let kept = finding.kept_at.as_ref().unwrap();
        assert_eq!(std::fs::read(kept).unwrap().len(), pristine.len());
        assert_eq!(world.look().await.gone, recovered.lost, "afterwards its file is not there any more");
        std::fs::remove_file(kept).unwrap();
    }
}

#[tokio::test]
async fn a_spill_file_without_a_record_is_swept_but_kept_if_a_record_could_not_be_read() {
    let mut world = World::new();
    let (journal, _) = world.open();
    put(&journal, &content(1, 40_000)).await.unwrap();
    journal.shut_down().await;
    let stray = world.main().join("spill").join(format!("{}.bin", "c".repeat(32)));
    std::fs::write(&stray, b"never committed").unwrap();
    let foreign = world.main().join("spill").join("notes.txt");
    std::fs::write(&foreign, b"not ours").unwrap();
    world.look().await;
    assert!(!stray.exists() && foreign.exists());
    let segment = segment_path(&world.main(), 1);
    let length = std::fs::metadata(&segment).unwrap().len();
    let commit = inspect(&segment).unwrap().map(Result::unwrap).last().unwrap();
    let bytes = std::fs::read(&segment).unwrap();
    std::fs::write(&segment, &bytes[..commit.range.end as usize - 5]).unwrap();
    assert!(length > 0);
    let recovered = world.look().await;
    assert_eq!(recovered.entries, []);
    let kept: Vec<_> = files_in(&world.main()).into_iter().filter(|name| name.starts_with("tail-spill-")).collect();
    assert_eq!(kept.len(), 1, "its record may have been the one that cannot be read");
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 24, ..Default::default() })]

    /// Random histories, then several flipped bits anywhere in any file: each acknowledged entry is intact or named.
    #[test]
    fn i9_whatever_is_flipped_entries_are_intact_or_named(
        lengths in proptest::collection::vec(1_usize..40_000, 1..8),
        flips in proptest::collection::vec((proptest::num::u32::ANY, 0_u8..8), 1..4),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut world = World::new();
            let (journal, _) = world.open();
            let mut acknowledged = Vec::new();
            for (seed, &length) in lengths.iter().enumerate() {
                acknowledged.push(put(&journal, &content(seed as u64, length)).await.unwrap());
            }
            journal.shut_down().await;
            let spills = world.main().join("spill");
            let mut files: Vec<PathBuf> = files_in(&world.main()).iter().filter(|n| n.starts_with("segment-")).map(|n| world.main().join(n)).collect();
            files.extend(files_in(&spills).iter().map(|name| spills.join(name)));
            for (place, bit) in flips {
                let mut place = place as u64 % files.iter().map(|file| used(file)).sum::<u64>();
                for file in &files {
                    if place < used(file) {
                        let mut bytes = std::fs::read(file).unwrap();
                        bytes[place as usize] ^= 1 << bit;
                        std::fs::write(file, bytes).unwrap();
                        break;
                    }
                    place -= used(file);
                }
            }
            let recovered = world.look().await;
            for entry in &acknowledged {
                let found = recovered.entries.contains(entry);
                let named = recovered.lost.contains(&entry.number())
                    || recovered.findings.iter().any(|f| f.kind == FindingKind::Torn && f.receipts.contains(&entry.number()))
                    || recovered.findings.iter().any(|f| f.kind == FindingKind::Torn && entry == acknowledged.last().unwrap());
                assert!(found || named, "{entry:?} is neither here nor named: {recovered:?}");
            }
            assert!(recovered.entries.iter().all(|entry| acknowledged.contains(entry)));
            assert!(recovered.next_receipt.number > acknowledged.len() as u64);
        });
    }
}

/// Bytes of a file without the room that was reserved ahead.
fn used(path: &Path) -> u64 {
    match inspect(path).unwrap().map(Result::unwrap).last() {
        Some(last) if path.extension().is_some_and(|extension| extension == "journal") => last.range.end,
        _ => std::fs::metadata(path).unwrap().len(),
    }
}

#[tokio::test]
async fn i1_when_the_record_that_brought_a_content_is_damaged_the_others_that_lean_on_it_still_give_it() {
    let mut world = World::new();
    let (journal, _) = world.open();
    let bytes = content(7, 5000);
    let first = put(&journal, &bytes).await.unwrap().number();
    let mut others = Vec::new();
    for _ in 0..2 {
        let sharing = PendingReceipt { shares: Some(first), ..pending(&bytes) };
        others.push(put_with(&journal, &bytes, sharing).await.unwrap());
    }
    assert!(others.iter().all(|entry| entry.shares == Some(first)), "no bytes were written again");
    let commit = journal.shared.state.lock().live[&first].commit;
    journal.shut_down().await;
    let path = segment_path(&world.main(), commit.segment);
    let mut file = std::fs::read(&path).unwrap();
    file[usize::try_from(commit.offset).unwrap() + 150] ^= 1;
    std::fs::write(&path, file).unwrap();
    let (journal, recovered) = world.open();
    assert_eq!(recovered.entries.len(), 2, "{recovered:?}");
    assert_eq!(recovered.entries[0].shares, None, "it has the content now");
    assert_eq!(recovered.entries[1].shares, Some(recovered.entries[0].number()));
    check_entries(&journal, &recovered).await;
    journal.shut_down().await;
}
