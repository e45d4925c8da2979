//! What ledger entries say. UIDs, digests, counts and named users; never patient data and no free text.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::caller::{Door, SourceKey};
use crate::identifiers::{ArchiveId, PackId, ReceiptNumber, Sha256Digest, StoreId, StudyUid};
use crate::pack::PackRef;

/// One entry: its place, its times, what happened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Dense over the whole ledger, from 0.
    pub n: u64,
    /// System clock of the writer.
    pub time: Timestamp,
    /// Trusted time: never ahead of what was vouched before plus monotonic time since.
    pub vouched: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub body: EntryBody,
}

/// Runs of receipt numbers of one epoch, both ends included, ascending and not touching.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ReceiptRanges(pub Vec<ReceiptRange>);

/// First and last receipt number of a run, in one epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReceiptRange {
    /// The epoch that numbered them.
    pub epoch: u32,
    /// First number.
    pub first: u64,
    /// Last number, included.
    pub last: u64,
}

impl ReceiptRanges {
    /// The ranges that cover exactly these numbers.
    #[must_use]
    pub fn covering(numbers: impl IntoIterator<Item = ReceiptNumber>) -> Self {
        let mut all: Vec<ReceiptNumber> = numbers.into_iter().collect();
        all.sort_unstable();
        all.dedup();
        let mut ranges: Vec<ReceiptRange> = Vec::new();
        for ReceiptNumber { epoch, number } in all {
            match ranges.last_mut() {
                Some(run) if run.epoch == epoch && run.last + 1 == number => run.last = number,
                _ => ranges.push(ReceiptRange { epoch, first: number, last: number }),
            }
        }
        Self(ranges)
    }

    /// Whether a number is in one of the ranges.
    #[must_use]
    pub fn contains(&self, number: ReceiptNumber) -> bool {
        self.0.iter().any(|run| run.epoch == number.epoch && (run.first..=run.last).contains(&number.number))
    }

    /// How many numbers the ranges hold.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|run| run.last - run.first + 1).sum()
    }
}

/// The highest receipt number of each epoch that the writer had seen: the fold orders by it.
pub type After = BTreeMap<u32, u64>;

/// A store's part in the archive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreRole {
    /// The ledger is appended there first.
    Home,
    /// Counts for sealed, holds and deletions.
    Required,
    /// Gets copies, may lag.
    Lagging,
}

/// A store as the ledger names it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoreEntry {
    /// Its id, from its `archive.json`.
    pub store: StoreId,
    /// Its part.
    pub role: StoreRole,
}

/// Where an epoch goes on from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Continues {
    /// The epoch before.
    pub epoch: u32,
    /// Its last sequence.
    pub sequence: u64,
    /// SHA-256 of that segment object.
    pub sha256: Sha256Digest,
    /// Entries up to there.
    pub size: u64,
    /// RFC 9162 root over them.
    pub root: Sha256Digest,
}

/// Why something may be deleted (docs/ARCHITECTURE.md, "The gate").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ground {
    /// A successor in the same store holds everything of it.
    Superseded,
    /// No ledger entry names it, and each of its contents is elsewhere.
    Orphan,
    /// Damaged bytes that were copied to quarantine make room for the recorded ones.
    Repaired,
    /// It was moved to another store.
    Moved,
    /// A plan, approved and executed.
    Disposed,
    /// Its own retention ended (access log, quarantine, documents).
    Expired,
}

/// What happened, by kind. Field order is the order in the stored line. A reader shows a kind that it does not know
/// raw; a writer refuses a ledger that holds one.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields are described once, in docs/FORMAT.md, Ledger kinds")]
pub enum EntryBody {
    /// The first entry of every archive.
    ArchiveCreated { archive: ArchiveId, format: u32, stores: Vec<StoreEntry> },
    /// An epoch began; `continues` is absent in the first.
    EpochOpened {
        epoch: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        continues: Option<Continues>,
        program: String,
    },
    /// An epoch ended: nothing may be appended to it any more.
    EpochClosed { epoch: u32, by: String },
    /// Segments beyond the named point were abandoned.
    BranchAbandoned { epoch: u32, sequence: u64, sha256: Sha256Digest },
    /// Another store became the ledger's home.
    HomeChanged { stores: Vec<StoreEntry> },
    /// What came and was not sealed when this was written, by source and study.
    Received { source: SourceKey, door: Door, study: StudyUid, receipts: ReceiptRanges, bytes: u64 },
    /// A pack counts from here on.
    Sealed {
        #[serde(flatten)]
        pack: PackRef,
        receipts: ReceiptRanges,
        versions: u64,
        after: After,
        stores: Vec<StoreId>,
    },
    /// A pack replaces others of its study.
    Merged {
        #[serde(flatten)]
        pack: PackRef,
        replaces: Vec<PackId>,
        versions: u64,
        stores: Vec<StoreId>,
    },
    /// A case was opened; `case` is the digest of its kind and keys.
    CaseOpened { case: Sha256Digest, about: String, keys: BTreeMap<String, String> },
    /// A case was closed by a person.
    CaseClosed { case: Sha256Digest, by: String, outcome: String },
    /// A person chose the current version.
    VersionPromoted { study: StudyUid, sop: crate::identifiers::SopUid, version: crate::instance::VersionKey, by: String, after: After },
    /// A pack was copied to a store and compared there.
    Copied { pack: PackId, study: StudyUid, store: StoreId },
    /// Objects of one store are about to be deleted.
    DeleteIntended { ground: Ground, store: StoreId, objects: Vec<String> },
    /// Objects of one store are gone.
    Deleted { ground: Ground, store: StoreId, objects: Vec<String>, intended: u64 },
    /// Bytes that do not have their digest were found.
    DamageFound { store: StoreId, object: String, part: String },
    /// The recorded bytes are back.
    DamageRepaired { store: StoreId, object: String },
    /// An audit came to its end.
    AuditFinished { audit: String, objects: u64, bytes: u64, findings: u64 },
    /// A job changed its state.
    JobStarted { job: String, id: Sha256Digest },
    /// A job came to its end.
    JobFinished { job: String, id: Sha256Digest, outcome: String },
    /// What the configuration says of stores or rules changed.
    ConfigChanged { stores: Vec<StoreEntry>, sha256: Sha256Digest },
    /// A kind that this program does not know, kept as it is.
    #[serde(untagged)]
    Unknown(BTreeMap<String, Value>),
}
