//! The DIMSE door: associations over TCP (PS3.8), Verification and Storage as SCP (PS3.7, PS3.4 Annexes A and B).
//!
//! [`pdu`] turns bytes into PDUs, `association` says what may follow what, [`presentation`] what is talked about,
//! [`command`] and `status` are the words of DIMSE. The door decides nothing about instances: it streams each data
//! set, byte for byte, into a [`StoreTarget`] and answers success only with what that hands back (promise I1).
//!
//! What always holds: no length that a peer claims reserves memory; a bad message or a panic ends its own association
//! and no other; a refused instance leaves its association usable; no patient data enters a log, a metric or an error.

mod admission;
mod association;
pub mod command;
mod config;
mod measures;
pub mod pdu;
pub mod presentation;
mod server;
mod status;
mod target;

pub use config::{AssociationLimits, DimseConfig, Peer, Timeouts};
pub use server::{BindError, DimseServer};
pub use status::DimseStatus;
pub use target::{StoreReceiving, StoreTarget};

#[cfg(test)]
mod tests;
