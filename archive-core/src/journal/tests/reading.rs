//! Reading what is not sealed: every byte checked, frames found, tables of any size read back.

use super::*;
use crate::reading::{ReadError, VersionReader as _};
use std::io::Read as _;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

#[tokio::test]
async fn any_range_reads_the_same_bytes_in_memory_and_spilled() {
    let mut world = World::new();
    let (journal, _) = world.open();
    for length in [5500, 55_500] {
        let bytes = content(3, length);
        let entry = put(&journal, &bytes).await.unwrap();
        let reader = journal.reader(entry.number()).await.unwrap();
        for (from, to) in [(0, 1), (0, 1000), (999, 1001), (1500, 5400), (0, length), (length - 1, length + 50)] {
            let mut read = Vec::new();
            while read.len() < to.min(length) - from {
                let more = reader.read((from + read.len()) as u64..to as u64).await.unwrap();
                assert!(!more.is_empty());
                read.extend_from_slice(&more);
            }
            assert_eq!(read, bytes[from..to.min(length)]);
        }
        for empty in [0..0, length as u64..u64::MAX, Range { start: 7, end: 3 }, u64::MAX..u64::MAX] {
            assert!(reader.read(empty).await.unwrap().is_empty());
        }
        assert_eq!(
            reader.frame(5).await.unwrap(),
            Some(vec![Fragment { offset: 5000, length: (length as u64 - 5000).min(1000) }])
        );
        assert_eq!(reader.frame(length as u64 / 1000 + 1).await.unwrap(), None);
    }
}

#[tokio::test]
async fn the_cut_list_and_the_content_come_back_for_sealing() {
    let mut world = World::new();
    let (journal, _) = world.open();
    for length in [10, 30_000] {
        let bytes = content(3, length);
        let mut given = pending(&bytes);
        given.cut.inflated = true;
        let entry = put_with(&journal, &bytes, given).await.unwrap();
        let opened = journal.content(entry.number()).unwrap();
        let (cut, expected) = (opened.cut().unwrap(), cut_of(&bytes));
        assert_eq!(cut.units.to_vec().unwrap(), expected.units.to_vec().unwrap());
        assert_eq!(cut.fragments.to_vec().unwrap(), expected.fragments.to_vec().unwrap());
        assert_eq!(cut.frames.to_vec().unwrap(), expected.frames.to_vec().unwrap());
        assert!(cut.inflated);
        assert_eq!(opened.length(), length as u64);
        let mut read = Vec::new();
        opened.into_bytes().read_to_end(&mut read).unwrap();
        assert_eq!(read, bytes);
    }
}

#[tokio::test]
async fn a_cut_list_of_many_blocks_goes_into_a_file_and_reads_back_by_row() {
    let mut world = World::new();
    world.options.inline_bytes = 1 << 20;
    let (journal, _) = world.open();
    let bytes = content(5, 60_000);
    // One unit a byte: 60,000 rows of 32 bytes, 30 blocks, over what a segment takes.
    let units = (0..bytes.len()).map(|at| Unit {
        offset: at as u64,
        length: 1,
        kind: UnitKind::Bulk,
        digest: UnitDigest::of(&bytes[at..=at]),
    });
    let cut = CutList { units: units.collect(), ..cut_of(&bytes) };
    let entry = put_with(&journal, &bytes, PendingReceipt { cut, ..pending(&bytes) }).await.unwrap();
    assert_eq!(files_in(&world.main().join("spill")).len(), 1);
    assert_eq!(read_back(&journal, entry.number()).await.unwrap(), bytes);
    let reader = journal.reader(entry.number()).await.unwrap();
    assert_eq!(reader.read(41_234..41_235).await.unwrap(), bytes[41_234..=41_234]);
    journal.shut_down().await;
    assert_eq!(world.look().await.entries.len(), 1);
}

#[tokio::test]
async fn i9_wrong_bytes_are_never_served_whichever_byte_is_wrong() {
    let mut world = World::new();
    let (journal, _) = world.open();
    let bytes = content(3, 2500);
    let entry = put(&journal, &bytes).await.unwrap();
    let segment = segment_path(&world.main(), 1);
    let file = std::fs::File::options().read(true).write(true).open(&segment).unwrap();
    let frames: Vec<_> = inspect(&segment).unwrap().map(Result::unwrap).collect();
    for frame in frames.iter().filter(|f| matches!(f.what, InspectedWhat::Content | InspectedWhat::Tables)) {
        for at in (frame.range.start + 104..frame.range.end).step_by(5) {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
            let served = read_back(&journal, entry.number()).await;
            match &served {
                Ok(read) => assert_eq!(read, &bytes, "wrong bytes were served"),
                Err(error) => assert!(matches!(error, ReadError::Damaged { .. }), "{error}"),
            }
            let frame_rows = journal.reader(entry.number()).await.unwrap().frame(0).await;
            assert!(frame_rows.is_err() || frame_rows.unwrap() == Some(vec![Fragment { offset: 0, length: 1000 }]));
            assert!(served.is_err() || matches!(frame.what, InspectedWhat::Tables));
            file.write_all_at(&byte, at).unwrap();
        }
    }
    // What is whole beside the damage is served.
    let content_frame = frames.iter().find(|frame| matches!(frame.what, InspectedWhat::Content)).unwrap();
    file.write_all_at(b"?", content_frame.range.start + 104 + 1500).unwrap();
    let reader = journal.reader(entry.number()).await.unwrap();
    assert_eq!(reader.read(0..1000).await.unwrap(), bytes[..1000]);
    assert_eq!(reader.read(2000..2500).await.unwrap(), bytes[2000..]);
    assert!(reader.read(1999..2001).await.is_err());
}
