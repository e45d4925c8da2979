//! The real program searches its stores for packs that the ledger does not name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs::File;
use std::time::{Duration, SystemTime};

use system_tests::generate::{Generator, Numbers};
use system_tests::oracle::{holds, seal_now, wait_for_status};
use system_tests::sender::{Tally, send};
use system_tests::vellum::DataFolder;

#[test]
fn i5_what_no_entry_names_is_found_shown_as_a_case_and_left_where_it_is() {
    let mut make = Generator::new(Numbers::announced("unknown pack"));
    let data = DataFolder::fresh().with("VELLUM_GATE__ORPHANS_EVERY", "100ms");
    let mut tally = Tally::default();
    let study = make.study();
    let server = data.serve();
    tally.add(send(server.http, make.files(&study, 0, 5, 1024)));
    seal_now(&data);
    let folder = data.path().join("store/studies/00/1.2.3");
    std::fs::create_dir_all(&folder).unwrap();
    let (old, young) = (folder.join(format!("{}.zip", "0".repeat(64))), folder.join(format!("{}.zip", "1".repeat(64))));
    for unnamed in [&young, &old] {
        std::fs::write(unnamed, "nobody knows what this is").unwrap();
    }
    #[expect(clippy::disallowed_methods, reason = "the age of a file is counted by the operating system's clock")]
    let last_month = SystemTime::now() - Duration::from_secs(30 * 24 * 3600);
    File::options().write(true).open(&old).unwrap().set_modified(last_month).unwrap();
    wait_for_status(&data, "a case", |status| status["open_cases"] == 1);
    let shown = data.run(["case", "ls", "--json"]);
    assert!(shown.out.contains("unknown-pack") && shown.out.contains(&"0".repeat(64)), "{}{}", shown.out, shown.err);
    assert!(!shown.out.contains(&"1".repeat(64)), "too young to be looked at: {}", shown.out);
    assert_eq!(server.stop(), 0);
    assert!(old.exists() && young.exists());
    std::fs::remove_dir_all(data.path().join("store/studies/00/1.2.3")).unwrap();
    holds(&data, &tally, "with what was not ours gone");
}
