//! Makes studies from a seed, as Part 10 files in folders.
#![allow(clippy::print_stderr, reason = "a program for people")]

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use benches::numbers::Numbers;
use benches::shapes::{Maker, Shape};
use benches::template::Ids;
use clap::Parser;

/// Makes studies whose pixels do not repeat and compress like real ones. The same seed gives the same bytes.
#[derive(Parser, Debug)]
#[command(name = "gen", version)]
struct Arguments {
    /// What kind of instances.
    #[arg(value_enum)]
    shape: Shape,
    /// Folder to write to, as `DIR/study/series/instance.dcm`.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Studies to make.
    #[arg(long, default_value_t = 1)]
    studies: u64,
    /// Instances of each study.
    #[arg(long, default_value_t = 1)]
    instances: u64,
    /// Series of each study; instances are dealt out to them in turn.
    #[arg(long, default_value_t = 1)]
    series: u64,
    /// Number of the first study.
    #[arg(long, default_value_t = 0)]
    first_study: u64,
    /// Seed; also part of all UIDs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    match make(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn make(arguments: &Arguments) -> std::io::Result<()> {
    let mut maker = Maker::new(Numbers::of(arguments.seed));
    for study in arguments.first_study..arguments.first_study + arguments.studies {
        for instance in 0..arguments.instances {
            let ids = Ids { run: arguments.seed, study, series: instance % arguments.series.max(1), instance };
            let folder = arguments.to.join(study.to_string()).join(ids.series.to_string());
            std::fs::create_dir_all(&folder)?;
            let mut file = BufWriter::with_capacity(1 << 20, File::create(folder.join(format!("{instance}.dcm")))?);
            maker.write_file(arguments.shape, &ids, &mut file)?;
            file.flush()?;
        }
    }
    Ok(())
}
