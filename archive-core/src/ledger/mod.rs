//! The ledger: the one ordered record of what happened to the archive (docs/FORMAT.md, "Ledger").

pub mod entry;
