//! Promises of the ledger as a whole, over stores that fail in every way that stores fail.

mod bundles;
mod crashes;
mod damage;
mod epochs;
mod faults;
mod golden;
mod opening;
mod writing;

use std::collections::VecDeque;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::entry::EntryBody;
use super::*;
use crate::clock::ManualClock;
use crate::entropy::SeededEntropy;
use crate::identifiers::{ArchiveId, Sha256Digest, StoreId};
use crate::store::{Created, MemoryStore, SharedStore, Store, StoreError, StoreKey, StoredObject};

/// How one create-only write goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WriteFault {
    /// It does not.
    None,
    /// It is recorded, but the answer is lost.
    LostAnswer,
    /// Nothing happens now; the write lands when [`FaultStore::land`] is called.
    Late,
    /// Nothing happens, ever.
    Lost,
    /// It is delivered twice; the second answer is the one that is heard.
    Twice,
}

/// A store that fails as it is told.
#[derive(Debug)]
pub(super) struct FaultStore {
    pub(super) inner: Arc<MemoryStore>,
    plan: Mutex<VecDeque<WriteFault>>,
    late: Mutex<Vec<(StoreKey, Bytes)>>,
    failing_reads: AtomicUsize,
    /// Calls until the one in whose middle the process is killed; shared by the stores of a world.
    kill: Arc<Kill>,
}

/// The call at which everything stops.
#[derive(Debug, Default)]
pub(super) struct Kill {
    /// Calls left; 0 for never.
    pub(super) calls: AtomicUsize,
    /// Whether the fatal call takes effect before the process dies.
    pub(super) after_effect: std::sync::atomic::AtomicBool,
    pub(super) reached: Notify,
}

impl Kill {
    /// Whether this is the fatal call.
    fn strikes(&self) -> bool {
        self.calls.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) == Ok(1)
    }

    async fn die(&self) {
        self.reached.notify_one();
        std::future::pending::<()>().await;
    }
}

impl FaultStore {
    pub(super) fn over(inner: Arc<MemoryStore>, kill: Arc<Kill>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            plan: Mutex::default(),
            late: Mutex::default(),
            failing_reads: AtomicUsize::new(0),
            kill,
        })
    }

    pub(super) fn plan(&self, faults: impl IntoIterator<Item = WriteFault>) {
        self.plan.lock().extend(faults);
    }

    pub(super) fn forget_plan(&self) {
        self.plan.lock().clear();
        self.failing_reads.store(0, Ordering::SeqCst);
    }

    pub(super) fn fail_reads(&self, calls: usize) {
        self.failing_reads.store(calls, Ordering::SeqCst);
    }

    /// What was under way arrives.
    pub(super) async fn land(&self) {
        let late = std::mem::take(&mut *self.late.lock());
        for (key, bytes) in late {
            let _ = self.inner.create(&key, bytes).await;
        }
    }

    fn away(&self, doing: &'static str, key: &StoreKey) -> StoreError {
        StoreError::Unavailable {
            store: self.inner.name().to_owned(),
            doing,
            key: key.clone(),
            source: "told to".into(),
        }
    }

    async fn before_read(&self, key: &StoreKey) -> Result<(), StoreError> {
        if self.kill.strikes() {
            self.kill.die().await;
        }
        match self.failing_reads.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => Err(self.away("reading", key)),
            Err(_) => Ok(()),
        }
    }
}

#[async_trait]
impl Store for FaultStore {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn create(&self, key: &StoreKey, bytes: Bytes) -> Result<Created, StoreError> {
        if self.kill.strikes() {
            if self.kill.after_effect.load(Ordering::SeqCst) {
                let _ = self.inner.create(key, bytes).await;
            }
            self.kill.die().await;
            return Err(self.away("creating", key));
        }
        let fault = self.plan.lock().pop_front().unwrap_or(WriteFault::None);
        match fault {
            WriteFault::None => self.inner.create(key, bytes).await,
            WriteFault::LostAnswer => {
                self.inner.create(key, bytes).await?;
                Err(self.away("creating", key))
            }
            WriteFault::Late => {
                self.late.lock().push((key.clone(), bytes));
                Err(self.away("creating", key))
            }
            WriteFault::Lost => Err(self.away("creating", key)),
            WriteFault::Twice => {
                self.inner.create(key, bytes.clone()).await?;
                self.inner.create(key, bytes).await
            }
        }
    }

    async fn create_from_file(
        &self,
        key: &StoreKey,
        file: &Path,
        size: u64,
        sha256: Sha256Digest,
    ) -> Result<Created, StoreError> {
        self.inner.create_from_file(key, file, size, sha256).await
    }

    async fn read(&self, key: &StoreKey) -> Result<Bytes, StoreError> {
        self.before_read(key).await?;
        self.inner.read(key).await
    }

    async fn read_range(&self, key: &StoreKey, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.before_read(key).await?;
        self.inner.read_range(key, range).await
    }

    async fn size(&self, key: &StoreKey) -> Result<Option<u64>, StoreError> {
        self.before_read(key).await?;
        self.inner.size(key).await
    }

    async fn list(
        &self,
        folder: &StoreKey,
        after: Option<&StoreKey>,
        limit: usize,
    ) -> Result<Vec<StoredObject>, StoreError> {
        self.before_read(folder).await?;
        self.inner.list(folder, after, limit).await
    }
}

/// An archive with a home, a required store and a lagging one, and a machine that may be started again.
pub(super) struct World {
    pub(super) home: Arc<FaultStore>,
    pub(super) required: Arc<FaultStore>,
    pub(super) lagging: Arc<FaultStore>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) kill: Arc<Kill>,
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
        let kill = Arc::new(Kill::default());
        let store = |name| FaultStore::over(MemoryStore::named(name), kill.clone());
        Self {
            home: store("home"),
            required: store("required"),
            lagging: store("lagging"),
            clock: ManualClock::new(),
            remembered: None,
            starts: 0,
            kill,
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
    let store: SharedStore = store.inner.clone();
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
    verify(store.inner.clone(), archive(), remembered).await.unwrap()
}
