//! Several studies are sealed together: each in packs of its own, with one append to the ledger and one checkpoint of the
//! catalog for all of them. A study that fails harms no other.
//!
//! What each step of one pack waits for does not change by that (docs/FORMAT.md, "Sealing").

use std::collections::VecDeque;
use std::sync::Arc;

use futures::stream::{self, StreamExt as _};
use tokio::sync::OwnedMutexGuard;

use super::Archive;
use super::divide::{Frozen, divide};
use super::error::ArchiveError;
use super::pack_source::PackItem;
use super::unsealed::FrozenStudy;
use crate::identifiers::{ReceiptNumber, StoreId, StudyUid};
use crate::ledger::entry::{EntryBody, ReceiptRanges};
use crate::ledger::in_batches;
use crate::pack::{BuiltPack, PackRef};

/// Studies that are sealed together, at most.
pub(super) const TOGETHER_MAX: usize = 64;
/// Packs that are built at once: building computes.
const BUILT_AT_ONCE: usize = 2;
/// Packs that are created in stores at once: creating waits for disks.
const CREATED_AT_ONCE: usize = 8;

/// What was made of a study.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SealedStudy {
    pub(super) packs: u64,
    pub(super) versions: u64,
}

/// How sealing a study ended; an error may be that of several.
pub(super) type Outcome = Result<SealedStudy, Arc<ArchiveError>>;

/// A study while it is sealed.
struct Open<'a> {
    study: StudyUid,
    _alone: OwnedMutexGuard<()>,
    _frozen: FrozenStudy<'a>,
    receipts: usize,
    /// Packs that are not made yet.
    groups: VecDeque<Vec<Frozen>>,
    outcome: Outcome,
}

/// A pack that lies in every required store.
struct Made {
    pack: PackRef,
    numbers: Vec<ReceiptNumber>,
    versions: u64,
    stores: Vec<StoreId>,
}

impl Archive {
    /// Seals studies together; says for each how it ended.
    pub(super) async fn seal_together(self: &Arc<Self>, mut studies: Vec<StudyUid>) -> Vec<(StudyUid, Outcome)> {
        // Whoever holds several studies took them in this order: two who seal at once never wait for each other.
        studies.sort_unstable();
        let (mut opened, mut outcomes) = (Vec::new(), Vec::new());
        if let Err(error) = self.can_seal().await {
            let error = Arc::new(error);
            return studies.into_iter().map(|study| (study, Err(Arc::clone(&error)))).collect();
        }
        for study in studies {
            match self.open_for_sealing(&study).await {
                Ok(open) => opened.push(open),
                Err(error) => outcomes.push((study, Err(Arc::new(error)))),
            }
        }
        // Of a study that needs several packs, one in each round.
        while opened.iter().any(|open| !open.groups.is_empty()) {
            self.seal_round(&mut opened).await;
        }
        outcomes.extend(opened.into_iter().map(|open| self.end_sealing(open)));
        outcomes
    }

    async fn open_for_sealing(self: &Arc<Self>, study: &StudyUid) -> Result<Open<'_>, ArchiveError> {
        let alone = self.study_locks.lock(study).await;
        tracing::debug!(%study, "seal begins");
        if self.unsealed.has_failed(study) {
            // The last attempt may have got as far as the ledger.
            self.release_sealed_of(study).await?;
        }
        let frozen_study = self.unsealed.freeze(study);
        let frozen = self.freeze(study).await?;
        Ok(Open {
            study: study.clone(),
            _alone: alone,
            _frozen: frozen_study,
            receipts: frozen.values().map(|frozen| frozen.entries.len()).sum(),
            groups: divide(frozen, self.options.seal.pack_target).into(),
            outcome: Ok(SealedStudy::default()),
        })
    }

    fn end_sealing(&self, open: Open<'_>) -> (StudyUid, Outcome) {
        let Open { study, receipts, outcome, .. } = open;
        if let Ok(SealedStudy { packs, versions }) = &outcome {
            self.unsealed.thaw(&study, self.clock.monotonic());
            metrics::counter!("vellum_sealed_packs_total").increment(*packs);
            tracing::debug!(%study, packs, versions, "seal ends");
            if *packs > 0 {
                tracing::info!(%study, packs, versions, receipts, "sealed");
            }
        }
        (study, outcome)
    }

    /// Makes the next pack of each study.
    async fn seal_round(self: &Arc<Self>, opened: &mut [Open<'_>]) {
        let next: Vec<(usize, StudyUid, Vec<Frozen>)> = opened
            .iter_mut()
            .enumerate()
            .filter_map(|(at, open)| Some((at, open.study.clone(), open.groups.pop_front()?)))
            .collect();
        let mut made = Vec::new();
        for (at, outcome) in self.make_packs(next).await {
            match outcome {
                Ok(pack) => made.push((at, pack)),
                Err(error) => fail(opened, at, &Arc::new(error)),
            }
        }
        if made.is_empty() {
            return;
        }
        if let Err(error) = self.count_as_sealed(opened, &made).await {
            let error = Arc::new(error);
            made.iter().for_each(|(at, _)| fail(opened, *at, &error));
        }
    }

    /// Builds packs and creates them in the required stores.
    async fn make_packs(
        self: &Arc<Self>,
        groups: Vec<(usize, StudyUid, Vec<Frozen>)>,
    ) -> Vec<(usize, Result<Made, ArchiveError>)> {
        let (builds, creates) = (Arc::clone(self), Arc::clone(self));
        // A crash while building or verifying leaves a scratch file, which the next start removes.
        let built = stream::iter(groups).map(move |(at, study, group)| {
            let archive = Arc::clone(&builds);
            async move { (at, archive.build_group(&study, group).await) }
        });
        // A crash after this leaves an orphan in some stores; the study is sealed again under another name.
        let created = built.buffered(BUILT_AT_ONCE).map(move |(at, built)| {
            let archive = Arc::clone(&creates);
            async move {
                let made = match built {
                    Ok((built, numbers, versions)) => archive.create_group(built, numbers, versions).await,
                    Err(error) => Err(error),
                };
                (at, made)
            }
        });
        created.buffered(CREATED_AT_ONCE).collect().await
    }

    async fn build_group(
        self: &Arc<Self>,
        study: &StudyUid,
        group: Vec<Frozen>,
    ) -> Result<(BuiltPack, Vec<ReceiptNumber>, u64), ArchiveError> {
        let numbers = group.iter().flat_map(|frozen| frozen.entries.iter().map(|entry| entry.number())).collect();
        let versions = group.len() as u64;
        let items = group.into_iter().map(PackItem::Journal).collect();
        Ok((self.build(study, items, self.options.seal.zstd_level).await?, numbers, versions))
    }

    async fn create_group(
        &self,
        built: BuiltPack,
        numbers: Vec<ReceiptNumber>,
        versions: u64,
    ) -> Result<Made, ArchiveError> {
        let stores = self.create_in_stores(&built).await?;
        Ok(Made { pack: built.pack.clone(), numbers, versions, stores })
    }

    /// The packs count from here on, and what is in them leaves the journal.
    async fn count_as_sealed(&self, opened: &mut [Open<'_>], made: &[(usize, Made)]) -> Result<(), ArchiveError> {
        let after = self.history.lock().after();
        let bodies = made.iter().map(|(_, made)| EntryBody::Sealed {
            pack: made.pack.clone(),
            receipts: ReceiptRanges::covering(made.numbers.iter().copied()),
            versions: made.versions,
            after: after.clone(),
            stores: made.stores.clone(),
        });
        // A crash after this leaves receipts in the journal that the ledger knows; the next start releases them.
        for batch in in_batches(bodies).map_err(|error| self.ledger_failed(error))? {
            let _everywhere = self.record_everywhere(batch).await?;
        }
        self.checkpoint_catalog().await?;
        for (at, made) in made {
            let Some(open) = opened.get_mut(*at) else { continue };
            self.release(&made.numbers).await;
            self.unsealed.sealed(&open.study, &made.numbers);
            if let Ok(sealed) = &mut open.outcome {
                sealed.packs += 1;
                sealed.versions += made.versions;
            }
        }
        Ok(())
    }
}

/// Nothing more is made of a study.
fn fail(opened: &mut [Open<'_>], at: usize, error: &Arc<ArchiveError>) {
    if let Some(open) = opened.get_mut(at) {
        open.groups.clear();
        open.outcome = Err(Arc::clone(error));
    }
}
