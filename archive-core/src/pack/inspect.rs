//! Looks at a pack file that may be damaged: lists what can be made out, and says of everything else why not.
//!
//! It needs no ledger, changes nothing, and stops at nothing that it can step over. It shows UIDs, digests, places and
//! sizes, no patient data, so that its output may go into an incident report.

use std::fmt;
use std::io;
use std::path::Path;

use futures::executor::block_on;

use super::cache::PackCache;
use super::codec::Method;
use super::format::{PREFIX_MAX, ROOT_MAX, ROOT_NAME};
use super::place::{PackRef, RootPlace};
use super::reader::{PackReader, PackSummary};
use super::root::Root;
use super::scratch::digest_of;
use super::source::{LocalFile, PackSource as _};
use super::zip::{END_BYTES, FoundHeader, LOCAL_HEADER_BYTES, end_records};
use crate::identifiers::{PackId, Sha256Digest, StudyUid};
use crate::reading::VersionReader as _;

/// Members and versions that are listed; more are counted.
pub const INSPECTED_MAX: usize = 100_000;
/// Findings that are listed.
const FINDINGS_MAX: usize = 1000;

/// A member as its local header describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InspectedMember {
    /// Its name; characters that no pack's names have are shown as `?`.
    pub name: String,
    /// Compression method by number.
    pub method: u16,
    /// Where its stored bytes begin.
    pub offset: u64,
    /// Stored bytes.
    pub stored: u64,
    /// Original bytes.
    pub original: u64,
}

/// A line of the index, and whether its bytes could be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InspectedVersion {
    /// Line of the index, from 0.
    pub line: u32,
    /// Series Instance UID.
    pub series: String,
    /// SOP Instance UID.
    pub sop: String,
    /// Content id, 64 hexadecimal digits.
    pub content: String,
    /// Bytes of content.
    pub content_length: u64,
    /// Frames.
    pub frames: u64,
    /// Receipts in this pack.
    pub receipts: usize,
    /// Whether the bytes are in this pack.
    pub has_content: bool,
}

/// What was found in a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inspection {
    /// Bytes of the file.
    pub size: u64,
    /// SHA-256 over it: the name that it should have.
    pub pack: PackId,
    /// Its root, where one could be found.
    pub root: Option<(RootPlace, PackSummary, StudyUid)>,
    /// Its members in order, as far as they could be walked, at most [`INSPECTED_MAX`].
    pub members: Vec<InspectedMember>,
    /// Its versions, at most [`INSPECTED_MAX`].
    pub versions: Vec<InspectedVersion>,
    /// What is wrong, in the order in which it was found.
    pub findings: Vec<String>,
}

/// Inspects a file, reading every byte of every version that its index names. Blocking. The root's digest is taken from the
/// file itself: whether it is the one that the ledger names is for the caller to compare.
///
/// # Errors
/// When the file cannot be opened or read at all; whatever is wrong inside is a finding.
pub fn inspect(path: &Path) -> io::Result<Inspection> {
    let (size, pack) = digest_of(path)?;
    let mut inspection =
        Inspection { size, pack, root: None, members: Vec::new(), versions: Vec::new(), findings: Vec::new() };
    let file = LocalFile::open(path)?;
    walk(&file, &mut inspection);
    if let Some(reader) = open_root(file, &mut inspection) {
        block_on(read_versions(&reader, &mut inspection));
    }
    Ok(inspection)
}

impl Inspection {
    fn finding(&mut self, text: impl Into<String>) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(text.into());
        }
    }
}

fn read(file: &LocalFile, offset: u64, length: u64) -> Option<Vec<u8>> {
    block_on(file.read(0, offset..offset.checked_add(length)?)).ok().map(|bytes| bytes.to_vec())
}

/// Walks the local headers from the first byte: there are no data descriptors, so each says where the next one is.
fn walk(file: &LocalFile, inspection: &mut Inspection) {
    let (mut offset, mut count) = (0, 0_u64);
    loop {
        let Some(member) = read_header(file, offset) else {
            inspection.finding_unless_directory(file, offset, count);
            return;
        };
        count += 1;
        let end = member.offset.checked_add(member.stored).filter(|&end| end <= inspection.size);
        if Method::try_from(member.method).is_err() {
            inspection.finding(format!("{}: compression method {} is none of format 1", member.name, member.method));
        }
        let name = member.name.clone();
        if inspection.members.len() < INSPECTED_MAX || name == ROOT_NAME {
            inspection.members.push(member);
        }
        match end {
            Some(end) => offset = end,
            None => {
                inspection.finding(format!("{name}: the file ends before this member does"));
                return;
            }
        }
    }
}

impl Inspection {
    /// After the last member comes the central directory, and at the very end a record that says so; or something is
    /// wrong.
    fn finding_unless_directory(&mut self, file: &LocalFile, offset: u64, count: u64) {
        if read(file, offset, 4).as_deref() != Some(b"PK\x01\x02") {
            self.finding(format!("byte {offset}: neither a member nor the central directory begins here"));
        }
        let end_offset = self.size.saturating_sub(END_BYTES);
        let end = read(file, end_offset, END_BYTES).unwrap_or_default();
        // With Zip64 the directory's place is not in the last record, and its length is not compared.
        let shortest = end_records(count, offset, end_offset.saturating_sub(offset));
        let is_plain = shortest.len() as u64 == END_BYTES;
        if end.get(..4) != shortest.get(shortest.len().saturating_sub(22)..).and_then(|end| end.get(..4)) {
            self.finding("the end record of the ZIP file is missing: the file is cut short or damaged at its end");
        } else if is_plain && end != shortest {
            self.finding("the end record of the ZIP file does not fit its members");
        }
    }
}

fn read_header(file: &LocalFile, offset: u64) -> Option<InspectedMember> {
    let bytes = read(file, offset, LOCAL_HEADER_BYTES as u64)?;
    let header = FoundHeader::parse(bytes.as_slice().try_into().ok()?)?;
    let after = offset + LOCAL_HEADER_BYTES as u64;
    let name = read(file, after, header.name_length.into())?;
    let extra = read(file, after + u64::from(header.name_length), header.extra_length.into())?;
    let (stored, original) = header.sizes(&extra);
    let shown =
        |byte: &u8| if byte.is_ascii_alphanumeric() || b"._~-/".contains(byte) { char::from(*byte) } else { '?' };
    Some(InspectedMember {
        name: name.iter().take(300).map(shown).collect(),
        method: header.method,
        offset: after + u64::from(header.name_length) + u64::from(header.extra_length),
        stored,
        original,
    })
}

fn open_root(file: LocalFile, inspection: &mut Inspection) -> Option<PackReader> {
    let Some(member) = inspection.members.iter().rev().find(|member| member.name == ROOT_NAME).cloned() else {
        inspection.finding("no root was found: versions cannot be listed, members can be unzipped one by one");
        return None;
    };
    let bytes = if member.stored <= ROOT_MAX { read(&file, member.offset, member.stored) } else { None };
    let Some(bytes) = bytes else {
        inspection.finding("the root cannot be read");
        return None;
    };
    let root = match Root::parse(&bytes, inspection.size) {
        Ok(root) => root,
        Err(flaw) => {
            inspection.finding(flaw.in_object("the pack".to_owned()).to_string());
            return None;
        }
    };
    let place = RootPlace { offset: member.offset, length: member.stored, sha256: Sha256Digest::of(&bytes) };
    let pack = PackRef { study: root.study.clone(), pack: inspection.pack, size: inspection.size, root: place };
    match block_on(PackReader::open_source(Box::new(file), pack, &PackCache::of_bytes(64 << 20))) {
        Ok(reader) => {
            inspection.root = Some((place, reader.summary(), root.study));
            Some(reader)
        }
        Err(error) => {
            inspection.finding(error.to_string());
            None
        }
    }
}

async fn read_versions(reader: &PackReader, inspection: &mut Inspection) {
    for line in reader.lines() {
        match read_version(reader, line).await {
            Ok(version) if inspection.versions.len() < INSPECTED_MAX => inspection.versions.push(version),
            Ok(_) => {}
            Err((version, error)) => {
                inspection.finding(format!("line {line}: {error}"));
                inspection.versions.extend(version);
            }
        }
        if let Err(error) = reader.header_json(line).await {
            inspection.finding(format!("line {line}: {error}"));
        }
    }
    if let Err(error) = reader.check_blocks().await {
        inspection.finding(error.to_string());
    }
}

type Partly = (Option<InspectedVersion>, crate::reading::ReadError);

async fn read_version(reader: &PackReader, line: u32) -> Result<InspectedVersion, Partly> {
    let indexed = reader.line(line).await.map_err(|error| (None, error))?;
    let inspected = InspectedVersion {
        line,
        series: indexed.facts.keys.series.to_string(),
        sop: indexed.facts.keys.sop.to_string(),
        content: indexed.facts.version.content.to_hex(),
        content_length: indexed.facts.content_length,
        frames: indexed.facts.frame_count,
        receipts: indexed.receipts.len(),
        has_content: indexed.has_content,
    };
    let with = |error| (Some(inspected.clone()), error);
    if let Some(version) = reader.version(line).await.map_err(with)? {
        let prefix = version.read_member(0..PREFIX_MAX as u64).await.map_err(with)?;
        drop(prefix);
        let mut at = 0;
        while at < indexed.facts.content_length {
            let bytes = version.read(at..indexed.facts.content_length).await.map_err(with)?;
            if bytes.is_empty() {
                break;
            }
            at += bytes.len() as u64;
        }
    }
    Ok(inspected)
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "pack {} ({} bytes)", self.pack, self.size)?;
        if let Some((place, summary, study)) = &self.root {
            writeln!(f, "study {study}, nonce {}", summary.nonce.escape_default())?;
            writeln!(f, "root at byte {}, {} bytes, SHA-256 {}", place.offset, place.length, place.sha256)?;
            writeln!(
                f,
                "{} versions, {} with bytes here ({} bytes), {} receipts",
                summary.versions, summary.contents, summary.content_bytes, summary.receipts
            )?;
        }
        for member in &self.members {
            writeln!(
                f,
                "member {} method {} at {} stored {} original {}",
                member.name, member.method, member.offset, member.stored, member.original
            )?;
        }
        for version in &self.versions {
            let place = if version.has_content { "" } else { " (receipts only)" };
            writeln!(
                f,
                "line {}: series {} instance {} content {} bytes {} frames {} receipts {}{place}",
                version.line,
                version.series,
                version.sop,
                version.content,
                version.content_length,
                version.frames,
                version.receipts
            )?;
        }
        for finding in &self.findings {
            writeln!(f, "FINDING {finding}")?;
        }
        Ok(())
    }
}
