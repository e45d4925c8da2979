//! Tests of packs as a whole, and the versions that they are made of.

mod damage;
mod golden;
mod limits;
mod off_runtime;
mod requests;
mod round_trip;
mod tools;
mod zip_form;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use dicom_core::Tag;
use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::caller::{Door, SourceKey};
use crate::dicom::attributes::Attributes;
use crate::dicom::cut::{CutList, Fragment, Frame, Unit, UnitKind};
use crate::dicom::scan::{InstanceKeys, ScanWarning};
use crate::identifiers::{
    AeTitle, ContentId, ReceiptNumber, SeriesUid, Sha256Digest, SopClassUid, SopUid, StudyUid, TransferSyntaxUid,
    UnitDigest,
};
use crate::instance::{HeldReceipt, VersionFacts, VersionKey};
use crate::reading::VersionReader as _;
use crate::receipt::{DuplicateRule, FileDigest, Receipt, Resolved};
use crate::store::{MemoryStore, SharedStore, Store as _};

pub(super) const STUDY: &str = "1.2.826.0.1.99.1";
pub(super) const NONCE: &str = "000102030405060708090a0b0c0d0e0f";

/// How a version comes: header runs and frames in turn.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    Header(Vec<u8>),
    /// A frame, in fragments of these lengths.
    Frame(Vec<u8>),
}

/// A version to be packed, with what a reader must give back.
#[derive(Clone, Debug)]
pub(super) struct TestVersion {
    pub(super) facts: VersionFacts,
    pub(super) receipts: Vec<HeldReceipt>,
    pub(super) content: Vec<u8>,
    pub(super) units: Vec<Unit>,
    pub(super) fragments: Vec<Fragment>,
    pub(super) frames: Vec<Frame>,
    pub(super) header: Option<Vec<u8>>,
    pub(super) has_content: bool,
}

/// Bytes that do not compress, repeatable (xorshift64*).
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2) | 1;
    let mut word = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_be_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut word).take(length.div_ceil(8)).flatten().collect();
    bytes.truncate(length);
    bytes
}

/// Bytes that compress well, repeatable.
pub(super) fn smooth(seed: u64, length: usize) -> Vec<u8> {
    (0..length).map(|at| ((at / 64) as u64 + seed) as u8).collect()
}

impl TestVersion {
    /// A version of pieces, received once by C-STORE under `number`.
    pub(super) fn new(series: &str, sop: &str, number: u64, pieces: &[Piece]) -> Self {
        let mut content = Vec::new();
        let (mut units, mut fragments, mut frames) = (Vec::new(), Vec::new(), Vec::new());
        for piece in pieces {
            let (bytes, kind) = match piece {
                Piece::Header(bytes) => (bytes, UnitKind::Header),
                Piece::Frame(bytes) => (bytes, UnitKind::Bulk),
            };
            if kind == UnitKind::Bulk {
                let first_fragment = fragments.len() as u32;
                fragments.push(Fragment { offset: content.len() as u64, length: bytes.len() as u64 });
                frames.push(Frame { first_fragment, fragment_count: 1 });
            }
            for chunk in bytes.chunks(4 << 20) {
                let (offset, length) = (content.len() as u64, chunk.len() as u32);
                units.push(Unit { offset, length, kind, digest: UnitDigest::of(chunk) });
                content.extend_from_slice(chunk);
            }
        }
        let mut attributes = Attributes::default();
        attributes.insert(Tag(0x0010, 0x0010), &json!({"vr": "PN", "Value": [{"Alphabetic": "Müller^Jörg"}]}));
        attributes.insert(Tag(0x0018, 0x0050), &json!({"vr": "DS", "Value": [0.1 + 0.2, 5e-324, -1.7e300, 3]}));
        let facts = VersionFacts {
            keys: InstanceKeys {
                study: StudyUid::parse(STUDY).unwrap(),
                series: SeriesUid::parse(series).unwrap(),
                sop_class: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
                sop: SopUid::parse(sop).unwrap(),
            },
            version: VersionKey {
                content: ContentId::of(&content),
                transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
            },
            content_length: content.len() as u64,
            inflated: false,
            frame_count: frames.len() as u64,
            attributes,
            scanner_revision: 1,
            warnings: vec![
                ScanWarning { code: "odd-length".into(), tag: Some(Tag(0x7FE0, 0x0010)), offset: 77 },
                ScanWarning { code: "no-preamble".into(), tag: None, offset: 0 },
            ],
        };
        let header = json!({"00080018": {"vr": "UI", "Value": [sop]}}).to_string().into_bytes();
        let mut version = Self {
            facts,
            receipts: Vec::new(),
            content,
            units,
            fragments,
            frames,
            header: Some(header),
            has_content: true,
        };
        version.receive(number, None);
        version
    }

    /// One more receipt: of a bare data set, or of a file with a prefix.
    pub(super) fn receive(&mut self, number: u64, prefix: Option<&[u8]>) {
        let whole = prefix.map(|prefix| [prefix, &self.content].concat());
        let receipt = Receipt {
            number: ReceiptNumber { epoch: 1, number },
            time: Timestamp::constant(1_800_000_000 + number as i64, 123_456_789),
            door: if prefix.is_some() { Door::Import } else { Door::CStore },
            source: SourceKey::new("MODALITY 1"),
            content: self.facts.version.content,
            transfer_syntax: self.facts.version.transfer_syntax.clone(),
            file: whole.map(|file| FileDigest { sha256: Sha256Digest::of(&file), size: file.len() as u64 }),
            resolved: Resolved {
                duplicate_rule: DuplicateRule::LatestWins,
                default_issuer: (number.is_multiple_of(2)).then(|| "HOSPITAL".to_owned()),
                assumed_charset: (number.is_multiple_of(3)).then(|| "ISO_IR 100".to_owned()),
                local_ae: Some(AeTitle::parse("VELLUM").unwrap()),
            },
        };
        self.receipts.push(HeldReceipt { receipt, prefix: prefix.map(<[u8]>::to_vec) });
    }

    /// A version that came as a file with a prefix.
    pub(super) fn with_prefix(mut self, prefix: &[u8]) -> Self {
        let number = self.receipts.remove(0).receipt.number.number;
        self.receive(number, Some(prefix));
        self
    }

    pub(super) fn cut(&self) -> CutList {
        CutList {
            units: self.units.iter().copied().collect(),
            fragments: self.fragments.iter().copied().collect(),
            frames: self.frames.iter().copied().collect(),
            inflated: self.facts.inflated,
        }
    }

    pub(super) fn expected(&self) -> ExpectedVersion<'_> {
        ExpectedVersion { facts: &self.facts, receipts: &self.receipts, has_content: self.has_content }
    }

    /// The prefix that its member must have.
    pub(super) fn prefix(&self) -> Vec<u8> {
        let first = &self.receipts[0];
        first.prefix.clone().unwrap_or_else(|| crate::dicom::prefix::compose(&self.facts, &first.receipt))
    }

    pub(super) fn file(&self) -> Vec<u8> {
        [self.prefix(), self.content.clone()].concat()
    }

    pub(super) fn add_to(&self, builder: &mut PackBuilder) -> Result<(), PackError> {
        if !self.has_content {
            return builder.add_receipts(&self.facts, &self.receipts);
        }
        let mut content = self.content.as_slice();
        builder.add_version(&self.facts, &self.receipts, &self.cut(), self.header.as_deref(), &mut content)
    }
}

/// A prefix as a file has it, with something of its own in it.
pub(super) fn prefix(word: &str) -> Vec<u8> {
    let mut prefix = vec![0; 128];
    prefix.extend_from_slice(b"DICM\x02\x00\x02\x01OB\x00\x00");
    prefix.extend_from_slice(&(word.len() as u32).to_le_bytes());
    prefix.extend_from_slice(word.as_bytes());
    prefix
}

/// Builds and verifies a pack of these versions, in their order.
pub(super) fn build(folder: &Path, versions: &[TestVersion]) -> BuiltPack {
    let study = StudyUid::parse(STUDY).unwrap();
    let mut builder = PackBuilder::create(folder, &study, NONCE.to_owned(), PackOptions::default()).unwrap();
    for version in versions {
        version.add_to(&mut builder).unwrap();
    }
    let built = builder.finish().unwrap();
    verify_scratch(&built, versions.iter().map(TestVersion::expected)).unwrap();
    built
}

/// A store that holds a pack.
pub(super) async fn stored(name: &str, built: &BuiltPack) -> Arc<MemoryStore> {
    let store = MemoryStore::named(name);
    let bytes = Bytes::from(std::fs::read(built.path()).unwrap());
    store.create(&built.pack.key().unwrap(), bytes).await.unwrap();
    store
}

pub(super) async fn open(stores: &[SharedStore], pack: &PackRef) -> Result<PackReader, crate::reading::ReadError> {
    PackReader::open(stores, pack.clone(), &PackCache::of_bytes(64 << 20), Arc::new(LogDamage)).await
}

/// All of a range of the content.
pub(super) async fn read_all(
    version: &PackedVersion,
    want: std::ops::Range<u64>,
) -> Result<Vec<u8>, crate::reading::ReadError> {
    let mut found = Vec::new();
    let mut at = want.start;
    while at < want.end {
        let bytes = version.read(at..want.end).await?;
        assert!(!bytes.is_empty() && bytes.len() <= 8 << 20);
        at += bytes.len() as u64;
        found.extend_from_slice(&bytes);
    }
    Ok(found)
}
