//! A small archive for tests: stores in memory that can fail, a clock that stands still, tiny data sets.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use tempfile::TempDir;

use crate::archive::{
    Archive, ArchiveError, ArchiveOptions, CatalogPlace, Incoming, Input, OpenError, Parts, Received, Selection,
    StoreSpec,
};
use crate::caller::{Caller, Door, SourceKey};
use crate::clock::ManualClock;
use crate::entropy::SystemEntropy;
use crate::identifiers::StudyUid;
use crate::journal::RealDisk;
use crate::ledger::entry::StoreRole;
use crate::query::{Query, QueryLevel};
use crate::store::OpenPlace;
pub(super) use crate::testing::data_set::data_set;
use crate::testing::data_set::explicit_little;
pub(super) use crate::testing::{FaultStore, Op, StoreFault};
use crate::testing::{Machine, small};

pub(super) const STUDY: &str = "1.2.826.0.1.7.1";

/// Data folder, stores and clock; they outlive the archives that are opened on them.
pub(super) struct House {
    pub(super) data: TempDir,
    pub(super) home: Arc<FaultStore>,
    pub(super) others: Vec<(Arc<FaultStore>, StoreRole)>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) packs_min: usize,
    pub(super) grace: Duration,
    pub(super) segment_bytes: u64,
}

fn store(name: &str, clock: &Arc<ManualClock>) -> Arc<FaultStore> {
    FaultStore::of(name, Machine::new(), Some(clock.clone()))
}

impl House {
    pub(super) fn new() -> Self {
        let clock = ManualClock::new();
        Self {
            data: TempDir::new().unwrap(),
            home: store("home", &clock),
            others: Vec::new(),
            clock,
            packs_min: 2,
            grace: Duration::from_secs(10),
            segment_bytes: 8 * 1024 * 1024,
        }
    }

    pub(super) fn with(role: StoreRole) -> Self {
        let mut house = Self::new();
        house.others.push((store("second", &house.clock), role));
        house
    }

    pub(super) fn second(&self) -> &Arc<FaultStore> {
        &self.others[0].0
    }

    fn options(&self, data: &Path) -> ArchiveOptions {
        let mut options = small::options(data);
        options.journal.inline_bytes = 64 * 1024;
        options.journal.segment_bytes = self.segment_bytes;
        options.journal.compact_after = Duration::from_secs(3600);
        options.merge.packs_min = self.packs_min;
        options.gate_grace = self.grace;
        options
    }

    pub(super) async fn try_open(&self, data: &Path) -> Result<Arc<Archive>, OpenError> {
        let archive = self.open_while_rebuilding(data).await?;
        archive.rebuilt().await;
        Ok(archive)
    }

    pub(super) async fn open_while_rebuilding(&self, data: &Path) -> Result<Arc<Archive>, OpenError> {
        let spec = |store: &Arc<FaultStore>, role, home| {
            let place = Arc::new(OpenPlace::of(store.clone()));
            StoreSpec { place, role, home, create: false }
        };
        let home = spec(&self.home, StoreRole::Home, true);
        let others = self.others.iter().map(|(store, role)| spec(store, *role, false));
        let parts = Parts {
            clock: self.clock.clone(),
            entropy: SystemEntropy::shared(),
            disk: Arc::new(RealDisk),
            catalog: CatalogPlace::Embedded,
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
