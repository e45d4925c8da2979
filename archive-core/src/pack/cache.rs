//! What readers of packs remember: roots, units of index and metadata and where their lines end, blocks of tables; bounded
//! in bytes.
//!
//! Only what was checked gets in, and a key holds the digest of the root by which it was checked.

use std::sync::Arc;

use bytes::Bytes;

use super::root::Root;
use crate::identifiers::Sha256Digest;
use crate::recent::Recent;

/// A root, and where in its pack something lies.
pub(crate) type CacheKey = (Sha256Digest, u64);

/// What is remembered.
#[derive(Clone, Debug)]
pub(crate) enum Cached {
    Root(Arc<Root>),
    Part(Bytes),
    LineEnds(Arc<[usize]>),
}

/// What all readers of packs share.
#[derive(Debug)]
pub struct PackCache(Recent<CacheKey, Cached>);

impl PackCache {
    /// A cache of at most so many bytes.
    #[must_use]
    pub fn of_bytes(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self(Recent::of_bytes(bytes_max)))
    }

    pub(crate) fn get(&self, key: &CacheKey) -> Option<Cached> {
        self.0.get(key)
    }

    /// Remembers; `bytes` is what the value takes in memory, about.
    pub(crate) fn put(&self, key: CacheKey, value: Cached, bytes: usize) {
        self.0.put(key, value, bytes);
    }
}
