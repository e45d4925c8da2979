//! The local store under faults, crashes, links and strangers.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::entropy::{SeededEntropy, SystemEntropy};
use crate::store::contract;
use crate::store::probe::{LedgerFitness, probe};

/// Records every step; from the nth on, all fail, as they would for a process that died there.
#[derive(Debug)]
struct Script {
    seen: Mutex<Vec<Step>>,
    count: AtomicUsize,
    fail_from: usize,
    fail_to: usize,
    errno: i32,
}

impl Script {
    fn failing(from: usize, to: usize, errno: Errno) -> Arc<Self> {
        let errno = errno.raw_os_error();
        Arc::new(Self { seen: Mutex::default(), count: AtomicUsize::new(0), fail_from: from, fail_to: to, errno })
    }

    fn recording() -> Arc<Self> {
        Self::failing(usize::MAX, usize::MAX, Errno::IO)
    }

    fn taken(&self) -> Vec<Step> {
        std::mem::take(&mut *self.seen.lock())
    }
}

impl Steps for Script {
    fn before(&self, step: Step) -> io::Result<()> {
        let index = self.count.fetch_add(1, Ordering::SeqCst);
        if (self.fail_from..self.fail_to).contains(&index) {
            return Err(io::Error::from_raw_os_error(self.errno));
        }
        self.seen.lock().push(step);
        Ok(())
    }
}

fn key(name: &str) -> StoreKey {
    StoreKey::parse(name).unwrap()
}

/// A store as it is from its first write on.
fn opened(folder: &Path, steps: Arc<dyn Steps>) -> LocalStore {
    let store = LocalStore::open_now("disk", folder, SystemEntropy::shared(), steps).unwrap();
    let _entered = store.folder.stage().unwrap();
    store
}

fn plain(folder: &Path) -> LocalStore {
    opened(folder, Arc::new(Undisturbed))
}

/// Names of files in the staging area, the lock aside.
fn staged(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for part in std::fs::read_dir(folder.join(".stage")).unwrap() {
        for file in std::fs::read_dir(part.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.file_name().unwrap() != "lock" {
                found.push(path);
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_store_keeps_the_contract() {
    let (folder, scratch) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    contract::holds(Arc::new(plain(folder.path())), scratch.path(), LedgerFitness::Good).await;
    assert_eq!(staged(folder.path()), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn i13_a_local_store_is_good_for_the_ledger_and_the_probe_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let store = plain(folder.path());
    let fitness = probe(Arc::new(store.clone()), &*SeededEntropy::from_seed(1)).await.unwrap();
    assert_eq!(fitness, LedgerFitness::Good);
    assert_eq!(store.list(&key("probe"), None, 10).await.unwrap(), vec![]);
}

#[tokio::test]
async fn i1_the_file_is_synced_before_it_has_a_name_and_every_folder_after() {
    let folder = TempDir::new().unwrap();
    let script = Script::recording();
    let store = opened(folder.path(), script.clone());
    store.create(&key("studies/ab/1.2/pack.zip"), "bytes".into()).await.unwrap();
    use Step::{DropStage, MakeFolder, OpenStage, Publish, SyncFile, SyncFolder, Write};
    assert_eq!(
        script.taken(),
        [
            OpenStage, Write, SyncFile, MakeFolder, MakeFolder, MakeFolder, Publish, SyncFolder, SyncFolder,
            SyncFolder, SyncFolder, DropStage
        ]
    );
}

#[tokio::test]
async fn i1_what_is_found_there_is_synced_before_it_is_relied_on() {
    let folder = TempDir::new().unwrap();
    plain(folder.path()).create(&key("studies/ab/pack.zip"), "bytes".into()).await.unwrap();
    let script = Script::recording();
    let store = opened(folder.path(), script.clone());
    assert_eq!(store.create(&key("studies/ab/pack.zip"), "bytes".into()).await.unwrap(), Created::AlreadyThere);
    assert_eq!(script.taken(), [Step::SyncFile, Step::SyncFolder, Step::SyncFolder, Step::SyncFolder]);
}

/// How many steps one create takes.
async fn steps_of_a_create() -> usize {
    let folder = TempDir::new().unwrap();
    let script = Script::recording();
    opened(folder.path(), script.clone()).create(&key("a/b/c"), "bytes".into()).await.unwrap();
    script.taken().len()
}

/// What must be true after a create that failed somewhere: the object is whole or absent, and trying again succeeds.
async fn assert_whole_or_absent_and_healed(folder: &Path, at: usize) {
    let again = plain(folder);
    assert_eq!(staged(folder), Vec::<PathBuf>::new(), "step {at}: leftovers are swept at open");
    if again.size(&key("a/b/c")).await.unwrap().is_some() {
        assert_eq!(again.read(&key("a/b/c")).await.unwrap(), "bytes", "step {at}");
    }
    again.create(&key("a/b/c"), "bytes".into()).await.unwrap();
    assert_eq!(again.read(&key("a/b/c")).await.unwrap(), "bytes", "step {at}");
}

#[tokio::test]
async fn i14_a_create_that_fails_at_any_step_leaves_all_or_nothing() {
    let steps = steps_of_a_create().await;
    for errno in [Errno::IO, Errno::NOSPC, Errno::ROFS] {
        for at in 0..steps - 1 {
            let folder = TempDir::new().unwrap();
            let script = Script::failing(at, at + 1, errno);
            let store = opened(folder.path(), script);
            let error = store.create(&key("a/b/c"), "bytes".into()).await.unwrap_err();
            assert!(matches!(error, StoreError::Unavailable { .. }), "step {at}: {error}");
            assert_eq!(staged(folder.path()), Vec::<PathBuf>::new(), "step {at}: nothing is left in the stage");
            store.create(&key("a/b/c"), "bytes".into()).await.unwrap();
            drop(store);
            assert_whole_or_absent_and_healed(folder.path(), at).await;
        }
    }
}

#[tokio::test]
async fn a_crash_at_any_step_leaves_all_or_nothing_and_is_swept() {
    for at in 0..steps_of_a_create().await {
        let folder = TempDir::new().unwrap();
        let store = opened(folder.path(), Script::failing(at, usize::MAX, Errno::IO));
        let _ = store.create(&key("a/b/c"), "bytes".into()).await;
        // What `Drop` would tidy is left lying, as the kernel leaves it: only the lock goes with its process.
        let abandoned = staged(folder.path());
        drop(store);
        assert_eq!(staged(folder.path()), abandoned, "step {at}");
        assert_whole_or_absent_and_healed(folder.path(), at).await;
    }
}

#[tokio::test]
async fn a_full_disk_says_so_and_what_to_do() {
    let folder = TempDir::new().unwrap();
    let store = opened(folder.path(), Script::failing(1, 2, Errno::NOSPC));
    let text = store.create(&key("a/b"), "bytes".into()).await.unwrap_err().to_string();
    assert!(text.contains("a/b") && text.contains("disk is full") && text.contains("free some room"), "{text}");
}

#[tokio::test]
async fn a_second_process_sweeps_nothing_that_the_first_is_writing() {
    let folder = TempDir::new().unwrap();
    let first = plain(folder.path());
    let being_written = first.folder.stage().unwrap().open(&Undisturbed).unwrap();
    let _second = plain(folder.path());
    assert_eq!(staged(folder.path()).len(), 1);
    drop((being_written, first));
    let _third = plain(folder.path());
    assert_eq!(staged(folder.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn what_a_killed_process_left_is_swept_though_its_lock_file_lies_there() {
    let folder = TempDir::new().unwrap();
    let left = folder.path().join(".stage/0123");
    std::fs::create_dir_all(&left).unwrap();
    for file in ["lock", "0", "17"] {
        std::fs::write(left.join(file), "half a pack").unwrap();
    }
    let _store = plain(folder.path());
    assert!(!left.exists());
}

#[tokio::test]
async fn opening_and_reading_create_nothing_and_the_first_write_sweeps() {
    let folder = TempDir::new().unwrap();
    let open = || LocalStore::open("disk", folder.path(), SystemEntropy::shared());
    let store = open().await.unwrap();
    assert_eq!(store.size(&key("archive.json")).await.unwrap(), None);
    assert_eq!(store.list(&key("studies"), None, 1).await.unwrap(), vec![]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nobody knows yet whose folder this is");
    let left = folder.path().join(".stage/0123");
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("0"), "half a pack").unwrap();
    open().await.unwrap().create(&key("a/b"), "bytes".into()).await.unwrap();
    assert!(!left.exists());
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_no_empty_store() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("not-mounted");
    assert!(LocalStore::open("disk", &root, SystemEntropy::shared()).await.is_err());
    assert!(!root.exists());
    LocalStore::create("disk", &root.join("deep"), SystemEntropy::shared()).await.unwrap();
    LocalStore::open("disk", &root.join("deep"), SystemEntropy::shared()).await.unwrap();
}

#[tokio::test]
async fn nothing_is_called_absent_once_the_folder_is_another() {
    let parent = TempDir::new().unwrap();
    let root = parent.path().join("store");
    std::fs::create_dir(&root).unwrap();
    let store = plain(&root);
    store.create(&key("a/b"), "bytes".into()).await.unwrap();
    assert_eq!(store.size(&key("a/c")).await.unwrap(), None);
    std::fs::rename(&root, parent.path().join("away")).unwrap();
    std::fs::create_dir(&root).unwrap();
    assert!(matches!(store.size(&key("a/c")).await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(store.read(&key("a/c")).await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(store.list(&key("nothing"), None, 1).await, Err(StoreError::Unavailable { .. })));
}

#[tokio::test]
async fn no_path_leads_through_a_symbolic_link() {
    let (folder, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    std::fs::write(outside.path().join("secret"), "outside").unwrap();
    std::fs::create_dir(folder.path().join("studies")).unwrap();
    symlink(outside.path(), folder.path().join("studies/link")).unwrap();
    symlink(outside.path().join("secret"), folder.path().join("studies/file")).unwrap();
    symlink(outside.path().join("nothing"), folder.path().join("studies/dangling")).unwrap();
    let store = plain(folder.path());
    for name in ["studies/link/secret", "studies/link/new", "studies/file", "studies/dangling"] {
        assert!(matches!(store.read(&key(name)).await, Err(StoreError::Unavailable { .. })), "{name}");
        assert!(matches!(store.size(&key(name)).await, Err(StoreError::Unavailable { .. })), "{name}");
        let error = store.create(&key(name), "mine".into()).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{name}: {error}");
    }
    assert_eq!(store.list(&key("studies"), None, 10).await.unwrap(), vec![]);
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(std::fs::read_to_string(outside.path().join("secret")).unwrap(), "outside");
}

#[tokio::test]
async fn a_listing_passes_over_what_is_no_object() {
    let folder = TempDir::new().unwrap();
    let store = plain(folder.path());
    store.create(&key("studies/ab/pack.zip"), "bytes".into()).await.unwrap();
    std::fs::write(folder.path().join("studies/.DS_Store"), "x").unwrap();
    std::fs::write(folder.path().join("studies/a name with blanks"), "x").unwrap();
    std::fs::create_dir(folder.path().join("studies/empty")).unwrap();
    let found = store.list(&key("studies"), None, 10).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].key, key("studies/ab/pack.zip"));
}

#[tokio::test]
async fn files_and_folders_are_for_the_archives_user_alone() {
    let folder = TempDir::new().unwrap();
    plain(folder.path()).create(&key("studies/pack.zip"), "bytes".into()).await.unwrap();
    let mode = |path: &str| std::fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("studies"), mode("studies/pack.zip"), mode(".stage")), (0o700, 0o600, 0o700));
    let links = std::fs::metadata(folder.path().join("studies/pack.zip")).unwrap().nlink();
    assert_eq!(links, 1, "an object shares its bytes with nothing");
}

#[tokio::test]
async fn i4_a_damaged_object_is_a_conflict_and_stays_as_evidence() {
    let folder = TempDir::new().unwrap();
    let store = plain(folder.path());
    store.create(&key("a/b"), "bytes".into()).await.unwrap();
    std::fs::write(folder.path().join("a/b"), "bytez").unwrap();
    assert!(matches!(store.create(&key("a/b"), "bytes".into()).await, Err(StoreError::Conflict { .. })));
    assert_eq!(store.read(&key("a/b")).await.unwrap(), "bytez");
}

#[tokio::test]
async fn a_staging_area_that_was_taken_away_is_made_anew() {
    let folder = TempDir::new().unwrap();
    let store = plain(folder.path());
    std::fs::remove_dir_all(folder.path().join(".stage")).unwrap();
    let error = store.create(&key("a/b"), "bytes".into()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert_eq!(store.create(&key("a/b"), "bytes".into()).await.unwrap(), Created::New);
}

#[tokio::test]
async fn i1_a_delete_is_synced_before_it_is_said_to_be_done() {
    let folder = TempDir::new().unwrap();
    plain(folder.path()).create(&key("a/b"), "bytes".into()).await.unwrap();
    let script = Script::recording();
    let store = opened(folder.path(), script.clone());
    let delete = async || store.delete(Permit::for_test("disk", &key("a/b"))).await;
    assert!(matches!(delete().await, DeleteOutcome::Gone));
    assert_eq!(script.taken(), [Step::Unlink, Step::SyncFolder, Step::SyncFolder]);
    assert!(matches!(delete().await, DeleteOutcome::WasAbsent));
    assert_eq!(script.taken(), [Step::Unlink, Step::SyncFolder, Step::SyncFolder], "absent durably too");
}

#[tokio::test]
async fn a_delete_whose_sync_fails_has_no_known_outcome_and_a_refused_one_has() {
    let folder = TempDir::new().unwrap();
    plain(folder.path()).create(&key("a/b"), "bytes".into()).await.unwrap();
    let delete = async |fail: usize, errno: Errno| {
        let store = opened(folder.path(), Script::failing(fail, fail + 1, errno));
        store.delete(Permit::for_test("disk", &key("a/b"))).await
    };
    assert!(matches!(delete(0, Errno::ROFS).await, DeleteOutcome::Refused(_)));
    assert!(folder.path().join("a/b").exists());
    assert!(matches!(delete(1, Errno::IO).await, DeleteOutcome::Unknown(_)));
}

fn names() -> impl Strategy<Value = std::collections::BTreeSet<String>> {
    // Few letters, so that names collide as prefixes; a name that is a folder of another is left out below.
    proptest::collection::btree_set("[ab.~0-]{1,2}(/[ab-]{1,2}){0,2}", 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_listing_is_what_a_sorted_map_would_say(names in names(), pages in 1_usize..6) {
        let folder = TempDir::new().unwrap();
        let store = plain(folder.path());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut model: Vec<StoreKey> = Vec::new();
        for name in names {
            let Ok(key) = StoreKey::parse(&format!("x/{name}")) else { continue };
            if runtime.block_on(store.create(&key, "x".into())).is_ok() {
                model.push(key);
            }
        }
        model.sort();
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = runtime.block_on(store.list(&key("x"), after.as_ref(), pages)).unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            found.extend(page.into_iter().map(|object| object.key));
        }
        prop_assert_eq!(found, model);
    }
}
