//! What the corpus lacks: the files that pydicom brings along, and generated files of transfer syntaxes and shapes for which
//! no public file is known. All go in by STOW-RS and come back byte for byte, by export and by WADO-RS (promise I2).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
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
    assert_eq!(files.len(), 9, "as many as make_shapes.py has shapes");
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

/// The files of pydicom that are refused, each with what pydicom itself makes of it (`judge_files.py`, in the same run) and
/// what Vellum answers: C000H for what cannot be understood, A900H for an object without a UID that places it (PS3.3
/// §C.12.1, §C.7.2.1, §C.7.3.1, all of type 1). A DICOMDIR is the directory of a medium and no instance (PS3.10 §8).
const REFUSED: &[(&str, &str, &str)] = &[
    ("DICOMDIR", "directory", "C000"),
    ("DICOMDIR-bigEnd", "directory", "C000"),
    ("DICOMDIR-empty.dcm", "directory", "C000"),
    ("DICOMDIR-implicit", "directory", "C000"),
    ("DICOMDIR-nooffset", "directory", "C000"),
    ("DICOMDIR-nopatient", "directory", "C000"),
    ("DICOMDIR-reordered", "directory", "C000"),
    ("JPEGLSNearLossless_08.dcm", "unplaced", "A900"),
    ("JPEGLSNearLossless_16.dcm", "unplaced", "A900"),
    ("MR_truncated.dcm", "truncated", "C000"),
    ("README", "not-dicom", "C000"),
    ("README.txt", "not-dicom", "C000"),
    ("SC_rgb_jls_lossy_line.dcm", "unplaced", "A900"),
    ("SC_rgb_jls_lossy_sample.dcm", "unplaced", "A900"),
    // Its transfer syntax is JPEG Baseline, whose data sets are in Explicit VR (PS3.5 §A.4), and it is in Implicit VR. pydicom
    // guesses that; DCMTK's dcmdump refuses it at the first long value, as Vellum does: by its own syntax it cannot be
    // delimited.
    ("SC_rgb_jpeg.dcm", "whole", "C000"),
    ("UN_sequence.dcm", "unplaced", "A900"),
    ("crayons.icc", "not-dicom", "C000"),
    ("empty_charset_LEI.dcm", "unplaced", "A900"),
    // Names no transfer syntax (PS3.10 §7.1, type 1), and begins with an element that no dictionary has, so that none can be told
    // by looking: it is not delimited as far as the missing UIDs.
    ("meta_missing_tsyntax.dcm", "unplaced", "C000"),
    ("nested_priv_SQ.dcm", "unplaced", "A900"),
    // One byte too many before its first element; dcmdump cannot read it either.
    ("no_meta.dcm", "not-dicom", "C000"),
    ("no_meta_group_length.dcm", "unplaced", "A900"),
    ("priv_SQ.dcm", "unplaced", "A900"),
    ("rtplan.dump", "not-dicom", "C000"),
    ("rtplan_truncated.dcm", "truncated", "C000"),
    ("rtstruct.dump", "not-dicom", "C000"),
    ("test1.json", "not-dicom", "C000"),
    ("test_PN.json", "not-dicom", "C000"),
    ("zipMR.gz", "not-dicom", "C000"),
];

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The one code of an answer that lists one failure: in Failed SOP Sequence, or in Other Failures Sequence.
fn code(answer: &Value) -> String {
    let module: Value = serde_json::from_str(answer["comment"].as_str().expect("text")).unwrap_or_default();
    let codes = ["00081198", "0008119A"].into_iter().filter_map(|tag| module[tag]["Value"].as_array()).flatten();
    let codes: Vec<String> =
        codes.map(|item| format!("{:04X}", item["00081197"]["Value"][0].as_u64().unwrap_or_default())).collect();
    assert_eq!(codes.len(), 1, "{answer}");
    codes.concat()
}

/// What is refused is refused for a reason that pydicom sees too, and all that pydicom finds whole is kept.
fn assert_refused_rightly(judged: &BTreeMap<PathBuf, Value>, refused: &BTreeMap<PathBuf, Value>) {
    for (path, judgement) in judged {
        let listed = REFUSED.iter().find(|(listed, ..)| *listed == name(path));
        let expected = listed.map_or("whole", |(_, judgement, _)| judgement);
        assert_eq!(judgement["judgement"], expected, "{judgement}");
        match (listed, refused.get(path)) {
            (None, None) => {}
            (Some((.., expected)), Some(answer)) => {
                assert_eq!((answer["status"].as_str(), code(answer).as_str()), (Some("409"), *expected), "{answer}");
            }
            (listed, answer) => panic!("{}: {listed:?}, {answer:?}", path.display()),
        }
    }
}

#[test]
fn i2_the_files_that_pydicom_bundles_come_back() {
    let Some(python) = peers::python() else { return };
    let list = "from pydicom.data import get_testdata_files as f; print(*f(), sep='\\n')";
    let listed = Command::new(&python).args(["-c", list]).output().expect("python");
    let listed = String::from_utf8(listed.stdout).expect("UTF-8");
    let files: Vec<PathBuf> = listed.lines().map(PathBuf::from).filter(|path| path.is_file()).collect();
    let judged = peers::lines_by_path(&python, "judge_files.py", &[], files.iter().map(PathBuf::as_path));
    let names: BTreeSet<String> = files.iter().map(|path| name(path)).collect();
    assert!(REFUSED.iter().all(|(refused, ..)| names.contains(*refused)), "pydicom brings other files now");
    let data = DataFolder::fresh();
    let server = data.serve();
    let (kept, refused) = store(&python, &server, &files);
    assert_refused_rightly(&judged, &refused);
    assert_exported(&data, &kept);
    let compared = peers::same_by_wado(&python, &server.dicom_web(), kept.iter().map(PathBuf::as_path));
    // Each is compared that shares its SOP Instance UID with no other, and each of these that has pixels has frames.
    let sop = |path: &PathBuf| judged[path]["sop"].as_str().unwrap_or_default();
    let alone = |path: &&PathBuf| kept.iter().filter(|other| sop(other) == sop(path)).count() == 1;
    let alone: Vec<&PathBuf> = kept.iter().filter(alone).collect();
    let with_pixels = alone.iter().filter(|path| judged[**path]["has_pixels"] == true).count();
    assert_eq!((compared["whole"], compared["metadata"]), (alone.len(), alone.len()));
    assert_eq!(compared["frames"], with_pixels);
    assert_eq!(server.stop(), 0);
}
