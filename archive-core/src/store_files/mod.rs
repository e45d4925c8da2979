//! The two files that lie in every store beside what they describe: what this is, and how to read it without Vellum.
//!
//! They are written when a store joins an archive (docs/FORMAT.md, "Store"). Whoever finds the store in thirty years has
//! nothing else, so `extract.py` needs no more than Python 3 and one unpacking program, and `README.txt` says so.

/// `README.txt`: plain text, for people.
pub const README: &str = include_str!("README.txt");

/// `extract.py`: lists, verifies and extracts everything in a store with Python's standard library and one of `zstd`,
/// `7zz` (or `7z`) and `bsdtar`.
pub const EXTRACT: &str = include_str!("extract.py");
