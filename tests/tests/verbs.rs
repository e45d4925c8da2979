//! The command line as people and scripts use it: every verb with the server running and with it stopped, the exit codes
//! that `vellum --help` lists, and what is said where something is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use system_tests::corpus;
use system_tests::oracle::{digests_below, seal_now};
use system_tests::sender::digest;
use system_tests::vellum::{DataFolder, Ran};

/// The study of `docs/tour/files/sr/report.dcm`.
const REPORT: &str = "2.25.295721684316579580792417395036504317917";

fn tour() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/tour/files")
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn sealed_by_hand() -> DataFolder {
    DataFolder::fresh().with("VELLUM_SEAL__QUIET", "24h").with("VELLUM_SEAL__MAX_AGE", "24h")
}

/// A folder beside the data folder; it goes when that does.
fn beside(data: &DataFolder, name: &str) -> PathBuf {
    data.path().with_file_name(name)
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut waiting) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { waiting.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// Runs a verb, as a table and as JSON lines, with one exit code; gives the lines.
fn both(data: &DataFolder, arguments: &[&str], code: i32) -> Vec<Value> {
    let table = data.run(arguments.iter().copied()).expect_code(code);
    assert!(!table.out.is_empty() || !table.err.is_empty(), "{arguments:?} says nothing");
    let json = data.run(arguments.iter().copied().chain(["--json"])).expect_code(code);
    json.json_lines()
}

fn get(from: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(from).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {from}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Every verb once, on an archive that holds nothing; the archive holds the tour's files afterwards.
fn every_verb(data: &DataFolder, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    let tour = text(&tour());
    assert!(both(data, &["find"], 3).is_empty());
    let imported = data.run(["import", &tour, "--json"]).expect_code(0).json_lines();
    assert_eq!(imported[0].pointer("/counts/stored"), Some(&Value::from(8)), "{imported:?}");
    assert_eq!(imported[0].pointer("/counts/not DICOM"), Some(&Value::from(1)), "{imported:?}");
    let _table = data.run(["import", &tour]).expect_code(0);
    for (level, count) in [("patient", 3), ("study", 3), ("instance", 8)] {
        assert_eq!(both(data, &["find", "--level", level], 0).len(), count, "{level}");
    }
    assert_eq!(both(data, &["find", "PatientID=SYN-0001"], 0).len(), 1);
    assert!(both(data, &["find", "PatientID=nobody"], 3).is_empty());
    assert_eq!(both(data, &["show", REPORT], 0).len(), 1);
    assert!(both(data, &["show", "1.2.3"], 3).is_empty());
    assert_eq!(both(data, &["status"], 0)[0].pointer("/journal/live_receipts"), Some(&Value::from(16)));
    let sealed = data.run(["seal", "--now", "--json"]).expect_code(0).json_lines();
    assert_eq!(sealed[0]["packs"], 3, "{sealed:?}");
    let _nothing_left = both(data, &["seal", "--now"], 0);
    let verified = both(data, &["verify"], 0);
    assert_eq!(verified.last().unwrap()["damaged"], 0);
    assert_eq!(both(data, &["verify", "--study", REPORT], 0).last().unwrap()["packs"], 1);
    assert_eq!(both(data, &["rebuild"], 0).last().unwrap()["versions"], 8);
    let entries = both(data, &["ledger", "show"], 0);
    assert_eq!(entries[0]["kind"], "archive_created");
    assert_eq!(both(data, &["ledger", "show", "--kind", "sealed"], 0).len(), 3);
    assert_eq!(both(data, &["ledger", "verify"], 0)[0]["findings"], Value::Array(Vec::new()));
    let _cases = data.run(["case", "ls", "--json"]).expect_code(0).json_lines();
    let _none = data.run(["case", "show", "123"]).expect_code(3);
    exports(data, to);
    assert_eq!(both(data, &["config", "check"], 0)[0]["ok"], true);
    assert!(both(data, &["config", "show"], 0)[0].pointer("/journal/cap").is_some());
    for pack in files_below(&data.path().join("store/studies")) {
        assert!(!both(data, &["debug", "pack", &text(&pack)], 0).is_empty());
    }
    // Sealed receipts leave the journal, and their segments go with them: there is always one.
    let segments = files_below(&data.path().join("journal"));
    let segment = segments.iter().find(|path| path.extension().is_some_and(|extension| extension == "journal"));
    assert!(!both(data, &["debug", "journal", &text(segment.unwrap())], 0).is_empty());
    for shell in ["bash", "zsh", "fish"] {
        assert!(data.run(["completions", shell]).expect_code(0).out.contains("ledger"), "{shell}");
    }
}

/// What went in comes out, to a folder and to a zip file, and nothing is written over.
fn exports(data: &DataFolder, to: &Path) {
    let (folder, zip) = (to.join("folder"), to.join("files.zip"));
    let files = data.run(["export", "--all", "--to", &text(&folder), "--json"]).expect_code(0).json_lines();
    assert_eq!(files.len(), 8);
    let mut wanted: Vec<_> = files_below(&tour())
        .iter()
        .filter(|path| path.extension().unwrap() == "dcm")
        .map(|path| digest(&std::fs::read(path).unwrap()))
        .collect();
    wanted.sort();
    let mut back = digests_below(&folder);
    back.sort();
    assert_eq!(back, wanted);
    let _full = data.run(["export", "--all", "--to", &text(&folder)]).expect_code(2);
    let _zip = data.run(["export", "--all", "--to", &text(&zip)]).expect_code(0);
    let unzipped = to.join("unzipped");
    let script = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])";
    assert!(Command::new("python3").args(["-c", script]).args([&zip, &unzipped]).status().unwrap().success());
    let mut back = digests_below(&unzipped);
    back.sort();
    assert_eq!(back, wanted);
    let _exists = data.run(["export", "--all", "--to", &text(&zip)]).expect_code(2);
    let one = to.join("one");
    let _study = data.run(["export", "--study", REPORT, "--to", &text(&one)]).expect_code(0);
    assert_eq!(files_below(&one).len(), 1);
    for nothing in ["none", "none.zip"].map(|name| to.join(name)) {
        let ran = data.run(["export", "--study", "1.2.3", "--to", &text(&nothing)]).expect_code(3);
        assert!(ran.err.contains("nothing"), "{ran:?}");
        assert!(!nothing.exists(), "{} was made for nothing", nothing.display());
    }
}

#[test]
fn every_verb_works_while_the_server_is_stopped() {
    let data = sealed_by_hand();
    every_verb(&data, &beside(&data, "exports"));
}

#[test]
fn every_verb_works_while_the_server_runs() {
    let data = sealed_by_hand();
    let server = data.serve();
    every_verb(&data, &beside(&data, "exports"));
    for (path, holds) in [("/livez", ""), ("/readyz", ""), ("/metrics", "# TYPE vellum_")] {
        let answer = get(server.http, path);
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(holds), "{path}: {answer}");
    }
    assert_eq!(server.stop(), 0, "SIGTERM");
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let data = sealed_by_hand();
    let wrong: [&[&str]; 6] = [
        &["impotr", "x"],
        &["import"],
        &["find", "no-key"],
        &["export", "--to", "x"],
        &["import", "nowhere-at-all"],
        &["import", ".", "--resume"],
    ];
    for arguments in wrong {
        let ran = data.run(arguments.iter().copied()).expect_code(2);
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{arguments:?}: {ran:?}");
    }
    let help = data.run(["--help"]).expect_code(0);
    for line in
        ["  0  done", "  1  failed", "  2  the command line", "  3  done, but", "  4  damage", "  5  the archive"]
    {
        assert!(help.out.contains(line), "{}", help.out);
    }
}

#[test]
fn a_search_for_what_is_no_attribute_names_the_nearest_one() {
    let data = sealed_by_hand();
    let server = data.serve();
    for (wrong, nearest) in [
        ("PatientsName=X*", "did you mean PatientName?"),
        ("patientid=4711", "did you mean PatientID?"),
        ("StudyInstanceUid=1.2", "did you mean StudyInstanceUID?"),
        ("Qwertz=Jane", "write an attribute's keyword"),
    ] {
        let ran = data.run(["find", wrong]).expect_code(2);
        let (key, value) = wrong.split_once('=').unwrap();
        assert!(ran.out.is_empty() && ran.err.contains(nearest) && ran.err.contains(key), "{ran:?}");
        assert!(!ran.err.contains(value), "a value may be patient data: {}", ran.err);
    }
    assert_eq!(server.stop(), 0);
    let _stopped = data.run(["find", "PatientsName=X"]).expect_code(2);
}

#[test]
fn an_import_of_what_is_not_there_says_what_to_do_and_touches_nothing() {
    let data = sealed_by_hand();
    let nowhere = text(&beside(&data, "nowhere"));
    let _refused = data.run(["import", &nowhere]).expect_code(2);
    assert!(!data.path().exists(), "no archive is made for it");
    std::fs::create_dir_all(data.path()).unwrap();
    let report = beside(&data, "report.jsonl");
    std::fs::write(&report, "an earlier report\n").unwrap();
    let ran = data.run(["import", &text(&tour()), &nowhere, "--report", &text(&report)]).expect_code(2);
    assert!(ran.err.contains(&nowhere) && ran.err.contains("nothing was imported"), "{}", ran.err);
    assert_eq!(std::fs::read_to_string(&report).unwrap(), "an earlier report\n", "the report was written over");
    assert!(both(&data, &["find"], 3).is_empty());
}

#[test]
fn keys_that_contradict_each_other_are_refused_with_both_names() {
    let data = sealed_by_hand().with("VELLUM_JOURNAL__CAP", "32MiB");
    for verb in [["config", "check"].as_slice(), &["serve"]] {
        let ran = data.run(verb.iter().copied()).expect_code(2);
        assert!(ran.err.contains("journal.cap") && ran.err.contains("journal.segment"), "{}", ran.err);
    }
    let data = sealed_by_hand().with("VELLUM_SEAL__MAX_AGE", "1h");
    let ran = data.run(["config", "check"]).expect_code(2);
    assert!(ran.err.contains("seal.quiet") && ran.err.contains("seal.max_age"), "{}", ran.err);
}

#[test]
fn a_wrong_key_of_the_configuration_is_named_with_the_nearest_right_one() {
    let by_environment = sealed_by_hand().with("VELLUM_JOURNAL__CAPP", "1GiB");
    let file = sealed_by_hand();
    std::fs::create_dir_all(file.path()).unwrap();
    std::fs::write(file.path().join("vellum.toml"), "[dimse]\nae_titel = \"ARCHIVE\"\n").unwrap();
    let named = "`journal.capp`; did you mean `journal.cap`?";
    for (data, wanted) in [(&by_environment, named), (&file, "`dimse.ae_titel`; did you mean `dimse.ae_title`?")] {
        for verb in [["config", "check"].as_slice(), &["serve"], &["status"]] {
            let ran = data.run(verb.iter().copied()).expect_code(2);
            assert!(ran.err.contains(wanted), "{}", ran.err);
        }
        assert!(!data.path().join("store").exists(), "an archive was made");
    }
}

#[test]
fn a_second_process_on_a_data_folder_is_refused() {
    let data = sealed_by_hand();
    let server = data.serve();
    let refused = data.run(["serve"]).expect_code(5);
    assert!(refused.err.contains("another process"), "{}", refused.err);
    // Without its socket the first cannot be spoken to, and is still there.
    std::fs::remove_file(data.path().join("control.sock")).unwrap();
    let refused = data.run(["status"]).expect_code(5);
    assert!(refused.err.contains("another process"), "{}", refused.err);
    assert_eq!(server.stop(), 0);
    let _now_free = data.run(["status"]).expect_code(0);
}

/// A start and a verb are refused with code 5 and these words, and leave every file as it was.
fn is_refused(data: &DataFolder, words: &[&str]) {
    let store = data.path().join("store");
    let listing = || if store.exists() { files_below(&store) } else { Vec::new() };
    let before = listing();
    for verb in [["serve"].as_slice(), &["find"], &["seal", "--now"]] {
        let refused = data.run(verb.iter().copied()).expect_code(5);
        for word in words {
            assert!(refused.err.contains(word), "{verb:?}: {}", refused.err);
        }
        assert_eq!(listing(), before, "{verb:?} wrote into the store");
    }
}

#[test]
fn a_store_that_is_away_another_archives_or_of_a_newer_format_is_refused_and_nothing_is_made() {
    let (data, other) = (sealed_by_hand(), sealed_by_hand());
    let _other = other.run(["status"]).expect_code(0);
    let _imported = data.run(["import", &text(&tour())]).expect_code(0);
    seal_now(&data);
    let (store, aside) = (data.path().join("store"), data.path().join("aside"));
    std::fs::rename(&store, &aside).unwrap();
    is_refused(&data, &["store main", "look whether its disk is mounted"]);
    assert!(!store.exists());
    std::fs::create_dir(&store).unwrap();
    is_refused(&data, &["store main"]);
    std::fs::remove_dir_all(&store).unwrap();
    copy(&other.path().join("store"), &store);
    is_refused(&data, &["belongs to archive"]);
    std::fs::remove_dir_all(&store).unwrap();
    std::fs::rename(&aside, &store).unwrap();
    let marker = store.join("archive.json");
    let mine = std::fs::read_to_string(&marker).unwrap();
    let newer = mine.replace("\"format\": 1", "\"format\": 2");
    assert_ne!(mine, newer);
    std::fs::remove_file(&marker).unwrap();
    std::fs::write(&marker, newer).unwrap();
    is_refused(&data, &["format 2"]);
    std::fs::write(&marker, mine).unwrap();
    assert_eq!(data.run(["find", "--json"]).expect_code(0).json_lines().len(), 3);
}

#[test]
fn damage_ends_with_4_and_is_named() {
    let data = sealed_by_hand();
    let _imported = data.run(["import", &text(&tour())]).expect_code(0);
    seal_now(&data);
    let pack = files_below(&data.path().join("store/studies")).remove(0);
    let mut bytes = std::fs::read(&pack).unwrap();
    let cut = beside(&data, "cut.zip");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let shown = data.run(["debug", "pack", &text(&cut)]).expect_code(4);
    assert!(shown.out.contains("FINDING"), "{}", shown.out);
    // The README comes first, about 500 bytes; behind it is the first instance.
    bytes[700] ^= 0x10;
    std::fs::remove_file(&pack).unwrap();
    std::fs::write(&pack, bytes).unwrap();
    let verified = data.run(["verify", "--json"]).expect_code(4);
    assert_ne!(verified.json_lines().last().unwrap()["damaged"], 0);
}

fn zip_of_the_tour(zip: &Path) {
    let script = "import sys, os, zipfile\nout = zipfile.ZipFile(sys.argv[2], 'w', zipfile.ZIP_DEFLATED)\n\
                  for folder, _, names in os.walk(sys.argv[1]):\n    [out.write(os.path.join(folder, n)) for n in names]\n\
                  out.close()";
    assert!(Command::new("python3").args(["-c", script]).args([&tour(), zip]).status().unwrap().success());
}

#[test]
fn a_zip_file_is_imported_with_what_is_in_it() {
    let data = sealed_by_hand();
    std::fs::create_dir_all(data.path()).unwrap();
    let zip = beside(&data, "in.zip");
    zip_of_the_tour(&zip);
    let report = beside(&data, "report.jsonl");
    let ran = data.run(["import", &text(&zip), "--report", &text(&report), "--json"]).expect_code(0);
    assert_eq!(ran.json_lines()[0].pointer("/counts/stored"), Some(&Value::from(8)), "{}", ran.out);
    assert_eq!(lines(&report).len(), 9);
    let to = beside(&data, "out");
    exports(&data, &{
        std::fs::create_dir_all(&to).unwrap();
        to
    });
}

fn lines(report: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(report).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn with_outcome<'a>(lines: &'a [Value], outcome: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["outcome"] == outcome).collect()
}

#[test]
fn an_import_goes_on_where_its_report_ends() {
    let data = sealed_by_hand();
    let first = text(&tour().join("ct"));
    std::fs::create_dir_all(data.path()).unwrap();
    let report = beside(&data, "report.jsonl");
    let _part = data.run(["import", &first, "--report", &text(&report)]).expect_code(0);
    assert_eq!(with_outcome(&lines(&report), "stored").len(), 4);
    let all = ["import", &text(&tour()), "--report", &text(&report), "--resume", "--json"];
    let ran = data.run(all).expect_code(0).json_lines();
    assert_eq!(
        (&ran[0]["skipped"], ran[0].pointer("/counts/stored")),
        (&Value::from(4), Some(&Value::from(4))),
        "{ran:?}"
    );
    assert_eq!(with_outcome(&lines(&report), "stored").len(), 8);
    let ran = data.run(all).expect_code(0).json_lines();
    assert_eq!(ran[0]["skipped"], 8, "{ran:?}");
}

#[test]
fn a_refused_file_is_reported_and_the_import_goes_on() {
    let data = sealed_by_hand();
    let folder = beside(&data, "in");
    copy(&tour(), &folder);
    let good = std::fs::read(folder.join("sr/report.dcm")).unwrap();
    std::fs::write(folder.join("sr/cut.dcm"), &good[..good.len() / 2]).unwrap();
    let report = beside(&data, "report.jsonl");
    let ran = data.run(["import", &text(&folder), "--report", &text(&report), "--json"]).expect_code(3).json_lines();
    assert_eq!(ran[0].pointer("/counts/stored"), Some(&Value::from(8)), "{ran:?}");
    let lines = lines(&report);
    let cut: Vec<_> = lines.iter().filter(|line| line["path"].as_str().unwrap().ends_with("cut.dcm")).collect();
    assert!(cut.len() == 1 && cut[0]["outcome"] == "refused" && !cut[0]["reason"].is_null(), "{cut:?}");
}

#[test]
fn a_medium_with_a_file_missing_is_imported_and_the_missing_one_named() {
    let Some(files) = corpus::files() else { return };
    let directory = files.iter().find(|file| file.name == "dicomdir/pydicom-tree/DICOMDIR").expect("the medium");
    let data = sealed_by_hand();
    let medium = beside(&data, "medium");
    copy(directory.path.parent().unwrap(), &medium);
    let _all_there = data.run(["import", &text(&medium)]).expect_code(0);
    let gone = medium.join("98892003/MR1/4919");
    std::fs::remove_file(&gone).unwrap();
    let report = beside(&data, "report.jsonl");
    let ran = data.run(["import", &text(&medium), "--report", &text(&report)]).expect_code(3);
    assert!(ran.out.contains("missing"), "{}", ran.out);
    let lines = lines(&report);
    let missing = with_outcome(&lines, "missing");
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert_eq!(missing[0]["path"], text(&gone));
    assert_eq!(with_outcome(&lines, "duplicate").len(), files_below(&medium).len() - 1, "all but the DICOMDIR");
}

#[test]
fn a_reader_that_stops_early_is_no_panic() {
    let data = sealed_by_hand();
    let _imported = data.run(["import", &text(&tour())]).expect_code(0);
    for verb in [
        ["find", "--level", "instance", "--json"].as_slice(),
        &["ledger", "show"],
        &["config", "show"],
        &["completions", "bash"],
    ] {
        let mut child =
            data.command(verb.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        {
            let mut out = BufReader::with_capacity(1, child.stdout.take().unwrap());
            let _read = out.read_line(&mut first).unwrap();
        }
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert!(!first.is_empty() && !ran.err.contains("panicked"), "{verb:?}: {}", ran.err);
        assert!(matches!(ran.code, 0 | -1), "{verb:?}: {ran:?}");
    }
}
