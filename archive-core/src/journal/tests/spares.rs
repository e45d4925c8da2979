//! Segments made ahead: the same promises, whether a segment was one of them or not.

use std::fs::File;

use super::*;

/// Commits until three segments are full of what stands in spares, and looks at everything after a restart.
async fn lives_through_spares(mut world: World) {
    world.options.spare_segments = 2;
    let (journal, _) = world.open();
    let mut given = Vec::new();
    for seed in 0..24 {
        let shared = Arc::clone(&journal.shared);
        tokio::task::spawn_blocking(move || shared.spares.wait_for(2)).await.unwrap();
        given.push(put(&journal, &content(seed, 15_000)).await.unwrap());
    }
    let segments: Vec<u64> = given
        .iter()
        .filter_map(|entry| journal.shared.state.lock().live[&entry.number()].commit.segment.into())
        .collect();
    assert!(*segments.last().unwrap() > 4, "several segments were filled");
    let taken = |folder: PathBuf| !folder.join("spare-0000000001.zeros").exists();
    assert!(taken(world.main()), "the first spare became a segment");
    journal.shut_down().await;
    let left = |folder: &Path| files_in(folder).into_iter().filter(|name| name.starts_with("spare-")).count();
    assert_eq!(left(&world.main()), 0, "what was not used is gone");
    if world.options.mirror.is_some() {
        assert_eq!(left(&world.mirror()), 0);
    }
    let (journal, recovered) = world.open();
    assert_eq!(recovered.entries, given);
    assert_eq!(recovered.findings, []);
    check_entries(&journal, &recovered).await;
    journal.shut_down().await;
}

#[tokio::test]
async fn i1_what_lies_in_segments_made_ahead_is_found_again_with_the_same_bytes() {
    lives_through_spares(World::new()).await;
}

#[tokio::test]
async fn i1_segments_made_ahead_are_made_in_the_mirror_too() {
    lives_through_spares(World::mirrored()).await;
}

#[tokio::test]
async fn spares_of_an_earlier_process_are_swept_whatever_is_in_them() {
    let mut world = World::new();
    let (journal, _) = world.open();
    let given = put(&journal, &content(1, 100)).await.unwrap();
    journal.shut_down().await;
    let segment = std::fs::read(segment_path(&world.main(), 1)).unwrap();
    std::fs::write(world.main().join("spare-0000000001.zeros"), &segment).unwrap();
    std::fs::write(world.main().join("spare-0000000009.zeros"), b"half").unwrap();
    let recovered = world.look().await;
    assert_eq!((recovered.entries, recovered.findings), (vec![given], vec![]));
    assert!(files_in(&world.main()).iter().all(|name| !name.starts_with("spare-")));
}

#[tokio::test]
async fn a_segment_that_was_named_and_not_begun_holds_nothing() {
    let mut world = World::new();
    let (journal, _) = world.open();
    let given = put(&journal, &content(1, 100)).await.unwrap();
    journal.shut_down().await;
    // What a crash leaves between the new name and the head.
    std::fs::write(segment_path(&world.main(), 2), vec![0; 64 * 1024]).unwrap();
    let recovered = world.look().await;
    assert_eq!((recovered.entries, recovered.findings), (vec![given], vec![]));
}

#[tokio::test]
async fn the_files_of_released_segments_are_used_again_but_for_those_that_somebody_reads() {
    use std::os::unix::fs::MetadataExt as _;

    use crate::reading::VersionReader as _;
    let mut world = World::mirrored();
    world.options.spare_segments = 1;
    let (journal, _) = world.open();
    let mut seen: Vec<(u64, File)> = Vec::new();
    let mut reader = None;
    for seed in 0..40 {
        let shared = Arc::clone(&journal.shared);
        tokio::task::spawn_blocking(move || shared.spares.wait_for(1)).await.unwrap();
        let number = put(&journal, &content(seed, 15_000)).await.unwrap().number();
        let segment = journal.shared.state.lock().live[&number].commit.segment;
        if seen.last().is_none_or(|(last, _)| *last != segment) {
            seen.push((segment, File::open(segment_path(&world.main(), segment)).unwrap()));
        }
        if seed == 0 {
            reader = Some(journal.reader(number).await.unwrap());
        }
        journal.release(&[number]).await;
    }
    // A file that was deleted has no name any more, one that was used again has.
    let names: Vec<u64> = seen.iter().map(|(_, file)| file.metadata().unwrap().nlink()).collect();
    assert_eq!(names[0], 0, "somebody reads it");
    assert!(names[1..names.len() - 1].contains(&1), "no file was used again: {names:?}");
    let (reader, bytes) = (reader.unwrap(), content(0, 15_000));
    let mut read = Vec::new();
    while read.len() < bytes.len() {
        read.extend_from_slice(&reader.read(read.len() as u64..u64::MAX).await.unwrap());
    }
    assert_eq!(read, bytes, "what somebody reads stays as it was");
    journal.shut_down().await;
    let recovered = world.look().await;
    assert_eq!(recovered.findings, []);
    assert!(recovered.entries.iter().all(|entry| entry.number().number > 30), "what was released came back");
}
