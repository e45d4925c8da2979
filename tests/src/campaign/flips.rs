//! Flipped bytes.
use super::part::Part;
pub(super) fn parts(_: Option<u64>) -> Vec<Part> {
    Vec::new()
}
