//! Reading an object back: what a store says it has is compared with what was written, byte by byte.

use std::ops::Range;

use super::{Store, StoreError, StoreKey};
use crate::identifiers::Sha256Digest;
use crate::off_runtime::PiecewiseSha256;

/// Bytes asked for at once; the most that reading back holds in memory.
pub(super) const PIECE_BYTES: u64 = 8 * 1024 * 1024;

/// Reads a whole object from a store, in pieces, and compares size and SHA-256.
///
/// # Errors
/// [`StoreError::Damaged`] when it differs, [`StoreError::NotFound`] when there is none, [`StoreError::Unavailable`]
/// when nobody can tell.
pub async fn verify_object(
    store: &dyn Store,
    key: &StoreKey,
    size: u64,
    sha256: Sha256Digest,
) -> Result<(), StoreError> {
    let damaged = |found| StoreError::Damaged { store: store.name().to_owned(), key: key.clone(), found };
    match store.size(key).await? {
        None => return Err(StoreError::NotFound { store: store.name().to_owned(), key: key.clone() }),
        Some(there) if there != size => return Err(damaged(format!("it has {there} bytes and should have {size}"))),
        Some(_) => {}
    }
    let found = digest_in_store(store, key, size).await?;
    if found == sha256 { Ok(()) } else { Err(damaged(format!("its SHA-256 is {found} and should be {sha256}"))) }
}

/// The SHA-256 of an object of known size as it reads back now.
pub(super) async fn digest_in_store(store: &dyn Store, key: &StoreKey, size: u64) -> Result<Sha256Digest, StoreError> {
    let mut digest = PiecewiseSha256::default();
    for range in pieces(size) {
        let piece = store.read_range(key, range).await?;
        let ended = |error| StoreError::unavailable(store.name(), "comparing", key, error);
        digest.update(&piece).await.map_err(ended)?;
    }
    Ok(Sha256Digest::from_raw(digest.finish()))
}

fn pieces(size: u64) -> impl Iterator<Item = Range<u64>> {
    (0..size.div_ceil(PIECE_BYTES)).map(move |index| {
        let start = index * PIECE_BYTES;
        start..size.min(start + PIECE_BYTES)
    })
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use bytes::Bytes;
    use futures::FutureExt as _;

    use super::*;
    use crate::off_runtime::all_places;
    use crate::store::MemoryStore;

    #[tokio::test]
    async fn a_large_object_is_compared_off_the_runtime() {
        let store = MemoryStore::named("memory");
        let bytes = Bytes::from(vec![1; 1 << 20]);
        let key = StoreKey::parse("studies/large").unwrap();
        store.create(&key, bytes.clone()).await.unwrap();
        let taken = all_places().await;
        let mut compared = pin!(verify_object(&*store, &key, 1 << 20, Sha256Digest::of(&bytes)));
        assert!(compared.as_mut().now_or_never().is_none(), "it waits for a place");
        drop(taken);
        compared.await.unwrap();
    }
}
