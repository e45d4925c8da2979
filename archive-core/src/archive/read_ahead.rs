//! Reading ahead: the next bytes are fetched, unpacked and checked while the last ones are on their way out.
//!
//! All readers share one bounded room. Who finds none reads one step after the other, which costs time and no memory.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::error::ArchiveError;

/// Room is counted in these (bytes).
const GRAIN: u64 = 1024;

/// The room for what is read before it is asked for.
#[derive(Clone, Debug)]
pub(super) struct ReadAhead(Arc<Semaphore>);

/// Bytes that are being read ahead, and the room that they take. Who drops this lets the read go on unseen; it ends by itself.
#[derive(Debug)]
pub(super) struct Ahead(JoinHandle<(Result<Bytes, ArchiveError>, OwnedSemaphorePermit)>);

impl ReadAhead {
    /// Room of so many bytes for all readers.
    pub(super) fn of_bytes(bytes: u64) -> Self {
        let grains = usize::try_from(bytes / GRAIN).unwrap_or(usize::MAX);
        Self(Arc::new(Semaphore::new(grains.min(Semaphore::MAX_PERMITS))))
    }

    /// Begins to read at most so many bytes, if there is room.
    pub(super) fn begin<F>(&self, bytes: u64, read: F) -> Option<Ahead>
    where
        F: Future<Output = Result<Bytes, ArchiveError>> + Send + 'static,
    {
        let grains = u32::try_from(bytes.div_ceil(GRAIN)).ok()?;
        let room = Arc::clone(&self.0).try_acquire_many_owned(grains).ok()?;
        Some(Ahead(tokio::spawn(async move { (read.await, room) })))
    }
}

impl Ahead {
    /// The bytes, once they are there.
    pub(super) async fn taken(self) -> Result<Bytes, ArchiveError> {
        match self.0.await {
            // From here on they are their reader's.
            Ok((bytes, _room)) => bytes,
            Err(error) => Err(ArchiveError::internal("reading ahead", error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn i12_what_is_read_ahead_fits_the_room_and_gives_it_back() {
        let ahead = ReadAhead::of_bytes(10 * GRAIN);
        let read = |byte: u8| async move { Ok(Bytes::from(vec![byte; 10])) };
        let first = ahead.begin(6 * GRAIN, read(1)).unwrap();
        assert!(ahead.begin(6 * GRAIN, read(2)).is_none(), "only four are left");
        assert_eq!(first.taken().await.unwrap(), vec![1; 10]);
        assert!(ahead.begin(10 * GRAIN + 1, read(3)).is_none(), "more than there ever is");
        let second = ahead.begin(10 * GRAIN, read(4)).unwrap();
        assert_eq!(second.taken().await.unwrap(), vec![4; 10]);
        let broken = ahead.begin(GRAIN, async { Err(ArchiveError::Full("on purpose".to_owned())) }).unwrap();
        assert!(broken.taken().await.is_err());
        let dead = ahead.begin(GRAIN, async { panic!("on purpose") }).unwrap();
        assert!(dead.taken().await.is_err());
        assert!(ahead.begin(10 * GRAIN, read(5)).is_some());
    }
}
