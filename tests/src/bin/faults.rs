//! `scripts/faults`: crashes and damage, the long form. See [`system_tests::campaign`].

use std::path::PathBuf;
use std::process::ExitCode;

use archive_core::entropy::{Entropy as _, SystemEntropy};
use system_tests::campaign::{Options, parts, run};
use system_tests::traced::can_trace;
use system_tests::vellum::in_memory;

const HELP: &str = "\
Crashes the real program at every call that changes a file, cuts the power of its disk, and flips bytes in what it wrote;
after each it looks whether everything that was acknowledged comes back byte for byte, and whether anything else does.
Ends with one summary, and with code 1 where something was lost or wrong.

    --crashes N      kills and power cuts in all (10000)
    --power-cuts N   of these, power cuts (500); they need root, loop devices and mkfs.ext4
    --flips N        flips in each kind of file (every position)
    --seed S         repeats a run; the order in which threads run is not repeated
    --only TEXT      only parts whose name holds this
    --lanes N        parts at once (2)
    --folder DIR     where the archives lie that are killed (/dev/shm: a kill forgets nothing)
    --list           names the parts, and ends";

fn main() -> ExitCode {
    let mut seed = [0; 8];
    if SystemEntropy.fill(&mut seed).is_err() {
        return refused("no randomness: give a --seed");
    }
    let beside = system_tests::vellum::program().parent().map(|folder| folder.join("test-data")).unwrap_or_default();
    let mut options = Options {
        crashes: 10_000,
        power_cuts: 500,
        flips: None,
        seed: u64::from_le_bytes(seed),
        only: String::new(),
        lanes: 2,
        folder: in_memory(),
        images: beside,
    };
    let mut lists = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if matches!(argument.as_str(), "--help" | "-h") {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        if argument == "--list" {
            lists = true;
            continue;
        }
        let Some(value) = arguments.next() else { return refused(&format!("{argument}: a value is missing")) };
        let number = || value.parse::<u64>();
        let taken = match argument.as_str() {
            "--crashes" => number().map(|number| options.crashes = number),
            "--power-cuts" => number().map(|number| options.power_cuts = number),
            "--flips" => number().map(|number| options.flips = Some(number)),
            "--seed" => number().map(|number| options.seed = number),
            "--lanes" => value.parse::<usize>().map(|number| options.lanes = number.max(1)),
            "--only" => {
                options.only.clone_from(&value);
                Ok(())
            }
            "--folder" => {
                options.folder = PathBuf::from(&value);
                Ok(())
            }
            _ => return refused(&format!("{argument}: unknown")),
        };
        if let Err(error) = taken {
            return refused(&format!("{argument} {value}: {error}"));
        }
    }
    options.power_cuts = options.power_cuts.min(options.crashes);
    options.folder.push(format!("vellum-faults-{}", std::process::id()));
    let parts = parts(&options);
    if lists {
        parts.iter().for_each(|part| println!("{}", part.name()));
        return ExitCode::SUCCESS;
    }
    if !can_trace() {
        return ExitCode::FAILURE;
    }
    // What a part panics with is told when it ends; where it was is enough here.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{}", panic.location().map_or_else(String::new, ToString::to_string))
    }));
    println!(
        "seed {}, {} parts, {} at once, in {}",
        options.seed,
        parts.len(),
        options.lanes,
        options.folder.display()
    );
    let summary = run(&options, parts);
    if summary.is_good() {
        // Empty by now.
        let _removed = std::fs::remove_dir(&options.folder);
    }
    println!("\nseed                    {}\n{summary}", options.seed);
    if summary.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn refused(why: &str) -> ExitCode {
    eprintln!("{why}\n\n{HELP}");
    ExitCode::from(2)
}
