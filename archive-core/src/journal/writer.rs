//! The writer, on a thread of its own: takes what queued while it last synced, makes it durable with one sync, answers all.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::appender::{AppendError, Appender, Group, Placed};
use super::entry::JournalEntry;
use super::error::JournalError;
use super::intake::{Pin, SpillGuard};
use super::record::RecordParts;
use super::state::{Live, Shared};
use crate::instance::{HeldReceipt, VersionFacts, VersionKey};

/// Requests that may wait for the writer; each also holds memory of the budget.
pub(super) const QUEUE_LENGTH: usize = 1024;

/// What the thread is asked to do.
pub(super) enum Request {
    /// A new receipt.
    Append(Box<Append>),
    /// Live records are written again in the current segment.
    Move(Box<Move>),
    /// The segment takes no more, if it is the current one.
    Retire(u64),
    /// Ends the thread, after what came before.
    End,
}

/// A new receipt on its way to the disk.
pub(super) struct Append {
    pub group: Group,
    pub facts: VersionFacts,
    /// The spill file, if it has one: deleted again unless it is committed.
    pub guard: Option<SpillGuard>,
    /// The content of another receipt that is pinned until this one pins it itself.
    pub pinned: Option<Pin>,
    pub permit: OwnedSemaphorePermit,
    pub answer: oneshot::Sender<Result<JournalEntry, JournalError>>,
}

/// Records that are written again, with the content they lean on.
pub(super) struct Move {
    pub group: Group,
    pub versions: Vec<VersionKey>,
    pub answer: oneshot::Sender<Result<(), JournalError>>,
}

/// The writer under way.
#[derive(Debug)]
pub(super) enum Running {
    /// On a thread of its own.
    Thread(std::thread::JoinHandle<()>),
    /// As a task of the one thread of a simulation.
    #[cfg(any(test, feature = "test-support"))]
    Task(tokio::task::JoinHandle<()>),
}

/// Starts the writer.
pub(super) fn start(shared: Arc<Shared>, appender: Appender, requests: mpsc::Receiver<Request>) -> io::Result<Running> {
    #[cfg(any(test, feature = "test-support"))]
    if crate::testing::in_place::is_on() {
        return Ok(Running::Task(tokio::spawn(run_in_place(shared, appender, requests))));
    }
    let named = std::thread::Builder::new().name("journal-writer".to_owned());
    named.spawn(move || run(&shared, appender, requests)).map(Running::Thread)
}

impl Running {
    /// Waits until the writer has ended.
    pub(super) async fn ended(self) {
        let ended_well = match self {
            Self::Thread(thread) => crate::off_runtime::blocking(move || thread.join().is_ok()).await.unwrap_or(false),
            #[cfg(any(test, feature = "test-support"))]
            Self::Task(task) => task.await.is_ok(),
        };
        if !ended_well {
            tracing::error!("the journal's writer ended by a defect");
        }
    }
}

/// Runs until it is told to end or nobody is left who could ask.
fn run(shared: &Shared, mut appender: Appender, mut requests: mpsc::Receiver<Request>) {
    let mut left_over = None;
    while let Some(first) = left_over.take().or_else(|| requests.blocking_recv()) {
        match serve(shared, &mut appender, first, &mut requests) {
            ControlFlow::Continue(other) => left_over = other,
            ControlFlow::Break(()) => break,
        }
    }
    end(shared, appender);
}

/// As [`run`], with pauses in which others queue.
#[cfg(any(test, feature = "test-support"))]
async fn run_in_place(shared: Arc<Shared>, mut appender: Appender, mut requests: mpsc::Receiver<Request>) {
    let mut left_over = None;
    loop {
        let first = match left_over.take() {
            Some(first) => first,
            None => match requests.recv().await {
                Some(first) => first,
                None => break,
            },
        };
        crate::testing::in_place::turn().await;
        match serve(&shared, &mut appender, first, &mut requests) {
            ControlFlow::Continue(other) => left_over = other,
            ControlFlow::Break(()) => break,
        }
    }
    end(&shared, appender);
}

/// Does what is asked, and what else waits and can be done with it; gives what comes next, if it was taken already.
fn serve(
    shared: &Shared,
    appender: &mut Appender,
    first: Request,
    requests: &mut mpsc::Receiver<Request>,
) -> ControlFlow<(), Option<Request>> {
    match first {
        Request::Append(append) => return ControlFlow::Continue(append_batch(shared, appender, append, requests)),
        Request::Move(request) => move_records(shared, appender, *request),
        Request::Retire(number) => appender.retire(shared, number),
        Request::End => return ControlFlow::Break(()),
    }
    ControlFlow::Continue(None)
}

fn end(shared: &Shared, appender: Appender) {
    appender.finish(shared);
    shared.spares.end();
    let _stopped = shared.stop("it was shut down");
}

/// Gathers what waits, up to the size of a batch; gives back the request that is of another kind.
fn append_batch(
    shared: &Shared,
    appender: &mut Appender,
    first: Box<Append>,
    requests: &mut mpsc::Receiver<Request>,
) -> Option<Request> {
    let mut bytes = first.group.bytes_estimate();
    let mut batch = Vec::new();
    let mut other = None;
    batch.extend(admit(shared, first, 0, 0));
    while bytes < shared.options.batch_bytes {
        match requests.try_recv() {
            Ok(Request::Append(append)) => {
                let before = bytes;
                bytes += append.group.bytes_estimate();
                batch.extend(admit(shared, append, before, batch.len() as u64));
            }
            Ok(request) => {
                other = Some(request);
                break;
            }
            Err(_) => break,
        }
    }
    if !batch.is_empty() {
        commit(shared, appender, batch);
    }
    other
}

/// Answers at once what cannot be accepted.
fn admit(shared: &Shared, append: Box<Append>, bytes: u64, receipts: u64) -> Option<Append> {
    match shared.admit(bytes + append.group.bytes_estimate(), receipts + 1) {
        Ok(()) => Some(*append),
        Err(error) => {
            refuse(*append, error);
            None
        }
    }
}

fn commit(shared: &Shared, appender: &mut Appender, batch: Vec<Append>) {
    let groups: Vec<&Group> = batch.iter().map(|append| &append.group).collect();
    match appender.append(shared, &groups) {
        Ok(placed) => accept(shared, batch, placed),
        Err(AppendError::Full(error)) => batch.into_iter().for_each(|append| refuse(append, error.clone())),
        Err(AppendError::Failed(reason)) => {
            let error = shared.stop(&reason);
            tracing::error!(%reason, "the journal has stopped receiving");
            for mut append in batch {
                // Its record may be on the disk: recovery, not we, decides about the file that it names.
                if let Some(guard) = &mut append.guard {
                    guard.keep();
                }
                refuse(append, error.clone());
            }
        }
    }
}

fn accept(shared: &Shared, batch: Vec<Append>, placed: Vec<Vec<Placed>>) {
    let mut removals = Vec::new();
    let mut answers = Vec::with_capacity(batch.len());
    let mut state = shared.state.lock();
    for (append, placed) in batch.into_iter().zip(placed) {
        let Append { group, facts, guard, pinned, permit, answer } = append;
        let (Some(record), Some(placed)) = (group.records.into_iter().next(), placed.into_iter().next()) else {
            continue;
        };
        let live = Live {
            version: facts.version.clone(),
            place: Arc::clone(&placed.place),
            commit: placed.commit,
            time: record.receipt.time,
        };
        state.set_live(placed.number, live, &mut removals);
        if let Some(key) = pinned.and_then(Pin::into_key) {
            state.unpin(&key, &mut removals);
        }
        if let Some(mut guard) = guard {
            guard.keep();
            shared.spilling.fetch_sub(guard.bytes(), Ordering::Relaxed);
            guard.counted_elsewhere();
        }
        answers.push((answer, entry(record, placed, facts), permit));
    }
    state.collect_all(&mut removals);
    drop(state);
    for (answer, entry, permit) in answers {
        drop(permit);
        // Whoever asked has gone: the entry is durable all the same, and the archive must learn of it.
        if let Err(Ok(entry)) = answer.send(Ok(entry)) {
            shared.state.lock().unclaimed.push(entry);
        }
    }
    shared.remove(removals);
}

fn entry(record: RecordParts, placed: Placed, facts: VersionFacts) -> JournalEntry {
    let mut receipt = record.receipt;
    receipt.number = placed.number;
    JournalEntry { held: HeldReceipt { receipt, prefix: record.prefix }, facts, shares: record.shares }
}

fn refuse(append: Append, error: JournalError) {
    let Append { guard, pinned, permit, answer, group, .. } = append;
    drop((group, permit, guard, pinned));
    // Whoever asked may have gone; then nobody needs the refusal.
    drop(answer.send(Err(error)));
}

/// Writes live records again. Those that were released meanwhile stay released.
fn move_records(shared: &Shared, appender: &mut Appender, request: Move) {
    let Move { group, versions, answer } = request;
    let stopped = shared.state.lock().stopped.clone();
    let outcome = match stopped {
        Some(reason) => Err(JournalError::Stopped { reason }),
        None => match appender.append(shared, &[&group]) {
            Ok(placed) => {
                moved(shared, &group, versions, placed.into_iter().flatten());
                Ok(())
            }
            Err(AppendError::Full(error)) => Err(error),
            Err(AppendError::Failed(reason)) => Err(shared.stop(&reason)),
        },
    };
    drop(answer.send(outcome));
}

fn moved(shared: &Shared, group: &Group, versions: Vec<VersionKey>, placed: impl Iterator<Item = Placed>) {
    let mut removals = Vec::new();
    let mut state = shared.state.lock();
    for ((placed, record), version) in placed.zip(&group.records).zip(versions) {
        if state.live.contains_key(&placed.number) {
            let live = Live { version, place: placed.place, commit: placed.commit, time: record.receipt.time };
            state.set_live(placed.number, live, &mut removals);
        }
    }
    state.collect_all(&mut removals);
    drop(state);
    shared.remove(removals);
}
