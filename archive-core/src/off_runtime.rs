//! Work off the runtime: what blocks (disks, the catalog), and what computes for long (digests, decompression, parsing of
//! long runs of bytes). Everything of this crate that leaves the runtime's threads leaves them here, so that a simulation
//! can keep it on its own one ([`crate::testing::in_place`]).
//!
//! A thread of the runtime that hashes 8 MiB answers nobody meanwhile. Short runs are computed in place, for handing them
//! over would cost more than the work. As many compute at once as there are cores; the others wait in line, so that threads
//! stay bounded. Bytes are handed over by reference count, never copied.

use std::io;
use std::sync::LazyLock;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::task::JoinError;

/// Work on at most so many bytes is done in place.
const IN_PLACE_BYTES: u64 = 64 * 1024;

/// One place for each core.
static PLACES: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(cores()));

/// Runs work that blocks. Once it is waited for, it goes on to its end even if nobody waits for it any more.
///
/// # Errors
/// The runtime is being shut down, or the work panicked.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    #[cfg(any(test, feature = "test-support"))]
    if crate::testing::in_place::is_on() {
        return crate::testing::in_place::run(work).await;
    }
    tokio::task::spawn_blocking(work).await
}

/// As [`blocking`], for who does not wait for the end, and may not be on a runtime: then it is done at once.
pub(crate) fn blocking_in_background(work: impl FnOnce() + Send + 'static) {
    #[cfg(any(test, feature = "test-support"))]
    if crate::testing::in_place::is_on() {
        return work();
    }
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_) => work(),
    }
}

/// Waits for something asynchronous within blocking work.
pub(crate) fn wait_for<T>(runtime: &tokio::runtime::Handle, what: impl Future<Output = T>) -> T {
    #[cfg(any(test, feature = "test-support"))]
    if crate::testing::in_place::is_on() {
        return crate::testing::in_place::wait_for(what);
    }
    runtime.block_on(what)
}

/// Does two things at the same time, the second on a thread of its own, and waits for both. For blocking work.
pub(crate) fn at_once<E: From<io::Error> + Send>(
    first: impl FnOnce() -> Result<(), E>,
    second: impl FnOnce() -> Result<(), E> + Send,
) -> (Result<(), E>, Result<(), E>) {
    #[cfg(any(test, feature = "test-support"))]
    if crate::testing::in_place::is_on() {
        return (first(), second());
    }
    std::thread::scope(|scope| {
        let second = scope.spawn(second);
        let first = first();
        let ended = |_| Err(io::Error::other("a thread for blocking work ended").into());
        (first, second.join().unwrap_or_else(ended))
    })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs work on so many bytes where it may take long. The work must not wait for anything.
///
/// # Errors
/// The thread ended before the work: the runtime is being shut down, or the work panicked.
pub(crate) async fn compute<T: Send + 'static>(bytes: u64, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    if bytes <= IN_PLACE_BYTES {
        return Ok(work());
    }
    #[cfg(any(test, feature = "test-support"))]
    if crate::testing::in_place::is_on() {
        return blocking(work).await.map_err(io::Error::other);
    }
    // Nobody closes it.
    let place = PLACES.acquire().await.map_err(io::Error::other)?;
    // The place goes along: whoever waits may go away, the work goes on.
    let computed = tokio::task::spawn_blocking(move || {
        let _place = place;
        work()
    });
    computed.await.map_err(|_| io::Error::other("a thread that computes ended before its work"))
}

/// SHA-256 over bytes that come in pieces.
#[derive(Debug, Default)]
pub(crate) struct PiecewiseSha256(Sha256);

impl PiecewiseSha256 {
    /// Takes the next piece in.
    ///
    /// # Errors
    /// As [`compute`]; the digest is of no use then.
    pub(crate) async fn update(&mut self, piece: &Bytes) -> io::Result<()> {
        let (mut digest, piece) = (std::mem::take(&mut self.0), piece.clone());
        self.0 = compute(piece.len() as u64, move || {
            digest.update(&piece);
            digest
        })
        .await?;
        Ok(())
    }

    /// The digest over all pieces.
    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// All places, so that a test can see who waits for one.
#[cfg(test)]
pub(crate) async fn all_places() -> tokio::sync::SemaphorePermit<'static> {
    let all = u32::try_from(cores()).unwrap_or(u32::MAX);
    PLACES.acquire_many(all).await.unwrap_or_else(|_| unreachable!("nobody closes it"))
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn long_pieces_wait_for_a_place_and_short_ones_do_not() {
        let mut digest = PiecewiseSha256::default();
        let (short, long) = (Bytes::from_static(b"short"), Bytes::from(vec![7; 1 << 20]));
        let taken = all_places().await;
        digest.update(&short).now_or_never().unwrap().unwrap();
        {
            let mut waits = std::pin::pin!(digest.update(&long));
            assert!(waits.as_mut().now_or_never().is_none(), "every place is taken");
            drop(taken);
            waits.await.unwrap();
        }
        let expected: [u8; 32] = Sha256::digest([&short[..], &long].concat()).into();
        assert_eq!(digest.finish(), expected);
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error_and_gives_its_place_back() {
        for _ in 0..2 * cores() {
            assert!(compute(u64::MAX, || panic!("on purpose")).await.is_err());
        }
        drop(all_places().await);
    }
}
