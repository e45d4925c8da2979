//! The DICOMweb doors on loopback, over an archive in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so by failing")]

mod client;
mod fake;
mod hostile;
mod python;
mod retrieve;
mod search;
mod server;
mod store;
