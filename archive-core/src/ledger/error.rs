//! What can be wrong with a ledger, and what a writer may run into: by what the caller should do.
//!
//! A [`Damage`] names the object, the line in it where one is meant, and what is wrong there. Nothing of a line's text
//! is quoted: what lies in a store may have been put there by anybody.

use std::sync::Arc;

use crate::identifiers::StoreId;
use crate::store::{StoreError, StoreKey, StoreKeyError};

/// Something in a store's ledger is not as it was written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{object}{}: {fault}", line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct Damage {
    /// The object's name.
    pub object: String,
    /// The line in it, from 1 (the header), where one line is meant.
    pub line: Option<u64>,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with an object of a ledger.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// It is not there, though later ones or a record of it are.
    #[error("it is missing: restore it from another store")]
    Missing,
    /// It and those after it are not there, though later ones are.
    #[error("it and all up to sequence {last} are missing: restore them from another store")]
    MissingThrough {
        /// The last sequence that is missing.
        last: u64,
    },
    /// Segments lie above a place where none is.
    #[error("segments lie above it but it is missing: restore it from another store")]
    Gap,
    /// Longer than a segment or bundle may be.
    #[error("it is longer than the {limit} bytes that it may have")]
    TooLong {
        /// The limit in bytes.
        limit: u64,
    },
    /// Not what the zstd format says, or not one frame with checksum, size and no dictionary.
    #[error("it is not one whole zstd frame with a checksum")]
    Frame,
    /// Not lines of UTF-8, each ended by a line feed, at least three.
    #[error("it is not made of lines of UTF-8 text")]
    Text,
    /// The first line is no header.
    #[error("it is no segment header (JSON column {column})")]
    Header {
        /// Where the reader gave up, from 1.
        column: usize,
    },
    /// A line between the first and the last is no entry.
    #[error("it is no ledger entry (JSON column {column})")]
    Entry {
        /// Where the reader gave up, from 1; 0 where the members are wrong together.
        column: usize,
    },
    /// The last line is no checkpoint.
    #[error("it is no checkpoint line")]
    Checkpoint,
    /// The header names another archive.
    #[error("it belongs to another archive")]
    OtherArchive,
    /// The header names another place than the object's name.
    #[error("its header says that it is another segment")]
    OtherPlace,
    /// The frontier has not as many subtrees as the index of the first entry demands.
    #[error("its Merkle frontier does not fit the index of its first entry")]
    FrontierShape,
    /// An entry has not the index that follows.
    #[error("the entry index {found} stands where {expected} must stand")]
    Number {
        /// The index that follows.
        expected: u64,
        /// The index that stands there.
        found: u64,
    },
    /// Trusted time runs backwards.
    #[error("its vouched time is before that of the entry before it")]
    TimeRunsBack,
    /// The checkpoint is not that of the frontier and the entries.
    #[error("its checkpoint is not that of its entries")]
    Root,
    /// The header names another previous segment than the one that lies before it.
    #[error("it does not continue the segment before it (SHA-256)")]
    Previous,
    /// The next segment names other bytes than these.
    #[error("its bytes are not those that the next segment continues (SHA-256)")]
    NotContinued,
    /// The frontier is not that of all entries before.
    #[error("its Merkle frontier is not that of the entries before it")]
    Frontier,
    /// An epoch does not begin as it must.
    #[error("it opens an epoch but does not begin with an entry that says so and what it continues")]
    Opening,
    /// Something follows the end of an epoch.
    #[error("it follows the entry that closed its epoch")]
    AfterClose,
    /// The segment is not that of the head that was remembered.
    #[error("it is not the segment that the remembered head names (SHA-256)")]
    NotRemembered,
    /// A bundle does not hold the segments of its folder.
    #[error(
        "the bundle is not the concatenation of its folder's segments; it is derived: delete it and it is made anew"
    )]
    Bundle,
    /// A name that Vellum gives to nothing.
    #[error("Vellum gives no object such a name")]
    Name,
    /// A newer format.
    #[error("it is of ledger format {found}; this program reads format 1: use a newer program")]
    NewerFormat {
        /// The format it says it has.
        found: u64,
    },
}

/// What stops a reader or a writer of a ledger.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LedgerError {
    /// A store could not be asked. Nothing of what was asked for was recorded; try again.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// The outcome of a write is not known and may stay so for a while. The entries are kept and go first: do not append
    /// them again, settle.
    #[error(
        "entries {first} to {last} may or may not be in the ledger: {source}; they are tried again first, do not append them again"
    )]
    Unsettled {
        /// Index of the first entry in question.
        first: u64,
        /// Index of the last.
        last: u64,
        /// What the store said.
        source: Arc<StoreError>,
    },
    /// Somebody else wrote where we were about to (promise I13): this writer has stopped for good.
    #[error(
        "store {store}: {key} was written by another writer ({by}): another machine has this archive now; this one has \
         stopped for good. If there is no other machine, start again"
    )]
    Fenced {
        /// The store's name.
        store: String,
        /// The segment.
        key: StoreKey,
        /// Nonce of the other writer, or what lies there instead.
        by: String,
    },
    /// A ledger is damaged: read-only until repaired from another store.
    #[error(
        "store {store}: the ledger is damaged: {damage}; nothing is appended until it is repaired from another store"
    )]
    Damaged {
        /// The store's name.
        store: String,
        /// Where and what.
        #[source]
        damage: Damage,
    },
    /// A kind this program does not know: reading goes on, writing does not.
    #[error(
        "store {store}: entry {n} is of a kind that this program does not know; use the newer program that wrote it"
    )]
    UnknownKind {
        /// The store's name.
        store: String,
        /// Index of the entry.
        n: u64,
    },
    /// The home is older than what this data folder remembers.
    #[error(
        "store {store}: its ledger ends before {remembered}, which was there already: the store was rolled back. Restore \
         the missing segments from another store, or take over from one that has them"
    )]
    RolledBack {
        /// The store's name.
        store: String,
        /// The place remembered.
        remembered: super::name::Position,
    },
    /// Another store knows more than the home.
    #[error(
        "store {store} has a longer ledger than the home {home}: the home was rolled back or is not the home. Restore it \
         from {store}, or take over with {store} as home"
    )]
    HomeBehind {
        /// The longer store's name.
        store: String,
        /// The home's name.
        home: String,
    },
    /// Two stores tell two different stories.
    #[error(
        "store {store}: {at} is not the same as in {home}: the ledger was forked. Nothing is appended; compare both \
         (`vellum ledger verify`) and decide by a takeover which one holds"
    )]
    Forked {
        /// The store's name.
        store: String,
        /// The store it was compared with.
        home: String,
        /// The first place found to differ.
        at: super::name::Position,
    },
    /// There is no ledger, and none was asked to be created.
    #[error(
        "store {store} holds no ledger: it is empty or another store than meant; an archive is created only on request"
    )]
    NoLedger {
        /// The store's name.
        store: String,
    },
    /// The ledger says that another store is its home.
    #[error("store {given} is not the home of this ledger, {named} is; the home changes only by takeover")]
    NotHome {
        /// The store that was given as home.
        given: StoreId,
        /// The store that the ledger names.
        named: StoreId,
    },
    /// The last epoch is closed, or a later one was opened elsewhere.
    #[error("epoch {epoch} is over: another machine took the archive over; this one appends no more")]
    EpochOver {
        /// The epoch that ended.
        epoch: u32,
    },
    /// More than one segment can hold.
    #[error("{bytes} bytes of entries do not fit into one segment of {limit}: append them in several calls")]
    TooLarge {
        /// Bytes of their lines.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Entries that only the ledger itself writes, of unknown kinds, or none at all.
    #[error("{0} cannot be appended")]
    NotAppendable(String),
    /// The operating system has no randomness to give.
    #[error("no random bytes for a nonce: {0}")]
    Entropy(String),
    /// The writer has ended.
    #[error("the ledger's writer has ended; open the ledger again")]
    Ended,
    /// An entry could not be written as JSON, or a segment not be compressed: a defect of the program.
    #[error("a segment could not be made: {0}")]
    Encoding(String),
    /// A name that no object may have: a defect of the program.
    #[error(transparent)]
    Name(#[from] StoreKeyError),
}

impl From<StoreError> for LedgerError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl LedgerError {
    /// Damage found in a store.
    pub(super) fn damaged(store: &dyn crate::store::Store, damage: Damage) -> Self {
        Self::Damaged { store: store.name().to_owned(), damage }
    }
}
