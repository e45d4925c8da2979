//! What a pack says of itself where nothing vouches for it: no ledger entry names it, so its root is found by the end of
//! its central directory, and believed for what it is worth.

use super::error::Flaw;
use super::format::{ROOT_MAX, ROOT_NAME};
use super::place::{PackRef, RootPlace};
use super::root::Root;
use super::zip::{DIRECTORY_TAIL_BYTES, last_entry};
use crate::identifiers::{PackId, Sha256Digest};
use crate::reading::ReadError;
use crate::store::{Store, StoreKey};

/// Reads where the root of a pack lies, from its own bytes: two requests. Whether its bytes have the digest in its name
/// is for the caller to compare; what a [`super::PackReader`] of it gives is then what the pack says, and no more.
///
/// # Errors
/// [`ReadError::NotUnderstood`] for what is no pack, one of a newer format, or one that lies in the folder of another
/// study; [`ReadError::Store`].
pub async fn unvouched(store: &dyn Store, key: &StoreKey, pack: PackId, size: u64) -> Result<PackRef, ReadError> {
    let object = || format!("store {}: {key}", store.name());
    let no_pack = |what: &str| Flaw::NotUnderstood(what.to_owned()).in_object(object());
    if size < DIRECTORY_TAIL_BYTES {
        return Err(no_pack("it is shorter than any pack"));
    }
    let tail = store.read_range(key, size - DIRECTORY_TAIL_BYTES..size).await?;
    let entry = last_entry(&tail, ROOT_NAME).ok_or_else(|| no_pack("it does not end as a pack does"))?;
    let offset = entry.header_offset.saturating_add(entry.local_header().len() as u64);
    let end = offset.checked_add(entry.stored).filter(|&end| end <= size && entry.stored <= ROOT_MAX);
    let end = end.ok_or_else(|| no_pack("its root lies outside it"))?;
    let bytes = store.read_range(key, offset..end).await?;
    let root = Root::parse(&bytes, size).map_err(|flaw| flaw.in_object(object()))?;
    let place = RootPlace { offset, length: entry.stored, sha256: Sha256Digest::of(&bytes) };
    let pack = PackRef { study: root.study, pack, size, root: place };
    if pack.key().is_ok_and(|own| own == *key) {
        Ok(pack)
    } else {
        Err(no_pack("it lies in the folder of another study"))
    }
}
