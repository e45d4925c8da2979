//! The ledger: the one ordered record of what happened to the archive (docs/FORMAT.md, "Ledger").
//!
//! [`Ledger::open`] reads, compares all stores and gives the one writer; [`Walk`] and [`Entries`] read in order, checking
//! as they go; [`verify()`] names all damage of one store; [`prove()`] convinces outsiders. What must always hold: a segment
//! is created once, each names the one before it, and nothing is answered before it is in the home (promises I10, I11,
//! I13).

mod batch;
mod bundle;
pub mod chain;
pub mod checkpoint;
mod commit;
pub mod entry;
pub mod error;
mod fetch;
pub mod fold;
mod followers;
pub mod head;
pub mod line;
mod line_of_epochs;
pub mod merkle;
pub mod name;
mod open;
pub mod proof;
mod prove;
pub mod ranges;
mod report;
pub mod segment;
mod verify;
pub mod vouched;
pub mod word;
mod writer;
mod zstd_frame;

pub use batch::in_batches;
pub use chain::{Chain, Head};
pub use error::{Damage, Fault, LedgerError};
pub use fold::{Entries, Filter, Start, Walk};
pub use followers::{Member, StoreLag};
pub use head::{LedgerState, find_end};
pub use line::Recorded;
pub use name::Position;
pub use open::{Checked, LedgerStores, MAX_BATCH_WINDOW, OpenOptions, Opened, Opening, WhenEmpty};
pub use prove::{ProveError, prove};
pub use report::{MAX_FINDINGS, Report, Summary};
pub use segment::Segment;
pub use verify::verify;
pub use word::Word;
pub use writer::{Appended, Ledger, Standing};

#[cfg(test)]
mod tests;
