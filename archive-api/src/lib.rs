//! The doors of Vellum: DICOMweb, DIMSE and the command line. They translate; the archive decides.

pub mod api;
pub mod cli;
pub mod config;
pub mod dimse;
pub mod http;
pub mod measures;
pub mod readiness;
pub mod running;
pub mod server;
pub mod store_status;
