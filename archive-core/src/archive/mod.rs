//! The façade: everything a door or a job may ask of the archive.

mod contract;

pub use contract::*;
