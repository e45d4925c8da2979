//! The commit record: receipt, facts and prefix of one instance, and where its bytes lie.
//!
//! Payload: three lengths (u32 each; the prefix's is `FFFFFFFF` where none came) and a zero u32, then the record as
//! JSON, the facts as JSON, the prefix. It names the place of the content itself, not of another record, so that it
//! can be read whatever happened to the receipts that it shares content with.

use serde::{Deserialize, Serialize};

use super::folder::SpillName;
use super::tables::TablesPlace;
use crate::identifiers::ReceiptNumber;
use crate::instance::{HeldReceipt, VersionFacts};
use crate::receipt::Receipt;

const LENGTHS_BYTES: usize = 16;
const NO_PREFIX: u32 = u32::MAX;

/// The file that holds content and cut list.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Holder {
    /// A segment, by number.
    Segment(u64),
    /// A spill file.
    Spill(SpillName),
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Segment(number) => write!(f, "journal segment {number}"),
            Self::Spill(name) => write!(f, "spill file {name}"),
        }
    }
}

/// Where the bytes of an instance lie.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Place {
    /// In which file.
    #[serde(flatten)]
    pub holder: Holder,
    /// First byte in that file.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// CRC-32C over them: what recovery reads through.
    pub crc32c: u32,
    /// The cut list, in the same file.
    pub tables: TablesPlace,
}

impl Place {
    /// What tells one content from another: its file and offset.
    pub(super) fn key(&self) -> ContentKey {
        ContentKey { holder: self.holder.clone(), offset: self.offset }
    }

    /// Bytes that content and cut list take in their file.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.length.saturating_add(self.tables.stored_bytes())
    }
}

/// Names one content in the journal.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct ContentKey {
    pub holder: Holder,
    pub offset: u64,
}

/// The parts of a commit record that are made before it has a number.
#[derive(Clone)]
pub(super) struct RecordParts {
    /// The receipt; its number is set by the writer for a new one.
    pub receipt: Receipt,
    /// The facts as JSON.
    pub facts_json: Vec<u8>,
    /// The prefix that came.
    pub prefix: Option<Vec<u8>>,
    /// Whose content this was when it was committed.
    pub shares: Option<ReceiptNumber>,
}

impl std::fmt::Debug for RecordParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordParts").field("receipt", &self.receipt.number).finish_non_exhaustive()
    }
}

impl RecordParts {
    /// More than the bytes of the record, for planning.
    pub(super) fn bytes_estimate(&self) -> u64 {
        (self.facts_json.len() + self.prefix.as_ref().map_or(0, Vec::len) + 4096) as u64
    }

    /// The payload.
    pub(super) fn encode(&self, place: &Place) -> Result<Vec<u8>, String> {
        let line = RecordLine { receipt: self.receipt.clone(), place: place.clone(), shares: self.shares };
        let json = serde_json::to_vec(&line).map_err(|error| format!("a receipt is no JSON: {error}"))?;
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| "a record is over 4 GiB".to_owned());
        let prefix_length = self.prefix.as_deref().map_or(Ok(NO_PREFIX), length)?;
        let mut payload = Vec::with_capacity(LENGTHS_BYTES + json.len() + self.facts_json.len());
        for value in [length(&json)?, length(&self.facts_json)?, prefix_length, 0] {
            payload.extend_from_slice(&value.to_le_bytes());
        }
        payload.extend_from_slice(&json);
        payload.extend_from_slice(&self.facts_json);
        payload.extend_from_slice(self.prefix.as_deref().unwrap_or_default());
        Ok(payload)
    }
}

#[derive(Serialize, Deserialize)]
struct RecordLine {
    receipt: Receipt,
    #[serde(rename = "content")]
    place: Place,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shares: Option<ReceiptNumber>,
}

/// A commit record that was read back.
pub(super) struct Record {
    pub held: HeldReceipt,
    pub place: Place,
    pub shares: Option<ReceiptNumber>,
    facts_json: Vec<u8>,
}

impl Record {
    /// Reads a payload whose digest was right; `None` if it is not what this program writes.
    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let (lengths, rest) = payload.split_at_checked(LENGTHS_BYTES)?;
        let mut lengths = lengths.chunks_exact(4).map(|word| word.try_into().map(u32::from_le_bytes).ok());
        let (json, facts, prefix) = (lengths.next()??, lengths.next()??, lengths.next()??);
        let (json, rest) = rest.split_at_checked(usize::try_from(json).ok()?)?;
        let (facts, rest) = rest.split_at_checked(usize::try_from(facts).ok()?)?;
        let prefix = match prefix {
            NO_PREFIX => None,
            length if usize::try_from(length).ok()? == rest.len() => Some(rest.to_vec()),
            _ => return None,
        };
        let line: RecordLine = serde_json::from_slice(json).ok()?;
        let held = HeldReceipt { receipt: line.receipt, prefix };
        Some(Self { held, place: line.place, shares: line.shares, facts_json: facts.to_vec() })
    }

    /// The facts.
    pub(super) fn facts(&self) -> Option<VersionFacts> {
        serde_json::from_slice(&self.facts_json).ok()
    }

    /// The parts, to be written again elsewhere with the same number.
    pub(super) fn into_parts(self) -> RecordParts {
        RecordParts {
            receipt: self.held.receipt,
            facts_json: self.facts_json,
            prefix: self.held.prefix,
            shares: self.shares,
        }
    }
}
