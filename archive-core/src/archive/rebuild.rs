//! Rebuilding: the catalog anew from ledger and packs, while reads and receiving go on (promise I3).
//!
//! Meanwhile a miss is never "absent": what was not found so far may exist. Sealing waits until it is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::Stream;
use futures::stream;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;

use super::Archive;
use super::error::ArchiveError;
use crate::caller::Caller;
use crate::catalog::CatalogError;
use crate::ledger::Recorded;
use crate::ledger::entry::EntryBody;
use crate::reading::ReadError;
use crate::store::StoreError;

/// How long a rebuild that failed rests.
const RETRY_PAUSE: Duration = Duration::from_secs(10);

/// How far a rebuild is.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct RebuildProgress {
    /// Packs read.
    pub done: u64,
    /// Packs there are.
    pub total: u64,
    /// Versions that came with them.
    pub versions: u64,
    /// Seconds since it began.
    pub seconds: f64,
}

impl RebuildProgress {
    fn percent(self) -> u8 {
        let share = self.done.saturating_mul(100) / self.total.max(1);
        u8::try_from(share.min(99)).unwrap_or(99)
    }
}

/// An event of a rebuild that somebody follows.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RebuildEvent {
    /// It goes on.
    Progress(RebuildProgress),
    /// It is done.
    Finished {
        /// Packs read.
        packs: u64,
        /// Versions that came with them.
        versions: u64,
        /// Seconds it took.
        seconds: f64,
    },
    /// It ended early; it is tried again.
    Failed {
        /// Why.
        what: String,
    },
}

/// The state of rebuilding.
#[derive(Debug)]
pub(super) struct Rebuild {
    progress: watch::Sender<Option<RebuildProgress>>,
    catalog_follows: AtomicBool,
    /// Held while the two above change together.
    switch: Mutex<()>,
    started: Mutex<Duration>,
    wanted: AtomicBool,
    last_failure: Mutex<Option<String>>,
    /// What the last rebuild came to: whoever follows may have missed its last step.
    finished: Mutex<RebuildProgress>,
}

impl Default for Rebuild {
    fn default() -> Self {
        Self {
            progress: watch::Sender::new(None),
            catalog_follows: AtomicBool::new(true),
            switch: Mutex::new(()),
            started: Mutex::new(Duration::ZERO),
            wanted: AtomicBool::new(false),
            last_failure: Mutex::new(None),
            finished: Mutex::new(RebuildProgress::default()),
        }
    }
}

impl Rebuild {
    /// Whether every entry is applied to the catalog as it is appended.
    pub(super) fn catalog_follows(&self) -> bool {
        self.catalog_follows.load(Ordering::SeqCst)
    }

    /// How far, while it goes on.
    pub(super) fn progress(&self) -> Option<RebuildProgress> {
        *self.progress.borrow()
    }

    fn begin(&self, now: Duration) -> bool {
        let _switch = self.switch.lock();
        let first = self.catalog_follows.swap(false, Ordering::SeqCst);
        if first {
            *self.started.lock() = now;
            self.progress.send_replace(Some(RebuildProgress::default()));
        }
        first
    }

    fn advance(&self, now: Duration, change: impl FnOnce(&mut RebuildProgress)) {
        let seconds = now.saturating_sub(*self.started.lock()).as_secs_f64();
        self.progress.send_modify(|progress| {
            let progress = progress.get_or_insert_default();
            progress.seconds = seconds;
            change(progress);
        });
    }

    /// The catalog is complete and follows again, both at once: another rebuild begins before or after, never between.
    fn complete(&self) {
        let _switch = self.switch.lock();
        *self.last_failure.lock() = None;
        self.catalog_follows.store(true, Ordering::SeqCst);
        // Noted before whoever follows is told that it is over.
        *self.finished.lock() = self.progress().unwrap_or_default();
        self.progress.send_replace(None);
    }

    /// Given up, for the archive is closing; the catalog does not follow any more.
    fn give_up(&self, failure: String) {
        *self.last_failure.lock() = Some(failure);
        self.progress.send_replace(None);
    }
}

impl Archive {
    /// The error for something that was not found: while the catalog is being rebuilt it may exist all the same.
    pub(super) fn not_found(&self, what: String) -> ArchiveError {
        match self.rebuild.progress() {
            Some(_) => self.rebuilding(),
            None => ArchiveError::NotFound(what),
        }
    }

    /// The error for what cannot be answered because the catalog is being rebuilt, or just was.
    pub(super) fn rebuilding(&self) -> ArchiveError {
        let progress = self.rebuild.progress().unwrap_or_default();
        ArchiveError::Rebuilding { percent: progress.percent(), retry_after_seconds: 10 }
    }

    /// For what has to list everything: not while the catalog is being rebuilt, when a listing passes for a whole one and
    /// is none.
    ///
    /// # Errors
    /// [`ArchiveError::Rebuilding`].
    pub fn must_be_whole(&self) -> Result<(), ArchiveError> {
        if self.rebuild.progress().is_some() { Err(self.rebuilding()) } else { Ok(()) }
    }

    /// What follows from an error of the catalog: one that is damaged is made anew while the archive goes on. Where the disk
    /// below failed, sled answers every later call with the same error, whatever the disk does by then: only a new process
    /// opens it again, or makes it anew from the ledger. Until then nothing could be sealed, so this one ends.
    pub(super) fn catalog_failed(&self, error: &CatalogError) {
        if error.wants_rebuild() {
            self.catalog_is_damaged();
        } else if matches!(error, CatalogError::Store { .. }) {
            self.stop(format!("{error}; the next start opens it again, or makes it anew from the ledger"));
        }
    }

    /// The catalog was found damaged while it was used: it is rebuilt at the next occasion.
    pub(super) fn catalog_is_damaged(&self) {
        tracing::error!("the catalog is damaged; it is rebuilt from the stores, queries say that they are incomplete");
        self.rebuild.wanted.store(true, Ordering::SeqCst);
    }

    /// An entry could not be applied: the catalog is brought up to the ledger in the background, from where it stands.
    pub(super) fn catalog_is_behind(&self, error: &ArchiveError) {
        tracing::error!(%error, "the catalog could not follow the ledger; it is brought up to it in the background");
        if let Some(archive) = self.me.upgrade() {
            archive.start_rebuild(false);
        }
    }

    /// Whether a rebuild was asked for by damage.
    pub(super) fn take_wanted_rebuild(&self) -> bool {
        self.rebuild.wanted.swap(false, Ordering::SeqCst)
    }

    /// Forgets the catalog and makes it anew; gives its progress, which goes on whether or not anybody follows.
    ///
    /// # Errors
    /// [`ArchiveError::Busy`] while one goes on.
    pub fn rebuild(
        self: &Arc<Self>,
        caller: &Caller,
    ) -> Result<impl Stream<Item = RebuildEvent> + Send + 'static + use<>, ArchiveError> {
        tracing::info!(by = %caller.name, "the catalog is rebuilt");
        if !self.rebuild.begin(self.clock.monotonic()) {
            return Err(ArchiveError::Busy(
                "the catalog is being rebuilt already; `vellum status` shows how far".into(),
            ));
        }
        self.catalog_is_incomplete(true);
        let follow = self.rebuild.progress.subscribe();
        let archive = Arc::clone(self);
        tokio::spawn(async move { archive.run_rebuild(true).await });
        Ok(self.follow_rebuild(follow))
    }

    fn follow_rebuild(
        self: &Arc<Self>,
        follow: watch::Receiver<Option<RebuildProgress>>,
    ) -> impl Stream<Item = RebuildEvent> + Send + 'static + use<> {
        let archive = Arc::clone(self);
        stream::unfold((archive, follow, false), |(archive, mut follow, ended)| async move {
            if ended || follow.changed().await.is_err() {
                return None;
            }
            let now = *follow.borrow_and_update();
            let event = match (now, archive.rebuild.last_failure.lock().clone()) {
                (Some(progress), _) => RebuildEvent::Progress(progress),
                (None, Some(what)) => RebuildEvent::Failed { what },
                (None, None) => {
                    let last = *archive.rebuild.finished.lock();
                    RebuildEvent::Finished { packs: last.done, versions: last.versions, seconds: last.seconds }
                }
            };
            Some((event, (archive, follow, now.is_none())))
        })
    }

    /// Waits until no rebuild goes on.
    pub async fn rebuilt(&self) {
        // The sender lives as long as this archive.
        let mut progress = self.rebuild.progress.subscribe();
        let _open = progress.wait_for(Option::is_none).await;
    }

    /// Begins a rebuild in the background: `from_nothing`, or from where the catalog stands.
    pub(super) fn start_rebuild(self: &Arc<Self>, from_nothing: bool) {
        if self.rebuild.begin(self.clock.monotonic()) {
            self.catalog_is_incomplete(true);
            let archive = Arc::clone(self);
            tokio::spawn(async move { archive.run_rebuild(from_nothing).await });
        }
    }

    /// While the catalog is incomplete, a miss is no absence, and nothing is deleted.
    fn catalog_is_incomplete(&self, incomplete: bool) {
        self.holdings.set_incomplete(incomplete);
        self.gate_is_shut_for_rebuild(incomplete);
    }

    /// Rebuilds; what fails is tried again after a pause, for without a catalog the archive is half blind.
    async fn run_rebuild(self: &Arc<Self>, mut from_nothing: bool) {
        tracing::debug!(from_nothing, "rebuild begins");
        let progress = loop {
            match self.rebuild_once(from_nothing).await {
                Ok(progress) => break progress,
                Err(error) if self.is_closed() => {
                    self.rebuild.give_up(error.to_string());
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "rebuilding the catalog failed; it goes on in 10 s");
                    *self.rebuild.last_failure.lock() = Some(error.to_string());
                    let mut closing = self.closing.subscribe();
                    // Closing ends the pause; the next attempt then gives up.
                    let _paused = tokio::time::timeout(RETRY_PAUSE, closing.wait_for(|closing| *closing)).await;
                    from_nothing = self.take_wanted_rebuild();
                }
            }
        };
        tracing::info!(
            packs = progress.done,
            versions = progress.versions,
            seconds = progress.seconds,
            "the catalog is complete"
        );
        tracing::debug!("rebuild ends");
        if let Err(error) = self.close_cases_of_repaired().await {
            tracing::warn!(%error, "cases of packs that are whole again are closed later");
        }
        self.release_what_is_sealed().await;
    }

    async fn rebuild_once(self: &Arc<Self>, from_nothing: bool) -> Result<RebuildProgress, ArchiveError> {
        {
            // An entry that is just being applied must not come after the clearing: its watermark would say that the
            // catalog is complete up to it. Later ones see that the catalog does not follow.
            let _turn = self.ledger_turn.lock().await;
            if from_nothing {
                self.lacking.empties();
                self.in_catalog(|catalog| catalog.clear()).await?;
            }
            self.lacking.took_in(self.in_catalog(|catalog| catalog.watermark()).await?);
        }
        let total = self.history.lock().pack_count() as u64;
        self.rebuild.advance(self.clock.monotonic(), |progress| {
            *progress = RebuildProgress { total, ..RebuildProgress::default() };
        });
        loop {
            let from = self.in_catalog(|catalog| catalog.watermark()).await?;
            self.apply_from(from).await?;
            // What was appended meanwhile is applied too; with the turn held, nothing more can come.
            let turn = self.ledger_turn.lock().await;
            let reached = self.in_catalog(|catalog| catalog.watermark()).await?;
            if reached >= self.history.lock().size() {
                self.in_catalog(|catalog| catalog.checkpoint()).await?;
                let progress = self.rebuild.progress().unwrap_or_default();
                self.catalog_is_incomplete(false);
                self.rebuild.complete();
                return Ok(progress);
            }
            drop(turn);
        }
    }

    async fn apply_from(&self, from: u64) -> Result<(), ArchiveError> {
        let mut entries = self.entries_from(from).await?;
        let failed = |error| ArchiveError::internal("reading the ledger", error);
        while let Some(recorded) = entries.next().await.map_err(failed)? {
            if self.is_closed() {
                return Err(ArchiveError::Busy("the archive is closing; the rebuild goes on at the next start".into()));
            }
            // Only what the history has absorbed: it says which packs still count.
            if recorded.entry.n >= self.history.lock().size() {
                return Ok(());
            }
            self.apply_or_pass_over(&recorded).await?;
            let (packs, versions) = match &recorded.entry.body {
                EntryBody::Sealed { pack, versions, .. } | EntryBody::Merged { pack, versions, .. } => {
                    if self.history.lock().counts(&pack.pack) { (1, *versions) } else { (0, 0) }
                }
                _ => continue,
            };
            self.rebuild.advance(self.clock.monotonic(), |progress| {
                progress.done += packs;
                progress.versions += versions;
            });
        }
        Ok(())
    }

    /// A pack of which no store has a good copy must not keep everything else out of the catalog, nor sealing from going
    /// on: it is passed over, with a case; when a copy is back, [`Archive::take_in_repaired`] brings it in.
    async fn apply_or_pass_over(&self, recorded: &Recorded) -> Result<(), ArchiveError> {
        let outcome = self.apply(recorded).await;
        let (EntryBody::Sealed { pack, .. } | EntryBody::Merged { pack, .. }) = &recorded.entry.body else {
            return outcome;
        };
        let error = match outcome {
            Ok(()) => {
                self.lacking.has(&pack.pack);
                return Ok(());
            }
            Err(error) if is_damage(&error) => error,
            Err(error) => return Err(error),
        };
        tracing::error!(pack = %pack.pack, study = %pack.study, %error, "no store has a good copy of a pack; the catalog goes without");
        self.open_case_damaged_pack(pack).await?;
        self.lacking.goes_without([pack.pack]);
        self.pass_over(recorded.entry.n + 1).await
    }
}

/// Whether what failed is what lies in the stores, and not that they cannot be reached.
pub(super) fn is_damage(error: &ArchiveError) -> bool {
    let ArchiveError::Read(error) = error else { return false };
    match error {
        ReadError::Damaged { .. } | ReadError::NotUnderstood { .. } => true,
        ReadError::Store(error) => matches!(error, StoreError::NotFound { .. } | StoreError::Damaged { .. }),
        ReadError::Local { .. } => false,
    }
}
