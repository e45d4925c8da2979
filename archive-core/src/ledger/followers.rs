//! Stores that follow the home: compared with it before anything is written to them, then fed segment by segment, in
//! order, with the home's own bytes.
//!
//! A follower that is longer than the home or tells another story is never written to. One that another writer has
//! written to stops this one for good: that is how a machine learns that it was replaced, when its home cannot tell.

use bytes::Bytes;
use parking_lot::Mutex;

use super::chain::Head;
use super::commit::{NotCommitted, commit};
use super::entry::StoreRole;
use super::error::LedgerError;
use super::fetch;
use super::head::{LedgerState, find_end};
use super::line_of_epochs::EpochLine;
use super::name::Position;
use crate::identifiers::{Sha256Digest, StoreId};
use crate::store::SharedStore;

/// A store of the archive with the id from its `archive.json`.
#[derive(Clone, Debug)]
pub struct Member {
    /// The id by which the ledger names it.
    pub id: StoreId,
    /// The store.
    pub store: SharedStore,
}

/// How far a follower is, as far as this process knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reached {
    /// Not compared yet.
    Unknown,
    /// It holds the home's segments up to and including this one.
    UpTo(Option<Position>),
}

/// A store that follows the home.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) member: Member,
    pub(super) role: StoreRole,
    /// Written by whoever feeds; only ever moves forward. Held for an assignment, never while waiting.
    reached: Mutex<Reached>,
}

/// How far a store is behind the home.
#[derive(Clone, Debug)]
pub struct StoreLag {
    /// The store.
    pub store: StoreId,
    /// Its part.
    pub role: StoreRole,
    /// Segments of the home that it has not; `None` while it could not be compared.
    pub segments: Option<u64>,
    /// Why it was not brought further, where it was tried and failed.
    pub error: Option<LedgerError>,
}

/// The newest segment, still in hand.
#[derive(Clone, Debug)]
pub(super) struct InHand {
    pub(super) position: Position,
    pub(super) bytes: Bytes,
}

impl Follower {
    pub(super) fn new(member: Member, role: StoreRole) -> Self {
        Self { member, role, reached: Mutex::new(Reached::Unknown) }
    }

    /// The last segment that it is known to hold.
    pub(super) fn reached(&self) -> Option<Position> {
        match *self.reached.lock() {
            Reached::UpTo(reached) => reached,
            Reached::Unknown => None,
        }
    }

    /// Whether it holds everything up to a place.
    pub(super) fn holds(&self, position: Position) -> bool {
        self.reached().is_some_and(|reached| reached >= position)
    }

    /// How far it is behind the end of a line.
    pub(super) fn lag(&self, line: &EpochLine, error: Option<LedgerError>) -> StoreLag {
        let segments = match *self.reached.lock() {
            Reached::Unknown => None,
            Reached::UpTo(reached) => Some(line.remaining(reached)),
        };
        StoreLag { store: self.member.id.clone(), role: self.role, segments, error }
    }

    /// Compares it with the home, if that was not done yet. The home's line is asked for after the follower was looked
    /// at: what others feed meanwhile is in the home before it is here, and must not look like more than the home has.
    pub(super) async fn compare(
        &self,
        home: &SharedStore,
        line: impl Fn() -> EpochLine,
    ) -> Result<Option<Position>, LedgerError> {
        if let Reached::UpTo(reached) = *self.reached.lock() {
            return Ok(reached);
        }
        let store = &self.member.store;
        let found = match find_end(&**store).await? {
            LedgerState::Empty => None,
            LedgerState::Damaged(damage) => return Err(LedgerError::damaged(&**store, damage)),
            LedgerState::EndsAt(end) => {
                check_beginning(home, &line(), store, end).await?;
                Some(end)
            }
        };
        self.advance(found);
        Ok(found)
    }

    /// Copies what the home has and it has not, up to the line's end as it is now.
    ///
    /// A crash here leaves a shorter follower; the next start or the next call goes on.
    pub(super) async fn feed(
        &self,
        home: &SharedStore,
        line: impl Fn() -> EpochLine,
        in_hand: Option<&InHand>,
    ) -> Result<(), LedgerError> {
        let mut reached = self.compare(home, &line).await?;
        let line = line();
        while let Some(next) = line.after(reached) {
            let bytes = match in_hand {
                Some(in_hand) if in_hand.position == next => in_hand.bytes.clone(),
                _ => fetch::segment_bytes(&**home, next).await?,
            };
            commit(&*self.member.store, next, &bytes).await.map_err(|error| match error {
                NotCommitted::Open(source) => LedgerError::Store(source),
                NotCommitted::Lost(error) => error,
            })?;
            reached = Some(next);
            self.advance(reached);
        }
        Ok(())
    }

    fn advance(&self, position: Option<Position>) {
        let mut reached = self.reached.lock();
        *reached = match *reached {
            Reached::UpTo(before) => Reached::UpTo(before.max(position)),
            Reached::Unknown => Reached::UpTo(position),
        };
    }
}

/// Checks that a store's ledger, which ends at `end`, is the beginning of the home's: by the bytes of the last segment,
/// for each names the one before it, so that equal ends are equal ledgers.
async fn check_beginning(
    home: &SharedStore,
    line: &EpochLine,
    other: &SharedStore,
    end: Position,
) -> Result<(), LedgerError> {
    let home_end = line.end().unwrap_or(Position::GENESIS);
    let shared = end.min(home_end);
    if !line.passes(shared) || !same_bytes(home, other, shared).await? {
        let at = first_difference(home, line, other, shared).await?;
        fetch::segment(&**other, at).await?; // What cannot be read is damage, and no other story.
        return Err(LedgerError::Forked { store: other.name().to_owned(), home: home.name().to_owned(), at });
    }
    if end > home_end {
        return Err(LedgerError::HomeBehind { store: other.name().to_owned(), home: home.name().to_owned() });
    }
    Ok(())
}

async fn same_bytes(home: &SharedStore, other: &SharedStore, position: Position) -> Result<bool, LedgerError> {
    let (ours, theirs) =
        futures::join!(fetch::segment_bytes(&**home, position), fetch::segment_bytes(&**other, position));
    Ok(ours? == theirs?)
}

/// The first place of an epoch where two stores differ, when they differ at `known` or `known` is beyond the line.
async fn first_difference(
    home: &SharedStore,
    line: &EpochLine,
    other: &SharedStore,
    known: Position,
) -> Result<Position, LedgerError> {
    let Some(last) = line.last_of(known.epoch) else { return Ok(known) };
    let at = |sequence| Position { epoch: known.epoch, sequence };
    let (mut low, mut differs) = (0, known.sequence.min(last.saturating_add(1)));
    while low < differs {
        let middle = low + (differs - low) / 2;
        if same_bytes(home, other, at(middle)).await? {
            low = middle + 1;
        } else {
            differs = middle;
        }
    }
    Ok(at(differs))
}

/// Whether the home still holds the head that was remembered.
pub(super) async fn check_remembered(
    home: &SharedStore,
    line: &EpochLine,
    remembered: &Head,
) -> Result<(), LedgerError> {
    let position = remembered.position();
    let end = line.end().unwrap_or(Position::GENESIS);
    if position > end {
        return Err(LedgerError::RolledBack { store: home.name().to_owned(), remembered: position });
    }
    let same =
        line.passes(position) && Sha256Digest::of(&fetch::segment_bytes(&**home, position).await?) == remembered.sha256;
    if same {
        return Ok(());
    }
    let store = home.name().to_owned();
    Err(LedgerError::Forked { store, home: "the head that this machine remembers".to_owned(), at: position })
}
