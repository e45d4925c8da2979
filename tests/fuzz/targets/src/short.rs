//! Short runs without libFuzzer: each seed, then mutations of seeds that follow from a number.
//!
//! It knows nothing of coverage, so it finds less than `scripts/fuzz` does; but it needs no other compiler flags, and so
//! costs a test of the ordinary build some seconds.

use std::path::{Path, PathBuf};

use crate::Target;

/// Runs a target over its seeds, then over so many mutations.
///
/// # Panics
/// With the input's file and the way to run it again, where something that must hold does not.
pub fn run(target: &Target, seed: u64, mutations: usize) -> usize {
    let seeds = seeds(target);
    assert!(!seeds.is_empty(), "{} has no seeds: see tests/fuzz/README.md", target.name);
    for (path, bytes) in &seeds {
        once(target, bytes, &path.display().to_string());
    }
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    for number in 0..mutations {
        let mut bytes = seeds[random.below(seeds.len())].1.clone();
        let other = &seeds[random.below(seeds.len())].1;
        for _ in 0..=random.below(4) {
            mutate(&mut bytes, other, &mut random);
        }
        bytes.truncate(target.length_max);
        once(target, &bytes, &format!("mutation {number} of seed {seed}"));
    }
    seeds.len() + mutations
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../seeds")
}

fn seeds(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let listed = std::fs::read_dir(folder().join(target.name)).into_iter().flatten();
    let mut paths: Vec<PathBuf> = listed.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).expect("a seed"))).collect()
}

/// One input. What made the target panic is written down first, so that it can be run again.
fn once(target: &Target, bytes: &[u8], origin: &str) {
    let run = std::panic::AssertUnwindSafe(|| (target.run)(bytes));
    if let Err(panic) = std::panic::catch_unwind(run) {
        let path = std::env::temp_dir().join(format!("vellum-fuzz-{}-{}", target.name, std::process::id()));
        std::fs::write(&path, bytes).expect("room for the input");
        eprintln!(
            "{}: {origin} breaks it; the input is {}. Again: scripts/fuzz --again {} {}",
            target.name,
            path.display(),
            target.name,
            path.display()
        );
        std::panic::resume_unwind(panic);
    }
}

/// Numbers that follow from a seed (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 16) as usize % limit.max(1)
    }
}

/// Bytes that parsers find interesting.
const TELLING: [&[u8]; 10] = [
    &[0],
    &[0xFF],
    &[0x80],
    &[0xFF; 4],
    &[0; 4],
    b"\r\n",
    b"\\",
    b"\x1b$B",
    &[0x7F, 0xFF, 0xFF, 0xFF],
    &[0xFE, 0xFF, 0x00, 0xE0],
];

/// One change: a bit, a byte, a telling value, a run taken out, doubled, or taken from another seed.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let length = 1 + random.below(16);
    let end = (at + length).min(bytes.len());
    match random.below(7) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.next() as u8;
            }
        }
        2 => {
            let telling = TELLING[random.below(TELLING.len())];
            let end = (at + telling.len()).min(bytes.len());
            bytes.splice(at..end, telling.iter().copied());
        }
        3 => drop(bytes.drain(at..end)),
        4 => {
            let run = bytes[at..end].to_vec();
            bytes.splice(at..at, run);
        }
        5 => bytes.truncate(at),
        _ => {
            let from = random.below(other.len() + 1);
            let run = &other[from..(from + length).min(other.len())];
            bytes.splice(at..end, run.iter().copied());
        }
    }
}
