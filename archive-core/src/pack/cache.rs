//! What readers of packs remember: roots, units of index and metadata and where their lines end, blocks of tables; bounded
//! in bytes.
//!
//! Only what was checked gets in, and a key holds the digest of the root by which it was checked.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::root::Root;
use crate::identifiers::Sha256Digest;

/// A root, and where in its pack something lies.
pub(crate) type CacheKey = (Sha256Digest, u64);

/// What is remembered.
#[derive(Clone, Debug)]
pub(crate) enum Cached {
    Root(Arc<Root>),
    Part(Bytes),
    LineEnds(Arc<[usize]>),
}

/// What all readers of packs share: the least recently used goes first.
#[derive(Debug)]
pub struct PackCache {
    bytes_max: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    entries: HashMap<CacheKey, Entry>,
    order: BTreeMap<u64, CacheKey>,
    ticks: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    value: Cached,
    weight: usize,
    tick: u64,
}

/// What an entry costs besides its bytes.
const ENTRY_BYTES: usize = 256;

impl PackCache {
    /// A cache of at most so many bytes.
    #[must_use]
    pub fn of_bytes(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, held: Mutex::default() })
    }

    pub(crate) fn get(&self, key: &CacheKey) -> Option<Cached> {
        let mut held = self.held.lock();
        held.ticks += 1;
        let now = held.ticks;
        let entry = held.entries.get_mut(key)?;
        let (value, before) = (entry.value.clone(), entry.tick);
        entry.tick = now;
        held.order.remove(&before);
        held.order.insert(now, *key);
        Some(value)
    }

    /// Remembers; `bytes` is what the value takes in memory, about. What is larger than a quarter of the cache is not kept.
    pub(crate) fn put(&self, key: CacheKey, value: Cached, bytes: usize) {
        let weight = bytes.saturating_add(ENTRY_BYTES);
        if weight > self.bytes_max / 4 {
            return;
        }
        let mut held = self.held.lock();
        held.ticks += 1;
        let tick = held.ticks;
        if let Some(old) = held.entries.insert(key, Entry { value, weight, tick }) {
            held.order.remove(&old.tick);
            held.bytes = held.bytes.saturating_sub(old.weight);
        }
        held.order.insert(tick, key);
        held.bytes = held.bytes.saturating_add(weight);
        while held.bytes > self.bytes_max {
            let Some((_, oldest)) = held.order.pop_first() else { break };
            if let Some(gone) = held.entries.remove(&oldest) {
                held.bytes = held.bytes.saturating_sub(gone.weight);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i12_the_cache_stays_within_its_bytes_and_keeps_what_was_used_last() {
        let cache = PackCache::of_bytes(100_000);
        let root = Sha256Digest::of(b"root");
        for offset in 0..1000 {
            cache.put((root, offset), Cached::Part(Bytes::from(vec![0; 1000])), 1000);
            assert!(cache.get(&(root, 0)).is_some(), "used again and again, so kept ({offset})");
            assert!(cache.held.lock().bytes <= 100_000);
        }
        assert!(cache.get(&(root, 999)).is_some());
        assert!(cache.get(&(root, 1)).is_none());
        cache.put((root, 5000), Cached::Part(Bytes::new()), 50_000);
        assert!(cache.get(&(root, 5000)).is_none(), "one large part does not empty the cache");
    }
}
