//! Reads a pack in scratch back, whole, the way it will be read in thirty years, before anything relies on it (DESIGN, "Seal").

use futures::executor::block_on;
use sha2::{Digest as _, Sha256};

use super::builder::BuiltPack;
use super::cache::PackCache;
use super::error::PackError;
use super::reader::PackReader;
use super::scratch::digest_of;
use super::source::LocalFile;
use super::version::PackedVersion;
use crate::identifiers::{ContentId, Sha256Digest};
use crate::instance::{HeldReceipt, VersionFacts};
use crate::reading::VersionReader as _;

/// What of one version must be in a pack.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedVersion<'a> {
    /// Its facts.
    pub facts: &'a VersionFacts,
    /// Its receipts, with their prefixes.
    pub receipts: &'a [HeldReceipt],
    /// Whether its bytes are there too.
    pub has_content: bool,
}

/// Memory for verifying (bytes).
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// Re-reads the scratch file: its digest as a whole; every line against what is expected, in the order in which it was
/// added; every content against its content id; every file against the digest in its receipts; every table and header
/// against its digest. Blocking.
///
/// # Errors
/// [`PackError::NotVerified`] or [`PackError::ReadBack`]: the pack must not be used.
pub fn verify_scratch<'a>(
    built: &BuiltPack,
    expected: impl IntoIterator<Item = ExpectedVersion<'a>>,
) -> Result<(), PackError> {
    let (size, pack) = digest_of(built.path()).map_err(PackError::scratch("reading it back"))?;
    if (size, pack) != (built.pack.size, built.pack.pack) {
        return Err(not_verified("the scratch file has changed since it was written"));
    }
    let source = LocalFile::open(built.path()).map_err(PackError::scratch("reading it back"))?;
    let cache = PackCache::of_bytes(CACHE_BYTES);
    let reader = block_on(PackReader::open_source(Box::new(source), built.pack.clone(), &cache))?;
    let mut expected = expected.into_iter();
    for line in reader.lines() {
        let wanted = expected.next().ok_or_else(|| not_verified("it holds more than went in"))?;
        verify_line(&reader, line, wanted)?;
    }
    if expected.next().is_some() {
        return Err(not_verified("it holds less than went in"));
    }
    Ok(block_on(reader.check_blocks())?)
}

fn not_verified(what: impl Into<String>) -> PackError {
    PackError::NotVerified { what: what.into() }
}

fn verify_line(reader: &PackReader, line: u32, wanted: ExpectedVersion<'_>) -> Result<(), PackError> {
    let found = block_on(reader.line(line))?;
    let same = [
        (found.facts == *wanted.facts, "facts"),
        (found.receipts == wanted.receipts, "receipts"),
        (found.has_content == wanted.has_content, "content"),
    ];
    if let Some((_, what)) = same.iter().find(|(is_same, _)| !is_same) {
        return Err(not_verified(format!("version {line} has other {what}")));
    }
    block_on(reader.header_json(line))?;
    match block_on(reader.version(line))? {
        Some(version) => verify_content(&version, line, wanted),
        None => Ok(()),
    }
}

fn verify_content(version: &PackedVersion, line: u32, wanted: ExpectedVersion<'_>) -> Result<(), PackError> {
    let mut files: Vec<(Sha256, Sha256Digest)> = wanted
        .receipts
        .iter()
        .filter_map(|held| Some((Sha256::new_with_prefix(held.prefix.as_deref()?), held.receipt.file?.sha256)))
        .collect();
    // Many receipts are of one file: its digest is taken once.
    files.sort_by_key(|(_, digest)| *digest);
    files.dedup_by_key(|(hasher, digest)| (hasher.clone().finalize(), *digest));
    let mut content = Sha256::new();
    let prefix_length = version.prefix().len() as u64;
    if block_on(version.read_member(0..prefix_length))? != version.prefix() {
        return Err(not_verified(format!("version {line} has another prefix in its file than in the index")));
    }
    let mut at = 0;
    while at < wanted.facts.content_length {
        let bytes = block_on(version.read(at..wanted.facts.content_length))?;
        if bytes.is_empty() {
            return Err(not_verified(format!("version {line} ends at byte {at}")));
        }
        content.update(&bytes);
        files.iter_mut().for_each(|(hasher, _)| hasher.update(&bytes));
        at += bytes.len() as u64;
    }
    if ContentId::from_raw(content.finalize().into()) != wanted.facts.version.content {
        return Err(not_verified(format!("version {line} has another content")));
    }
    for (hasher, digest) in files {
        if Sha256Digest::from_raw(hasher.finalize().into()) != digest {
            return Err(not_verified(format!("a file of version {line} does not have the digest in its receipt")));
        }
    }
    Ok(())
}
