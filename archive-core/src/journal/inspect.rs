//! Looking into a segment without opening the journal: for `vellum debug journal FILE`.
//!
//! Reads only, takes no lock, decodes what it can of a damaged file and says what it cannot. Shows no patient data:
//! numbers, digests, sizes, times, doors and sources.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

use jiff::Timestamp;

use super::frame::{Head, Header, Kind};
use super::record::Record;
use super::walk::{Step, Walk};
use crate::caller::{Door, SourceKey};
use crate::identifiers::{ContentId, ReceiptNumber};

/// One thing that lies in a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inspected {
    /// Which bytes of the file.
    pub range: Range<u64>,
    /// Its place in the segment, for a whole frame.
    pub sequence: Option<u64>,
    /// The receipt that it was written for, where that can be read.
    pub receipt: Option<ReceiptNumber>,
    /// The chain says that something before it is not what was written.
    pub chain_broken: bool,
    /// What it is.
    pub what: InspectedWhat,
}

/// What lies there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InspectedWhat {
    /// The head of the segment.
    Head {
        /// The archive's id, in hexadecimal.
        archive: String,
        /// The epoch.
        epoch: u32,
        /// The segment's number.
        segment: u64,
        /// No new receipt in it has a lower number.
        first_receipt: u64,
        /// When it was made, if that is a time.
        created: Option<Timestamp>,
    },
    /// Bytes of an instance.
    Content,
    /// A cut list.
    Tables,
    /// A commit record.
    Commit {
        /// When it was received.
        time: Timestamp,
        /// By which door.
        door: Door,
        /// From whom.
        source: SourceKey,
        /// What.
        content: ContentId,
        /// Bytes of content.
        content_length: u64,
        /// The file that holds the content.
        held_in: String,
        /// Whose content it was when it was committed.
        shares: Option<ReceiptNumber>,
    },
    /// A whole frame whose payload cannot be understood.
    NotUnderstood,
    /// No whole frame.
    Bad,
    /// Written by a later program; nothing behind it is looked at.
    Newer {
        /// The frame's version.
        version: u16,
        /// Its kind.
        kind: u16,
    },
}

/// Everything that lies in a segment file, in order. An error of the disk ends it.
///
/// # Errors
/// When the file cannot be opened or read.
pub fn inspect(path: &Path) -> io::Result<impl Iterator<Item = io::Result<Inspected>>> {
    let file = File::open(path)?;
    let mut walk = Walk::new(file)?;
    Ok(std::iter::from_fn(move || match walk.step() {
        Ok(step) => step.map(|step| Ok(describe(&walk, step))),
        Err(error) => {
            walk.end();
            Some(Err(error))
        }
    }))
}

fn describe(walk: &Walk<File>, step: Step) -> Inspected {
    let bare = |range, what| Inspected { range, sequence: None, receipt: None, chain_broken: false, what };
    match step {
        Step::Frame { header, payload, chain_broken } => Inspected {
            range: header.offset..header.end().unwrap_or(header.offset),
            sequence: Some(header.sequence),
            receipt: receipt(&header),
            chain_broken,
            what: payload_of(&header, &payload),
        },
        Step::Bad { range, header } => {
            Inspected { receipt: header.and_then(|header| receipt(&header)), ..bare(range, InspectedWhat::Bad) }
        }
        Step::Padding { range } => bare(range, InspectedWhat::Bad),
        Step::Newer { version, kind } => bare(walk.at()..walk.size(), InspectedWhat::Newer { version, kind }),
    }
}

fn receipt(header: &Header) -> Option<ReceiptNumber> {
    let number = ReceiptNumber { epoch: header.epoch, number: header.receipt };
    (header.kind != Kind::Head).then_some(number)
}

fn payload_of(header: &Header, payload: &[u8]) -> InspectedWhat {
    match header.kind {
        Kind::Content => InspectedWhat::Content,
        Kind::Tables => InspectedWhat::Tables,
        Kind::Head => Head::decode(payload).map_or(InspectedWhat::NotUnderstood, |head| InspectedWhat::Head {
            archive: hex::encode(head.archive),
            epoch: head.epoch,
            segment: head.number,
            first_receipt: head.first_receipt,
            created: Timestamp::from_microsecond(head.created).ok(),
        }),
        Kind::Commit => Record::decode(payload).map_or(InspectedWhat::NotUnderstood, |record| InspectedWhat::Commit {
            time: record.held.receipt.time,
            door: record.held.receipt.door,
            source: record.held.receipt.source,
            content: record.held.receipt.content,
            content_length: record.place.length,
            held_in: record.place.holder.to_string(),
            shares: record.shares,
        }),
    }
}
