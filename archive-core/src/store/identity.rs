//! Who a store is: `archive.json`, written last when a store joins an archive, read before anything else ever after.
//!
//! It keeps three accidents from becoming losses: an empty bucket or an unmounted disk in the place of a store, two
//! stores exchanged in the configuration, and a program that is older than the store's format. Nothing may be written
//! to a store, and nothing may be called missing in it, before its identity was checked.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, StoreKey};
use crate::identifiers::{ArchiveId, StoreId};

/// The store format that this program writes, and the newest that it reads.
pub const STORE_FORMAT: u32 = 1;
/// The name of the file that says who a store is.
pub const ARCHIVE_FILE: &str = "archive.json";
/// The name of the file that tells a person what this is.
pub const README_FILE: &str = "README.txt";
/// The name of the program that reads a store without Vellum.
pub const EXTRACT_FILE: &str = "extract.py";

/// Folders that only a store in use has.
const FOLDERS_IN_USE: [&str; 4] = ["studies", "ledger", "documents", "quarantine"];

/// What `archive.json` says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoreIdentity {
    /// The version of the store's format: [`STORE_FORMAT`].
    pub format: u32,
    /// The archive that it belongs to.
    pub archive: ArchiveId,
    /// The store itself.
    pub store: StoreId,
    /// When it joined the archive, by the system clock.
    pub created: Timestamp,
}

impl StoreIdentity {
    /// The identity of a store that joins an archive now.
    #[must_use]
    pub fn new(archive: ArchiveId, store: StoreId, created: Timestamp) -> Self {
        Self { format: STORE_FORMAT, archive, store, created }
    }

    /// The bytes of `archive.json`: one JSON object, pretty enough to read, and a line feed.
    fn to_bytes(&self) -> Result<Bytes, serde_json::Error> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text.into())
    }
}

/// The part of `archive.json` that every format has, for ever.
#[derive(Deserialize)]
struct AnyFormat {
    format: u32,
    /// The oldest program that reads it; every format after the first says so.
    #[serde(default)]
    needs: Option<String>,
}

/// Reads who a store is; `None` for one that has no `archive.json`.
///
/// # Errors
/// [`StoreError::Identity`] for a newer format and for an `archive.json` that cannot be read;
/// [`StoreError::Unavailable`] when the store cannot be reached.
pub async fn read_identity(store: &dyn Store) -> Result<Option<StoreIdentity>, StoreError> {
    let key = key(store, ARCHIVE_FILE)?;
    let bytes = match store.read(&key).await {
        Ok(bytes) => bytes,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let unreadable = |error: serde_json::Error| {
        let found = format!("its archive.json cannot be read (line {}, column {})", error.line(), error.column());
        refused(
            store,
            found,
            "compare it with archive.json in another copy of the archive and put the right bytes back",
        )
    };
    let any: AnyFormat = serde_json::from_slice(&bytes).map_err(unreadable)?;
    if any.format > STORE_FORMAT {
        let needed = any.needs.unwrap_or_else(|| "a newer version".to_owned());
        let found = format!("it has format {}, and this program reads formats up to {STORE_FORMAT}", any.format);
        return Err(refused(store, found, &format!("use vellum {needed} or later; nothing was written")));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(unreadable)
}

/// Checks that a store is the one that configuration and ledger mean.
///
/// # Errors
/// [`StoreError::Identity`] when it is empty, another archive's, another store of this archive, or of a newer format;
/// [`StoreError::Unavailable`] when it cannot be reached.
pub async fn check_identity(store: &dyn Store, archive: &ArchiveId, id: &StoreId) -> Result<StoreIdentity, StoreError> {
    let Some(found) = read_identity(store).await? else {
        return Err(refused(
            store,
            format!("it has no archive.json, and should be store {id} of archive {archive}"),
            "look whether the disk is mounted and the bucket and prefix are right; to fill a new store, add it as one \
             under another name",
        ));
    };
    if found.archive != *archive {
        return Err(refused(
            store,
            format!("it belongs to archive {} and not to {archive}", found.archive),
            "put the right bucket or folder into the configuration; nothing was written",
        ));
    }
    if found.store != *id {
        return Err(refused(
            store,
            format!("it is store {} of this archive and not {id}", found.store),
            "two stores seem to be exchanged in the configuration; nothing was written",
        ));
    }
    Ok(found)
}

/// Makes a store part of an archive: `README.txt` and `extract.py` first, `archive.json` last. A crash before the last
/// leaves a store that is nobody's, and this is called again. Where another version of the program wrote the first two,
/// they stay as they are (promise I4). Called again with the same ids, it changes nothing.
///
/// # Errors
/// [`StoreError::Identity`] when the store is somebody's already, or holds packs or a ledger without saying whose;
/// otherwise as [`Store::create`].
pub async fn initialise(
    store: &dyn Store,
    identity: &StoreIdentity,
    readme: Bytes,
    extract: Bytes,
) -> Result<(), StoreError> {
    if read_identity(store).await?.is_some() {
        return check_identity(store, &identity.archive, &identity.store).await.map(|_| ());
    }
    refuse_if_in_use(store).await?;
    for (name, bytes) in [(README_FILE, readme), (EXTRACT_FILE, extract)] {
        match store.create(&key(store, name)?, bytes).await {
            Ok(_) | Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let key = key(store, ARCHIVE_FILE)?;
    let bytes = identity.to_bytes().map_err(|error| StoreError::unavailable(store.name(), "writing", &key, error))?;
    match store.create(&key, bytes).await {
        Ok(_) => Ok(()),
        // Somebody else was faster: that is well if it was for the same archive and store.
        Err(StoreError::Conflict { .. }) => check_identity(store, &identity.archive, &identity.store).await.map(|_| ()),
        Err(error) => Err(error),
    }
}

/// A store that holds packs or a ledger and does not say whose is damaged: it never becomes another archive's.
async fn refuse_if_in_use(store: &dyn Store) -> Result<(), StoreError> {
    for folder in FOLDERS_IN_USE {
        if !store.list(&key(store, folder)?, None, 1).await?.is_empty() {
            return Err(refused(
                store,
                format!("it has no archive.json and yet holds objects in {folder}/"),
                "its archive.json was lost: put it back from a backup or from what the ledger says, or use an empty \
                 folder or bucket for a new store",
            ));
        }
    }
    Ok(())
}

fn refused(store: &dyn Store, found: String, advice: &str) -> StoreError {
    StoreError::Identity { store: store.name().to_owned(), found, advice: advice.to_owned() }
}

fn key(store: &dyn Store, name: &str) -> Result<StoreKey, StoreError> {
    StoreKey::parse(name).map_err(|error| refused(store, error.to_string(), "this is a fault of the program"))
}

#[cfg(test)]
mod tests {
    use super::super::MemoryStore;
    use super::*;

    fn identity(archive: &str, store: &str) -> StoreIdentity {
        let id = |digit: &str| digit.repeat(32);
        StoreIdentity::new(
            ArchiveId::parse(&id(archive)).unwrap(),
            StoreId::parse(&id(store)).unwrap(),
            "2026-01-01T00:00:00Z".parse().unwrap(),
        )
    }

    async fn initialised(name: &str, identity: &StoreIdentity) -> std::sync::Arc<MemoryStore> {
        let store = MemoryStore::named(name);
        initialise(&*store, identity, "read me".into(), "extract".into()).await.unwrap();
        store
    }

    fn advice(error: StoreError) -> String {
        assert!(matches!(error, StoreError::Identity { .. }), "{error}");
        error.to_string()
    }

    #[tokio::test]
    async fn a_store_says_who_it_is_and_says_it_again() {
        let me = identity("a", "1");
        let store = initialised("main", &me).await;
        assert_eq!(check_identity(&*store, &me.archive, &me.store).await.unwrap(), me);
        let later = StoreIdentity { created: "2027-01-01T00:00:00Z".parse().unwrap(), ..me.clone() };
        initialise(&*store, &later, "read me".into(), "extract".into()).await.unwrap();
        assert_eq!(read_identity(&*store).await.unwrap(), Some(me), "nothing was overwritten");
    }

    #[tokio::test]
    async fn archive_json_has_the_bytes_that_the_format_shows() {
        let store = initialised("main", &identity("a", "1")).await;
        let bytes = store.read(&StoreKey::parse("archive.json").unwrap()).await.unwrap();
        let expected = "{\n  \"format\": 1,\n  \"archive\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\n  \"store\": \
                        \"11111111111111111111111111111111\",\n  \"created\": \"2026-01-01T00:00:00Z\"\n}\n";
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), expected);
    }

    #[tokio::test]
    async fn an_empty_store_never_takes_the_place_of_a_known_one() {
        let me = identity("a", "1");
        let text = advice(check_identity(&*MemoryStore::named("main"), &me.archive, &me.store).await.unwrap_err());
        assert!(text.contains("no archive.json") && text.contains("mounted"), "{text}");
    }

    #[tokio::test]
    async fn another_archives_store_and_an_exchanged_one_are_refused() {
        let me = identity("a", "1");
        let theirs = initialised("main", &identity("b", "1")).await;
        assert!(
            advice(check_identity(&*theirs, &me.archive, &me.store).await.unwrap_err())
                .contains("belongs to archive b")
        );
        let other = initialised("main", &identity("a", "2")).await;
        assert!(advice(check_identity(&*other, &me.archive, &me.store).await.unwrap_err()).contains("exchanged"));
        let text = advice(initialise(&*theirs, &me, "".into(), "".into()).await.unwrap_err());
        assert!(text.contains("belongs to archive b"), "{text}");
    }

    #[tokio::test]
    async fn a_newer_format_is_refused_with_the_program_that_reads_it() {
        let store = MemoryStore::named("main");
        let key = StoreKey::parse(ARCHIVE_FILE).unwrap();
        store.create(&key, r#"{"format":2,"needs":"3.1","something":"else"}"#.into()).await.unwrap();
        let text = advice(read_identity(&*store).await.unwrap_err());
        assert!(text.contains("format 2") && text.contains("vellum 3.1"), "{text}");
    }

    #[tokio::test]
    async fn an_unreadable_identity_is_refused_and_never_replaced() {
        let store = MemoryStore::named("main");
        let key = StoreKey::parse(ARCHIVE_FILE).unwrap();
        store.create(&key, "{\"format\":1,\"archi".into()).await.unwrap();
        advice(initialise(&*store, &identity("a", "1"), "".into(), "".into()).await.unwrap_err());
        assert_eq!(store.read(&key).await.unwrap(), "{\"format\":1,\"archi");
    }

    #[tokio::test]
    async fn members_that_are_not_known_are_ignored() {
        let me = identity("a", "1");
        let mut json = serde_json::to_value(&me).unwrap();
        json["later"] = "addition".into();
        let store = MemoryStore::named("main");
        store.create(&StoreKey::parse(ARCHIVE_FILE).unwrap(), json.to_string().into()).await.unwrap();
        assert_eq!(read_identity(&*store).await.unwrap(), Some(me));
    }

    #[tokio::test]
    async fn a_store_in_use_that_lost_its_identity_never_becomes_another_archives() {
        let me = identity("a", "1");
        let store = initialised("main", &me).await;
        store
            .create(&StoreKey::parse("ledger/000001/0000000/0000000000.jsonl.zst").unwrap(), "x".into())
            .await
            .unwrap();
        store.lose(&StoreKey::parse(ARCHIVE_FILE).unwrap());
        let text = advice(initialise(&*store, &identity("b", "2"), "".into(), "".into()).await.unwrap_err());
        assert!(text.contains("holds objects in ledger/"), "{text}");
    }

    #[tokio::test]
    async fn i4_files_of_an_older_program_are_left_as_they_are() {
        let store = MemoryStore::named("main");
        let readme = StoreKey::parse(README_FILE).unwrap();
        store.create(&readme, "what an older version said".into()).await.unwrap();
        initialise(&*store, &identity("a", "1"), "new words".into(), "".into()).await.unwrap();
        assert_eq!(store.read(&readme).await.unwrap(), "what an older version said");
    }
}
