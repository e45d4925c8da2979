//! Opening a ledger for writing: read it whole, compare all stores, refuse everything that cannot be explained.
//!
//! What is refused: a home that is empty, damaged, or older than this machine remembers; a store that knows more than
//! the home or tells another story; kinds that this program does not know; an epoch that is over. What is mended: a
//! required store that is merely behind.

use std::sync::Arc;
use std::time::Duration;

use super::chain::{Chain, Head};
use super::entry::{Entry, EntryBody, StoreEntry, StoreRole};
use super::error::LedgerError;
use super::fold::{Start, Walk, epoch_line};
use super::followers::{Follower, Member, StoreLag, check_remembered};
use super::head::{LedgerState, find_end};
use super::line_of_epochs::EpochLine;
use super::name::{FIRST_EPOCH, Position};
use super::segment::FORMAT;
use super::vouched::{Vouched, milliseconds};
use super::word::Word;
use super::writer::{Ledger, Shared, Writer};
use crate::clock::SharedClock;
use crate::entropy::SharedEntropy;
use crate::identifiers::{ArchiveId, StoreId};
use crate::store::SharedStore;

/// The longest time for which an append may wait for others.
pub const MAX_BATCH_WINDOW: Duration = Duration::from_millis(200);

/// The stores of an archive, by their part.
#[derive(Clone, Debug)]
pub struct LedgerStores {
    /// The ledger is appended there first.
    pub home: Member,
    /// Have every entry before it counts.
    pub required: Vec<Member>,
    /// Are fed by [`Ledger::catch_up`].
    pub lagging: Vec<Member>,
}

/// What to do where no store holds a ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WhenEmpty {
    /// Refuse: the store may be the wrong one, or one whose ledger was lost.
    #[default]
    Refuse,
    /// Begin a new archive.
    CreateArchive,
}

/// A head up to which this very program, knowing these very kinds, has read the home before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checked {
    /// The head.
    pub head: Head,
    /// The home that the ledger named up to there.
    pub home: StoreId,
}

/// How to open a ledger.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// How long an append waits for others to share its segment; at most [`MAX_BATCH_WINDOW`]. What comes while a
    /// segment is being written shares the next one in any case.
    pub batch_window: Duration,
    /// What to do where there is no ledger.
    pub when_empty: WhenEmpty,
    /// Read only what follows this head; `None` reads everything.
    pub checked: Option<Checked>,
    /// Name and version of the program, for the entry that opens an epoch.
    pub program: Word,
}

/// Everything that a ledger is opened with.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The archive that the stores must belong to.
    pub archive: ArchiveId,
    /// Its stores.
    pub stores: LedgerStores,
    /// The last head that this data folder remembers; `None` for a new data folder.
    pub remembered: Option<Head>,
    /// Time.
    pub clock: SharedClock,
    /// Randomness.
    pub entropy: SharedEntropy,
    /// The rest.
    pub options: OpenOptions,
}

/// A ledger opened, with what was found.
#[derive(Debug)]
#[must_use]
pub struct Opened {
    /// The writer.
    pub ledger: Ledger,
    /// Its head, to be remembered beside the journal.
    pub head: Head,
    /// How far the other stores are.
    pub lags: Vec<StoreLag>,
}

impl Ledger {
    /// Opens a ledger for writing. Must be called within a tokio runtime: the writer is a task of it.
    ///
    /// # Errors
    /// Whatever cannot be explained is refused, with what to do: see [`LedgerError`].
    pub async fn open(opening: Opening) -> Result<Opened, LedgerError> {
        let home = opening.stores.home.store.clone();
        let (chain, line) = match find_end(&*home).await? {
            LedgerState::Damaged(damage) => return Err(LedgerError::damaged(&*home, damage)),
            LedgerState::Empty => {
                refuse_unless_all_empty(&opening).await?;
                (Chain::genesis(opening.archive.clone()), EpochLine::default())
            }
            LedgerState::EndsAt(end) => read_home(&opening, end).await?,
        };
        let followers = followers(&opening.stores);
        let lags = compare_followers(&followers, &home, &line).await?;
        let is_new = chain.head().is_none();
        let now = milliseconds(opening.clock.now());
        let base = if is_new { now } else { chain.vouched() };
        let shared = Arc::new(Shared::new(opening.stores.home.clone(), followers, chain.head(), line));
        let writer = Writer {
            archive: opening.archive.clone(),
            nonce: opening.entropy.nonce().map_err(|error| LedgerError::Entropy(error.to_string()))?,
            shared: shared.clone(),
            chain,
            pending: None,
            vouched: Vouched::from(base, opening.clock.clone()),
            clock: opening.clock.clone(),
        };
        let writer = if is_new { begin_archive(writer, &opening).await? } else { writer };
        let head = writer.chain.head().ok_or(LedgerError::Ended)?;
        let ledger = Ledger::start(writer, shared, opening.options.batch_window.min(MAX_BATCH_WINDOW));
        let lags = if is_new { ledger.lags() } else { lags };
        Ok(Opened { ledger, head, lags })
    }
}

/// Nothing is begun where anything is: an empty home beside a store that holds a ledger is a home that lost its own.
async fn refuse_unless_all_empty(opening: &Opening) -> Result<(), LedgerError> {
    let home = opening.stores.home.store.name().to_owned();
    if let Some(head) = &opening.remembered {
        return Err(LedgerError::RolledBack { store: home, remembered: head.position() });
    }
    for member in opening.stores.required.iter().chain(&opening.stores.lagging) {
        if find_end(&*member.store).await? != LedgerState::Empty {
            return Err(LedgerError::HomeBehind { store: member.store.name().to_owned(), home });
        }
    }
    match opening.options.when_empty {
        WhenEmpty::CreateArchive => Ok(()),
        WhenEmpty::Refuse => Err(LedgerError::NoLedger { store: home }),
    }
}

/// Reads the home to its end, and checks that this machine may go on with it.
async fn read_home(opening: &Opening, end: Position) -> Result<(Chain, EpochLine), LedgerError> {
    let home = &opening.stores.home.store;
    let line = epoch_line(home, end).await?;
    if let Some(remembered) = &opening.remembered {
        check_remembered(home, &line, remembered).await?;
        if remembered.epoch < end.epoch {
            return Err(LedgerError::EpochOver { epoch: remembered.epoch });
        }
    }
    let start = opening.options.checked.as_ref().map_or(Start::Genesis, |checked| Start::After(checked.head));
    let mut walk = Walk::begin(home.clone(), opening.archive.clone(), start, end).await?;
    while walk.next().await?.is_some() {}
    let chain = walk.chain().ok_or(LedgerError::Ended)?.clone();
    if let Some(n) = chain.unknown() {
        return Err(LedgerError::UnknownKind { store: home.name().to_owned(), n });
    }
    let named = chain.home().or(opening.options.checked.as_ref().map(|checked| &checked.home));
    let given = &opening.stores.home.id;
    if let Some(named) = named.filter(|named| *named != given) {
        return Err(LedgerError::NotHome { given: given.clone(), named: named.clone() });
    }
    if chain.is_closed() {
        return Err(LedgerError::EpochOver { epoch: end.epoch });
    }
    Ok((chain, line))
}

fn followers(stores: &LedgerStores) -> Vec<Follower> {
    let required = stores.required.iter().map(|member| Follower::new(member.clone(), StoreRole::Required));
    let lagging = stores.lagging.iter().map(|member| Follower::new(member.clone(), StoreRole::Lagging));
    required.chain(lagging).collect()
}

/// Compares every store with the home, and brings the required ones up to it. A lagging store that is away or damaged
/// keeps nobody from writing; one that is longer or different does.
async fn compare_followers(
    followers: &[Follower],
    home: &SharedStore,
    line: &EpochLine,
) -> Result<Vec<StoreLag>, LedgerError> {
    let mut lags = Vec::new();
    for follower in followers {
        let result = match follower.role {
            StoreRole::Lagging => follower.compare(home, || line.clone()).await.map(|_| ()),
            StoreRole::Home | StoreRole::Required => follower.feed(home, || line.clone(), None).await,
        };
        let error = match result {
            Ok(()) => None,
            Err(error @ (LedgerError::Store(_) | LedgerError::Damaged { .. }))
                if follower.role == StoreRole::Lagging =>
            {
                tracing::warn!(store = follower.member.store.name(), %error, "a store is not compared with the home");
                Some(error)
            }
            Err(error) => return Err(error),
        };
        lags.push(follower.lag(line, error));
    }
    Ok(lags)
}

/// Writes the first segment of a new archive. The first vouched time is the system clock's: nothing was vouched before.
///
/// A crash here leaves no archive, or one with its first segment in the home: the next start goes on from there.
async fn begin_archive(mut writer: Writer, opening: &Opening) -> Result<Writer, LedgerError> {
    let created = EntryBody::ArchiveCreated {
        archive: opening.archive.clone(),
        format: FORMAT,
        stores: named_stores(&opening.stores),
    };
    let opened =
        EntryBody::EpochOpened { epoch: FIRST_EPOCH, continues: None, program: opening.options.program.clone() };
    writer.write(vec![created, opened]).await?;
    Ok(writer)
}

fn named_stores(stores: &LedgerStores) -> Vec<StoreEntry> {
    let named = |role| move |member: &Member| StoreEntry { store: member.id.clone(), role };
    let home = std::iter::once(&stores.home).map(named(StoreRole::Home));
    let required = stores.required.iter().map(named(StoreRole::Required));
    home.chain(required).chain(stores.lagging.iter().map(named(StoreRole::Lagging))).collect()
}

impl Writer {
    /// An entry that happens now.
    pub(super) fn entry(&self, n: u64, body: EntryBody) -> Entry {
        Entry { n, time: milliseconds(self.clock.now()), vouched: self.vouched.now(), body }
    }
}
