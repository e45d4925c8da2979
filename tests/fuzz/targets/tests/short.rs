//! Every fuzz target over its seeds and some thousand mutations of them : the short form of `scripts/fuzz`.
//!
//! The mutations follow from a seed that is printed with a failure; `VELLUM_FUZZ_SEED` gives another one, and
//! `VELLUM_FUZZ_RUNS` another number.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests")]

use std::sync::Mutex;

use fuzz_targets::{TARGETS, short};

/// Targets look at how much memory the process takes: one at a time, where tests share a process.
static ALONE: Mutex<()> = Mutex::new(());

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Runs a target; `runs` is chosen so that it takes about two seconds unoptimised.
fn holds(name: &str, runs: u64) {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let runs = usize::try_from(number("VELLUM_FUZZ_RUNS", runs)).expect("a number");
    let ran = short::run(target, number("VELLUM_FUZZ_SEED", 20_261_128), runs);
    println!("{name}: {ran} inputs");
}

#[test]
fn whatever_the_scanner_reads_any_split_gives_the_same_within_the_input() {
    holds("scanner", 4000);
}

#[test]
fn whatever_values_a_header_has_it_is_json_of_the_right_shape() {
    holds("dicom_json", 4000);
}

#[test]
fn whatever_text_is_decoded_it_is_bounded_and_its_values_are_parts_of_it() {
    holds("charset", 40_000);
}

#[test]
fn whatever_a_multipart_body_holds_any_chunking_gives_the_same_parts() {
    holds("multipart", 20_000);
}

#[test]
fn whatever_is_searched_for_is_bounded_and_no_value_is_in_an_error() {
    holds("qido", 10_000);
}

#[test]
fn whatever_pdus_come_any_chunking_gives_the_same_and_memory_follows_what_came() {
    holds("pdu", 10_000);
}

#[test]
fn whatever_command_comes_it_is_refused_or_has_an_answer() {
    holds("dimse", 40_000);
}

#[test]
fn whatever_a_segment_holds_nothing_is_taken_in_that_was_not_there() {
    holds("journal", 500);
}

#[test]
fn whatever_damage_a_journal_takes_what_it_serves_was_received_and_what_is_missing_is_named() {
    holds("journal_folder", 300);
}

#[test]
fn whatever_damage_a_pack_takes_what_it_serves_was_packed() {
    holds("pack", 800);
}

#[test]
fn whatever_the_index_of_a_pack_says_reading_it_stays_within_bounds() {
    holds("pack_index", 1500);
}

#[test]
fn whatever_damage_a_ledger_takes_it_is_found() {
    holds("ledger", 400);
}

#[test]
fn every_target_is_run_here() {
    let here = include_str!("short.rs");
    for target in TARGETS {
        assert!(here.contains(&format!("holds(\"{}\"", target.name)), "{} is not run", target.name);
    }
}
