//! What the corpus lacks: the files that pydicom brings along, and generated files of transfer syntaxes and shapes for which
//! no public file is known. All go in by STOW-RS and come back byte for byte, by export and by WADO-RS (promise I2).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use system_tests::peers;
use system_tests::vellum::{DataFolder, Server};

/// Stores files by STOW-RS; gives those that were accepted, and the answers of the others.
fn store(python: &Path, server: &Server, files: &[PathBuf]) -> (Vec<PathBuf>, BTreeMap<PathBuf, Value>) {
    let arguments = ["stow".to_owned(), server.dicom_web()];
    let answers = peers::lines_by_path(python, "send_files.py", &arguments, files.iter().map(PathBuf::as_path));
    let (kept, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|(_, answer)| matches!(answer["status"].as_str(), Some("200" | "202")));
    (kept.into_iter().map(|(path, _)| path).collect(), refused.into_iter().collect())
}

/// Exports everything, every version; asserts that each of these files is among it.
fn assert_exported(data: &DataFolder, kept: &[PathBuf]) {
    let target = data.path().with_extension("exported");
    let to = target.display().to_string();
    let _exported = data.run(["export", "--all", "--versions", "--to", &to]).expect_code(0);
    let mut there = std::collections::HashSet::new();
    let mut folders = vec![target];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                there.insert(std::fs::read(path).expect("a file"));
            }
        }
    }
    let missing: Vec<&PathBuf> =
        kept.iter().filter(|path| !there.contains(&std::fs::read(path).expect("a file"))).collect();
    assert!(missing.is_empty(), "did not come back: {missing:?}");
}

#[test]
fn i2_generated_shapes_come_back_whole_and_frame_by_frame_before_and_after_sealing() {
    let Some(python) = peers::python() else { return };
    let data = DataFolder::fresh();
    let folder = data.path().with_extension("shapes");
    let made = Command::new(&python).arg(peers::script("make_shapes.py")).arg(&folder).status().expect("python");
    assert!(made.success());
    let entries = std::fs::read_dir(&folder).expect("the folder");
    let files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    assert!(files.len() >= 9);
    let server = data.serve();
    let (kept, refused) = store(&python, &server, &files);
    assert!(refused.is_empty(), "{refused:?}");
    let compared = peers::same_by_wado(&python, &server.dicom_web(), kept.iter().map(PathBuf::as_path));
    let _sealed = data.run(["seal", "--now"]).expect_code(0);
    let sealed = peers::same_by_wado(&python, &server.dicom_web(), kept.iter().map(PathBuf::as_path));
    assert_eq!(compared, sealed);
    assert_eq!(sealed["whole"], files.len());
    // A video is one stream in one fragment: it has no frames that can be told apart.
    assert_eq!(sealed["frames"], files.len() - 3);
    assert_exported(&data, &kept);
    assert_eq!(server.stop(), 0);
}

/// Files of pydicom that are no DICOM, a directory of a medium (PS3.3 §F), without a UID that places them (PS3.3 §C.12.1,
/// §C.7.2.1, §C.7.3.1), or not whole.
const REFUSED: &[&str] = &[
    "DICOMDIR",
    "DICOMDIR-bigEnd",
    "DICOMDIR-empty.dcm",
    "DICOMDIR-implicit",
    "DICOMDIR-nooffset",
    "DICOMDIR-nopatient",
    "DICOMDIR-reordered",
    "JPEGLSNearLossless_08.dcm",
    "JPEGLSNearLossless_16.dcm",
    "MR_truncated.dcm",
    "README",
    "README.txt",
    "SC_rgb_jls_lossy_line.dcm",
    "SC_rgb_jls_lossy_sample.dcm",
    "SC_rgb_jpeg.dcm",
    "UN_sequence.dcm",
    "crayons.icc",
    "empty_charset_LEI.dcm",
    "meta_missing_tsyntax.dcm",
    "nested_priv_SQ.dcm",
    "no_meta.dcm",
    "no_meta_group_length.dcm",
    "priv_SQ.dcm",
    "rtplan.dump",
    "rtplan_truncated.dcm",
    "rtstruct.dump",
    "test1.json",
    "test_PN.json",
    "zipMR.gz",
];

#[test]
fn i2_the_files_that_pydicom_bundles_come_back() {
    let Some(python) = peers::python() else { return };
    let list = "from pydicom.data import get_testdata_files as f; print(*f(), sep='\\n')";
    let listed = Command::new(&python).args(["-c", list]).output().expect("python");
    let listed = String::from_utf8(listed.stdout).expect("UTF-8");
    let files: Vec<PathBuf> = listed.lines().map(PathBuf::from).filter(|path| path.is_file()).collect();
    assert!(files.len() > 100, "only {} files", files.len());
    let data = DataFolder::fresh();
    let server = data.serve();
    let (kept, refused) = store(&python, &server, &files);
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let unexplained: Vec<String> = refused
        .iter()
        .filter(|(path, _)| !REFUSED.contains(&name(path).as_str()))
        .map(|(path, answer)| format!("{}: {}", name(path), answer["comment"]))
        .collect();
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
    assert_exported(&data, &kept);
    let compared = peers::same_by_wado(&python, &server.dicom_web(), kept.iter().map(PathBuf::as_path));
    assert!(compared["metadata"] > 80 && compared["frames"] > 50, "{compared:?}");
    assert_eq!(server.stop(), 0);
}
