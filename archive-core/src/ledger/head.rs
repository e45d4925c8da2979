//! Where a store's ledger ends.
//!
//! Names are probed, doubling and bisecting, so that a ledger of millions of segments is found in some forty requests.
//! Then a listing from there, and one over the epochs above, must show nothing: a segment above a gap is damage, and a
//! ledger like that is read-only until it is repaired from another store. A listing is believed only where it shows
//! something: what it fails to show is not taken for absent (docs/FORMAT.md, "Finding the head").

use super::error::{Damage, Fault, LedgerError};
use super::name::{
    FIRST_EPOCH, LedgerObject, MAX_EPOCH, MAX_SEQUENCE, Position, after_epoch_key, epoch_key, read_name, root_key,
};
use crate::store::{Store, StoreKey};

/// Objects asked for in one listing.
const PAGE: usize = 1000;

/// What a store's ledger looks like from its names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LedgerState {
    /// No segment at all.
    Empty,
    /// It ends here, and nothing lies above.
    EndsAt(Position),
    /// Segments lie above a place where none is.
    Damaged(Damage),
}

/// Finds where a store's ledger ends, by names alone.
///
/// # Errors
/// When the store cannot be asked.
pub async fn find_end(store: &dyn Store) -> Result<LedgerState, LedgerError> {
    if !exists(store, Position::GENESIS).await? {
        let above = first_segment_after(store, &root_key()?, None).await?;
        return Ok(above.map_or(LedgerState::Empty, |_| gap_at(Position::GENESIS)));
    }
    let last_epoch = Probe::Epochs.last(store, u64::from(FIRST_EPOCH), u64::from(MAX_EPOCH)).await?;
    let epoch = u32::try_from(last_epoch).unwrap_or(MAX_EPOCH);
    let sequence = Probe::Sequences { epoch }.last(store, 0, MAX_SEQUENCE).await?;
    let end = Position { epoch, sequence };
    if first_segment_after(store, &epoch_key(epoch)?, Some(end.key()?)).await?.is_some() {
        return Ok(gap_at(end.next()));
    }
    if let Some(above) = first_segment_after(store, &root_key()?, Some(after_epoch_key(epoch)?)).await? {
        let next_epoch = Position { epoch: epoch.saturating_add(1), sequence: 0 };
        return Ok(gap_at(Position { epoch: next_epoch.epoch.min(above.epoch), ..next_epoch }));
    }
    Ok(LedgerState::EndsAt(end))
}

fn gap_at(missing: Position) -> LedgerState {
    LedgerState::Damaged(Damage { object: missing.name(), line: None, fault: Fault::Gap })
}

async fn exists(store: &dyn Store, position: Position) -> Result<bool, LedgerError> {
    Ok(store.size(&position.key()?).await?.is_some())
}

/// What is counted up.
#[derive(Clone, Copy)]
enum Probe {
    /// First segments of epochs.
    Epochs,
    /// Segments of one epoch.
    Sequences { epoch: u32 },
}

impl Probe {
    async fn exists(self, store: &dyn Store, number: u64) -> Result<bool, LedgerError> {
        let position = match self {
            Self::Epochs => Position { epoch: u32::try_from(number).unwrap_or(MAX_EPOCH), sequence: 0 },
            Self::Sequences { epoch } => Position { epoch, sequence: number },
        };
        exists(store, position).await
    }

    /// A number that exists and whose successor does not, from one that is known to exist.
    async fn last(self, store: &dyn Store, known: u64, limit: u64) -> Result<u64, LedgerError> {
        let (mut there, mut step) = (known, 1_u64);
        let mut absent = loop {
            let next = there.saturating_add(step);
            if next > limit {
                break limit + 1;
            }
            if !self.exists(store, next).await? {
                break next;
            }
            there = next;
            step = step.saturating_mul(2);
        };
        while absent - there > 1 {
            let middle = there + (absent - there) / 2;
            if self.exists(store, middle).await? {
                there = middle;
            } else {
                absent = middle;
            }
        }
        Ok(there)
    }
}

/// The first segment that a listing shows after a name; bundles and foreign names are passed over.
pub(super) async fn first_segment_after(
    store: &dyn Store,
    folder: &StoreKey,
    after: Option<StoreKey>,
) -> Result<Option<Position>, LedgerError> {
    let mut after = after;
    loop {
        let page = store.list(folder, after.as_ref(), PAGE).await?;
        let found = page.iter().find_map(|object| match read_name(&object.key) {
            Some(LedgerObject::Segment(position)) => Some(position),
            _ => None,
        });
        match page.last() {
            _ if found.is_some() => return Ok(found),
            Some(last) if after.as_ref().is_none_or(|after| last.key > *after) => after = Some(last.key.clone()),
            _ => return Ok(None),
        }
    }
}
