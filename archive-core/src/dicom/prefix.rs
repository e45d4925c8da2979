//! The prefix of an instance that came without a file: preamble, `DICM` and file meta group (PS3.10 §7.1).
