//! More than one copy: the journal's mirror, several stores, and two that believe they are the one writer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use system_tests::generate::{Generator, Numbers};
use system_tests::lossy_proxy::LossyProxy;
use system_tests::oracle::{gives_back, holds, seal_now, wait_for_status};
use system_tests::s3_server::S3Server;
use system_tests::sender::{Door, Sending, Tally, send, send_by};
use system_tests::vellum::{DataFolder, Server};

fn packs_below(store: &Path) -> Vec<PathBuf> {
    let mut packs = Vec::new();
    let mut waiting = vec![store.join("studies")];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                packs.push(path);
            }
        }
    }
    packs.sort();
    packs
}

fn pack_names(store: &Path) -> Vec<String> {
    let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let mut names: Vec<String> = packs_below(store).iter().filter_map(name).collect();
    names.sort();
    names
}

/// A store is whole by itself: its own `extract.py` finds nothing wrong.
fn is_whole_alone(store: &Path) {
    let ran = Command::new("python3").arg(store.join("extract.py")).arg("verify").output().expect("python3");
    assert!(
        ran.status.success(),
        "{}: {}{}",
        store.display(),
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
}

fn sealed_by_hand() -> DataFolder {
    DataFolder::fresh().with("VELLUM_SEAL__QUIET", "24h").with("VELLUM_SEAL__MAX_AGE", "24h")
}

#[test]
fn an_archive_with_an_empty_journal_starts_again_and_again() {
    let data = sealed_by_hand();
    assert_eq!(data.serve().stop(), 0, "created");
    assert_eq!(data.serve().stop(), 0, "nothing came yet");
    let mut make = Generator::new(Numbers::announced("empty journal"));
    let server = data.serve();
    let study = make.study();
    let tally = send(server.http, make.files(&study, 0, 3, 256));
    seal_now(&data);
    assert_eq!(server.stop(), 0);
    assert_eq!(data.serve().stop(), 0, "all is sealed");
    holds(&data, &tally, "all is sealed");
}

#[test]
fn a_journal_that_is_gone_is_not_replaced_by_an_empty_one() {
    let data = sealed_by_hand();
    let mut make = Generator::new(Numbers::announced("journal gone"));
    let server = data.serve();
    let study = make.study();
    let tally = send(server.http, make.files(&study, 0, 3, 256));
    server.kill();
    let (journal, aside) = (data.path().join("journal"), data.path().join("elsewhere"));
    std::fs::rename(&journal, &aside).unwrap();
    for _ in 0..2 {
        let refused = data.run(["serve"]).expect_code(5);
        assert!(refused.err.contains("the journal of archive"), "{}", refused.err);
        assert!(!journal.exists(), "nothing is made in its place");
    }
    std::fs::rename(&aside, &journal).unwrap();
    holds(&data, &tally, "put back");
}

#[test]
fn i1_the_archive_comes_back_from_the_journals_mirror_alone() {
    let data = sealed_by_hand();
    let mirror = data.path().with_extension("mirror");
    let data = data.with("VELLUM_JOURNAL__MIRROR", mirror.display().to_string());
    let mut make = Generator::new(Numbers::announced("mirror"));
    let server = data.serve();
    let study = make.study();
    let mut tally = send(server.http, make.files(&study, 0, 20, 4096));
    seal_now(&data);
    let study = make.study();
    let sending = Sending::start(Door::Stow(server.http), make.files(&study, 0, 200, 4096));
    sending.wait_for_acknowledgements(60);
    server.kill();
    tally.add(sending.finish());
    std::fs::remove_dir_all(data.path().join("journal")).unwrap();
    holds(&data, &tally, "journal deleted, mirror there");
    // The journal is whole again: the mirror may go.
    std::fs::remove_dir_all(&mirror).unwrap();
    holds(&data, &tally, "mirror deleted after that");
}

#[test]
fn a_lost_pack_is_told_by_every_verb_and_what_it_held_comes_back_with_it() {
    // Small segments: the journal soon forgets what is sealed, and cannot stand in for the pack.
    let data = sealed_by_hand().with("VELLUM_JOURNAL__SEGMENT", "1MiB");
    let store = data.path().join("store");
    let mut make = Generator::new(Numbers::announced("lost pack"));
    let server = data.serve();
    let study = make.study();
    let mut tally = send(server.http, make.files(&study, 0, 3, 256));
    seal_now(&data);
    let lost = packs_below(&store).remove(0);
    let kept = make.study();
    tally.add(send(server.http, make.files(&kept, 0, 10, 256 * 1024)));
    seal_now(&data);
    assert_eq!(server.stop(), 0);
    let aside = data.path().join("aside.zip");
    std::fs::rename(&lost, &aside).unwrap();
    std::fs::remove_dir_all(data.path().join("catalog")).unwrap();

    let server = data.serve();
    wait_for_status(&data, "the case", |status| status["unreadable_packs"] == 1);
    wait_for_status(&data, "the catalog", |status| status["rebuilding"].is_null());
    let shown = data.run(["show", &study]).expect_code(1);
    assert!(shown.err.contains("no store has a good copy"), "{}", shown.err);
    let found = data.run(["find", "--level", "study"]).expect_code(0);
    assert!(found.err.contains("without a good copy"), "{}", found.err);
    let target = data.path().with_extension("exported");
    let exported = data.run(["export", "--all", "--to", &target.display().to_string()]).expect_code(1);
    assert!(exported.err.contains("10 files were exported"), "{}", exported.err);
    assert_eq!(server.stop(), 0);

    std::fs::rename(&aside, &lost).unwrap();
    let server = data.serve();
    let whole = |status: &Value| status["unreadable_packs"] == 0 && status["open_cases"] == 0;
    wait_for_status(&data, "the pack", whole);
    assert_eq!(server.stop(), 0);
    holds(&data, &tally, "put back");
}

#[test]
fn i8_a_required_store_that_is_away_delays_sealing_and_is_complete_afterwards() {
    let data = sealed_by_hand()
        .with("VELLUM_STORES__MAIN__PATH", "main-store")
        .with("VELLUM_STORES__SECOND__PATH", "second-store");
    let (main, second) = (data.path().join("main-store"), data.path().join("second-store"));
    let mut make = Generator::new(Numbers::announced("store away"));
    let server = data.serve();
    let study = make.study();
    let mut tally = send(server.http, make.files(&study, 0, 10, 2048));
    seal_now(&data);
    assert_eq!(pack_names(&main), pack_names(&second));
    let away = data.path().join("away");
    std::fs::rename(&second, &away).unwrap();
    let study = make.study();
    tally.add(send(server.http, make.files(&study, 0, 10, 2048)));
    let tried = data.run(["seal", "--now"]);
    assert!(tried.out.contains("second") || tried.err.contains("second"), "{}{}", tried.out, tried.err);
    let live = |status: &Value| status.pointer("/journal/live_receipts").and_then(Value::as_u64);
    wait_for_status(&data, "receipts that wait", |status| live(status) == Some(10));
    wait_for_status(&data, "why they wait", |status| {
        status["seal_trouble"].as_str().is_some_and(|trouble| trouble.contains("second"))
    });
    gives_back(&data, &tally, "while the store is away");
    assert!(!second.exists(), "a store that is away is not made anew");
    std::fs::rename(&away, &second).unwrap();
    seal_now(&data);
    wait_for_status(&data, "nothing at risk", |status| live(status) == Some(0));
    wait_for_status(&data, "no trouble any more", |status| status["seal_trouble"].is_null());
    assert_eq!(server.stop(), 0);
    holds(&data, &tally, "both stores there");
    // What was created while the other was away and never entered in the ledger is an orphan, and harmless.
    assert_eq!(packs_below(&second).len(), 2);
    let in_main = pack_names(&main);
    assert!(pack_names(&second).iter().all(|pack| in_main.contains(pack)));
    is_whole_alone(&main);
    is_whole_alone(&second);
}

/// An archive with a store that gets copies, often looked after.
fn with_lagging(second: impl IntoIterator<Item = (String, String)>) -> DataFolder {
    let data = sealed_by_hand()
        .with("VELLUM_STORES__MAIN__PATH", "main-store")
        .with("VELLUM_STORES__SECOND__ROLE", "lagging")
        .with("VELLUM_COPIES__EVERY", "200ms");
    second.into_iter().fold(data, |data, (key, value)| data.with(&key, value))
}

/// Sends a study by each door and seals it.
fn send_and_seal(data: &DataFolder, server: &Server, make: &mut Generator) -> Tally {
    let mut tally = Tally::default();
    for door in [Door::Stow(server.http), Door::CStore(server.dimse)] {
        let study = make.study();
        tally.add(send_by(door, make.files(&study, 0, 5, 2048)));
        seal_now(data);
    }
    tally
}

/// The packs that the ledger says were copied to the store `second`, in the order of their names; each once.
fn copied(data: &DataFolder) -> Vec<String> {
    let status = wait_for_status(data, "the store's id", |status| status["stores"].is_array());
    let of_second = |store: &&Value| store["name"] == "second";
    let id = status["stores"].as_array().unwrap().iter().find(of_second).unwrap()["id"].clone();
    let shown = data.run(["ledger", "show", "--kind", "copied", "--json"]).expect_code(0).json_lines();
    let of_second = shown.iter().filter(|entry| entry["store"] == id);
    let mut packs: Vec<String> = of_second.map(|entry| format!("{}.zip", entry["pack"].as_str().unwrap())).collect();
    packs.sort();
    packs
}

/// A lagging store goes away while the archive serves, and comes back.
fn goes_away_and_comes_back(data: &DataFolder, second: &Path, mut be: impl FnMut(bool)) {
    let mut make = Generator::new(Numbers::announced("lagging store away"));
    let main = data.path().join("main-store");
    let is_complete = |count: usize| {
        wait_for_status(data, "every copy", |_| pack_names(second) == pack_names(&main));
        wait_for_status(data, "every entry of a copy", |_| copied(data) == pack_names(&main));
        wait_for_status(data, "a ledger that is whole", |status| {
            status["stores"].as_array().unwrap().iter().all(|store| store["lag"] == 0 && store["state"] == "ok")
        });
        assert_eq!(pack_names(&main).len(), count);
    };
    let mut server = data.serve();
    let mut tally = send_and_seal(data, &server, &mut make);
    is_complete(2);
    for round in 1..3 {
        be(false);
        tally.add(send_and_seal(data, &server, &mut make));
        assert!(server.wait_for("a store is not complete yet").is_some(), "it is tried while it is away");
        assert_eq!(pack_names(&main).len(), 2 + 2 * round, "sealing does not wait for it");
        gives_back(data, &tally, "while the store is away");
        be(true);
        is_complete(2 + 2 * round);
        // What was said of the time before.
        let _earlier = server.log();
    }
    assert_eq!(server.stop(), 0);
    holds(data, &tally, "the store is back");
    assert_eq!(copied(data), pack_names(&main), "nothing is copied twice");
}

#[test]
fn i8_a_lagging_folder_that_goes_away_and_comes_back_is_completed() {
    let data = with_lagging([("VELLUM_STORES__SECOND__PATH".to_owned(), "second-store".to_owned())]);
    let (second, away) = (data.path().join("second-store"), data.path().join("away"));
    goes_away_and_comes_back(&data, &second, |there| {
        let (from, to) = if there { (&away, &second) } else { (&second, &away) };
        assert!(!to.exists(), "a store that is away is not made anew");
        std::fs::rename(from, to).unwrap();
    });
    is_whole_alone(&second);
}

#[test]
fn i8_a_lagging_bucket_whose_server_stops_and_starts_again_is_completed() {
    let Some(bucket) = S3Server::start() else { return };
    let data = with_lagging(bucket.environment_as("SECOND", bucket.port()));
    let second = bucket.bucket_folder();
    let mut bucket = bucket;
    goes_away_and_comes_back(&data, &second, |there| if there { bucket.start_again() } else { bucket.stop() });
    is_whole_alone(&second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lagging_store_that_does_not_answer_holds_up_neither_sealing_nor_the_end() {
    let Some(bucket) = S3Server::start() else { return };
    let proxy = LossyProxy::to(bucket.port()).await;
    let data = with_lagging(bucket.environment_as("SECOND", proxy.port())).with("VELLUM_SEAL__QUIET", "1ms");
    let mut make = Generator::new(Numbers::announced("lagging store stalls"));
    let server = data.serve();
    let study = make.study();
    let mut tally = send(server.http, make.files(&study, 0, 5, 1024));
    wait_for_status(&data, "the first copy", |_| copied(&data).len() == 1);
    proxy.stall(true);
    let study = make.study();
    tally.add(send(server.http, make.files(&study, 0, 5, 1024)));
    wait_for_status(&data, "a store that is asked and does not answer", |_| proxy.kept_back() > 0);
    let study = make.study();
    tally.add(send(server.http, make.files(&study, 0, 5, 1024)));
    wait_for_status(&data, "an empty journal", |status| status["journal"]["live_receipts"] == 0);
    assert_eq!(copied(&data).len(), 1, "nothing is copied meanwhile");
    assert_eq!(server.stop(), 0, "it ends while the store does not answer");
    proxy.stall(false);
    let server = data.serve();
    wait_for_status(&data, "the copies", |_| pack_names(&bucket.bucket_folder()).len() == 3);
    assert_eq!(server.stop(), 0);
    holds(&data, &tally, "the store answers again");
}

#[test]
fn i8_a_store_that_joins_is_filled() {
    let mut make = Generator::new(Numbers::announced("store joins"));
    for role in ["required", "lagging"] {
        let mut data = sealed_by_hand();
        let server = data.serve();
        let mut tally = Tally::default();
        for _ in 0..3 {
            let study = make.study();
            tally.add(send(server.http, make.files(&study, 0, 5, 1024)));
            seal_now(&data);
        }
        assert_eq!(server.stop(), 0);
        data.set("VELLUM_STORES__MAIN__PATH", "store");
        data.set("VELLUM_STORES__SECOND__PATH", "second-store");
        data.set("VELLUM_STORES__SECOND__CREATE", "true");
        data.set("VELLUM_STORES__SECOND__ROLE", role);
        let server = data.serve();
        let (main, second) = (data.path().join("store"), data.path().join("second-store"));
        let study = make.study();
        tally.add(send(server.http, make.files(&study, 0, 5, 1024)));
        seal_now(&data);
        wait_for_status(&data, "the new store", |_| pack_names(&second) == pack_names(&main));
        assert_eq!(server.stop(), 0);
        holds(&data, &tally, role);
        assert_eq!(pack_names(&main).len(), 4);
        is_whole_alone(&second);
    }
}

#[test]
fn i13_of_two_writers_on_one_ledger_one_stops_for_good() {
    let data = sealed_by_hand();
    let store = data.path().with_extension("shared-store");
    let data = data.with("VELLUM_STORES__MAIN__PATH", store.display().to_string());
    let mut make = Generator::new(Numbers::announced("two writers"));
    assert_eq!(data.serve().stop(), 0);
    let copy = data.path().with_extension("copy");
    let copied = Command::new("cp").arg("-a").arg(data.path()).arg(&copy).status().unwrap();
    assert!(copied.success());
    let twin = data.twin(&copy);
    let (first, mut second) = (data.serve(), twin.serve());
    let study = make.study();
    let tally = send(first.http, make.files(&study, 0, 5, 1024));
    // The first one writes to the ledger before the second has anything to say.
    seal_now(&data);
    let study = make.study();
    let of_second = send(second.http, make.files(&study, 0, 5, 1024));
    let _refused = twin.run(["seal", "--now"]);
    let (code, log) = second.ended();
    assert!(code.is_some_and(|code| code != 0), "the second writer goes on: {}", log.join("\n"));
    let log = log.join("\n");
    assert!(log.contains("another"), "it does not say why: {log}");
    assert_eq!(first.stop(), 0);
    holds(&data, &tally, "the first writer");
    // What the second acknowledged is still in its journal.
    assert_eq!(of_second.acknowledged.len(), 5);
    let shown: Vec<PathBuf> = std::fs::read_dir(copy.join("journal")).unwrap().map(|e| e.unwrap().path()).collect();
    let segments = shown.iter().filter(|path| path.extension().is_some_and(|extension| extension == "journal"));
    let held: usize = segments
        .map(|path| {
            let bytes = std::fs::read(path).unwrap();
            bytes.windows(4).filter(|four| four == b"DICM").count()
        })
        .sum();
    assert!(held > 0, "the journal of the second writer is empty");
}

#[test]
fn a_store_of_another_archive_or_of_an_earlier_day_is_refused() {
    let mut make = Generator::new(Numbers::announced("wrong store"));
    let (data, other) = (sealed_by_hand(), sealed_by_hand());
    assert_eq!(other.serve().stop(), 0);
    let server = data.serve();
    let study = make.study();
    let mut tally = send(server.http, make.files(&study, 0, 5, 1024));
    assert_eq!(server.stop(), 0);
    let (store, earlier) = (data.path().join("store"), data.path().join("earlier"));
    let copied = Command::new("cp").arg("-a").arg(&store).arg(&earlier).status().unwrap();
    assert!(copied.success());
    let server = data.serve();
    let study = make.study();
    tally.add(send(server.http, make.files(&study, 0, 5, 1024)));
    seal_now(&data);
    assert_eq!(server.stop(), 0);
    let aside = data.path().join("aside");
    std::fs::rename(&store, &aside).unwrap();
    for (wrong, why) in [(other.path().join("store"), "belongs to archive"), (earlier, "was rolled back")] {
        std::fs::rename(&wrong, &store).unwrap();
        let refused = data.run(["serve"]).expect_code(5);
        assert!(refused.err.contains(why), "{}", refused.err);
        std::fs::rename(&store, &wrong).unwrap();
    }
    std::fs::rename(&aside, &store).unwrap();
    holds(&data, &tally, "the right store");
}
