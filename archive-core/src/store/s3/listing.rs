//! Listing a bucket in the order of names, whatever order the server has.
//!
//! S3 lists in the order of bytes; some servers do not. So the order is watched: as long as at least a page came in
//! order, the listing ends at its limit. Once a name comes out of order, all names are looked at, and the smallest are
//! kept: slow, right, and still of bounded memory.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use jiff::Timestamp;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectMeta, ObjectStore};

use super::S3Store;
use crate::store::{StoreError, StoreKey, StoredObject};

/// Names that must have come in order before the order is believed: a server's page.
const ORDER_SAMPLE: usize = 1_000;

impl S3Store {
    pub(super) async fn list_ordered(
        &self,
        folder: &StoreKey,
        after: Option<&StoreKey>,
        limit: usize,
    ) -> Result<Vec<StoredObject>, StoreError> {
        let below = self.path(folder)?;
        let mut listed = match after.map(|after| self.path(after)).transpose()? {
            Some(offset) => self.client.list_with_offset(Some(&below), &offset),
            None => self.client.list(Some(&below)),
        };
        let prefix = format!("{folder}/");
        let mut smallest: BTreeMap<StoreKey, StoredObject> = BTreeMap::new();
        let mut order = Order::default();
        while let Some(item) = listed.next().await {
            let meta = item.map_err(|error| self.error("listing", folder, error))?;
            order.see(&meta.location);
            if let Some(object) = self.object(&meta)
                && object.key.as_str().starts_with(&prefix)
                && after.is_none_or(|after| object.key > *after)
            {
                smallest.insert(object.key.clone(), object);
                if smallest.len() > limit {
                    smallest.pop_last();
                }
            }
            if smallest.len() >= limit && order.is_believed() {
                break;
            }
        }
        Ok(smallest.into_values().collect())
    }

    /// An object as the archive names it; `None` for what is no object of ours.
    fn object(&self, meta: &ObjectMeta) -> Option<StoredObject> {
        let full = meta.location.as_ref();
        let name = match &self.prefix {
            Some(prefix) => full.strip_prefix(prefix.as_str())?.strip_prefix('/')?,
            None => full,
        };
        let nanoseconds = i32::try_from(meta.last_modified.timestamp_subsec_nanos()).unwrap_or(0);
        let modified = Timestamp::new(meta.last_modified.timestamp(), nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH);
        Some(StoredObject { key: StoreKey::parse(name).ok()?, size: meta.size, modified })
    }
}

/// Whether names come in order so far.
#[derive(Default)]
struct Order {
    last: Option<ObjectPath>,
    seen: usize,
    broken: bool,
}

impl Order {
    fn see(&mut self, name: &ObjectPath) {
        self.broken |= self.last.as_ref().is_some_and(|last| last >= name);
        self.seen += 1;
        self.last = Some(name.clone());
    }

    fn is_believed(&self) -> bool {
        self.seen >= ORDER_SAMPLE && !self.broken
    }
}
