//! Packs: ZIP files of DICOM files, seekable to a single frame (docs/FORMAT.md, "Packs").

mod place;

pub use place::{IndexedVersion, PackPlace, PackRef, RootPlace};
