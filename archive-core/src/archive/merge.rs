//! Merging: late arrivals make further packs of a study; many small ones become one. The old packs go by the gate, on
//! the ground *superseded*, when their grace is over.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt as _;

use super::Archive;
use super::error::ArchiveError;
use super::pack_source::{PackItem, Packed};
use crate::identifiers::{PackId, ReceiptNumber, SeriesUid, SopUid, StudyUid};
use crate::instance::{HeldReceipt, VersionKey};
use crate::ledger::entry::EntryBody;
use crate::pack::{INDEX_LINE_MAX, IndexedVersion, PackReader, PackRef};
use crate::store::listed;

/// Packs that one merge replaces, at most: its ledger entry names each of them.
const REPLACED_MAX: usize = 1000;

/// A line of a pack that is merged.
struct Line {
    reader: PackReader,
    indexed: IndexedVersion,
}

impl Archive {
    /// Merges the packs of studies that have many small ones.
    ///
    /// # Errors
    /// The first study's that fails; the others were tried.
    pub async fn merge_due(self: &Arc<Self>) -> Result<(), ArchiveError> {
        if self.rebuild.progress().is_some() {
            return Ok(());
        }
        let mut first_error = None;
        let small = self.options.seal.pack_target / 4;
        let studies = self.history.lock().studies_with_packs(self.options.merge.packs_min);
        for study in studies {
            let packs = self.history.lock().packs_of(&study);
            // A pack that cannot be read must not keep the others apart.
            let wanted = |pack: &PackRef| pack.size < small && !self.lacking.is_damaged(&pack.pack);
            let small = up_to(self.options.seal.pack_target, packs.into_iter().filter(wanted));
            if self.is_closed() || self.rebuild.progress().is_some() {
                break;
            }
            if small.len() >= self.options.merge.packs_min
                && self.unsealed.is_quiet(&study)
                && self.is_rested(&small).await
                && let Err(error) = self.merge(&study, small).await
            {
                tracing::warn!(%study, %error, "the packs of a study could not be merged");
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Whether the youngest of some packs is as old as merging wants. Age is what the home store says of the object.
    async fn is_rested(&self, packs: &[PackRef]) -> bool {
        let now = self.clock.now();
        for pack in packs {
            let Ok(key) = pack.key() else { return false };
            let Ok(Some(object)) = listed(&*self.stores.home().store, &key).await else { return false };
            let age = now.duration_since(object.modified);
            if std::time::Duration::try_from(age).is_ok_and(|age| age < self.options.merge.quiet) {
                return false;
            }
        }
        true
    }

    /// Merges packs of one study into one.
    async fn merge(self: &Arc<Self>, study: &StudyUid, packs: Vec<PackRef>) -> Result<(), ArchiveError> {
        let _study = self.study_locks.lock(study).await;
        tracing::debug!(%study, packs = packs.len(), "merge begins");
        self.can_seal().await?;
        // Another merge may have come to its end just now.
        let packs: Vec<PackRef> = {
            let history = self.history.lock();
            packs.into_iter().filter(|pack| history.counts(&pack.pack)).collect()
        };
        let packs = self.of_one_index(packs).await?;
        if packs.len() < 2 {
            return Ok(());
        }
        let items = self.gather(&packs).await?;
        let versions = items.len() as u64;
        let built = self.build(study, items, self.options.merge.zstd_level).await?;
        // A crash after this leaves an orphan; the old packs still count.
        let stores = self.create_in_stores(&built).await?;
        let replaces: Vec<PackId> = packs.iter().map(|pack| pack.pack).collect();
        let after = self.history.lock().after();
        let merged = EntryBody::Merged { pack: built.pack.clone(), replaces, versions, after, stores };
        // A crash after this leaves the old packs in the stores; the next start takes them up where this one left them.
        let _everywhere = self.record_everywhere(vec![merged]).await?;
        self.checkpoint_catalog().await?;
        tracing::info!(%study, packs = packs.len(), versions, into = %built.pack.pack, "packs merged");
        tracing::debug!(%study, "merge ends");
        Ok(())
    }

    /// As many of some packs, from the first on, as have together an index no longer than one line of it may be: then no line
    /// of the new pack is too long, whatever receipts come together in it, and memory is bounded. None where that is fewer
    /// than merging is worth.
    async fn of_one_index(&self, packs: Vec<PackRef>) -> Result<Vec<PackRef>, ArchiveError> {
        let mut bytes = 0_u64;
        let mut fitting = Vec::new();
        for pack in packs {
            bytes = bytes.saturating_add(self.pack_reader(&pack).await?.index_bytes());
            if bytes > INDEX_LINE_MAX as u64 {
                break;
            }
            fitting.push(pack);
        }
        Ok(if fitting.len() < self.options.merge.packs_min { Vec::new() } else { fitting })
    }

    /// All versions of some packs of one study, in the order of a pack.
    async fn gather(&self, packs: &[PackRef]) -> Result<Vec<PackItem>, ArchiveError> {
        let mut by_version: BTreeMap<(SeriesUid, SopUid, VersionKey), Vec<Line>> = BTreeMap::new();
        for pack in packs {
            let reader = self.pack_reader(pack).await?;
            let mut lines = reader.index(reader.lines());
            while let Some(indexed) = lines.next().await {
                let indexed = indexed?;
                let keys = &indexed.facts.keys;
                let key = (keys.series.clone(), keys.sop.clone(), indexed.facts.version.clone());
                by_version.entry(key).or_default().push(Line { reader: reader.clone(), indexed });
            }
        }
        let mut ordered: BTreeMap<(SeriesUid, ReceiptNumber), PackItem> = BTreeMap::new();
        for ((series, _, _), lines) in by_version {
            let packed = join(lines).await?;
            let Some(first) = packed.receipts.first() else { continue };
            ordered.insert((series, first.receipt.number), PackItem::Packed(Box::new(packed)));
        }
        Ok(ordered.into_values().collect())
    }
}

/// The smallest of some packs, as many as make one of the target size together and as one entry may name.
fn up_to(target: u64, packs: impl Iterator<Item = PackRef>) -> Vec<PackRef> {
    let mut packs: Vec<PackRef> = packs.collect();
    packs.sort_by_key(|pack| (pack.size, pack.pack));
    let mut bytes = 0_u64;
    packs.retain(|pack| {
        bytes = bytes.saturating_add(pack.size);
        bytes <= target
    });
    packs.truncate(REPLACED_MAX);
    packs
}

/// One version from all its lines: read as the lowest-numbered receipt says, with all receipts, the bytes from one of the
/// packs that have them, and the warnings of all.
async fn join(mut lines: Vec<Line>) -> Result<Packed, ArchiveError> {
    let lowest = |line: &Line| line.indexed.receipts.iter().map(|held| held.receipt.number).min();
    lines.sort_by_key(lowest);
    let mut receipts: BTreeMap<ReceiptNumber, HeldReceipt> = BTreeMap::new();
    let mut bytes = None;
    let mut facts = None;
    for line in lines {
        if bytes.is_none() && line.indexed.has_content {
            bytes = line.reader.version(line.indexed.line).await?;
        }
        receipts.extend(line.indexed.receipts.into_iter().map(|held| (held.receipt.number, held)));
        let facts = facts.get_or_insert_with(|| line.indexed.facts.clone());
        for warning in line.indexed.facts.warnings {
            if !facts.warnings.contains(&warning) {
                facts.warnings.push(warning);
            }
        }
    }
    let facts = facts.ok_or_else(|| ArchiveError::Internal("a version without lines was to be merged".to_owned()))?;
    Ok(Packed { facts, receipts: receipts.into_values().collect(), bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identifiers::Sha256Digest;
    use crate::ledger::in_batches;
    use crate::pack::RootPlace;

    #[test]
    fn a_merge_replaces_no_more_packs_than_its_entry_can_name() {
        let pack = |n: u64| {
            let digest = *Sha256Digest::of(&n.to_le_bytes()).as_raw();
            let root = RootPlace { offset: 0, length: 1, sha256: Sha256Digest::from_raw(digest) };
            PackRef { study: StudyUid::parse("1.2").unwrap(), pack: PackId::from_raw(digest), size: 1, root }
        };
        let chosen = up_to(u64::MAX, (0..20_000).map(pack));
        let replaces = chosen.iter().map(|pack| pack.pack).collect();
        let (versions, after, stores) = (1, std::collections::BTreeMap::new(), Vec::new());
        let merged = EntryBody::Merged { pack: pack(0), replaces, versions, after, stores };
        assert_eq!(in_batches([merged]).unwrap().len(), 1);
    }
}
