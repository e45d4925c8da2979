//! Programs that the archive talks to in tests. What is not installed is said, and the test that needs it is skipped;
//! `scripts/test` installs all of them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
