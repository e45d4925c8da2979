//! The probe: may this store hold the ledger?
//!
//! The ledger has one writer because two can never create the same object (promise I13). Whether a store keeps that
//! promise is not to be learnt from its name or its documentation: some servers ignore `If-None-Match`, some check and
//! then write. So it is tried: the same name twice, then 32 at once.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;

use super::{Store, StoreError, StoreKey};
use crate::entropy::Entropy;

/// How many create-only writes race for one name.
pub const RACERS: usize = 32;
/// How often a race that nobody won is run again: servers may refuse all who collide (409).
const RACES_MAX: usize = 3;

/// What a store may be used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LedgerFitness {
    /// Exactly one of many writers wins: good for the ledger, also when another machine takes over.
    Good,
    /// A second write is refused, but several at once may all succeed: good for the ledger as long as one machine
    /// writes; a standing warning belongs to it.
    OneWriterOnly,
    /// A second write overwrites: packs only, never the ledger.
    Unfit,
}

/// The name of a probe object: always below `probe/`, so that nothing else can be removed by it.
#[derive(Clone, Debug)]
pub struct ProbeKey(StoreKey);

impl ProbeKey {
    fn new(nonce: &str, what: &str) -> Result<Self, super::StoreKeyError> {
        StoreKey::parse(&format!("probe/{nonce}-{what}")).map(Self)
    }

    /// The object's name.
    #[must_use]
    pub fn key(&self) -> &StoreKey {
        &self.0
    }
}

/// The bare conditional write of a store, without the settling that [`Store::create`] does.
#[async_trait]
pub trait ConditionalStore: Store {
    /// Creates a probe object if its name is free: `false` when the store refuses because something is there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the outcome is not known.
    async fn put_if_absent(&self, key: &ProbeKey, bytes: Bytes) -> Result<bool, StoreError>;

    /// Removes a probe object, as far as the store allows.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; the object then stays, and does no harm.
    async fn remove_probe(&self, key: &ProbeKey) -> Result<(), StoreError>;
}

/// Tries whether a store creates only what is not there. The probe's objects are removed where the store allows it.
///
/// # Errors
/// [`StoreError::Unavailable`] when a write ended without a clear answer: nothing is known then, and the probe is to be
/// run again.
pub async fn probe(store: Arc<dyn ConditionalStore>, entropy: &dyn Entropy) -> Result<LedgerFitness, StoreError> {
    let mut used = Vec::new();
    let outcome = run(&store, entropy, &mut used).await;
    for key in used {
        if let Err(error) = store.remove_probe(&key).await {
            tracing::debug!(%error, "an object of the probe stays behind");
        }
    }
    outcome
}

async fn run(
    store: &Arc<dyn ConditionalStore>,
    entropy: &dyn Entropy,
    used: &mut Vec<ProbeKey>,
) -> Result<LedgerFitness, StoreError> {
    let twice = draw(store, entropy, "twice", used)?;
    let (first, second) = (Bytes::from_static(b"first"), Bytes::from_static(b"second"));
    if !store.put_if_absent(&twice, first.clone()).await? {
        return Err(unclear(store, &twice, "a name drawn at random was said to exist"));
    }
    let refused = !store.put_if_absent(&twice, second).await?;
    if !refused || store.read(twice.key()).await? != first {
        return Ok(LedgerFitness::Unfit);
    }
    for _ in 0..RACES_MAX {
        match race(store, &draw(store, entropy, "race", used)?).await? {
            Race::OneWinner => return Ok(LedgerFitness::Good),
            Race::Several => return Ok(LedgerFitness::OneWriterOnly),
            Race::Nobody => {}
        }
    }
    Ok(LedgerFitness::OneWriterOnly)
}

enum Race {
    OneWinner,
    Several,
    Nobody,
}

/// Lets many write one name at once, and looks whether what lies there is what the winner wrote.
async fn race(store: &Arc<dyn ConditionalStore>, key: &ProbeKey) -> Result<Race, StoreError> {
    let racers = (0..RACERS).map(|racer| {
        let (store, key) = (Arc::clone(store), key.clone());
        tokio::spawn(async move { store.put_if_absent(&key, body(racer)).await })
    });
    let mut winners = Vec::new();
    for (racer, ended) in join_all(racers).await.into_iter().enumerate() {
        if ended.map_err(|error| StoreError::unavailable(store.name(), "probing with", key.key(), error))?? {
            winners.push(racer);
        }
    }
    Ok(match winners.as_slice() {
        [] => Race::Nobody,
        [winner] if store.read(key.key()).await? == body(*winner) => Race::OneWinner,
        _ => Race::Several,
    })
}

fn body(racer: usize) -> Bytes {
    format!("racer {racer}").into()
}

fn draw(
    store: &Arc<dyn ConditionalStore>,
    entropy: &dyn Entropy,
    what: &str,
    used: &mut Vec<ProbeKey>,
) -> Result<ProbeKey, StoreError> {
    let scratch = |source| StoreError::Identity {
        store: store.name().to_owned(),
        found: format!("no random name for the probe: {source}"),
        advice: "the operating system gives no random bytes".to_owned(),
    };
    let nonce = entropy.nonce().map_err(|error| scratch(error.to_string()))?;
    let key = ProbeKey::new(&nonce, what).map_err(|error| scratch(error.to_string()))?;
    used.push(key.clone());
    Ok(key)
}

fn unclear(store: &Arc<dyn ConditionalStore>, key: &ProbeKey, found: &str) -> StoreError {
    StoreError::unavailable(store.name(), "probing with", key.key(), found.to_owned())
}
