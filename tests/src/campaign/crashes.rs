//! Kills: at every call of every phase, one after the other; then at random, on archives that live through many.

use crate::crashes::{Crash, Phase, Yard};
use crate::fault_at::{Plan, What};

use super::part::{Ground, Part};
use super::summary::Summary;

/// Parts whose name begins so end when there were crashes enough.
pub(super) const AT_RANDOM: &str = "crashes at random";

/// An archive lives through so many crashes; then a fresh one begins.
const CRASHES_PER_ARCHIVE: usize = 20;
/// Of so many crashes, one is followed by another in the recovery from it.
const ONE_IN_RECOVERY_OF: u64 = 4;
/// Of so many kills, one tears the write in two at which it comes.
const ONE_TORN_OF: u64 = 4;
/// Calls of a start.
const CALLS_OF_A_START: u64 = 60;
/// A phase ended so often before the call: there is none of that number.
const ENDED_BEFORE: usize = 2;

/// Every call of a phase, in order.
pub(super) fn sweep(phase: Phase) -> Part {
    let work = move |ground: &mut Ground| {
        let mut ended_before = 0;
        let mut n = 1;
        let mut archives = 0;
        while ended_before < ENDED_BEFORE {
            let mut yard = fresh(ground, phase, archives);
            archives += 1;
            for _ in 0..per_archive(phase) {
                let crash = yard.round(&mut ground.make, &Plan::at(What::Kill, n), || {});
                ended_before = if crash.at.is_some() { 0 } else { ended_before + 1 };
                note(&mut ground.summary, phase, "kill at a call", crash);
                n += 1;
                if ended_before == ENDED_BEFORE {
                    break;
                }
            }
            end(ground, yard);
        }
    };
    Part { name: format!("every call while: {phase}"), work: Box::new(work) }
}

/// Archives that are crashed at random; more than enough of them, for those that are not needed are left out.
pub(super) fn at_random(crashes: u64) -> Vec<Part> {
    let archives = usize::try_from(crashes).unwrap_or(usize::MAX) / 4 + 1;
    let phases = Phase::ALL.iter().filter(|phase| **phase != Phase::Create).cycle();
    let part = |(number, phase): (usize, &Phase)| {
        let phase = *phase;
        let work = move |ground: &mut Ground| one_archive(ground, phase);
        Part { name: format!("{AT_RANDOM} {} while: {phase}", number + 1), work: Box::new(work) }
    };
    phases.take(archives).enumerate().map(part).collect()
}

fn one_archive(ground: &mut Ground, phase: Phase) {
    let mut yard = fresh(ground, phase, 0);
    let calls = yard.round(&mut ground.make, &Plan::list(), || {}).calls.len() as u64;
    ground.summary.crash(phase.name(), "kill", None);
    // The calls of a stop cannot be listed: the list ends with the program.
    let calls = calls.max(20);
    for _ in 1..CRASHES_PER_ARCHIVE {
        let numbers = ground.make.numbers();
        let n = 1 + numbers.below(calls + calls / 16);
        let (what, class) = if numbers.below(ONE_TORN_OF) == 0 {
            (What::Tear, "write torn, then killed")
        } else {
            (What::Kill, "kill at a call")
        };
        let crash = yard.round(&mut ground.make, &Plan::at(what, n), || {});
        note(&mut ground.summary, phase, class, crash);
        if ground.make.numbers().below(ONE_IN_RECOVERY_OF) == 0 {
            let n = 1 + ground.make.numbers().below(CALLS_OF_A_START);
            if let Some(site) = yard.crash_in_recovery(&Plan::at(What::Kill, n)) {
                ground.summary.crash("recovery", "kill at a call", Some(site));
            }
        }
    }
    end(ground, yard);
}

const fn per_archive(phase: Phase) -> usize {
    // What is created, is created once.
    if matches!(phase, Phase::Create) { 1 } else { CRASHES_PER_ARCHIVE }
}

fn fresh(ground: &Ground, phase: Phase, number: usize) -> Yard {
    Yard::of(ground.data(&format!("{phase}-{number}")), phase)
}

fn note(summary: &mut Summary, phase: Phase, class: &str, crash: Crash) {
    summary.found(&crash.verdict);
    let class = if crash.at.is_some() { class } else { "kill" };
    summary.crash(phase.name(), class, crash.at);
}

/// Looks at everything that must hold, and leaves the archive.
fn end(ground: &mut Ground, mut yard: Yard) {
    let verdict = yard.end(&mut ground.make);
    ground.summary.found(&verdict);
    ground.summary.left(&yard);
    assert!(ground.summary.is_good(), "lost or wrong after {} crashes", yard.crashes);
    Ground::leave(yard.data());
}
