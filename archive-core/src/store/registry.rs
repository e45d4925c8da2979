//! The stores of an archive together: which is the ledger's home, which count, which may lag, which is read first.

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use futures::future::try_join_all;

use super::{SharedStore, StoreError, StoreKey, verify_object};
use crate::identifiers::{Sha256Digest, StoreId};
use crate::ledger::entry::{StoreEntry, StoreRole};

/// One store with its part in the archive.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its id, as its `archive.json` says.
    pub id: StoreId,
    /// Its part, as the ledger says.
    pub role: StoreRole,
    /// The store. Its identity was checked before it came here ([`super::check_identity`]).
    pub store: SharedStore,
}

/// Why stores do not make an archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreSetError {
    /// Not exactly one store is the ledger's home.
    #[error("{found} stores are the ledger's home; exactly one must be, and only a takeover changes which")]
    Homes {
        /// How many there are.
        found: usize,
    },
    /// One store appears twice.
    #[error(
        "store {name} ({id}) appears twice: two names of the configuration lead to one place, or one name is used twice"
    )]
    Twice {
        /// The name of the second.
        name: String,
        /// Its id.
        id: StoreId,
    },
}

/// All stores of an archive, in the order in which they are read.
#[derive(Clone, Debug)]
pub struct StoreSet {
    members: Vec<Member>,
    home: Member,
}

impl StoreSet {
    /// The stores of an archive; `members` in the order in which they are to be read, the nearest first.
    ///
    /// # Errors
    /// [`StoreSetError`] unless exactly one is home and all differ in id and name.
    pub fn new(members: Vec<Member>) -> Result<Self, StoreSetError> {
        let homes: Vec<&Member> = members.iter().filter(|member| member.role == StoreRole::Home).collect();
        let [home] = homes[..] else { return Err(StoreSetError::Homes { found: homes.len() }) };
        let home = home.clone();
        let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
        for member in &members {
            if !ids.insert(&member.id) || !names.insert(member.store.name()) {
                return Err(StoreSetError::Twice { name: member.store.name().to_owned(), id: member.id.clone() });
            }
        }
        Ok(Self { members, home })
    }

    /// The ledger's home.
    #[must_use]
    pub fn home(&self) -> &Member {
        &self.home
    }

    /// The stores that count for sealed, holds and deletions: home first, then the required ones.
    pub fn required(&self) -> impl Iterator<Item = &Member> {
        std::iter::once(self.home()).chain(self.with_role(StoreRole::Required))
    }

    /// The stores that get copies and may lag.
    pub fn lagging(&self) -> impl Iterator<Item = &Member> {
        self.with_role(StoreRole::Lagging)
    }

    /// All stores in the order in which they are to be read.
    pub fn read_order(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// The store with an id.
    #[must_use]
    pub fn get(&self, id: &StoreId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == *id)
    }

    /// The stores as a ledger entry names them.
    #[must_use]
    pub fn entries(&self) -> Vec<StoreEntry> {
        self.members.iter().map(|member| StoreEntry { store: member.id.clone(), role: member.role }).collect()
    }

    /// Creates an object in every required store at once and reads it back from each. Gives the stores that have it.
    ///
    /// # Errors
    /// The first failure; some stores may have the object by then, and creating it again finds it there.
    pub async fn create_in_required(&self, key: &StoreKey, bytes: Bytes) -> Result<Vec<StoreId>, StoreError> {
        let (size, sha256) = (bytes.len() as u64, Sha256Digest::of(&bytes));
        try_join_all(self.required().map(|member| {
            let bytes = bytes.clone();
            async move {
                member.store.create(key, bytes).await?;
                verify_object(&*member.store, key, size, sha256).await?;
                Ok(member.id.clone())
            }
        }))
        .await
    }

    /// As [`StoreSet::create_in_required`], from a local file of known size and digest.
    ///
    /// # Errors
    /// As there, and [`StoreError::Scratch`] when the file is not what was announced.
    pub async fn create_file_in_required(
        &self,
        key: &StoreKey,
        file: &Path,
        size: u64,
        sha256: Sha256Digest,
    ) -> Result<Vec<StoreId>, StoreError> {
        try_join_all(self.required().map(|member| async move {
            member.store.create_from_file(key, file, size, sha256).await?;
            verify_object(&*member.store, key, size, sha256).await?;
            Ok(member.id.clone())
        }))
        .await
    }

    fn with_role(&self, role: StoreRole) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(move |member| member.role == role)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{MemoryStore, Store as _};
    use super::*;

    fn member(store: &Arc<MemoryStore>, digit: &str, role: StoreRole) -> Member {
        let shared: SharedStore = store.clone();
        Member { id: StoreId::parse(&digit.repeat(32)).unwrap(), role, store: shared }
    }

    #[test]
    fn exactly_one_store_is_home_and_none_appears_twice() {
        let (a, b) = (MemoryStore::named("a"), MemoryStore::named("b"));
        let home = member(&a, "1", StoreRole::Home);
        assert_eq!(StoreSet::new(vec![]).unwrap_err(), StoreSetError::Homes { found: 0 });
        let two = vec![home.clone(), member(&b, "2", StoreRole::Home)];
        assert_eq!(StoreSet::new(two).unwrap_err(), StoreSetError::Homes { found: 2 });
        for twice in [member(&b, "1", StoreRole::Required), member(&a, "2", StoreRole::Lagging)] {
            assert!(matches!(StoreSet::new(vec![home.clone(), twice]), Err(StoreSetError::Twice { .. })));
        }
    }

    #[tokio::test]
    async fn an_object_is_created_and_read_back_in_every_required_store_and_in_no_other() {
        let (far, home, near) = (MemoryStore::named("far"), MemoryStore::named("home"), MemoryStore::named("near"));
        let stores = StoreSet::new(vec![
            member(&near, "3", StoreRole::Required),
            member(&home, "1", StoreRole::Home),
            member(&far, "2", StoreRole::Lagging),
        ])
        .unwrap();
        let key = StoreKey::parse("studies/00/1.2/a.zip").unwrap();
        let have = stores.create_in_required(&key, "bytes".into()).await.unwrap();
        assert_eq!(have, vec![stores.home().id.clone(), StoreId::parse(&"3".repeat(32)).unwrap()]);
        assert_eq!((near.size(&key).await.unwrap(), home.size(&key).await.unwrap()), (Some(5), Some(5)));
        assert_eq!(far.size(&key).await.unwrap(), None);
        assert_eq!(stores.read_order().next().unwrap().store.name(), "near");
    }

    #[tokio::test]
    async fn a_store_that_has_other_bytes_fails_the_whole() {
        let (home, near) = (MemoryStore::named("home"), MemoryStore::named("near"));
        let stores =
            StoreSet::new(vec![member(&home, "1", StoreRole::Home), member(&near, "3", StoreRole::Required)]).unwrap();
        let key = StoreKey::parse("studies/00/1.2/a.zip").unwrap();
        near.create(&key, "others".into()).await.unwrap();
        let error = stores.create_in_required(&key, "bytes".into()).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { ref store, .. } if store == "near"), "{error}");
    }

    #[tokio::test]
    async fn i9_reading_back_finds_a_changed_byte_and_a_missing_one() {
        let store = MemoryStore::named("home");
        let key = StoreKey::parse("studies/00/1.2/a.zip").unwrap();
        let digest = Sha256Digest::of(b"bytes");
        assert!(matches!(verify_object(&*store, &key, 5, digest).await, Err(StoreError::NotFound { .. })));
        for damaged in ["bytez", "byte"] {
            store.damage(&key, damaged.into());
            assert!(matches!(verify_object(&*store, &key, 5, digest).await, Err(StoreError::Damaged { .. })));
        }
        store.damage(&key, "bytes".into());
        verify_object(&*store, &key, 5, digest).await.unwrap();
    }
}
