//! Full verification of one store's ledger, offline: everything that can be checked without trusting anybody.
//!
//! Unlike a [`super::fold::Walk`], which stops at the first damage, this goes on behind it and names every place: object
//! and line. It writes nothing. What it cannot know by itself is whether the end was cut off: for that a head noted
//! elsewhere is compared, and without one the report says so.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};

use super::chain::{Chain, Head};
use super::entry::EntryBody;
use super::error::{Damage, Fault, LedgerError};
use super::fetch::{self, MAX_BUNDLE};
use super::fold::READ_AHEAD;
use super::head::{LedgerState, find_end, first_segment_after};
use super::name::{FIRST_EPOCH, LedgerObject, Position, epoch_key, read_name, root_key};
use super::report::Report;
use super::segment::{MAX_OBJECT, Segment};
use crate::identifiers::ArchiveId;
use crate::store::{SharedStore, StoreKey};

/// Objects asked for in one listing.
const PAGE: usize = 1000;

/// Verifies a store's ledger.
///
/// # Errors
/// Only when the store cannot be asked; damage is in the report.
pub async fn verify(store: SharedStore, archive: ArchiveId, remembered: Option<Head>) -> Result<Report, LedgerError> {
    let mut verifier = Verifier {
        store,
        report: Report::default(),
        chain: Some(Chain::genesis(archive.clone())),
        archive,
        remembered,
        last: None,
        bundle: None,
    };
    let highest = verifier.survey().await?;
    verifier.report.summary.epochs = highest.len() as u64;
    let mut expected = FIRST_EPOCH;
    for (&epoch, &last) in &highest {
        if epoch != expected {
            let missing = Position { epoch: expected, sequence: 0 };
            verifier.find(missing, None, Fault::Gap);
            verifier.chain = None;
        }
        expected = epoch.saturating_add(1);
        let end = verifier.end_of_epoch(epoch, last).await?;
        verifier.report.summary.abandoned += last - end;
        verifier.epoch(epoch, end).await?;
    }
    verifier.check_remembered();
    Ok(verifier.report)
}

struct Verifier {
    store: SharedStore,
    archive: ArchiveId,
    remembered: Option<Head>,
    report: Report,
    /// What was accepted so far; `None` behind damage, where the next good segment is taken at its word.
    chain: Option<Chain>,
    /// The last good segment's place.
    last: Option<Position>,
    bundle: Option<BundleCheck>,
}

/// A bundle that is compared with its folder, object by object.
struct BundleCheck {
    rest: Bytes,
    /// Whether all objects so far were equal and good: a damaged segment is no fault of its bundle.
    comparable: bool,
    equal: bool,
}

impl Verifier {
    fn find(&mut self, position: Position, line: Option<u64>, fault: Fault) {
        self.report.find(Damage { object: position.name(), line, fault });
    }

    /// The highest sequence of each epoch, from listings and from probing names: a listing may not show all.
    async fn survey(&mut self) -> Result<BTreeMap<u32, u64>, LedgerError> {
        let mut highest: BTreeMap<u32, u64> = BTreeMap::new();
        let mut raise = |position: Position| {
            let last = highest.entry(position.epoch).or_default();
            *last = (*last).max(position.sequence);
        };
        if let LedgerState::EndsAt(end) = find_end(&*self.store).await? {
            (FIRST_EPOCH..end.epoch).for_each(|epoch| raise(Position { epoch, sequence: 0 }));
            raise(end);
        }
        if let Some(remembered) = &self.remembered {
            raise(remembered.position());
        }
        let (root, mut after) = (root_key()?, None::<StoreKey>);
        loop {
            let page = self.store.list(&root, after.as_ref(), PAGE).await?;
            for object in &page {
                match read_name(&object.key) {
                    Some(LedgerObject::Segment(position)) => raise(position),
                    Some(LedgerObject::Bundle(_)) => {}
                    None => {
                        let object = object.key.to_string();
                        self.report.find(Damage { object, line: None, fault: Fault::Name });
                    }
                }
            }
            match page.last() {
                Some(last) if after.as_ref().is_none_or(|after| last.key > *after) => after = Some(last.key.clone()),
                _ => return Ok(highest),
            }
        }
    }

    /// The last sequence of an epoch that counts: what the next epoch goes on from, or the highest there is.
    async fn end_of_epoch(&self, epoch: u32, highest: u64) -> Result<u64, LedgerError> {
        let opening = Position { epoch: epoch.saturating_add(1), sequence: 0 };
        let bytes = match fetch::object(&*self.store, &opening.key()?, MAX_OBJECT).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) | Err(LedgerError::Damaged { .. }) => return Ok(highest),
            Err(error) => return Err(error),
        };
        let segment = Segment::decode(opening, &bytes).ok();
        let first = segment.as_ref().and_then(|segment| segment.entries.first());
        Ok(match first.map(|first| &first.entry.body) {
            Some(EntryBody::EpochOpened { continues: Some(from), .. }) if from.epoch == epoch => {
                from.sequence.min(highest)
            }
            _ => highest,
        })
    }

    /// Reads all segments of an epoch. Where some are missing, the listing says where to go on: a store that shows one
    /// segment of an enormous number does not make us ask for all below.
    async fn epoch(&mut self, epoch: u32, end: u64) -> Result<(), LedgerError> {
        let mut from = 0;
        while from <= end {
            let store = self.store.clone();
            let read = move |sequence| {
                let (store, position) = (store.clone(), Position { epoch, sequence });
                async move {
                    match fetch::object(&*store, &position.key()?, MAX_OBJECT).await {
                        Ok(bytes) => Ok((position, Ok(bytes))),
                        Err(LedgerError::Damaged { damage, .. }) => Ok((position, Err(damage))),
                        Err(error) => Err(error),
                    }
                }
            };
            let mut objects = futures::stream::iter(from..=end).map(read).buffered(READ_AHEAD).boxed();
            from = end.saturating_add(1);
            while let Some((position, object)) = objects.try_next().await? {
                match object {
                    Ok(Some(bytes)) => self.segment(position, &bytes, end).await?,
                    Err(damage) => self.damaged(damage),
                    Ok(None) => {
                        from = self.missing(position, end).await?;
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Names what is missing from a place on; gives the next sequence that is there.
    async fn missing(&mut self, position: Position, end: u64) -> Result<u64, LedgerError> {
        let above = first_segment_after(&*self.store, &epoch_key(position.epoch)?, Some(position.key()?)).await?;
        let next = above.map_or(end.saturating_add(1), |above| above.sequence.clamp(position.sequence + 1, end + 1));
        let last = next - 1;
        let fault = if last == position.sequence { Fault::Missing } else { Fault::MissingThrough { last } };
        self.damaged(Damage { object: position.name(), line: None, fault });
        Ok(next)
    }

    fn damaged(&mut self, damage: Damage) {
        self.report.find(damage);
        self.chain = None;
        if let Some(bundle) = &mut self.bundle {
            bundle.comparable = false;
        }
    }

    async fn segment(&mut self, position: Position, bytes: &Bytes, end: u64) -> Result<(), LedgerError> {
        let folder = position.folder();
        if position == folder.first() {
            self.bundle = self.open_bundle(position, end).await?;
        }
        match Segment::decode(position, bytes) {
            Err(damage) => self.damaged(damage),
            Ok(segment) => {
                self.link(&segment);
                self.report.count(&segment);
                if self.remembered.is_some_and(|head| head.position() == position) {
                    self.compare_remembered(&segment);
                }
            }
        }
        if let Some(bundle) = &mut self.bundle {
            bundle.equal = bundle.equal && bundle.rest.starts_with(bytes);
            bundle.rest = bundle.rest.slice(bytes.len().min(bundle.rest.len())..);
        }
        if position == folder.last() {
            self.close_bundle(position)?;
        }
        Ok(())
    }

    /// Checks a good segment against the one before it. Where they do not fit, the earlier one is named: each segment is
    /// vouched for by the next.
    fn link(&mut self, segment: &Segment) {
        let result = match &self.chain {
            Some(chain) => chain.check(segment),
            None if segment.header.archive != self.archive => {
                Err(Damage { object: segment.position.name(), line: Some(1), fault: Fault::OtherArchive })
            }
            None => Ok(()),
        };
        if let Err(damage) = result {
            match (damage.fault, self.last) {
                (Fault::Previous, Some(last)) => self.find(last, None, Fault::NotContinued),
                (fault, _) => self.report.find(Damage { fault, ..damage }),
            }
        }
        match &mut self.chain {
            Some(chain) => chain.take(segment),
            None => self.chain = Some(Chain::after(segment)),
        }
        self.last = Some(segment.position);
    }

    fn compare_remembered(&mut self, segment: &Segment) {
        if self.remembered == Some(Head::of(segment)) {
            self.report.summary.remembered = true;
        } else {
            self.find(segment.position, None, Fault::NotRemembered);
        }
    }

    /// A remembered head must have been met on the way: a branch that was abandoned does not hold it.
    fn check_remembered(&mut self) {
        let Some(position) = self.remembered.map(|head| head.position()) else { return };
        let named = self.report.findings.iter().any(|finding| finding.object == position.name());
        if !self.report.summary.remembered && !named {
            self.find(position, None, Fault::NotRemembered);
        }
    }

    async fn open_bundle(&mut self, position: Position, end: u64) -> Result<Option<BundleCheck>, LedgerError> {
        let folder = position.folder();
        let key = folder.bundle_key()?;
        match fetch::object(&*self.store, &key, MAX_BUNDLE).await {
            Ok(Some(rest)) => Ok(Some(BundleCheck { rest, comparable: true, equal: true })),
            Ok(None) => {
                self.report.summary.folders_without_bundle += u64::from(folder.last().sequence <= end);
                Ok(None)
            }
            Err(LedgerError::Damaged { damage, .. }) => {
                self.report.find(damage);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn close_bundle(&mut self, position: Position) -> Result<(), LedgerError> {
        let Some(bundle) = self.bundle.take().filter(|bundle| bundle.comparable) else { return Ok(()) };
        if bundle.equal && bundle.rest.is_empty() {
            self.report.summary.bundles += 1;
        } else {
            let object = position.folder().bundle_key()?.to_string();
            self.report.find(Damage { object, line: None, fault: Fault::Bundle });
        }
        Ok(())
    }
}
