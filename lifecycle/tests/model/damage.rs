//! Bytes that are flipped where they lie, and objects that vanish; and what may be missing then.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use archive_core::store::{Store as _, StoreKey};
use archive_core::testing::FaultStore;
use bytes::Bytes;

use crate::world::World;

/// What was damaged, with the bytes that were there before.
#[derive(Default, Debug)]
pub(crate) struct Damage {
    originals: BTreeMap<(String, StoreKey), Bytes>,
}

impl Damage {
    /// Changes a byte of a pack. Gives whether there was one.
    pub(crate) async fn flip(&mut self, store: &FaultStore, pack: u8, at: u16, bits: u8) -> bool {
        let Some((key, bytes)) = self.choose(store, pack).await else { return false };
        store.flip(&key, bytes.len() * usize::from(at) / (usize::from(u16::MAX) + 1), bits).await
    }

    /// Takes a pack away. Gives whether there was one.
    pub(crate) async fn lose(&mut self, store: &FaultStore, pack: u8) -> bool {
        let Some((key, _)) = self.choose(store, pack).await else { return false };
        store.inner().lose(&key);
        true
    }

    async fn choose(&mut self, store: &FaultStore, pack: u8) -> Option<(StoreKey, Bytes)> {
        let packs = store.packs().await;
        let key = packs.get(usize::from(pack).checked_rem(packs.len())?)?.clone();
        let bytes = store.inner().read(&key).await.unwrap();
        let name = archive_core::store::Store::name(store).to_owned();
        self.originals.entry((name, key.clone())).or_insert_with(|| bytes.clone());
        Some((key, bytes))
    }

    /// Every damaged pack gets its bytes back; of those that are gone, the ones that are wanted.
    pub(crate) async fn put_back(&mut self, world: &World, is_wanted: impl Fn(&StoreKey) -> bool) {
        for ((name, key), bytes) in std::mem::take(&mut self.originals) {
            let store = store_of(world, &name);
            if is_wanted(&key) || store.inner().read(&key).await.is_ok() {
                store.inner().damage(&key, bytes);
            } else {
                self.originals.insert((name, key), bytes);
            }
        }
    }

    /// Whether one copy of a pack is not what it was.
    pub(crate) async fn has(&self, store: &FaultStore, key: &StoreKey) -> bool {
        match self.originals.get(&(store.inner().name().to_owned(), key.clone())) {
            None => false,
            Some(original) => store.inner().read(key).await.ok().as_ref() != Some(original),
        }
    }

    /// Names of packs that were damaged anywhere and are not what they were.
    pub(crate) async fn damaged(&self, world: &World) -> BTreeSet<(String, StoreKey)> {
        let mut damaged = BTreeSet::new();
        for (name, key) in self.originals.keys() {
            let store = store_of(world, name);
            if self.has(store, key).await {
                damaged.insert((name.clone(), key.clone()));
            }
        }
        damaged
    }

    /// Whether anything at all is not what it was.
    pub(crate) async fn any(&self, world: &World) -> bool {
        !self.damaged(world).await.is_empty()
    }

    /// Whether a version may be unreadable that lies at these places: only if it lies in packs alone, and no store has a
    /// good copy of any of them.
    pub(crate) async fn excuses(&self, world: &World, places: &str) -> bool {
        for place in places.split(", ") {
            let Some(pack) = place.strip_prefix("pack ") else { return false };
            if self.has_good_copy(world, pack).await {
                return false;
            }
        }
        true
    }

    async fn has_good_copy(&self, world: &World, pack: &str) -> bool {
        for store in world.stores() {
            let ending = format!("/{pack}.zip");
            for key in store.packs().await.into_iter().filter(|key| key.as_str().ends_with(&ending)) {
                if !self.has(store, &key).await {
                    return true;
                }
            }
        }
        false
    }

    /// Whether a pack of a study has no good copy.
    pub(crate) async fn is_in(&self, world: &World, study: &str) -> bool {
        for (_, key) in self.damaged(world).await {
            let pack = key.as_str().rsplit('/').next().and_then(|name| name.strip_suffix(".zip")).unwrap_or_default();
            if key.as_str().contains(&format!("/{study}/")) && !self.has_good_copy(world, pack).await {
                return true;
            }
        }
        false
    }
}

fn store_of<'a>(world: &'a World, name: &str) -> &'a Arc<FaultStore> {
    world.stores().find(|store| store.inner().name() == name).unwrap()
}

/// Changes a byte of a file of the journal. Gives whether there was one.
pub(crate) fn flip_in_journal(world: &World, file: u8, at: u16, bits: u8) -> bool {
    let files = journal_files(world);
    let Some(path) = usize::from(file).checked_rem(files.len()).and_then(|at| files.get(at)) else { return false };
    let mut bytes = std::fs::read(path).unwrap();
    // What is reserved and not used is zeros.
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let at = used * usize::from(at) / (usize::from(u16::MAX) + 1);
    let Some(byte) = bytes.get_mut(at).filter(|_| used > 0) else { return false };
    *byte ^= bits;
    std::fs::write(path, bytes).unwrap();
    true
}

/// Segments and spill files, in the order of their names.
pub(crate) fn journal_files(world: &World) -> Vec<PathBuf> {
    let journal = world.data().join("journal");
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in [journal.clone(), journal.join("spill")] {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        files.extend(entries.map(|entry| entry.path()).filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            path.is_file() && (name.starts_with("segment-") || path.parent().is_some_and(|p| p.ends_with("spill")))
        }));
    }
    files.sort();
    files
}
