//! What became of each file.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cli::exit::Exit;
use crate::cli::table;

/// What became of a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is durable.
    Stored,
    /// It was held already; this delivery was recorded.
    Duplicate,
    /// It is no DICOM.
    NotDicom,
    /// It is DICOM, but no instance.
    NotInstance,
    /// It is DICOM, and cannot be kept.
    Refused,
    /// It cannot be read.
    Unreadable,
    /// A DICOMDIR names it, and it is not there.
    Missing,
    /// The archive could not take it now.
    Failed,
    /// The archive could not be reached.
    Unreachable,
}

impl Outcome {
    /// Whether a person should see it at once.
    pub const fn is_trouble(self) -> bool {
        !matches!(self, Self::Stored | Self::Duplicate | Self::NotDicom | Self::NotInstance)
    }

    const fn in_words(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Duplicate => "held already",
            Self::NotDicom => "not DICOM",
            Self::NotInstance => "not an instance",
            Self::Refused => "refused",
            Self::Unreadable => "unreadable",
            Self::Missing => "named by a DICOMDIR and missing",
            Self::Failed => "failed",
            Self::Unreachable => "not sent",
        }
    }
}

/// A line of the report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// The file, as it was found; within a zip file `<zip>!<entry>`.
    pub path: String,
    /// Bytes.
    pub bytes: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, where it was not stored.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The archive's answer: UIDs, receipt number, content id, warnings.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub answer: Value,
}

impl Line {
    pub fn new(path: &str, bytes: u64, outcome: Outcome, reason: String) -> Self {
        Self { path: path.to_owned(), bytes, outcome, reason, answer: Value::Null }
    }

    pub fn with_answer(mut self, answer: &Value) -> Self {
        self.answer = answer.clone();
        self
    }

    /// The line for people.
    pub fn in_words(&self) -> String {
        let reason = if self.reason.is_empty() { String::new() } else { format!(": {}", self.reason) };
        table::printable(&format!("{}: {}{reason}", self.path, self.outcome.in_words()))
    }
}

/// The files that an earlier report lists as held.
pub fn stored(path: Option<&Path>) -> HashSet<String> {
    let Some(file) = path.and_then(|path| File::open(path).ok()) else { return HashSet::new() };
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    let lines = lines.filter_map(|line| serde_json::from_str::<Line>(&line).ok());
    lines.filter(|line| matches!(line.outcome, Outcome::Stored | Outcome::Duplicate)).map(|line| line.path).collect()
}

/// The report being written, and its sums.
pub struct Report {
    file: Option<File>,
    counts: BTreeMap<Outcome, u64>,
    bytes: u64,
    skipped: u64,
}

impl Report {
    pub fn create(path: Option<&Path>, append: bool) -> Result<Self, Exit> {
        let open = |path: &Path| {
            let mut options = File::options();
            let options = options.create(true).append(append).write(true).truncate(!append);
            options.open(path).map_err(|error| Exit::failed(format!("cannot write {}: {error}", path.display())))
        };
        Ok(Self { file: path.map(open).transpose()?, counts: BTreeMap::new(), bytes: 0, skipped: 0 })
    }

    /// A file that an earlier import stored.
    pub const fn skip(&mut self) {
        self.skipped += 1;
    }

    pub fn add(&mut self, line: &Line) -> Result<(), Exit> {
        *self.counts.entry(line.outcome).or_default() += 1;
        if line.outcome == Outcome::Stored {
            self.bytes += line.bytes;
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut text = serde_json::to_string(line).map_err(Exit::failed)?;
        text.push('\n');
        file.write_all(text.as_bytes()).map_err(|error| Exit::failed(format!("cannot write the report: {error}")))
    }

    /// Prints the sums.
    ///
    /// # Errors
    /// [`Exit`] with code 3 where something was refused, unreadable, missing or failed.
    pub fn finish(self, json: bool) -> Result<(), Exit> {
        if json {
            let counts: BTreeMap<&str, u64> =
                self.counts.iter().map(|(outcome, count)| (outcome.in_words(), *count)).collect();
            println!("{}", serde_json::json!({"counts": counts, "bytes": self.bytes, "skipped": self.skipped}));
        } else {
            for (outcome, count) in &self.counts {
                println!("{count:>8} {}", outcome.in_words());
            }
            if self.skipped > 0 {
                println!("{:>8} stored by an earlier import", self.skipped);
            }
            println!("{:>8} new", table::bytes(self.bytes));
        }
        let trouble = self.counts.keys().any(|outcome| outcome.is_trouble());
        if trouble { Err(Exit::incomplete()) } else { Ok(()) }
    }
}
