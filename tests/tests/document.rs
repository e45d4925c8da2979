//! `docs/FORMAT.md` suffices: a reader in another language, written from that document by somebody who did not read
//! the code, finds every file and every damage (promises I2, I15).
//!
//! The golden stores were written once, by the first release's formats, and are never written again: what is read
//! here today must be read by every later version.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};
use system_tests::vellum::{DataFolder, Ran, program};
use system_tests::{corpus, peers};

/// Places that are damaged in each pack, in the short form.
const FLIPS: usize = 50;

/// SHA-256, study and instance of a file.
type Row = (String, String, String);

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

fn golden_of_the_core(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../archive-core/tests/golden").join(name)
}

/// The Python of the peers, looked for once: to look takes longer than to read.
fn python() -> Option<&'static PathBuf> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON.get_or_init(peers::python).as_ref()
}

/// Runs the reader; `None` where no Python is there that can.
fn read<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Option<Ran> {
    let mut command = Command::new(python()?);
    let output = command.arg(peers::script("extract_by_document.py")).args(arguments).output().unwrap();
    Some(Ran::from(output))
}

/// Fields of the lines of one kind.
fn lines<'a>(out: &'a str, kind: &str) -> Vec<Vec<&'a str>> {
    let fields = out.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    fields.filter(|fields| fields[0] == kind).map(|fields| fields[1..].to_vec()).collect()
}

/// The files that the reader says it proved.
fn proven(out: &str) -> BTreeSet<Row> {
    let owned = |text: &str| text.to_owned();
    lines(out, "file").iter().map(|fields| (owned(fields[0]), owned(fields[2]), owned(fields[3]))).collect()
}

/// A golden list: each file, and whether it was received or composed for a bare data set.
fn expected(name: &str) -> BTreeMap<Row, String> {
    let text = std::fs::read_to_string(golden(name)).unwrap();
    let fields = text.lines().map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>());
    fields.map(|one| ((one[0].clone(), one[1].clone(), one[2].clone()), one[3].clone())).collect()
}

fn sha256(path: &Path) -> String {
    hex::encode(Sha256::digest(std::fs::read(path).unwrap()))
}

/// Every file below a folder whose name ends so.
fn files_below(folder: &Path, end: &str) -> Vec<PathBuf> {
    let (mut found, mut waiting) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.to_string_lossy().ends_with(end) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn digests(folder: &Path) -> BTreeSet<String> {
    files_below(folder, ".dcm").iter().map(|path| sha256(path)).collect()
}

fn digests_of<'a>(rows: impl IntoIterator<Item = &'a Row>) -> BTreeSet<String> {
    rows.into_iter().map(|row| row.0.clone()).collect()
}

/// Reads a golden store or journal by the document and compares all that comes out with its list.
fn gives_every_file(mode: &str, name: &str) {
    let scratch = tempfile::tempdir().unwrap();
    let (folder, to) = (golden(name), scratch.path().to_owned());
    let Some(ran) = read([mode.as_ref(), folder.as_os_str(), "--to".as_ref(), to.as_os_str()]) else { return };
    let ran = ran.expect_code(0);
    let expected: BTreeSet<Row> = expected(&format!("{name}.tsv")).into_keys().collect();
    assert_eq!(proven(&ran.out), expected);
    assert_eq!(digests(&to), digests_of(&expected));
}

#[test]
fn i15_every_file_comes_out_of_the_golden_store_by_the_document() {
    gives_every_file("store", "store-1");
}

#[test]
fn i15_every_file_comes_out_of_the_golden_journal_by_the_document() {
    gives_every_file("journal", "journal-folder-1");
}

#[test]
fn i15_the_other_golden_files_are_readable_by_the_document() {
    let Some(ran) = read(["ledger".as_ref(), golden_of_the_core("ledger-1").as_os_str()]) else { return };
    let ran = ran.expect_code(0);
    let root = std::fs::read_to_string(golden_of_the_core("ledger-1/root.txt")).unwrap();
    assert_eq!(lines(&ran.out, "ledger")[0][1], root.trim());
    let pack = golden_of_the_core("pack-1.zip");
    let ran = read(["pack".as_ref(), "--any-name".as_ref(), pack.as_os_str()]).unwrap().expect_code(0);
    assert!(!proven(&ran.out).is_empty());
    let ran = read(["journal".as_ref(), golden_of_the_core("journal-1").as_os_str()]).unwrap().expect_code(0);
    assert_eq!(proven(&ran.out).len(), 3);
}

/// Places all over a file, the same in each run.
fn places(length: usize, count: usize) -> Vec<usize> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(length).unwrap()).unwrap()
    };
    (0..count).map(|_| next()).collect()
}

/// Where the members of a pack lie, and what follows them: name, begin, end.
fn members(pack: &Path) -> Option<Vec<(String, usize, usize)>> {
    let ran = read(["members".as_ref(), pack.as_os_str()])?.expect_code(0);
    let parsed = |text: &str| text.parse::<usize>().unwrap();
    Some(lines(&ran.out, "member").iter().map(|one| (one[0].to_owned(), parsed(one[1]), parsed(one[2]))).collect())
}

/// Flips bytes of a pack, one in each copy, and looks for the damage by the parts alone: the reader is not told the
/// digest of the whole.
fn every_flip_is_named(pack: &Path, count: usize) {
    let Some(members) = members(pack) else { return };
    let bytes = std::fs::read(pack).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let mut arguments = vec!["pack".to_owned(), "--any-name".to_owned()];
    let mut flipped = Vec::new();
    for place in places(bytes.len(), count) {
        let mut copy = bytes.clone();
        copy[place] ^= 1 << (place % 8);
        let path = scratch.path().join(format!("{place}.zip"));
        std::fs::write(&path, copy).unwrap();
        arguments.push(path.display().to_string());
        flipped.push((place, path.display().to_string()));
    }
    let ran = read(&arguments).unwrap().expect_code(1);
    let damage = lines(&ran.out, "damage");
    for (place, path) in flipped {
        let said: Vec<_> = damage.iter().filter(|one| one[0] == path).map(|one| one[1]).collect();
        let (name, ..) = members.iter().find(|(_, begin, end)| (*begin..*end).contains(&place)).unwrap();
        let named = said.iter().any(|what| what.contains(name.as_str()));
        assert!(named, "byte {place} of {} lies in {name}, but the reader says {said:?}", pack.display());
    }
}

#[test]
fn a_flipped_byte_anywhere_in_a_pack_is_found_and_its_part_is_named() {
    let count = if std::env::var_os("VELLUM_LONG").is_some() { 1000 } else { FLIPS };
    every_flip_is_named(&golden_of_the_core("pack-1.zip"), count);
    for pack in files_below(&golden("store-1"), ".zip") {
        every_flip_is_named(&pack, count / 5);
    }
}

fn copy_folder(from: &Path, to: &Path) {
    for file in files_below(from, "") {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(file, target).unwrap();
    }
}

/// Damages a byte in the middle of a file of a copy of the golden folder; the reader must say so about that file.
fn damage_is_found(mode: &str, folder: &str, files: &[PathBuf]) {
    for file in files {
        let scratch = tempfile::tempdir().unwrap();
        copy_folder(&golden(folder), scratch.path());
        let relative = file.strip_prefix(golden(folder)).unwrap();
        let path = scratch.path().join(relative);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        std::fs::write(&path, bytes).unwrap();
        let Some(ran) = read([mode.as_ref(), scratch.path().as_os_str()]) else { return };
        let ran = ran.expect_code(1);
        let said = lines(&ran.out, "damage");
        assert!(!said.is_empty(), "{}", relative.display());
        if mode == "store" {
            let name = relative.to_string_lossy();
            assert!(said.iter().any(|one| one[0] == name), "{name}: {said:?}");
        }
    }
}

#[test]
fn damage_in_a_ledger_segment_or_pack_of_a_store_is_found_by_the_document() {
    let mut files = files_below(&golden("store-1/ledger"), ".zst");
    files.truncate(3);
    files.extend(files_below(&golden("store-1/studies"), ".zip").into_iter().take(3));
    damage_is_found("store", "store-1", &files);
}

#[test]
fn damage_in_a_spill_file_is_found_by_the_document() {
    damage_is_found("journal", "journal-folder-1", &files_below(&golden("journal-folder-1/spill"), ".bin"));
}

/// Some files of the corpus, all kinds of it; nothing where there is no corpus.
fn sample() -> Option<Vec<PathBuf>> {
    let files = corpus::files()?.into_iter().filter(|file| file.is_expected() && !file.name.ends_with(".zip"));
    let small = files.map(|file| file.path).filter(|path| path.metadata().is_ok_and(|file| file.len() < 1 << 20));
    let step = if std::env::var_os("VELLUM_LONG").is_some() { 1 } else { 10 };
    Some(small.step_by(step).collect())
}

#[test]
fn i2_what_was_imported_comes_out_of_journal_and_packs_by_the_document() {
    let (Some(files), Some(_)) = (sample(), python()) else { return };
    let data = DataFolder::fresh();
    let report = data.path().with_extension("report.jsonl");
    let mut arguments = vec!["import".to_owned(), "--report".to_owned(), report.display().to_string()];
    arguments.extend(files.iter().map(|path| path.display().to_string()));
    let _summary = data.run(&arguments).expect_code(0);
    let imported: BTreeSet<String> = files.iter().map(|path| sha256(path)).collect();

    let unsealed = data.path().with_extension("unsealed");
    let journal = data.path().join("journal");
    let ran = read(["journal".as_ref(), journal.as_os_str(), "--to".as_ref(), unsealed.as_os_str()]).unwrap();
    let ran = ran.expect_code(0);
    assert_eq!(digests_of(&proven(&ran.out)), imported);
    assert_eq!(digests(&unsealed), imported);

    let _sealed = data.run(["seal", "--now"]).expect_code(0);
    let sealed = data.path().with_extension("sealed");
    let store = data.path().join("store");
    let ran = read(["store".as_ref(), store.as_os_str(), "--to".as_ref(), sealed.as_os_str()]).unwrap().expect_code(0);
    assert_eq!(digests_of(&proven(&ran.out)), imported);
    assert_eq!(digests(&sealed), imported);
}

#[test]
fn i15_todays_program_reads_the_golden_store() {
    for pack in files_below(&golden("store-1"), ".zip") {
        let output = Command::new(program()).args(["debug", "pack"]).arg(&pack).output().unwrap();
        let _listing = Ran::from(output).expect_code(0);
    }
    for segment in files_below(&golden("journal-folder-1"), ".journal") {
        let output = Command::new(program()).args(["debug", "journal"]).arg(&segment).output().unwrap();
        let _listing = Ran::from(output).expect_code(0);
    }
}

/// The script that lies in the golden store, and the one that today's program puts into a new store.
#[test]
fn i15_the_extract_scripts_of_then_and_now_read_the_golden_store() {
    let (Some(python), Some(_)) = (python(), peers::program("zstd")) else { return };
    let data = DataFolder::fresh();
    let _created = data.run(["seal", "--now"]);
    let now = data.path().join("store/extract.py");
    let list = expected("store-1.tsv");
    let received: BTreeSet<String> = digests_of(list.iter().filter(|(_, how)| *how == "received").map(|(row, _)| row));
    let mut scripts = vec![golden("store-1/extract.py")];
    scripts.extend(now.exists().then_some(now));
    for script in scripts {
        let to = tempfile::tempdir().unwrap();
        let target = to.path().join("files");
        let mut command = Command::new(python);
        command.arg(&script).arg("--store").arg(golden("store-1")).arg("extract").arg(&target).arg("--all-versions");
        let ran = Ran::from(command.output().unwrap()).expect_code(0);
        let found = digests(&target);
        assert!(found.is_superset(&received), "{}: {}", script.display(), ran.out);
        assert!(found.is_subset(&digests_of(list.keys())), "{}: {}", script.display(), ran.out);
    }
}

#[test]
fn what_lies_in_reserved_folders_is_passed_over_and_left() {
    let (Some(python), Some(_)) = (python(), peers::program("zstd")) else { return };
    let data = DataFolder::fresh();
    let _created = data.run(["seal", "--now"]).expect_code(0);
    let store = data.path().join("store");
    let content = b"{\"nonce\":\"00\",\"reason\":\"of a later version\"}".as_slice();
    let digest = hex::encode(Sha256::digest(content));
    let reserved = [
        format!("documents/{}/{digest}.json", &digest[..2]),
        "documents/rubbish".to_owned(),
        "quarantine/studies/1.2.3/old.zip".to_owned(),
        "access/2026/11.jsonl.zst".to_owned(),
    ];
    for name in &reserved {
        let path = store.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    for file in corpus::files().into_iter().flatten().filter(corpus::CorpusFile::is_expected).take(1) {
        let _imported = data.run(["import", &file.path.display().to_string()]).expect_code(0);
    }
    for verb in [&["seal", "--now"][..], &["rebuild"], &["verify"], &["ledger", "verify"], &["status"]] {
        let _ran = data.run(verb.iter().copied()).expect_code(0);
    }
    let mut script = Command::new(python);
    let _verified = Ran::from(script.arg(store.join("extract.py")).arg("verify").output().unwrap()).expect_code(0);
    let _read = read(["store".as_ref(), store.as_os_str()]).unwrap().expect_code(0);
    let mut found: Vec<String> = ["documents", "quarantine", "access"]
        .iter()
        .flat_map(|folder| files_below(&store.join(folder), ""))
        .inspect(|path| assert_eq!(std::fs::read(path).unwrap(), content, "{}", path.display()))
        .map(|path| path.strip_prefix(&store).unwrap().display().to_string())
        .collect();
    found.sort();
    let mut expected = reserved.to_vec();
    expected.sort();
    assert_eq!(found, expected);
}
