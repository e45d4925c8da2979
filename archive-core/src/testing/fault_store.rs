//! A store in memory that fails in every way that stores fail: once, by plan, or at random from a seed.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;

use super::in_place;
use super::machine::{Fate, Machine};
use crate::clock::SharedClock;
use crate::entropy::SharedEntropy;
use crate::identifiers::Sha256Digest;
use crate::store::gate::{DeleteOutcome, DeletingStore, Permit};
use crate::store::{ConditionalStore, Created, MemoryStore, ProbeKey, Store, StoreError, StoreKey, StoredObject};

/// A kind of call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Op {
    /// Creating an object.
    Create,
    /// Looking: reading an object or a range of it, asking for its size, listing.
    Read,
    /// Listing only.
    List,
    /// Deleting an object.
    Delete,
}

/// How a call goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreFault {
    /// It does not: lets one call pass before the next fault.
    None,
    /// Nothing happens, and the caller is told so much as that it failed.
    Refused,
    /// It takes effect, and the answer is lost.
    AnswerLost,
    /// Nothing happens, and the caller is told that it did.
    Lies,
    /// It fails, and takes effect when [`FaultStore::land`] is called.
    Late,
    /// It is delivered twice; the second answer is the one that is heard.
    Twice,
    /// What is read ends early.
    Truncated,
    /// One bit of what is read is another.
    Flipped,
    /// A listing does not show what was created last.
    Stale,
    /// It never ends.
    Hangs,
    /// It takes longer than a permit is valid.
    Slow,
}

/// So long takes a call that is [`StoreFault::Slow`].
const SLOW: Duration = Duration::from_secs(30);
/// So many objects a stale listing leaves out.
const STALE_OBJECTS: usize = 2;
/// Faults that a random one is drawn from.
const RANDOM: [StoreFault; 8] = [
    StoreFault::Refused,
    StoreFault::Refused,
    StoreFault::AnswerLost,
    StoreFault::Late,
    StoreFault::Twice,
    StoreFault::Truncated,
    StoreFault::Stale,
    StoreFault::Slow,
];

#[derive(Debug)]
struct Planned {
    op: Op,
    prefix: String,
    fault: StoreFault,
}

#[derive(Debug, Default)]
struct State {
    away: bool,
    /// Calls left before it goes away.
    left: Option<u64>,
    planned: VecDeque<Planned>,
    /// Seed, and of how many thousand calls one fails.
    random: Option<(SharedEntropy, u16)>,
    /// No fault of any kind, for who looks at what is there.
    suspended: bool,
    late: Vec<Arriving>,
    created: Vec<StoreKey>,
    written: BTreeMap<StoreKey, Timestamp>,
    /// After the next object of the first prefix was created, the next look at one of the second fails.
    armed: Option<(String, String)>,
}

#[derive(Debug)]
enum Arriving {
    Create(StoreKey, Bytes),
    Delete(StoreKey),
}

/// A store that fails as it is told.
#[derive(Debug)]
pub struct FaultStore {
    inner: Arc<MemoryStore>,
    machine: Arc<Machine>,
    clock: Option<SharedClock>,
    state: Mutex<State>,
}

impl FaultStore {
    /// An empty store that is used from a machine of its own.
    #[must_use]
    pub fn named(name: &str) -> Arc<Self> {
        Self::of(name, Machine::new(), None)
    }

    /// An empty store that is used from a machine. With a clock its objects have the time at which they were written;
    /// without, they are as old as can be.
    #[must_use]
    pub fn of(name: &str, machine: Arc<Machine>, clock: Option<SharedClock>) -> Arc<Self> {
        Arc::new(Self { inner: MemoryStore::named(name), machine, clock, state: Mutex::default() })
    }

    /// What is there, whatever the faults.
    #[must_use]
    pub const fn inner(&self) -> &Arc<MemoryStore> {
        &self.inner
    }

    /// Away, or back. Faults that were planned are forgotten.
    pub fn set_away(&self, away: bool) {
        let mut state = self.state.lock();
        state.away = away;
        state.left = None;
        state.planned.clear();
        state.armed = None;
    }

    /// Whether it is away.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.state.lock().away
    }

    /// Away after so many more calls.
    pub fn away_after(&self, calls: u64) {
        self.state.lock().left = Some(calls);
    }

    /// The next call of that kind on a name that begins so fails.
    pub fn fail(&self, op: Op, prefix: &str, fault: StoreFault) {
        self.state.lock().planned.push_back(Planned { op, prefix: prefix.to_owned(), fault });
    }

    /// The next creations end so, in this order.
    pub fn plan(&self, faults: impl IntoIterator<Item = StoreFault>) {
        for fault in faults {
            self.fail(Op::Create, "", fault);
        }
    }

    /// The next so many looks fail; zero takes back what is left of them.
    pub fn fail_reads(&self, calls: usize) {
        self.state.lock().planned.retain(|planned| planned.op != Op::Read);
        (0..calls).for_each(|_| self.fail(Op::Read, "", StoreFault::Refused));
    }

    /// Nothing fails any more by plan or at random.
    pub fn forget_faults(&self) {
        let mut state = self.state.lock();
        state.planned.clear();
        state.random = None;
        state.left = None;
        state.armed = None;
    }

    /// Of a thousand calls so many fail, which and how follows from the draws.
    pub fn fail_at_random(&self, draws: SharedEntropy, per_mille: u16) {
        self.state.lock().random = Some((draws, per_mille));
    }

    /// After the next object whose name begins with `created` was created, the next look at one whose name begins with
    /// `then` fails.
    pub fn fail_after_create(&self, created: &str, then: &str) {
        self.state.lock().armed = Some((created.to_owned(), then.to_owned()));
    }

    /// While suspended, it neither fails nor is away, whatever was planned.
    pub fn suspend_faults(&self, suspended: bool) {
        self.state.lock().suspended = suspended;
    }

    /// What was under way arrives.
    pub async fn land(&self) {
        let late = std::mem::take(&mut self.state.lock().late);
        for arriving in late {
            match arriving {
                // It may find others there by now.
                Arriving::Create(key, bytes) => drop(self.create_inside(&key, bytes).await),
                Arriving::Delete(key) => self.inner.lose(&key),
            }
        }
    }

    /// What was created, in order.
    #[must_use]
    pub fn created(&self) -> Vec<StoreKey> {
        self.state.lock().created.clone()
    }

    /// Names of packs that lie here.
    pub async fn packs(&self) -> Vec<StoreKey> {
        let found = self.inner.list(&StoreKey::parse("studies").unwrap(), None, usize::MAX).await.unwrap();
        found.into_iter().map(|object| object.key).collect()
    }

    /// Changes bits of one byte of an object; gives whether there was such a byte.
    pub async fn flip(&self, key: &StoreKey, at: usize, bits: u8) -> bool {
        let Ok(bytes) = self.inner.read(key).await else { return false };
        let mut bytes = bytes.to_vec();
        let Some(byte) = bytes.get_mut(at) else { return false };
        *byte ^= bits;
        self.inner.damage(key, bytes.into());
        true
    }

    fn unavailable(&self, doing: &'static str, key: &StoreKey) -> StoreError {
        StoreError::unavailable(self.inner.name(), doing, key, "a fault of the test")
    }

    /// Takes the next fault of a kind of call off the plan, or draws one.
    fn next_fault(&self, op: Op, key: &StoreKey) -> StoreFault {
        let mut state = self.state.lock();
        let is_meant = |planned: &Planned| {
            (planned.op == op || (planned.op == Op::Read && op == Op::List))
                && key.as_str().starts_with(&planned.prefix)
        };
        if let Some(at) = state.planned.iter().position(is_meant) {
            return state.planned.remove(at).map_or(StoreFault::None, |planned| planned.fault);
        }
        let Some((draws, per_mille)) = &state.random else { return StoreFault::None };
        let mut drawn = [0_u8; 3];
        draws.fill(&mut drawn).unwrap();
        let [a, b, which] = drawn;
        if u16::from_le_bytes([a, b]) % 1000 < *per_mille {
            RANDOM[usize::from(which) % RANDOM.len()]
        } else {
            StoreFault::None
        }
    }

    /// What every call begins with: may the machine make it, is the store there, does this one fail?
    async fn begin(&self, op: Op, doing: &'static str, key: &StoreKey) -> Result<Begun, StoreError> {
        let looked_at = Begun { fault: StoreFault::None, dies: false };
        if self.state.lock().suspended {
            return if self.machine.is_dead() { Machine::never().await } else { Ok(looked_at) };
        }
        let fate = self.machine.call(format_args!("store {}: {doing} {key}", self.inner.name()));
        match fate {
            Fate::Goes | Fate::GoesAndDies => {}
            Fate::Dies | Fate::Dead => return Machine::never().await,
        }
        let mut begun = Begun { fault: StoreFault::None, dies: fate == Fate::GoesAndDies };
        {
            let mut state = self.state.lock();
            if let Some(left) = &mut state.left {
                match left.checked_sub(1) {
                    Some(fewer) => *left = fewer,
                    None => state.away = true,
                }
            }
            if state.away {
                return Err(self.unavailable(doing, key));
            }
        }
        begun.fault = self.next_fault(op, key);
        match begun.fault {
            StoreFault::None => return Ok(begun),
            fault => self.machine.note(format_args!("fault: {fault:?}")),
        }
        match begun.fault {
            StoreFault::Hangs => Machine::never().await,
            // Inside blocking work nobody could let the time pass.
            StoreFault::Slow if !in_place::is_inside() => tokio::time::sleep(SLOW).await,
            StoreFault::Refused => return Err(self.unavailable(doing, key)),
            _ => {}
        }
        Ok(begun)
    }

    async fn create_inside(&self, key: &StoreKey, bytes: Bytes) -> Result<Created, StoreError> {
        let created = self.inner.create(key, bytes).await?;
        let mut state = self.state.lock();
        state.created.push(key.clone());
        if let Some(clock) = &self.clock {
            state.written.entry(key.clone()).or_insert_with(|| clock.now());
        }
        if let Some((_, then)) = state.armed.take_if(|(created, _)| key.as_str().starts_with(created.as_str())) {
            state.planned.push_back(Planned { op: Op::Read, prefix: then, fault: StoreFault::Refused });
        }
        Ok(created)
    }

    async fn read_so(&self, begun: Begun, key: &StoreKey, bytes: Bytes) -> Result<Bytes, StoreError> {
        begun.lives_on().await;
        Ok(match begun.fault {
            StoreFault::AnswerLost | StoreFault::Late => return Err(self.unavailable("reading", key)),
            StoreFault::Truncated => bytes.slice(..bytes.len() / 2),
            StoreFault::Flipped if !bytes.is_empty() => {
                let mut bytes = bytes.to_vec();
                let at = bytes.len() / 2;
                bytes[at] ^= 0x10;
                bytes.into()
            }
            _ => bytes,
        })
    }
}

/// A call that may be made.
#[derive(Clone, Copy)]
struct Begun {
    fault: StoreFault,
    dies: bool,
}

impl Begun {
    /// Whoever asked hears of the end only if the machine is alive.
    async fn lives_on(self) {
        if self.dies {
            Machine::never().await
        }
    }
}

#[async_trait]
impl Store for FaultStore {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn create(&self, key: &StoreKey, bytes: Bytes) -> Result<Created, StoreError> {
        let begun = self.begin(Op::Create, "creating", key).await?;
        if begun.fault == StoreFault::Late {
            self.state.lock().late.push(Arriving::Create(key.clone(), bytes));
            begun.lives_on().await;
            return Err(self.unavailable("creating", key));
        }
        if begun.fault == StoreFault::Lies {
            begun.lives_on().await;
            return Ok(Created::New);
        }
        let mut created = self.create_inside(key, bytes.clone()).await;
        if begun.fault == StoreFault::Twice {
            created = self.create_inside(key, bytes).await;
        }
        begun.lives_on().await;
        if begun.fault == StoreFault::AnswerLost {
            created?;
            return Err(self.unavailable("creating", key));
        }
        created
    }

    async fn create_from_file(
        &self,
        key: &StoreKey,
        file: &Path,
        size: u64,
        sha256: Sha256Digest,
    ) -> Result<Created, StoreError> {
        let scratch = |source| StoreError::Scratch { key: key.clone(), source };
        let bytes = std::fs::read(file).map_err(scratch)?;
        if bytes.len() as u64 != size || Sha256Digest::of(&bytes) != sha256 {
            return Err(scratch(std::io::Error::other("the file is not what was announced")));
        }
        self.create(key, bytes.into()).await
    }

    async fn read(&self, key: &StoreKey) -> Result<Bytes, StoreError> {
        let begun = self.begin(Op::Read, "reading", key).await?;
        let bytes = self.inner.read(key).await?;
        self.read_so(begun, key, bytes).await
    }

    async fn read_range(&self, key: &StoreKey, range: Range<u64>) -> Result<Bytes, StoreError> {
        let begun = self.begin(Op::Read, "reading a range of", key).await?;
        let bytes = self.inner.read_range(key, range).await?;
        self.read_so(begun, key, bytes).await
    }

    async fn size(&self, key: &StoreKey) -> Result<Option<u64>, StoreError> {
        let begun = self.begin(Op::Read, "asking for the size of", key).await?;
        let size = self.inner.size(key).await?;
        begun.lives_on().await;
        Ok(size)
    }

    async fn list(
        &self,
        folder: &StoreKey,
        after: Option<&StoreKey>,
        limit: usize,
    ) -> Result<Vec<StoredObject>, StoreError> {
        let begun = self.begin(Op::List, "listing", folder).await?;
        begun.lives_on().await;
        let mut found = self.inner.list(folder, after, limit).await?;
        let state = self.state.lock();
        if begun.fault == StoreFault::Stale {
            let latest: Vec<&StoreKey> = state.created.iter().rev().take(STALE_OBJECTS).collect();
            found.retain(|object| !latest.contains(&&object.key));
        }
        for object in &mut found {
            // What a test put there by other ways is as old as can be.
            object.modified = state.written.get(&object.key).copied().unwrap_or(object.modified);
        }
        Ok(found)
    }
}

#[async_trait]
impl ConditionalStore for FaultStore {
    async fn put_if_absent(&self, key: &ProbeKey, bytes: Bytes) -> Result<bool, StoreError> {
        self.inner.put_if_absent(key, bytes).await
    }

    async fn remove_probe(&self, key: &ProbeKey) -> Result<(), StoreError> {
        self.inner.remove_probe(key).await
    }
}

#[async_trait]
impl DeletingStore for FaultStore {
    async fn delete(&self, permit: Permit) -> DeleteOutcome {
        let key = permit.key().clone();
        let begun = match self.begin(Op::Delete, "deleting", &key).await {
            Ok(begun) => begun,
            Err(error) => return DeleteOutcome::Refused(error),
        };
        if begun.fault == StoreFault::Late {
            if let Ok(key) = permit.spend(self.inner.name()) {
                self.state.lock().late.push(Arriving::Delete(key));
            }
            begun.lives_on().await;
            return DeleteOutcome::Unknown(self.unavailable("deleting", &key));
        }
        let outcome = self.inner.delete(permit).await;
        begun.lives_on().await;
        match begun.fault {
            StoreFault::AnswerLost => DeleteOutcome::Unknown(self.unavailable("deleting", &key)),
            _ => outcome,
        }
    }
}
