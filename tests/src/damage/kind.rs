//! Which file is damaged, and what may come of it.

use std::collections::BTreeSet;
use std::ops::Range;

use super::look::Looked;

/// Where the byte is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A segment of the journal with three commits.
    Journal,
    /// The same, with a mirror of the journal.
    JournalMirrored,
    /// A spill file.
    Spill,
    /// The only copy of a pack.
    Pack,
    /// One of two copies of a pack.
    PackWithCopy,
    /// The only copy of a pack, and no catalog.
    PackWithoutCatalog,
    /// Any segment of the only copy of the ledger.
    Ledger,
    /// The same, and no catalog.
    LedgerWithoutCatalog,
    /// Any file of the catalog.
    Catalog,
    /// The file of a catalog in the other store.
    RedbCatalog,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Journal,
        Self::JournalMirrored,
        Self::Spill,
        Self::Pack,
        Self::PackWithCopy,
        Self::PackWithoutCatalog,
        Self::Ledger,
        Self::LedgerWithoutCatalog,
        Self::Catalog,
        Self::RedbCatalog,
    ];

    /// Its name, as it is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::JournalMirrored => "journal-with-mirror",
            Self::Spill => "spill-file",
            Self::Pack => "pack",
            Self::PackWithCopy => "pack-with-copy",
            Self::PackWithoutCatalog => "pack-without-catalog",
            Self::Ledger => "ledger",
            Self::LedgerWithoutCatalog => "ledger-without-catalog",
            Self::Catalog => "catalog",
            Self::RedbCatalog => "redb-catalog",
        }
    }

    pub(super) const fn is_sealed(self) -> bool {
        !matches!(self, Self::Journal | Self::JournalMirrored | Self::Spill)
    }

    pub(super) const fn stores(self) -> usize {
        if matches!(self, Self::PackWithCopy) { 2 } else { 1 }
    }

    pub(super) const fn is_mirrored(self) -> bool {
        matches!(self, Self::JournalMirrored)
    }

    pub(super) const fn has_catalog(self) -> bool {
        !matches!(self, Self::PackWithoutCatalog | Self::LedgerWithoutCatalog)
    }

    /// What does not hold, in words.
    pub(super) fn judge(self, file: &str, hit: &BTreeSet<usize>, looked: &Looked) -> Result<(), String> {
        if let Some(wrong) = looked.wrong.first() {
            return Err(format!("wrong bytes: {wrong}"));
        }
        let may_refuse = matches!(self, Self::Ledger | Self::LedgerWithoutCatalog);
        let names = names(file);
        if let Some(why) = &looked.refused {
            let is_named = names.iter().any(|name| why.contains(name));
            return if may_refuse && is_named { Ok(()) } else { Err(format!("refused: {why}")) };
        }
        let may_be_missing: &BTreeSet<usize> = match self {
            Self::JournalMirrored
            | Self::PackWithCopy
            | Self::Catalog
            | Self::RedbCatalog
            | Self::Ledger
            | Self::LedgerWithoutCatalog => &BTreeSet::new(),
            _ => hit,
        };
        let too_many: Vec<_> = looked.missing.iter().filter(|(at, _)| !may_be_missing.contains(at)).collect();
        if !too_many.is_empty() {
            return Err(format!("missing, though not hit: {too_many:?}"));
        }
        if matches!(self, Self::Catalog | Self::RedbCatalog) {
            return if looked.answers_differ { Err("other answers than before".to_owned()) } else { Ok(()) };
        }
        if looked.named.iter().any(|finding| names.iter().any(|name| finding.contains(name))) {
            return Ok(());
        }
        Err(format!("nobody names {names:?}: {:?}; missing {:?}", looked.named, looked.missing))
    }
}

/// How a damaged file may be called: by its name; a segment of the ledger by its number.
fn names(file: &str) -> Vec<String> {
    let name = file.rsplit('/').next().unwrap_or(file);
    let name = name.split('.').next().unwrap_or(name);
    let mut names = vec![name.to_owned()];
    if file.contains("/ledger/")
        && let Ok(number) = name.parse::<u64>()
    {
        names.push(format!("segment {number} of epoch 1 "));
        // What zstd decompresses all the same does not have the digest that the next segment says.
        names.push(format!("{:010}.jsonl.zst, line 1: it does not continue the segment before it", number + 1));
    }
    names
}

/// Ranges of a file, with the instances that lean on them.
pub(super) type Parts = Vec<(Range<u64>, BTreeSet<usize>)>;

/// The instances that lean on a byte, and may be missing when it is flipped.
pub(super) fn hit(parts: &Parts, at: u64) -> BTreeSet<usize> {
    let part = parts.iter().find(|(range, _)| range.contains(&at));
    part.map(|(_, instances)| instances.clone()).unwrap_or_default()
}
