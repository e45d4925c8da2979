//! Where the versions of a new pack come from: the journal when sealing, other packs when merging. Blocking.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;

use super::Archive;
use super::divide::Frozen;
use super::error::ArchiveError;
use crate::dicom::cut::CutList;
use crate::dicom::scan::{Input, ScanLimits, ScanOptions, scan_reader};
use crate::identifiers::StudyUid;
use crate::instance::{HeldReceipt, VersionFacts};
use crate::off_runtime;
use crate::pack::{BuiltPack, ExpectedVersion, PackBuilder, PackError, PackOptions, PackedVersion, verify_scratch};
use crate::reading::VersionReader as _;

/// One version for a new pack.
#[derive(Debug)]
pub(super) enum PackItem {
    /// From the journal.
    Journal(Frozen),
    /// From a pack.
    Packed(Box<Packed>),
}

/// One version, gathered from the packs that a merge replaces.
#[derive(Debug)]
pub(super) struct Packed {
    /// As its lowest-numbered receipt reads it, with the warnings of all.
    pub(super) facts: VersionFacts,
    /// Lowest number first.
    pub(super) receipts: Vec<HeldReceipt>,
    /// Its bytes; `None` where another pack keeps them.
    pub(super) bytes: Option<PackedVersion>,
}

/// What went into a pack, for reading it back.
struct Added {
    facts: VersionFacts,
    receipts: Vec<HeldReceipt>,
    has_content: bool,
}

/// Builds a pack and reads it back whole: nothing relies on it before.
pub(super) fn build_pack(
    archive: &Archive,
    study: &StudyUid,
    items: Vec<PackItem>,
    nonce: String,
    zstd_level: i32,
) -> Result<BuiltPack, ArchiveError> {
    let mut builder = PackBuilder::create(archive.scratch(), study, nonce, PackOptions { zstd_level })?;
    let mut added = Vec::with_capacity(items.len());
    for item in items {
        added.push(match item {
            PackItem::Journal(frozen) => add_from_journal(archive, &mut builder, &frozen)?,
            PackItem::Packed(packed) => add_from_packs(archive, &mut builder, *packed)?,
        });
    }
    let built = builder.finish()?;
    let expected = added.iter().map(|added| ExpectedVersion {
        facts: &added.facts,
        receipts: &added.receipts,
        has_content: added.has_content,
    });
    verify_scratch(&built, expected)?;
    Ok(built)
}

fn add_from_journal(archive: &Archive, builder: &mut PackBuilder, frozen: &Frozen) -> Result<Added, ArchiveError> {
    let receipts: Vec<HeldReceipt> = frozen.entries.iter().map(|entry| entry.held.clone()).collect();
    let Some(first) = frozen.entries.first() else {
        return Err(ArchiveError::Internal("a version without receipts was to be sealed".to_owned()));
    };
    let facts = first.facts.clone();
    if frozen.with_content {
        let content = archive.journal.content(first.number())?;
        let cut = content.cut()?;
        let header = header_of(archive, &facts, &receipts, &mut content.into_bytes());
        let mut content = archive.journal.content(first.number())?.into_bytes();
        builder.add_version(&facts, &receipts, &cut, header.as_deref(), &mut content)?;
    } else {
        builder.add_receipts(&facts, &receipts)?;
    }
    Ok(Added { facts, receipts, has_content: frozen.with_content })
}

/// The header as its lowest-numbered receipt reads it. Where it cannot be made, the pack goes without: headers are
/// derived, and made on demand where a pack has none.
fn header_of(
    archive: &Archive,
    facts: &VersionFacts,
    receipts: &[HeldReceipt],
    content: &mut dyn Read,
) -> Option<Vec<u8>> {
    let scan = scan_reader(content, scan_options(archive, facts, receipts, true));
    match scan {
        Ok(scan) => scan.header_json,
        Err(error) => {
            tracing::warn!(content = %facts.version.content, %error, "no header could be made for a pack");
            None
        }
    }
}

fn scan_options(archive: &Archive, facts: &VersionFacts, receipts: &[HeldReceipt], header_json: bool) -> ScanOptions {
    ScanOptions {
        input: Input::DataSet(facts.version.transfer_syntax.clone()),
        scratch: archive.scratch().to_owned(),
        limits: ScanLimits::default(),
        assumed_charset: receipts.first().and_then(|held| held.receipt.resolved.assumed_charset.clone()),
        header_json,
    }
}

/// The bytes are scanned again on their way: that gives cut list and header, and finds what another scanner than the
/// one that wrote the old pack would cut differently.
fn add_from_packs(archive: &Archive, builder: &mut PackBuilder, packed: Packed) -> Result<Added, ArchiveError> {
    let Packed { facts, receipts, bytes } = packed;
    let has_content = bytes.is_some();
    match bytes {
        None => builder.add_receipts(&facts, &receipts)?,
        Some(version) => {
            let version = Arc::new(version);
            let mut content = Sequential::new(Arc::clone(&version), facts.content_length);
            let scan = scan_reader(&mut content, scan_options(archive, &facts, &receipts, true))?;
            let cut: CutList = scan.cut;
            let mut content = Sequential::new(version, facts.content_length);
            builder.add_version(&facts, &receipts, &cut, scan.header_json.as_deref(), &mut content)?;
        }
    }
    Ok(Added { facts, receipts, has_content })
}

/// A version read from start to end, from a thread for blocking work.
struct Sequential {
    version: Arc<PackedVersion>,
    runtime: Handle,
    at: u64,
    length: u64,
    ready: Bytes,
}

impl Sequential {
    fn new(version: Arc<PackedVersion>, length: u64) -> Self {
        Self { version, runtime: Handle::current(), at: 0, length, ready: Bytes::new() }
    }
}

impl Read for Sequential {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ready.is_empty() {
            let read = self.version.read(self.at..self.length);
            self.ready = off_runtime::wait_for(&self.runtime, read).map_err(io::Error::other)?;
            self.at += self.ready.len() as u64;
        }
        let given = self.ready.split_to(into.len().min(self.ready.len()));
        if let Some(into) = into.get_mut(..given.len()) {
            into.copy_from_slice(&given);
        }
        Ok(given.len())
    }
}

impl From<PackError> for ArchiveError {
    fn from(error: PackError) -> Self {
        match error {
            PackError::Scratch { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Self::Full(format!("scratch space for a pack: {source}"))
            }
            other => Self::Internal(format!("building a pack: {other}")),
        }
    }
}
