//! Real files of many vendors go in by every door and come back byte for byte (promises I2, I14).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use system_tests::corpus::{self, CorpusFile};
use system_tests::peers;
use system_tests::vellum::DataFolder;

/// Files on which this archive decides otherwise than the manifest proposes, and why.
const OTHERWISE: &[(&str, &str)] = &[];

/// Files whose meta group names another SOP Instance UID than their data set. A sender that takes the one from there
/// announces an instance that it does not send: "Data Set does not match SOP Class" (PS3.4 §B.2.3), A900H. As files they
/// are kept, and noted.
const META_GROUP_DIFFERS: &[&str] = &[
    "charset/chrJapMulti.dcm",
    "modality/001.dcm",
    "modality/rtdose.dcm",
    "modality/rtplan.dcm",
    "modality/sm_image_grayscale.dcm",
    "odd/GH1146.dcm",
    "odd/badVR.dcm",
    "odd/no-meta-length-test.dcm",
    "studies/mr-5series/kos_modified.dcm",
];

fn sha256(path: &Path) -> String {
    hex::encode(Sha256::digest(std::fs::read(path).expect("a file")))
}

/// Digest of every file below a folder, with one path of it.
fn digests(folder: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.insert(sha256(&path), path);
            }
        }
    }
    found
}

/// Imports files through a list of paths; gives the report by path.
fn import(data: &DataFolder, files: &[CorpusFile]) -> BTreeMap<PathBuf, Value> {
    let report = data.path().with_extension("report.jsonl");
    let mut arguments = vec!["import".to_owned(), "--report".to_owned(), report.display().to_string()];
    arguments.extend(files.iter().map(|file| file.path.display().to_string()));
    let ran = data.run(&arguments);
    assert!(matches!(ran.code, 0 | 3), "{}\n{}", ran.out, ran.err);
    let lines = std::fs::read_to_string(report).expect("a report");
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.map(|line| (PathBuf::from(line["path"].as_str().expect("a path")), line)).collect()
}

fn is_kept(line: &Value) -> bool {
    matches!(line["outcome"].as_str(), Some("stored" | "duplicate"))
}

/// Zip and gzip files of the corpus are unpacked by an import on purpose; as instances they are no DICOM.
fn single_files(files: Vec<CorpusFile>) -> Vec<CorpusFile> {
    files.into_iter().filter(|file| !file.name.ends_with(".zip")).collect()
}

#[test]
fn i2_the_corpus_goes_in_by_import_and_every_accepted_file_comes_back() {
    let Some(files) = corpus::files().map(single_files) else { return };
    let data = DataFolder::fresh();
    let report = import(&data, &files);
    let mut otherwise = Vec::new();
    for file in &files {
        let line = report.get(&file.path).unwrap_or_else(|| panic!("{} is not in the report", file.name));
        if !is_kept(line) {
            assert!(!line["reason"].as_str().unwrap_or_default().is_empty(), "{}: refused without a reason", file.name);
        }
        if is_kept(line) != file.is_expected() && !OTHERWISE.iter().any(|(name, _)| *name == file.name) {
            otherwise
                .push(format!("{}: {} {} (expected: {})", file.name, line["outcome"], line["reason"], file.expected));
        }
    }
    assert!(otherwise.is_empty(), "verdicts that nobody explained:\n{}", otherwise.join("\n"));
    let kept: BTreeSet<String> =
        files.iter().filter(|file| is_kept(&report[&file.path])).map(|file| sha256(&file.path)).collect();

    let before = data.path().with_extension("unsealed");
    export(&data, &before);
    assert_all_there(&kept, &digests(&before), "exported from the journal");
    let _sealed = data.run(["seal", "--now"]).expect_code(0);
    let after = data.path().with_extension("sealed");
    export(&data, &after);
    assert_all_there(&kept, &digests(&after), "exported from packs");
    let _verified = data.run(["verify"]).expect_code(0);
    for tool in ["extract.py", "7zz", "bsdtar"] {
        let target = data.path().with_extension(tool.replace('.', "-"));
        if unpack(tool, &data.store_folder(), &target) {
            assert_all_there(&kept, &digests(&target), tool);
        }
    }
}

fn export(data: &DataFolder, to: &Path) {
    let to = to.display().to_string();
    let _exported = data.run(["export", "--all", "--versions", "--to", &to]).expect_code(0);
}

fn assert_all_there(kept: &BTreeSet<String>, found: &BTreeMap<String, PathBuf>, how: &str) {
    let missing: Vec<&String> = kept.iter().filter(|digest| !found.contains_key(*digest)).collect();
    assert!(missing.is_empty(), "{} of {} files did not come back ({how}): {missing:?}", missing.len(), kept.len());
}

/// Takes every DICOM file out of the packs of a store with another program; false where it is not installed.
fn unpack(tool: &str, store: &Path, target: &Path) -> bool {
    std::fs::create_dir_all(target).expect("a folder");
    if tool == "extract.py" {
        let mut command = Command::new("python3");
        command.arg(store.join("extract.py")).arg("extract").arg(target).arg("--all-versions");
        let ran = command.output().expect("python3");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        return true;
    }
    let Some(program) = peers::program(tool) else { return false };
    for (digest, pack) in digests(&store.join("studies")) {
        let folder = target.join(&digest[..16]);
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut command = Command::new(&program);
        match tool {
            "7zz" => command.arg("x").arg(&pack).current_dir(&folder),
            _ => command.arg("-xf").arg(&pack).current_dir(&folder),
        };
        let ran = command.stdout(Stdio::null()).output().expect("the program starts");
        assert!(ran.status.success(), "{tool} on {}: {}", pack.display(), String::from_utf8_lossy(&ran.stderr));
    }
    true
}

/// Sends files with `tests/python/send_files.py`; gives what was answered by path.
fn send(python: &Path, arguments: &[String], files: &[CorpusFile]) -> BTreeMap<PathBuf, Value> {
    peers::lines_by_path(python, "send_files.py", arguments, files.iter().map(|file| file.path.as_path()))
}

/// Files whose SOP Instance UID no other of these has: what a retrieval by UIDs gives is then no other version.
fn alone<'a>(files: &[&'a CorpusFile]) -> Vec<&'a CorpusFile> {
    let mut counts = BTreeMap::<&str, usize>::new();
    files.iter().for_each(|file| *counts.entry(sop(file)).or_default() += 1);
    files.iter().filter(|file| counts.get(sop(file)) == Some(&1)).copied().collect()
}

fn sop(file: &CorpusFile) -> &str {
    file.columns.get(13).map_or("", String::as_str)
}

fn transfer_syntax(file: &CorpusFile) -> &str {
    file.columns.get(6).map_or("", String::as_str)
}

/// A few files of each transfer syntax; all with `VELLUM_LONG`.
fn sample<'a>(files: &[&'a CorpusFile]) -> Vec<&'a CorpusFile> {
    let most = if std::env::var_os("VELLUM_LONG").is_some() { usize::MAX } else { 5 };
    let mut by_syntax = BTreeMap::<&str, Vec<&CorpusFile>>::new();
    files.iter().for_each(|file| by_syntax.entry(transfer_syntax(file)).or_default().push(file));
    by_syntax.into_values().flat_map(|files| files.into_iter().take(most)).collect()
}

#[test]
fn i2_the_corpus_goes_in_by_stow_and_every_accepted_file_comes_back() {
    let Some(files) = corpus::files().map(single_files) else { return };
    let Some(python) = peers::python() else { return };
    let data = DataFolder::fresh();
    let server = data.serve();
    let answers = send(&python, &["stow".to_owned(), server.dicom_web()], &files);
    let kept_by_stow = |file: &&CorpusFile| matches!(answers[&file.path]["status"].as_str(), Some("200" | "202"));
    let other = files.iter().filter(|file| kept_by_stow(file) != file.is_expected());
    let other: Vec<String> = other
        .filter(|file| !OTHERWISE.iter().any(|(name, _)| *name == file.name))
        .map(|file| format!("{}: {} (expected: {})", file.name, answers[&file.path], file.expected))
        .collect();
    assert!(other.is_empty(), "{}", other.join("\n"));
    let kept: BTreeSet<String> = files.iter().filter(kept_by_stow).map(|file| sha256(&file.path)).collect();
    let target = data.path().with_extension("exported");
    export(&data, &target);
    assert_all_there(&kept, &digests(&target), "exported while the server runs");
    let held: Vec<&CorpusFile> = files.iter().filter(kept_by_stow).collect();
    let sample = sample(&alone(&held));
    let compared = peers::same_by_wado(&python, &server.dicom_web(), sample.iter().map(|file| file.path.as_path()));
    assert!(compared["metadata"] >= 40 && compared["frames"] >= 40, "{compared:?}");
    let _sealed = data.run(["seal", "--now"]).expect_code(0);
    let from_packs = peers::same_by_wado(&python, &server.dicom_web(), sample.iter().map(|file| file.path.as_path()));
    assert_eq!(from_packs, compared);
    assert_eq!(server.stop(), 0);
}

/// The data set of a Part 10 file: what follows the meta group.
fn data_set(bytes: &[u8]) -> Option<&[u8]> {
    if bytes.get(128..132)? != b"DICM" || bytes.get(132..140)? != b"\x02\0\0\0UL\x04\0" {
        return None;
    }
    let length = u32::from_le_bytes(bytes.get(140..144)?.try_into().ok()?);
    bytes.get(144 + usize::try_from(length).ok()?..)
}

#[test]
fn i2_the_corpus_goes_in_by_c_store_and_every_data_set_comes_back() {
    let Some(files) = corpus::files().map(single_files) else { return };
    let Some(python) = peers::python() else { return };
    let data = DataFolder::fresh();
    let server = data.serve();
    let arguments = ["c-store", "127.0.0.1", &server.dimse.port().to_string(), "VELLUM"].map(str::to_owned);
    let answers = send(&python, &arguments, &files);
    let status = |file: &CorpusFile| answers[&file.path]["status"].as_str().unwrap_or_default().to_owned();
    let sent: Vec<&CorpusFile> = files.iter().filter(|file| status(file) != "unsendable").collect();
    assert!(sent.len() > 250, "only {} files could be sent", sent.len());
    let is_kept = |file: &CorpusFile| matches!(status(file).as_str(), "0000" | "B007");
    for file in sent.iter().filter(|file| META_GROUP_DIFFERS.contains(&file.name.as_str())) {
        assert_eq!(status(file), "A900", "{}", file.name);
    }
    let expected = |file: &CorpusFile| file.is_expected() && !META_GROUP_DIFFERS.contains(&file.name.as_str());
    let otherwise = sent.iter().filter(|file| is_kept(file) != expected(file));
    let otherwise: Vec<String> = otherwise.map(|file| format!("{}: {}", file.name, answers[&file.path])).collect();
    assert!(otherwise.is_empty(), "{}", otherwise.join("\n"));
    let kept: Vec<&&CorpusFile> = sent.iter().filter(|file| is_kept(file)).collect();
    let target = data.path().with_extension("exported");
    export(&data, &target);
    let came_back: BTreeSet<[u8; 32]> = digests(&target)
        .values()
        .filter_map(|path| Some(Sha256::digest(data_set(&std::fs::read(path).ok()?)?).into()))
        .collect();
    let missing = kept.iter().filter(|file| {
        let bytes = std::fs::read(&file.path).expect("a file");
        data_set(&bytes).is_some_and(|content| !came_back.contains(&<[u8; 32]>::from(Sha256::digest(content))))
    });
    let missing: Vec<&String> = missing.map(|file| &file.name).collect();
    assert!(missing.is_empty(), "data sets that did not come back: {missing:?}");
    assert_eq!(server.stop(), 0);
}
