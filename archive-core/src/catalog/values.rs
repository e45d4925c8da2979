//! How values lie in the ordered store: zstd-compressed JSON behind a checksum, divided where too large for it.
//!
//! ```text
//! first part    crc32c u32 | parts u16 | bytes     checksum over (key, parts, bytes of this part)
//! further part  crc32c u32 | bytes                 under key `+` | key | part u16 big endian
//! ```
//!
//! The key is part of the checksum: a value that ended up under another key is damage too.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::CatalogError;
use super::kv::{Batch, OrderedStore};
use super::packed;

/// Bytes of one stored value at most: sled wants values under 64 KiB.
pub const VALUE_BYTES_MAX: usize = 60 * 1024;

/// Decompressed bytes of one value at most; more can only be damage.
const DECODED_BYTES_MAX: usize = 1 << 30;

fn damaged(what: &str) -> CatalogError {
    CatalogError::Damaged { what: what.to_owned() }
}

fn part_key(key: &[u8], part: u16) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len() + 3);
    full.push(b'+');
    full.extend_from_slice(key);
    full.extend_from_slice(&part.to_be_bytes());
    full
}

fn seal(key: &[u8], head: &[u8], bytes: &[u8]) -> Vec<u8> {
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(key), head), bytes);
    [&crc.to_le_bytes(), head, bytes].concat()
}

/// Checks a stored part; gives what follows the checksum.
fn open<'a>(key: &[u8], stored: &'a [u8]) -> Result<&'a [u8], CatalogError> {
    let (crc, rest) = stored.split_first_chunk::<4>().ok_or_else(|| damaged("a value is too short"))?;
    if crc32c::crc32c_append(crc32c::crc32c(key), rest) != u32::from_le_bytes(*crc) {
        return Err(damaged("a value does not have its checksum"));
    }
    Ok(rest)
}

fn parts_of(rest: &[u8]) -> Result<(u16, &[u8]), CatalogError> {
    let (parts, bytes) = rest.split_first_chunk::<2>().ok_or_else(|| damaged("a value is too short"))?;
    Ok((u16::from_le_bytes(*parts), bytes))
}

/// Reads the value under a key.
///
/// # Errors
/// [`CatalogError::Damaged`] when it is not what was written.
pub fn read<T: DeserializeOwned>(store: &dyn OrderedStore, key: &[u8]) -> Result<Option<T>, CatalogError> {
    match store.get(key)? {
        Some(stored) => decode(store, key, &stored).map(Some),
        None => Ok(None),
    }
}

/// Reads a value whose first part was read already, with a range.
///
/// # Errors
/// As [`read`].
pub fn decode<T: DeserializeOwned>(store: &dyn OrderedStore, key: &[u8], stored: &[u8]) -> Result<T, CatalogError> {
    let (parts, first) = parts_of(open(key, stored)?)?;
    let mut packed = first.to_vec();
    for part in 1..parts {
        let further = part_key(key, part);
        let stored = store.get(&further)?.ok_or_else(|| damaged("part of a value is missing"))?;
        packed.extend_from_slice(open(&further, &stored)?);
    }
    let json = packed::unpack(&packed, DECODED_BYTES_MAX).map_err(|_| damaged("a value does not decompress"))?;
    serde_json::from_slice(&json).map_err(|_| damaged("a value is not understood"))
}

/// Puts a value into a batch.
///
/// # Errors
/// [`CatalogError`] when what lies there now cannot be read, or the value is past 3.9 GiB.
pub fn write<T: Serialize>(
    store: &dyn OrderedStore,
    batch: &mut Batch,
    key: &[u8],
    value: &T,
) -> Result<(), CatalogError> {
    let not_written = |what: String| CatalogError::Store { what };
    let json = serde_json::to_vec(value).map_err(|error| not_written(error.to_string()))?;
    let packed = packed::pack(&json).map_err(|error| not_written(error.to_string()))?;
    remove(store, batch, key)?;
    let chunks: Vec<&[u8]> = packed.chunks(VALUE_BYTES_MAX).collect();
    let parts = u16::try_from(chunks.len()).map_err(|_| not_written("a value is too large".to_owned()))?;
    for (part, chunk) in (0_u16..).zip(chunks) {
        if part == 0 {
            batch.insert(key.to_vec(), Some(seal(key, &parts.to_le_bytes(), chunk)));
        } else {
            let further = part_key(key, part);
            let sealed = seal(&further, &[], chunk);
            batch.insert(further, Some(sealed));
        }
    }
    Ok(())
}

/// Takes a value away, all its parts.
///
/// # Errors
/// As [`write`].
pub fn remove(store: &dyn OrderedStore, batch: &mut Batch, key: &[u8]) -> Result<(), CatalogError> {
    if let Some(stored) = store.get(key)? {
        let (parts, _) = parts_of(open(key, &stored)?)?;
        for part in 1..parts {
            batch.insert(part_key(key, part), None);
        }
        batch.insert(key.to_vec(), None);
    }
    Ok(())
}

/// A short text value, as index entries have it.
#[must_use]
pub fn seal_text(key: &[u8], text: &str) -> Vec<u8> {
    seal(key, &[], text.as_bytes())
}

/// Reads a short text value.
///
/// # Errors
/// [`CatalogError::Damaged`].
pub fn open_text(key: &[u8], stored: &[u8]) -> Result<String, CatalogError> {
    String::from_utf8(open(key, stored)?.to_vec()).map_err(|_| damaged("an index entry is no text"))
}
