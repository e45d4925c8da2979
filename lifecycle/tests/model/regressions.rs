//! Sequences that found a defect once, and must not again.
