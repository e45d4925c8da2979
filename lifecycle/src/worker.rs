//! The worker: wakes each job at its time, one after the other, until it is told to stop. A job that fails says so and
//! is tried again at its next time; none of them can hold up receiving or reading. Looking for orphans may take hours, and
//! holds up none of the others either: it has a task of its own.

use std::sync::Arc;
use std::time::Duration;

use archive_core::archive::{Archive, ArchiveError, JobTrouble};
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
    take_in: Interval,
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
            take_in: every(schedule.take_in),
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
    let trouble = archive.job_trouble();
    loop {
        tokio::select! {
            biased;
            _ = stopped.changed() => return,
            _ = timer.tick() => {
                let archive = Arc::clone(&archive);
                run_job(trouble, "looking for orphans", async move { archive.delete_orphans().await }).await;
            }
        }
    }
}

async fn run(archive: Arc<Archive>, mut timers: Timers, mut stopped: watch::Receiver<bool>) {
    let trouble = archive.job_trouble();
    let at = || Arc::clone(&archive);
    loop {
        tokio::select! {
            biased;
            // Sent once, to stop; an error means that the handle is gone, which means the same.
            _ = stopped.changed() => return,
            _ = timers.received.tick() => {
                let archive = at();
                run_job(trouble, "recording what came", async move { archive.record_received().await }).await;
            }
            _ = timers.seal.tick() => {
                let archive = at();
                run_job(trouble, "sealing", async move { archive.seal_due().await }).await;
            }
            _ = timers.compact.tick() => {
                let archive = at();
                run_job(trouble, "compacting the journal", async move { archive.compact_journal().await }).await;
            }
            _ = timers.catch_up.tick() => {
                let archive = at();
                run_job(trouble, "bringing stores up to date", async move { archive.catch_up_stores().await }).await;
            }
            _ = timers.take_in.tick() => {
                let archive = at();
                run_job(trouble, "taking in repaired packs", async move { archive.take_in_repaired().await }).await;
            }
            _ = timers.merge.tick() => {
                let archive = at();
                run_job(trouble, "merging packs", async move { archive.merge_due().await }).await;
            }
            _ = timers.delete.tick() => {
                let archive = at();
                run_job(trouble, "deleting replaced packs", async move { archive.delete_superseded().await }).await;
            }
        }
    }
}

/// Runs one job, in a task of its own: a panic in it is a defect, and must end neither the worker nor the other jobs. What
/// it panicked with may hold anything, and is not repeated here; the process's panic hook has said where it was.
async fn run_job(
    trouble: &JobTrouble,
    job: &'static str,
    work: impl Future<Output = Result<(), ArchiveError>> + Send + 'static,
) {
    let why = match tokio::spawn(work).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => {
            tracing::warn!(job, %error, "a job failed; it is tried again");
            Some(error.to_string())
        }
        // Cut off with the runtime.
        Err(ended) if !ended.is_panic() => return,
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
