//! The worker: wakes each job at its time, one after the other, until it is told to stop. A job that fails says so and
//! is tried again at its next time; none of them can hold up receiving or reading. Looking for orphans may take hours, and
//! holds up none of the others either: it has a task of its own.

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
    tasks: [JoinHandle<()>; 2],
}

impl Worker {
    /// Starts the jobs of an archive.
    #[must_use]
    pub fn start(archive: Arc<Archive>, schedule: &Schedule) -> Self {
        let (stop, stopped) = watch::channel(false);
        let timers = Timers::new(schedule);
        let orphans = after_each(schedule.orphans);
        let tasks = [
            tokio::spawn(look_for_orphans(Arc::clone(&archive), orphans, stopped.clone())),
            tokio::spawn(run(archive, timers, stopped)),
        ];
        Self { stop, tasks }
    }

    /// Stops after the jobs under way.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "the worker ended badly");
            }
        }
    }
}

struct Timers {
    seal: Interval,
    received: Interval,
    compact: Interval,
    catch_up: Interval,
    merge: Interval,
    delete: Interval,
}

impl Timers {
    fn new(schedule: &Schedule) -> Self {
        Self {
            seal: every(schedule.seal),
            received: every(schedule.received),
            compact: every(schedule.compact),
            catch_up: every(schedule.catch_up),
            merge: every(schedule.merge),
            delete: every(schedule.delete),
        }
    }
}

fn every(pause: Duration) -> Interval {
    let mut interval = tokio::time::interval(pause.max(PAUSE_MIN));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// As [`every`], but not at once.
fn after_each(pause: Duration) -> Interval {
    let mut interval = every(pause);
    interval.reset();
    interval
}

async fn look_for_orphans(archive: Arc<Archive>, mut timer: Interval, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            _ = timer.tick() => report("looking for orphans", archive.delete_orphans().await),
        }
    }
}

async fn run(archive: Arc<Archive>, mut timers: Timers, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            biased;
            // Sent once, to stop; an error means that the handle is gone, which means the same.
            _ = stopped.changed() => return,
            _ = timers.received.tick() => report("recording what came", archive.record_received().await),
            _ = timers.seal.tick() => report("sealing", archive.seal_due().await),
            _ = timers.compact.tick() => report("compacting the journal", archive.compact_journal().await),
            _ = timers.catch_up.tick() => report("bringing stores up to date", archive.catch_up_stores().await),
            _ = timers.merge.tick() => report("merging packs", archive.merge_due().await),
            _ = timers.delete.tick() => report("deleting replaced packs", archive.delete_superseded().await),
        }
    }
}

fn report(job: &str, outcome: Result<(), ArchiveError>) {
    if let Err(error) = outcome {
        tracing::warn!(job, %error, "a job failed; it is tried again");
    }
}
