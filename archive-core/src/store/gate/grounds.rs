//! The grounds on which something may go, as pure functions of what was found.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::GateError;
use super::port::{OrphanEvidence, SupersededEvidence};
use crate::dicom::scan::ScanWarning;
use crate::identifiers::{ContentId, ReceiptNumber, SopUid, StudyUid};
use crate::instance::{HeldReceipt, VersionKey};
use crate::ledger::entry::Ground;
use crate::pack::IndexedVersion;
use crate::store::StoreKey;

/// An object that no entry names is left alone for at least this long: it may be a pack whose entry is being written.
pub const ORPHAN_AGE_MIN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The first thing of a pack that its successors do not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The bytes of a version.
    #[error("no successor holds the content {content} of instance {sop}")]
    Content {
        /// The instance.
        sop: SopUid,
        /// The content.
        content: ContentId,
    },
    /// A receipt, or it differs.
    #[error("no successor holds receipt {0} as it is")]
    Receipt(ReceiptNumber),
    /// A prefix, or it differs.
    #[error("no successor holds the prefix of receipt {0} as it is")]
    Prefix(ReceiptNumber),
    /// A warning.
    #[error("no successor holds the warning {code} on content {content}")]
    Warning {
        /// Which warning.
        code: String,
        /// On which content.
        content: ContentId,
    },
    /// The pack's own index is empty: nothing is known of it.
    #[error("nothing is known of what it holds")]
    Everything,
}

/// Why a ground does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoGround {
    /// Something would be lost.
    #[error("{0}")]
    Missing(#[from] Missing),
    /// It was named as its own successor.
    #[error("it is named as its own successor")]
    Itself,
    /// It is not long enough since it was superseded.
    #[error("it has been superseded for {waited_seconds} s of uptime, and gate.grace asks for {needed_seconds} s")]
    Grace {
        /// Seconds of uptime so far.
        waited_seconds: u64,
        /// Seconds needed.
        needed_seconds: u64,
    },
    /// The ledger names it.
    #[error("the ledger names it: it is no orphan")]
    Named,
    /// It is too young.
    #[error("it was written on {modified}, and an object that no entry names stays for at least 7 days")]
    TooYoung {
        /// When it was written.
        modified: Timestamp,
    },
}

/// What one version is: the bytes of a data set as an instance of a study.
type Identity<'a> = (&'a StudyUid, &'a SopUid, &'a VersionKey);

/// What several index lines together hold of one version.
#[derive(Default)]
struct Held<'a> {
    content: bool,
    receipts: BTreeMap<ReceiptNumber, &'a HeldReceipt>,
    warnings: Vec<&'a ScanWarning>,
}

fn held(versions: &[IndexedVersion]) -> BTreeMap<Identity<'_>, Held<'_>> {
    let mut all: BTreeMap<Identity<'_>, Held<'_>> = BTreeMap::new();
    for version in versions {
        let held = all.entry(identity(version)).or_default();
        held.content |= version.has_content;
        held.receipts.extend(version.receipts.iter().map(|held| (held.receipt.number, held)));
        held.warnings.extend(&version.facts.warnings);
    }
    all
}

fn identity(version: &IndexedVersion) -> Identity<'_> {
    (&version.facts.keys.study, &version.facts.keys.sop, &version.facts.version)
}

/// Whether `new` holds every content, receipt, prefix and warning that `old` holds. The order of lines and which pack
/// holds what does not matter.
///
/// # Errors
/// [`Missing`]: the first thing that would be lost.
pub fn superseded_by(old: &[IndexedVersion], new: &[IndexedVersion]) -> Result<(), Missing> {
    let new = held(new);
    if old.is_empty() {
        return Err(Missing::Everything);
    }
    old.iter().try_for_each(|version| version_is_held(version, new.get(&identity(version))))
}

/// Whether everything that an orphan holds is held `elsewhere`, or was disposed of.
///
/// # Errors
/// [`Missing`]: the first thing that would be lost.
pub fn orphan_of(
    orphan: &[IndexedVersion],
    elsewhere: &[IndexedVersion],
    disposed: &BTreeSet<ContentId>,
) -> Result<(), Missing> {
    let elsewhere = held(elsewhere);
    if orphan.is_empty() {
        return Err(Missing::Everything);
    }
    orphan
        .iter()
        .filter(|version| !disposed.contains(&version.facts.version.content))
        .try_for_each(|version| version_is_held(version, elsewhere.get(&identity(version))))
}

fn version_is_held(version: &IndexedVersion, by: Option<&Held<'_>>) -> Result<(), Missing> {
    let nothing = Held::default();
    let by = by.unwrap_or(&nothing);
    let content = version.facts.version.content;
    if version.has_content && !by.content {
        return Err(Missing::Content { sop: version.facts.keys.sop.clone(), content });
    }
    for HeldReceipt { receipt, prefix } in &version.receipts {
        let there = by.receipts.get(&receipt.number).filter(|there| there.receipt == *receipt);
        let there = there.ok_or(Missing::Receipt(receipt.number))?;
        if there.prefix != *prefix {
            return Err(Missing::Prefix(receipt.number));
        }
    }
    match version.facts.warnings.iter().find(|warning| !by.warnings.contains(warning)) {
        Some(warning) => Err(Missing::Warning { code: warning.code.to_string(), content }),
        None => Ok(()),
    }
}

/// The ground *superseded*.
pub(super) fn superseded(key: &StoreKey, evidence: &SupersededEvidence, grace: Duration) -> Result<(), NoGround> {
    if evidence.successors.contains(key) {
        return Err(NoGround::Itself);
    }
    if evidence.grace < grace {
        let (waited_seconds, needed_seconds) = (evidence.grace.as_secs(), grace.as_secs());
        return Err(NoGround::Grace { waited_seconds, needed_seconds });
    }
    Ok(superseded_by(&evidence.old, &evidence.new)?)
}

/// The ground *orphan*.
pub(super) fn orphan(evidence: &OrphanEvidence, named: bool, now: Timestamp) -> Result<(), NoGround> {
    if named {
        return Err(NoGround::Named);
    }
    if !is_old_enough(evidence.modified, now) {
        return Err(NoGround::TooYoung { modified: evidence.modified });
    }
    Ok(orphan_of(&evidence.orphan, &evidence.elsewhere, &evidence.disposed)?)
}

/// Whether an object that no entry names has been there for long enough.
#[must_use]
pub fn is_old_enough(modified: Timestamp, now: Timestamp) -> bool {
    // Negative, and so too young, for an object that says it comes from the future.
    let age = now.duration_since(modified);
    Duration::try_from(age).is_ok_and(|age| age > ORPHAN_AGE_MIN)
}

/// Refuses names that may never be deleted on a ground, whatever the evidence says: both grounds of this version are
/// for packs alone. Ledger segments and the store's identity are never deletable.
pub(super) fn refuse_name(key: &StoreKey, ground: Ground) -> Result<(), GateError> {
    match ground {
        Ground::Superseded | Ground::Orphan => {
            let pack = key.as_str().starts_with("studies/") && key.as_str().ends_with(".zip");
            if pack { Ok(()) } else { Err(GateError::NeverDeletable { ground, key: key.clone() }) }
        }
        Ground::Repaired | Ground::Moved | Ground::Disposed | Ground::Expired => {
            Err(GateError::NotAvailable { ground, key: key.clone() })
        }
    }
}
