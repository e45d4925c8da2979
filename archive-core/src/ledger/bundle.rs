//! Bundles: the segments of a full folder in one object, so that a restore reads thousands of entries a request.
//!
//! A bundle is derived: the concatenation of its folder's segment objects as they are stored, which is a valid zstd
//! stream (RFC 8878 §3). It is made from a store's own segments after they were checked against each other, and never
//! made where it would be longer than [`MAX_BUNDLE`].

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _};

use super::error::{Damage, Fault, LedgerError};
use super::fetch::{self, MAX_BUNDLE};
use super::fold::READ_AHEAD;
use super::line_of_epochs::EpochLine;
use super::name::{FOLDER, Folder, Position};
use super::segment::Segment;
use crate::identifiers::Sha256Digest;
use crate::store::{SharedStore, StoreError};

/// Makes the bundles that a store lacks for folders that are full up to `reached`: backwards from the newest until one
/// is there, so that it costs one request when nothing is to do.
///
/// A crash here leaves fewer bundles; the next call goes on.
pub(super) async fn complete(store: &SharedStore, line: &EpochLine, reached: Position) -> Result<(), LedgerError> {
    let mut missing = Vec::new();
    let mut epoch = reached.epoch;
    'search: while epoch > 0 {
        let last = if epoch == reached.epoch { Some(reached.sequence) } else { line.last_of(epoch) };
        let full = last.map_or(0, |last| last.saturating_add(1) / FOLDER);
        for number in (0..full).rev() {
            let folder = Folder { epoch, number };
            if store.size(&folder.bundle_key()?).await?.is_some() {
                break 'search;
            }
            missing.push(folder);
        }
        epoch -= 1;
    }
    for folder in missing.into_iter().rev() {
        make(store, folder).await?;
    }
    Ok(())
}

async fn make(store: &SharedStore, folder: Folder) -> Result<(), LedgerError> {
    let Some(bytes) = concatenate(store, folder).await? else {
        tracing::warn!(store = store.name(), ?folder, "a folder of the ledger is too long for a bundle");
        return Ok(());
    };
    match store.create(&folder.bundle_key()?, bytes).await {
        Err(StoreError::Conflict { store, key }) => {
            tracing::warn!(store, %key, "another bundle lies there; verify the ledger");
            Ok(())
        }
        other => other.map(|_| ()).map_err(LedgerError::from),
    }
}

/// The folder's objects, one after the other; `None` where that is too long.
async fn concatenate(store: &SharedStore, folder: Folder) -> Result<Option<Bytes>, LedgerError> {
    let read = |sequence| {
        let position = Position { epoch: folder.epoch, sequence };
        async move { Ok::<_, LedgerError>((position, fetch::segment_bytes(&**store, position).await?)) }
    };
    let sequences = folder.first().sequence..=folder.last().sequence;
    let mut objects = futures::stream::iter(sequences).map(read).buffered(READ_AHEAD);
    let mut bundle = BytesMut::new();
    let mut previous: Option<Sha256Digest> = None;
    while let Some((position, bytes)) = objects.try_next().await? {
        let segment = Segment::decode(position, &bytes).map_err(|damage| LedgerError::damaged(&**store, damage))?;
        if previous.is_some() && segment.header.previous != previous {
            let damage = Damage { object: position.name(), line: Some(1), fault: Fault::Previous };
            return Err(LedgerError::damaged(&**store, damage));
        }
        previous = Some(segment.sha256);
        if bundle.len() + bytes.len() > MAX_BUNDLE {
            return Ok(None);
        }
        bundle.extend_from_slice(&bytes);
    }
    Ok(Some(bundle.freeze()))
}
