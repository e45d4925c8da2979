//! Classes of attack on archives of images, against the real program: `docs/THREATS.md` lists all of them, and which tests
//! there are for each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod attacker;
mod bodies;
mod browsers;
mod connections;
mod paths;
mod program;
mod stores;
mod traced;
