//! Packs: ZIP files of DICOM files, seekable to a single frame (docs/FORMAT.md, "Packs").
//!
//! [`PackBuilder`] writes one into scratch, [`verify_scratch`] reads it back whole, [`PackReader`] serves from copies in
//! stores. Every byte that leaves here was checked by an unbroken chain: the ledger's entry names the digest of the root,
//! the root those of index and tables, these those of the units (promise I9).

mod builder;
mod cache;
mod codec;
mod error;
mod format;
mod index_line;
mod inspect;
mod member;
mod parts;
mod place;
mod reader;
mod root;
mod scratch;
mod source;
mod spool;
mod tables;
mod unvouched;
mod verify;
mod version;
mod zip;

pub use builder::{BuiltPack, PackBuilder, PackOptions};
pub use cache::PackCache;
pub use error::PackError;
pub use format::{
    FRAME_FRAGMENTS_MAX, INDEX_LINE_MAX, INLINE_ROWS_MAX, METADATA_LINE_MAX, PACK_FORMAT, PREFIX_MAX, ROOT_MAX,
    TEXT_UNIT_LINES_MAX, TEXT_UNIT_TARGET,
};
pub use inspect::{INSPECTED_MAX, InspectedMember, InspectedVersion, Inspection, inspect};
pub use place::{IndexedVersion, PackPlace, PackRef, RootPlace};
pub use reader::{PackReader, PackSummary};
pub use source::{DamageObserver, LogDamage};
pub use unvouched::unvouched;
pub use verify::{ExpectedVersion, verify_scratch};
pub use version::PackedVersion;

#[cfg(test)]
mod tests;
