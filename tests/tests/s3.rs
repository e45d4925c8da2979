//! The whole way with a bucket as the only store: import, seal, find, export, verify, rebuild, and the doors
//! (promises I2, I3).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use system_tests::corpus::{self, CorpusFile};
use system_tests::peers;
use system_tests::s3_server::S3Server;
use system_tests::vellum::DataFolder;

/// Small studies of the corpus, kept by the archive as they are.
fn files() -> Option<Vec<CorpusFile>> {
    let wanted = |file: &CorpusFile| {
        file.name.starts_with("studies/mr-fmri-27/") || file.name.starts_with("transfer-syntax/MR_small")
    };
    Some(corpus::files()?.into_iter().filter(|file| wanted(file) && file.is_expected()).collect())
}

fn data_in(bucket: &S3Server) -> DataFolder {
    bucket.environment().into_iter().fold(DataFolder::fresh(), |data, (key, value)| data.with(&key, value))
}

fn contents(folder: &Path) -> BTreeSet<Vec<u8>> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(std::fs::read(path).expect("a file"));
            }
        }
    }
    found
}

fn expected(files: &[CorpusFile]) -> BTreeSet<Vec<u8>> {
    files.iter().map(|file| std::fs::read(&file.path).expect("a file")).collect()
}

fn assert_exported(data: &DataFolder, files: &[CorpusFile], name: &str) {
    let target = data.path().with_extension(name);
    let to = target.display().to_string();
    let _exported = data.run(["export", "--all", "--versions", "--to", &to]).expect_code(0);
    assert!(contents(&target) == expected(files), "{name}: not the files that went in");
}

fn found(data: &DataFolder) -> Vec<Value> {
    data.run(["find", "--level", "instance", "--limit", "1000", "--json"]).expect_code(0).json_lines()
}

fn packs(bucket: &S3Server) -> usize {
    let mut count = 0;
    let mut folders = vec![bucket.bucket_folder().join("studies")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                count += usize::from(path.extension().is_some_and(|extension| extension == "zip"));
            }
        }
    }
    count
}

#[test]
fn a_bucket_as_the_only_store_holds_everything() {
    let Some(files) = files() else { return };
    let Some(bucket) = S3Server::start() else { return };
    let data = data_in(&bucket);
    let mut arguments = vec!["import".to_owned()];
    arguments.extend(files.iter().map(|file| file.path.display().to_string()));
    let _imported = data.run(&arguments).expect_code(0);
    let _sealed = data.run(["seal", "--now"]).expect_code(0);
    assert!(packs(&bucket) >= 2, "packs lie in the bucket");
    assert!(!data.path().join("store").exists(), "and nowhere else");
    let before = found(&data);
    assert!(before.len() >= 28, "{} instances", before.len());
    assert_exported(&data, &files, "exported");
    let _verified = data.run(["verify"]).expect_code(0);
    let _verified = data.run(["ledger", "verify"]).expect_code(0);

    let _rebuilt = data.run(["rebuild"]).expect_code(0);
    assert_eq!(found(&data), before);
    std::fs::remove_dir_all(data.path().join("catalog")).expect("the catalog");
    assert_eq!(found(&data), before, "I3: the catalog is made anew from the bucket");
    assert_exported(&data, &files, "exported-again");
}

#[test]
fn every_door_works_on_a_bucket() {
    let Some(files) = files() else { return };
    let Some(python) = peers::python() else { return };
    let Some(bucket) = S3Server::start() else { return };
    let data = data_in(&bucket);
    let server = data.serve();
    let paths: Vec<PathBuf> = files.iter().map(|file| file.path.clone()).collect();
    let (by_stow, by_c_store) = paths.split_at(paths.len() / 2);
    let send = |arguments: &[String], paths: &[PathBuf], good: &str| {
        let answers = peers::lines_by_path(&python, "send_files.py", arguments, paths.iter().map(PathBuf::as_path));
        assert!(answers.values().all(|answer| answer["status"] == good), "{answers:?}");
    };
    send(&["stow".to_owned(), server.dicom_web()], by_stow, "200");
    let c_store = ["c-store", "127.0.0.1", &server.dimse.port().to_string(), "VELLUM"].map(str::to_owned);
    send(&c_store, by_c_store, "0000");
    let _sealed = data.run(["seal", "--now"]).expect_code(0);
    assert!(packs(&bucket) >= 2);
    let compared = peers::same_by_wado(&python, &server.dicom_web(), by_stow.iter().map(PathBuf::as_path));
    assert!(compared["frames"] > 0, "{compared:?}");
    assert_eq!(server.stop(), 0);
    let _verified = data.run(["verify"]).expect_code(0);
}
