//! Random sequences. `VELLUM_SEED=n` runs the one sequence of that seed again; `VELLUM_MODEL_SEQUENCES=n` runs so many of each
//! kind, `VELLUM_LONG=1` as many as the long form has. What fails is made as short as it can be, and printed with its seed.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use archive_core::ledger::entry::StoreRole;
use archive_core::testing::Effect;
use proptest::collection::vec;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

use crate::life::run;
use crate::model::{Counts, Sending};
use crate::operation::{Action, Operation, with_damage, without_damage};
use crate::world::Setup;

/// Sequences of each kind in the short form. With damage and one store, seeds from 60 on were not run since the last was mended (docs/FAULTS.md).
const SHORT: u64 = 40;
/// The same in the long form.
const LONG: u64 = 5000;
/// Seeds of different kinds lie so far apart.
const APART: u64 = 1 << 32;

/// An archive with one store.
pub(crate) const ALONE: Setup = Setup { second: None, mirror: false, embedded: false, lying_disk: false };

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// The seeds of one kind of sequence: the given one, or fixed ones and, in the long form, others each time.
pub(crate) fn seeds(kind: u64) -> Vec<u64> {
    if let Some(seed) = number("VELLUM_SEED") {
        return if seed / APART == kind { vec![seed] } else { Vec::new() };
    }
    let is_long = std::env::var_os("VELLUM_LONG").is_some();
    let count = number("VELLUM_MODEL_SEQUENCES").unwrap_or(if is_long { LONG } else { SHORT });
    let first = number("VELLUM_MODEL_FIRST").unwrap_or(if is_long { fresh() } else { 0 });
    (0..count).map(|n| kind * APART + (first + n) % APART).collect()
}

/// Seeds that were not tried before.
#[expect(clippy::disallowed_methods, reason = "the seed is printed with what it finds")]
fn fresh() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() % (APART / 2))
}

fn long_sequence() -> usize {
    if std::env::var_os("VELLUM_LONG").is_some() { 120 } else { 30 }
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// While a failure is made shorter, each step of that would print its panic.
fn be_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = take_hook();
        set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                hook(panic);
            }
        }));
    });
}

/// Runs one sequence a seed. The longest a failure is made shorter is bounded.
fn sequences(kind: u64, setup: Setup, operation: impl Fn() -> proptest::strategy::BoxedStrategy<Operation>) {
    be_quiet();
    let counts = Cell::new(Counts::default());
    let seeds = seeds(kind);
    for seed in &seeds {
        let config = Config {
            cases: 1,
            rng_seed: RngSeed::Fixed(*seed),
            failure_persistence: None,
            max_shrink_iters: 4000,
            max_shrink_time: u32::try_from(Duration::from_secs(120).as_millis()).unwrap(),
            ..Config::default()
        };
        let strategy = vec(operation(), 1..long_sequence());
        let outcome = TestRunner::new(config).run(&strategy, |operations| {
            // Panics are what fails here; their text is kept for the end.
            QUIET.set(true);
            let outcome = catch_unwind(AssertUnwindSafe(|| run(setup, *seed, &operations)));
            QUIET.set(false);
            match outcome {
                Ok(of_run) => {
                    let mut sum = counts.get();
                    sum += of_run;
                    counts.set(sum);
                    Ok(())
                }
                Err(panic) => {
                    let text = panic.downcast_ref::<String>().cloned();
                    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                    Err(TestCaseError::fail(text.unwrap_or_default()))
                }
            }
        });
        if let Err(TestError::Fail(why, operations)) = outcome {
            panic!(
                "{why}\nthe shortest sequence that was found ({setup:?}):\n{operations:#?}\n\
                 VELLUM_SEED={seed} cargo test -p lifecycle --test model"
            );
        }
    }
    println!("{} sequences from seed {:?} on: {:?}", seeds.len(), seeds.first(), counts.get());
}

#[test]
fn i1_i2_i3_whatever_fails_what_was_acknowledged_comes_back_and_nothing_else_does() {
    sequences(0, ALONE, || without_damage().boxed());
}

#[test]
fn i1_i8_with_a_second_store_that_counts_nothing_acknowledged_is_missing() {
    sequences(1, Setup { second: Some(StoreRole::Required), ..ALONE }, || without_damage().boxed());
}

#[test]
fn i1_i8_with_a_second_store_that_lags_and_a_mirror_nothing_acknowledged_is_missing() {
    let setup = Setup { second: Some(StoreRole::Lagging), mirror: true, ..ALONE };
    sequences(2, setup, || without_damage().boxed());
}

#[test]
fn i9_of_what_was_damaged_nothing_wrong_is_served_and_only_what_was_hit_is_missing() {
    sequences(3, ALONE, || with_damage().boxed());
}

#[test]
fn i9_what_was_damaged_in_one_store_is_served_from_the_other() {
    let setup = Setup { second: Some(StoreRole::Required), mirror: true, ..ALONE };
    sequences(4, setup, || with_damage().boxed());
}

#[test]
fn i3_the_embedded_catalog_is_caught_up_or_made_anew_whatever_happened() {
    sequences(5, Setup { embedded: true, ..ALONE }, || without_damage().boxed());
}

/// What must fail: a disk that answers syncs and forgets. If the model did not notice, it would notice nothing.
#[test]
fn a_disk_that_lies_about_its_syncs_is_found_out() {
    let setup = Setup { lying_disk: true, ..ALONE };
    let cut = Operation::Die { calls: 1, effect: Effect::Before, cut: Some(0) };
    let sending = Sending { study: 0, n: 1, text: 0, source: 0, file: None, large: false };
    let operations = [Operation::Do(Action::Send(sending)), cut];
    let found = catch_unwind(|| run(setup, 1, &operations));
    assert!(found.is_err(), "an acknowledged instance was lost, and nobody noticed");
    assert_eq!(run(ALONE, 1, &operations).power_cuts, 1, "an honest disk loses nothing");
}
