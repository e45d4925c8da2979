//! One object as a listing shows it: what [`Store::size`] does not say is when it was written.

use super::{Store, StoreError, StoreKey, StoredObject};

/// Names that may come between; none does in a store that nobody else writes to.
const NAMES: usize = 100;

/// An object as its store lists it, or `None` where there is none.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn listed(store: &dyn Store, key: &StoreKey) -> Result<Option<StoredObject>, StoreError> {
    let name = key.as_str();
    let Some(folder) = name.rsplit_once('/').and_then(|(folder, _)| StoreKey::parse(folder).ok()) else {
        return Ok(None);
    };
    // The listing begins right before it, however many objects lie in the folder: a name comes after its beginnings.
    let before = name.char_indices().next_back().and_then(|(last, _)| StoreKey::parse(name.get(..last)?).ok());
    let found = store.list(&folder, before.as_ref(), NAMES).await?;
    Ok(found.into_iter().find(|object| object.key == *key))
}

#[cfg(test)]
mod tests {
    use super::super::MemoryStore;
    use super::*;

    #[tokio::test]
    async fn an_object_is_found_among_any_number_of_others() {
        let store = MemoryStore::named("store");
        let key = |name: &str| StoreKey::parse(&format!("studies/00/1.2/{name}")).unwrap();
        for number in 0..2 * NAMES {
            store.create(&key(&format!("{number:04}.zip")), "x".into()).await.unwrap();
        }
        let last = key(&format!("{:04}.zip", 2 * NAMES - 1));
        for (name, there) in [(&key("0000.zip"), true), (&last, true), (&key("0001.zi"), false), (&key("a"), false)] {
            let found = listed(&*store, name).await.unwrap();
            assert_eq!(found.map(|object| object.key), there.then(|| name.clone()));
        }
    }
}
