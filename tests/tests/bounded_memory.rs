//! I12: a large object passes through a store without passing through memory. Alone in its process, for it looks at the
//! peak of the whole process.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io::Write as _;

use archive_core::entropy::SystemEntropy;
use archive_core::identifiers::Sha256Digest;
use archive_core::store::{Created, LocalStore, S3Store, Store, StoreKey, contract, verify_object};
use system_tests::s3_server::S3Server;
use tempfile::TempDir;

const MIB: usize = 1024 * 1024;
/// Much more than a store may hold in memory.
const OBJECT_BYTES: usize = 192 * MIB;
/// What both stores together may add: parts, pieces, buffers of the connection, and the allocator's slack.
const GROWTH_BYTES_MAX: u64 = 128 * MIB as u64;

/// The most memory that this process ever held, in bytes (`VmHWM` of proc(5)).
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_a_large_object_passes_through_in_bounded_memory() {
    let (scratch, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (file, piece) = (scratch.path().join("large"), contract::bytes_of(17, MIB));
    let mut large = std::fs::File::create(&file).unwrap();
    for _ in 0..OBJECT_BYTES / MIB {
        large.write_all(&piece).unwrap();
    }
    drop(large);
    let local = LocalStore::create("disk", folder.path(), SystemEntropy::shared()).await.unwrap();
    let digest = digest_by_pieces(&piece, OBJECT_BYTES / MIB);
    let (key, size) = (StoreKey::parse(&format!("studies/ab/1.2/{digest}.zip")).unwrap(), OBJECT_BYTES as u64);
    let before = peak();
    assert_eq!(local.create_from_file(&key, &file, size, digest).await.unwrap(), Created::New);
    verify_object(&local, &key, size, digest).await.unwrap();
    if let Some(server) = S3Server::start() {
        let bucket = S3Store::open("bucket", &server.options()).unwrap();
        assert_eq!(bucket.create_from_file(&key, &file, size, digest).await.unwrap(), Created::New);
        verify_object(&bucket, &key, size, digest).await.unwrap();
    }
    let growth = peak() - before;
    println!("{} MiB more than before", growth / MIB as u64);
    assert!(growth < GROWTH_BYTES_MAX, "{} MiB more than before, for {} MiB", growth / MIB as u64, OBJECT_BYTES / MIB);
}

fn digest_by_pieces(piece: &[u8], count: usize) -> Sha256Digest {
    use sha2::{Digest as _, Sha256};
    let mut digest = Sha256::new();
    for _ in 0..count {
        digest.update(piece);
    }
    Sha256Digest::from_raw(digest.finalize().into())
}
