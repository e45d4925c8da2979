//! The model: what was sent, what was acknowledged, and what follows from that. It knows nothing of journals, packs or
//! catalogs.

use std::collections::{BTreeMap, BTreeSet};

use archive_core::identifiers::{ContentId, ReceiptNumber};
use archive_core::testing::data_set::{data_set, prefix};
use bytes::Bytes;

/// Studies that there may be.
pub(crate) const STUDIES: u8 = 3;
/// Text that makes an instance too large to be gathered in memory (bytes).
const LARGE: usize = 6000;

/// The UID of a study.
pub(crate) fn study_uid(study: u8) -> String {
    format!("1.2.826.0.1.7.{study}")
}

/// Something that is sent: instance `n` of a study, in one of several contents, from one of several sources.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Sending {
    pub(crate) study: u8,
    pub(crate) n: u8,
    /// Which content.
    pub(crate) text: u8,
    /// From whom.
    pub(crate) source: u8,
    /// As a file with this preamble; otherwise as a bare data set.
    pub(crate) file: Option<u8>,
    /// Too large to be gathered in memory.
    pub(crate) large: bool,
}

impl Sending {
    pub(crate) fn instance(&self) -> Instance {
        Instance { study: self.study, n: self.n }
    }

    pub(crate) fn data_set(&self) -> Bytes {
        let text = if self.large { "x".repeat(LARGE) } else { String::new() };
        data_set(&study_uid(self.study), self.n.into(), &format!("{}{text}", self.text))
    }

    pub(crate) fn prefix(&self) -> Option<Bytes> {
        self.file.map(prefix)
    }

    pub(crate) fn content(&self) -> ContentId {
        ContentId::of(&self.data_set())
    }
}

/// An instance of a study.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Instance {
    pub(crate) study: u8,
    pub(crate) n: u8,
}

/// A version of an instance.
pub(crate) type Version = (Instance, ContentId);

/// How often what happened.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Counts {
    pub(crate) operations: u64,
    pub(crate) acknowledged: u64,
    pub(crate) crashes: u64,
    pub(crate) power_cuts: u64,
    pub(crate) restarts: u64,
    pub(crate) flips: u64,
    pub(crate) faults: u64,
    pub(crate) checks: u64,
    pub(crate) bytes_compared: u64,
    /// Acknowledged receipts that a flipped byte took, and that were named.
    pub(crate) lost_to_flips: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.operations += other.operations;
        self.acknowledged += other.acknowledged;
        self.crashes += other.crashes;
        self.power_cuts += other.power_cuts;
        self.restarts += other.restarts;
        self.flips += other.flips;
        self.faults += other.faults;
        self.checks += other.checks;
        self.bytes_compared += other.bytes_compared;
        self.lost_to_flips += other.lost_to_flips;
    }
}

/// What is known from outside.
#[derive(Default, Debug)]
pub(crate) struct Model {
    /// Everything that was ever sent.
    sent: BTreeMap<Version, Bytes>,
    /// What was acknowledged, or was seen to be there although the answer was lost.
    receipts: BTreeMap<ReceiptNumber, Sending>,
    /// What was sent without an answer: each may have become a receipt, or may still.
    unsure: Vec<Sending>,
    /// Where each version was seen last, in the archive's words.
    pub(crate) places: BTreeMap<Version, String>,
    pub(crate) counts: Counts,
}

impl Model {
    /// Something is being sent; from now on it may be there.
    pub(crate) fn sends(&mut self, sending: &Sending) {
        self.sent.insert((sending.instance(), sending.content()), sending.data_set());
        self.unsure.push(*sending);
    }

    /// It was refused, and nothing of it was kept.
    pub(crate) fn refused(&mut self, sending: &Sending) {
        if let Some(at) = self.unsure.iter().position(|unsure| unsure == sending) {
            self.unsure.remove(at);
        }
    }

    /// It was acknowledged.
    pub(crate) fn acknowledged(&mut self, sending: &Sending, number: ReceiptNumber) {
        self.refused(sending);
        let before = self.receipts.insert(number, *sending);
        assert!(before.is_none_or(|before| before == *sending), "{number} was given twice: {before:?}, {sending:?}");
        self.counts.acknowledged += 1;
    }

    /// A receipt is there: it was acknowledged, or its answer was lost. Whatever else is there was never sent.
    pub(crate) fn must_have_sent(
        &mut self,
        number: ReceiptNumber,
        version: &Version,
        source: &str,
        prefix: Option<&[u8]>,
    ) {
        let is_it = |sending: &Sending| {
            (sending.instance(), sending.content()) == *version
                && source_key(sending.source) == source
                && sending.prefix().as_deref() == prefix
        };
        if let Some(known) = self.receipts.get(&number) {
            assert!(is_it(known), "receipt {number} was {known:?} and is {version:?} of {source}");
            return;
        }
        let at = self.unsure.iter().position(is_it);
        let at = at.unwrap_or_else(|| panic!("receipt {number} ({version:?} of {source}) was never sent: {self:?}"));
        let sending = self.unsure.remove(at);
        self.receipts.insert(number, sending);
    }

    /// The bytes of a version, if it was ever sent.
    pub(crate) fn bytes(&self, version: &Version) -> Option<&Bytes> {
        self.sent.get(version)
    }

    /// Every version that was acknowledged, with its receipts.
    pub(crate) fn versions(&self) -> BTreeMap<Version, BTreeSet<ReceiptNumber>> {
        let mut versions: BTreeMap<Version, BTreeSet<ReceiptNumber>> = BTreeMap::new();
        for (number, sending) in &self.receipts {
            versions.entry((sending.instance(), sending.content())).or_default().insert(*number);
        }
        versions
    }

    /// The version of an instance that is current, by the rule *same-source-replaces*: who sent it may replace it, what
    /// anyone else sends stays beside it.
    pub(crate) fn current(&self, instance: Instance) -> Option<ContentId> {
        let mut current: Option<(ContentId, u8)> = None;
        for sending in self.receipts.values().filter(|sending| sending.instance() == instance) {
            match current {
                Some((_, owner)) if owner != sending.source => {}
                Some((content, _)) if content == sending.content() => {}
                _ => current = Some((sending.content(), sending.source)),
            }
        }
        current.map(|(content, _)| content)
    }

    /// Studies, series and instances that a search finds.
    pub(crate) fn found(&self) -> [usize; 3] {
        let instances: BTreeSet<Instance> = self.receipts.values().map(Sending::instance).collect();
        let studies: BTreeSet<u8> = instances.iter().map(|instance| instance.study).collect();
        [studies.len(), studies.len(), instances.len()]
    }

    /// These were lost to damage, and named.
    pub(crate) fn lost(&mut self, receipts: &BTreeSet<ReceiptNumber>) {
        self.counts.lost_to_flips += receipts.len() as u64;
        self.receipts.retain(|number, _| !receipts.contains(number));
    }
}

/// The name of a source.
pub(crate) fn source_key(source: u8) -> String {
    format!("CT{source}")
}
