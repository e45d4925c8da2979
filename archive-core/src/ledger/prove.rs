//! Proofs from a store's own segments: one pass over the entries, memory for one segment.

use super::error::LedgerError;
use super::fold::{Start, Walk};
use super::name::Position;
use super::proof::{ProofBuilder, ProofError};
use crate::identifiers::{ArchiveId, Sha256Digest};
use crate::store::SharedStore;

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The ledger could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger does not reach that far.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// Fills a proof with the leaves of a store's ledger, which is checked on the way; `end` is a segment at or after the
/// tree that the proof is about.
///
/// # Errors
/// When the ledger is damaged, cannot be read, or is shorter than the proof's tree.
pub async fn prove(
    store: SharedStore,
    archive: ArchiveId,
    mut proof: ProofBuilder,
    end: Position,
) -> Result<Vec<Sha256Digest>, ProveError> {
    let mut walk = Walk::begin(store, archive, Start::Genesis, end).await?;
    while !proof.is_complete()
        && let Some(segment) = walk.next().await?
    {
        segment.entries.iter().for_each(|entry| proof.push(entry.leaf()));
    }
    Ok(proof.finish()?)
}
