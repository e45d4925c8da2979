//! The process is killed inside each phase, again and again, and nothing acknowledged is lost (promise I1). A kill
//! counts only when the log proves that it came inside the phase. `VELLUM_LONG=1` is the long form; `VELLUM_SEED` repeats
//! a run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;
use system_tests::generate::{Generator, Numbers};
use system_tests::oracle::{holds, rounds, seal_now, wait_for_status};
use system_tests::sender::{Sending, Tally, send};
use system_tests::vellum::{DataFolder, Server};

const SHORT: usize = 5;
const LONG: usize = 50;
/// An archive takes so many kills in a row before the next one gets a fresh archive: later rounds start from what
/// earlier ones left.
const KILLS_PER_ARCHIVE: usize = 10;
/// Attempts for each kill that counts; a phase that ended before the kill came is tried again with a shorter delay.
const ATTEMPTS: usize = 12;

/// A data folder on which nothing happens unless a test asks for it.
fn quiet() -> DataFolder {
    DataFolder::fresh()
        .with("VELLUM_LOG__LEVEL", "debug,hyper=info,hyper_util=info,sled=info,h2=info")
        .with("VELLUM_SEAL__QUIET", "24h")
        .with("VELLUM_SEAL__MAX_AGE", "24h")
        .with("VELLUM_OVERLAY__BYTES", "1GiB")
}

/// How long phases take, as far as seen: delays are drawn below it.
#[derive(Debug)]
struct Delays {
    longest: Duration,
}

impl Delays {
    const fn new(longest: Duration) -> Self {
        Self { longest }
    }

    fn draw(&self, numbers: &mut Numbers) -> Duration {
        let longest = u64::try_from(self.longest.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(numbers.below(longest))
    }

    /// The phase had ended after this delay: draw shorter ones.
    fn too_long(&mut self, delay: Duration) {
        self.longest = delay.max(Duration::from_micros(200));
    }

    /// The kill came inside: later parts of the phase may lie beyond.
    fn inside(&mut self) {
        self.longest = self.longest * 5 / 4;
    }
}

/// Kills a server inside a phase: waits for the line with which it begins, then for the delay. True when the kill came
/// before the phase ended.
fn kill_inside(server: &mut Server, phase: &str, delays: &mut Delays, numbers: &mut Numbers) -> bool {
    let begins = format!("{phase} begins");
    // A job may have begun before the doors were open.
    let has_begun = server.log().contains(&begins) || server.wait_for(&begins).is_some();
    assert!(has_begun, "{begins}:\n{}", server.log());
    let delay = delays.draw(numbers);
    std::thread::sleep(delay);
    let log = server.kill_and_log();
    let message = |line: &String| {
        let line: Value = serde_json::from_str(line).ok()?;
        line.pointer("/fields/message")?.as_str().map(str::to_owned)
    };
    let messages: Vec<String> = log.iter().filter_map(message).collect();
    let began = messages.iter().rposition(|message| *message == begins);
    let ended = messages.iter().rposition(|message| *message == format!("{phase} ends"));
    let is_inside = match (began, ended) {
        (Some(began), Some(ended)) => began > ended,
        (began, None) => began.is_some(),
        (None, Some(_)) => false,
    };
    if is_inside {
        delays.inside();
    } else {
        delays.too_long(delay);
    }
    is_inside
}

/// Runs rounds until enough of them count.
fn until_counted(mut round: impl FnMut(usize, bool) -> bool) {
    let wanted = rounds(SHORT, LONG);
    let (mut counted, mut tried) = (0, 0);
    while counted < wanted {
        assert!(tried < wanted * ATTEMPTS, "only {counted} of {tried} kills came inside the phase");
        let is_fresh = tried % KILLS_PER_ARCHIVE == 0;
        counted += usize::from(round(tried, is_fresh));
        tried += 1;
    }
    eprintln!("{counted} kills inside the phase, of {tried}");
}

fn start(data: &DataFolder, arguments: &[&str]) -> Child {
    let mut command = data.command(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts")
}

#[test]
fn i1_a_kill_while_receiving_loses_nothing_acknowledged() {
    let mut make = Generator::new(Numbers::announced("kill while receiving"));
    let (mut data, mut tally) = (quiet(), Tally::default());
    until_counted(|round, is_fresh| {
        if is_fresh {
            (data, tally) = (quiet(), Tally::default());
        }
        let study = make.study();
        let files = make.files(&study, 0, 150, 4096);
        let mut server = data.serve();
        let sending = Sending::start(server.http, files);
        let after = usize::try_from(make.numbers().below(110)).unwrap();
        sending.wait_for_acknowledgements(after);
        std::thread::sleep(Duration::from_micros(make.numbers().below(3000)));
        let _log = server.kill_and_log();
        let sent = sending.finish();
        assert!(sent.refused.is_empty(), "{:?}", sent.refused);
        let is_inside = !sent.unanswered.is_empty();
        tally.add(sent);
        holds(&data, &tally, &format!("round {round}"));
        is_inside
    });
}

#[test]
fn i1_a_kill_while_sealing_loses_nothing_and_is_made_good() {
    let mut make = Generator::new(Numbers::announced("kill while sealing"));
    let (mut data, mut tally) = (quiet(), Tally::default());
    let mut delays = Delays::new(Duration::from_millis(300));
    until_counted(|round, is_fresh| {
        if is_fresh {
            (data, tally) = (quiet(), Tally::default());
        }
        let study = make.study();
        let mut server = data.serve();
        tally.add(send(server.http, make.files(&study, 0, 150, 8192)));
        wait_for_status(&data, "the catalog", |status| status["rebuilding"].is_null());
        let mut sealing = start(&data, &["seal", "--now"]);
        let is_inside = kill_inside(&mut server, "seal", &mut delays, make.numbers());
        let _ended = sealing.wait();
        holds(&data, &tally, &format!("round {round}"));
        is_inside
    });
    seal_now(&data);
    holds(&data, &tally, "after sealing again");
}

#[test]
fn i1_a_kill_while_merging_loses_nothing_and_is_made_good() {
    let mut make = Generator::new(Numbers::announced("kill while merging"));
    let merging = || quiet().with("VELLUM_MERGE__QUIET", "0s").with("VELLUM_MERGE__PACKS_MIN", "4");
    let (mut data, mut tally) = (merging(), Tally::default());
    let mut delays = Delays::new(Duration::from_millis(300));
    until_counted(|round, is_fresh| {
        if is_fresh {
            (data, tally) = (merging(), Tally::default());
        }
        // The packs are made while nothing is merged, then a start with another period finds them.
        data.set("VELLUM_MERGE__PACKS_MIN", "1000");
        let study = make.study();
        let server = data.serve();
        for part in 0..4 {
            tally.add(send(server.http, make.files(&study, part * 30, 30, 8192)));
            seal_now(&data);
        }
        assert_eq!(server.stop(), 0);
        data.set("VELLUM_MERGE__PACKS_MIN", "4");
        data.set("VELLUM_MERGE__EVERY", "300ms");
        let mut server = data.serve();
        let is_inside = kill_inside(&mut server, "merge", &mut delays, make.numbers());
        data.set("VELLUM_MERGE__PACKS_MIN", "1000");
        holds(&data, &tally, &format!("round {round}"));
        is_inside
    });
}

#[test]
fn i3_a_kill_while_rebuilding_is_made_good_by_the_next_start() {
    let mut make = Generator::new(Numbers::announced("kill while rebuilding"));
    let (mut data, mut tally) = (quiet(), Tally::default());
    let mut delays = Delays::new(Duration::from_millis(200));
    until_counted(|round, is_fresh| {
        if is_fresh {
            (data, tally) = (quiet(), Tally::default());
            let server = data.serve();
            for part in 0..6 {
                let study = make.study();
                tally.add(send(server.http, make.files(&study, part * 50, 50, 256)));
                seal_now(&data);
            }
            let study = make.study();
            tally.add(send(server.http, make.files(&study, 0, 20, 256)));
            assert_eq!(server.stop(), 0);
        }
        let mut server = data.serve();
        wait_for_status(&data, "the catalog", |status| status["rebuilding"].is_null());
        let mut rebuilding = start(&data, &["rebuild"]);
        let is_inside = kill_inside(&mut server, "rebuild", &mut delays, make.numbers());
        let _ended = rebuilding.wait();
        holds(&data, &tally, &format!("round {round}"));
        is_inside
    });
}
