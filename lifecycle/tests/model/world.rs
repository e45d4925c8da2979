//! Data folder, disk, stores and clock: they outlive the processes that use them.

use std::path::Path;
use std::sync::Arc;

use archive_core::archive::{Archive, ArchiveOptions, CatalogPlace, OpenError, Parts, StoreSpec};
use archive_core::entropy::{SeededEntropy, SharedEntropy};
use archive_core::ledger::entry::StoreRole;
use archive_core::store::OpenPlace;
use archive_core::testing::{FaultCatalog, FaultDisk, FaultStore, Machine, VirtualClock, small};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// What the archive is put together from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Setup {
    /// A second store, with its part.
    pub(crate) second: Option<StoreRole>,
    /// A second folder for the journal.
    pub(crate) mirror: bool,
    /// The catalog is the embedded one, on real files. It has threads of its own, so that such a run is not repeatable to
    /// the last detail.
    pub(crate) embedded: bool,
    /// The disk answers syncs without making anything durable: then the model must find losses.
    pub(crate) lying_disk: bool,
}

/// One machine and its stores.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) setup: Setup,
    folder: TempDir,
    pub(crate) machine: Arc<Machine>,
    pub(crate) disk: Arc<FaultDisk>,
    pub(crate) home: Arc<FaultStore>,
    pub(crate) second: Option<Arc<FaultStore>>,
    pub(crate) catalog: Arc<FaultCatalog>,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) entropy: SharedEntropy,
}

impl World {
    pub(crate) fn new(setup: Setup, seed: u64) -> Self {
        let machine = Machine::new();
        let disk = FaultDisk::of(machine.clone());
        if setup.lying_disk {
            disk.lie_about_syncs();
        }
        let clock = VirtualClock::new();
        let store = |name| FaultStore::of(name, machine.clone(), Some(clock.clone()));
        Self {
            setup,
            folder: in_memory_if_possible(),
            disk,
            home: store("home"),
            second: setup.second.map(|_| store("second")),
            catalog: FaultCatalog::new(),
            entropy: SeededEntropy::from_seed(seed),
            machine,
            clock,
        }
    }

    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn stores(&self) -> impl Iterator<Item = &Arc<FaultStore>> {
        std::iter::once(&self.home).chain(&self.second)
    }

    /// The home, or the other one where there is one.
    pub(crate) fn store(&self, home: bool) -> &Arc<FaultStore> {
        self.second.as_ref().filter(|_| !home).unwrap_or(&self.home)
    }

    pub(crate) fn all_well(&self) {
        self.disk.fail(None);
        for store in self.stores() {
            store.forget_faults();
            store.set_away(false);
        }
    }

    /// While something is looked at, nothing fails.
    pub(crate) fn look(&self, looking: bool) {
        self.stores().for_each(|store| store.suspend_faults(looking));
    }

    fn options(&self) -> ArchiveOptions {
        let mut options = small::options(&self.data());
        options.journal.mirror = self.setup.mirror.then(|| self.folder.path().join("other").join("mirror"));
        options
    }

    /// A process starts.
    pub(crate) async fn open(&self) -> Result<Arc<Archive>, OpenError> {
        let spec = |store: &Arc<FaultStore>, role, home| {
            let place = Arc::new(OpenPlace::of(store.clone()));
            StoreSpec { place, role, home, create: false }
        };
        let home = spec(&self.home, StoreRole::Home, true);
        let second = self.second.iter().zip(self.setup.second).map(|(store, role)| spec(store, role, false));
        let catalog =
            if self.setup.embedded { CatalogPlace::Embedded } else { CatalogPlace::Given(self.catalog.clone()) };
        let parts = Parts {
            clock: self.clock.of_process(),
            entropy: Arc::clone(&self.entropy),
            disk: self.disk.clone(),
            catalog,
            stores: std::iter::once(home).chain(second).collect(),
        };
        Archive::open(self.options(), parts).await
    }

    /// The power was cut: what was not synced survives where the pattern has a one.
    pub(crate) fn power_cut(&self, mut pattern: u64) {
        self.catalog.power_cut(usize::try_from(pattern % 8).unwrap_or(0));
        self.disk.power_cut(|| {
            pattern = pattern.rotate_left(1);
            pattern & 1 == 1
        });
        // It is written without a sync: no loss is a harm.
        let grace = self.data().join("grace.json");
        if pattern & 2 == 2
            && let Ok(bytes) = std::fs::read(&grace)
        {
            std::fs::write(&grace, &bytes[..bytes.len() / 2]).unwrap();
        }
    }

    /// A number below a bound.
    pub(crate) fn draw(&self, below: u64) -> u64 {
        let mut drawn = [0_u8; 8];
        self.entropy.fill(&mut drawn).unwrap();
        u64::from_le_bytes(drawn) % below.max(1)
    }
}

/// A runtime of one thread whose time is paused: it goes on when nothing else can.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// Nothing here tests the real disk: files in memory cost no time.
fn in_memory_if_possible() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() }
}
