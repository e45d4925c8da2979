//! What the gate asks the archive before anything is deleted: the ledger, and evidence from the stores themselves, never
//! from the catalog.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use futures::StreamExt as _;
use jiff::Timestamp;

use super::Archive;
use super::error::ArchiveError;
use crate::identifiers::{PackId, Sha256Digest, StoreId, StudyUid, uid_path_component};
use crate::ledger::entry::{EntryBody, Ground};
use crate::ledger::{Head, LedgerState, find_end};
use crate::pack::{DamageObserver, IndexedVersion, PackCache, PackReader, PackRef};
use crate::reading::ReadError;
use crate::store::gate::{GroundCheck, LedgerPort, OpenIntent, OrphanEvidence, PortError, SupersededEvidence};
use crate::store::{SharedStore, StoreKey, verify_object};

/// The archive as the gate sees it.
#[derive(Debug)]
pub(super) struct GatePorts {
    archive: Weak<Archive>,
}

impl GatePorts {
    pub(super) fn of(archive: &Arc<Archive>) -> Arc<Self> {
        Arc::new(Self { archive: Arc::downgrade(archive) })
    }

    fn archive(&self) -> Result<Arc<Archive>, PortError> {
        self.archive.upgrade().ok_or_else(|| PortError::Ledger("the archive is closed".to_owned()))
    }
}

fn ledger(error: ArchiveError) -> PortError {
    PortError::Ledger(error.to_string())
}

pub(super) fn evidence(error: impl std::fmt::Display) -> PortError {
    PortError::Evidence(error.to_string())
}

/// The pack that an object's name names.
pub(super) fn pack_of(key: &StoreKey) -> Result<PackId, PortError> {
    let name = key.as_str().rsplit('/').next().and_then(|name| name.strip_suffix(".zip"));
    name.and_then(|name| PackId::parse(name).ok()).ok_or_else(|| evidence(format!("{key} is no pack")))
}

/// The study of the pack that an object's name names: as the ledger knows it, or as the name itself says.
pub(super) fn study_of(archive: &Archive, key: &StoreKey) -> Option<StudyUid> {
    let known = archive.history.lock().study_of(&pack_of(key).ok()?);
    known.or_else(|| {
        let folder = key.segments().nth(2)?;
        StudyUid::parse(folder).ok().filter(|study| uid_path_component(study.as_str()) == folder)
    })
}

impl GatePorts {
    /// Brings a store that may lag up to the ledger: a delete there is announced there too.
    async fn feed(archive: &Archive, store: &StoreId, head: &Head) -> Result<(), PortError> {
        let fed = archive.ledger.feed(store, head).await.map_err(|error| ledger(archive.ledger_failed(error)))?;
        let lacking = || PortError::Ledger(format!("store {store} does not have the entries that announce deletes"));
        if fed { Ok(()) } else { Err(lacking()) }
    }
}

#[async_trait]
impl LedgerPort for GatePorts {
    async fn intend(&self, ground: Ground, store: &StoreId, key: &StoreKey) -> Result<u64, PortError> {
        let archive = self.archive()?;
        let head = archive.ledger.head().ok_or_else(|| PortError::Ledger("it has no head".to_owned()))?;
        // Asked before anything is announced: a store that is away would be announced the same again and again.
        Self::feed(&archive, store, &head).await?;
        let study = study_of(&archive, key);
        let after = archive.history.lock().after();
        let objects = vec![key.clone()];
        let intended = EntryBody::DeleteIntended { ground, store: store.clone(), study, objects, after };
        let appended = archive.record_everywhere(vec![intended]).await.map_err(ledger)?;
        if !appended.standing.stores.contains(store) {
            Self::feed(&archive, store, &appended.standing.head).await?;
        }
        Ok(appended.last)
    }

    async fn deleted(&self, ground: Ground, store: &StoreId, key: &StoreKey, intended: u64) -> Result<(), PortError> {
        let archive = self.archive()?;
        let study = study_of(&archive, key);
        let deleted = EntryBody::Deleted { ground, store: store.clone(), study, objects: vec![key.clone()], intended };
        archive.record(vec![deleted]).await.map(|_| ()).map_err(ledger)
    }

    async fn check_heads(&self) -> Result<(), PortError> {
        let archive = self.archive()?;
        let head = archive.ledger.head().ok_or_else(|| PortError::Ledger("it has no head".to_owned()))?;
        for member in archive.stores.required() {
            let found = find_end(&*member.store).await.map_err(|error| PortError::Ledger(error.to_string()))?;
            if found != LedgerState::EndsAt(head.position()) {
                return Err(PortError::Ledger(format!(
                    "store {} does not end where this process wrote last",
                    member.store.name()
                )));
            }
        }
        Ok(())
    }

    async fn named_by_ledger(&self, key: &StoreKey) -> Result<bool, PortError> {
        Ok(self.archive()?.history.lock().names(&pack_of(key)?))
    }

    async fn open_intents(&self) -> Result<Vec<OpenIntent>, PortError> {
        Ok(self.archive()?.history.lock().open_intents())
    }

    async fn vouched_now(&self) -> Result<Timestamp, PortError> {
        Ok(self.archive()?.ledger.vouched_now())
    }
}

#[async_trait]
impl GroundCheck for GatePorts {
    async fn superseded(&self, store: &StoreId, key: &StoreKey) -> Result<SupersededEvidence, PortError> {
        let archive = self.archive()?;
        let (old, successor) = {
            let history = archive.history.lock();
            let id = pack_of(key)?;
            let old = history.replaced(&id).ok_or_else(|| evidence(format!("{key} was not replaced")))?.old.clone();
            let successor = history.successor(&id).cloned();
            (old, successor.ok_or_else(|| evidence(format!("what replaced {key} does not count")))?)
        };
        let member = archive.stores.get(store).ok_or_else(|| evidence(format!("there is no store {store}")))?;
        let successor_key = successor.key().map_err(evidence)?;
        let sha256 = Sha256Digest::from_raw(*successor.pack.as_raw());
        verify_object(&*member.store, &successor_key, successor.size, sha256).await?;
        let grace = archive.grace.lock().waited(store, key);
        Ok(SupersededEvidence {
            old: archive.index_in(store, &old).await?,
            new: archive.index_in(store, &successor).await?,
            successors: vec![successor_key],
            grace,
        })
    }

    async fn orphan(&self, store: &StoreId, key: &StoreKey) -> Result<OrphanEvidence, PortError> {
        let archive = self.archive()?;
        let mut closing = archive.closing.subscribe();
        tokio::select! {
            biased;
            // Reading may take minutes, and nothing depends on its end.
            _ = closing.wait_for(|closing| *closing) => Err(evidence("the archive is being stopped")),
            looked = archive.look_at_orphan(store, key) => looked,
        }
    }
}

impl Archive {
    /// The index of a pack as one store has it.
    async fn index_in(&self, store: &StoreId, pack: &PackRef) -> Result<Vec<IndexedVersion>, PortError> {
        let member = self.stores.get(store).ok_or_else(|| evidence(format!("there is no store {store}")))?;
        let stores = [member.store.clone()];
        index_now(&stores, pack, self.damage_observer(), |_| true).await.map_err(evidence)
    }
}

/// A pack opened in these stores with a cache of its own: what the gate believes is read just now.
pub(super) async fn open_now(
    stores: &[SharedStore],
    pack: &PackRef,
    observer: Arc<dyn DamageObserver>,
) -> Result<PackReader, ReadError> {
    PackReader::open(stores, pack.clone(), &PackCache::of_bytes(EVIDENCE_CACHE_BYTES), observer).await
}

/// Lines of the index of a pack, read just now.
pub(super) async fn index_now(
    stores: &[SharedStore],
    pack: &PackRef,
    observer: Arc<dyn DamageObserver>,
    wanted: impl Fn(&IndexedVersion) -> bool,
) -> Result<Vec<IndexedVersion>, ReadError> {
    let reader = open_now(stores, pack, observer).await?;
    let mut lines = reader.index(reader.lines());
    let mut index = Vec::new();
    while let Some(line) = lines.next().await {
        index.extend(Some(line?).filter(&wanted));
    }
    Ok(index)
}

/// Memory for reading the index of one pack as evidence (bytes).
const EVIDENCE_CACHE_BYTES: usize = 16 * 1024 * 1024;
