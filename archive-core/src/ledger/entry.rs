//! What ledger entries say: the contract of entry kinds.
//!
//! UIDs, digests, counts, words of ours, and the names of users and sources; never patient data and no free text (the
//! ledger can never be erased). The order of fields here is the order in the stored line, and that line's bytes are a
//! leaf of the Merkle tree: neither order nor spelling of a released kind ever changes. docs/FORMAT.md, "Ledger".

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use super::ranges::{ReceiptRange, ReceiptRanges};
use super::word::Word;
use crate::caller::{Door, SourceKey};
use crate::identifiers::{ArchiveId, PackId, Sha256Digest, SopUid, StoreId, StudyUid};
use crate::instance::VersionKey;
use crate::pack::PackRef;
use crate::store::StoreKey;

/// One entry: its place, its times, what happened.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Entry {
    /// Dense over the whole ledger, from 0.
    pub n: u64,
    /// System clock of the writer, in milliseconds.
    pub time: Timestamp,
    /// Trusted time, in milliseconds: never ahead of what was vouched before plus monotonic time since.
    pub vouched: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub body: EntryBody,
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

/// What a case is about, as far as the ledger may say it. Patient facts lie in the document.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CaseSubject {
    /// The studies in question.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub studies: Vec<StudyUid>,
    /// The instance in question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sop: Option<SopUid>,
    /// The pack in question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<PackId>,
    /// The store in question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreId>,
    /// SHA-256 of the document that says the rest; it can be deleted, this entry cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Sha256Digest>,
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
        program: Word,
    },
    /// An epoch ended: nothing may be appended to it any more.
    EpochClosed { epoch: u32, by: SourceKey },
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
        #[serde(deserialize_with = "super::ranges::deserialize_by_epoch")]
        after: After,
        stores: Vec<StoreId>,
    },
    /// A pack replaces others of its study.
    Merged {
        #[serde(flatten)]
        pack: PackRef,
        replaces: Vec<PackId>,
        versions: u64,
        #[serde(deserialize_with = "super::ranges::deserialize_by_epoch")]
        after: After,
        stores: Vec<StoreId>,
    },
    /// A case was opened; `case` is the digest of its kind and keys.
    CaseOpened {
        case: Sha256Digest,
        about: Word,
        #[serde(flatten)]
        subject: CaseSubject,
    },
    /// A case was closed by a person.
    CaseClosed { case: Sha256Digest, by: SourceKey, outcome: Word },
    /// A person chose the current version.
    VersionPromoted {
        study: StudyUid,
        sop: SopUid,
        version: VersionKey,
        by: SourceKey,
        #[serde(deserialize_with = "super::ranges::deserialize_by_epoch")]
        after: After,
    },
    /// A pack was copied to a store and compared there.
    Copied { pack: PackId, study: StudyUid, store: StoreId },
    /// Objects of one store, all of one study or of none, are about to be deleted.
    DeleteIntended {
        ground: Ground,
        store: StoreId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        study: Option<StudyUid>,
        #[serde(with = "object_names")]
        objects: Vec<StoreKey>,
        #[serde(deserialize_with = "super::ranges::deserialize_by_epoch")]
        after: After,
    },
    /// Objects of one store are gone; `intended` is the index of the entry that said so before.
    Deleted {
        ground: Ground,
        store: StoreId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        study: Option<StudyUid>,
        #[serde(with = "object_names")]
        objects: Vec<StoreKey>,
        intended: u64,
    },
    /// Bytes that do not have their digest were found.
    DamageFound {
        store: StoreId,
        #[serde(with = "object_name")]
        object: StoreKey,
        part: Word,
    },
    /// The recorded bytes are back.
    DamageRepaired {
        store: StoreId,
        #[serde(with = "object_name")]
        object: StoreKey,
    },
    /// An audit came to its end.
    AuditFinished { audit: Word, objects: u64, bytes: u64, findings: u64 },
    /// A job began.
    JobStarted { job: Word, id: Sha256Digest },
    /// A job came to its end.
    JobFinished { job: Word, id: Sha256Digest, outcome: Word },
    /// What the configuration says of stores or rules changed.
    ConfigChanged { stores: Vec<StoreEntry>, sha256: Sha256Digest },
    /// A kind that this program does not know: its members, `kind` included, as they are. Never written.
    #[serde(untagged, skip_deserializing)]
    Unknown(BTreeMap<String, Value>),
}

/// The kinds of format 1 that this program knows.
pub const KINDS: [&str; 20] = [
    "archive_created",
    "epoch_opened",
    "epoch_closed",
    "branch_abandoned",
    "home_changed",
    "received",
    "sealed",
    "merged",
    "case_opened",
    "case_closed",
    "version_promoted",
    "copied",
    "delete_intended",
    "deleted",
    "damage_found",
    "damage_repaired",
    "audit_finished",
    "job_started",
    "job_finished",
    "config_changed",
];

impl EntryBody {
    /// The kind as the stored line spells it.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::ArchiveCreated { .. } => "archive_created",
            Self::EpochOpened { .. } => "epoch_opened",
            Self::EpochClosed { .. } => "epoch_closed",
            Self::BranchAbandoned { .. } => "branch_abandoned",
            Self::HomeChanged { .. } => "home_changed",
            Self::Received { .. } => "received",
            Self::Sealed { .. } => "sealed",
            Self::Merged { .. } => "merged",
            Self::CaseOpened { .. } => "case_opened",
            Self::CaseClosed { .. } => "case_closed",
            Self::VersionPromoted { .. } => "version_promoted",
            Self::Copied { .. } => "copied",
            Self::DeleteIntended { .. } => "delete_intended",
            Self::Deleted { .. } => "deleted",
            Self::DamageFound { .. } => "damage_found",
            Self::DamageRepaired { .. } => "damage_repaired",
            Self::AuditFinished { .. } => "audit_finished",
            Self::JobStarted { .. } => "job_started",
            Self::JobFinished { .. } => "job_finished",
            Self::ConfigChanged { .. } => "config_changed",
            Self::Unknown(members) => members.get("kind").and_then(Value::as_str).unwrap_or("unknown"),
        }
    }

    /// The studies that the entry names.
    #[must_use]
    pub fn studies(&self) -> &[StudyUid] {
        match self {
            Self::Received { study, .. } | Self::VersionPromoted { study, .. } | Self::Copied { study, .. } => {
                std::slice::from_ref(study)
            }
            Self::Sealed { pack, .. } | Self::Merged { pack, .. } => std::slice::from_ref(&pack.study),
            Self::DeleteIntended { study, .. } | Self::Deleted { study, .. } => study.as_slice(),
            Self::CaseOpened { subject, .. } => &subject.studies,
            _ => &[],
        }
    }

    /// Whether only opening, closing or taking over an epoch writes such an entry.
    #[must_use]
    pub fn is_of_an_epoch(&self) -> bool {
        matches!(
            self,
            Self::ArchiveCreated { .. }
                | Self::EpochOpened { .. }
                | Self::EpochClosed { .. }
                | Self::BranchAbandoned { .. }
                | Self::HomeChanged { .. }
        )
    }
}

/// A store's object, written as its name.
mod object_name {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::store::StoreKey;

    pub(super) fn serialize<S: Serializer>(key: &StoreKey, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(key.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StoreKey, D::Error> {
        StoreKey::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Objects of a store, written as a list of their names.
mod object_names {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::store::StoreKey;

    pub(super) fn serialize<S: Serializer>(keys: &[StoreKey], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(keys.iter().map(StoreKey::as_str))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<StoreKey>, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        names.iter().map(|name| StoreKey::parse(name).map_err(serde::de::Error::custom)).collect()
    }
}
