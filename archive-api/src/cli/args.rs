//! The words of the command line; help, completions and parsing come from this one definition.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::exit;

/// A vendor neutral archive for DICOM: keeps every instance byte for byte, finds it, gives it back, proves it.
#[derive(Debug, Parser)]
#[command(name = "vellum", version, after_help = exit::HELP, max_term_width = 120)]
pub struct Command {
    /// The data folder.
    #[arg(long, global = true, env = "VELLUM_DATA", default_value = "./vellum-data", value_name = "DIR")]
    pub data: PathBuf,
    /// The configuration file; without it, vellum.toml in the data folder, if there is one.
    #[arg(long, global = true, env = "VELLUM_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON instead of tables, an object a line.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the archive: DICOMweb, DIMSE and the jobs, until SIGTERM.
    Serve,
    /// Take in files, folders, zip files and DICOMDIR media.
    Import(Import),
    /// Search patients, studies, series or instances.
    Find(Find),
    /// Show all that is known of one study, series or instance.
    Show(Show),
    /// Write instances to a folder or a zip file, byte for byte as they came.
    Export(Export),
    /// Move what is in the journal into packs.
    Seal(Seal),
    /// Read everything again and compare it with the ledger.
    Verify(Verify),
    /// Make the catalog anew from stores and journal.
    Rebuild,
    /// The record of everything that happened to the archive.
    #[command(subcommand)]
    Ledger(Ledger),
    /// Things that a person should look at.
    #[command(subcommand)]
    Case(Case),
    /// Bytes at risk, journal, stores, lag.
    Status,
    /// The configuration.
    #[command(subcommand)]
    Config(Config),
    /// Look into single files, also damaged ones, without an archive.
    #[command(subcommand)]
    Debug(Debug),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// `import`
#[derive(Debug, Args)]
pub struct Import {
    /// Files, folders (with all below), zip files, or a folder with a DICOMDIR.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Who these come from, for the rules on duplicates.
    #[arg(long, default_value = "import", value_name = "LABEL")]
    pub source: String,
    /// Write one JSON line for each file: what became of it and why.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Go on where an earlier import with this report stopped: files it lists as stored are not sent again.
    #[arg(long, requires = "report")]
    pub resume: bool,
    /// Files on their way at once.
    #[arg(long, default_value_t = 8, value_name = "COUNT")]
    pub parallel: usize,
}

/// What a search is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Patients.
    Patient,
    /// Studies.
    Study,
    /// Series.
    Series,
    /// Instances.
    Instance,
}

/// `find`
#[derive(Debug, Args)]
pub struct Find {
    /// What to search.
    #[arg(long, value_enum, default_value = "study")]
    pub level: Level,
    /// Keys such as PatientName='DOE*', StudyDate=20240101-20241231 or 00100020=4711.
    #[arg(value_name = "KEY=VALUE")]
    pub keys: Vec<String>,
    /// Records at most.
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    pub limit: u64,
}

/// `show`
#[derive(Debug, Args)]
pub struct Show {
    /// Study Instance UID.
    pub study: String,
    /// Series Instance UID.
    pub series: Option<String>,
    /// SOP Instance UID.
    pub sop: Option<String>,
}

/// `export`
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true)))]
pub struct Export {
    /// Everything.
    #[arg(long, group = "what", conflicts_with_all = ["patient", "study", "series", "instance"])]
    pub all: bool,
    /// Everything of a Patient ID.
    #[arg(long, group = "what", value_name = "ID")]
    pub patient: Option<String>,
    /// A study, by Study Instance UID.
    #[arg(long, group = "what", value_name = "UID")]
    pub study: Option<String>,
    /// A series, by Series Instance UID.
    #[arg(long, group = "what", value_name = "UID")]
    pub series: Option<String>,
    /// An instance, by SOP Instance UID.
    #[arg(long, group = "what", value_name = "UID")]
    pub instance: Option<String>,
    /// All versions and all distinct files, not only what is current.
    #[arg(long)]
    pub versions: bool,
    /// The folder, or the zip file (ending in .zip), to write; must not hold anything yet.
    #[arg(long, value_name = "DIR|ZIP")]
    pub to: PathBuf,
}

/// `seal`
#[derive(Debug, Args)]
pub struct Seal {
    /// Do not wait until studies are quiet.
    #[arg(long)]
    pub now: bool,
}

/// `verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// Only this study.
    #[arg(long, value_name = "UID")]
    pub study: Option<String>,
}

/// `ledger`
#[derive(Debug, Subcommand)]
pub enum Ledger {
    /// Print entries.
    Show {
        /// From this entry on.
        #[arg(long, default_value_t = 0, value_name = "N")]
        from: u64,
        /// Entries at most.
        #[arg(long, default_value_t = 1000, value_name = "COUNT")]
        limit: u64,
        /// Only of this kind.
        #[arg(long)]
        kind: Option<String>,
    },
    /// Check every link, root and checkpoint in every store.
    Verify,
}

/// `case`
#[derive(Debug, Subcommand)]
pub enum Case {
    /// List open cases.
    Ls {
        /// Closed ones too.
        #[arg(long)]
        all: bool,
    },
    /// Show one case.
    Show {
        /// Its id, or as many of its first digits as are needed.
        id: String,
    },
}

/// `config`
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Check the configuration and say what is wrong.
    Check,
    /// Print the configuration in force, every key.
    Show,
}

/// `debug`
#[derive(Debug, Subcommand)]
pub enum Debug {
    /// Show what is in a pack.
    Pack {
        /// The pack.
        file: PathBuf,
    },
    /// Show what is in a journal segment.
    Journal {
        /// The segment.
        file: PathBuf,
    },
}
