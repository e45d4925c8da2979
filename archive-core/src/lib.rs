//! The domain of Vellum: a content-addressed archive for DICOM instances.
//!
//! No HTTP, no DIMSE, no command line here: doors translate, this crate decides. docs/ARCHITECTURE.md has the map.

pub mod archive;
pub mod caller;
pub mod catalog;
pub mod clock;
pub mod dicom;
pub mod entropy;
pub mod holdings;
pub mod identifiers;
pub mod instance;
pub mod journal;
pub mod ledger;
mod off_runtime;
pub mod overlay;
pub mod pack;
pub mod phi;
pub mod query;
pub mod reading;
pub mod receipt;
mod recent;
pub mod rows;
pub mod store;
pub mod store_files;
#[cfg(any(test, feature = "test-support"))]
pub mod testing;
mod zstd_contexts;
