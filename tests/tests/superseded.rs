//! What merging replaced is deleted by the gate, and only by it: the ledger announces a delete before it happens, and
//! nothing goes while its successor is not whole (promise I7).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::{Path, PathBuf};

use system_tests::generate::{Generator, Numbers};
use system_tests::oracle::{gives_back, holds, seal_now, wait_for_status};
use system_tests::sender::{Tally, send};
use system_tests::vellum::DataFolder;

fn packs_below(folder: &Path) -> Vec<PathBuf> {
    let mut packs = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            packs.extend(packs_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "zip") {
            packs.push(path);
        }
    }
    packs.sort();
    packs
}

/// An archive with four small packs of one study, stopped.
fn with_four_packs(make: &mut Generator) -> (DataFolder, Tally, Vec<PathBuf>) {
    let data = DataFolder::fresh()
        .with("VELLUM_SEAL__QUIET", "24h")
        .with("VELLUM_SEAL__MAX_AGE", "24h")
        .with("VELLUM_GATE__EVERY", "100ms")
        .with("VELLUM_MERGE__EVERY", "100ms");
    let mut tally = Tally::default();
    let study = make.study();
    let server = data.serve();
    for part in 0..4 {
        tally.add(send(server.http, make.files(&study, part * 5, 5, 1024)));
        seal_now(&data);
    }
    assert_eq!(server.stop(), 0);
    let packs = packs_below(&data.store_folder().join("studies"));
    assert_eq!(packs.len(), 4);
    (data, tally, packs)
}

/// Numbers of the ledger's entries of a kind, with the objects that they name.
fn entries(data: &DataFolder, kind: &str) -> Vec<(u64, String)> {
    let shown = data.run(["ledger", "show", "--json", "--kind", kind]);
    assert!(matches!(shown.code, 0 | 3), "{}{}", shown.out, shown.err);
    let number = |entry: &serde_json::Value| entry["n"].as_u64().expect("a number");
    let entries = shown.json_lines();
    entries.iter().map(|entry| (number(entry), entry["objects"][0].as_str().unwrap_or_default().to_owned())).collect()
}

#[test]
fn i5_replaced_packs_are_deleted_after_the_ledger_announced_it() {
    let mut make = Generator::new(Numbers::announced("superseded"));
    let (mut data, tally, old) = with_four_packs(&mut make);
    data.set("VELLUM_MERGE__QUIET", "0s");
    data.set("VELLUM_GATE__GRACE", "0s");
    let store = data.store_folder().join("studies");
    let server = data.serve();
    wait_for_status(&data, "the old packs to go", |_| old.iter().all(|pack| !pack.exists()));
    wait_for_status(&data, "the ledger to say so", |_| entries(&data, "deleted").len() == 4);
    let (intended, deleted) = (entries(&data, "delete_intended"), entries(&data, "deleted"));
    assert_eq!(intended.len(), 4);
    for (number, object) in &deleted {
        assert!(intended.iter().any(|(before, announced)| before < number && announced == object), "{object}");
    }
    assert_eq!(packs_below(&store).len(), 1);
    assert_eq!(server.stop(), 0);
    holds(&data, &tally, "one pack for four");
}

#[test]
fn i5_nothing_is_deleted_while_its_successor_is_damaged() {
    let mut make = Generator::new(Numbers::announced("damaged successor"));
    let (mut data, tally, old) = with_four_packs(&mut make);
    data.set("VELLUM_MERGE__QUIET", "0s");
    let store = data.store_folder().join("studies");
    let server = data.serve();
    wait_for_status(&data, "the merge", |_| entries(&data, "merged").len() == 1);
    assert_eq!(server.stop(), 0);
    let successor = packs_below(&store).into_iter().find(|pack| !old.contains(pack)).expect("a merged pack");
    let whole = std::fs::read(&successor).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    overwrite(&successor, &damaged);
    data.set("VELLUM_GATE__GRACE", "0s");
    let mut server = data.serve();
    // The gate looked, and left what it was asked to delete.
    assert!(server.wait_for("a replaced pack was left").is_some(), "{}", server.log());
    assert!(old.iter().all(|pack| pack.exists()), "a pack was deleted whose successor is damaged");
    assert_eq!(entries(&data, "deleted"), []);
    overwrite(&successor, &whole);
    wait_for_status(&data, "the old packs to go", |_| old.iter().all(|pack| !pack.exists()));
    gives_back(&data, &tally, "after the successor was put right");
    assert_eq!(server.stop(), 0);
}

/// Writes over a file of a store, which may be read-only, as a bad disk would.
fn overwrite(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(path, bytes).unwrap();
}
