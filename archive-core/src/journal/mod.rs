//! The journal: what was received is on this disk, synced, before anyone is told so (promise I1).
//!
//! An append-only list of framed records in segment files, written by one thread, one `fdatasync` for all who wait.
//! It is the truth for what is not sealed yet (promise I10 for receiving): after a crash [`Journal::open`] reads it
//! back, and every byte that is read from it is checked against the commit record (promise I9). docs/FORMAT.md,
//! "Journal", has the bytes.
//!
//! What must always hold:
//! - An answer is given only after the segment, the spill file, their mirrors and their folders were synced.
//! - After a failed sync nothing is retried and nothing more is accepted; reading goes on.
//! - A receipt number is never given twice, also after everything was released.
//! - Nothing that cannot be read is thrown away: bad tails are kept as `tail-…` beside the segments.
//!
//! Release has no record of its own: after a restart, receipts that were released show up again if their segment is
//! still there, and the archive, which compares them with the ledger, releases them again.

mod appender;
mod blocks;
mod compact;
mod content;
mod disk;
mod entry;
mod error;
mod facade;
mod folder;
mod frame;
mod inspect;
mod intake;
mod mirror;
mod options;
mod record;
mod recover;
mod reread;

mod scan;
mod spares;
mod state;
mod tables;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

pub use compact::Compacted;
pub use content::{JournalContent, JournalContentBytes, JournalReader};
pub use disk::{Disk, RealDisk, SharedDisk};
pub use entry::{JournalEntry, PendingReceipt};
pub use error::JournalError;
pub use facade::Journal;
pub use inspect::{Inspected, InspectedWhat, inspect};
pub use intake::Intake;
pub use options::JournalOptions;
pub use recover::{Finding, FindingKind, Recovered};
pub use state::JournalStatus;
