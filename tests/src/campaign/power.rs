//! Power cuts, each at one call: everything waits there, the file system is shut down, then the process is killed.

use crate::crashes::{Phase, Yard};
use crate::fault_at::{Plan, What};
use crate::image::Image;
use crate::power::Switch;
use crate::vellum::DataFolder;

use super::part::{Ground, Part};

/// Size of an image; most of it is a hole.
const IMAGE_BYTES: u64 = 256 << 20;
/// An archive lives through so many cuts; then a fresh one begins.
const CUTS_PER_ARCHIVE: u64 = 20;
/// What the archive is doing when its power is cut.
const PHASES: [Phase; 8] = [
    Phase::Receive,
    Phase::ReceiveWithSpares,
    Phase::Seal,
    Phase::MergeAndDelete,
    Phase::Start,
    Phase::ReceiveMirrored,
    Phase::Copy,
    Phase::Rebuild,
];

/// So many cuts, in parts.
pub(super) fn parts(cuts: u64) -> Vec<Part> {
    let archives = usize::try_from(cuts.div_ceil(CUTS_PER_ARCHIVE)).unwrap_or(usize::MAX);
    let part = |(number, phase): (usize, &Phase)| {
        let phase = *phase;
        let left = cuts - CUTS_PER_ARCHIVE * number as u64;
        let work = move |ground: &mut Ground| one_archive(ground, phase, left.min(CUTS_PER_ARCHIVE));
        Part { name: format!("power cuts {} while: {phase}", number + 1), work: Box::new(work) }
    };
    PHASES.iter().cycle().take(archives).enumerate().map(part).collect()
}

fn one_archive(ground: &mut Ground, phase: Phase, cuts: u64) {
    let Some(mut image) = Image::fresh_in(&ground.images, IMAGE_BYTES, "no power is cut here") else { return };
    let mut yard = Yard::of(DataFolder::at(&image.mount_point().join("data")), phase);
    let calls = yard.round(&mut ground.make, &Plan::list(), || {}).calls.len() as u64;
    for round in 0..cuts {
        let n = 1 + ground.make.numbers().below(calls);
        // With the file system's own log written, and without.
        let flag = 1 + round % 2;
        let switch = Switch::ready(&image.mount_point(), flag);
        let crash = yard.round(&mut ground.make, &Plan::at(What::Hold, n), || switch.throw());
        ground.summary.found(&crash.verdict);
        let class = match (crash.at.is_some(), flag) {
            (false, _) => "kill",
            (true, 1) => "power cut, file system's log written",
            (true, _) => "power cut, nothing written",
        };
        ground.summary.crash(phase.name(), class, crash.at);
        image.unmount().expect("the file system is free");
        image.mount().expect("the file system comes back");
    }
    let verdict = yard.end(&mut ground.make);
    ground.summary.found(&verdict);
    ground.summary.left(&yard);
}
