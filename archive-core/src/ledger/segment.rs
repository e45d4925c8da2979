//! One segment: the object that an append creates (docs/FORMAT.md, "Segments").
//!
//! One zstd frame of JSON lines: a header, entries, a checkpoint. [`Segment::decode`] takes nothing for granted: size,
//! frame, text, place, numbers, frontier and root are all checked, and memory is bounded before anything is unpacked.
//! What a segment says of the one before it is checked by [`super::chain::Chain`].

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::checkpoint::{Checkpoint, origin};
use super::error::{Damage, Fault};
use super::line::Recorded;
use super::merkle::Frontier;
use super::name::Position;
use super::proof::TreeHead;
use super::zstd_frame;
use crate::identifiers::{ArchiveId, Sha256Digest};

/// The only ledger format there is.
pub const FORMAT: u32 = 1;
/// Bytes of a segment's lines, all of them.
pub const MAX_SEGMENT: usize = 1 << 20;
/// Bytes of entry lines that a writer puts into one segment: what is left is for header, checkpoint and signatures.
pub const MAX_ENTRIES: usize = MAX_SEGMENT - (16 << 10);
/// Bytes of a segment object: what does not shrink grows a little.
pub const MAX_OBJECT: usize = MAX_SEGMENT + (16 << 10);

/// The first line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// 1.
    pub format: u32,
    /// The archive.
    pub archive: ArchiveId,
    /// The epoch, as in the object's name.
    pub epoch: u32,
    /// The sequence, as in the object's name.
    pub sequence: u64,
    /// 32 hexadecimal digits that the writing process drew: tells whose segment it is.
    pub writer: String,
    /// Index of the first entry.
    pub first: u64,
    /// SHA-256 of the segment object before; absent in the first of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Sha256Digest>,
    /// The Merkle frontier over all entries before, largest subtree first.
    pub frontier: Vec<Sha256Digest>,
}

/// The last line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckpointLine {
    checkpoint: String,
}

/// A segment that was read and found good in itself, or one about to be written.
#[derive(Clone, PartialEq, Debug)]
pub struct Segment {
    /// Its place.
    pub position: Position,
    /// First line.
    pub header: Header,
    /// Its entries, at least one.
    pub entries: Vec<Recorded>,
    /// Last line.
    pub checkpoint: Checkpoint,
    /// SHA-256 of the object.
    pub sha256: Sha256Digest,
    /// The frontier after its entries.
    pub frontier: Frontier,
}

/// What a reader knows of a format that may be newer.
#[derive(Deserialize)]
struct FormatOnly {
    format: u64,
}

impl Segment {
    /// Makes a segment and the object's bytes.
    ///
    /// # Errors
    /// When it cannot be written as JSON or compressed; text for people.
    pub fn encode(header: Header, entries: Vec<Recorded>) -> Result<(Self, Bytes), String> {
        let mut frontier =
            Frontier::of(header.first, header.frontier.clone()).ok_or("the frontier does not fit the first index")?;
        entries.iter().for_each(|entry| frontier.push(entry.leaf()));
        let tree = TreeHead { size: frontier.size(), root: frontier.root() };
        let checkpoint = Checkpoint::unsigned(&header.archive, tree);
        let mut text = serde_json::to_string(&header).map_err(|error| error.to_string())?;
        text.push('\n');
        for entry in &entries {
            text.push_str(&entry.line);
            text.push('\n');
        }
        let last = CheckpointLine { checkpoint: checkpoint.to_note() };
        text.push_str(&serde_json::to_string(&last).map_err(|error| error.to_string())?);
        text.push('\n');
        if entries.is_empty() || text.len() > MAX_SEGMENT {
            return Err(format!("{} entries in {} bytes make no segment", entries.len(), text.len()));
        }
        let bytes = Bytes::from(zstd_frame::compress(text.as_bytes()).map_err(|error| error.to_string())?);
        let position = Position { epoch: header.epoch, sequence: header.sequence };
        let sha256 = Sha256Digest::of(&bytes);
        Ok((Self { position, header, entries, checkpoint, sha256, frontier }, bytes))
    }

    /// Reads a segment object and checks all that it says of itself.
    ///
    /// # Errors
    /// [`Damage`] with the line where the first wrong thing stands.
    pub fn decode(position: Position, bytes: &[u8]) -> Result<Self, Damage> {
        let at = |line: Option<u64>, fault| Damage { object: position.name(), line, fault };
        let text = zstd_frame::decompress(bytes, MAX_SEGMENT).map_err(|fault| at(None, fault))?;
        let lines = split_lines(&text).ok_or_else(|| at(None, Fault::Text))?;
        let [first, middle @ .., last] = lines.as_slice() else { return Err(at(None, Fault::Text)) };
        let header = read_header(first).map_err(|fault| at(Some(1), fault))?;
        if (Position { epoch: header.epoch, sequence: header.sequence }) != position {
            return Err(at(Some(1), Fault::OtherPlace));
        }
        let mut frontier =
            Frontier::of(header.first, header.frontier.clone()).ok_or_else(|| at(Some(1), Fault::FrontierShape))?;
        let mut entries: Vec<Recorded> = Vec::with_capacity(middle.len());
        for (line, text) in (2_u64..).zip(middle) {
            let entry = read_entry(text, frontier.size(), entries.last()).map_err(|fault| at(Some(line), fault))?;
            frontier.push(entry.leaf());
            entries.push(entry);
        }
        let last_line = Some(middle.len() as u64 + 2);
        let checkpoint = read_checkpoint(last).ok_or_else(|| at(last_line, Fault::Checkpoint))?;
        let tree = TreeHead { size: frontier.size(), root: frontier.root() };
        if checkpoint.tree != tree || checkpoint.origin != origin(&header.archive) {
            return Err(at(last_line, Fault::Root));
        }
        Ok(Self { position, header, entries, checkpoint, sha256: Sha256Digest::of(bytes), frontier })
    }

    /// Size and root after its entries.
    #[must_use]
    pub fn tree(&self) -> TreeHead {
        self.checkpoint.tree
    }
}

/// Lines without their line feeds; `None` unless the text is UTF-8, at least a header, an entry and a checkpoint, and
/// ends with a line feed.
fn split_lines(text: &[u8]) -> Option<Vec<&str>> {
    let text = std::str::from_utf8(text).ok()?;
    let lines: Vec<&str> = text.strip_suffix('\n')?.split('\n').collect();
    (lines.len() >= 3).then_some(lines)
}

fn read_header(line: &str) -> Result<Header, Fault> {
    let wrong = |error: &serde_json::Error| Fault::Header { column: error.column() };
    let FormatOnly { format } = serde_json::from_str(line).map_err(|error| wrong(&error))?;
    if format != u64::from(FORMAT) {
        return Err(Fault::NewerFormat { found: format });
    }
    let header: Header = serde_json::from_str(line).map_err(|error| wrong(&error))?;
    let nonce = header.writer.len() == 32 && header.writer.bytes().all(|byte| byte.is_ascii_hexdigit());
    if nonce { Ok(header) } else { Err(Fault::Header { column: 0 }) }
}

fn read_entry(line: &str, expected: u64, before: Option<&Recorded>) -> Result<Recorded, Fault> {
    let read = Recorded::parse(line).map_err(|error| Fault::Entry { column: error.column() })?;
    if read.entry.n != expected {
        return Err(Fault::Number { expected, found: read.entry.n });
    }
    if before.is_some_and(|before| read.entry.vouched < before.entry.vouched) {
        return Err(Fault::TimeRunsBack);
    }
    Ok(read)
}

fn read_checkpoint(line: &str) -> Option<Checkpoint> {
    let CheckpointLine { checkpoint } = serde_json::from_str(line).ok()?;
    Checkpoint::parse(&checkpoint).ok()
}
