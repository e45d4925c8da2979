//! The long form of the crash and damage tests: `scripts/faults`.
//!
//! Parts, each of which goes through many crashes or flips, printed as it ends; lanes that take them one after the other;
//! at the end one summary. A part that finds something that does not hold says with which seed, and keeps its folder.

mod crashes;
mod flips;
mod part;
mod power;
mod summary;

pub use part::{Options, Part, parts, run};
pub use summary::Summary;
