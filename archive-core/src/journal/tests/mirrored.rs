//! The mirror: what one disk loses the other has, and both are whole again after a start.

use super::*;
use std::os::unix::fs::FileExt as _;

async fn filled(world: &mut World) -> Vec<JournalEntry> {
    let (journal, _) = world.open();
    let mut entries = Vec::new();
    for (seed, length) in [(1, 1200), (2, 40_000), (3, 1200), (4, 900)] {
        entries.push(put(&journal, &content(seed, length)).await.unwrap());
    }
    let bytes = content(1, 1200);
    let leaning = PendingReceipt { shares: Some(entries[0].number()), ..pending(&bytes) };
    entries.push(put_with(&journal, &bytes, leaning).await.unwrap());
    journal.shut_down().await;
    entries
}

fn flip(path: &Path, at: u64) {
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 4], at).unwrap();
}

fn kinds(recovered: &Recovered) -> Vec<FindingKind> {
    recovered.findings.iter().map(|finding| finding.kind).collect()
}

#[tokio::test]
async fn a_mirror_has_the_same_bytes() {
    let mut world = World::mirrored();
    filled(&mut world).await;
    let written = |folder: &Path| std::fs::read(segment_path(folder, 1)).unwrap();
    assert_eq!(written(&world.main()), written(&world.mirror()));
    assert_eq!(files_in(&world.main().join("spill")), files_in(&world.mirror().join("spill")));
}

#[tokio::test]
async fn i1_a_lost_folder_comes_back_from_the_mirror() {
    let mut world = World::mirrored();
    let entries = filled(&mut world).await;
    std::fs::remove_dir_all(world.main()).unwrap();
    let recovered = world.look().await;
    assert_eq!(recovered.entries, entries);
    assert_eq!(kinds(&recovered), [FindingKind::TakenFromMirror]);
    assert!(!recovered.fresh);
    let again = world.look().await;
    assert_eq!((again.entries, again.findings), (entries.clone(), vec![]));
    std::fs::remove_dir_all(world.mirror()).unwrap();
    assert_eq!(world.look().await.entries, entries, "it does not need the mirror any more");
}

#[tokio::test]
async fn a_lost_mirror_is_made_again() {
    let mut world = World::mirrored();
    let entries = filled(&mut world).await;
    std::fs::remove_dir_all(world.mirror()).unwrap();
    let recovered = world.look().await;
    assert_eq!(recovered.entries, entries);
    assert_eq!(kinds(&recovered), [FindingKind::MirrorRestored; 2], "segment and spill file");
    assert_eq!(world.look().await.findings, []);
    std::fs::remove_dir_all(world.main()).unwrap();
    assert_eq!(world.look().await.entries, entries);
}

#[tokio::test]
async fn damage_here_is_replaced_by_what_the_mirror_has_wherever_it_is() {
    let mut world = World::mirrored();
    let entries = filled(&mut world).await;
    let pristine = tempfile::tempdir().unwrap();
    copy_folder(world.folder.path(), pristine.path());
    let segment = segment_path(&world.main(), 1);
    let end = inspect(&segment).unwrap().map(Result::unwrap).last().unwrap().range.end;
    for at in (0..end).step_by(97) {
        std::fs::remove_dir_all(world.main()).unwrap();
        std::fs::remove_dir_all(world.mirror()).unwrap();
        copy_folder(pristine.path(), world.folder.path());
        flip(&segment, at);
        let recovered = world.look().await;
        assert_eq!(recovered.entries, entries, "byte {at}");
        assert_eq!(recovered.lost, []);
        let again = world.look().await;
        assert_eq!((again.entries, again.lost), (entries.clone(), vec![]), "byte {at}");
        let third = world.look().await;
        assert_eq!((&third.entries, &third.lost), (&entries, &vec![]), "byte {at}");
        assert!(third.findings.iter().all(|finding| finding.kind == FindingKind::Damaged), "byte {at}: it settles");
    }
}

#[tokio::test]
async fn a_damaged_spill_file_is_replaced_from_the_mirror_and_the_other_way_round() {
    for broken_is_main in [true, false] {
        let mut world = World::mirrored();
        let entries = filled(&mut world).await;
        let broken = if broken_is_main { world.main() } else { world.mirror() };
        let name = files_in(&broken.join("spill")).remove(0);
        flip(&broken.join("spill").join(&name), 777);
        let recovered = world.look().await;
        assert_eq!(recovered.entries, entries);
        assert!(!recovered.findings.is_empty());
        assert_eq!(world.look().await.findings, []);
        let both =
            [world.main(), world.mirror()].map(|folder| std::fs::read(folder.join("spill").join(&name)).unwrap());
        assert_eq!(both[0], both[1]);
        assert!(files_in(&broken).iter().any(|name| name.starts_with("tail-spill-")), "the damaged one is kept");
    }
}

#[tokio::test]
async fn a_damaged_mirror_is_made_whole_from_the_journal() {
    let mut world = World::mirrored();
    let entries = filled(&mut world).await;
    flip(&segment_path(&world.mirror(), 1), 4096 + 300);
    let recovered = world.look().await;
    assert_eq!((&recovered.entries, &recovered.lost[..]), (&entries, &[][..]));
    assert_eq!(kinds(&recovered), [FindingKind::Damaged, FindingKind::MirrorRestored]);
    assert_eq!(world.look().await.findings, []);
}

#[tokio::test]
async fn what_is_damaged_while_running_is_read_from_the_mirror() {
    let mut world = World::mirrored();
    let (journal, _) = world.open();
    let bytes = content(1, 5000);
    let entry = put(&journal, &bytes).await.unwrap();
    flip(&segment_path(&world.main(), 1), 4096 + 104 + 2500);
    assert_eq!(read_back(&journal, entry.number()).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_release_deletes_in_both_folders() {
    let mut world = World::mirrored();
    let entries = filled(&mut world).await;
    let (journal, _) = world.open();
    let numbers: Vec<ReceiptNumber> = entries.iter().map(JournalEntry::number).collect();
    journal.release(&numbers).await;
    put(&journal, b"makes a newer segment").await.unwrap();
    journal.shut_down().await;
    for folder in [world.main(), world.mirror()] {
        assert!(!segment_path(&folder, 1).exists());
        assert!(files_in(&folder.join("spill")).is_empty());
    }
    let recovered = world.look().await;
    assert_eq!((recovered.entries.len(), recovered.findings), (1, vec![]));
}

#[tokio::test]
async fn a_mirror_on_the_same_folder_is_refused() {
    let mut world = World::new();
    world.options.mirror = Some(world.main());
    assert!(matches!(world.try_open(), Err(JournalError::Options { .. })));
}
