//! What the gate is shown of an orphan: when it was written, what it holds, and what of that was read back just now from
//! packs that the ledger names.
//!
//! Nothing vouches for an orphan, so it is opened by its own bytes, and these must have the digest in its name. Where they
//! do not, or make no pack, nothing is known of what it holds, and nothing that is not known can be found elsewhere: the
//! gate then leaves it. Indexes are compared first, for they are small; only where all of it seems to lie elsewhere is
//! anything read whole.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::slice;
use std::sync::Arc;

use super::Archive;
use super::gate_ports::{evidence, index_now, open_now, pack_of};
use super::verify::verify_content;
use crate::identifiers::{Sha256Digest, SopUid, StoreId};
use crate::instance::VersionKey;
use crate::pack::{DamageObserver, IndexedVersion, PackRef, unvouched};
use crate::reading::ReadError;
use crate::store::gate::{OrphanEvidence, PortError, orphan_of};
use crate::store::{Member, SharedStore, StoreError, StoreKey, StoredObject, listed, verify_object};

/// Whoever reads an orphan reads something that was never promised to be whole.
#[derive(Debug)]
struct NothingPromised;

impl DamageObserver for NothingPromised {
    fn damaged(&self, _store: &str, _pack: &PackRef, _what: &str) {}
    fn missing(&self, _store: &str, _pack: &PackRef) {}
}

/// What packs that the ledger names hold of the versions of an orphan.
#[derive(Default)]
struct Elsewhere {
    lines: Vec<IndexedVersion>,
    /// The packs that the lines are of.
    packs: Vec<(PackRef, Range<usize>)>,
    /// Why some of it could not be read: then nobody knows what there is.
    unread: Option<ReadError>,
}

impl Archive {
    /// Looks at an object that no entry names, and reads what it holds back from elsewhere.
    pub(super) async fn look_at_orphan(&self, store: &StoreId, key: &StoreKey) -> Result<OrphanEvidence, PortError> {
        let member = self.stores.get(store).ok_or_else(|| evidence(format!("there is no store {store}")))?;
        let gone = || StoreError::NotFound { store: member.store.name().to_owned(), key: key.clone() };
        let object = listed(&*member.store, key).await?.ok_or_else(gone)?;
        // Nothing is disposed of in this version.
        let disposed = BTreeSet::new();
        let modified = object.modified;
        let unknown = |error: ReadError| match error {
            ReadError::Store(StoreError::Unavailable { .. } | StoreError::NotFound { .. })
            | ReadError::Local { .. } => Err(evidence(error)),
            error => {
                tracing::warn!(%error, "a pack that no ledger entry names cannot be opened; it stays");
                Ok(OrphanEvidence { modified, orphan: Vec::new(), elsewhere: Vec::new(), disposed: BTreeSet::new() })
            }
        };
        let (pack, orphan) = match open_orphan(member, &object).await {
            Ok(opened) => opened,
            Err(error) => return unknown(error),
        };
        let mut elsewhere = self.lines_elsewhere(&pack, &orphan).await;
        let is_worth_reading = orphan_of(&orphan, &elsewhere.lines, &disposed).is_ok();
        if is_worth_reading
            && let Err(error) = read_back(&member.store, &pack, &orphan, Arc::new(NothingPromised)).await
        {
            return unknown(error);
        }
        self.read_elsewhere_back(&mut elsewhere, is_worth_reading).await;
        match elsewhere.unread {
            // Perhaps it is there: only who can read it knows.
            Some(error) if orphan_of(&orphan, &elsewhere.lines, &disposed).is_err() => Err(evidence(error)),
            _ => Ok(OrphanEvidence { modified, orphan, elsewhere: elsewhere.lines, disposed }),
        }
    }

    /// The lines of the versions of an orphan in the packs of its study that count, as their indexes say that hang on the
    /// ledger.
    async fn lines_elsewhere(&self, orphan: &PackRef, index: &[IndexedVersion]) -> Elsewhere {
        let version = |line: &IndexedVersion| (line.facts.keys.sop.clone(), line.facts.version.clone());
        let versions: HashSet<(SopUid, VersionKey)> = index.iter().map(version).collect();
        let stores: Vec<SharedStore> = self.stores.read_order().map(|member| member.store.clone()).collect();
        let mut packs = self.history.lock().packs_of(&orphan.study);
        // Were it named at this very moment, it would be no evidence for its own deletion.
        packs.retain(|pack| pack.pack != orphan.pack);
        let mut elsewhere = Elsewhere::default();
        for pack in packs {
            match index_now(&stores, &pack, self.damage_observer(), |line| versions.contains(&version(line))).await {
                Ok(lines) => {
                    let first = elsewhere.lines.len();
                    elsewhere.lines.extend(lines);
                    elsewhere.packs.push((pack, first..elsewhere.lines.len()));
                }
                Err(error) => {
                    elsewhere.unread.get_or_insert(error);
                }
            }
        }
        elsewhere
    }

    /// Reads the contents of these lines back; what was not read back is not held.
    async fn read_elsewhere_back(&self, elsewhere: &mut Elsewhere, is_worth_reading: bool) {
        for (pack, range) in &elsewhere.packs {
            let Some(lines) = elsewhere.lines.get_mut(range.clone()) else { continue };
            if !lines.iter().any(|line| line.has_content) {
                continue;
            }
            if is_worth_reading {
                match self.read_back_anywhere(pack, lines).await {
                    Ok(()) => continue,
                    Err(error) => {
                        elsewhere.unread.get_or_insert(error);
                    }
                }
            }
            lines.iter_mut().for_each(|line| line.has_content = false);
        }
    }

    /// Reads contents of a pack back from the first store that has it whole.
    async fn read_back_anywhere(&self, pack: &PackRef, lines: &[IndexedVersion]) -> Result<(), ReadError> {
        let mut worst = None;
        for member in self.stores.read_order() {
            match read_back(&member.store, pack, lines, self.damage_observer()).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    if matches!(error, ReadError::Store(StoreError::Damaged { .. })) {
                        self.damage_observer().damaged(member.store.name(), pack, "the whole pack");
                    }
                    worst.get_or_insert(error);
                }
            }
        }
        let nowhere =
            || ReadError::NotUnderstood { object: format!("pack {}", pack.pack), what: "no store has it".into() };
        Err(worst.unwrap_or_else(nowhere))
    }
}

/// What an orphan says of itself.
async fn open_orphan(member: &Member, object: &StoredObject) -> Result<(PackRef, Vec<IndexedVersion>), ReadError> {
    let named = pack_of(&object.key);
    let named =
        named.map_err(|error| ReadError::NotUnderstood { object: object.key.to_string(), what: error.to_string() })?;
    let pack = unvouched(&*member.store, &object.key, named, object.size).await?;
    let stores = slice::from_ref(&member.store);
    let index = index_now(stores, &pack, Arc::new(NothingPromised), |_| true).await?;
    Ok((pack, index))
}

/// Reads a pack in one store to its last byte and compares the digest in its name, then the contents of these lines.
async fn read_back(
    store: &SharedStore,
    pack: &PackRef,
    lines: &[IndexedVersion],
    observer: Arc<dyn DamageObserver>,
) -> Result<(), ReadError> {
    let strange =
        |what: &str| ReadError::NotUnderstood { object: format!("pack {}", pack.pack), what: what.to_owned() };
    let key = pack.key().map_err(|error| strange(&error.to_string()))?;
    verify_object(&**store, &key, pack.size, Sha256Digest::from_raw(*pack.pack.as_raw())).await?;
    let reader = open_now(slice::from_ref(store), pack, observer).await?;
    for line in lines.iter().filter(|line| line.has_content) {
        let version = reader.version(line.line).await?;
        let version = version.ok_or_else(|| strange("a line of its index has no bytes any more"))?;
        verify_content(&version, &line.facts).await?;
    }
    Ok(())
}
