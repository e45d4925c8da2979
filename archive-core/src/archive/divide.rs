//! How what is sealed of a study is divided into packs: about as large as the target, and no more in one than its index and
//! its ledger entry can hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::identifiers::{ReceiptNumber, SeriesUid};
use crate::journal::JournalEntry;
use crate::ledger::ranges::RUNS_MAX;
use crate::pack::INDEX_LINE_MAX;

/// Receipts in one pack, at most: its ledger entry names them, and in the worst case no two follow each other.
const PACK_RECEIPTS_MAX: usize = RUNS_MAX;
/// Bytes that the receipts of one version may take in one line of an index; the rest is for what else it says.
const LINE_RECEIPTS_BYTES_MAX: usize = INDEX_LINE_MAX / 2;
/// Bytes of a receipt in a line, besides its prefix, about.
const RECEIPT_BYTES: usize = 512;

/// Receipts of one version that go into a pack together.
#[derive(Clone, Debug)]
pub(super) struct Frozen {
    /// Lowest number first.
    pub(super) entries: Vec<Arc<JournalEntry>>,
    /// The bytes go in too; otherwise a pack that was just read back has them.
    pub(super) with_content: bool,
}

impl Frozen {
    fn content_length(&self) -> u64 {
        match self.entries.first() {
            Some(entry) if self.with_content => entry.facts.content_length,
            _ => 0,
        }
    }

    /// Parts of as many receipts as one line may hold. The bytes go with the first.
    fn in_parts(self) -> Vec<Self> {
        let mut parts: Vec<Self> = Vec::new();
        let mut filled = 0_usize;
        for entry in self.entries {
            let bytes = RECEIPT_BYTES + entry.held.prefix.as_ref().map_or(0, |prefix| prefix.len().div_ceil(3) * 4);
            let fits =
                |part: &&mut Self| part.entries.len() < PACK_RECEIPTS_MAX && filled + bytes <= LINE_RECEIPTS_BYTES_MAX;
            match parts.last_mut().filter(fits) {
                Some(part) => {
                    filled += bytes;
                    part.entries.push(entry);
                }
                None => {
                    filled = bytes;
                    let with_content = self.with_content && parts.is_empty();
                    parts.push(Self { entries: vec![entry], with_content });
                }
            }
        }
        parts
    }
}

/// Divides versions into packs. Where a version has more receipts than one line may hold, the further ones lie in packs of
/// their own behind the one that has the bytes: a pack holds a version once.
pub(super) fn divide(frozen: BTreeMap<(SeriesUid, ReceiptNumber), Frozen>, pack_target: u64) -> Vec<Vec<Frozen>> {
    let mut packs: Vec<Vec<Frozen>> = Vec::new();
    let mut further = Vec::new();
    let (mut bytes, mut receipts) = (0_u64, 0_usize);
    for frozen in frozen.into_values() {
        let mut parts = frozen.in_parts().into_iter();
        let Some(first) = parts.next() else { continue };
        further.extend(parts.map(|part| vec![part]));
        let (more_bytes, more_receipts) = (first.content_length(), first.entries.len());
        let fits = bytes.saturating_add(more_bytes) <= pack_target && receipts + more_receipts <= PACK_RECEIPTS_MAX;
        if packs.is_empty() || !fits {
            packs.push(Vec::new());
            (bytes, receipts) = (0, 0);
        }
        bytes = bytes.saturating_add(more_bytes);
        receipts += more_receipts;
        if let Some(pack) = packs.last_mut() {
            pack.push(first);
        }
    }
    packs.extend(further);
    packs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::tests::samples::entry;
    use crate::ledger::entry::ReceiptRanges;

    fn frozen(receipts: impl Iterator<Item = JournalEntry>) -> Frozen {
        Frozen { entries: receipts.map(Arc::new).collect(), with_content: true }
    }

    fn divided(versions: Vec<Frozen>, target: u64) -> Vec<Vec<Frozen>> {
        let key = |frozen: &Frozen| {
            let first = &frozen.entries[0];
            (first.facts.keys.series.clone(), first.number())
        };
        divide(versions.into_iter().map(|frozen| (key(&frozen), frozen)).collect(), target)
    }

    fn runs(pack: &[Frozen]) -> usize {
        let numbers = pack.iter().flat_map(|frozen| frozen.entries.iter().map(|entry| entry.number()));
        ReceiptRanges::covering(numbers).0.len()
    }

    #[test]
    fn a_study_of_60_000_instances_makes_packs_whose_entries_fit() {
        // Another study came in between: no two receipts follow each other.
        let versions = (0..60_000).map(|n| frozen(std::iter::once(entry(2 * n)))).collect();
        let packs = divided(versions, u64::MAX);
        assert_eq!(packs.iter().map(Vec::len).sum::<usize>(), 60_000);
        assert!(packs.iter().all(|pack| runs(pack) <= RUNS_MAX));
        assert_eq!(packs.len(), 3);
    }

    #[test]
    fn a_version_of_100_000_receipts_has_its_bytes_in_the_first_pack_and_each_version_once() {
        let many = frozen((0..100_000).map(|n| entry(2 * n)));
        let packs =
            divided(vec![frozen(std::iter::once(entry(1))), many, frozen(std::iter::once(entry(300_000)))], u64::MAX);
        let receipts: usize = packs.iter().flatten().map(|frozen| frozen.entries.len()).sum();
        assert_eq!(receipts, 100_002);
        assert!(packs.iter().all(|pack| runs(pack) <= RUNS_MAX));
        let with_content: Vec<bool> = packs.iter().flatten().map(|frozen| frozen.with_content).collect();
        assert_eq!(with_content.iter().filter(|with| **with).count(), 3);
        assert!(with_content.is_sorted_by(|a, b| a >= b), "further receipts come behind the bytes");
        assert!(packs.iter().all(|pack| pack.len() == 1 || pack.iter().all(|frozen| frozen.with_content)));
    }

    #[test]
    fn receipts_with_long_prefixes_are_divided_so_that_a_line_stays_readable() {
        let with_prefix = |n| {
            let mut entry = entry(n);
            entry.held.prefix = Some(vec![0; 64 * 1024]);
            entry
        };
        let packs = divided(vec![frozen((0..1000).map(with_prefix))], u64::MAX);
        for frozen in packs.iter().flatten() {
            let bytes: usize = frozen.entries.iter().filter_map(|entry| Some(entry.held.prefix.as_ref()?.len())).sum();
            assert!(bytes / 3 * 4 < INDEX_LINE_MAX);
        }
        assert_eq!(packs.iter().flatten().map(|frozen| frozen.entries.len()).sum::<usize>(), 1000);
    }
}
