//! The bytes of format 1, as they were when it was written down (docs/FORMAT.md, "Journal"). They never change: a
//! change of the format is a new version beside this one (promise I15).

use super::*;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/journal-1")
}

const FILES: [&str; 2] = ["segment-0000000001.journal", "spill/814dd7b9784d57c15b9c2972e9b4fd6c.bin"];

/// A small instance, a larger one in a file of its own, a duplicate of the first.
async fn sample(world: &mut World) {
    world.seed = 0;
    world.options.inline_bytes = 100;
    let (journal, _) = world.open();
    let (small, large) = (content(1, 40), content(2, 2500));
    let owner = put(&journal, &small).await.unwrap();
    put(&journal, &large).await.unwrap();
    let duplicate = PendingReceipt { shares: Some(owner.number()), prefix: None, ..pending(&small) };
    put_with(&journal, &small, duplicate).await.unwrap();
    journal.shut_down().await;
}

#[tokio::test]
async fn i15_format_1_is_written_as_it_was() {
    let mut world = World::new();
    sample(&mut world).await;
    let spill = files_in(&world.main().join("spill")).remove(0);
    if std::env::var_os("VELLUM_BLESS").is_some() && !golden().exists() {
        copy_folder(&world.main(), &golden());
        std::fs::remove_file(golden().join("lock")).unwrap();
    }
    assert_eq!(format!("spill/{spill}"), FILES[1]);
    for name in FILES {
        let (written, expected) = (std::fs::read(world.main().join(name)), std::fs::read(golden().join(name)));
        assert!(written.unwrap() == expected.unwrap(), "{name} differs from the golden file");
    }
}

#[tokio::test]
async fn i15_format_1_is_read_as_it_was() {
    let mut world = World::new();
    copy_folder(&golden(), &world.main());
    let (journal, recovered) = world.open();
    assert_eq!((numbers(&recovered), &recovered.findings[..]), (vec![1, 2, 3], &[][..]));
    let [small, large, duplicate] = &recovered.entries[..] else { panic!("{recovered:?}") };
    assert_eq!(read_back(&journal, small.number()).await.unwrap(), content(1, 40));
    assert_eq!(read_back(&journal, large.number()).await.unwrap(), content(2, 2500));
    assert_eq!(read_back(&journal, duplicate.number()).await.unwrap(), content(1, 40));
    assert_eq!((duplicate.shares, &duplicate.held.prefix), (Some(small.number()), &None));
    assert_eq!(small.held.prefix.as_deref(), Some(&b"the prefix that came"[..]));
    assert_eq!(large.facts, facts_of(&content(2, 2500)));
}
