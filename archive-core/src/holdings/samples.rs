//! Made-up instances, receipts and packs for tests.

use std::borrow::Cow;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::caller::{Door, SourceKey};
use crate::dicom::attributes::Attributes;
use crate::dicom::scan::{InstanceKeys, ScanWarning};
use crate::identifiers::{
    ContentId, PackId, ReceiptNumber, SeriesUid, Sha256Digest, SopClassUid, SopUid, StudyUid, TransferSyntaxUid,
};
use crate::instance::{HeldReceipt, VersionFacts, VersionKey};
use crate::overlay::UnsealedEntry;
use crate::pack::{IndexedVersion, PackRef, RootPlace};
use crate::phi::Phi;
use crate::query::{MatchKey, Query, QueryLevel};
use crate::receipt::{DuplicateRule, Receipt, Resolved};

pub(crate) fn study(n: u32) -> StudyUid {
    StudyUid::parse(&format!("1.2.{n}")).unwrap()
}

pub(crate) fn sop(n: u32, instance: u32) -> SopUid {
    SopUid::parse(&format!("1.2.{n}.7.{instance}")).unwrap()
}

/// A version of an instance; change its fields to make it another.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) study: u32,
    pub(crate) series: u32,
    pub(crate) instance: u32,
    pub(crate) content: u32,
    pub(crate) class: &'static str,
    pub(crate) elements: Vec<(Tag, &'static str, Value)>,
}

impl Made {
    pub(crate) fn new(study: u32, series: u32, instance: u32) -> Self {
        Self { study, series, instance, content: 0, class: "1.2.840.10008.5.1.4.1.1.2", elements: Vec::new() }
    }

    pub(crate) fn with(mut self, tag: Tag, vr: &'static str, value: impl Into<Value>) -> Self {
        self.elements.push((tag, vr, value.into()));
        self
    }

    pub(crate) fn content(mut self, content: u32) -> Self {
        self.content = content;
        self
    }

    pub(crate) fn facts(&self) -> VersionFacts {
        let mut attributes = Attributes::default();
        attributes.insert(tags::MODALITY, &json!({"vr": "CS", "Value": ["CT"]}));
        attributes.insert(tags::SERIES_NUMBER, &json!({"vr": "IS", "Value": [self.series]}));
        attributes.insert(tags::INSTANCE_NUMBER, &json!({"vr": "IS", "Value": [self.instance]}));
        for (tag, vr, value) in &self.elements {
            attributes.insert(*tag, &json!({"vr": vr, "Value": [value]}));
        }
        let name = format!("{}/{}/{}", self.study, self.instance, self.content);
        VersionFacts {
            keys: InstanceKeys {
                study: study(self.study),
                series: SeriesUid::parse(&format!("1.2.{}.{}", self.study, self.series)).unwrap(),
                sop_class: SopClassUid::parse(self.class).unwrap(),
                sop: sop(self.study, self.instance),
            },
            version: VersionKey {
                content: ContentId::of(name.as_bytes()),
                transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
            },
            content_length: 100,
            inflated: false,
            frame_count: 1,
            attributes,
            scanner_revision: 1,
            warnings: vec![ScanWarning { code: Cow::Borrowed("odd-length"), tag: None, offset: 9 }],
        }
    }

    pub(crate) fn received(&self, number: u64, source: &str, rule: DuplicateRule) -> UnsealedEntry {
        let facts = self.facts();
        let receipt = Receipt {
            number: ReceiptNumber { epoch: 1, number },
            time: Timestamp::UNIX_EPOCH,
            door: Door::CStore,
            source: SourceKey::new(source),
            content: facts.version.content,
            transfer_syntax: facts.version.transfer_syntax.clone(),
            file: None,
            resolved: Resolved { duplicate_rule: rule, ..Resolved::default() },
        };
        UnsealedEntry { facts, receipt, has_content: true }
    }

    pub(crate) fn by(&self, number: u64) -> UnsealedEntry {
        self.received(number, "A", DuplicateRule::SameSourceReplaces)
    }
}

/// The index lines of a pack that holds these entries: one a version, read as its lowest receipt.
pub(crate) fn lines(entries: &[UnsealedEntry]) -> Vec<IndexedVersion> {
    let mut sorted: Vec<&UnsealedEntry> = entries.iter().collect();
    sorted.sort_by_key(|entry| entry.receipt.number);
    let mut lines: Vec<IndexedVersion> = Vec::new();
    for entry in sorted {
        let held = HeldReceipt { receipt: entry.receipt.clone(), prefix: None };
        let same = |line: &&mut IndexedVersion| {
            line.facts.version == entry.facts.version && line.facts.keys.sop == entry.facts.keys.sop
        };
        match lines.iter_mut().find(same) {
            Some(line) => line.receipts.push(held),
            None => {
                let line = u32::try_from(lines.len()).unwrap();
                lines.push(IndexedVersion {
                    facts: entry.facts.clone(),
                    receipts: vec![held],
                    line,
                    has_content: true,
                });
            }
        }
    }
    lines
}

pub(crate) fn pack(study: &StudyUid, nonce: u64) -> PackRef {
    PackRef {
        study: study.clone(),
        pack: PackId::of(&nonce.to_le_bytes()),
        size: 1000,
        root: RootPlace { offset: 900, length: 100, sha256: Sha256Digest::of(&nonce.to_le_bytes()) },
    }
}

pub(crate) fn query(level: QueryLevel, keys: &[(Tag, &str)]) -> Query {
    let keys = keys.iter().map(|(tag, text)| MatchKey { path: vec![*tag], value: Phi::new((*text).to_owned()) });
    Query { keys: keys.collect(), ..Query::all(level) }
}
