//! What verifying a ledger found, for people and programs.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::chain::Head;
use super::entry::EntryBody;
use super::error::Damage;
use super::segment::Segment;

/// Findings kept one by one; more are only counted.
pub const MAX_FINDINGS: usize = 1000;

/// What was read.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Summary {
    /// Epochs seen.
    pub epochs: u64,
    /// Segments that were good in themselves.
    pub segments: u64,
    /// Entries in them.
    pub entries: u64,
    /// Entries by kind; unknown kinds are counted apart, so that this stays short.
    pub kinds: BTreeMap<String, u64>,
    /// Entries of kinds that this program does not know.
    pub unknown_kinds: u64,
    /// Checkpoints without a signature.
    pub unsigned_checkpoints: u64,
    /// Checkpoints with signature lines; they were not checked.
    pub signed_checkpoints: u64,
    /// Segments beyond the point from which the next epoch goes on.
    pub abandoned: u64,
    /// Bundles that are equal to their folders.
    pub bundles: u64,
    /// Full folders without a bundle.
    pub folders_without_bundle: u64,
    /// System time of the first entry.
    pub first_time: Option<Timestamp>,
    /// Vouched time of the last entry.
    pub last_vouched: Option<Timestamp>,
    /// Where the ledger ends.
    pub head: Option<Head>,
    /// Whether a head remembered elsewhere was found in it. Without one, the last segment stands for itself alone.
    pub remembered: bool,
}

/// What verifying found.
#[derive(Clone, PartialEq, Debug, Default)]
#[must_use]
pub struct Report {
    /// What is wrong, in the order of the ledger, at most [`MAX_FINDINGS`].
    pub findings: Vec<Damage>,
    /// Findings beyond that.
    pub more_findings: u64,
    /// What was read.
    pub summary: Summary,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }

    pub(super) fn find(&mut self, damage: Damage) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(damage);
        } else {
            self.more_findings += 1;
        }
    }

    pub(super) fn count(&mut self, segment: &Segment) {
        let summary = &mut self.summary;
        summary.segments += 1;
        summary.entries += segment.entries.len() as u64;
        for recorded in &segment.entries {
            match &recorded.entry.body {
                EntryBody::Unknown(_) => summary.unknown_kinds += 1,
                known => *summary.kinds.entry(known.kind().to_owned()).or_default() += 1,
            }
            summary.first_time = summary.first_time.or(Some(recorded.entry.time));
            summary.last_vouched = Some(recorded.entry.vouched);
        }
        if segment.checkpoint.signatures.is_empty() {
            summary.unsigned_checkpoints += 1;
        } else {
            summary.signed_checkpoints += 1;
        }
        summary.head = Some(Head::of(segment));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { epochs, segments, entries, abandoned, bundles, folders_without_bundle, .. } = &self.summary;
        writeln!(f, "{entries} entries in {segments} segments of {epochs} epochs")?;
        writeln!(
            f,
            "bundles: {bundles} checked, {folders_without_bundle} not made yet; abandoned segments: {abandoned}"
        )?;
        let Summary { unsigned_checkpoints, signed_checkpoints, unknown_kinds, .. } = &self.summary;
        writeln!(
            f,
            "checkpoints: {unsigned_checkpoints} unsigned, {signed_checkpoints} with signatures that were not checked"
        )?;
        if *unknown_kinds > 0 {
            writeln!(f, "{unknown_kinds} entries are of kinds that this program does not know")?;
        }
        match (&self.summary.head, self.summary.remembered) {
            (None, _) => writeln!(f, "there is no ledger")?,
            (Some(head), true) => {
                writeln!(f, "ends at {} entries, root {}; the remembered head is in it", head.size, head.root)?
            }
            (Some(head), false) => writeln!(
                f,
                "ends at {} entries, root {}; compare this with a root noted elsewhere: nothing else vouches for the end",
                head.size, head.root
            )?,
        }
        for finding in &self.findings {
            writeln!(f, "DAMAGE {finding}")?;
        }
        if self.more_findings > 0 {
            writeln!(f, "and {} findings more", self.more_findings)?;
        }
        Ok(())
    }
}
