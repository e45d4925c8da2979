//! The parts, and the lanes that take them.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::crashes::Phase;
use crate::generate::{Generator, Numbers};
use crate::vellum::DataFolder;

use super::summary::Summary;
use super::{crashes, flips, power};

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Options {
    /// Crashes in all; at least a sweep over each phase is done.
    pub crashes: u64,
    /// Of these, how many are power cuts.
    pub power_cuts: u64,
    /// Flips in each kind of file; `None` for every position.
    pub flips: Option<u64>,
    /// Everything follows from it but the order in which threads run.
    pub seed: u64,
    /// Only parts whose name holds this.
    pub only: String,
    /// Parts at once.
    pub lanes: usize,
    /// Where the archives that are killed lie; in memory will do, for a kill forgets nothing.
    pub folder: PathBuf,
    /// Where the images of disks lie whose power is cut.
    pub images: PathBuf,
}

/// A part.
pub struct Part {
    pub(super) name: String,
    pub(super) work: Box<dyn FnOnce(&mut Ground) + Send>,
}

impl Part {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl std::fmt::Debug for Part {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(&self.name)
    }
}

/// What a part works with.
pub(super) struct Ground {
    pub folder: PathBuf,
    pub images: PathBuf,
    pub make: Generator,
    pub summary: Summary,
}

impl Ground {
    /// A data folder of this name.
    pub fn data(&self, name: &str) -> DataFolder {
        DataFolder::at(&self.folder.join(name).join("data"))
    }

    /// Leaves a data folder: what is in it is not needed any more.
    pub fn leave(data: &DataFolder) {
        if let Some(folder) = data.path().parent() {
            std::fs::remove_dir_all(folder).expect("a folder of our own");
        }
    }
}

/// All parts that are wanted, in the order in which they are begun.
#[must_use]
pub fn parts(options: &Options) -> Vec<Part> {
    let mut parts = flips::parts(options.flips);
    parts.extend(Phase::ALL.map(crashes::sweep));
    parts.extend(power::parts(options.power_cuts));
    parts.extend(crashes::at_random(options.crashes.saturating_sub(options.power_cuts)));
    parts.retain(|part| part.name.contains(&options.only));
    parts
}

/// Does the parts, and prints what came of each; gives all of it. Crashes at random end when there were enough.
#[must_use]
pub fn run(options: &Options, parts: Vec<Part>) -> Summary {
    let count = parts.len();
    let queue = Mutex::new(parts.into_iter().enumerate().collect::<VecDeque<_>>());
    let all = Mutex::new(Summary::default());
    std::thread::scope(|scope| {
        for _ in 0..options.lanes {
            scope.spawn(|| {
                while let Some((number, part)) = next(&queue) {
                    let is_enough = all.lock().expect("the summary").crash_count() >= options.crashes;
                    if part.name.starts_with(crashes::AT_RANDOM) && is_enough {
                        continue;
                    }
                    let summary = one(options, number, part, count);
                    all.lock().expect("the summary").add(summary);
                }
            });
        }
    });
    all.into_inner().expect("the summary")
}

fn next<T>(queue: &Mutex<VecDeque<T>>) -> Option<T> {
    queue.lock().expect("the queue").pop_front()
}

fn one(options: &Options, number: usize, part: Part, count: usize) -> Summary {
    let Part { name, work } = part;
    let seed = options.seed.wrapping_add((number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let folder = options.folder.join(format!("part-{number}"));
    std::fs::create_dir_all(&folder).expect("a folder for the part");
    let make = Generator::new(Numbers::from_seed(seed));
    let mut ground = Ground { folder, images: options.images.clone(), make, summary: Summary::default() };
    let outcome = catch_unwind(AssertUnwindSafe(|| work(&mut ground)));
    let Ground { folder, mut summary, .. } = ground;
    if let Err(panic) = outcome {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
        summary.broken.push(format!("{name}: {said}"));
    }
    let word = if summary.is_good() { "" } else { "   *** DOES NOT HOLD" };
    println!("[{}/{count}] {name}: {}{word}", number + 1, summary.in_short());
    if summary.is_good() {
        remove(&folder);
    } else {
        for broken in &summary.broken {
            println!("    {broken}");
        }
        println!("    part seed {seed}; kept: {}", folder.display());
    }
    summary
}

fn remove(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder) {
        eprintln!("{}: {error}", folder.display());
    }
}
