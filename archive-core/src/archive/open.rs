//! Opening an archive: whose data folder is this, are the stores the ones they should be (`identify`), what does the ledger
//! say, what is in the journal. Everything that cannot be explained is refused, with what to do; nothing is created in its place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Archive;
use super::error::ArchiveError;
use super::history::History;
use super::identify::{Identified, identify, mirror_is_there};
use super::lock::FolderLock;
use super::options::ArchiveOptions;
use crate::catalog::kv::OrderedStore;
use crate::catalog::{Catalog, CatalogError, CatalogState, EmbeddedOptions, KeyedCatalog, open_embedded};
use crate::clock::SharedClock;
use crate::entropy::SharedEntropy;
use crate::identifiers::{ArchiveId, ReceiptNumber, Sha256Digest};
use crate::journal::{Finding, FindingKind, Journal, JournalError, JournalOptions, Recovered, SharedDisk};
use crate::ledger::entry::{CaseSubject, StoreRole};
use crate::ledger::{
    Entries, Filter, Head, Ledger, LedgerError, LedgerState, LedgerStores, OpenOptions, Opened, Opening, WhenEmpty,
    Word, find_end,
};
use crate::store::gate::GatedStore;
use crate::store::{Member, StoreError, StorePlace, StoreSet, StoreSetError};

/// Lost receipts that a finding names one by one.
const LOST_NAMED_MAX: usize = 20;

/// Ledger entries that a catalog may be behind and is brought up to before the archive is open.
const TAIL_ENTRIES_MAX: u64 = 1000;

/// A store as the configuration names it.
#[derive(Clone, Debug)]
pub struct StoreSpec {
    /// Where it should be; its name is the configuration's.
    pub place: Arc<dyn StorePlace>,
    /// Its part.
    pub role: StoreRole,
    /// Whether the ledger's home is there.
    pub home: bool,
    /// Whether it is made if it joins an archive that exists. One that the archive knows is never made anew.
    pub create: bool,
}

/// Where a catalog lies.
#[derive(Clone, Debug, Default)]
pub enum CatalogPlace {
    /// Embedded, in `catalog/` of the data folder.
    #[default]
    Embedded,
    /// In a store that is handed in.
    Given(Arc<dyn OrderedStore>),
}

/// What an archive is put together from.
#[derive(Debug)]
pub struct Parts {
    /// Time.
    pub clock: SharedClock,
    /// Randomness.
    pub entropy: SharedEntropy,
    /// The disk that the journal lies on.
    pub disk: SharedDisk,
    /// Where the catalog lies.
    pub catalog: CatalogPlace,
    /// The stores, in the order in which they are to be read.
    pub stores: Vec<StoreSpec>,
}

/// Why an archive was not opened; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the folder.
    #[error(
        "{0} is in use by another process: if that is a server which is just starting or ending, try again in a moment; \
         otherwise name another folder with --data"
    )]
    InUse(
        /// The data folder.
        PathBuf,
    ),
    /// The data folder cannot be used.
    #[error("{path}: {source}")]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Stores hold an archive that this data folder knows nothing of.
    #[error(
        "store {store} holds archive {archive}, and {data} knows no archive: name the data folder that belongs to it, or \
         its journal's mirror (journal.mirror); nothing was changed"
    )]
    StrangeData {
        /// The store.
        store: String,
        /// The archive it holds.
        archive: ArchiveId,
        /// The data folder.
        data: PathBuf,
    },
    /// The journal is not where it was.
    #[error(
        "the journal of archive {archive} is not in {folder}: what was received and not sealed is in it. Put it back, or \
         name its mirror (journal.mirror); nothing was changed"
    )]
    NoJournal {
        /// The archive.
        archive: ArchiveId,
        /// Where it should be.
        folder: PathBuf,
    },
    /// A store that the ledger needs cannot hold it.
    #[error(
        "store {store} overwrites objects that exist: it can hold packs, but not the ledger; give ledger.home another store"
    )]
    Unfit {
        /// The store.
        store: String,
    },
    /// A store is not the one it should be, or cannot be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stores do not fit together.
    #[error(transparent)]
    Stores(#[from] StoreSetError),
    /// The ledger cannot be used.
    #[error("the ledger: {0}")]
    Ledger(#[from] LedgerError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The catalog's folder cannot be used.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Something else.
    #[error(transparent)]
    Other(#[from] ArchiveError),
}

pub(super) fn folder(path: &Path) -> impl FnOnce(std::io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Folder { path, source }
}

impl Archive {
    /// Opens the archive of a data folder, or creates it where neither folder nor stores know of one.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed that cannot be explained.
    pub async fn open(options: ArchiveOptions, parts: Parts) -> Result<Arc<Self>, OpenError> {
        let lock = prepare(&options.data)?;
        let mut identified = identify(&options, &parts).await?;
        let opened = open_ledger(&options, &parts, &identified).await?;
        let is_new = identified.known.head.is_none();
        let history = read_history(&identified.stores, &identified.known.archive, &opened.head).await?;
        let folder_is_there = options.data.join("journal").is_dir() || mirror_is_there(&options);
        if !is_new && !folder_is_there {
            let folder = options.data.join("journal");
            return Err(OpenError::NoJournal { archive: identified.known.archive, folder });
        }
        let (journal, recovered) = open_journal(&options, &parts, &identified, &history, &opened.head).await?;
        // An archive that never received anything has no segment yet; any other always has one.
        if recovered.fresh && !history.is_blank() {
            let folder = options.data.join("journal");
            return Err(OpenError::NoJournal { archive: identified.known.archive, folder });
        }
        identified.known.head = Some(opened.head);
        identified.known.write(&options.data).map_err(folder(&options.data))?;
        let (catalog, catalog_is_new) = open_catalog(&options, &parts.catalog).await?;
        identified.findings.extend(recovered.findings.iter().map(in_words));
        identified.findings.extend(lost_in_words(&history.lost(&recovered, opened.head.epoch)));
        for finding in &identified.findings {
            tracing::warn!(finding, "found at start");
        }
        let archive = Self::assemble(
            options,
            parts,
            lock,
            super::Assembled {
                known: identified.known,
                stores: identified.stores,
                gated: identified.gated.clone(),
                fitness: identified.fitness,
                findings: identified.findings,
                ledger: opened.ledger,
                history,
                journal,
                catalog,
            },
        );
        archive.finish_opening(&recovered, identified.gated, catalog_is_new).await?;
        Ok(archive)
    }

    /// What needs the archive itself: the overlay, the gate, the catalog brought up to the ledger.
    async fn finish_opening(
        self: &Arc<Self>,
        recovered: &Recovered,
        gated: Vec<GatedStore>,
        catalog_is_new: bool,
    ) -> Result<(), OpenError> {
        let epoch = self.epoch;
        for entry in &recovered.entries {
            let number = entry.number();
            let told = number.epoch != epoch || self.history.lock().speaks_of(number);
            self.take_into_overlay(entry, told);
            self.unsealed.recovered(entry, told, self.clock.monotonic());
        }
        let damaged = self.history.lock().open_pack_cases(super::lacking::DAMAGED_PACK);
        self.lacking.goes_without(damaged.into_iter().map(|(_, pack)| pack));
        self.report_lost(recovered).await;
        self.open_gate(gated).await?;
        self.record_config_change().await;
        let watermark = self.in_catalog(|catalog| catalog.watermark()).await.unwrap_or(0);
        let size = self.history.lock().size();
        if catalog_is_new || watermark > size {
            // A catalog ahead of its ledger belongs to another past.
            self.start_rebuild(true);
        } else if watermark < size {
            self.start_rebuild(false);
        } else {
            self.gate_is_shut_for_rebuild(false);
            self.release_what_is_sealed().await;
        }
        let nothing_to_read = self.history.lock().pack_count() == 0;
        let only_the_tail = !catalog_is_new && watermark <= size && size - watermark <= TAIL_ENTRIES_MAX;
        if nothing_to_read || only_the_tail {
            // A moment's work: a new archive, or what a kill kept from the catalog. No need to answer "rebuilding".
            self.rebuilt().await;
        }
        Ok(())
    }
}

impl Archive {
    /// What was acknowledged and is nowhere is a case; it holds nothing up.
    async fn report_lost(&self, recovered: &Recovered) {
        let lost = self.history.lock().lost(recovered, self.epoch);
        let (Some(first), Some(what)) = (lost.first(), lost_in_words(&lost)) else { return };
        tracing::error!(receipts = lost.len(), "{what}");
        metrics::counter!("vellum_journal_lost_receipts_total").increment(lost.len() as u64);
        let case = Sha256Digest::of(format!("journal-lost\0{first}\0{}", lost.len()).as_bytes());
        if let Err(error) = self.open_case(case, "journal-lost", CaseSubject::default()).await {
            tracing::warn!(%error, "the case of lost receipts could not be written");
        }
    }
}

/// What recovery of the journal found, for people.
fn in_words(finding: &Finding) -> String {
    let file = finding.file.display();
    let kept = finding.kept_at.as_ref().map_or(String::new(), |path| format!("; kept as {}", path.display()));
    let receipts = finding.receipts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let receipts = if receipts.is_empty() { String::new() } else { format!("; receipts {receipts}") };
    let range = &finding.range;
    match finding.kind {
        FindingKind::Torn => format!("{file}: the end of a batch that was never acknowledged{kept}"),
        FindingKind::Damaged => format!("{file}: bytes {} to {} are damaged{receipts}{kept}", range.start, range.end),
        FindingKind::TakenFromMirror => format!("{file}: taken from the mirror{receipts}{kept}"),
        FindingKind::MirrorRestored => format!("{file}: the mirror was made whole from the journal"),
    }
}

/// Receipts that were acknowledged and cannot be read any more, for people; they are the worst that can be found.
fn lost_in_words(lost: &[ReceiptNumber]) -> Option<String> {
    let named = lost.iter().take(LOST_NAMED_MAX).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let more = lost.len().saturating_sub(LOST_NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!lost.is_empty()).then(|| {
        format!(
            "lost: {} receipts were acknowledged, are not sealed and cannot be read from the journal: {named}{more}; \
             `vellum ledger show --kind received` says who sent them: ask for them again",
            lost.len()
        )
    })
}

/// Makes the folders, takes the lock, and removes what an earlier process left in scratch.
fn prepare(data: &Path) -> Result<FolderLock, OpenError> {
    std::fs::create_dir_all(data).map_err(folder(data))?;
    let lock = FolderLock::take(data).map_err(folder(data))?.ok_or_else(|| OpenError::InUse(data.to_owned()))?;
    let scratch = data.join("scratch");
    match std::fs::remove_dir_all(&scratch) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(folder(&scratch)(error)),
        _ => {}
    }
    std::fs::create_dir_all(&scratch).map_err(folder(&scratch))?;
    Ok(lock)
}

async fn open_ledger(options: &ArchiveOptions, parts: &Parts, identified: &Identified) -> Result<Opened, OpenError> {
    let member = |member: &Member| crate::ledger::Member { id: member.id.clone(), store: member.store.clone() };
    let stores = LedgerStores {
        home: member(identified.stores.home()),
        required: identified.stores.required().skip(1).map(member).collect(),
        lagging: identified.stores.lagging().map(member).collect(),
    };
    let remembered = identified.known.head;
    let when_empty = if remembered.is_none() { WhenEmpty::CreateArchive } else { WhenEmpty::Refuse };
    let program = Word::parse(&options.program).map_err(|error| ArchiveError::internal("naming the program", error))?;
    let opening = Opening {
        archive: identified.known.archive.clone(),
        stores,
        remembered,
        clock: Arc::clone(&parts.clock),
        entropy: Arc::clone(&parts.entropy),
        options: OpenOptions { batch_window: std::time::Duration::ZERO, when_empty, checked: None, program },
    };
    Ok(Ledger::open(opening).await?)
}

/// Reads the whole ledger of the home into memory's fold.
async fn read_history(stores: &StoreSet, archive: &ArchiveId, head: &Head) -> Result<History, OpenError> {
    let home = stores.home().store.clone();
    let mut history = History::default();
    let LedgerState::EndsAt(end) = find_end(&*home).await? else { return Ok(history) };
    let mut entries = Entries::begin(home, archive.clone(), Filter::default(), end).await?;
    while let Some(recorded) = entries.next().await? {
        history.absorb(&recorded);
    }
    debug_assert!(history.size() >= head.size, "the ledger was just opened up to its head");
    Ok(history)
}

async fn open_journal(
    options: &ArchiveOptions,
    parts: &Parts,
    identified: &Identified,
    history: &History,
    head: &Head,
) -> Result<(Journal, Recovered), OpenError> {
    let limits = &options.journal;
    let folder = options.data.join("journal");
    let journal = JournalOptions {
        mirror: limits.mirror.clone(),
        scratch: options.data.join("scratch"),
        numbers_from: history.told(head.epoch) + 1,
        segment_bytes: limits.segment_bytes,
        direct: limits.direct,
        spare_segments: limits.spare_segments,
        inline_bytes: limits.inline_bytes,
        memory_bytes: limits.memory_bytes,
        cap_bytes: limits.cap_bytes,
        receipts_max: options.overlay_receipts.saturating_mul(2),
        reserve_bytes: limits.reserve_bytes,
        compact_after: limits.compact_after,
        allow_volatile: limits.allow_volatile,
        ..JournalOptions::new(folder, identified.known.archive.clone(), head.epoch)
    };
    let (disk, clock, entropy) = (Arc::clone(&parts.disk), Arc::clone(&parts.clock), Arc::clone(&parts.entropy));
    let opened = crate::off_runtime::blocking(move || Journal::open(disk, journal, clock, entropy)).await;
    Ok(opened.map_err(|error| ArchiveError::internal("opening the journal", error))??)
}

/// Opens the catalog; one that cannot be used is put aside and made anew. Tells whether it is empty for that reason.
async fn open_catalog(options: &ArchiveOptions, place: &CatalogPlace) -> Result<(Arc<dyn Catalog>, bool), OpenError> {
    if let CatalogPlace::Given(store) = place {
        let store = Box::new(Arc::clone(store));
        let opened = crate::off_runtime::blocking(move || KeyedCatalog::open(store)).await;
        let opened = opened.map_err(|error| ArchiveError::internal("opening the catalog", error))??;
        return Ok((Arc::new(opened), false));
    }
    let path = options.data.join("catalog");
    let embedded = EmbeddedOptions { backend: options.catalog_backend, cache_bytes: options.catalog_cache_bytes };
    let opened = crate::off_runtime::blocking(move || {
        let is_missing = !path.exists();
        match open_embedded(&path, embedded)? {
            CatalogState::Ready(catalog) => Ok((catalog, is_missing)),
            CatalogState::Damaged(error) => {
                tracing::error!(%error, "the catalog is put aside and rebuilt");
                put_aside(&path)?;
                match open_embedded(&path, embedded)? {
                    CatalogState::Ready(catalog) => Ok((catalog, true)),
                    CatalogState::Damaged(error) => Err(OpenError::Catalog(error)),
                }
            }
        }
    });
    let (catalog, is_new) = opened.await.map_err(|error| ArchiveError::internal("opening the catalog", error))??;
    let catalog: Arc<KeyedCatalog> = Arc::from(catalog);
    Ok((catalog, is_new))
}

/// Moves a damaged catalog to `catalog.bad-…`; an older one of that name makes room: it is a cache, never evidence.
fn put_aside(path: &Path) -> Result<(), OpenError> {
    let aside = path.with_extension("bad");
    match std::fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(folder(&aside)(error)),
        _ => {}
    }
    std::fs::rename(path, &aside).map_err(folder(path))
}
