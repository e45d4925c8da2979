//! Keeps the first few of many things that come in no order: memory is bounded by what a page needs.

use std::collections::BTreeMap;

/// The smallest keys seen behind a starting point.
#[derive(Debug)]
pub(super) struct Smallest<K, V> {
    after: Option<K>,
    limit: usize,
    kept: BTreeMap<K, V>,
}

impl<K: Ord, V> Smallest<K, V> {
    /// Keeps at most `limit`, all above `after`.
    pub(super) fn new(after: Option<K>, limit: usize) -> Self {
        Self { after, limit, kept: BTreeMap::new() }
    }

    /// Whether something with this key would be kept.
    pub(super) fn wants(&self, key: &K) -> bool {
        let full = self.kept.len() >= self.limit;
        let behind = self.after.as_ref().is_some_and(|after| key <= after);
        let above = full && self.kept.last_key_value().is_none_or(|(last, _)| key >= last);
        !behind && !above
    }

    /// Offers a thing.
    pub(super) fn offer(&mut self, key: K, make: impl FnOnce() -> V) {
        if !self.wants(&key) {
            return;
        }
        self.kept.insert(key, make());
        if self.kept.len() > self.limit {
            self.kept.pop_last();
        }
    }

    /// What was kept, ascending.
    pub(super) fn into_kept(self) -> BTreeMap<K, V> {
        self.kept
    }
}
