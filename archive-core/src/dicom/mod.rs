//! What the archive knows of DICOM: how to delimit a data set, what to index of it, where its frames lie.
//!
//! The scanner decides what is accepted; everything behind it may trust the offsets it gives (DESIGN: docs/ARCHITECTURE.md).

pub mod attributes;
pub mod charset;
pub mod cut;
pub mod media_directory;
pub mod prefix;
pub mod scan;
pub mod sop_classes;
pub mod transfer_syntaxes;
