//! Builds a pack in a scratch file, version by version, in constant memory.
//!
//! Blocking: it runs on a thread for blocking work. What goes in is checked on the way: each unit against the digest
//! that the scan gave it, the whole against the content id, so that a damaged journal is found here and not in thirty years.

use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::codec::{Method, UnitCompressor};
use super::error::PackError;
use super::format::{
    FRAMES_NAME, INDEX_LINE_MAX, INDEX_NAME, METADATA_LINE_MAX, METADATA_NAME, PACK_FORMAT, PACK_README, PREFIX_MAX,
    README_NAME, ROOT_MAX, ROOT_NAME, ROOT_WORD,
};
use super::index_line::{Member, Rows, TablePlace, rows_stay_inline, write_line};
use super::member::{MemberWriter, WrittenMember};
use super::parts::{BlockWriter, TextWriter};
use super::place::{PackRef, RootPlace};
use super::root::Root;
use super::scratch::{ScratchFile, ScratchPath};
use super::spool::Spool;
use super::tables::{BlockCutter, BlockRow, StoredUnit};
use super::zip::{Entry, end_records};
use crate::dicom::cut::{CutList, FRAGMENTS_MAX, Fragment, UNIT_MAX, Unit, UnitKind};
use crate::dicom::prefix::compose;
use crate::identifiers::{ContentId, ReceiptNumber, SeriesUid, Sha256Digest, StudyUid, UnitDigest, uid_path_component};
use crate::instance::{HeldReceipt, VersionFacts};
use crate::rows::Table;

/// How a pack is built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PackOptions {
    /// Level of zstd, 1 to 19: 1 when sealing, more when merging.
    pub zstd_level: i32,
}

impl Default for PackOptions {
    fn default() -> Self {
        Self { zstd_level: 1 }
    }
}

/// A pack being built. Dropping it removes the scratch file.
#[derive(Debug)]
pub struct PackBuilder {
    file: ScratchFile,
    scratch: PathBuf,
    study: StudyUid,
    nonce: String,
    compressor: UnitCompressor,
    directory: Spool,
    entries: u64,
    names: Names,
    index: TextWriter,
    metadata: TextWriter,
    tables: BlockWriter,
    last: Option<(SeriesUid, ReceiptNumber)>,
    versions: u32,
    contents: u32,
    receipts: u64,
    content_bytes: u64,
    broken: bool,
}

/// A pack that was built. The scratch file is removed when this is dropped.
#[derive(Debug)]
pub struct BuiltPack {
    path: ScratchPath,
    /// What the ledger will say of it.
    pub pack: PackRef,
    /// Lines of its index.
    pub versions: u32,
    /// Lines whose bytes are in it.
    pub contents: u32,
    /// Receipts in it.
    pub receipts: u64,
}

impl BuiltPack {
    /// The scratch file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.path.path()
    }
}

/// Which names and versions a pack holds already, as digests of 128 bits each: 60,000 of them must not take 60,000 strings.
#[derive(Debug, Default)]
struct Names(HashSet<[u8; 16]>);

impl Names {
    /// Whether this is new.
    fn add(&mut self, parts: &[&str]) -> bool {
        self.0.insert(*UnitDigest::of(parts.join("\0").as_bytes()).as_raw())
    }
}

impl PackBuilder {
    /// Begins a pack of a study in `<scratch_folder>/pack-<nonce>.zip`. The nonce is 32 random hexadecimal digits
    /// ([`crate::entropy::Entropy::nonce`]), drawn for this pack.
    ///
    /// # Errors
    /// [`PackError::Scratch`] when the file cannot be made, or exists.
    pub fn create(
        scratch_folder: &Path,
        study: &StudyUid,
        nonce: String,
        options: PackOptions,
    ) -> Result<Self, PackError> {
        if nonce.len() != 32 || !nonce.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(PackError::Refused { line: 0, why: "the nonce of the pack is not 32 hexadecimal digits" });
        }
        let mut file = ScratchFile::create(scratch_folder, &nonce).map_err(PackError::scratch("creating it"))?;
        let mut directory = Spool::new(scratch_folder);
        let readme = PACK_README.as_bytes();
        write_plain(&mut file, &mut directory, README_NAME, readme)
            .map_err(PackError::scratch("writing its README"))?;
        Ok(Self {
            file,
            scratch: scratch_folder.to_owned(),
            study: study.clone(),
            nonce,
            compressor: UnitCompressor::new(options.zstd_level).map_err(PackError::scratch("starting zstd"))?,
            directory,
            entries: 1,
            names: Names::default(),
            index: TextWriter::new(scratch_folder),
            metadata: TextWriter::new(scratch_folder),
            tables: BlockWriter::new(scratch_folder),
            last: None,
            versions: 0,
            contents: 0,
            receipts: 0,
            content_bytes: 0,
            broken: false,
        })
    }

    /// Bytes of the pack so far, without its index: for the caller's decision to begin another one.
    #[must_use]
    pub const fn bytes_so_far(&self) -> u64 {
        self.file.position()
    }

    /// Adds a version with its bytes. Versions come in the order (series UID, lowest receipt number); receipts in the
    /// order of their numbers, the first being the one whose prefix becomes the file's. `content` gives the content from
    /// its first byte to its last. A header over 16 MiB is left out.
    ///
    /// # Errors
    /// [`PackError::ContentDamaged`] where the bytes are not those of the cut list and the content id; the others of
    /// [`PackError`]. After an error the pack cannot be finished.
    pub fn add_version(
        &mut self,
        facts: &VersionFacts,
        receipts: &[HeldReceipt],
        cut: &CutList,
        header_json: Option<&[u8]>,
        content: &mut dyn Read,
    ) -> Result<(), PackError> {
        self.guarded(|builder| {
            builder.check(facts, receipts)?;
            builder.check_cut(facts, cut)?;
            let first = receipts.first().ok_or_else(|| builder.refused("it has no receipt"))?;
            let prefix = first.prefix.clone().unwrap_or_else(|| compose(facts, &first.receipt));
            if prefix.len() > PREFIX_MAX {
                return Err(builder.refused("the prefix composed for it is over 64 KiB: its UIDs are too long"));
            }
            let written = builder.write_content(facts, &prefix, cut, content)?;
            let member = builder.describe(written, prefix, cut)?;
            builder.contents += 1;
            builder.content_bytes += facts.content_length;
            builder.write_lines(facts, receipts, Some(&member), header_json)
        })
    }

    /// Adds receipts of a version whose bytes lie in another pack; the order is that of [`PackBuilder::add_version`].
    ///
    /// # Errors
    /// [`PackError`]. After an error the pack cannot be finished.
    pub fn add_receipts(&mut self, facts: &VersionFacts, receipts: &[HeldReceipt]) -> Result<(), PackError> {
        self.guarded(|builder| {
            builder.check(facts, receipts)?;
            builder.write_lines(facts, receipts, None, None)
        })
    }

    /// Appends tables, metadata, index, root and central directory, and takes the digest of the whole.
    ///
    /// # Errors
    /// [`PackError::Broken`] after an earlier error, [`PackError::TooLarge`], [`PackError::Scratch`].
    pub fn finish(mut self) -> Result<BuiltPack, PackError> {
        if self.broken {
            return Err(PackError::Broken);
        }
        let root = self.write_tail()?;
        let directory_offset = self.file.position();
        self.directory
            .for_each_piece(|piece| self.file.write(piece))
            .map_err(PackError::scratch("writing its central directory"))?;
        let end = end_records(self.entries, directory_offset, self.file.position() - directory_offset);
        self.file.write(&end).map_err(PackError::scratch("writing its end"))?;
        let (path, size, pack) = self.file.finish().map_err(PackError::scratch("reading it back"))?;
        Ok(BuiltPack {
            path,
            pack: PackRef { study: self.study, pack, size, root },
            versions: self.versions,
            contents: self.contents,
            receipts: self.receipts,
        })
    }

    fn guarded(&mut self, work: impl FnOnce(&mut Self) -> Result<(), PackError>) -> Result<(), PackError> {
        if self.broken {
            return Err(PackError::Broken);
        }
        let outcome = work(self);
        self.broken = outcome.is_err();
        outcome
    }

    const fn refused(&self, why: &'static str) -> PackError {
        PackError::Refused { line: self.versions, why }
    }

    /// What a pack promises of its lines: one study, one order, receipts of this version.
    fn check(&mut self, facts: &VersionFacts, receipts: &[HeldReceipt]) -> Result<(), PackError> {
        let first = receipts.first().ok_or_else(|| self.refused("it has no receipt"))?;
        if facts.keys.study != self.study {
            return Err(self.refused("it belongs to another study"));
        }
        let place = (facts.keys.series.clone(), first.receipt.number);
        if self.last.as_ref().is_some_and(|last| *last >= place) {
            return Err(self.refused("versions must come in the order of series UID and receipt number"));
        }
        if receipts.windows(2).any(|pair| matches!(pair, [a, b] if a.receipt.number >= b.receipt.number)) {
            return Err(self.refused("its receipts must come in the order of their numbers"));
        }
        for held in receipts {
            if held.receipt.content != facts.version.content
                || held.receipt.transfer_syntax != facts.version.transfer_syntax
            {
                return Err(self.refused("one of its receipts is of another version"));
            }
            if held.prefix.as_ref().is_some_and(|prefix| prefix.len() > PREFIX_MAX) {
                return Err(self.refused("one of its receipts has a prefix over 64 KiB"));
            }
        }
        let (sop, content) = (facts.keys.sop.as_str(), facts.version.content.to_hex());
        if !self.names.add(&["version", sop, &content, facts.version.transfer_syntax.as_str()]) {
            return Err(self.refused("it is in this pack already"));
        }
        self.last = Some(place);
        Ok(())
    }

    fn check_cut(&self, facts: &VersionFacts, cut: &CutList) -> Result<(), PackError> {
        if cut.inflated != facts.inflated || cut.frames.len() != facts.frame_count {
            return Err(self.refused("its cut list is not that of its facts"));
        }
        if cut.fragments.len() > FRAGMENTS_MAX {
            return Err(self.refused("it has more than 2^26 fragments"));
        }
        Ok(())
    }

    /// The member's name: unique in this pack, and made of nothing that was received unchecked.
    fn member_name(&mut self, facts: &VersionFacts) -> String {
        let sop = uid_path_component(facts.keys.sop.as_str());
        let content = facts.version.content.to_hex();
        let is_first = self.names.add(&["instance", &sop]);
        let is_new_content = self.names.add(&["content", &sop, &content]);
        if is_first {
            format!("{sop}.dcm")
        } else if is_new_content {
            format!("{sop}~{content}.dcm")
        } else {
            format!("{sop}~{content}~{}.dcm", uid_path_component(facts.version.transfer_syntax.as_str()))
        }
    }

    fn write_content(
        &mut self,
        facts: &VersionFacts,
        prefix: &[u8],
        cut: &CutList,
        content: &mut dyn Read,
    ) -> Result<WrittenMember, PackError> {
        let line = self.versions;
        let name = self.member_name(facts);
        let length = (prefix.len() as u64)
            .checked_add(facts.content_length)
            .ok_or_else(|| self.refused("it is longer than can be counted"))?;
        let writing = || PackError::scratch("writing a version");
        let mut member =
            MemberWriter::begin(&mut self.file, &mut self.compressor, &self.scratch, name, length).map_err(writing())?;
        if !prefix.is_empty() {
            member.unit(prefix, UnitKind::Header, UnitDigest::of(prefix)).map_err(writing())?;
        }
        copy_units(line, facts, cut, content, &mut member)?;
        let written = member.finish().map_err(writing())?;
        self.directory
            .push(&written.entry.central_header())
            .map_err(PackError::scratch("writing its central directory"))?;
        self.entries += 1;
        Ok(written)
    }

    /// What the index says of a member; its tables go to `frames.bin` if one of them is long.
    fn describe(&mut self, written: WrittenMember, prefix: Vec<u8>, cut: &CutList) -> Result<Member, PackError> {
        let tabling = || PackError::scratch("writing a version's tables");
        let shift = if cut.inflated { 0 } else { prefix.len() as u64 };
        let shifted = |fragment: Fragment| Fragment { offset: fragment.offset.saturating_add(shift), ..fragment };
        let (units, fragments, frames);
        if rows_stay_inline(written.units.len(), cut.fragments.len(), cut.frames.len()) {
            units = Rows::Inline(written.units.to_vec().map_err(tabling())?);
            let rows = cut.fragments.to_vec().map_err(tabling())?;
            fragments = Rows::Inline(rows.into_iter().map(shifted).collect());
            frames = Rows::Inline(cut.frames.to_vec().map_err(tabling())?);
        } else {
            units = Rows::Blocks(self.table(&written.units, |row| row)?);
            fragments = Rows::Blocks(self.table(&cut.fragments, shifted)?);
            frames = Rows::Blocks(self.table(&cut.frames, |row| row)?);
        }
        let Entry { name, method, stored, original, .. } = written.entry;
        Ok(Member {
            name,
            method,
            offset: written.data_offset,
            stored,
            length: original,
            prefix,
            units,
            fragments,
            frames,
        })
    }

    fn table<R: BlockRow>(&mut self, rows: &Table<R>, shifted: impl Fn(R) -> R) -> Result<TablePlace, PackError> {
        let tabling = || PackError::scratch("writing a version's tables");
        let place = TablePlace { block: self.tables.next().map_err(tabling())?, rows: rows.len() };
        let mut cutter = BlockCutter::new();
        let (tables, compressor) = (&mut self.tables, &mut self.compressor);
        rows.for_each(|row| cutter.push(shifted(row), |first, block| tables.block(first, block, compressor)))
            .and_then(|()| cutter.flush(|first, block| tables.block(first, block, compressor)))
            .map_err(tabling())?;
        Ok(place)
    }

    fn write_lines(
        &mut self,
        facts: &VersionFacts,
        receipts: &[HeldReceipt],
        member: Option<&Member>,
        header_json: Option<&[u8]>,
    ) -> Result<(), PackError> {
        let text = write_line(self.versions, facts, receipts, member)
            .map_err(|_| self.refused("its facts cannot be written as JSON"))?;
        if text.len() >= INDEX_LINE_MAX {
            let (size, limit) = (text.len() as u64, INDEX_LINE_MAX as u64);
            return Err(PackError::TooLarge { what: "a line of the index", size, limit });
        }
        let header = header_json.filter(|header| header.len() <= METADATA_LINE_MAX).unwrap_or(b"null");
        if header_json.is_some_and(|header| !is_one_object(header)) {
            return Err(self.refused("its header is not one JSON object on one line"));
        }
        let (series, compressor) = (&facts.keys.series, &mut self.compressor);
        self.index.line(series, &text, compressor).map_err(PackError::scratch("writing its index"))?;
        self.metadata.line(series, header, compressor).map_err(PackError::scratch("writing its metadata"))?;
        self.versions = self.versions.checked_add(1).ok_or_else(|| self.refused("lines cannot be counted further"))?;
        self.receipts += receipts.len() as u64;
        Ok(())
    }

    /// Tables, metadata, index and root.
    fn write_tail(&mut self) -> Result<RootPlace, PackError> {
        let writing = || PackError::scratch("writing its index");
        let (file, compressor, scratch) = (&mut self.file, &mut self.compressor, &self.scratch);
        let tables = std::mem::replace(&mut self.tables, BlockWriter::new(scratch));
        let metadata = std::mem::replace(&mut self.metadata, TextWriter::new(scratch));
        let index = std::mem::replace(&mut self.index, TextWriter::new(scratch));
        let tables = tables.write(FRAMES_NAME, file).map_err(writing())?;
        let (metadata_entry, metadata) = metadata.write(METADATA_NAME, file, compressor).map_err(writing())?;
        let (index_entry, index) = index.write(INDEX_NAME, file, compressor).map_err(writing())?;
        let (tables_entry, frames) = tables.unzip();
        for entry in tables_entry.iter().chain([&metadata_entry, &index_entry]) {
            self.directory.push(&entry.central_header()).map_err(writing())?;
            self.entries += 1;
        }
        let root = Root {
            vellum: ROOT_WORD.to_owned(),
            format: PACK_FORMAT,
            features: Vec::new(),
            nonce: self.nonce.clone(),
            study: self.study.clone(),
            versions: self.versions,
            contents: self.contents,
            receipts: self.receipts,
            content_bytes: self.content_bytes,
            index,
            metadata,
            frames,
        };
        let text = serde_json::to_vec(&root).map_err(|_| self.refused("its root cannot be written as JSON"))?;
        let length = text.len() as u64;
        if length > ROOT_MAX {
            return Err(PackError::TooLarge { what: "the root", size: length, limit: ROOT_MAX });
        }
        let offset = write_plain(&mut self.file, &mut self.directory, ROOT_NAME, &text).map_err(writing())?;
        self.entries += 1;
        Ok(RootPlace { offset, length, sha256: Sha256Digest::of(&text) })
    }
}

/// A stored member in one piece; gives where its bytes begin.
fn write_plain(file: &mut ScratchFile, directory: &mut Spool, name: &str, bytes: &[u8]) -> std::io::Result<u64> {
    let size = bytes.len() as u64;
    let entry = Entry {
        name: name.to_owned(),
        method: Method::Stored,
        crc32: crc32fast::hash(bytes),
        stored: size,
        original: size,
        header_offset: file.position(),
    };
    file.write(&entry.local_header())?;
    let offset = file.position();
    file.write(bytes)?;
    directory.push(&entry.central_header())?;
    Ok(offset)
}

fn is_one_object(header: &[u8]) -> bool {
    header.first() == Some(&b'{') && header.last() == Some(&b'}') && memchr::memchr(b'\n', header).is_none()
}

/// The content, unit by unit, each against its digest and all against the content id.
fn copy_units(
    line: u32,
    facts: &VersionFacts,
    cut: &CutList,
    content: &mut dyn Read,
    member: &mut MemberWriter<'_>,
) -> Result<(), PackError> {
    /// `for_each` may fail by the table's own file, or by what is done with a row.
    enum Failure {
        Table(std::io::Error),
        Pack(PackError),
    }
    impl From<std::io::Error> for Failure {
        fn from(error: std::io::Error) -> Self {
            Self::Table(error)
        }
    }
    let mut hasher = Sha256::new();
    let mut offset = 0;
    let mut buffer = Vec::new();
    let mut copy = |unit: Unit| -> Result<(), PackError> {
        if unit.offset != offset || unit.length == 0 || u64::from(unit.length) > UNIT_MAX {
            return Err(PackError::Refused { line, why: "its units do not cover its content" });
        }
        buffer.resize(usize::try_from(unit.length).unwrap_or(usize::MAX), 0);
        content.read_exact(&mut buffer).map_err(|source| PackError::Content { line, source })?;
        if UnitDigest::of(&buffer) != unit.digest {
            return Err(PackError::ContentDamaged { line, what: format!("the unit at byte {offset} of its content") });
        }
        hasher.update(&buffer);
        offset += u64::from(unit.length);
        member.unit(&buffer, unit.kind, unit.digest).map_err(PackError::scratch("writing a version"))
    };
    cut.units.for_each(|unit| copy(unit).map_err(Failure::Pack)).map_err(|failure| match failure {
        Failure::Table(source) => PackError::Scratch { doing: "reading a cut list", source },
        Failure::Pack(error) => error,
    })?;
    if offset != facts.content_length {
        return Err(PackError::Refused { line, why: "its units do not cover its content" });
    }
    let rest = content.read(&mut [0]).map_err(|source| PackError::Content { line, source })?;
    if rest != 0 || ContentId::from_raw(hasher.finalize().into()) != facts.version.content {
        return Err(PackError::ContentDamaged { line, what: "its content".to_owned() });
    }
    Ok(())
}

/// Checks that the rows of units fit what the format allows; a compile-time promise.
const _: () = assert!(StoredUnit::PER_BLOCK == 1638);
