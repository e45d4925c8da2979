//! Appending to segments: the one piece of code that makes records durable. The writer's thread uses it, and recovery.
//!
//! A batch is encoded, written to the journal and to its mirror, synced in both, and only then reported.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::blocks::BlockWriter;
use super::error::{JournalError, is_full};
use super::folder::Folder;
use super::frame::{self, BATCH_ALIGN, FRAME_ALIGN, HEADER_BYTES, Head, Header, Kind, align_up};
use super::record::{Holder, Place, RecordParts};
use super::spares::Spare;
use super::state::{CommitPlace, Shared, Twin};
use super::tables::TablesPlace;
use crate::identifiers::ReceiptNumber;
use crate::off_runtime;

/// Pieces shorter than this are copied together before they are written (bytes).
const COPIED_BELOW: usize = 64 * 1024;

/// Content with its cut list, to be written into a segment.
#[derive(Debug)]
pub(super) struct Inline {
    pub chunks: Vec<Vec<u8>>,
    pub length: u64,
    pub crc32c: u32,
    /// Bytes of the cut list as [`super::tables`] lays them out.
    pub tables: Vec<u8>,
    /// Its rows and digest; the offset comes with the segment.
    pub tables_place: TablesPlace,
}

/// Where the content of a group comes from.
#[derive(Debug)]
pub(super) enum GroupContent {
    /// It is written with the records.
    Write(Inline),
    /// It is durable there already.
    At(Arc<Place>),
}

/// One content with the records that lean on it. A record numbered 0:0 is new and gets its number here.
#[derive(Debug)]
pub(super) struct Group {
    pub content: GroupContent,
    pub records: Vec<RecordParts>,
}

impl Group {
    /// A little more than the bytes it takes in a segment.
    pub(super) fn bytes_estimate(&self) -> u64 {
        let content = match &self.content {
            GroupContent::Write(inline) => inline.length + inline.tables.len() as u64 + 4 * HEADER_BYTES as u64,
            GroupContent::At(_) => 0,
        };
        content + self.records.iter().map(RecordParts::bytes_estimate).sum::<u64>()
    }
}

/// A record that is durable.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub number: ReceiptNumber,
    pub place: Arc<Place>,
    pub commit: CommitPlace,
}

/// Why a batch is not durable.
#[derive(Debug)]
pub(super) enum AppendError {
    /// There was no room; nothing of the batch is left.
    Full(JournalError),
    /// What is on the disk is not known: nothing may follow.
    Failed(String),
}

/// The segment that is written to.
#[derive(Debug)]
struct Open {
    number: u64,
    id: [u8; 16],
    files: Twin,
    main: BlockWriter,
    mirror: Option<BlockWriter>,
    end: u64,
    room: u64,
    sequence: u64,
    chain: [u8; 16],
}

/// Writes batches; there is one in a process.
#[derive(Debug)]
pub(super) struct Appender {
    next_segment: u64,
    next_receipt: u64,
    current: Option<Open>,
}

impl Appender {
    /// Goes on with these numbers, in a new segment.
    pub(super) const fn new(next_segment: u64, next_receipt: u64) -> Self {
        Self { next_segment, next_receipt, current: None }
    }

    /// Makes the groups durable. Numbers that were given to a batch that failed are not given again.
    pub(super) fn append(&mut self, shared: &Shared, groups: &[&Group]) -> Result<Vec<Vec<Placed>>, AppendError> {
        let estimate: u64 = groups.iter().map(|group| group.bytes_estimate()).sum();
        let mut open = match self.current.take() {
            Some(open) if open.end.saturating_add(estimate) <= open.room => open,
            full => {
                if let Some(open) = full {
                    Self::close(shared, &open);
                }
                self.create(shared, estimate)?
            }
        };
        let mut batch = Batch::new(&open);
        let mut placed = Vec::with_capacity(groups.len());
        for group in groups {
            placed.push(batch.group(shared.options.epoch, group, &mut self.next_receipt)?);
        }
        let (parts, end, sequence, chain) = batch.finish();
        // A crash in here leaves a batch that nobody was told of; recovery keeps what is whole of it.
        if let Err(error) = write_and_sync(shared, &mut open, &parts) {
            return Err(Self::give_up(shared, &open, error));
        }
        let mut state = shared.state.lock();
        state.batches += 1;
        if let Some(segment) = state.segments.get_mut(&open.number) {
            segment.bytes = end;
        }
        drop(state);
        let end = align_up(end, BATCH_ALIGN).unwrap_or(u64::MAX);
        self.current = Some(Open { end, sequence, chain, ..open });
        Ok(placed)
    }

    /// The next batch goes into a new segment, so that this one may be deleted in its turn.
    pub(super) fn retire(&mut self, shared: &Shared, number: u64) {
        if let Some(open) = self.current.take_if(|open| open.number == number) {
            Self::close(shared, &open);
        }
    }

    /// Nothing is appended any more.
    pub(super) fn finish(mut self, shared: &Shared) {
        if let Some(open) = self.current.take() {
            Self::close(shared, &open);
        }
    }

    /// Gives back the room that was reserved and not used. Not synced: a longer file with zeros reads the same.
    fn close(shared: &Shared, open: &Open) {
        for file in open.files.files() {
            if let Err(error) = shared.disk.truncate(file, open.end) {
                tracing::debug!(segment = open.number, %error, "reserved room of a full segment was not given back");
            }
        }
    }

    /// Makes the next segment, so that a batch of `estimate` bytes fits. For recovery also with nothing to write:
    /// the head alone keeps the numbering.
    pub(super) fn create_for_numbering(&mut self, shared: &Shared) -> Result<(), AppendError> {
        let open = self.create(shared, 0)?;
        self.current = Some(open);
        Ok(())
    }

    fn create(&mut self, shared: &Shared, estimate: u64) -> Result<Open, AppendError> {
        let head_end = BATCH_ALIGN;
        let room = shared.options.segment_bytes.max(head_end.saturating_add(estimate).saturating_add(BATCH_ALIGN));
        let spare = shared.spares.take(room);
        // The room of a spare is taken already.
        if let Err(error) = shared.free_for(if spare.is_some() { 0 } else { room }) {
            spare.into_iter().for_each(|spare| shared.spares.put(spare));
            return Err(AppendError::Full(error));
        }
        let number = self.next_segment;
        self.next_segment += 1;
        let mut id = [0_u8; 16];
        shared.entropy.fill(&mut id).map_err(|error| AppendError::Failed(format!("no random segment id: {error}")))?;
        let created = shared.clock.now();
        let head = Head {
            archive: archive_raw(shared),
            epoch: shared.options.epoch,
            number,
            first_receipt: self.next_receipt,
            created: created.as_microsecond(),
        };
        let payload = head.encode();
        let header = Header {
            kind: Kind::Head,
            epoch: shared.options.epoch,
            length: payload.len() as u64,
            sequence: 0,
            segment: id,
            offset: 0,
            receipt: 0,
            check: frame::digest(&payload),
            chain: [0; 16],
        };
        let encoded = header.encode();
        let bytes = [encoded.as_slice(), payload.as_slice()].concat();
        let room = spare.as_ref().map_or(room, |spare| spare.room);
        let files = match spare {
            Some(spare) => Self::name_spare(shared, spare, number, &bytes)?,
            None => Self::create_files(shared, number, room, &bytes)?,
        };
        let segment = super::state::Segment { files: files.clone(), bytes: head_end, live_bytes: 0, pins: 0, created };
        shared.state.lock().segments.insert(number, segment);
        let writer = |(folder, file): (&Folder, &Arc<File>)| {
            BlockWriter::new(Arc::clone(file), &folder.segment(number), &*shared.disk, shared.options.direct)
        };
        let main = writer((&shared.main, &files.main));
        let mirror = shared.mirror.as_ref().zip(files.mirror.as_ref()).map(writer);
        let chain = frame::chain_of(&encoded);
        Ok(Open { number, id, files, main, mirror, end: head_end, room, sequence: 1, chain })
    }

    fn create_files(shared: &Shared, number: u64, room: u64, head: &[u8]) -> Result<Twin, AppendError> {
        let main = Self::create_in(shared, &shared.main, number, room, head)?;
        let mirror = match &shared.mirror {
            Some(folder) => match Self::create_in(shared, folder, number, room, head) {
                Ok(file) => Some(file),
                Err(error) => {
                    drop(shared.disk.remove(&shared.main.segment(number)));
                    return Err(error);
                }
            },
            None => None,
        };
        Ok(Twin { main, mirror })
    }

    /// Makes a spare the next segment: as [`Self::create_in`], but that the file is there.
    fn name_spare(shared: &Shared, spare: Spare, number: u64, head: &[u8]) -> Result<Twin, AppendError> {
        let disk = &shared.disk;
        for (folder, file) in shared.folders().zip(spare.files.files()) {
            let path = folder.segment(number);
            let named = disk
                .rename(&folder.spare(spare.index), &path)
                .and_then(|()| disk.write_at(file, head, 0))
                .and_then(|()| disk.sync(file))
                .and_then(|()| disk.sync_folder(folder.path()));
            if let Err(error) = named {
                // Where overwriting takes room too (copy on write), there may be none.
                if !is_full(&error) {
                    return Err(AppendError::Failed(format!("making {}: {error}", path.display())));
                }
                shared.folders().for_each(|folder| drop(disk.remove(&folder.segment(number))));
                return Err(AppendError::Full(JournalError::io("making", &path)(error)));
            }
        }
        Ok(spare.files)
    }

    /// One file of a new segment: head written, file and name synced before anything is put into it. A crash before
    /// leaves a name without frames, which holds nothing.
    fn create_in(
        shared: &Shared,
        folder: &Folder,
        number: u64,
        room: u64,
        head: &[u8],
    ) -> Result<Arc<File>, AppendError> {
        let path = folder.segment(number);
        let disk = &shared.disk;
        let prepared = disk.create(&path).and_then(|file| {
            disk.preallocate(&file, room)?;
            disk.write_at(&file, head, 0)?;
            Ok(file)
        });
        let file = match prepared {
            Ok(file) => file,
            Err(error) if is_full(&error) => {
                drop(disk.remove(&path));
                return Err(AppendError::Full(JournalError::io("making", &path)(error)));
            }
            Err(error) => return Err(AppendError::Failed(format!("making {}: {error}", path.display()))),
        };
        disk.sync(&file).map_err(|error| AppendError::Failed(format!("syncing {}: {error}", path.display())))?;
        let synced = disk.sync_folder(folder.path());
        synced.map_err(|error| AppendError::Failed(format!("syncing {}: {error}", folder.path().display())))?;
        Ok(Arc::new(file))
    }

    /// After a write that failed: no room is undone durably and reported as such, anything else stops the journal.
    fn give_up(shared: &Shared, open: &Open, error: BatchError) -> AppendError {
        let (path, error) = match error {
            BatchError::Write(path, error) if is_full(&error) => (path, error),
            BatchError::Write(path, error) => {
                return AppendError::Failed(format!("writing {}: {error}", path.display()));
            }
            BatchError::Sync(path, error) => {
                return AppendError::Failed(format!("syncing {}: {error}", path.display()));
            }
        };
        let undo = |file: &File| shared.disk.truncate(file, open.end).and_then(|()| shared.disk.sync(file));
        match open.files.files().try_for_each(|file| undo(file)) {
            Ok(()) => AppendError::Full(JournalError::Full { what: format!("writing {}: {error}", path.display()) }),
            Err(again) => AppendError::Failed(format!("cutting {} after {error}: {again}", path.display())),
        }
    }
}

fn archive_raw(shared: &Shared) -> [u8; 16] {
    let mut raw = [0_u8; 16];
    // An archive id is 32 hexadecimal digits by its type.
    let _by_its_type = hex::decode_to_slice(shared.options.archive.as_str(), &mut raw);
    raw
}

/// What failed of a batch, and in which file.
#[derive(Debug)]
enum BatchError {
    Write(PathBuf, io::Error),
    /// Never synced a second time: what is on the disk is not known.
    Sync(PathBuf, io::Error),
}

/// A thread that ended: what it did is not known.
impl From<io::Error> for BatchError {
    fn from(error: io::Error) -> Self {
        Self::Sync(PathBuf::from("the mirror"), error)
    }
}

/// Writes and syncs the journal and the mirror at the same time.
fn write_and_sync(shared: &Shared, open: &mut Open, parts: &[Part<'_>]) -> Result<(), BatchError> {
    let disk = &*shared.disk;
    let pieces: Vec<&[u8]> = parts.iter().map(Part::bytes).collect();
    let at = open.end;
    let make_durable = |writer: &mut BlockWriter| {
        writer.write(disk, &pieces, at).map_err(|error| BatchError::Write(writer.path().to_owned(), error))?;
        writer.sync(disk).map_err(|error| BatchError::Sync(writer.path().to_owned(), error))
    };
    let Some(mirror) = &mut open.mirror else { return make_durable(&mut open.main) };
    let main = &mut open.main;
    match off_runtime::at_once(|| make_durable(main), || make_durable(mirror)) {
        (Err(BatchError::Write(..)), Err(sync @ BatchError::Sync(..))) => Err(sync),
        // What is more than a lack of room counts.
        (Err(BatchError::Write(_, full)), Err(other @ BatchError::Write(..))) if is_full(&full) => Err(other),
        (Err(error), _) | (Ok(()), Err(error)) => Err(error),
        (Ok(()), Ok(())) => Ok(()),
    }
}

/// A piece of a batch.
enum Part<'a> {
    Copied(Vec<u8>),
    Lent(&'a [u8]),
}

impl Part<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Lent(bytes) => bytes,
        }
    }
}

/// A batch as it will lie in the segment.
struct Batch<'a> {
    segment: u64,
    id: [u8; 16],
    parts: Vec<Part<'a>>,
    at: u64,
    sequence: u64,
    chain: [u8; 16],
}

impl<'a> Batch<'a> {
    fn new(open: &Open) -> Self {
        Self {
            segment: open.number,
            id: open.id,
            parts: Vec::new(),
            at: open.end,
            sequence: open.sequence,
            chain: open.chain,
        }
    }

    fn finish(self) -> (Vec<Part<'a>>, u64, u64, [u8; 16]) {
        (self.parts, self.at, self.sequence, self.chain)
    }

    /// Content, cut list, then the records that make them count.
    fn group(&mut self, epoch: u32, group: &'a Group, next_receipt: &mut u64) -> Result<Vec<Placed>, AppendError> {
        let numbers: Vec<ReceiptNumber> = group
            .records
            .iter()
            .map(|record| {
                if record.receipt.number.number != 0 {
                    return record.receipt.number;
                }
                let number = ReceiptNumber { epoch, number: *next_receipt };
                *next_receipt += 1;
                number
            })
            .collect();
        let Some(&first) = numbers.first() else { return Ok(Vec::new()) };
        let place = match &group.content {
            GroupContent::At(place) => Arc::clone(place),
            GroupContent::Write(inline) => Arc::new(self.content(first, inline)),
        };
        let mut placed = Vec::with_capacity(numbers.len());
        for (record, number) in group.records.iter().zip(numbers) {
            let mut record = record.clone();
            record.receipt.number = number;
            let payload = record.encode(&place).map_err(AppendError::Failed)?;
            let length = payload.len() as u64;
            let offset = self.frame(Kind::Commit, number, length, frame::digest(&payload));
            self.copy(&payload);
            self.pad();
            let commit = CommitPlace { segment: self.segment, offset, length };
            placed.push(Placed { number, place: Arc::clone(&place), commit });
        }
        Ok(placed)
    }

    fn content(&mut self, number: ReceiptNumber, inline: &'a Inline) -> Place {
        let frame_at = self.frame(Kind::Content, number, inline.length, frame::content_check(inline.crc32c));
        for chunk in &inline.chunks {
            self.lend(chunk);
        }
        self.pad();
        let check = frame::digest(&inline.tables);
        let tables_at = self.frame(Kind::Tables, number, inline.tables.len() as u64, check);
        self.lend(&inline.tables);
        self.pad();
        Place {
            holder: Holder::Segment(self.segment),
            offset: frame_at + HEADER_BYTES as u64,
            length: inline.length,
            crc32c: inline.crc32c,
            tables: TablesPlace { offset: tables_at + HEADER_BYTES as u64, ..inline.tables_place },
        }
    }

    /// Writes a header; gives the frame's offset.
    fn frame(&mut self, kind: Kind, receipt: ReceiptNumber, length: u64, check: [u8; 16]) -> u64 {
        let header = Header {
            kind,
            epoch: receipt.epoch,
            length,
            sequence: self.sequence,
            segment: self.id,
            offset: self.at,
            receipt: receipt.number,
            check,
            chain: self.chain,
        };
        let bytes = header.encode();
        self.sequence += 1;
        self.chain = frame::chain_of(&bytes);
        self.copy(&bytes);
        header.offset
    }

    fn pad(&mut self) {
        let rest = align_up(self.at, FRAME_ALIGN).unwrap_or(self.at) - self.at;
        self.copy([0_u8; FRAME_ALIGN as usize].get(..usize::try_from(rest).unwrap_or(0)).unwrap_or_default());
    }

    fn lend(&mut self, bytes: &'a [u8]) {
        if bytes.len() < COPIED_BELOW {
            return self.copy(bytes);
        }
        self.parts.push(Part::Lent(bytes));
        self.at += bytes.len() as u64;
    }

    fn copy(&mut self, bytes: &[u8]) {
        self.at += bytes.len() as u64;
        match self.parts.last_mut() {
            Some(Part::Copied(last)) => last.extend_from_slice(bytes),
            _ => self.parts.push(Part::Copied(bytes.to_vec())),
        }
    }
}
