//! What tests and simulations put in the place of the real world: a machine that can be killed, a disk and stores that
//! fail, a clock that a simulation drives, work that stays on one thread. For tests only (feature `test-support`).
//!
//! | the real thing | here | what it can do |
//! |---|---|---|
//! | the process and its power | [`Machine`] | die at the n-th input or output, before or after it took effect; keeps the trace |
//! | the journal's disk | [`FaultDisk`] | fail the n-th call, forget at a power cut what was not synced |
//! | a store | [`FaultStore`] | be away, refuse, lose answers, deliver late or twice, give wrong bytes, be slow |
//! | the catalog's store | [`FaultCatalog`] | forget at a power cut what was not flushed |
//! | the clock | [`VirtualClock`] | follows tokio's paused time |
//! | threads for blocking work | [`in_place`] | does that work on the runtime's own thread, in an order that follows from a seed |
//!
//! docs/FAULTS.md says which tests use them and how a failure is replayed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test that goes wrong here should end"
)]

pub mod data_set;
mod fault_catalog;
mod fault_disk;
mod fault_store;
pub mod in_place;
mod machine;
pub mod small;
mod virtual_clock;

pub use fault_catalog::FaultCatalog;
pub use fault_disk::{DiskFault, FaultDisk, Hold};
pub use fault_store::{FaultStore, Op, StoreFault};
pub use machine::{Effect, Machine};
pub use virtual_clock::VirtualClock;
