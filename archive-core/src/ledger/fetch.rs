//! Reading ledger objects from a store, never more than they may be long.

use bytes::Bytes;

use super::error::{Damage, Fault, LedgerError};
use super::name::{FOLDER, Folder, Position};
use super::segment::{MAX_OBJECT, Segment};
use super::zstd_frame::frame_length;
use crate::store::{Store, StoreError, StoreKey};

/// Bytes of a bundle: a folder that has more gets none and is read segment by segment.
pub const MAX_BUNDLE: usize = 32 << 20;

/// Reads a small object, or `None` where there is none.
pub(super) async fn object(store: &dyn Store, key: &StoreKey, limit: usize) -> Result<Option<Bytes>, LedgerError> {
    let Some(size) = store.size(key).await? else { return Ok(None) };
    if size > limit as u64 {
        let damage = Damage { object: key.to_string(), line: None, fault: Fault::TooLong { limit: limit as u64 } };
        return Err(LedgerError::damaged(store, damage));
    }
    match store.read(key).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads the bytes of a segment that must be there.
pub(super) async fn segment_bytes(store: &dyn Store, position: Position) -> Result<Bytes, LedgerError> {
    object(store, &position.key()?, MAX_OBJECT).await?.ok_or_else(|| {
        LedgerError::damaged(store, Damage { object: position.name(), line: None, fault: Fault::Missing })
    })
}

/// Reads a segment that must be there and checks what it says of itself.
pub(super) async fn segment(store: &dyn Store, position: Position) -> Result<Segment, LedgerError> {
    let bytes = segment_bytes(store, position).await?;
    Segment::decode(position, &bytes).map_err(|damage| LedgerError::damaged(store, damage))
}

/// The segment objects that a bundle is made of; `None` unless it is exactly a folder's number of frames.
pub(super) fn split_bundle(bundle: &Bytes) -> Option<Vec<Bytes>> {
    let mut rest = bundle.clone();
    let mut objects = Vec::new();
    while !rest.is_empty() && (objects.len() as u64) < FOLDER {
        let length = frame_length(&rest).filter(|length| (1..=rest.len()).contains(length))?;
        objects.push(rest.split_to(length));
    }
    (rest.is_empty() && objects.len() as u64 == FOLDER).then_some(objects)
}

/// The segment objects of a folder from its bundle, where there is one that looks like one.
pub(super) async fn bundle(store: &dyn Store, folder: Folder) -> Result<Option<Vec<Bytes>>, LedgerError> {
    match object(store, &folder.bundle_key()?, MAX_BUNDLE).await {
        Ok(bytes) => Ok(bytes.as_ref().and_then(split_bundle)),
        Err(LedgerError::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
