//! Reading a ledger in order: every segment checked in itself and against the one before it, then handed over.
//!
//! Full folders are read as bundles where there are any: a restore reads thousands of entries a request. A bundle is
//! derived: what fails its check in one is read again segment by segment, and only what fails there is damage. Memory is
//! one bundle, or [`READ_AHEAD`] segments. Where an epoch ended is said by the one after it; segments beyond that point
//! are an abandoned branch and never read here.

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;

use super::chain::{Chain, Head};
use super::entry::EntryBody;
use super::error::{Damage, Fault, LedgerError};
use super::fetch;
use super::line::Recorded;
use super::line_of_epochs::EpochLine;
use super::name::{FIRST_EPOCH, Position};
use super::segment::Segment;
use crate::identifiers::{ArchiveId, StudyUid};
use crate::store::SharedStore;

/// Segments asked for before they are needed.
pub const READ_AHEAD: usize = 8;

/// Where to begin reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// At the first segment of all: everything is checked.
    Genesis,
    /// After a head that was read before: the store must still hold that very segment.
    After(Head),
    /// At the segment that holds an entry; what came before is taken from its header unchecked.
    AtEntry(u64),
}

/// A walk over the segments of one store, in order.
pub struct Walk {
    store: SharedStore,
    archive: ArchiveId,
    end: Position,
    line: EpochLine,
    chain: Option<Chain>,
    next: Option<Position>,
    source: Option<Source>,
}

/// Where the objects of the current folder come from.
struct Source {
    objects: BoxStream<'static, Result<Bytes, LedgerError>>,
    last: Position,
    bundled: bool,
}

impl std::fmt::Debug for Walk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk")
            .field("store", &self.store.name())
            .field("next", &self.next)
            .field("end", &self.end)
            .finish()
    }
}

impl Walk {
    /// Begins a walk up to and including the segment at `end` (see [`super::head::find_end`]).
    ///
    /// # Errors
    /// When the store cannot be asked, its epochs do not say where they begin, or the head to go on from is not there.
    pub async fn begin(
        store: SharedStore,
        archive: ArchiveId,
        start: Start,
        end: Position,
    ) -> Result<Self, LedgerError> {
        let line = epoch_line(&store, end).await?;
        let mut walk = Self { store, archive, end, line, chain: None, next: None, source: None };
        match start {
            Start::Genesis => {
                walk.chain = Some(Chain::genesis(walk.archive.clone()));
                walk.next = Some(Position::GENESIS);
            }
            Start::After(head) => walk.go_on_from(head).await?,
            Start::AtEntry(n) => walk.next = Some(walk.locate(n).await?),
        }
        Ok(walk)
    }

    /// The next segment, checked; `None` after the last.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`] names the place; the walk stays there.
    pub async fn next(&mut self) -> Result<Option<Segment>, LedgerError> {
        let Some(position) = self.next else { return Ok(None) };
        let segment = match self.read(position).await {
            Err(LedgerError::Damaged { .. }) if self.source.as_ref().is_some_and(|source| source.bundled) => {
                tracing::warn!(store = self.store.name(), %position, "bundle is damaged: read its segments one by one");
                self.source = Some(self.one_by_one(position));
                self.read(position).await?
            }
            other => other?,
        };
        let chain = self.chain.get_or_insert_with(|| Chain::genesis(self.archive.clone()));
        chain.take(&segment);
        self.next = self.line.after(Some(position));
        if self.source.as_ref().is_none_or(|source| source.last <= position) {
            self.source = None;
        }
        Ok(Some(segment))
    }

    /// What was read so far; `None` before the first segment.
    #[must_use]
    pub fn chain(&self) -> Option<&Chain> {
        self.chain.as_ref()
    }

    fn last_of(&self, epoch: u32) -> u64 {
        self.line.last_of(epoch).unwrap_or(self.end.sequence)
    }

    async fn read(&mut self, position: Position) -> Result<Segment, LedgerError> {
        if self.source.is_none() {
            self.source = Some(self.open_folder(position).await?);
        }
        let next = match &mut self.source {
            Some(source) => source.objects.next().await,
            None => None,
        };
        let missing = || Damage { object: position.name(), line: None, fault: Fault::Missing };
        let checked = match next {
            None => Err(LedgerError::damaged(&*self.store, missing())),
            Some(Err(error)) => Err(error),
            Some(Ok(bytes)) => {
                self.check(position, &bytes).map_err(|damage| LedgerError::damaged(&*self.store, damage))
            }
        };
        if checked.is_err() && self.source.as_ref().is_some_and(|source| !source.bundled) {
            self.source = None; // Asked again, it is read again.
        }
        checked
    }

    fn check(&self, position: Position, bytes: &[u8]) -> Result<Segment, Damage> {
        let segment = Segment::decode(position, bytes)?;
        match &self.chain {
            Some(chain) => chain.check(&segment)?,
            None if segment.header.archive != self.archive => {
                return Err(Damage { object: position.name(), line: Some(1), fault: Fault::OtherArchive });
            }
            None => {}
        }
        Ok(segment)
    }

    /// Objects from `position` to the end of its folder: from the bundle where the folder is full and begins here.
    async fn open_folder(&mut self, position: Position) -> Result<Source, LedgerError> {
        let folder = position.folder();
        let full = folder.last().sequence <= self.last_of(position.epoch);
        if full
            && position == folder.first()
            && let Some(objects) = fetch::bundle(&*self.store, folder).await?
        {
            let objects = futures::stream::iter(objects.into_iter().map(Ok)).boxed();
            return Ok(Source { objects, last: folder.last(), bundled: true });
        }
        Ok(self.one_by_one(position))
    }

    fn one_by_one(&self, position: Position) -> Source {
        let last = self.last_of(position.epoch).min(position.folder().last().sequence);
        let (store, epoch) = (self.store.clone(), position.epoch);
        let read = move |sequence| {
            let store = store.clone();
            async move { fetch::segment_bytes(&*store, Position { epoch, sequence }).await }
        };
        let objects = futures::stream::iter(position.sequence..=last).map(read).buffered(READ_AHEAD).boxed();
        Source { objects, last: Position { epoch, sequence: last }, bundled: false }
    }

    async fn go_on_from(&mut self, head: Head) -> Result<(), LedgerError> {
        let position = head.position();
        if !self.line.passes(position) {
            return Err(LedgerError::RolledBack { store: self.store.name().to_owned(), remembered: position });
        }
        let segment = fetch::segment(&*self.store, position).await?;
        if Head::of(&segment) != head || segment.header.archive != self.archive {
            let damage = Damage { object: position.name(), line: None, fault: Fault::NotRemembered };
            return Err(LedgerError::damaged(&*self.store, damage));
        }
        self.chain = Some(Chain::after(&segment));
        self.next = self.line.after(Some(position));
        Ok(())
    }

    /// The segment that holds entry `n`, or the last one where the ledger is shorter.
    async fn locate(&mut self, n: u64) -> Result<Position, LedgerError> {
        let mut epoch = self.end.epoch;
        while epoch > FIRST_EPOCH && self.first_entry(Position { epoch, sequence: 0 }).await? > n {
            epoch -= 1;
        }
        let (mut low, mut beyond) = (0, self.last_of(epoch).saturating_add(1));
        while beyond - low > 1 {
            let middle = low + (beyond - low) / 2;
            if self.first_entry(Position { epoch, sequence: middle }).await? <= n {
                low = middle;
            } else {
                beyond = middle;
            }
        }
        Ok(Position { epoch, sequence: low })
    }

    async fn first_entry(&mut self, position: Position) -> Result<u64, LedgerError> {
        Ok(fetch::segment(&*self.store, position).await?.header.first)
    }
}

/// The places up to `end`: where an epoch ended is said by the next one's first segment.
pub(super) async fn epoch_line(store: &SharedStore, end: Position) -> Result<EpochLine, LedgerError> {
    let mut ends = Vec::new();
    for epoch in FIRST_EPOCH..end.epoch {
        let opening = fetch::segment(&**store, Position { epoch: epoch + 1, sequence: 0 }).await?;
        match opening.entries.first().map(|first| &first.entry.body) {
            Some(EntryBody::EpochOpened { continues: Some(from), .. }) if from.epoch == epoch => {
                ends.push(from.sequence)
            }
            _ => {
                let damage = Damage { object: opening.position.name(), line: Some(2), fault: Fault::Opening };
                return Err(LedgerError::damaged(&**store, damage));
            }
        }
    }
    ends.push(end.sequence);
    Ok(EpochLine::of(ends))
}

/// Which entries are meant.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// Only entries from this index on.
    pub from: u64,
    /// Only this kind, as the line spells it.
    pub kind: Option<String>,
    /// Only entries that name this study.
    pub study: Option<StudyUid>,
}

impl Filter {
    /// Whether an entry is meant.
    #[must_use]
    pub fn matches(&self, recorded: &Recorded) -> bool {
        let body = &recorded.entry.body;
        recorded.entry.n >= self.from
            && self.kind.as_deref().is_none_or(|kind| body.kind() == kind)
            && self.study.as_ref().is_none_or(|study| body.studies().contains(study))
    }
}

/// The entries of a ledger that a filter lets through, in order.
#[derive(Debug)]
pub struct Entries {
    walk: Walk,
    filter: Filter,
    ready: std::vec::IntoIter<Recorded>,
}

impl Entries {
    /// Begins at the filter's first entry.
    ///
    /// # Errors
    /// As [`Walk::begin`].
    pub async fn begin(
        store: SharedStore,
        archive: ArchiveId,
        filter: Filter,
        end: Position,
    ) -> Result<Self, LedgerError> {
        let start = if filter.from == 0 { Start::Genesis } else { Start::AtEntry(filter.from) };
        let walk = Walk::begin(store, archive, start, end).await?;
        Ok(Self { walk, filter, ready: Vec::new().into_iter() })
    }

    /// The next entry; `None` after the last.
    ///
    /// # Errors
    /// As [`Walk::next`].
    pub async fn next(&mut self) -> Result<Option<Recorded>, LedgerError> {
        loop {
            if let Some(entry) = self.ready.find(|entry| self.filter.matches(entry)) {
                return Ok(Some(entry));
            }
            match self.walk.next().await? {
                Some(segment) => self.ready = segment.entries.into_iter(),
                None => return Ok(None),
            }
        }
    }
}
