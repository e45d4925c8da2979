//! The same instance again, and others under its name: at once, by every door, after sealing, from other sources, under
//! other rules (DESIGN §2, §3.4, promises I2, I3).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use system_tests::peers;
use system_tests::vellum::DataFolder;

const STUDY: &str = "1.2.3.4.5";
const OTHER_STUDY: &str = "1.2.3.4.6";
const RULE: &str = "VELLUM_RECEIVE__DUPLICATE_RULE";
const CONNECTIONS: usize = 64;

/// The files of `make_variants.py`.
struct Variants(PathBuf);

impl Variants {
    fn beside(data: &DataFolder, python: &Path) -> Self {
        let folder = data.path().with_extension("variants");
        let made = Command::new(python).arg(peers::script("make_variants.py")).arg(&folder).status().expect("python");
        assert!(made.success());
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.dcm"))
    }

    fn import(&self, data: &DataFolder, name: &str, source: &str) {
        let path = self.path(name).display().to_string();
        let _imported = data.run(["import", "--source", source, &path]).expect_code(0);
    }
}

/// Versions of a study, as `show --json` has them.
fn versions(data: &DataFolder, study: &str) -> Vec<Value> {
    for _ in 0..600 {
        let ran = data.run(["show", study, "--json"]);
        if !ran.err.contains("is being rebuilt") {
            return ran.expect_code(0).json_lines();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the catalog is being rebuilt for ever");
}

fn receipts(versions: &[Value]) -> Vec<&Value> {
    versions.iter().flat_map(|version| version["receipts"].as_array().expect("receipts")).collect()
}

/// The series description of the version that is current; the variants differ in it.
fn current(data: &DataFolder) -> String {
    let versions = versions(data, STUDY);
    let current: Vec<&Value> = versions.iter().filter(|version| version["current"] == true).collect();
    assert_eq!(current.len(), 1, "{versions:?}");
    let description = current[0].pointer("/attributes/0008103E/Value/0").and_then(Value::as_str);
    description.expect("a description").to_owned()
}

/// What the open cases are about.
fn cases(data: &DataFolder) -> BTreeSet<String> {
    let cases = data.run(["case", "ls", "--json"]).expect_code(0).json_lines();
    cases.iter().map(|case| case["about"].as_str().expect("a word").to_owned()).collect()
}

/// Waits until a case is open: they are opened after the answer, by the archive's jobs.
fn wait_for_case(data: &DataFolder, about: &str) {
    for _ in 0..200 {
        if cases(data).contains(about) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("no case {about}: {:?}", cases(data));
}

/// Everything that an archive answers about these studies.
fn answers(data: &DataFolder, studies: &[&str]) -> Vec<Value> {
    let mut answers = Vec::new();
    for level in ["patient", "study", "series", "instance"] {
        answers.extend(data.run(["find", "--level", level, "--json"]).expect_code(0).json_lines());
    }
    for study in studies {
        answers.extend(versions(data, study));
    }
    let mut cases = data.run(["case", "ls", "--all", "--json"]).expect_code(0).json_lines();
    cases.sort_by_key(ToString::to_string);
    answers.extend(cases);
    answers
}

/// I3: the answers are the same from a catalog made anew, whether somebody asked for that or it was gone.
fn assert_same_after_rebuild(data: &DataFolder, studies: &[&str]) {
    let before = answers(data, studies);
    let _rebuilt = data.run(["rebuild"]).expect_code(0);
    assert_eq!(answers(data, studies), before, "after rebuild");
    std::fs::remove_dir_all(data.path().join("catalog")).expect("the catalog");
    assert_eq!(answers(data, studies), before, "after the catalog was deleted");
}

fn packs(data: &DataFolder) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![data.store_folder().join("studies")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path);
            }
        }
    }
    found
}

/// Names of the DICOM files in a pack, as Python's zip reader lists them.
fn members(pack: &Path) -> Vec<String> {
    let listed = Command::new("python3").args(["-m", "zipfile", "-l"]).arg(pack).output().expect("python3");
    assert!(listed.status.success());
    let text = String::from_utf8(listed.stdout).expect("UTF-8");
    let names = text.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| name.ends_with(".dcm")).map(str::to_owned).collect()
}

fn seal(data: &DataFolder) {
    let _sealed = data.run(["seal", "--now"]).expect_code(0);
}

fn at_once(python: &Path, arguments: &[&str]) -> Vec<String> {
    let script = Command::new(python).arg(peers::script("at_once.py")).args(arguments).output().expect("python");
    assert!(script.status.success(), "{}", String::from_utf8_lossy(&script.stderr));
    serde_json::from_slice(&script.stdout).expect("a list of answers")
}

#[test]
fn the_same_instance_from_64_connections_at_once_is_one_content_with_64_receipts_by_each_door() {
    let Some(python) = peers::python() else { return };
    let data = DataFolder::fresh();
    let variants = Variants::beside(&data, &python);
    let original = variants.path("original").display().to_string();
    let server = data.serve();
    let (port, count) = (server.dimse.port().to_string(), CONNECTIONS.to_string());
    let by_c_store = at_once(&python, &["c-store", &port, "VELLUM", &count, &original]);
    assert_eq!(by_c_store, vec!["0000"; CONNECTIONS]);
    let held = versions(&data, STUDY);
    assert_eq!((held.len(), receipts(&held).len()), (1, CONNECTIONS));
    let by_stow = at_once(&python, &["stow", &server.dicom_web(), &count, &original]);
    assert_eq!(by_stow, vec!["200"; CONNECTIONS]);
    variants.import(&data, "original", "import");

    let held = versions(&data, STUDY);
    assert_eq!(held.len(), 1, "three doors, one content");
    let receipts = receipts(&held);
    let numbers: BTreeSet<&str> = receipts.iter().filter_map(|receipt| receipt["number"].as_str()).collect();
    assert_eq!((receipts.len(), numbers.len()), (2 * CONNECTIONS + 1, 2 * CONNECTIONS + 1));
    let doors: BTreeSet<String> = receipts.iter().map(|receipt| receipt["door"].to_string()).collect();
    assert_eq!(doors.len(), 3, "{doors:?}");
    seal(&data);
    assert_eq!(server.stop(), 0);
    let packs = packs(&data);
    assert_eq!(packs.len(), 1);
    assert_eq!(packs.iter().flat_map(|pack| members(pack)).collect::<Vec<_>>(), ["1.2.3.4.5.1.dcm"]);
    assert!(cases(&data).is_empty());
    assert_same_after_rebuild(&data, &[STUDY]);
}

#[test]
fn what_comes_again_after_sealing_adds_a_receipt_and_no_bytes() {
    let Some(python) = peers::python() else { return };
    let data = DataFolder::fresh();
    let variants = Variants::beside(&data, &python);
    variants.import(&data, "original", "A");
    seal(&data);
    let first = packs(&data);
    variants.import(&data, "original", "A");
    seal(&data);
    let both = packs(&data);
    let second: Vec<&PathBuf> = both.difference(&first).collect();
    assert_eq!((first.len(), second.len()), (1, 1));
    assert!(members(second[0]).is_empty(), "the second pack holds receipts only");
    let held = versions(&data, STUDY);
    assert_eq!((held.len(), receipts(&held).len()), (1, 2));
    assert!(cases(&data).is_empty());
    let _verified = data.run(["verify"]).expect_code(0);
    assert_same_after_rebuild(&data, &[STUDY]);
}

/// Changes a byte in the middle of a member of a pack, as a failing disk would.
fn damage(pack: &Path) {
    let text = String::from_utf8(
        Command::new("python3")
            .args(["-c", "import sys, zipfile; i = [i for i in zipfile.ZipFile(sys.argv[1]).infolist() if i.filename.endswith('.dcm')][0]; print(i.header_offset + i.compress_size // 2 + 60)"])
            .arg(pack)
            .output()
            .expect("python3")
            .stdout,
    );
    let offset: u64 = text.expect("UTF-8").trim().parse().expect("a number");
    let mut file = std::fs::File::options().read(true).write(true).open(pack).expect("the pack");
    let mut byte = [0];
    file.seek(SeekFrom::Start(offset)).expect("a place");
    file.read_exact(&mut byte).expect("a byte");
    file.seek(SeekFrom::Start(offset)).expect("a place");
    file.write_all(&[byte[0] ^ 0x55]).expect("room");
}

fn export(data: &DataFolder, name: &str) -> (i32, BTreeSet<Vec<u8>>) {
    let target = data.path().with_extension(name);
    let to = target.display().to_string();
    let ran = data.run(["export", "--all", "--versions", "--to", &to]);
    let mut digests = BTreeSet::new();
    let mut folders = vec![target];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                digests.insert(Sha256::digest(std::fs::read(path).expect("a file")).to_vec());
            }
        }
    }
    (ran.code, digests)
}

/// What is in the files of a folder, by name.
fn files_below(folder: &Path) -> BTreeSet<(String, Vec<u8>)> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            found.insert((name, Sha256::digest(std::fs::read(&path).expect("a file")).to_vec()));
        }
    }
    found
}

#[test]
fn i2_export_and_extract_py_give_the_same_files_and_none_for_a_data_set_that_came_without() {
    let Some(python) = peers::python() else { return };
    let data = DataFolder::fresh();
    let variants = Variants::beside(&data, &python);
    variants.import(&data, "original", "A");
    // The same data set over C-STORE: no file comes with it.
    let server = data.serve();
    let original = variants.path("original").display().to_string();
    assert_eq!(at_once(&python, &["c-store", &server.dimse.port().to_string(), "VELLUM", "1", &original]), ["0000"]);
    assert_eq!(server.stop(), 0);
    // And in a file with another preamble.
    let mut other = std::fs::read(variants.path("original")).expect("a file");
    other[..4].copy_from_slice(b"TIFF");
    std::fs::write(variants.path("preamble"), &other).expect("room");
    variants.import(&data, "preamble", "A");
    let held = versions(&data, STUDY);
    assert_eq!((held.len(), receipts(&held).len()), (1, 3));
    seal(&data);

    let (exported, extracted) = (data.path().with_extension("exported"), data.path().with_extension("extracted"));
    let _exported = data.run(["export", "--all", "--versions", "--to", &exported.display().to_string()]).expect_code(0);
    let script = data.store_folder().join("extract.py");
    let ran = Command::new("python3").arg(script).arg("extract").arg(&extracted).arg("--all-versions").status();
    assert!(ran.expect("python3").success());
    let files = files_below(&exported);
    assert_eq!(files, files_below(&extracted));
    let original = std::fs::read(variants.path("original")).expect("a file");
    let expected: BTreeSet<Vec<u8>> = [original, other].iter().map(|file| Sha256::digest(file).to_vec()).collect();
    assert_eq!(files.into_iter().map(|(_, digest)| digest).collect::<BTreeSet<_>>(), expected);
}

#[test]
fn i9_a_damaged_sealed_copy_is_not_served_and_is_healed_when_the_instance_comes_again() {
    let Some(python) = peers::python() else { return };
    let data = DataFolder::fresh();
    let variants = Variants::beside(&data, &python);
    variants.import(&data, "original", "A");
    seal(&data);
    let whole = Sha256::digest(std::fs::read(variants.path("original")).expect("a file")).to_vec();
    damage(packs(&data).first().expect("a pack"));
    let (code, _) = export(&data, "damaged");
    assert_ne!(code, 0, "damaged bytes are not given away as good ones");
    assert_eq!(data.run(["verify"]).code, 4);

    variants.import(&data, "original", "A");
    seal(&data);
    assert_eq!(export(&data, "sealed"), (0, BTreeSet::from([whole])), "from the new pack");
    let held = versions(&data, STUDY);
    assert_eq!((held.len(), receipts(&held).len()), (1, 2));
    assert_same_after_rebuild(&data, &[STUDY]);
}

#[test]
fn variants_of_one_instance_are_all_kept_and_a_person_hears_of_them() {
    let Some(python) = peers::python() else { return };
    let data = DataFolder::fresh();
    let variants = Variants::beside(&data, &python);
    let steps = [
        ("original", None),
        ("re-encoded", Some("other-content")),
        ("other-patient", Some("study-of-two-patients")),
        ("other-study", Some("sop-in-two-studies")),
        ("other-syntax-1", None),
        ("other-syntax-2", Some("two-syntaxes")),
    ];
    for (number, (name, case)) in steps.iter().enumerate() {
        variants.import(&data, name, &format!("SOURCE{number}"));
        if let Some(case) = case {
            wait_for_case(&data, case);
        }
    }
    assert_eq!(current(&data), "original", "what comes from elsewhere stays beside");
    assert_eq!((versions(&data, STUDY).len(), versions(&data, OTHER_STUDY).len()), (5, 1));
    let files = steps.iter().map(|(name, _)| std::fs::read(variants.path(name)).expect("a file"));
    let files: BTreeSet<Vec<u8>> = files.map(|file| Sha256::digest(file).to_vec()).collect();
    assert_eq!(export(&data, "unsealed"), (0, files.clone()));
    seal(&data);
    assert_eq!(export(&data, "sealed"), (0, files));
    assert_eq!(current(&data), "original");
    assert_eq!(cases(&data).len(), 4);
    assert_same_after_rebuild(&data, &[STUDY, OTHER_STUDY]);
}

#[test]
fn a_source_that_sends_an_older_version_again_makes_it_current_again() {
    let Some(python) = peers::python() else { return };
    let data = DataFolder::fresh();
    let variants = Variants::beside(&data, &python);
    for (name, sealed) in [("original", true), ("changed", false), ("original", true), ("changed", true)] {
        variants.import(&data, name, "PACS");
        assert_eq!(current(&data), name);
        if sealed {
            seal(&data);
            assert_eq!(current(&data), name, "sealing changes nothing");
        }
    }
    assert!(cases(&data).is_empty(), "a source may correct itself");
    assert_same_after_rebuild(&data, &[STUDY]);
}

#[test]
fn a_second_source_stays_beside_the_first() {
    let Some(python) = peers::python() else { return };
    let data = DataFolder::fresh();
    let variants = Variants::beside(&data, &python);
    for (name, source) in [("original", "PACS"), ("changed", "OTHER"), ("original", "PACS"), ("original", "OTHER")] {
        variants.import(&data, name, source);
        assert_eq!(current(&data), "original");
    }
    assert_eq!(cases(&data), BTreeSet::from(["other-content".to_owned()]));
    let held = versions(&data, STUDY);
    assert_eq!((held.len(), receipts(&held).len()), (2, 4));
    seal(&data);
    assert_eq!(current(&data), "original");
    assert_same_after_rebuild(&data, &[STUDY]);
}

#[test]
fn i3_each_receipt_is_judged_by_the_rule_that_was_in_force_when_it_came() {
    let Some(python) = peers::python() else { return };
    let mut data = DataFolder::fresh();
    let variants = Variants::beside(&data, &python);
    let steps = [
        ("same-source-replaces", "original", "PACS", "original"),
        ("first-wins", "changed", "PACS", "original"),
        ("latest-wins", "changed", "OTHER", "changed"),
        ("first-wins", "original", "OTHER", "changed"),
        ("latest-wins", "original", "OTHER", "original"),
        ("same-source-replaces", "changed", "THIRD", "original"),
    ];
    for (number, (rule, name, source, expected)) in steps.into_iter().enumerate() {
        data.set(RULE, rule);
        let server = data.serve();
        variants.import(&data, name, source);
        assert_eq!(current(&data), expected, "step {number}: {name} of {source} under {rule}");
        if number % 2 == 1 {
            seal(&data);
        }
        assert_eq!(server.stop(), 0);
    }
    seal(&data);
    for rule in ["first-wins", "latest-wins", "same-source-replaces"] {
        data.set(RULE, rule);
        assert_eq!(current(&data), "original", "a rule of today says nothing about what came before");
        assert_same_after_rebuild(&data, &[STUDY]);
    }
}
