//! What must hold after every crash: everything acknowledged comes back byte for byte, nothing comes back that was not
//! sent, ledger and packs verify, and the catalog equals a rebuilt one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::generate::data_set;
use crate::sender::{Digest, Tally, digest};
use crate::vellum::{DataFolder, Server};

/// How often the long form of a crash test repeats itself (`VELLUM_LONG=1`), or the short one.
#[must_use]
pub fn rounds(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}

/// Whether the long forms were asked for.
#[must_use]
pub fn is_long() -> bool {
    std::env::var_os("VELLUM_LONG").is_some_and(|value| value != "0")
}

/// Every file below a folder.
///
/// # Panics
/// When the disk fails.
#[must_use]
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found
}

/// Digest of every file below a folder, with how often it is there.
///
/// # Panics
/// When the disk fails.
#[must_use]
pub fn digests_below(folder: &Path) -> Vec<Digest> {
    files_below(folder).iter().map(|path| digest(&std::fs::read(path).expect("a file"))).collect()
}

/// What the archive gives back by `export --versions` of something, by the names in a list of what was sent: the
/// digest of the file, or that of the data set where it went by C-STORE and the file is of the archive's making.
fn exported(data: &DataFolder, what: &[&str], tally: &Tally) -> Vec<Digest> {
    let temporary = tempfile::tempdir_in(scratch()).expect("a folder");
    let to = temporary.path().join("exported");
    let to_folder = to.display().to_string();
    let ran = data.run([&["export", "--versions", "--to", &to_folder], what].concat());
    // 3: there is nothing.
    assert!(matches!(ran.code, 0 | 3), "export: {}\n{}", ran.out, ran.err);
    let files = if to.exists() { files_below(&to) } else { Vec::new() };
    let names = files.iter().map(|path| {
        let file = std::fs::read(path).expect("a file");
        let whole = digest(&file);
        if tally.sent.contains(&whole) { whole } else { digest(data_set(&file)) }
    });
    names.collect()
}

fn scratch() -> PathBuf {
    let folder = crate::vellum::program().parent().map(|folder| folder.join("test-data"));
    let folder = folder.expect("the folder of the program");
    std::fs::create_dir_all(&folder).expect("a folder for temporary files");
    folder
}

/// Everything that can be found, level by level, in one order.
///
/// # Panics
/// When a search fails.
#[must_use]
pub fn found(data: &DataFolder) -> Vec<String> {
    let mut all = Vec::new();
    for level in ["patient", "study", "series", "instance"] {
        let ran = data.run(["find", "--json", "--level", level, "--limit", "1000000"]);
        assert!(matches!(ran.code, 0 | 3), "find: {}\n{}", ran.out, ran.err);
        let mut lines: Vec<String> = ran.json_lines().iter().map(|line| format!("{level} {line}")).collect();
        lines.sort();
        all.extend(lines);
    }
    all
}

/// The state of the archive.
///
/// # Panics
/// When it cannot be asked.
#[must_use]
pub fn status(data: &DataFolder) -> Value {
    data.run(["status", "--json"]).expect_code(0).json_lines().remove(0)
}

/// Asks for the state again and again until it is as wanted; gives it.
///
/// # Panics
/// With the last state, when it never is.
pub fn wait_for_status(data: &DataFolder, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);
    let mut last = Value::Null;
    for _ in 0..1200 {
        last = status(data);
        if wanted(&last) {
            return last;
        }
        std::thread::sleep(PAUSE);
    }
    panic!("waited in vain for {what}: {last}");
}

/// Starts the archive and waits until its catalog is complete.
///
/// # Panics
/// When it does not start.
#[must_use]
pub fn serve(data: &DataFolder) -> Server {
    let server = data.serve();
    wait_for_status(data, "the catalog", |status| status["rebuilding"].is_null());
    server
}

/// Seals everything, once the catalog is complete: before, sealing is refused.
///
/// # Panics
/// When a study could not be sealed.
pub fn seal_now(data: &DataFolder) {
    wait_for_status(data, "the catalog", |status| status["rebuilding"].is_null());
    let _sealed = data.run(["seal", "--now"]).expect_code(0);
}

/// Asserts everything that must hold after a crash, on an archive that may be started; leaves it stopped.
///
/// # Panics
/// With what does not hold.
pub fn holds(data: &DataFolder, tally: &Tally, when: &str) {
    let server = serve(data);
    gives_back(data, tally, when);
    let before = found(data);
    let _rebuilt = data.run(["rebuild"]).expect_code(0);
    let after = found(data);
    assert_eq!(before, after, "{when}: the catalog is not what a rebuild makes");
    let _good = data.run(["ledger", "verify"]).expect_code(0);
    let _good = data.run(["verify"]).expect_code(0);
    assert_eq!(server.stop(), 0, "{when}");
    let left: Vec<_> = std::fs::read_dir(data.path().join("scratch")).expect("scratch").flatten().collect();
    assert!(left.is_empty(), "{when}: left in scratch: {left:?}");
}

/// Asserts that everything acknowledged comes back, each once, and nothing else.
///
/// # Panics
/// With what is missing or strange.
pub fn gives_back(data: &DataFolder, tally: &Tally, when: &str) {
    comes_back(data, &["--all"], tally, when);
}

/// As [`gives_back`], of one study and the list of what was sent of it.
///
/// # Panics
/// With what is missing or strange.
pub fn gives_back_study(data: &DataFolder, study: &str, tally: &Tally, when: &str) {
    comes_back(data, &["--study", study], tally, when);
}

fn comes_back(data: &DataFolder, what: &[&str], tally: &Tally, when: &str) {
    let exported = exported(data, what, tally);
    let there: BTreeSet<Digest> = exported.iter().cloned().collect();
    let lost: Vec<&Digest> = tally.acknowledged.difference(&there).collect();
    let (count, few) = (lost.len(), lost.iter().take(5).collect::<Vec<_>>());
    assert!(lost.is_empty(), "{when}: {count} of {} acknowledged are lost: {few:?}…", tally.acknowledged.len());
    let strange: Vec<&Digest> = there.difference(&tally.sent).collect();
    assert!(strange.is_empty(), "{when}: {} were never sent: {strange:?}", strange.len());
    assert_eq!(exported.len(), there.len(), "{when}: something came back more than once");
}
