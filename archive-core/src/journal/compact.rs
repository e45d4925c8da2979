//! Compaction: what is still needed of old segments is copied forward, so that one study that cannot be sealed does
//! not pin a gigabyte of others that are.

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::appender::{Group, GroupContent};
use super::error::JournalError;
use super::facade::Journal;
use super::frame;
use super::intake::off_the_runtime;
use super::mirror::read_inline;
use super::options::PERMIT_BYTES;
use super::record::{ContentKey, Holder, Record, RecordParts};
use super::state::{CommitPlace, Live, Shared, Twin};
use super::writer::{Move, Request};
use crate::identifiers::ReceiptNumber;

/// A segment of which at least this share is live is left as it is (percent): copying it would free little.
const LIVE_PERCENT_MAX: u64 = 50;

/// What a compaction did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Compacted {
    /// Segments that were old and mostly released.
    pub segments: u64,
    /// Receipts that were copied forward.
    pub receipts: u64,
    /// Receipts that could not be read and stay where they are.
    pub unreadable: u64,
}

impl Journal {
    /// Copies forward, durably, what is live in segments older than `compact_after` of which less than half is live;
    /// the old ones are deleted then. Receipts keep their numbers. Meant to be called every few minutes.
    ///
    /// # Errors
    /// [`JournalError::Full`] when there is no room for the copies, [`JournalError::Stopped`].
    pub async fn compact(&self) -> Result<Compacted, JournalError> {
        let mut done = Compacted::default();
        for segment in old_segments(&self.shared) {
            done.segments += 1;
            self.send(Request::Retire(segment)).await?;
            let leaning = self.shared.state.lock().leaning_on(segment);
            for (key, receipts) in leaning {
                self.move_content(key, receipts, &mut done).await?;
            }
        }
        Ok(done)
    }

    async fn move_content(
        &self,
        key: ContentKey,
        receipts: Vec<(ReceiptNumber, Live)>,
        done: &mut Compacted,
    ) -> Result<(), JournalError> {
        let bytes = receipts.first().map_or(0, |(_, live)| live.place.stored_bytes());
        let inline = matches!(key.holder, Holder::Segment(_));
        let wanted = if inline { bytes.min(self.shared.options.memory_bytes) / PERMIT_BYTES } else { 0 };
        let permits = u32::try_from(wanted).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.shared.memory).acquire_many_owned(permits).await;
        let permit = permit.map_err(|_| JournalError::Stopped { reason: "it was shut down".to_owned() })?;
        let shared = Arc::clone(&self.shared);
        let (numbers, lives): (Vec<_>, Vec<_>) = receipts.into_iter().unzip();
        let versions = lives.iter().map(|live| live.version.clone()).collect();
        let Some(group) = off_the_runtime(move || Ok(read_group(&shared, &lives))).await? else {
            tracing::error!(content = %key.holder, "a live record cannot be copied forward: it cannot be read");
            done.unreadable += numbers.len() as u64;
            return Ok(());
        };
        let (answer, answered) = oneshot::channel();
        self.send(Request::Move(Box::new(Move { group, versions, answer }))).await?;
        answered.await.unwrap_or_else(|_| Err(self.shared.stop("its writer has ended")))?;
        drop(permit);
        done.receipts += numbers.len() as u64;
        Ok(())
    }

    async fn send(&self, request: Request) -> Result<(), JournalError> {
        let sent = self.requests.send(request).await;
        sent.map_err(|_| self.shared.stop("its writer has ended"))
    }
}

fn old_segments(shared: &Shared) -> Vec<u64> {
    let now = shared.clock.now();
    let state = shared.state.lock();
    let old = state.segments.iter().filter(|(_, segment)| {
        let age = std::time::Duration::try_from(now.duration_since(segment.created)).unwrap_or_default();
        let mostly_released = segment.live_bytes.saturating_mul(100) < segment.bytes.saturating_mul(LIVE_PERCENT_MAX);
        segment.pins > 0 && mostly_released && age >= shared.options.compact_after
    });
    old.map(|(&number, _)| number).collect()
}

/// Reads the records, and the content if it lies in a segment; `None` if any of it is not whole in either folder.
fn read_group(shared: &Shared, lives: &[Live]) -> Option<Group> {
    let place = Arc::clone(&lives.first()?.place);
    let records: Option<Vec<RecordParts>> = lives.iter().map(|live| read_record(shared, live.commit)).collect();
    let content = match place.holder {
        Holder::Spill(_) => GroupContent::At(place),
        Holder::Segment(number) => {
            let twin = files(shared, number)?;
            let inline = twin.files().find_map(|file| {
                let inline = read_inline(file, &place).ok()?;
                let (digests_at, length) = place.tables.digests();
                let from = usize::try_from(digests_at - place.tables.offset).ok()?;
                let digests = inline.tables.get(from..)?.get(..usize::try_from(length).ok()?)?;
                let whole = inline.crc32c == place.crc32c && frame::digest(digests) == place.tables.digest;
                whole.then_some(inline)
            })?;
            GroupContent::Write(inline)
        }
    };
    Some(Group { content, records: records? })
}

pub(super) fn read_record(shared: &Shared, at: CommitPlace) -> Option<RecordParts> {
    let twin = files(shared, at.segment)?;
    twin.files().find_map(|file| {
        let mut header = [0_u8; frame::HEADER_BYTES];
        file.read_exact_at(&mut header, at.offset).ok()?;
        let header = frame::Header::decode(&header).ok()?;
        let mut payload = vec![0_u8; usize::try_from(at.length).ok()?];
        file.read_exact_at(&mut payload, header.payload_offset()).ok()?;
        let whole = header.length == at.length && frame::digest(&payload) == header.check;
        whole.then(|| Record::decode(&payload))?.map(Record::into_parts)
    })
}

fn files(shared: &Shared, segment: u64) -> Option<Twin> {
    shared.state.lock().segments.get(&segment).map(|segment| segment.files.clone())
}
