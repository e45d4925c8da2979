//! Reading a pack does not hold up the runtime: long runs are decompressed and compared elsewhere.

use std::pin::pin;

use futures::FutureExt as _;

use super::*;
use crate::off_runtime::all_places;

#[tokio::test]
async fn long_runs_are_compared_off_the_runtime_and_short_ones_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let pieces = [Piece::Header(smooth(1, 300)), Piece::Frame(smooth(2, 1 << 20)), Piece::Frame(noise(3, 1 << 20))];
    let wanted = TestVersion::new("1.1", "1.2.1", 1, &pieces);
    let built = build(folder.path(), std::slice::from_ref(&wanted));
    let stores: [SharedStore; 1] = [stored("one", &built).await];
    let taken = all_places().await;
    // Root and index are short.
    let reader = open(&stores, &built.pack).now_or_never().unwrap().unwrap();
    let version = reader.version(0).now_or_never().unwrap().unwrap().unwrap();
    assert_eq!(version.read(0..300).now_or_never().unwrap().unwrap(), wanted.content[..300]);
    let mut frame = pin!(version.read(300..300 + (1 << 20)));
    assert!(frame.as_mut().now_or_never().is_none(), "it waits for a place");
    drop(taken);
    assert_eq!(frame.await.unwrap(), wanted.content[300..300 + (1 << 20)]);
}

#[tokio::test]
async fn a_long_index_is_opened_off_the_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let version = |n: u64| TestVersion::new("1.1", &format!("1.2.{n}"), n, &[Piece::Header(smooth(n, 10))]);
    let versions: Vec<TestVersion> = (1..=300).map(version).collect();
    let built = build(folder.path(), &versions);
    let stores: [SharedStore; 1] = [stored("one", &built).await];
    let reader = open(&stores, &built.pack).await.unwrap();
    let taken = all_places().await;
    let mut line = pin!(reader.line(7));
    assert!(line.as_mut().now_or_never().is_none(), "it waits for a place");
    drop(taken);
    assert_eq!(line.await.unwrap().facts, versions[7].facts);
}
