//! The doors of Vellum: DICOMweb, DIMSE and the command line. They translate; the archive decides.

pub mod config;
