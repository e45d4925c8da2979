//! Recording: every change of what the archive holds goes into the ledger first, then into memory and catalog, in the
//! order of the ledger (promise I10). One at a time: the turn is held from the append until catalog and history follow.

use futures::StreamExt as _;

use super::Archive;
use super::error::ArchiveError;
use crate::catalog::versions::Promotion;
use crate::catalog::{CHANGE_LINES_MAX, CatalogChange, ChangeKind};
use crate::identifiers::PackId;
use crate::ledger::entry::EntryBody;
use crate::ledger::{Appended, Entries, Filter, LedgerError, LedgerState, Recorded, Standing, find_end};
use crate::pack::{PackReader, PackRef};

impl Archive {
    /// As [`Archive::record`], and an error where a required store lacks the entries: for what something is deleted or
    /// released on. What was appended is applied all the same and must not be appended again:
    /// [`Archive::settle_everywhere`] tells when it is everywhere.
    pub(super) async fn record_everywhere(&self, bodies: Vec<EntryBody>) -> Result<Appended, ArchiveError> {
        let appended = self.record(bodies).await?;
        check_everywhere(&appended.standing)?;
        Ok(appended)
    }

    /// Finishes what earlier appends left open, and brings history and catalog up to it.
    ///
    /// # Errors
    /// Where a required store does not have the whole ledger.
    pub(super) async fn settle_everywhere(&self) -> Result<(), ArchiveError> {
        let _turn = self.ledger_turn.lock().await;
        let standing = self.ledger.settle().await.map_err(|error| self.ledger_failed(error))?;
        self.follow(standing.head.size).await?;
        check_everywhere(&standing)
    }

    /// Appends entries and applies them. Answers when they are durable in home and every required store was tried.
    ///
    /// A crash after the append leaves a catalog that is behind the ledger: the next start replays the rest.
    pub(super) async fn record(&self, bodies: Vec<EntryBody>) -> Result<Appended, ArchiveError> {
        let _turn = self.ledger_turn.lock().await;
        // An earlier append may have ended without an answer and be there all the same.
        let standing = self.ledger.settle().await.map_err(|error| self.ledger_failed(error))?;
        self.follow(standing.head.size).await?;
        let appended = self.ledger.append(bodies).await.map_err(|error| self.ledger_failed(error))?;
        self.follow(appended.last + 1).await?;
        self.remember_head().await;
        Ok(appended)
    }

    pub(super) fn ledger_failed(&self, error: LedgerError) -> ArchiveError {
        if let Some(stopped) = self.ledger.stopped() {
            self.stop(format!("the ledger: {stopped}"));
        }
        ArchiveError::Internal(format!("the ledger: {error}"))
    }

    /// Brings history and catalog up to so many entries. Whoever calls has the turn.
    async fn follow(&self, size: u64) -> Result<(), ArchiveError> {
        let from = self.history.lock().size();
        if from >= size {
            return Ok(());
        }
        let mut entries = self.entries_from(from).await?;
        let mut failed = None;
        while let Some(recorded) = entries.next().await.map_err(|error| self.ledger_failed(error))? {
            self.history.lock().absorb(&recorded);
            self.take_over(&recorded.entry.body);
            // While the catalog is being rebuilt, the rebuild itself comes to this entry.
            if self.rebuild.catalog_follows()
                && let Err(error) = self.apply(&recorded).await
            {
                // The next entry would be applied over the gap, and the watermark hide it for ever.
                self.catalog_is_behind(&error);
                failed = Some(error);
            }
            if recorded.entry.n + 1 >= size {
                break;
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// What an entry brings about beside history and catalog, whoever waits for it or has gone away: lagging stores get
    /// new packs, and the grace of replaced ones begins.
    fn take_over(&self, body: &EntryBody) {
        match body {
            EntryBody::Sealed { pack, .. } => self.will_be_copied(pack),
            EntryBody::Merged { pack, replaces, .. } => {
                self.will_be_copied(pack);
                let history = self.history.lock();
                let old: Vec<PackRef> =
                    replaces.iter().filter_map(|pack| Some(history.replaced(pack)?.old.clone())).collect();
                drop(history);
                self.begin_grace(&old);
            }
            _ => {}
        }
    }

    /// The ledger's entries from an index on, read from home.
    pub(super) async fn entries_from(&self, from: u64) -> Result<Entries, ArchiveError> {
        let home = self.stores.home().store.clone();
        let failed = |error: LedgerError| ArchiveError::Internal(format!("the ledger: {error}"));
        let LedgerState::EndsAt(end) = find_end(&*home).await.map_err(failed)? else {
            return Err(ArchiveError::Internal(format!("store {} holds no readable ledger any more", home.name())));
        };
        let filter = Filter { from, ..Filter::default() };
        Entries::begin(home, self.archive_id.clone(), filter, end).await.map_err(failed)
    }

    /// Applies one entry to the catalog; the history has absorbed it before.
    pub(super) async fn apply(&self, recorded: &Recorded) -> Result<(), ArchiveError> {
        let watermark = Some(recorded.entry.n + 1);
        match &recorded.entry.body {
            EntryBody::Sealed { pack, .. } => self.apply_pack(pack, None, watermark).await,
            EntryBody::Merged { pack, replaces, .. } => self.apply_pack(pack, Some(replaces), watermark).await,
            EntryBody::VersionPromoted { study, sop, version, after, .. } => {
                let promotion = Promotion {
                    entry: recorded.entry.n,
                    study: study.clone(),
                    sop: sop.clone(),
                    version: version.clone(),
                    after: after.clone(),
                };
                self.apply_change(CatalogChange { watermark, kind: ChangeKind::Promoted(promotion) }).await
            }
            _ => self.apply_change(CatalogChange { watermark, kind: ChangeKind::Nothing }).await,
        }
    }

    /// Applies the index of a pack. One that was replaced later brings nothing: its successor holds all of it, and it may
    /// be gone from the stores.
    pub(super) async fn apply_pack(
        &self,
        pack: &PackRef,
        replaces: Option<&Vec<PackId>>,
        watermark: Option<u64>,
    ) -> Result<(), ArchiveError> {
        if !self.history.lock().counts(&pack.pack) {
            return self.apply_change(CatalogChange { watermark, kind: ChangeKind::Nothing }).await;
        }
        let reader = self.pack_reader(pack).await?;
        let mut lines = reader.index(reader.lines()).chunks(CHANGE_LINES_MAX).peekable();
        let mut lines = std::pin::Pin::new(&mut lines);
        while let Some(chunk) = lines.next().await {
            let lines_now = chunk.into_iter().collect::<Result<Vec<_>, _>>()?;
            let is_last = lines.as_mut().peek().await.is_none();
            let kind = match replaces {
                None => ChangeKind::Sealed { pack: pack.clone(), lines: lines_now },
                Some(replaces) => {
                    ChangeKind::Merged { pack: pack.clone(), lines: lines_now, replaces: replaces.clone() }
                }
            };
            let watermark = if is_last { watermark } else { None };
            self.apply_change(CatalogChange { watermark, kind }).await?;
        }
        Ok(())
    }

    /// Nothing is applied for an entry: the catalog stands behind it.
    pub(super) async fn pass_over(&self, watermark: u64) -> Result<(), ArchiveError> {
        self.apply_change(CatalogChange { watermark: Some(watermark), kind: ChangeKind::Nothing }).await
    }

    async fn apply_change(&self, change: CatalogChange) -> Result<(), ArchiveError> {
        let (holdings, watermark) = (self.holdings.clone(), change.watermark);
        let applied = crate::off_runtime::blocking(move || holdings.catalog().apply(&change)).await;
        let applied = applied.map_err(|error| ArchiveError::internal("applying to the catalog", error))?;
        let found = applied.map_err(|error| {
            self.catalog_failed(&error);
            ArchiveError::internal("the catalog", error)
        })?;
        if let Some(watermark) = watermark {
            self.lacking.took_in(watermark);
        }
        self.note_cases(found);
        Ok(())
    }

    /// A pack opened for reading, from whichever store has a good copy.
    pub(super) async fn pack_reader(&self, pack: &PackRef) -> Result<PackReader, ArchiveError> {
        let stores: Vec<_> = self.stores.read_order().map(|member| member.store.clone()).collect();
        Ok(PackReader::open(&stores, pack.clone(), &self.pack_cache, self.damage_observer()).await?)
    }
}

/// Refuses to rely on entries that a required store lacks.
fn check_everywhere(standing: &Standing) -> Result<(), ArchiveError> {
    if standing.missing.is_empty() {
        return Ok(());
    }
    let missing: Vec<String> = standing.missing.iter().map(ToString::to_string).collect();
    Err(ArchiveError::Busy(format!(
        "the ledger entry is not in these required stores yet: {}; what waits for it goes on when they are back",
        missing.join(", ")
    )))
}
