//! Programs that the archive talks to in tests. What is not installed is said, and the test that needs it is skipped;
//! `scripts/test` installs all of them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The Python with pydicom, pynetdicom and dicomweb-client: `VELLUM_PYTHON`, or `.venv` in the checkout.
#[must_use]
pub fn python() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
    let path = std::env::var_os("VELLUM_PYTHON").map_or(beside, PathBuf::from);
    let mut probe = Command::new(&path);
    probe.args(["-c", "import pydicom, pynetdicom, dicomweb_client"]).stderr(Stdio::null());
    let works = probe.status().is_ok_and(|status| status.success());
    if !works {
        eprintln!("skipped: no Python with pydicom, pynetdicom and dicomweb-client; scripts/test installs one");
    }
    works.then_some(path)
}

/// A script of `tests/python`.
#[must_use]
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name)
}

/// A program on the path; `None`, and a line that says so, where it is not installed.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).map(|folder| folder.join(name)).find(|path| path.is_file());
    if found.is_none() {
        eprintln!("skipped: {name} is not installed; scripts/test installs it");
    }
    found
}

/// Runs a script of `tests/python` that reads paths from standard input and prints a JSON line a path; gives the lines
/// by path.
///
/// # Panics
/// When the script fails, or prints what is none.
#[must_use]
pub fn lines_by_path<'a>(
    python: &Path,
    name: &str,
    arguments: &[String],
    paths: impl IntoIterator<Item = &'a Path>,
) -> BTreeMap<PathBuf, Value> {
    let mut command = Command::new(python);
    command.arg(script(name)).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("python");
    let paths: String = paths.into_iter().map(|path| format!("{}\n", path.display())).collect();
    let mut input = child.stdin.take().expect("a pipe");
    // A script may print before it has read everything.
    let writing = std::thread::spawn(move || input.write_all(paths.as_bytes()));
    let output = child.wait_with_output().expect("the script ends");
    writing.join().expect("the thread ends").expect("the script reads");
    assert!(output.status.success(), "{name} failed");
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.map(|line| (PathBuf::from(line["path"].as_str().expect("a path")), line)).collect()
}

/// Retrieves files that are held by WADO-RS and compares decoded values with `wado_values.py`; gives what was compared,
/// and how often.
///
/// # Panics
/// With all that differs.
#[must_use]
pub fn same_by_wado<'a>(
    python: &Path,
    dicom_web: &str,
    paths: impl IntoIterator<Item = &'a Path>,
) -> BTreeMap<String, usize> {
    let compared = lines_by_path(python, "wado_values.py", &[dicom_web.to_owned()], paths);
    let differing = compared.values().filter(|line| line["problems"].as_array().is_none_or(|list| !list.is_empty()));
    let differing: Vec<String> = differing.map(ToString::to_string).collect();
    assert!(differing.is_empty(), "by WADO-RS:\n{}", differing.join("\n"));
    let mut counts = BTreeMap::new();
    for what in compared.values().filter_map(|line| line["compared"].as_array()).flatten() {
        *counts.entry(what.as_str().expect("a word").to_owned()).or_default() += 1;
    }
    counts
}
