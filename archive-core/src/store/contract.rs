//! What every store must do, as one suite that runs against each: memory, local folder, S3-compatible servers.
//!
//! For tests only (feature `test-support`). It panics where a store breaks the contract. The store must be fresh.
#![allow(clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc, reason = "a suite of tests")]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;

use super::{ConditionalStore, Created, LedgerFitness, Store, StoreError, StoreKey, verify_object};
use crate::identifiers::Sha256Digest;

/// Bytes of the large object: more than one conditional request takes, and no whole number of parts.
const LARGE_BYTES: usize = 40 * 1024 * 1024 + 12_345;

/// Runs the whole suite. `scratch` is an empty folder for files; `fitness` is what the store is known to be: races are
/// run only where exactly one must win.
pub async fn holds(store: Arc<dyn ConditionalStore>, scratch: &Path, fitness: LedgerFitness) {
    what_was_created_reads_back(&*store).await;
    creating_the_same_bytes_again_finds_them_there(&*store).await;
    other_bytes_are_a_conflict_and_change_nothing(&*store).await;
    what_is_not_there_is_said_to_be_absent(&*store).await;
    ranges_are_exact_and_end_inside_the_object(&*store).await;
    listings_are_in_the_order_of_names(&*store).await;
    a_folder_and_names_that_begin_like_it_are_kept_apart(&*store).await;
    a_file_becomes_an_object(&*store, scratch).await;
    a_large_file_becomes_an_object(&*store, scratch).await;
    a_file_that_is_not_what_was_announced_becomes_nothing(&*store, scratch).await;
    many_who_create_the_same_bytes_all_succeed(&store).await;
    if fitness == LedgerFitness::Good {
        of_many_who_create_different_bytes_one_wins(&store).await;
    }
}

/// A name of this suite.
fn key(name: &str) -> StoreKey {
    StoreKey::parse(&format!("documents/{name}")).unwrap()
}

/// Bytes that do not repeat, from a seed.
#[must_use]
pub fn bytes_of(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

async fn what_was_created_reads_back(store: &dyn Store) {
    for (name, length) in [("empty", 0), ("one", 1), ("some", 70_000)] {
        let bytes = Bytes::from(bytes_of(length as u64, length));
        assert_eq!(store.create(&key(name), bytes.clone()).await.unwrap(), Created::New);
        assert_eq!(store.read(&key(name)).await.unwrap(), bytes);
        assert_eq!(store.size(&key(name)).await.unwrap(), Some(length as u64));
        verify_object(store, &key(name), length as u64, Sha256Digest::of(&bytes)).await.unwrap();
    }
}

async fn creating_the_same_bytes_again_finds_them_there(store: &dyn Store) {
    assert_eq!(store.create(&key("again"), "same".into()).await.unwrap(), Created::New);
    assert_eq!(store.create(&key("again"), "same".into()).await.unwrap(), Created::AlreadyThere);
}

async fn other_bytes_are_a_conflict_and_change_nothing(store: &dyn Store) {
    store.create(&key("taken"), "first".into()).await.unwrap();
    for other in ["fir", "first!", "FIRST", ""] {
        let error = store.create(&key("taken"), other.into()).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
        assert_eq!(store.read(&key("taken")).await.unwrap(), "first", "i4: nothing is overwritten");
    }
}

async fn what_is_not_there_is_said_to_be_absent(store: &dyn Store) {
    for name in ["nothing", "no/folder/either"] {
        assert!(matches!(store.read(&key(name)).await, Err(StoreError::NotFound { .. })));
        assert!(matches!(store.read_range(&key(name), 0..1).await, Err(StoreError::NotFound { .. })));
        assert!(matches!(store.read_range(&key(name), 0..0).await, Err(StoreError::NotFound { .. })));
        assert_eq!(store.size(&key(name)).await.unwrap(), None);
        assert_eq!(store.list(&key(name), None, 10).await.unwrap(), vec![]);
    }
}

#[allow(clippy::reversed_empty_ranges, reason = "that is what is refused")]
async fn ranges_are_exact_and_end_inside_the_object(store: &dyn Store) {
    let bytes = Bytes::from(bytes_of(3, 5_000));
    store.create(&key("ranges"), bytes.clone()).await.unwrap();
    for range in [0..5_000, 0..1, 4_999..5_000, 1_000..1_001, 17..4_000, 0..0, 5_000..5_000] {
        let found = store.read_range(&key("ranges"), range.clone()).await.unwrap();
        let (start, end) = (usize::try_from(range.start).unwrap(), usize::try_from(range.end).unwrap());
        assert_eq!(found, bytes.slice(start..end), "{range:?}");
    }
    for range in [0..5_001, 4_999..5_001, 5_000..5_001, 6_000..6_001, 5_001..5_001, 2..1] {
        let error = store.read_range(&key("ranges"), range.clone()).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{range:?}: {error}");
    }
}

async fn listings_are_in_the_order_of_names(store: &dyn Store) {
    // Names whose order changes where a folder's slash is forgotten: '-' < '.' < '/' < '0'.
    let names = ["list/a-b", "list/a.b", "list/a/b", "list/a/c/d", "list/a0", "list/b", "list/z/y/x/w"];
    for name in names.iter().rev() {
        store.create(&key(name), Bytes::from(name.to_string())).await.unwrap();
    }
    let list = async |after: Option<&str>, limit: usize| -> Vec<String> {
        let after = after.map(key);
        let found = store.list(&key("list"), after.as_ref(), limit).await.unwrap();
        found.iter().map(|object| object.key.to_string().replacen("documents/", "", 1)).collect()
    };
    assert_eq!(list(None, 100).await, names);
    assert_eq!(list(None, 3).await, names[..3]);
    assert_eq!(list(None, 0).await, Vec::<String>::new());
    for (index, name) in names.iter().enumerate() {
        assert_eq!(list(Some(name), 100).await, names[index + 1..], "after {name}");
        assert_eq!(list(Some(name), 1).await, names[index + 1..].iter().take(1).copied().collect::<Vec<_>>());
    }
    assert_eq!(list(Some("list/a"), 100).await, names, "a name that is not there");
    let found = store.list(&key("list/a"), None, 10).await.unwrap();
    assert_eq!(found.iter().map(|object| object.size).collect::<Vec<_>>(), [8, 10]);
}

async fn a_folder_and_names_that_begin_like_it_are_kept_apart(store: &dyn Store) {
    for name in ["near/1/a", "near/10/a", "near/1-x"] {
        store.create(&key(name), "x".into()).await.unwrap();
    }
    let found = store.list(&key("near/1"), None, 10).await.unwrap();
    assert_eq!(found.iter().map(|object| &object.key).collect::<Vec<_>>(), [&key("near/1/a")]);
}

async fn a_file_becomes_an_object(store: &dyn Store, scratch: &Path) {
    let (bytes, file) = (bytes_of(5, 300_000), scratch.join("file"));
    std::fs::write(&file, &bytes).unwrap();
    let digest = Sha256Digest::of(&bytes);
    let create = async || store.create_from_file(&key("from-file"), &file, 300_000, digest).await.unwrap();
    assert_eq!(create().await, Created::New);
    assert_eq!(create().await, Created::AlreadyThere);
    assert_eq!(store.read(&key("from-file")).await.unwrap(), bytes);
}

async fn a_large_file_becomes_an_object(store: &dyn Store, scratch: &Path) {
    let (bytes, file) = (bytes_of(7, LARGE_BYTES), scratch.join("large"));
    std::fs::write(&file, &bytes).unwrap();
    let digest = Sha256Digest::of(&bytes);
    let (name, size) = (key(&format!("{digest}.zip")), LARGE_BYTES as u64);
    assert_eq!(store.create_from_file(&name, &file, size, digest).await.unwrap(), Created::New);
    assert_eq!(store.create_from_file(&name, &file, size, digest).await.unwrap(), Created::AlreadyThere);
    verify_object(store, &name, size, digest).await.unwrap();
    let tail = store.read_range(&name, size - 10..size).await.unwrap();
    assert_eq!(tail, bytes[LARGE_BYTES - 10..]);
}

async fn a_file_that_is_not_what_was_announced_becomes_nothing(store: &dyn Store, scratch: &Path) {
    let (bytes, file) = (bytes_of(9, LARGE_BYTES), scratch.join("other"));
    std::fs::write(&file, &bytes).unwrap();
    let (right, wrong) = (Sha256Digest::of(&bytes), Sha256Digest::of(b"something else"));
    let size = LARGE_BYTES as u64;
    for (name, size, digest) in [("a", size, wrong), ("b", size - 1, right), ("c", size + 1, right), ("d", 100, right)]
    {
        let name = key(&format!("{digest}-{name}"));
        let error = store.create_from_file(&name, &file, size, digest).await.unwrap_err();
        assert!(matches!(error, StoreError::Scratch { .. }), "{error}");
        assert_eq!(store.size(&name).await.unwrap(), None);
    }
}

async fn many_who_create_the_same_bytes_all_succeed(store: &Arc<dyn ConditionalStore>) {
    let racers = (0..16).map(|_| {
        let store = Arc::clone(store);
        tokio::spawn(async move { store.create(&key("shared"), "everybody's".into()).await })
    });
    for ended in join_all(racers).await {
        ended.unwrap().unwrap();
    }
    assert_eq!(store.read(&key("shared")).await.unwrap(), "everybody's");
}

async fn of_many_who_create_different_bytes_one_wins(store: &Arc<dyn ConditionalStore>) {
    let racers = (0..32).map(|racer| {
        let store = Arc::clone(store);
        tokio::spawn(async move { store.create(&key("race"), format!("racer {racer}").into()).await })
    });
    let mut winners = Vec::new();
    for (racer, ended) in join_all(racers).await.into_iter().enumerate() {
        match ended.unwrap() {
            Ok(created) => {
                assert_eq!(created, Created::New);
                winners.push(racer);
            }
            Err(error) => assert!(matches!(error, StoreError::Conflict { .. }), "{error}"),
        }
    }
    let [winner] = winners[..] else { panic!("{} of 32 won", winners.len()) };
    assert_eq!(store.read(&key("race")).await.unwrap(), format!("racer {winner}"));
}
