//! The journal's promises, tested on real files, with a disk that can fail and forget.

mod commits;
mod damage;
mod faults;
mod golden;
mod mirrored;
mod power_cut;
mod reading;
mod spares;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use dicom_core::Tag;
use serde_json::json;

use super::disk::{RealDisk, SharedDisk};
use super::*;
use crate::caller::{Door, SourceKey};
use crate::clock::{Clock as _, ManualClock};
use crate::dicom::attributes::Attributes;
use crate::dicom::cut::{CutList, Fragment, Frame, Unit, UnitKind};
use crate::dicom::scan::{InstanceKeys, SCANNER_REVISION};
use crate::entropy::SeededEntropy;
use crate::identifiers::*;
use crate::instance::{VersionFacts, VersionKey};
use crate::receipt::Resolved;
use crate::rows::Table;

/// A folder that is gone after the test, with the options of a small journal in it.
struct World {
    folder: tempfile::TempDir,
    options: JournalOptions,
    clock: Arc<ManualClock>,
    disk: SharedDisk,
    seed: u64,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let archive = ArchiveId::parse(&"a1".repeat(16)).unwrap();
        let options = JournalOptions {
            segment_bytes: 64 * 1024,
            spare_segments: 0,
            inline_bytes: 16 * 1024,
            memory_bytes: 8 << 20,
            cap_bytes: 1 << 30,
            reserve_bytes: 0,
            allow_volatile: true,
            ..JournalOptions::new(folder.path().join("journal"), archive, 1)
        };
        Self { folder, options, clock: ManualClock::new(), disk: Arc::new(RealDisk), seed: 1 }
    }

    fn mirrored() -> Self {
        let mut world = Self::new();
        world.options.mirror = Some(world.folder.path().join("mirror"));
        world
    }

    fn main(&self) -> PathBuf {
        self.options.folder.clone()
    }

    fn mirror(&self) -> PathBuf {
        self.options.mirror.clone().unwrap()
    }

    fn try_open(&mut self) -> Result<(Journal, Recovered), JournalError> {
        self.seed += 1;
        let entropy = SeededEntropy::from_seed(self.seed);
        Journal::open(Arc::clone(&self.disk), self.options.clone(), self.clock.clone(), entropy)
    }

    fn open(&mut self) -> (Journal, Recovered) {
        self.try_open().unwrap()
    }

    /// Opens what is there, gives what was found, and shuts down again.
    async fn look(&mut self) -> Recovered {
        let (journal, recovered) = self.open();
        check_entries(&journal, &recovered).await;
        journal.shut_down().await;
        recovered
    }
}

/// Bytes of an instance that follow from a seed.
fn content(seed: u64, length: usize) -> Vec<u8> {
    (0..length as u64).map(|index| (seed.wrapping_mul(31) + index.wrapping_mul(7) + (index >> 8)) as u8 | 1).collect()
}

/// Cut into units of 1000 bytes, each of them a fragment and a frame.
fn cut_of(content: &[u8]) -> CutList {
    let units: Vec<Unit> = content
        .chunks(1000)
        .enumerate()
        .map(|(index, bytes)| Unit {
            offset: index as u64 * 1000,
            length: bytes.len() as u32,
            kind: if index == 0 { UnitKind::Header } else { UnitKind::Bulk },
            digest: UnitDigest::of(bytes),
        })
        .collect();
    let fragments = units.iter().map(|unit| Fragment { offset: unit.offset, length: unit.length.into() });
    let frames = (0..units.len() as u32).map(|index| Frame { first_fragment: index, fragment_count: 1 });
    CutList {
        fragments: fragments.collect::<Table<Fragment>>(),
        frames: frames.collect::<Table<Frame>>(),
        units: units.into_iter().collect::<Table<Unit>>(),
        inflated: false,
    }
}

fn facts_of(content: &[u8]) -> VersionFacts {
    let id = ContentId::of(content);
    let mut attributes = Attributes::default();
    attributes.insert(Tag(0x0010, 0x0010), &json!({"Value": [{"Alphabetic": "DOE^JANE"}]}));
    VersionFacts {
        keys: InstanceKeys {
            study: StudyUid::parse("1.2.3").unwrap(),
            series: SeriesUid::parse("1.2.3.4").unwrap(),
            sop_class: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.7").unwrap(),
            sop: SopUid::parse(&format!("2.25.{}", id.as_raw()[0])).unwrap(),
        },
        version: VersionKey { content: id, transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap() },
        content_length: content.len() as u64,
        inflated: false,
        frame_count: content.len().div_ceil(1000) as u64,
        attributes,
        scanner_revision: SCANNER_REVISION,
        warnings: Vec::new(),
    }
}

fn pending(content: &[u8]) -> PendingReceipt {
    PendingReceipt {
        time: ManualClock::new().now(),
        door: Door::CStore,
        source: SourceKey::new("SENDER"),
        file: None,
        resolved: Resolved::default(),
        prefix: Some(b"the prefix that came".to_vec()),
        facts: facts_of(content),
        cut: cut_of(content),
        shares: None,
    }
}

async fn put(journal: &Journal, content: &[u8]) -> Result<JournalEntry, JournalError> {
    put_with(journal, content, pending(content)).await
}

async fn put_with(journal: &Journal, content: &[u8], pending: PendingReceipt) -> Result<JournalEntry, JournalError> {
    let mut intake = journal.intake().await?;
    for piece in content.chunks(3000) {
        intake.write(Bytes::copy_from_slice(piece)).await?;
    }
    intake.commit(pending).await
}

/// Reads an entry back, whole, by the checked way.
async fn read_back(journal: &Journal, number: ReceiptNumber) -> Result<Vec<u8>, crate::reading::ReadError> {
    use crate::reading::VersionReader as _;
    let reader = journal.reader(number).await?;
    let mut bytes = Vec::new();
    loop {
        let more = reader.read(bytes.len() as u64..u64::MAX).await?;
        if more.is_empty() {
            return Ok(bytes);
        }
        bytes.extend_from_slice(&more);
    }
}

/// Every entry that recovery gives has the content that its receipt says.
async fn check_entries(journal: &Journal, recovered: &Recovered) {
    for entry in &recovered.entries {
        let bytes = read_back(journal, entry.number()).await.unwrap();
        assert_eq!(ContentId::of(&bytes), entry.held.receipt.content, "{entry:?}");
        assert_eq!(entry.facts, facts_of(&bytes));
        assert_eq!(entry.held.prefix.as_deref(), Some(&b"the prefix that came"[..]));
    }
}

fn numbers(recovered: &Recovered) -> Vec<u64> {
    recovered.entries.iter().map(|entry| entry.number().number).collect()
}

fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("segment-{number:010}.journal"))
}

fn files_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
