//! The one writer of a ledger (promises I10, I13).
//!
//! A task owns the chain's end and takes appends from a bounded queue; what waits together shares a segment. A segment is
//! created in the home, then in every required store, and only then answered. The task, and with it every promise about
//! order, does not depend on who waits: a caller that goes away does not take its entries back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::batch::check_appendable;
use super::bundle;
use super::chain::{Chain, Head};
use super::commit::{NotCommitted, commit};
use super::entry::{EntryBody, StoreRole};
use super::error::LedgerError;
use super::followers::{Follower, InHand, Member, StoreLag};
use super::line::Recorded;
use super::line_of_epochs::EpochLine;
use super::name::{MAX_SEQUENCE, Position};
use super::segment::{FORMAT, Header, MAX_ENTRIES, Segment};
use super::vouched::Vouched;
use crate::clock::SharedClock;
use crate::identifiers::{ArchiveId, StoreId};

/// Appends that may wait in the queue; further callers wait for room.
const QUEUE: usize = 1024;

/// Where the ledger stands, and which stores have all of it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub struct Standing {
    /// The head, to be remembered beside the journal.
    pub head: Head,
    /// The stores that hold everything up to it, the home first.
    pub stores: Vec<StoreId>,
    /// The required stores that do not yet.
    pub missing: Vec<StoreId>,
}

/// Entries that are in the ledger's home for good.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "an entry counts only when no required store is missing"]
pub struct Appended {
    /// Index of the first entry.
    pub first: u64,
    /// Index of the last entry.
    pub last: u64,
    /// Where they are.
    pub standing: Standing,
}

impl Appended {
    /// Whether every required store has them: only then does `sealed` count, and only then may anything be deleted.
    #[must_use]
    pub fn is_in_all_required(&self) -> bool {
        self.standing.missing.is_empty()
    }
}

/// What a caller asks of the writer.
enum Command {
    Append { bodies: Vec<EntryBody>, bytes: usize, answer: oneshot::Sender<Result<Appended, LedgerError>> },
    Settle { answer: oneshot::Sender<Result<Standing, LedgerError>> },
}

/// The ledger, open for writing. Cheap to clone; the writer ends with the last of them.
#[derive(Clone)]
pub struct Ledger {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    vouched: Vouched,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("home", &self.shared.home.store.name()).field("head", &self.head()).finish()
    }
}

impl Ledger {
    pub(super) fn start(writer: Writer, shared: Arc<Shared>, window: Duration) -> Self {
        let (commands, queue) = mpsc::channel(QUEUE);
        let vouched = writer.vouched.clone();
        let service = Service { writer, queue, window, held: VecDeque::new() };
        tokio::spawn(service.run());
        Self { commands, shared, vouched }
    }

    /// Appends entries, all in one segment: all are recorded or none. Answers when they are in the home and every
    /// required store was tried; [`Standing::missing`] names those that could not be reached.
    ///
    /// # Errors
    /// [`LedgerError::Store`]: nothing was recorded, try again. [`LedgerError::Unsettled`]: they may be recorded, do not
    /// append them again but [`Ledger::settle`]. [`LedgerError::Fenced`]: the writer has stopped for good.
    pub async fn append(&self, bodies: Vec<EntryBody>) -> Result<Appended, LedgerError> {
        let bytes = check_appendable(&bodies)?;
        let (answer, answered) = oneshot::channel();
        let command = Command::Append { bodies, bytes, answer };
        self.commands.send(command).await.map_err(|_| LedgerError::Ended)?;
        answered.await.map_err(|_| LedgerError::Ended)?
    }

    /// Finishes what is open: a segment whose outcome is unknown, required stores that lack segments.
    ///
    /// # Errors
    /// As [`Ledger::append`].
    pub async fn settle(&self) -> Result<Standing, LedgerError> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(Command::Settle { answer }).await.map_err(|_| LedgerError::Ended)?;
        answered.await.map_err(|_| LedgerError::Ended)?
    }

    /// Brings the other stores up to the home and makes the bundles of full folders. To be called now and then; appends
    /// go on meanwhile.
    ///
    /// # Errors
    /// [`LedgerError::Fenced`], [`LedgerError::Forked`] or [`LedgerError::HomeBehind`] when a store shows that another
    /// machine took over; what is wrong with the home itself. What else goes wrong with a store is in its [`StoreLag`].
    pub async fn catch_up(&self) -> Result<Vec<StoreLag>, LedgerError> {
        let shared = &self.shared;
        if let Some(stopped) = self.stopped() {
            return Err(stopped);
        }
        let mut lags = Vec::new();
        for follower in &shared.followers {
            let mut error = follower.feed(&shared.home.store, || shared.line(), None).await.err();
            if let Some(error) = &error {
                shared.stop_if_fenced(error)?;
            }
            if let Some(reached) = follower.reached().filter(|_| error.is_none()) {
                error = bundle::complete(&follower.member.store, &shared.line(), reached).await.err();
            }
            lags.push(follower.lag(&shared.line(), error));
        }
        let line = shared.line();
        if let Some(reached) = line.end() {
            bundle::complete(&shared.home.store, &line, reached).await?;
        }
        Ok(lags)
    }

    /// Brings one store up to the home, whatever its role, and tells whether it then has everything up to a head.
    ///
    /// # Errors
    /// As [`Ledger::catch_up`], and the store's own: it is away, or damaged.
    pub async fn feed(&self, store: &StoreId, head: &Head) -> Result<bool, LedgerError> {
        let shared = &self.shared;
        if *store == shared.home.id {
            return Ok(true);
        }
        let Some(follower) = shared.followers.iter().find(|follower| follower.member.id == *store) else {
            return Ok(false);
        };
        if let Err(error) = follower.feed(&shared.home.store, || shared.line(), None).await {
            shared.stop_if_fenced(&error)?;
            return Err(error);
        }
        Ok(follower.holds(head.position()))
    }

    /// The last segment that a store is known to hold; `None` where that is not known yet.
    #[must_use]
    pub fn reached(&self, store: &StoreId) -> Option<Position> {
        if *store == self.shared.home.id {
            return self.head().map(|head| head.position());
        }
        self.shared.followers.iter().find(|follower| follower.member.id == *store)?.reached()
    }

    /// Trusted time now: what an entry appended at this moment would bear.
    #[must_use]
    pub fn vouched_now(&self) -> Timestamp {
        self.vouched.now()
    }

    /// How far the other stores are behind the home.
    #[must_use]
    pub fn lags(&self) -> Vec<StoreLag> {
        let state = self.shared.state();
        self.shared.followers.iter().map(|follower| follower.lag(&state.line, None)).collect()
    }

    /// The head of the home.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        self.shared.state().head
    }

    /// Why the writer has stopped for good, if it has.
    #[must_use]
    pub fn stopped(&self) -> Option<LedgerError> {
        self.shared.state().stopped
    }
}

/// What writer, feeders and askers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) home: Member,
    pub(super) followers: Vec<Follower>,
    /// Changed by the writer alone, except that whoever meets another writer's segment sets `stopped`. Held for an
    /// assignment or a copy, never while waiting.
    state: Mutex<State>,
}

#[derive(Clone, Debug)]
struct State {
    head: Option<Head>,
    line: EpochLine,
    stopped: Option<LedgerError>,
}

impl Shared {
    pub(super) fn new(home: Member, followers: Vec<Follower>, head: Option<Head>, line: EpochLine) -> Self {
        Self { home, followers, state: Mutex::new(State { head, line, stopped: None }) }
    }

    fn state(&self) -> State {
        self.state.lock().clone()
    }

    fn line(&self) -> EpochLine {
        self.state.lock().line.clone()
    }

    /// Another writer's segment stops this one for good.
    fn stop_if_fenced(&self, error: &LedgerError) -> Result<(), LedgerError> {
        if matches!(error, LedgerError::Fenced { .. } | LedgerError::Forked { .. } | LedgerError::HomeBehind { .. }) {
            self.state.lock().stopped.get_or_insert_with(|| error.clone());
            return Err(error.clone());
        }
        Ok(())
    }
}

/// A segment that may or may not be in the home: its bytes, and no others, are tried next.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    segment: Segment,
    bytes: Bytes,
}

/// The end of the chain, and how to go on.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) archive: ArchiveId,
    pub(super) nonce: String,
    pub(super) shared: Arc<Shared>,
    pub(super) chain: Chain,
    pub(super) pending: Option<Pending>,
    pub(super) vouched: Vouched,
    pub(super) clock: SharedClock,
}

impl Writer {
    /// Writes entries as one segment; gives the index of the first.
    pub(super) async fn write(&mut self, bodies: Vec<EntryBody>) -> Result<u64, LedgerError> {
        self.refuse_if_stopped()?;
        if let Err(error) = self.commit_pending().await {
            return Err(match error {
                LedgerError::Unsettled { source, .. } => LedgerError::Store(source),
                other => other,
            });
        }
        let pending = self.make(bodies)?;
        let first = pending.segment.header.first;
        self.pending = Some(pending);
        self.commit_pending().await?;
        Ok(first)
    }

    fn refuse_if_stopped(&self) -> Result<(), LedgerError> {
        self.shared.state.lock().stopped.clone().map_or(Ok(()), Err)
    }

    /// Makes the next segment.
    fn make(&self, bodies: Vec<EntryBody>) -> Result<Pending, LedgerError> {
        let first = self.chain.frontier().size();
        let position = self.chain.head().map_or(Position::GENESIS, |head| head.position().next());
        if position.sequence > MAX_SEQUENCE {
            return Err(LedgerError::Encoding("an epoch has no more than 10^10 segments".to_owned()));
        }
        let header = Header {
            format: FORMAT,
            archive: self.archive.clone(),
            epoch: position.epoch,
            sequence: position.sequence,
            writer: self.nonce.clone(),
            first,
            previous: self.chain.head().map(|head| head.sha256),
            frontier: self.chain.frontier().subtrees().to_vec(),
        };
        let record = |(n, body)| Recorded::of(self.entry(n, body));
        let entries: Result<Vec<Recorded>, _> = (first..).zip(bodies).map(record).collect();
        let entries = entries.map_err(|error| LedgerError::Encoding(error.to_string()))?;
        let (segment, bytes) = Segment::encode(header, entries).map_err(LedgerError::Encoding)?;
        Ok(Pending { segment, bytes })
    }

    /// Puts the pending segment into the home, then into the required stores. Without one, does nothing.
    ///
    /// A crash before the home has it leaves nothing or a segment that the next start finds; a crash after leaves
    /// required stores behind, which the next start feeds.
    async fn commit_pending(&mut self) -> Result<(), LedgerError> {
        let Some(pending) = &self.pending else { return Ok(()) };
        let (position, bytes) = (pending.segment.position, pending.bytes.clone());
        match commit(&*self.shared.home.store, position, &bytes).await {
            Ok(()) => {}
            Err(NotCommitted::Open(source)) => {
                let (first, size) = (pending.segment.header.first, pending.segment.tree().size);
                return Err(LedgerError::Unsettled { first, last: size.saturating_sub(1), source });
            }
            Err(NotCommitted::Lost(error)) => {
                self.shared.stop_if_fenced(&error)?;
                return Err(error);
            }
        }
        self.chain.take(&pending.segment);
        self.pending = None;
        {
            let mut state = self.shared.state.lock();
            state.head = self.chain.head();
            state.line.extend_to(position);
        }
        self.feed_required(Some(InHand { position, bytes })).await
    }

    /// Brings every required store up to the home, all at once. One that is away is left for later.
    async fn feed_required(&self, in_hand: Option<InHand>) -> Result<(), LedgerError> {
        let required = self.shared.followers.iter().filter(|follower| follower.role == StoreRole::Required);
        let feeds =
            required.map(|follower| follower.feed(&self.shared.home.store, || self.shared.line(), in_hand.as_ref()));
        for result in futures::future::join_all(feeds).await {
            if let Err(error) = result {
                self.shared.stop_if_fenced(&error)?;
                tracing::warn!(%error, "a required store does not have the newest ledger segment");
            }
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<Standing, LedgerError> {
        self.refuse_if_stopped()?;
        self.commit_pending().await?;
        self.feed_required(None).await?;
        self.standing()
    }

    fn standing(&self) -> Result<Standing, LedgerError> {
        let head = self.chain.head().ok_or(LedgerError::Ended)?;
        let (mut stores, mut missing) = (vec![self.shared.home.id.clone()], Vec::new());
        for follower in &self.shared.followers {
            let id = follower.member.id.clone();
            match follower.role {
                _ if follower.holds(head.position()) => stores.push(id),
                StoreRole::Required => missing.push(id),
                StoreRole::Home | StoreRole::Lagging => {}
            }
        }
        Ok(Standing { head, stores, missing })
    }
}

/// The task that owns the writer.
struct Service {
    writer: Writer,
    queue: mpsc::Receiver<Command>,
    window: Duration,
    /// A command that did not fit into the last batch.
    held: VecDeque<Command>,
}

/// One caller's share of a batch.
struct Share {
    bodies: Vec<EntryBody>,
    answer: oneshot::Sender<Result<Appended, LedgerError>>,
}

impl Service {
    async fn run(mut self) {
        while let Some(command) = self.next().await {
            match command {
                Command::Settle { answer } => {
                    let _ = answer.send(self.writer.settle().await); // Nobody waits any more: nothing to tell.
                }
                Command::Append { bodies, bytes, answer } => {
                    let batch = self.gather(Share { bodies, answer }, bytes).await;
                    self.append(batch).await;
                }
            }
        }
    }

    async fn next(&mut self) -> Option<Command> {
        match self.held.pop_front() {
            Some(held) => Some(held),
            None => self.queue.recv().await,
        }
    }

    /// Waits for others that may share the segment: for the window, or until it is full or something else is asked.
    async fn gather(&mut self, first: Share, bytes: usize) -> Vec<Share> {
        let mut batch = vec![first];
        let mut total = bytes;
        let deadline = tokio::time::sleep(self.window);
        tokio::pin!(deadline);
        loop {
            let next = tokio::select! {
                biased;
                next = self.queue.recv() => next,
                () = &mut deadline => return batch,
            };
            match next {
                Some(Command::Append { bodies, bytes, answer }) if total.saturating_add(bytes) <= MAX_ENTRIES => {
                    total = total.saturating_add(bytes);
                    batch.push(Share { bodies, answer });
                }
                Some(other) => {
                    self.held.push_back(other);
                    return batch;
                }
                None => return batch,
            }
        }
    }

    async fn append(&mut self, batch: Vec<Share>) {
        let bodies = batch.iter().flat_map(|share| share.bodies.iter().cloned()).collect();
        let written = self.writer.write(bodies).await;
        let mut offset = 0;
        for Share { bodies, answer } in batch {
            let count = bodies.len() as u64;
            let result = match &written {
                Ok(first) => self.writer.standing().map(|standing| Appended {
                    first: first + offset,
                    last: first + offset + count - 1,
                    standing,
                }),
                Err(LedgerError::Unsettled { first, source, .. }) => Err(LedgerError::Unsettled {
                    first: first + offset,
                    last: first + offset + count - 1,
                    source: source.clone(),
                }),
                Err(error) => Err(error.clone()),
            };
            offset += count;
            let _ = answer.send(result); // A caller that went away does not take its entries back.
        }
    }
}
