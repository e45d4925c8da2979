//! Promises of the ledger as a whole, over stores that fail in every way that stores fail.

mod bundles;
mod crashes;
mod damage;
mod epochs;
mod faults;
mod golden;
mod opening;
mod writing;

use std::sync::Arc;

use bytes::Bytes;

use super::entry::EntryBody;
use super::*;
use crate::clock::ManualClock;
use crate::entropy::SeededEntropy;
use crate::identifiers::{ArchiveId, Sha256Digest, StoreId};
use crate::store::{MemoryStore, SharedStore, Store as _, StoreKey};
use crate::testing::{Effect, FaultStore, Machine, StoreFault};

/// An archive with a home, a required store and a lagging one, and a machine that may be started again.
pub(super) struct World {
    pub(super) home: Arc<FaultStore>,
    pub(super) required: Arc<FaultStore>,
    pub(super) lagging: Arc<FaultStore>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) machine: Arc<Machine>,
    pub(super) remembered: Option<Head>,
    starts: u64,
}

pub(super) fn archive() -> ArchiveId {
    ArchiveId::parse("00112233445566778899aabbccddeeff").unwrap()
}

pub(super) fn store_id(digit: char) -> StoreId {
    StoreId::parse(&digit.to_string().repeat(32)).unwrap()
}

/// An entry that can be told from all others.
pub(super) fn job(number: u64) -> EntryBody {
    EntryBody::JobStarted { job: Word::parse("test").unwrap(), id: Sha256Digest::of(&number.to_be_bytes()) }
}

impl World {
    pub(super) fn new() -> Self {
        let machine = Machine::new();
        let store = |name| FaultStore::of(name, machine.clone(), None);
        Self {
            home: store("home"),
            required: store("required"),
            lagging: store("lagging"),
            clock: ManualClock::new(),
            remembered: None,
            starts: 0,
            machine,
        }
    }

    pub(super) fn opening(&mut self) -> Opening {
        self.starts += 1;
        let member = |digit, store: &Arc<FaultStore>| Member { id: store_id(digit), store: store.clone() };
        Opening {
            archive: archive(),
            stores: LedgerStores {
                home: member('1', &self.home),
                required: vec![member('2', &self.required)],
                lagging: vec![member('3', &self.lagging)],
            },
            remembered: self.remembered,
            clock: self.clock.clone(),
            entropy: SeededEntropy::from_seed(self.starts),
            options: OpenOptions {
                batch_window: std::time::Duration::ZERO,
                when_empty: WhenEmpty::CreateArchive,
                checked: None,
                program: Word::parse("vellum-0.1.0").unwrap(),
            },
        }
    }

    /// Starts the machine and remembers the head.
    pub(super) async fn open(&mut self) -> Result<Ledger, LedgerError> {
        let opened = Ledger::open(self.opening()).await?;
        self.remembered = Some(opened.head);
        Ok(opened.ledger)
    }

    /// A ledger with some appends of one entry each.
    pub(super) async fn with_appends(count: u64) -> (Self, Ledger) {
        let mut world = Self::new();
        let ledger = world.open().await.unwrap();
        for number in 0..count {
            let appended = ledger.append(vec![job(number)]).await.unwrap();
            world.remembered = Some(appended.standing.head);
        }
        (world, ledger)
    }
}

/// All lines of a store's ledger, checked on the way.
pub(super) async fn lines(store: &Arc<FaultStore>) -> Result<Vec<String>, LedgerError> {
    let store: SharedStore = store.inner().clone();
    let end = match find_end(&*store).await? {
        LedgerState::Empty => return Ok(Vec::new()),
        LedgerState::Damaged(damage) => return Err(LedgerError::damaged(&*store, damage)),
        LedgerState::EndsAt(end) => end,
    };
    let mut entries = Entries::begin(store, archive(), Filter::default(), end).await?;
    let mut lines = Vec::new();
    while let Some(entry) = entries.next().await? {
        lines.push(entry.line);
    }
    Ok(lines)
}

pub(super) async fn verify_store(store: &Arc<FaultStore>, remembered: Option<Head>) -> Report {
    verify(store.inner().clone(), archive(), remembered).await.unwrap()
}
