//! Crashes of the real program at any call that changes a file: what it was doing (a phase), where it is killed (a plan
//! of [`crate::fault_at`]), and what must hold afterwards ([`crate::oracle`]).
//!
//! One archive goes through many crashes in a row, so that each start finds what the crash before it left. After each
//! start everything acknowledged since the one before is fetched and compared; before an archive is left, all of it, the
//! ledger from its first entry, and the catalog against a rebuilt one.

mod acts;
mod phase;
mod yard;

pub use phase::Phase;
pub use yard::{Crash, Faulted, Verdict, Yard};
