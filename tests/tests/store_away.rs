//! Stores that are away when the archive starts. A lagging one keeps nobody from starting, and is filled when it is back; a
//! required one does; and in neither case is anything made in what is found in its place.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::Path;

use serde_json::Value;
use system_tests::generate::{Generator, Numbers};
use system_tests::oracle::{digests_below, gives_back, holds, seal_now, wait_for_status};
use system_tests::s3_server::S3Server;
use system_tests::sender::{Tally, send};
use system_tests::vellum::DataFolder;

fn two_stores(role: &str) -> DataFolder {
    DataFolder::fresh()
        .with("VELLUM_COPIES__EVERY", "1s")
        .with("VELLUM_SEAL__QUIET", "24h")
        .with("VELLUM_SEAL__MAX_AGE", "24h")
        .with("VELLUM_STORES__MAIN__PATH", "store")
        .with("VELLUM_STORES__SECOND__PATH", "second-store")
        .with("VELLUM_STORES__SECOND__ROLE", role)
}

fn of_second<'a>(status: &'a Value, key: &str) -> &'a Value {
    let stores = status["stores"].as_array().expect("stores");
    &stores.iter().find(|store| store["name"] == "second").expect("the second store")[key]
}

fn is_up_to_date(status: &Value) -> bool {
    of_second(status, "state") == "ok" && of_second(status, "lag") == 0
}

/// The same objects under the same names lie in both stores, but for what each says of itself.
fn same_packs(one: &Path, other: &Path) -> bool {
    let sorted = |store: &Path| {
        let mut digests =
            if store.join("studies").exists() { digests_below(&store.join("studies")) } else { Vec::new() };
        digests.sort();
        digests
    };
    sorted(one) == sorted(other)
}

/// Sends and seals a study more.
fn one_study_more(data: &DataFolder, http: std::net::SocketAddr, make: &mut Generator, tally: &mut Tally) {
    let study = make.study();
    tally.add(send(http, make.files(&study, 0, 5, 1024)));
    seal_now(data);
}

#[test]
fn i8_a_lagging_folder_that_is_away_at_the_start_is_filled_when_it_is_back() {
    let data = two_stores("lagging");
    let (main, second, aside) =
        (data.path().join("store"), data.path().join("second-store"), data.path().join("elsewhere"));
    let mut make = Generator::new(Numbers::announced("lagging folder away"));
    let mut tally = Tally::default();
    let server = data.serve();
    one_study_more(&data, server.http, &mut make, &mut tally);
    wait_for_status(&data, "the first pack in both", |_| same_packs(&main, &second));
    assert_eq!(server.stop(), 0);

    std::fs::rename(&second, &aside).unwrap();
    // Also where it may be made: it is known, and never made anew.
    let data = data.with("VELLUM_STORES__SECOND__CREATE", "true");
    let mut server = data.serve();
    assert!(server.log().contains("store second was away"), "{}", server.log());
    one_study_more(&data, server.http, &mut make, &mut tally);
    let status =
        wait_for_status(&data, "why it lags", |status| of_second(status, "state").to_string().contains("second-store"));
    assert!(of_second(&status, "lag").is_null(), "nobody knows how far: {status}");
    gives_back(&data, &tally, "while it is away");
    assert!(!second.exists(), "a store that is known is not made anew");

    // A mount point without its disk: it stays as it is, and is not taken for the store.
    std::fs::create_dir(&second).unwrap();
    wait_for_status(&data, "what is wrong", |status| {
        of_second(status, "state").to_string().contains("no archive.json")
    });
    assert_eq!(std::fs::read_dir(&second).unwrap().count(), 0, "nothing is created in an empty folder");
    std::fs::remove_dir(&second).unwrap();

    std::fs::rename(&aside, &second).unwrap();
    wait_for_status(&data, "the store that is back", is_up_to_date);
    wait_for_status(&data, "its packs", |_| same_packs(&main, &second));
    assert_eq!(server.stop(), 0);
    holds(&data, &tally, "both there");
}

#[test]
fn i8_a_lagging_bucket_that_is_away_at_the_start_is_filled_when_it_is_back() {
    let Some(mut bucket) = S3Server::start() else { return };
    let data = bucket
        .environment_as("SECOND", bucket.port())
        .into_iter()
        .fold(two_stores("lagging"), |data, (key, value)| data.with(&key, value));
    let main = data.path().join("store");
    let mut make = Generator::new(Numbers::announced("lagging bucket away"));
    let mut tally = Tally::default();
    let server = data.serve();
    one_study_more(&data, server.http, &mut make, &mut tally);
    wait_for_status(&data, "the first pack in both", |_| same_packs(&main, &bucket.bucket_folder()));
    assert_eq!(server.stop(), 0);

    bucket.stop();
    let mut server = data.serve();
    assert!(server.log().contains("store second was away"), "{}", server.log());
    one_study_more(&data, server.http, &mut make, &mut tally);
    gives_back(&data, &tally, "while it is away");
    wait_for_status(&data, "the lag", |status| of_second(status, "state") != "ok");
    bucket.start_again();
    wait_for_status(&data, "the store that is back", is_up_to_date);
    wait_for_status(&data, "its packs", |_| same_packs(&main, &bucket.bucket_folder()));
    assert_eq!(server.stop(), 0);
    holds(&data, &tally, "both there");
}

#[test]
fn a_required_folder_that_is_away_at_the_start_is_refused_and_nothing_is_made_in_its_place() {
    let data = two_stores("required");
    let (second, aside) = (data.path().join("second-store"), data.path().join("elsewhere"));
    assert_eq!(data.serve().stop(), 0);
    std::fs::rename(&second, &aside).unwrap();
    let data = data.with("VELLUM_STORES__SECOND__CREATE", "true");
    let refused = data.run(["serve"]).expect_code(5);
    assert!(refused.err.contains("store second") && refused.err.contains("mounted"), "{}", refused.err);
    assert!(!second.exists(), "a store that is known is not made anew");

    // A mount point without its disk.
    std::fs::create_dir(&second).unwrap();
    for verb in ["serve", "status"] {
        let refused = data.run([verb]).expect_code(5);
        assert!(refused.err.contains("no archive.json") && refused.err.contains("mounted"), "{}", refused.err);
        assert_eq!(std::fs::read_dir(&second).unwrap().count(), 0, "nothing is created before it said who it is");
    }
    std::fs::remove_dir(&second).unwrap();
    std::fs::rename(&aside, &second).unwrap();
    assert_eq!(data.serve().stop(), 0, "put back");
}
