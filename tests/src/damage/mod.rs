//! Flipped bytes, and the whole archive on top of them: it is opened, everything is found, read back and verified.
//!
//! What must hold of any flip: nothing that leaves the archive is other than what was sent; only what the byte belongs to
//! may be missing; and the damage is said, with the name of what is damaged. In the catalog's files it is found, or it
//! changes nothing.

mod archive;
mod kind;
mod look;
mod specimen;

pub use kind::Kind;
pub use look::Looked;
pub use specimen::{Flip, Specimen};
