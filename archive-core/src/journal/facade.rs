//! The journal's face: open it, take in, read, release, shut down.

use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::content::{JournalContent, JournalReader};
use super::disk::SharedDisk;
use super::entry::JournalEntry;
use super::error::JournalError;
use super::intake::{Intake, off_the_runtime};
use super::options::{CHUNK_BYTES, JournalOptions, PERMIT_BYTES};
use super::recover::{self, Recovered};
use super::spares;
use super::state::{JournalStatus, Removal, Shared};
use super::writer::{self, QUEUE_LENGTH, Request};
use crate::clock::SharedClock;
use crate::entropy::SharedEntropy;
use crate::identifiers::ReceiptNumber;
use crate::reading::ReadError;

/// The journal of one archive. One process has it at a time; all methods may be called at once.
#[derive(Debug)]
pub struct Journal {
    pub(super) shared: Arc<Shared>,
    pub(super) requests: mpsc::Sender<Request>,
    writer: Mutex<Option<writer::Running>>,
    /// Makes segments before they are used.
    maker: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    /// Opens the journal in its folder, or makes it, and recovers what is in it. Everything that is relied on is
    /// synced before this returns. Reads every byte; blocking, so run it off the runtime.
    ///
    /// # Errors
    /// [`JournalError::Locked`], [`JournalError::Volatile`], [`JournalError::OtherArchive`],
    /// [`JournalError::LaterEpoch`], [`JournalError::NewerFormat`], [`JournalError::Options`], [`JournalError::Io`].
    /// Damage is no error: [`Recovered::findings`] names it.
    pub fn open(
        disk: SharedDisk,
        options: JournalOptions,
        clock: SharedClock,
        entropy: SharedEntropy,
    ) -> Result<(Self, Recovered), JournalError> {
        let (shared, appender, recovered) = recover::recover(disk, options, clock, entropy)?;
        let (requests, queue) = mpsc::channel(QUEUE_LENGTH);
        let writer = writer::start(Arc::clone(&shared), appender, queue)
            .map_err(JournalError::io("starting the writer of", shared.main.path()))?;
        let mut maker = None;
        if shared.options.spare_segments > 0 {
            let of_thread = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name("journal-spares".to_owned());
            let thread = thread.spawn(move || spares::run(&of_thread));
            maker = Some(thread.map_err(JournalError::io("starting a thread for", shared.main.path()))?);
        }
        Ok((Self { shared, requests, writer: Mutex::new(Some(writer)), maker: Mutex::new(maker) }, recovered))
    }

    /// Begins to take in one instance; waits while the memory budget is used up.
    ///
    /// # Errors
    /// [`JournalError::Full`] at the cap or below the disk reserve, [`JournalError::Stopped`].
    pub async fn intake(&self) -> Result<Intake, JournalError> {
        self.shared.admit(0, 1)?;
        if self.shared.free_is_stale() {
            let shared = Arc::clone(&self.shared);
            off_the_runtime(move || shared.free_for(0)).await?;
        } else {
            self.shared.free_as_last_seen()?;
        }
        let permits = u32::try_from(CHUNK_BYTES as u64 / PERMIT_BYTES).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.shared.memory).acquire_many_owned(permits).await;
        let closed = |_| JournalError::Stopped { reason: "it was shut down".to_owned() };
        let permit = permit.map_err(closed)?;
        self.shared.admit(0, 1)?;
        Ok(Intake::new(Arc::clone(&self.shared), self.requests.clone(), permit))
    }

    /// The content of a live receipt for reading: every byte it gives was checked against the digests that hang on
    /// the commit record (promise I9). It stays readable after a release.
    ///
    /// # Errors
    /// [`ReadError::Local`] if the receipt is not live, or its file cannot be opened.
    pub async fn reader(&self, receipt: ReceiptNumber) -> Result<JournalReader, ReadError> {
        let shared = Arc::clone(&self.shared);
        let opened = crate::off_runtime::blocking(move || JournalContent::open(&shared, receipt)).await;
        opened.unwrap_or_else(|_| Err(super::content::thread_ended(receipt))).map(JournalReader::new)
    }

    /// As [`Journal::reader`], for sealing: blocking, with sequential reading and the cut list.
    ///
    /// # Errors
    /// As [`Journal::reader`].
    pub fn content(&self, receipt: ReceiptNumber) -> Result<JournalContent, ReadError> {
        JournalContent::open(&self.shared, receipt)
    }

    /// These receipts are sealed: what only they needed is deleted. Needs no room. Numbers that are not live are
    /// passed over, so it may be repeated.
    pub async fn release(&self, receipts: &[ReceiptNumber]) {
        let removals = self.forget(receipts);
        if removals.is_empty() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let removed = off_the_runtime(move || {
            shared.remove(removals);
            Ok(())
        });
        // A file that is not deleted now is found, and released again, at the next start.
        drop(removed.await);
    }

    fn forget(&self, receipts: &[ReceiptNumber]) -> Vec<Removal> {
        let mut removals = Vec::new();
        let mut state = self.shared.state.lock();
        for &number in receipts {
            state.release(number, &mut removals);
        }
        removals
    }

    /// Durable entries whose committer had gone before it was answered; each is given once.
    #[must_use]
    pub fn take_unclaimed(&self) -> Vec<JournalEntry> {
        std::mem::take(&mut self.shared.state.lock().unclaimed)
    }

    /// The figures of this moment.
    #[must_use]
    pub fn status(&self) -> JournalStatus {
        self.shared.status()
    }

    /// Makes durable what was committed so far, ends the writer and lets others have the folder. Intakes that are
    /// still open get [`JournalError::Stopped`]: all that they can still touch are spill files of their own, which
    /// nothing names and whoever opens the folder next sweeps away.
    pub async fn shut_down(&self) {
        self.shared.memory.close();
        // A writer that has ended already needs no telling.
        drop(self.requests.send(Request::End).await);
        self.shared.spares.end();
        let (writer, maker) = (self.writer.lock().take(), self.maker.lock().take());
        if let Some(writer) = writer {
            writer.ended().await;
        }
        let ended = off_the_runtime(move || {
            if maker.is_some_and(|maker| maker.join().is_err()) {
                tracing::error!("the thread that makes segments ended by a defect");
            }
            Ok(())
        });
        drop(ended.await);
        for lock in &self.shared.locks {
            if let Err(error) = rustix::fs::flock(lock, rustix::fs::FlockOperation::Unlock) {
                tracing::warn!(%error, "the journal's lock was not given back; it goes with this process");
            }
        }
    }
}
