//! What was used last, kept in memory; bounded in bytes. The least recently used goes first.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use parking_lot::Mutex;

/// What an entry costs besides its bytes.
const ENTRY_BYTES: usize = 256;

/// Values by key, of at most so many bytes together.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    bytes_max: usize,
    held: Mutex<Held<K, V>>,
}

#[derive(Debug)]
struct Held<K, V> {
    entries: HashMap<K, Entry<V>>,
    order: BTreeMap<u64, K>,
    ticks: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    weight: usize,
    tick: u64,
}

impl<K: Hash + Eq + Clone, V: Clone> Recent<K, V> {
    /// Keeps at most so many bytes.
    pub(crate) fn of_bytes(bytes_max: usize) -> Self {
        let held = Held { entries: HashMap::new(), order: BTreeMap::new(), ticks: 0, bytes: 0 };
        Self { bytes_max, held: Mutex::new(held) }
    }

    /// The value of a key, if it is still there.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let mut held = self.held.lock();
        held.ticks += 1;
        let now = held.ticks;
        let entry = held.entries.get_mut(key)?;
        let (value, before) = (entry.value.clone(), entry.tick);
        entry.tick = now;
        if let Some(key) = held.order.remove(&before) {
            held.order.insert(now, key);
        }
        Some(value)
    }

    /// Remembers; `bytes` is what the value takes in memory, about. What is larger than a quarter of the room is not kept.
    pub(crate) fn put(&self, key: K, value: V, bytes: usize) {
        let weight = bytes.saturating_add(ENTRY_BYTES);
        let mut held = self.held.lock();
        held.forget(&key);
        if weight > self.bytes_max / 4 {
            return;
        }
        held.ticks += 1;
        let tick = held.ticks;
        held.entries.insert(key.clone(), Entry { value, weight, tick });
        held.order.insert(tick, key);
        held.bytes = held.bytes.saturating_add(weight);
        while held.bytes > self.bytes_max {
            let Some(oldest) = held.order.first_key_value().map(|(_, key)| key.clone()) else { break };
            held.forget(&oldest);
        }
    }

    /// Forgets a key.
    pub(crate) fn forget(&self, key: &K) {
        self.held.lock().forget(key);
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        let mut held = self.held.lock();
        held.entries.clear();
        held.order.clear();
        held.bytes = 0;
    }

    /// Bytes that are kept, about.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.held.lock().bytes
    }
}

impl<K: Hash + Eq, V> Held<K, V> {
    fn forget(&mut self, key: &K) {
        if let Some(gone) = self.entries.remove(key) {
            self.order.remove(&gone.tick);
            self.bytes = self.bytes.saturating_sub(gone.weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i12_what_is_kept_stays_within_its_bytes_and_what_was_used_last_stays() {
        let recent = Recent::of_bytes(100_000);
        for key in 0..1000_u32 {
            recent.put(key, key, 1000);
            assert_eq!(recent.get(&0), Some(0), "used again and again, so kept ({key})");
            assert!(recent.bytes() <= 100_000);
        }
        assert_eq!(recent.get(&999), Some(999));
        assert_eq!(recent.get(&1), None);
        recent.put(5000, 1, 50_000);
        assert_eq!(recent.get(&5000), None, "one large value does not empty the cache");
    }

    #[test]
    fn what_was_replaced_or_forgotten_is_not_given() {
        let recent = Recent::of_bytes(100_000);
        recent.put("a", 1, 10);
        recent.put("a", 2, 10);
        assert_eq!(recent.get(&"a"), Some(2));
        recent.put("a", 3, 1_000_000);
        assert_eq!(recent.get(&"a"), None, "what is too large to keep takes the old value with it");
        recent.put("b", 4, 10);
        recent.forget(&"b");
        assert_eq!(recent.get(&"b"), None);
        assert_eq!(recent.bytes(), 0);
        recent.put("c", 5, 10);
        recent.clear();
        assert_eq!((recent.get(&"c"), recent.bytes()), (None, 0));
    }
}
