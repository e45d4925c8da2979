//! The figures that a person on call wants first, and the metrics' source.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::Archive;
use super::job_trouble::JobTrouble;
use super::rebuild::RebuildProgress;
use crate::identifiers::{ArchiveId, StoreId};
use crate::ledger::entry::StoreRole;

/// The state of the archive.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Which archive.
    pub archive: ArchiveId,
    /// Why nothing is received, if nothing is.
    pub not_receiving: Option<String>,
    /// The journal.
    pub journal: JournalFigures,
    /// Studies with receipts that are not sealed.
    pub unsealed_studies: u64,
    /// Why the last attempt to seal failed, as long as none has succeeded since: a store is away, most likely.
    pub seal_trouble: Option<String>,
    /// Why the last run of a job of the worker ended badly, by job, as long as none of it has ended well since.
    pub job_trouble: BTreeMap<&'static str, String>,
    /// The ledger.
    pub ledger: LedgerFigures,
    /// How far the rebuild is, while one goes on.
    pub rebuilding: Option<RebuildProgress>,
    /// Packs that count.
    pub packs: u64,
    /// Packs of which no store has a good copy, so that queries go without them.
    pub unreadable_packs: u64,
    /// Cases that nobody closed.
    pub open_cases: u64,
    /// The stores.
    pub stores: Vec<StoreFigures>,
    /// What recovery found at start.
    pub findings: Vec<String>,
}

/// Figures of the journal.
#[derive(Clone, Debug, Serialize)]
pub struct JournalFigures {
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes that only the journal has: at risk until they are sealed.
    pub live_bytes: u64,
    /// Receipts that are not sealed.
    pub live_receipts: u64,
    /// Bytes at which receiving stops.
    pub cap_bytes: u64,
    /// Segments.
    pub segments: u64,
    /// When the oldest unsealed receipt came.
    pub oldest_live: Option<Timestamp>,
    /// Whether a second folder holds the same.
    pub mirrored: bool,
    /// Bytes that recovery put aside.
    pub kept_bytes: u64,
}

/// Figures of the ledger.
#[derive(Clone, Debug, Serialize)]
pub struct LedgerFigures {
    /// Entries.
    pub entries: u64,
    /// The current epoch.
    pub epoch: u32,
    /// Why nothing can be appended any more.
    pub stopped: Option<String>,
}

/// Figures of a store.
#[derive(Clone, Debug, Serialize)]
pub struct StoreFigures {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: StoreId,
    /// Its part.
    pub role: StoreRole,
    /// What kind it is, as its fitness for the ledger says.
    pub kind: String,
    /// `ok`, or what is wrong.
    pub state: String,
    /// Ledger segments that it lacks; `None` where nobody knows.
    pub lag: Option<u64>,
}

impl Archive {
    /// The state of the archive.
    pub async fn status(self: &Arc<Self>) -> Status {
        let journal = self.journal.status();
        let head = self.ledger.head();
        let (packs, open_cases) = {
            let history = self.history.lock();
            (history.pack_count() as u64, history.cases(false).len() as u64)
        };
        Status {
            archive: self.archive_id.clone(),
            not_receiving: self.check_receiving().err().map(|error| error.to_string()),
            journal: JournalFigures {
                bytes: journal.bytes,
                live_bytes: journal.live_bytes,
                live_receipts: journal.receipts_live,
                cap_bytes: journal.capacity_bytes,
                segments: journal.segments,
                oldest_live: journal.oldest_live,
                mirrored: self.options.journal.mirror.is_some(),
                kept_bytes: journal.kept_bytes,
            },
            unsealed_studies: self.unsealed.count() as u64,
            seal_trouble: self.seal_trouble.lock().clone(),
            job_trouble: self.job_trouble.now(),
            ledger: LedgerFigures {
                entries: head.as_ref().map_or(0, |head| head.size),
                epoch: head.as_ref().map_or(0, |head| head.epoch),
                stopped: self.ledger.stopped().map(|error| error.to_string()),
            },
            rebuilding: self.rebuild.progress(),
            packs,
            unreadable_packs: self.lacking.count() as u64,
            open_cases,
            stores: self.store_figures(),
            findings: self.findings.clone(),
        }
    }

    /// Where the worker notes how its jobs end.
    #[must_use]
    pub const fn job_trouble(&self) -> &JobTrouble {
        &self.job_trouble
    }

    /// Why no traffic should come, by part; empty where all is well. Answers from memory.
    #[must_use]
    pub fn obstacles(&self) -> Vec<(&'static str, String)> {
        let mut obstacles = Vec::new();
        if let Err(error) = self.check_receiving() {
            obstacles.push(("receiving", error.to_string()));
        }
        if let Some(stopped) = self.journal.status().stopped {
            obstacles.push(("journal", stopped));
        }
        if let Some(stopped) = self.ledger.stopped() {
            obstacles.push(("ledger", stopped.to_string()));
        }
        if let Some(progress) = self.rebuild.progress() {
            let how_far = format!("being rebuilt: {} of {} packs", progress.done, progress.total);
            obstacles.push(("catalog", how_far));
        }
        obstacles
    }

    /// The system clock, as the archive sees it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn store_figures(&self) -> Vec<StoreFigures> {
        let lags = self.ledger.lags();
        let trouble = self.store_trouble.lock().clone();
        let figures = self.stores.read_order().map(|member| {
            let lag = lags.iter().find(|lag| lag.store == member.id);
            let behind = lag.map_or(Some(0), |lag| lag.segments);
            let state = match (trouble.get(&member.id), behind) {
                (Some(error), _) => error.clone(),
                (None, Some(0)) => "ok".to_owned(),
                (None, _) => "behind".to_owned(),
            };
            StoreFigures {
                name: member.store.name().to_owned(),
                id: member.id.clone(),
                role: member.role,
                kind: self.fitness.get(&member.id).cloned().unwrap_or_default(),
                state,
                lag: behind,
            }
        });
        figures.collect()
    }
}
