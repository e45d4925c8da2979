//! The worker: wakes each job at its time, until it is told to stop. A job that fails says so and is tried again at its
//! next time; none of them can hold up receiving or reading.
//!
//! Jobs that wait for different things run beside each other, those of one group one after the other. What keeps
//! receiving possible (sealing empties the journal) must never wait for a store that lags, which may take days to be
//! filled, or may not answer at all.

use std::sync::Arc;
use std::time::Duration;

use archive_core::archive::{Archive, ArchiveError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior};

use crate::schedule::Schedule;

/// The shortest pause between two looks; a period of nothing would be no period.
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// The running worker.
#[derive(Debug)]
pub struct Worker {
    stop: watch::Sender<bool>,
    groups: [JoinHandle<()>; 3],
}

impl Worker {
    /// Starts the jobs of an archive.
    #[must_use]
    pub fn start(archive: Arc<Archive>, schedule: &Schedule) -> Self {
        let (stop, stopped) = watch::channel(false);
        let groups = [
            tokio::spawn(empty_the_journal(Arc::clone(&archive), schedule.clone(), stopped.clone())),
            tokio::spawn(complete_stores(Arc::clone(&archive), schedule.clone(), stopped.clone())),
            tokio::spawn(tidy_packs(archive, schedule.clone(), stopped)),
        ];
        Self { stop, groups }
    }

    /// Stops after the jobs under way.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for group in self.groups {
            if let Err(error) = group.await {
                tracing::error!(%error, "the worker ended badly");
            }
        }
    }
}

fn every(pause: Duration) -> Interval {
    let mut interval = tokio::time::interval(pause.max(PAUSE_MIN));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

// `stopped` is sent once, to stop; an error means that the handle is gone, which means the same.

async fn empty_the_journal(archive: Arc<Archive>, schedule: Schedule, mut stopped: watch::Receiver<bool>) {
    let (mut received, mut seal) = (every(schedule.received), every(schedule.seal));
    let mut compact = every(schedule.compact);
    loop {
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            _ = received.tick() => report("recording what came", archive.record_received().await),
            _ = seal.tick() => report("sealing", archive.seal_due().await),
            _ = compact.tick() => report("compacting the journal", archive.compact_journal().await),
        }
    }
}

async fn complete_stores(archive: Arc<Archive>, schedule: Schedule, mut stopped: watch::Receiver<bool>) {
    let mut catch_up = every(schedule.catch_up);
    let completing = async {
        loop {
            catch_up.tick().await;
            report("bringing stores up to date", archive.catch_up_stores().await);
        }
    };
    // Given up in the middle, as a crash would: a store that does not answer must not hold up the end of the process.
    tokio::select! {
        biased;
        _ = stopped.changed() => {}
        () = completing => {}
    }
}

async fn tidy_packs(archive: Arc<Archive>, schedule: Schedule, mut stopped: watch::Receiver<bool>) {
    let (mut merge, mut delete) = (every(schedule.merge), every(schedule.delete));
    loop {
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            _ = merge.tick() => report("merging packs", archive.merge_due().await),
            _ = delete.tick() => report("deleting replaced packs", archive.delete_superseded().await),
        }
    }
}

fn report(job: &str, outcome: Result<(), ArchiveError>) {
    if let Err(error) = outcome {
        tracing::warn!(job, %error, "a job failed; it is tried again");
    }
}
