//! The ledger for people: its entries as they are stored, and the proof that nothing was altered.

use std::sync::Arc;

use futures::{Stream, stream};
use serde::Serialize;

use super::Archive;
use super::error::ArchiveError;
use crate::caller::Caller;
use crate::ledger::{Damage, Entries, Fault, Head, Recorded};

/// Which entries are wanted.
#[derive(Clone, Debug)]
pub struct LedgerFilter {
    /// From this entry on.
    pub from: u64,
    /// Entries at most.
    pub limit: u64,
    /// Only of this kind.
    pub kind: Option<String>,
}

/// What verifying one store's ledger gave.
#[derive(Clone, Debug, Serialize)]
pub struct LedgerReport {
    /// The store.
    pub store: String,
    /// Segments read.
    pub segments: u64,
    /// Entries read.
    pub entries: u64,
    /// RFC 9162 root over them.
    pub root: String,
    /// Whether its checkpoints bear signatures.
    pub signed: bool,
    /// Whether the head that this machine remembers is in it.
    pub remembered: bool,
    /// Segments that the home has and it has not yet: it is behind, which is no fault. `None` while nobody knows.
    pub behind: Option<u64>,
    /// What is wrong, each with its place.
    pub findings: Vec<String>,
}

/// A stream of entries, and how many more are wanted.
struct Wanted {
    archive: Arc<Archive>,
    entries: Option<Entries>,
    filter: LedgerFilter,
}

impl Archive {
    /// The entries' lines, exactly as they are stored.
    pub fn ledger_lines(
        self: &Arc<Self>,
        caller: &Caller,
        filter: LedgerFilter,
    ) -> impl Stream<Item = Result<String, ArchiveError>> + Send + 'static + use<> {
        tracing::trace!(by = %caller.name, from = filter.from, "ledger lines");
        let wanted = Wanted { archive: Arc::clone(self), entries: None, filter };
        stream::try_unfold(wanted, |mut wanted| async move {
            if wanted.filter.limit == 0 {
                return Ok(None);
            }
            wanted.filter.limit -= 1;
            Ok(wanted.next().await?.map(|recorded| (recorded.line, wanted)))
        })
    }

    /// Checks the ledger of every store, line by line.
    ///
    /// # Errors
    /// Where a store cannot be asked at all.
    pub async fn verify_ledger(&self, caller: &Caller) -> Result<Vec<LedgerReport>, ArchiveError> {
        tracing::info!(by = %caller.name, "verifying the ledger was asked for");
        let mut reports = Vec::new();
        for member in self.stores.read_order() {
            // A store that is behind is measured by what it had, not by what it is yet to get.
            let reached = self.ledger.reached(&member.id);
            let lags = self.ledger.lags();
            let remembered =
                self.ledger.head().filter(|head| reached.is_some_and(|reached| reached >= head.position()));
            let report = crate::ledger::verify(member.store.clone(), self.archive_id.clone(), remembered).await;
            let report = report.map_err(|error| ArchiveError::internal("the ledger", error))?;
            let mut findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
            let end = report.summary.head.as_ref().map(Head::position);
            if let Some(reached) =
                reached.filter(|reached| remembered.is_none() && end.is_none_or(|end| end < *reached))
            {
                findings.push(Damage { object: reached.name(), line: None, fault: Fault::Missing }.to_string());
            }
            if report.more_findings > 0 {
                findings.push(format!("… and {} more", report.more_findings));
            }
            reports.push(LedgerReport {
                store: member.store.name().to_owned(),
                segments: report.summary.segments,
                entries: report.summary.entries,
                root: report.summary.head.as_ref().map(|head| head.root.to_string()).unwrap_or_default(),
                signed: report.summary.unsigned_checkpoints == 0 && report.summary.signed_checkpoints > 0,
                remembered: report.summary.remembered,
                behind: lags.iter().find(|lag| lag.store == member.id).map_or(Some(0), |lag| lag.segments),
                findings,
            });
        }
        Ok(reports)
    }
}

impl Wanted {
    async fn next(&mut self) -> Result<Option<Recorded>, ArchiveError> {
        let entries = match &mut self.entries {
            Some(entries) => entries,
            none => none.insert(self.archive.entries_from(self.filter.from).await?),
        };
        loop {
            let next = entries.next().await.map_err(|error| ArchiveError::internal("the ledger", error))?;
            let Some(recorded) = next else { return Ok(None) };
            if self.filter.kind.as_deref().is_none_or(|kind| recorded.entry.body.kind() == kind) {
                return Ok(Some(recorded));
            }
        }
    }
}
