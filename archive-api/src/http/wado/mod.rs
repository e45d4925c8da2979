//! WADO-RS: retrieve (PS3.18 §10.4): instances, metadata, frames, bulk data; all as stored.
//!
//! What must always hold: the status is decided when the first bytes are there and checked; what fails later cuts the
//! connection. A short body never looks whole, and no byte leaves that was not checked (promise I9).

mod bulkdata;
mod byte_order;
mod frames;
mod gaps;
mod instances;
mod metadata;
mod selected;

pub use bulkdata::bulkdata;
pub use frames::frames;
pub use gaps::warn_of_gaps;
pub use instances::instances;
pub use metadata::metadata;
