//! Fuzz targets: what must hold of every parser that reads what strangers sent or disks kept.
//!
//! Each module has one function `run`, which takes any bytes and panics where something that must hold does not. `scripts/fuzz`
//! gives it to libFuzzer (`tests/fuzz/programs`); the tests of this crate give it its seeds and seeded mutations of them
//! ([`short`]), in every run of `scripts/test`. `tests/fuzz/README.md` says which target asserts what.
//!
//! The first bytes of an input steer (in which form, cut where); the rest is what is parsed. So a finding is one file.

// Whatever does not hold ends the run: that is the purpose of everything here.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

pub mod charset;
pub mod dicom_json;
pub mod dimse;
pub mod journal;
pub mod journal_folder;
pub mod ledger;
pub mod memory;
pub mod multipart;
pub mod pack;
pub mod pack_index;
pub mod pdu;
pub mod qido;
pub mod scanner;
pub mod short;

mod edits;
mod files;
mod pieces;

/// A target: its name, what it does with an input, and the longest input that is worth its time (bytes).
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Of the program in `tests/fuzz/programs`, and of the folder in `seeds/`.
    pub name: &'static str,
    /// Panics where something that must hold does not.
    pub run: fn(&[u8]),
    /// Bytes.
    pub length_max: usize,
}

/// All of them.
pub const TARGETS: [Target; 12] = [
    Target { name: "scanner", run: scanner::run, length_max: 4096 },
    Target { name: "dicom_json", run: dicom_json::run, length_max: 1024 },
    Target { name: "charset", run: charset::run, length_max: 256 },
    Target { name: "multipart", run: multipart::run, length_max: 1024 },
    Target { name: "qido", run: qido::run, length_max: 512 },
    Target { name: "pdu", run: pdu::run, length_max: 2048 },
    Target { name: "dimse", run: dimse::run, length_max: 512 },
    Target { name: "journal", run: journal::run, length_max: 32 * 1024 },
    Target { name: "journal_folder", run: journal_folder::run, length_max: 256 },
    Target { name: "pack", run: pack::run, length_max: 512 },
    Target { name: "pack_index", run: pack_index::run, length_max: 4096 },
    Target { name: "ledger", run: ledger::run, length_max: 8192 },
];

/// Waits for something that needs a runtime; one for each thread, kept.
fn on_a_runtime<T>(wait: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    }
    RUNTIME.with(|runtime| runtime.block_on(wait))
}
