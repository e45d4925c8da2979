//! A small archive for tests: stores in memory that can fail, a clock that stands still, tiny data sets.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt as _;
use jiff::Timestamp;
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::archive::{
    Archive, ArchiveError, ArchiveOptions, Incoming, Input, JournalLimits, MergeOptions, OpenError, Parts, Received,
    SealOptions, Selection, StoreSpec,
};
use crate::caller::{Caller, Door, SourceKey};
use crate::clock::{Clock as _, ManualClock};
use crate::entropy::SystemEntropy;
use crate::identifiers::{Sha256Digest, StudyUid, TransferSyntaxUid};
use crate::ledger::entry::StoreRole;
use crate::query::{Query, QueryLevel};
use crate::receipt::Resolved;
use crate::store::gate::{DeleteOutcome, DeletingStore, Permit};
use crate::store::{
    ConditionalStore, Created, MemoryStore, OpenPlace, ProbeKey, Store, StoreError, StoreKey, StoredObject,
};

pub(super) const STUDY: &str = "1.2.826.0.1.7.1";

/// A store in memory that can be away, and can answer failures.
#[derive(Debug)]
pub(super) struct Flaky {
    pub(super) inner: Arc<MemoryStore>,
    away: AtomicBool,
    /// Calls left before it goes away; negative for ever.
    left: AtomicI64,
    faults: Mutex<Vec<(Op, String)>>,
    armed: AtomicBool,
    pub(super) created: Mutex<Vec<StoreKey>>,
    clock: Arc<ManualClock>,
    written: Mutex<HashMap<StoreKey, Timestamp>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Op {
    Create,
    /// Creates, and answers that it failed.
    LoseAnswer,
    Read,
}

impl Flaky {
    pub(super) fn named(name: &str, clock: &Arc<ManualClock>) -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStore::named(name),
            away: AtomicBool::new(false),
            left: AtomicI64::new(i64::MAX),
            faults: Mutex::default(),
            armed: AtomicBool::new(false),
            created: Mutex::default(),
            clock: Arc::clone(clock),
            written: Mutex::default(),
        })
    }

    pub(super) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
        self.left.store(i64::MAX, Ordering::SeqCst);
        self.faults.lock().clear();
    }

    /// Away after so many more calls.
    pub(super) fn away_after(&self, calls: i64) {
        self.left.store(calls, Ordering::SeqCst);
    }

    /// The next call of that kind on a name that begins so fails.
    pub(super) fn fail(&self, op: Op, prefix: &str) {
        self.faults.lock().push((op, prefix.to_owned()));
    }

    fn unavailable(&self, doing: &'static str, key: &StoreKey) -> StoreError {
        StoreError::unavailable(self.inner.name(), doing, key, "a fault of the test")
    }

    fn check(&self, op: Op, key: &StoreKey) -> Result<(), StoreError> {
        let fault = {
            let mut faults = self.faults.lock();
            let at = faults.iter().position(|(of, prefix)| *of == op && key.as_str().starts_with(prefix.as_str()));
            at.map(|at| faults.remove(at))
        };
        if fault.is_some() || self.away.load(Ordering::SeqCst) || self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(self.unavailable("calling", key));
        }
        Ok(())
    }

    fn lost(&self, key: &StoreKey) -> Result<(), StoreError> {
        let mut faults = self.faults.lock();
        match faults.iter().position(|(of, prefix)| *of == Op::LoseAnswer && key.as_str().starts_with(prefix.as_str()))
        {
            Some(at) => {
                faults.remove(at);
                Err(self.unavailable("creating", key))
            }
            None => Ok(()),
        }
    }

    /// After the next ledger segment was created, the next read of a pack fails.
    pub(super) fn fail_after_create(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    fn created(&self, key: &StoreKey) {
        self.created.lock().push(key.clone());
        self.written.lock().entry(key.clone()).or_insert_with(|| self.clock.now());
        if key.as_str().starts_with("ledger/") && self.armed.swap(false, Ordering::SeqCst) {
            self.fail(Op::Read, "studies/");
        }
    }

    /// Names of packs that lie here.
    pub(super) async fn packs(&self) -> Vec<StoreKey> {
        let found = self.inner.list(&StoreKey::parse("studies").unwrap(), None, 10_000).await.unwrap();
        found.into_iter().map(|object| object.key).collect()
    }
}

#[async_trait]
impl Store for Flaky {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn create(&self, key: &StoreKey, bytes: Bytes) -> Result<Created, StoreError> {
        self.check(Op::Create, key)?;
        let created = self.inner.create(key, bytes).await?;
        self.created(key);
        self.lost(key).map(|()| created)
    }

    async fn create_from_file(
        &self,
        key: &StoreKey,
        file: &Path,
        size: u64,
        sha256: Sha256Digest,
    ) -> Result<Created, StoreError> {
        self.check(Op::Create, key)?;
        let created = self.inner.create_from_file(key, file, size, sha256).await?;
        self.created(key);
        self.lost(key).map(|()| created)
    }

    async fn read(&self, key: &StoreKey) -> Result<Bytes, StoreError> {
        self.check(Op::Read, key)?;
        self.inner.read(key).await
    }

    async fn read_range(&self, key: &StoreKey, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.check(Op::Read, key)?;
        self.inner.read_range(key, range).await
    }

    async fn size(&self, key: &StoreKey) -> Result<Option<u64>, StoreError> {
        self.check(Op::Read, key)?;
        self.inner.size(key).await
    }

    async fn list(
        &self,
        folder: &StoreKey,
        after: Option<&StoreKey>,
        limit: usize,
    ) -> Result<Vec<StoredObject>, StoreError> {
        self.check(Op::Read, folder)?;
        let mut found = self.inner.list(folder, after, limit).await?;
        let written = self.written.lock();
        for object in &mut found {
            // What a test put there by other ways is as old as can be.
            object.modified = written.get(&object.key).copied().unwrap_or(object.modified);
        }
        Ok(found)
    }
}

#[async_trait]
impl ConditionalStore for Flaky {
    async fn put_if_absent(&self, key: &ProbeKey, bytes: Bytes) -> Result<bool, StoreError> {
        self.inner.put_if_absent(key, bytes).await
    }

    async fn remove_probe(&self, key: &ProbeKey) -> Result<(), StoreError> {
        self.inner.remove_probe(key).await
    }
}

#[async_trait]
impl DeletingStore for Flaky {
    async fn delete(&self, permit: Permit) -> DeleteOutcome {
        self.inner.delete(permit).await
    }
}

/// Data folder, stores and clock; they outlive the archives that are opened on them.
pub(super) struct House {
    pub(super) data: TempDir,
    pub(super) home: Arc<Flaky>,
    pub(super) others: Vec<(Arc<Flaky>, StoreRole)>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) packs_min: usize,
    pub(super) grace: Duration,
    pub(super) segment_bytes: u64,
}

impl House {
    pub(super) fn new() -> Self {
        let clock = ManualClock::new();
        Self {
            data: TempDir::new().unwrap(),
            home: Flaky::named("home", &clock),
            others: Vec::new(),
            clock,
            packs_min: 2,
            grace: Duration::from_secs(10),
            segment_bytes: 8 * 1024 * 1024,
        }
    }

    pub(super) fn with(role: StoreRole) -> Self {
        let mut house = Self::new();
        house.others.push((Flaky::named("second", &house.clock), role));
        house
    }

    pub(super) fn second(&self) -> &Arc<Flaky> {
        &self.others[0].0
    }

    fn options(&self, data: &Path) -> ArchiveOptions {
        ArchiveOptions {
            data: data.to_owned(),
            program: "0.1.0".to_owned(),
            journal: JournalLimits {
                mirror: None,
                inline_bytes: 64 * 1024,
                memory_bytes: 16 * 1024 * 1024,
                segment_bytes: self.segment_bytes,
                spare_segments: 0,
                cap_bytes: 64 * 1024 * 1024,
                reserve_bytes: 0,
                compact_after: Duration::from_secs(3600),
                allow_volatile: true,
            },
            overlay_bytes: 64 * 1024 * 1024,
            overlay_receipts: 10_000,
            catalog_cache_bytes: 8 * 1024 * 1024,
            pack_cache_bytes: 8 * 1024 * 1024,
            read_ahead_bytes: 1024 * 1024,
            resolved: Resolved::default(),
            seal: SealOptions {
                quiet: Duration::from_secs(60),
                max_age: Duration::from_secs(3600),
                pack_target: 64 * 1024 * 1024,
                zstd_level: 1,
                attempts: 3,
            },
            merge: MergeOptions { packs_min: self.packs_min, quiet: Duration::ZERO, zstd_level: 1 },
            gate_grace: self.grace,
        }
    }

    pub(super) async fn try_open(&self, data: &Path) -> Result<Arc<Archive>, OpenError> {
        let archive = self.open_while_rebuilding(data).await?;
        archive.rebuilt().await;
        Ok(archive)
    }

    pub(super) async fn open_while_rebuilding(&self, data: &Path) -> Result<Arc<Archive>, OpenError> {
        let spec = |store: &Arc<Flaky>, role, home| {
            let place = Arc::new(OpenPlace::of(store.clone()));
            StoreSpec { place, role, home, create: false }
        };
        let home = spec(&self.home, StoreRole::Home, true);
        let others = self.others.iter().map(|(store, role)| spec(store, *role, false));
        let parts = Parts {
            clock: self.clock.clone(),
            entropy: SystemEntropy::shared(),
            stores: std::iter::once(home).chain(others).collect(),
        };
        Archive::open(self.options(data), parts).await
    }

    pub(super) async fn open(&self) -> Arc<Archive> {
        // The last task of the one before may still be about to let go of the folder.
        loop {
            match self.try_open(self.data.path()).await {
                Err(OpenError::InUse(_)) => tokio::task::yield_now().await,
                opened => return opened.unwrap(),
            }
        }
    }

    /// The archive as its successor finds it that starts from what is on disk at this moment: the old one is not
    /// closed, and nothing that it does afterwards counts.
    pub(super) async fn crash(&mut self, old: Arc<Archive>) -> Arc<Archive> {
        let copy = TempDir::new().unwrap();
        copy_folder(self.data.path(), copy.path());
        drop(old);
        self.data = copy;
        self.open().await
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

fn element(group: u16, number: u16, vr: &str, value: &str) -> Vec<u8> {
    let mut value = value.as_bytes().to_vec();
    if value.len() % 2 == 1 {
        value.push(if vr == "UI" { 0 } else { b' ' });
    }
    let mut bytes = [group.to_le_bytes(), number.to_le_bytes()].concat();
    bytes.extend_from_slice(vr.as_bytes());
    bytes.extend_from_slice(&u16::try_from(value.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(&value);
    bytes
}

/// A data set in Explicit VR Little Endian: instance `n` of a study, with some text that makes its content differ.
pub(super) fn data_set(study: &str, n: u32, text: &str) -> Bytes {
    let elements = [
        element(0x0008, 0x0016, "UI", "1.2.840.10008.5.1.4.1.1.7"),
        element(0x0008, 0x0018, "UI", &format!("{study}.1.{n}")),
        element(0x0008, 0x0060, "CS", "OT"),
        element(0x0010, 0x0010, "PN", "Test^Patient"),
        element(0x0010, 0x0020, "LO", "ID-1"),
        element(0x0020, 0x000D, "UI", study),
        element(0x0020, 0x000E, "UI", &format!("{study}.1")),
        element(0x0020, 0x0013, "IS", &n.to_string()),
        element(0x0020, 0x4000, "LT", text),
    ];
    elements.concat().into()
}

pub(super) fn explicit_little() -> TransferSyntaxUid {
    TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap()
}

/// Sends a data set as a C-STORE would.
pub(super) async fn send(archive: &Arc<Archive>, source: &str, bytes: Bytes) -> Result<Received, ArchiveError> {
    let incoming = Incoming {
        door: Door::CStore,
        source: SourceKey::new(source),
        form: Input::DataSet(explicit_little()),
        local_ae: None,
        expected_sop: None,
        expected_class: None,
        expected_study: None,
    };
    let mut receiving = archive.receive(&Caller::local(), incoming).await?;
    receiving.write(bytes).await?;
    receiving.finish().await
}

/// Closes an archive and takes its catalog away.
pub(super) async fn close_without_catalog(house: &House, archive: Arc<Archive>) {
    archive.close().await;
    drop(archive);
    std::fs::remove_dir_all(house.data.path().join("catalog")).unwrap();
}

/// Every content of every version of a study, sorted.
pub(super) async fn contents(archive: &Arc<Archive>, study: &str) -> Result<Vec<Bytes>, ArchiveError> {
    let selection = Selection { study: StudyUid::parse(study).unwrap(), series: None, sop: None, all_versions: true };
    let (held, _) = archive.select(&Caller::local(), &selection, None).await?;
    let mut contents = Vec::new();
    for held in held {
        let open = archive.open_version(&Caller::local(), &held).await?;
        let chunks: Vec<Bytes> = open.content().try_collect().await?;
        contents.push(Bytes::from(chunks.concat()));
    }
    contents.sort();
    Ok(contents)
}

/// How many studies, series and instances a search finds.
pub(super) async fn found(archive: &Arc<Archive>) -> [usize; 3] {
    let mut counts = [0; 3];
    for (count, level) in counts.iter_mut().zip([QueryLevel::Study, QueryLevel::Series, QueryLevel::Instance]) {
        let page = archive.find(&Caller::local(), &Query::all(level)).await.unwrap();
        assert!(!page.incomplete, "nothing is being rebuilt");
        *count = page.records.len();
    }
    counts
}

/// Seals everything; what failed, for people.
pub(super) async fn seal(archive: &Arc<Archive>) -> Vec<String> {
    archive.seal(&Caller::local(), true).await.unwrap().failed
}
