//! Putting one segment into one store, and knowing how it ended.
//!
//! "Exists already" and time-outs are questions, not answers: what lies there is read back and compared. After a "stored" it
//! is asked whether it is there. Our bytes: it
//! is recorded. Another writer's: this one has lost its place (promise I13). Nothing: the same bytes are tried once
//! more, and if that is not answered either, the outcome stays open: the write may still land, so the same bytes, and
//! no others, are what this writer must try next. That way a late commit is never a fork.

use std::sync::Arc;

use bytes::Bytes;

use super::error::LedgerError;
use super::fetch;
use super::name::Position;
use super::segment::{MAX_OBJECT, Segment};
use crate::store::{Store, StoreError, StoreKey};

/// How often the same bytes are tried before the outcome is left open.
const ATTEMPTS: usize = 2;

/// How a write did not end well.
#[derive(Debug)]
pub(super) enum NotCommitted {
    /// It may have been or may yet be recorded.
    Open(Arc<StoreError>),
    /// It was not and will not be recorded by us.
    Lost(LedgerError),
}

/// Creates a segment, and settles how that ended.
pub(super) async fn commit(store: &dyn Store, position: Position, bytes: &Bytes) -> Result<(), NotCommitted> {
    let key = position.key().map_err(|error| NotCommitted::Lost(error.into()))?;
    let mut attempt = 1;
    loop {
        let answer = match store.create(&key, bytes.clone()).await {
            Ok(_) if is_not_there(store, &key, bytes).await => {
                Arc::new(StoreError::NotFound { store: store.name().to_owned(), key: key.clone() })
            }
            Ok(_) => return Ok(()),
            Err(error) => Arc::new(error),
        };
        match fetch::object(store, &key, MAX_OBJECT).await {
            Ok(Some(there)) if there == *bytes => return Ok(()),
            Ok(Some(there)) => return Err(NotCommitted::Lost(whose(store, position, &there))),
            Ok(None) if attempt < ATTEMPTS => attempt += 1,
            Err(LedgerError::Damaged { store, damage }) => {
                return Err(NotCommitted::Lost(LedgerError::Damaged { store, damage }));
            }
            Ok(None) | Err(_) => return Err(NotCommitted::Open(answer)),
        }
    }
}

/// Whether a store that says that it stored a segment says too that it is not there, or not whole. Where it does not
/// answer, its first word counts.
async fn is_not_there(store: &dyn Store, key: &StoreKey, bytes: &Bytes) -> bool {
    matches!(store.size(key).await, Ok(size) if size != Some(bytes.len() as u64))
}

/// What lies at a place where our segment should be: another writer's, or no segment at all.
fn whose(store: &dyn Store, position: Position, bytes: &[u8]) -> LedgerError {
    match (Segment::decode(position, bytes), position.key()) {
        (Ok(segment), Ok(key)) => {
            LedgerError::Fenced { store: store.name().to_owned(), key, by: segment.header.writer }
        }
        (Err(damage), _) => LedgerError::damaged(store, damage),
        (Ok(_), Err(error)) => error.into(),
    }
}
