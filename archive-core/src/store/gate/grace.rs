//! Grace: how long a superseded pack has been superseded, counted in time that the archive was up.
//!
//! Uptime, because a machine that was off for a day gave nobody the chance to notice a bad merge. It is accumulated
//! from the monotonic clock and kept in a file of the data folder; what a crash forgets only makes the grace longer.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::identifiers::StoreId;
use crate::store::StoreKey;

/// `gate.grace`, unless configured otherwise.
pub const GRACE_DEFAULT: Duration = Duration::from_secs(24 * 60 * 60);
/// How many packs may wait at once; further ones begin their grace when there is room.
pub const WAITING_MAX: usize = 100_000;
/// The version of the file's format.
const FORMAT: u32 = 1;

/// Why the file of graces could not be read. It may be thrown away: every grace then begins anew.
#[derive(Debug, thiserror::Error)]
pub enum GraceError {
    /// It is no JSON of the expected form.
    #[error("the file of graces cannot be read: {0}; move it away, every grace then begins anew")]
    Json(#[from] serde_json::Error),
    /// It was written by a newer program.
    #[error("the file of graces has format {0}; use the program that wrote it, or move it away")]
    Format(u32),
}

/// Packs that wait for their grace to be over.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Grace {
    waiting: BTreeMap<(StoreId, StoreKey), Duration>,
    last: Option<Duration>,
}

/// The file: one JSON object.
#[derive(Serialize, Deserialize)]
struct GraceFile {
    format: u32,
    waiting: Vec<Waiting>,
}

#[derive(Serialize, Deserialize)]
struct Waiting {
    store: StoreId,
    object: String,
    uptime_seconds: u64,
}

impl Grace {
    /// Begins the grace of an object, at this count of the monotonic clock; one that waits already goes on waiting.
    /// `false` when there is no room.
    pub fn begin(&mut self, store: &StoreId, key: &StoreKey, monotonic: Duration) -> bool {
        // The time before it began must not be counted by the next tick.
        self.tick(monotonic);
        let entry = (store.clone(), key.clone());
        if self.waiting.len() >= WAITING_MAX && !self.waiting.contains_key(&entry) {
            return false;
        }
        self.waiting.entry(entry).or_default();
        true
    }

    /// Adds the time since the last call to all that wait. `monotonic` is the clock's count; a count that is lower than
    /// the last one (another process) adds nothing.
    pub fn tick(&mut self, monotonic: Duration) {
        let since = self.last.map_or(Duration::ZERO, |last| monotonic.saturating_sub(last));
        self.last = Some(monotonic);
        for waited in self.waiting.values_mut() {
            *waited = waited.saturating_add(since);
        }
    }

    /// How long an object has waited, as of the last tick; zero for one that does not wait.
    #[must_use]
    pub fn waited(&self, store: &StoreId, key: &StoreKey) -> Duration {
        self.waiting.get(&(store.clone(), key.clone())).copied().unwrap_or_default()
    }

    /// Objects whose grace is over.
    pub fn over(&self, grace: Duration) -> impl Iterator<Item = (&StoreId, &StoreKey)> {
        self.waiting.iter().filter(move |(_, waited)| **waited >= grace).map(|((store, key), _)| (store, key))
    }

    /// The object is gone, or is not superseded after all.
    pub fn forget(&mut self, store: &StoreId, key: &StoreKey) {
        self.waiting.remove(&(store.clone(), key.clone()));
    }

    /// The bytes of the file: one JSON object. Parts of a second are forgotten.
    ///
    /// # Errors
    /// Never in practice.
    pub fn to_json(&self) -> Result<Vec<u8>, GraceError> {
        let waiting = self.waiting.iter().map(|((store, key), waited)| Waiting {
            store: store.clone(),
            object: key.to_string(),
            uptime_seconds: waited.as_secs(),
        });
        Ok(serde_json::to_vec(&GraceFile { format: FORMAT, waiting: waiting.collect() })?)
    }

    /// Reads the bytes of the file. Time begins to count at the first tick.
    ///
    /// # Errors
    /// [`GraceError`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, GraceError> {
        let file: GraceFile = serde_json::from_slice(bytes)?;
        if file.format != FORMAT {
            return Err(GraceError::Format(file.format));
        }
        let mut grace = Self::default();
        for Waiting { store, object, uptime_seconds } in file.waiting.into_iter().take(WAITING_MAX) {
            // A name that no object can have waits for nothing.
            if let Ok(key) = StoreKey::parse(&object) {
                grace.waiting.insert((store, key), Duration::from_secs(uptime_seconds));
            }
        }
        Ok(grace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn pack(name: &str) -> (StoreId, StoreKey) {
        (StoreId::parse(&"1".repeat(32)).unwrap(), StoreKey::parse(name).unwrap())
    }

    #[test]
    fn grace_counts_uptime_only_and_survives_a_restart() {
        let (store, key) = pack("studies/00/1.2/a.zip");
        let mut grace = Grace::default();
        grace.tick(5 * HOUR);
        assert!(grace.begin(&store, &key, 9 * HOUR));
        assert_eq!(grace.waited(&store, &key), Duration::ZERO, "what came before it began does not count");
        grace.tick(20 * HOUR);
        let mut next_process = Grace::from_json(&grace.to_json().unwrap()).unwrap();
        next_process.tick(HOUR);
        assert_eq!(next_process.waited(&store, &key), 11 * HOUR, "the time between the processes does not count");
        next_process.tick(13 * HOUR);
        assert_eq!(next_process.over(23 * HOUR).collect::<Vec<_>>(), vec![(&store, &key)]);
        assert_eq!(next_process.over(24 * HOUR).count(), 0);
    }

    #[test]
    fn beginning_again_does_not_begin_anew_and_forgetting_does() {
        let (store, key) = pack("studies/00/1.2/a.zip");
        let mut grace = Grace::default();
        grace.begin(&store, &key, HOUR);
        grace.begin(&store, &key, 3 * HOUR);
        assert_eq!(grace.waited(&store, &key), 2 * HOUR);
        grace.forget(&store, &key);
        grace.begin(&store, &key, 4 * HOUR);
        assert_eq!(grace.waited(&store, &key), Duration::ZERO);
    }

    #[test]
    fn a_clock_that_counts_less_than_before_adds_nothing() {
        let (store, key) = pack("studies/00/1.2/a.zip");
        let mut grace = Grace::default();
        grace.begin(&store, &key, 9 * HOUR);
        grace.tick(HOUR);
        assert_eq!(grace.waited(&store, &key), Duration::ZERO);
    }

    #[test]
    fn a_newer_file_is_refused_and_rubbish_too() {
        assert!(matches!(Grace::from_json(br#"{"format":2,"waiting":[]}"#), Err(GraceError::Format(2))));
        assert!(matches!(Grace::from_json(b"{\"format\":1,"), Err(GraceError::Json(_))));
    }
}
