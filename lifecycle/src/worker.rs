//! The worker: wakes each job at its time, until it is told to stop. A job that fails says so and is tried again at its
//! next time; none of them can hold up receiving or reading.
//!
//! Jobs that wait for different things run beside each other, those of one group one after the other. What keeps
//! receiving possible (sealing empties the journal) must never wait for a store that lags, which may take days to be
//! filled, or may not answer at all; nor for the search for orphans, which may read for hours.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use archive_core::archive::{Archive, ArchiveError, JobTrouble};
use futures::FutureExt as _;
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
    groups: [JoinHandle<()>; 4],
}

impl Worker {
    /// Starts the jobs of an archive.
    #[must_use]
    pub fn start(archive: Arc<Archive>, schedule: &Schedule) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (a, s) = (&archive, schedule);
        let groups = [
            tokio::spawn(empty_the_journal(Arc::clone(a), s.clone(), stopped.clone())),
            tokio::spawn(complete_stores(Arc::clone(a), s.clone(), stopped.clone())),
            tokio::spawn(tidy_packs(Arc::clone(a), s.clone(), stopped.clone())),
            tokio::spawn(look_for_orphans(Arc::clone(a), s.clone(), stopped)),
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

/// As [`every`], but not at once.
fn after_each(pause: Duration) -> Interval {
    let mut interval = every(pause);
    interval.reset();
    interval
}

// `stopped` is sent once, to stop; an error means that the handle is gone, which means the same.

async fn empty_the_journal(archive: Arc<Archive>, schedule: Schedule, mut stopped: watch::Receiver<bool>) {
    let (mut received, mut seal) = (every(schedule.received), every(schedule.seal));
    let mut compact = every(schedule.compact);
    let trouble = archive.job_trouble();
    loop {
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            _ = received.tick() => run_job(trouble, "recording what came", archive.record_received()).await,
            _ = seal.tick() => run_job(trouble, "sealing", archive.seal_due()).await,
            _ = compact.tick() => run_job(trouble, "compacting the journal", archive.compact_journal()).await,
        }
    }
}

async fn complete_stores(archive: Arc<Archive>, schedule: Schedule, mut stopped: watch::Receiver<bool>) {
    let mut catch_up = every(schedule.catch_up);
    let trouble = archive.job_trouble();
    let completing = async {
        loop {
            catch_up.tick().await;
            run_job(trouble, "bringing stores up to date", archive.catch_up_stores()).await;
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
    let (mut take_in, mut merge) = (every(schedule.take_in), every(schedule.merge));
    let mut delete = every(schedule.delete);
    let trouble = archive.job_trouble();
    loop {
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            _ = take_in.tick() => run_job(trouble, "taking in repaired packs", archive.take_in_repaired()).await,
            _ = merge.tick() => run_job(trouble, "merging packs", archive.merge_due()).await,
            _ = delete.tick() => run_job(trouble, "deleting replaced packs", archive.delete_superseded()).await,
        }
    }
}

async fn look_for_orphans(archive: Arc<Archive>, schedule: Schedule, mut stopped: watch::Receiver<bool>) {
    let mut orphans = after_each(schedule.orphans);
    let trouble = archive.job_trouble();
    loop {
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            _ = orphans.tick() => run_job(trouble, "looking for orphans", archive.delete_orphans()).await,
        }
    }
}

/// Runs one job. A panic in it is a defect, and must end neither the worker nor the other jobs: what a job shares with
/// others lies behind locks that a panic leaves usable. What it panicked with may hold anything, and is not repeated here;
/// the process's panic hook has said where it was.
async fn run_job(trouble: &JobTrouble, job: &'static str, work: impl Future<Output = Result<(), ArchiveError>>) {
    let why = match AssertUnwindSafe(work).catch_unwind().await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => {
            tracing::warn!(job, %error, "a job failed; it is tried again");
            Some(error.to_string())
        }
        Err(_) => {
            metrics::counter!("vellum_job_panics_total", "job" => job).increment(1);
            tracing::error!(
                job,
                "a job panicked, which is a defect of the program; it is tried again at its next time"
            );
            Some("it panicked, which is a defect of the program: report it with the server's log".to_owned())
        }
    };
    trouble.ended(job, why);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_that_panics_is_told_and_the_next_one_runs() {
        let trouble = JobTrouble::default();
        run_job(&trouble, "sealing", async { panic!("on purpose") }).await;
        run_job(&trouble, "merging", async { Ok(()) }).await;
        assert_eq!(trouble.now().into_keys().collect::<Vec<_>>(), ["sealing"]);
        run_job(&trouble, "sealing", async { Ok(()) }).await;
        assert!(trouble.now().is_empty(), "it ended well since");
    }

    #[tokio::test]
    async fn a_job_that_fails_says_why_until_it_ends_well() {
        let trouble = JobTrouble::default();
        run_job(&trouble, "sealing", async { Err(ArchiveError::Busy("the store is away".to_owned())) }).await;
        assert_eq!(trouble.now().get("sealing").map(String::as_str), Some("the store is away"));
        run_job(&trouble, "sealing", async { Ok(()) }).await;
        assert!(trouble.now().is_empty());
    }
}
