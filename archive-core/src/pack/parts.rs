//! Members that are cut into parts and listed in the root: index, metadata, tables. They are gathered compressed beside the
//! pack while its versions are written, and appended when it is finished.

use std::io;
use std::path::Path;

use super::codec::{Method, UnitCompressor};
use super::format::{TEXT_UNIT_LINES_MAX, TEXT_UNIT_TARGET};
use super::root::{Part, TableBlock, TableMember, TextMember, TextUnit};
use super::scratch::ScratchFile;
use super::spool::Spool;
use super::zip::Entry;
use crate::identifiers::{SeriesUid, Sha256Digest};

/// Compressed parts in order. Their offsets count from the first until they are written.
#[derive(Debug)]
struct Parts {
    spool: Spool,
    checksum: crc32fast::Hasher,
    original: u64,
}

impl Parts {
    fn new(scratch: &Path) -> Self {
        Self { spool: Spool::new(scratch), checksum: crc32fast::Hasher::new(), original: 0 }
    }

    fn push(&mut self, bytes: &[u8], compressor: &mut UnitCompressor) -> io::Result<Part> {
        let frame = compressor.frame(bytes)?;
        let part = Part {
            offset: self.spool.len(),
            stored: frame.len() as u64,
            length: bytes.len() as u64,
            sha256: Sha256Digest::of(bytes),
        };
        self.checksum.update(bytes);
        self.original += part.length;
        self.spool.push(&frame)?;
        Ok(part)
    }

    /// Appends the member to the pack; gives its entry and where its first part lies.
    fn write(self, name: &str, file: &mut ScratchFile) -> io::Result<(Entry, u64)> {
        let entry = Entry {
            name: name.to_owned(),
            // No frame at all is no zstd stream.
            method: if self.original == 0 { Method::Stored } else { Method::Zstd },
            crc32: self.checksum.finalize(),
            stored: self.spool.len(),
            original: self.original,
            header_offset: file.position(),
        };
        file.write(&entry.local_header())?;
        let base = file.position();
        self.spool.for_each_piece(|piece| file.write(piece))?;
        Ok((entry, base))
    }
}

/// `index.jsonl` or `metadata.jsonl`.
#[derive(Debug)]
pub(crate) struct TextWriter {
    parts: Parts,
    units: Vec<TextUnit>,
    text: Vec<u8>,
    series: Option<SeriesUid>,
    first: u32,
    count: u32,
}

impl TextWriter {
    pub(crate) fn new(scratch: &Path) -> Self {
        Self { parts: Parts::new(scratch), units: Vec::new(), text: Vec::new(), series: None, first: 0, count: 0 }
    }

    /// Adds a line, given without its line feed. A unit ends at the border of a series, at 500 lines, and before it
    /// would pass [`TEXT_UNIT_TARGET`].
    pub(crate) fn line(&mut self, series: &SeriesUid, line: &[u8], compressor: &mut UnitCompressor) -> io::Result<()> {
        let is_full = self.count == TEXT_UNIT_LINES_MAX || self.text.len() + line.len() >= TEXT_UNIT_TARGET;
        if self.count > 0 && (is_full || self.series.as_ref() != Some(series)) {
            self.end_unit(compressor)?;
        }
        if self.count == 0 {
            self.series = Some(series.clone());
        }
        self.text.extend_from_slice(line);
        self.text.push(b'\n');
        self.count += 1;
        Ok(())
    }

    fn end_unit(&mut self, compressor: &mut UnitCompressor) -> io::Result<()> {
        let Some(series) = self.series.take() else { return Ok(()) };
        let part = self.parts.push(&self.text, compressor)?;
        self.units.push(TextUnit { series: series.as_str().to_owned(), first: self.first, count: self.count, part });
        self.first += self.count;
        self.count = 0;
        self.text.clear();
        // One long line must not keep its room until the pack is done.
        self.text.shrink_to(TEXT_UNIT_TARGET);
        Ok(())
    }

    /// Appends the member to the pack.
    pub(crate) fn write(
        mut self,
        name: &str,
        file: &mut ScratchFile,
        compressor: &mut UnitCompressor,
    ) -> io::Result<(Entry, TextMember)> {
        self.end_unit(compressor)?;
        let (entry, base) = self.parts.write(name, file)?;
        let mut units = self.units;
        for unit in &mut units {
            unit.part.offset += base;
        }
        let method = entry.method;
        Ok((entry, TextMember { method, units }))
    }
}

/// `frames.bin`.
#[derive(Debug)]
pub(crate) struct BlockWriter {
    parts: Parts,
    blocks: Vec<TableBlock>,
}

impl BlockWriter {
    pub(crate) fn new(scratch: &Path) -> Self {
        Self { parts: Parts::new(scratch), blocks: Vec::new() }
    }

    /// The number of the next block.
    pub(crate) fn next(&self) -> io::Result<u32> {
        u32::try_from(self.blocks.len()).map_err(|_| io::Error::other("more blocks of tables than can be numbered"))
    }

    /// Adds a block.
    pub(crate) fn block(&mut self, first: Option<u64>, rows: &[u8], compressor: &mut UnitCompressor) -> io::Result<()> {
        let part = self.parts.push(rows, compressor)?;
        self.blocks.push(TableBlock { first, part });
        Ok(())
    }

    /// Appends the member to the pack, if there is anything in it.
    pub(crate) fn write(self, name: &str, file: &mut ScratchFile) -> io::Result<Option<(Entry, TableMember)>> {
        if self.blocks.is_empty() {
            return Ok(None);
        }
        let (entry, base) = self.parts.write(name, file)?;
        let mut blocks = self.blocks;
        for block in &mut blocks {
            block.part.offset += base;
        }
        let method = entry.method;
        Ok(Some((entry, TableMember { method, blocks })))
    }
}
