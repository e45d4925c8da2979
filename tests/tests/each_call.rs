//! The real program is killed at each call by which it changes a file or gives an answer, and nothing acknowledged is lost
//! (promise I1): see `system_tests::crashes`. Here once at each different call of each phase; `scripts/faults` takes every
//! single one, and then goes on at random. `VELLUM_SEED` repeats a run.
//!
//! [`STEPS`] are the steps that docs/FORMAT.md says must come one after the other: a crash between two of them is a kill at
//! the later one, which is then not made. Each must have been struck.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use system_tests::crashes::{Phase, Yard};
use system_tests::fault_at::{Plan, Site, What};
use system_tests::generate::{Generator, Numbers};
use system_tests::traced::can_trace;
use system_tests::vellum::{DataFolder, in_memory};

/// An archive lives through so many crashes; then a fresh one begins.
const CRASHES_PER_ARCHIVE: usize = 25;
/// Threads may come to a call in another order: so often it is tried.
const ATTEMPTS: usize = 4;

const SEGMENT: &str = "journal/segment-#.journal";
const LEDGER: &str = "store/ledger/#/#/#.jsonl.zst";
const PACK: &str = "store/studies/@/#/@.zip";

/// Must of docs/FORMAT.md, phase, and the call that is not made for the kill.
#[rustfmt::skip]
const STEPS: &[(&str, Phase, &str, &str)] = &[
    // A segment's head is written, and not synced; synced, and has no durable name.
    ("F-JOURNAL-W1", Phase::Receive, "fdatasync", SEGMENT),
    ("F-JOURNAL-W1", Phase::Receive, "fsync", "journal"),
    // A spill file is written, and not synced; synced, and has no durable name; both, and no record.
    ("F-JOURNAL-W2", Phase::Receive, "fdatasync", "journal/spill/@.bin"),
    ("F-JOURNAL-W2", Phase::Receive, "fsync", "journal/spill"),
    ("F-JOURNAL-W2", Phase::Receive, "pwrite64", SEGMENT),
    // A batch is not written; written here and not in the mirror; not synced; synced and not answered.
    ("F-JOURNAL-W3", Phase::Receive, "pwrite64", SEGMENT),
    ("F-JOURNAL-W3", Phase::ReceiveMirrored, "pwrite64", "mirror/segment-#.journal"),
    ("F-JOURNAL-W3", Phase::ReceiveMirrored, "fdatasync", SEGMENT),
    ("F-JOURNAL-W3", Phase::ReceiveMirrored, "fdatasync", "mirror/segment-#.journal"),
    ("F-JOURNAL-W3", Phase::Receive, "sendto", "socket"),
    ("F-JOURNAL-W3", Phase::Receive, "writev", "socket"),
    // Everything in a segment is sealed, and it still lies there.
    ("F-JOURNAL-W6", Phase::Receive, "unlink", SEGMENT),
    ("F-JOURNAL-W6", Phase::Seal, "unlink", "journal/spill/@.bin"),
    // What is found is not synced yet.
    ("F-JOURNAL-R1", Phase::Start, "fdatasync", SEGMENT),
    ("F-JOURNAL-R1", Phase::Start, "fdatasync", "journal/spill/@.bin"),
    ("F-JOURNAL-R1", Phase::StartMirrored, "fdatasync", "mirror/segment-#.journal"),
    // A bad tail is not kept yet; kept and has no name; has one and is not cut off.
    ("F-JOURNAL-R3B", Phase::Start, "fdatasync", "journal/tail-#-#.bin.new"),
    ("F-JOURNAL-R3B", Phase::Start, "rename", "journal/tail-#-#.bin"),
    ("F-JOURNAL-R3B", Phase::Start, "ftruncate", SEGMENT),
    ("F-JOURNAL-W5", Phase::Start, "ftruncate", SEGMENT),
    ("F-JOURNAL-R5", Phase::StartMirrored, "ftruncate", "mirror/segment-#.journal"),
    // An object is staged and not synced; synced and has no name; has one that is not durable, in any of its folders.
    ("F-CREATE-4", Phase::Seal, "fsync", "store/.stage/@/#"),
    ("F-CREATE-4", Phase::Seal, "linkat", PACK),
    ("F-CREATE-5", Phase::Seal, "fsync", "store/studies/@/#"),
    ("F-CREATE-5", Phase::Seal, "fsync", "store/studies/@"),
    ("F-CREATE-5", Phase::Seal, "fsync", "store/studies"),
    ("F-CREATE-5", Phase::Seal, "fsync", "store"),
    // The steps of sealing: built and not created; created in one store; in both and not in the ledger; there in one store;
    // in both and not in the catalog; there, and the journal still has it.
    ("F-SEAL-1", Phase::Seal, "write", "scratch/pack-@.zip"),
    ("F-SEAL-1", Phase::Seal, "linkat", PACK),
    ("F-SEAL-4", Phase::SealInTwo, "linkat", "second-store/studies/@/#/@.zip"),
    ("F-SEAL-4", Phase::SealInTwo, "linkat", LEDGER),
    ("F-SEAL-5", Phase::SealInTwo, "linkat", "second-store/ledger/#/#/#.jsonl.zst"),
    ("F-SEAL-1", Phase::Seal, "pwrite64", "catalog/db"),
    ("F-SEAL-6", Phase::Seal, "unlink", "scratch/pack-@.zip"),
    ("F-SEAL-6", Phase::Seal, "unlink", "journal/spill/@.bin"),
    ("F-SEAL-6", Phase::Receive, "unlink", SEGMENT),
    // A segment of the ledger is in the home and not in the store that follows.
    ("F-LEDGER-7", Phase::Seal, "linkat", LEDGER),
    ("F-LEDGER-7", Phase::Seal, "fsync", "store/ledger/#/#"),
    ("F-LEDGER-9", Phase::Copy, "linkat", "second-store/ledger/#/#/#.jsonl.zst"),
    ("F-LEDGER-9", Phase::Copy, "linkat", "second-store/studies/@/#/@.zip"),
    // A delete is not announced; announced and not made; made and not confirmed.
    ("F-DELETE-3", Phase::MergeAndDelete, "linkat", LEDGER),
    ("F-DELETE-3", Phase::MergeAndDelete, "unlinkat", PACK),
    ("F-DELETE-3", Phase::MergeAndDelete, "fsync", "store/studies/@/#"),
    // An identity without the rest, and the rest without an identity.
    ("F-STORE-2", Phase::Create, "linkat", "store/archive.json"),
    ("F-STORE-2", Phase::Create, "linkat", LEDGER),
];

/// Kills at each different call of a phase, each time at one of its occurrences.
fn each_call(phase: Phase) {
    if !can_trace() {
        return;
    }
    let mut make = Generator::new(Numbers::announced(phase.name()));
    let mut occurrences: BTreeMap<Site, u64> = BTreeMap::new();
    let mut yard = Yard::of(DataFolder::fresh_in(&in_memory()), phase);
    // The first round has nothing to let go of.
    for _ in 0..2 {
        if phase == Phase::Create {
            yard = Yard::of(DataFolder::fresh_in(&in_memory()), phase);
        }
        for site in yard.round(&mut make, &Plan::list(), || {}).calls {
            *occurrences.entry(site).or_default() += 1;
        }
    }
    let wanted = STEPS.iter().filter(|(_, of, ..)| *of == phase);
    for (_, _, call, place) in wanted.clone() {
        occurrences.entry(Site { call: (*call).to_owned(), place: (*place).to_owned() }).or_insert(1);
    }
    let mut struck = BTreeSet::new();
    let (mut crashes, mut acknowledged) = (0, 0);
    for (site, count) in &occurrences {
        for attempt in 0..ATTEMPTS {
            if yard.crashes >= CRASHES_PER_ARCHIVE || phase == Phase::Create {
                acknowledged += left(&mut yard, &mut make);
                yard = Yard::of(DataFolder::fresh_in(&in_memory()), phase);
            }
            let n = if attempt == 0 { 1 + make.numbers().below((*count).div_ceil(2)) } else { 1 };
            let crash = yard.round(&mut make, &Plan::at_site(What::Kill, n, site), || {});
            assert!(crash.verdict.is_good(), "before {site}: {:?}", crash.verdict);
            crashes += 1;
            if crash.at.is_some() {
                struck.insert(site.clone());
                break;
            }
        }
    }
    acknowledged += left(&mut yard, &mut make);
    let missed: Vec<_> = occurrences.keys().filter(|site| !struck.contains(*site)).map(ToString::to_string).collect();
    eprintln!(
        "{phase}: {crashes} crashes at {} of {} different calls, {acknowledged} acknowledged; not struck: {missed:?}",
        struck.len(),
        occurrences.len()
    );
    for (must, _, call, place) in wanted {
        let is_struck = struck.iter().any(|site| site.call == *call && site.place == *place);
        assert!(is_struck, "{must}: no crash came at {call} {place}");
    }
}

/// Looks at what must hold, and leaves the archive; gives how many instances it acknowledged.
fn left(yard: &mut Yard, make: &mut Generator) -> usize {
    // After one crash there is little to see, and a fresh archive each time.
    let verdict = if yard.crashes > 2 { yard.end(make) } else { yard.still_works(make) };
    assert!(verdict.is_good(), "{verdict:?}");
    yard.tally().acknowledged.len()
}

#[test]
fn i1_a_kill_at_each_call_while_an_archive_is_made_leaves_one_that_can_be_made() {
    each_call(Phase::Create);
}

#[test]
fn i1_a_kill_at_each_call_while_receiving_loses_nothing() {
    each_call(Phase::Receive);
}

#[test]
fn i1_a_kill_at_each_call_while_receiving_with_a_mirror_loses_nothing() {
    each_call(Phase::ReceiveMirrored);
}

#[test]
fn i1_a_kill_at_each_call_while_receiving_into_segments_made_ahead_loses_nothing() {
    each_call(Phase::ReceiveWithSpares);
}

#[test]
fn i1_a_kill_at_each_call_while_sealing_loses_nothing() {
    each_call(Phase::Seal);
}

#[test]
fn i1_a_kill_at_each_call_while_sealing_in_two_stores_loses_nothing() {
    each_call(Phase::SealInTwo);
}

#[test]
fn i5_a_kill_at_each_call_while_merging_and_deleting_loses_nothing() {
    each_call(Phase::MergeAndDelete);
}

#[test]
fn i8_a_kill_at_each_call_while_copying_to_a_store_loses_nothing() {
    each_call(Phase::Copy);
}

#[test]
fn i3_a_kill_at_each_call_while_rebuilding_is_made_good() {
    each_call(Phase::Rebuild);
}

#[test]
fn i1_a_kill_at_each_call_of_recovery_loses_nothing() {
    each_call(Phase::Start);
}

#[test]
fn i1_a_kill_at_each_call_of_recovery_with_a_mirror_loses_nothing() {
    each_call(Phase::StartMirrored);
}

#[test]
fn i3_a_kill_at_each_call_of_a_start_without_a_catalog_loses_nothing() {
    each_call(Phase::StartWithoutCatalog);
}

#[test]
fn i1_a_kill_at_each_call_while_the_archive_stops_loses_nothing() {
    if !can_trace() {
        return;
    }
    // Its calls cannot be listed, for the list ends with the program: one after the other, until there is no further one.
    let mut make = Generator::new(Numbers::announced("stop"));
    let mut yard = Yard::of(DataFolder::fresh_in(&in_memory()), Phase::Stop);
    let mut struck = BTreeSet::new();
    for n in 1.. {
        let crash = yard.round(&mut make, &Plan::at(What::Kill, n), || {});
        assert!(crash.verdict.is_good(), "before call {n}: {:?}", crash.verdict);
        let Some(site) = crash.at else { break };
        struck.insert(site);
    }
    let acknowledged = left(&mut yard, &mut make);
    eprintln!("stop: {} crashes at {} different calls, {acknowledged} acknowledged", yard.crashes, struck.len());
    assert!(struck.len() > 4, "{struck:?}");
}
