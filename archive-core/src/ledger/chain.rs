//! The chain: what must hold from one segment to the next. Reading, verifying and writing all go through it.
//!
//! A segment is accepted when it continues the one before it by SHA-256, goes on with its entry numbers, its frontier
//! and its vouched time, and stands at the next place: the next sequence, or sequence 0 of the next epoch, which must
//! then begin by saying what it continues. What was accepted is summed up in a [`Head`].

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::entry::{EntryBody, StoreEntry, StoreRole};
use super::error::{Damage, Fault};
use super::merkle::Frontier;
use super::name::Position;
use super::proof::TreeHead;
use super::segment::Segment;
use crate::identifiers::{ArchiveId, Sha256Digest, StoreId};

/// Where a ledger ends: what is kept beside the journal, compared between stores, and checked at the next start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Head {
    /// Epoch of the last segment.
    pub epoch: u32,
    /// Its sequence.
    pub sequence: u64,
    /// SHA-256 of its object.
    pub sha256: Sha256Digest,
    /// Entries of the ledger up to its end; the next one has this index.
    pub size: u64,
    /// RFC 9162 root over them.
    pub root: Sha256Digest,
}

impl Head {
    /// The head of a ledger that ends with this segment.
    #[must_use]
    pub fn of(segment: &Segment) -> Self {
        let Position { epoch, sequence } = segment.position;
        let TreeHead { size, root } = segment.tree();
        Self { epoch, sequence, sha256: segment.sha256, size, root }
    }

    /// The place of the last segment.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, sequence: self.sequence }
    }

    /// Size and root.
    #[must_use]
    pub fn tree(&self) -> TreeHead {
        TreeHead { size: self.size, root: self.root }
    }
}

/// What was accepted so far.
#[derive(Clone, Debug)]
pub struct Chain {
    archive: ArchiveId,
    head: Option<Head>,
    frontier: Frontier,
    vouched: Timestamp,
    /// An entry closed the last epoch.
    closed: bool,
    home: Option<StoreId>,
    /// Index of the first entry of a kind that this program does not know.
    unknown: Option<u64>,
}

impl Chain {
    /// Nothing accepted yet: the next segment must be the first of all.
    #[must_use]
    pub fn genesis(archive: ArchiveId) -> Self {
        Self {
            archive,
            head: None,
            frontier: Frontier::empty(),
            vouched: Timestamp::MIN,
            closed: false,
            home: None,
            unknown: None,
        }
    }

    /// Goes on after a segment that somebody vouches for: the next one must continue it.
    #[must_use]
    pub fn after(segment: &Segment) -> Self {
        let mut chain = Self::genesis(segment.header.archive.clone());
        chain.take(segment);
        chain
    }

    /// The last segment accepted.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        self.head
    }

    /// The frontier after it.
    #[must_use]
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// The last vouched time.
    #[must_use]
    pub fn vouched(&self) -> Timestamp {
        self.vouched
    }

    /// Whether the last epoch is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The home that the ledger names, as far as it was read.
    #[must_use]
    pub fn home(&self) -> Option<&StoreId> {
        self.home.as_ref()
    }

    /// Index of the first entry of an unknown kind among those accepted.
    #[must_use]
    pub fn unknown(&self) -> Option<u64> {
        self.unknown
    }

    /// Checks that a segment continues what was accepted.
    ///
    /// # Errors
    /// [`Damage`] that names the segment.
    pub fn check(&self, segment: &Segment) -> Result<(), Damage> {
        let at = |line, fault| Err(Damage { object: segment.position.name(), line, fault });
        let header = &segment.header;
        if header.archive != self.archive {
            return at(Some(1), Fault::OtherArchive);
        }
        if header.previous != self.head.map(|head| head.sha256) {
            return at(Some(1), Fault::Previous);
        }
        if header.first != self.frontier.size() {
            return at(Some(1), Fault::Number { expected: self.frontier.size(), found: header.first });
        }
        if header.frontier != self.frontier.subtrees() {
            return at(Some(1), Fault::Frontier);
        }
        if segment.entries.first().is_some_and(|first| first.entry.vouched < self.vouched) {
            return at(Some(2), Fault::TimeRunsBack);
        }
        self.check_epoch(segment).or_else(|(line, fault)| at(line, fault))
    }

    /// Checks what a segment says of epochs: entries that open one stand at its beginning and nowhere else, and nothing
    /// follows the entry that closes one.
    fn check_epoch(&self, segment: &Segment) -> Result<(), (Option<u64>, Fault)> {
        let opening = self.opening_length(segment).ok_or((Some(2), Fault::Opening))?;
        let mut closed = opening == 0 && self.closed;
        for (line, recorded) in (2_u64..).zip(&segment.entries) {
            if closed {
                return Err((Some(line), Fault::AfterClose));
            }
            match recorded.entry.body {
                EntryBody::ArchiveCreated { .. } | EntryBody::EpochOpened { .. } if line - 2 >= opening => {
                    return Err((Some(line), Fault::Opening));
                }
                EntryBody::EpochClosed { epoch, .. } if epoch == segment.position.epoch => closed = true,
                _ => {}
            }
        }
        Ok(())
    }

    /// How many entries at the beginning of a segment open an epoch: none, `epoch_opened`, or both of the first
    /// segment. `None` when it does not stand at the next place or does not begin as it must.
    fn opening_length(&self, segment: &Segment) -> Option<u64> {
        let mut bodies = segment.entries.iter().map(|recorded| &recorded.entry.body);
        let Some(head) = self.head else {
            let genesis = segment.position == Position::GENESIS
                && matches!(bodies.next(), Some(EntryBody::ArchiveCreated { archive, format, .. })
                    if *archive == self.archive && *format == super::segment::FORMAT)
                && matches!(bodies.next(), Some(EntryBody::EpochOpened { epoch, continues: None, .. })
                    if *epoch == segment.position.epoch);
            return genesis.then_some(2);
        };
        if segment.position == head.position().next() {
            return Some(0);
        }
        let next_epoch = Position { epoch: head.epoch.checked_add(1)?, sequence: 0 };
        let continues_head = matches!(bodies.next(), Some(EntryBody::EpochOpened { epoch, continues: Some(from), .. })
            if *epoch == next_epoch.epoch
                && (Head { epoch: from.epoch, sequence: from.sequence, sha256: from.sha256, size: from.size, root: from.root }) == head);
        (segment.position == next_epoch && continues_head).then_some(1)
    }

    /// Takes a segment that was checked.
    pub fn take(&mut self, segment: &Segment) {
        if self.head.is_none_or(|head| head.epoch != segment.position.epoch) {
            self.closed = false;
        }
        self.head = Some(Head::of(segment));
        self.frontier = segment.frontier.clone();
        for recorded in &segment.entries {
            self.vouched = recorded.entry.vouched;
            match &recorded.entry.body {
                EntryBody::ArchiveCreated { stores, .. } | EntryBody::HomeChanged { stores } => {
                    self.home = home_of(stores).or(self.home.take());
                }
                EntryBody::EpochClosed { epoch, .. } if *epoch == segment.position.epoch => self.closed = true,
                EntryBody::Unknown(_) => self.unknown = self.unknown.or(Some(recorded.entry.n)),
                _ => {}
            }
        }
    }

    /// Checks a segment and takes it.
    ///
    /// # Errors
    /// As [`Chain::check`]; the chain is unchanged then.
    pub fn accept(&mut self, segment: &Segment) -> Result<(), Damage> {
        self.check(segment)?;
        self.take(segment);
        Ok(())
    }
}

fn home_of(stores: &[StoreEntry]) -> Option<StoreId> {
    stores.iter().find(|entry| entry.role == StoreRole::Home).map(|entry| entry.store.clone())
}
