//! What lies in one folder of the journal: every frame read and checked, records found, bad ranges named.
//!
//! Reads only. What it finds is judged in [`super::recover`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::error::JournalError;
use super::folder::{Folder, SpillName};
use super::frame::{self, BATCH_ALIGN, FRAME_ALIGN, HEADER_BYTES, Head, Header, Kind, align_up};
use super::record::{Holder, Place, Record};
use super::state::CommitPlace;
use super::tables::{DIGEST_BYTES, Which};
use super::walk::{Step, Walk, read_through};
use crate::identifiers::ReceiptNumber;

/// A range of a segment that holds no whole frames, or frames without the record that makes them count.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct BadRange {
    pub range: Range<u64>,
    /// Receipts that are known to be hit.
    pub receipts: BTreeSet<ReceiptNumber>,
    /// A whole commit frame follows in the segment.
    pub commit_follows: bool,
}

impl BadRange {
    /// Nothing leans on padding: the frames around it are whole, and no receipt is hit.
    const fn of_padding(range: Range<u64>) -> Self {
        Self { range, receipts: BTreeSet::new(), commit_follows: false }
    }
}

/// A segment as it was found.
#[derive(Debug)]
pub(super) struct ScannedSegment {
    pub file: Arc<File>,
    pub id: Option<[u8; 16]>,
    pub head: Option<Head>,
    /// One past the last whole frame.
    pub end: u64,
    /// Header of the last whole frame: equal in two copies of the same segment.
    pub last: Option<Header>,
    pub bad: Vec<BadRange>,
    pub commits: u64,
    /// Content and cut lists that are whole: length and check, by first byte of the payload.
    bulk: BTreeMap<u64, (Kind, u64, [u8; 16])>,
}

/// A whole commit record.
pub(super) struct FoundCommit {
    pub record: Record,
    pub at: CommitPlace,
}

impl FoundCommit {
    pub(super) fn number(&self) -> ReceiptNumber {
        self.record.held.receipt.number
    }
}

/// Whether the content that a record names is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ContentState {
    Whole,
    Damaged,
    /// Its file is not there: it was released, or somebody deleted it.
    Gone,
}

/// A folder as it was found.
pub(super) struct ScannedFolder {
    pub folder: Folder,
    pub segments: BTreeMap<u64, ScannedSegment>,
    /// In the order of segments and offsets.
    pub commits: Vec<FoundCommit>,
    pub spills: BTreeSet<SpillName>,
    /// Highest receipt number of each epoch that any frame or head speaks of.
    pub highest: BTreeMap<u32, u64>,
    spill_states: BTreeMap<SpillName, ContentState>,
}

impl ScannedFolder {
    /// Reads all segments of a folder. `wanted` says which commit records are kept.
    pub(super) fn read(folder: &Folder, wanted: impl Fn(ReceiptNumber) -> bool) -> Result<Self, JournalError> {
        let listing = |path: &std::path::Path| JournalError::io("listing", path);
        let mut scanned = Self {
            folder: folder.clone(),
            segments: BTreeMap::new(),
            commits: Vec::new(),
            spills: folder.spills().map_err(listing(&folder.spill_folder()))?.into_iter().collect(),
            highest: BTreeMap::new(),
            spill_states: BTreeMap::new(),
        };
        for number in folder.segments().map_err(listing(folder.path()))? {
            scanned.read_segment(number, &wanted)?;
        }
        Ok(scanned)
    }

    fn read_segment(&mut self, number: u64, wanted: &impl Fn(ReceiptNumber) -> bool) -> Result<(), JournalError> {
        let path = self.folder.segment(number);
        let reading = |error| JournalError::io("reading", &path)(error);
        let file = Arc::new(File::options().read(true).write(true).open(&path).map_err(reading)?);
        let mut segment = ScannedSegment {
            file: Arc::clone(&file),
            id: None,
            head: None,
            end: 0,
            last: None,
            bad: Vec::new(),
            commits: 0,
            bulk: BTreeMap::new(),
        };
        let mut walk = Walk::new(&*file).map_err(reading)?;
        let mut loose = Loose::default();
        while let Some(step) = walk.step().map_err(reading)? {
            match step {
                Step::Newer { version, kind } => return Err(JournalError::NewerFormat { file: path, version, kind }),
                Step::Bad { range, header } => loose.bad(&mut segment, range, header),
                Step::Padding { range } => segment.bad.push(BadRange::of_padding(range)),
                Step::Frame { header, payload, chain_broken } => {
                    if chain_broken {
                        loose.lost_before(&mut segment, header.offset);
                    }
                    self.note_number(header.epoch, header.receipt);
                    if let Some(commit) = self.frame(&mut segment, &mut loose, number, &header, &payload)
                        && wanted(commit.number())
                    {
                        self.commits.push(commit);
                    }
                }
            }
        }
        loose.end(&mut segment);
        segment.id = walk.segment();
        for bad in &segment.bad {
            for receipt in &bad.receipts {
                self.note_number(receipt.epoch, receipt.number);
            }
        }
        self.segments.insert(number, segment);
        Ok(())
    }

    fn frame(
        &mut self,
        segment: &mut ScannedSegment,
        loose: &mut Loose,
        number: u64,
        header: &Header,
        payload: &[u8],
    ) -> Option<FoundCommit> {
        let end = header.end().unwrap_or(header.offset);
        segment.end = end;
        segment.last = Some(*header);
        match header.kind {
            Kind::Head => {
                segment.head = Head::decode(payload);
                segment.end = BATCH_ALIGN;
                if let Some(head) = segment.head {
                    let number = head.first_receipt.saturating_sub(1);
                    self.note_number(head.epoch, number);
                    loose.last_number = Some(ReceiptNumber { epoch: head.epoch, number });
                }
                None
            }
            Kind::Content | Kind::Tables => {
                segment.bulk.insert(header.payload_offset(), (header.kind, header.length, header.check));
                loose.bulk.push((header.offset..end, receipt_of(header)));
                None
            }
            Kind::Commit => {
                let Some(record) = Record::decode(payload) else {
                    // Its digest is right and it cannot be understood: named, and kept like damage.
                    loose.bad(segment, header.offset..end, Some(*header));
                    return None;
                };
                loose.commit(segment, record.held.receipt.number);
                segment.commits += 1;
                let at = CommitPlace { segment: number, offset: header.offset, length: header.length };
                Some(FoundCommit { record, at })
            }
        }
    }

    fn note_number(&mut self, epoch: u32, number: u64) {
        let highest = self.highest.entry(epoch).or_default();
        *highest = (*highest).max(number);
    }

    /// Whether the content of a record is whole in this folder. A spill file is read through once.
    pub(super) fn content(&mut self, place: &Place) -> Result<ContentState, JournalError> {
        match &place.holder {
            Holder::Segment(number) => Ok(self.content_in_segment(*number, place)),
            Holder::Spill(name) => {
                if let Some(&known) = self.spill_states.get(name) {
                    return Ok(known);
                }
                let path = self.folder.spill(name);
                let state = spill_state(&path, place).map_err(JournalError::io("reading", &path))?;
                self.spill_states.insert(name.clone(), state);
                Ok(state)
            }
        }
    }

    fn content_in_segment(&self, number: u64, place: &Place) -> ContentState {
        let Some(segment) = self.segments.get(&number) else { return ContentState::Gone };
        let content = (Kind::Content, place.length, frame::content_check(place.crc32c));
        let tables = segment.bulk.get(&place.tables.offset);
        let tables_whole =
            tables.is_some_and(|found| (found.0, found.1) == (Kind::Tables, place.tables.stored_bytes()));
        if segment.bulk.get(&place.offset) == Some(&content) && tables_whole {
            ContentState::Whole
        } else {
            ContentState::Damaged
        }
    }
}

fn receipt_of(header: &Header) -> ReceiptNumber {
    ReceiptNumber { epoch: header.epoch, number: header.receipt }
}

/// Reads a spill file through: content against its CRC, cut list against its digests.
fn spill_state(path: &std::path::Path, place: &Place) -> io::Result<ContentState> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ContentState::Gone),
        Err(error) => return Err(error),
    };
    let (digests_at, digests_length) = place.tables.digests();
    let needed = place.length.max(digests_at.saturating_add(digests_length));
    if file.metadata()?.len() < needed {
        return Ok(ContentState::Damaged);
    }
    let mut crc = 0;
    read_through(&file, 0..place.length, |bytes| crc = crc32c::crc32c_append(crc, bytes))?;
    if crc != place.crc32c {
        return Ok(ContentState::Damaged);
    }
    let piece = |offset: u64, length: u64| {
        let mut bytes = vec![0_u8; usize::try_from(length).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, offset)?;
        Ok::<_, io::Error>(bytes)
    };
    let digests = piece(digests_at, digests_length)?;
    let mut whole = frame::digest(&digests) == place.tables.digest;
    for which in [Which::Units, Which::Fragments, Which::Frames] {
        let mut index = 0;
        while let Some((offset, length, number)) = place.tables.block(which, index) {
            let at = usize::try_from(number * DIGEST_BYTES).unwrap_or(usize::MAX);
            let expected = digests.get(at..).and_then(|rest| rest.first_chunk::<16>());
            whole = whole && expected == Some(&frame::digest(&piece(offset, length)?));
            index += 1;
        }
    }
    Ok(if whole { ContentState::Whole } else { ContentState::Damaged })
}

/// What was seen on the way through a segment and is not accounted for yet.
#[derive(Default)]
struct Loose {
    /// Bulk frames whose commit record has not come.
    bulk: Vec<(Range<u64>, ReceiptNumber)>,
    /// The highest number whose record was whole, or one before the first that the head allows.
    last_number: Option<ReceiptNumber>,
    /// Bad ranges since the last whole commit record: what is between the numbers around them was hit.
    open: Vec<usize>,
}

impl Loose {
    fn bad(&mut self, segment: &mut ScannedSegment, range: Range<u64>, header: Option<Header>) {
        let mut bad = BadRange { range, receipts: BTreeSet::new(), commit_follows: false };
        match header {
            Some(header) if matches!(header.kind, Kind::Content | Kind::Tables) => {
                bad.receipts.insert(receipt_of(&header));
            }
            other => {
                if let Some(header) = other.filter(|header| header.kind == Kind::Commit) {
                    bad.receipts.insert(receipt_of(&header));
                }
                self.absorb(&mut bad);
            }
        }
        self.open.push(segment.bad.len());
        segment.bad.push(bad);
    }

    /// The chain does not fit: something was here that is not here now.
    fn lost_before(&mut self, segment: &mut ScannedSegment, offset: u64) {
        self.bad(segment, offset..offset, None);
    }

    /// Frames that wait for a record which cannot be read belong to the same bad range.
    fn absorb(&mut self, bad: &mut BadRange) {
        for (range, receipt) in self.bulk.drain(..) {
            bad.range.start = bad.range.start.min(range.start);
            bad.receipts.insert(receipt);
        }
    }

    fn commit(&mut self, segment: &mut ScannedSegment, number: ReceiptNumber) {
        self.bulk.retain(|(_, receipt)| *receipt != number);
        // What waits here for another record waits in vain: records follow their content at once.
        if !self.bulk.is_empty() {
            let end = self.bulk.iter().map(|(range, _)| range.end).max().unwrap_or(0);
            let mut bad = BadRange { range: end..end, receipts: BTreeSet::new(), commit_follows: false };
            self.absorb(&mut bad);
            self.open.push(segment.bad.len());
            segment.bad.push(bad);
        }
        for bad in &mut segment.bad {
            bad.commit_follows = true;
        }
        let between = match self.last_number {
            Some(last) if last.epoch == number.epoch && last.number < number.number => last.number + 1..number.number,
            _ => 0..0,
        };
        if let Some(bad) = self.open.first().and_then(|&index| segment.bad.get_mut(index)) {
            // No more than a bad range can have held.
            let most = (bad.range.end - bad.range.start) / COMMIT_FRAME_BYTES_MIN + 1;
            let epoch = number.epoch;
            let numbers = between.take(usize::try_from(most).unwrap_or(usize::MAX));
            bad.receipts.extend(numbers.map(|number| ReceiptNumber { epoch, number }));
        }
        self.open.clear();
        self.last_number = Some(self.last_number.map_or(number, |last| last.max(number)));
    }

    /// At the end of a segment: bulk without a record is a batch that was cut short.
    fn end(mut self, segment: &mut ScannedSegment) {
        let Some(end) = self.bulk.iter().map(|(range, _)| range.end).max() else { return };
        let mut bad = BadRange { range: end..end, receipts: BTreeSet::new(), commit_follows: false };
        self.absorb(&mut bad);
        let border = align_up(bad.range.end, FRAME_ALIGN);
        match segment.bad.last_mut() {
            Some(last) if Some(last.range.start) == border || last.range.start == bad.range.end => {
                last.range.start = bad.range.start;
                last.receipts.append(&mut bad.receipts);
            }
            _ => segment.bad.push(bad),
        }
    }
}

/// No commit frame is shorter (bytes): a bound on how many numbers an unreadable range can have held.
pub(super) const COMMIT_FRAME_BYTES_MIN: u64 = HEADER_BYTES as u64 + 256;
