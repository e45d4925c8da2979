//! The process is killed inside each phase, again and again, and nothing acknowledged is lost (promise I1). A kill
//! counts only when it is proved that it came inside the phase: by the log, or, for receiving, by what was sent whole and
//! never answered. `VELLUM_LONG=1` is the long form; `VELLUM_SEED` repeats a run.
//!
//! After each kill the next start gives back all that was acknowledged of what was new, and is itself killed; before an
//! archive is left, everything is looked at that must hold.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;
use system_tests::generate::{Generator, Numbers};
use system_tests::oracle::{found, gives_back_study, holds, rounds, serve};
use system_tests::sender::{Door, Sending, Tally, send_by};
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

/// An archive that is killed again and again, and the list of what went in.
struct Trial {
    data: DataFolder,
    tally: Tally,
    /// What went in since the last start, by study.
    new: BTreeMap<String, Tally>,
    /// How often it was started to be killed.
    rounds: usize,
}

impl Trial {
    fn of(data: DataFolder) -> Self {
        Self { data, tally: Tally::default(), new: BTreeMap::new(), rounds: 0 }
    }

    /// Starts the archive on what the last kill left, and looks whether all that was acknowledged is there.
    fn serve(&mut self) -> Server {
        let server = serve(&self.data);
        for (study, tally) in std::mem::take(&mut self.new) {
            gives_back_study(&self.data, &study, &tally, &format!("round {}", self.rounds));
        }
        self.rounds += 1;
        server
    }

    /// Sends files of a study by a door and has all of them acknowledged.
    fn send(&mut self, door: Door, study: &str, files: Vec<Vec<u8>>) {
        self.sent(study, send_by(door, files));
    }

    fn sent(&mut self, study: &str, tally: Tally) {
        self.tally.add(tally.clone());
        self.new.entry(study.to_owned()).or_default().add(tally);
    }

    fn seal(&self) {
        let _sealed = self.data.run(["seal", "--now"]).expect_code(0);
    }

    /// Looks at everything that must hold.
    fn end(self) {
        holds(&self.data, &self.tally, &format!("after {} rounds", self.rounds));
    }
}

/// Kills a server inside a phase that a verb brings about: waits for the line with which the phase begins, then for the
/// delay. True when the kill came before the phase ended.
fn kill_inside(
    mut server: Server,
    data: &DataFolder,
    (verb, phase): (&[&str], &str),
    delays: &mut Delays,
    numbers: &mut Numbers,
) -> bool {
    let begins = format!("{phase} begins");
    // What is in the log by now is of earlier.
    let _earlier = server.log();
    let mut verb = start(data, verb);
    assert!(server.wait_for(&begins).is_some(), "{begins}:\n{}", server.log());
    let delay = delays.draw(numbers);
    std::thread::sleep(delay);
    let log = server.kill_and_log();
    let _ended = verb.wait();
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

/// Runs rounds until enough of them count, on one archive after the other.
fn until_counted(phase: &str, mut fresh: impl FnMut() -> Trial, mut round: impl FnMut(&mut Trial, usize) -> bool) {
    let wanted = rounds(SHORT, LONG);
    let (mut counted, mut tried) = (0, 0);
    while counted < wanted {
        let mut trial = fresh();
        while counted < wanted && trial.rounds < KILLS_PER_ARCHIVE {
            assert!(tried < wanted * ATTEMPTS, "only {counted} of {tried} kills came inside {phase}");
            counted += usize::from(round(&mut trial, tried));
            tried += 1;
        }
        trial.end();
        eprintln!("{phase}: {counted} kills inside, of {tried}; {wanted} wanted");
    }
}

fn start(data: &DataFolder, arguments: &[&str]) -> Child {
    let mut command = data.command(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts")
}

#[test]
fn i1_a_kill_while_receiving_loses_nothing_acknowledged() {
    let mut make = Generator::new(Numbers::announced("kill while receiving"));
    let mut by_door = [0, 0];
    let fresh = || {
        Trial::of(
            quiet()
                .with("VELLUM_JOURNAL__INLINE", "64KiB")
                .with("VELLUM_JOURNAL__SEGMENT", "2MiB")
                .with("VELLUM_JOURNAL__SPARES", "2"),
        )
    };
    until_counted("receive", fresh, |trial, round| {
        let server = trial.serve();
        let study = make.study();
        let mut files = Vec::new();
        for part in 0..15 {
            files.extend(make.files(&study, part * 11, 10, 4096));
            // One that has a file of its own beside the journal's segments.
            files.extend(make.files(&study, part * 11 + 10, 1, 80_000));
        }
        let sending = Sending::start(Door::alternately(round, &server), files);
        let after = usize::try_from(make.numbers().below(110)).unwrap();
        sending.wait_for_acknowledgements(after);
        std::thread::sleep(Duration::from_micros(make.numbers().below(3000)));
        server.kill();
        let sent = sending.finish();
        assert!(sent.refused.is_empty(), "{:?}", sent.refused);
        let is_inside = !sent.unanswered.is_empty();
        trial.sent(&study, sent);
        by_door[round % 2] += usize::from(is_inside);
        is_inside
    });
    let [by_stow, by_c_store] = by_door;
    eprintln!("{by_stow} of the kills came while STOW-RS sent, {by_c_store} while C-STORE did");
    assert!(by_stow > 0 && by_c_store > 0, "one door was never killed");
}

#[test]
fn i1_a_kill_while_sealing_loses_nothing_and_is_made_good() {
    let mut make = Generator::new(Numbers::announced("kill while sealing"));
    let mut delays = Delays::new(Duration::from_millis(300));
    until_counted(
        "seal",
        || Trial::of(quiet()),
        |trial, round| {
            let server = trial.serve();
            // What the last kill left is sealed first: the one line of the log is then that of the new study.
            trial.seal();
            let study = make.study();
            trial.send(Door::alternately(round, &server), &study, make.files(&study, 0, 100, 8192));
            kill_inside(server, &trial.data, (&["seal", "--now"], "seal"), &mut delays, make.numbers())
        },
    );
}

#[test]
fn i1_a_kill_while_merging_loses_nothing_and_is_made_good() {
    let mut make = Generator::new(Numbers::announced("kill while merging"));
    let merging = || {
        let often = quiet().with("VELLUM_MERGE__QUIET", "0s").with("VELLUM_MERGE__EVERY", "100ms");
        Trial::of(often.with("VELLUM_MERGE__PACKS_MIN", "4"))
    };
    let mut delays = Delays::new(Duration::from_millis(300));
    until_counted("merge", merging, |trial, round| {
        let server = trial.serve();
        let study = make.study();
        for part in 0..3 {
            trial.send(Door::alternately(round + part, &server), &study, make.files(&study, part * 30, 30, 8192));
            trial.seal();
        }
        trial.send(Door::alternately(round, &server), &study, make.files(&study, 90, 30, 8192));
        // The fourth pack is what merging waits for.
        kill_inside(server, &trial.data, (&["seal", "--now"], "merge"), &mut delays, make.numbers())
    });
}

#[test]
fn i3_a_kill_while_rebuilding_is_made_good_by_the_next_start() {
    let mut make = Generator::new(Numbers::announced("kill while rebuilding"));
    let mut delays = Delays::new(Duration::from_millis(200));
    let answers = std::cell::RefCell::new(Vec::new());
    let filled = || {
        let mut trial = Trial::of(quiet());
        let server = serve(&trial.data);
        for part in 0..6 {
            let study = make.study();
            trial.send(Door::alternately(part, &server), &study, make.files(&study, part * 50, 50, 256));
            trial.seal();
        }
        let study = make.study();
        trial.send(Door::Stow(server.http), &study, make.files(&study, 0, 20, 256));
        answers.replace(found(&trial.data));
        assert_eq!(server.stop(), 0);
        trial
    };
    let mut numbers = Numbers::announced("kill while rebuilding, delays");
    until_counted("rebuild", filled, |trial, round| {
        let server = trial.serve();
        // Nothing came since: the catalog that the start made good must say what it said at first.
        assert_eq!(found(&trial.data), *answers.borrow(), "round {round}");
        kill_inside(server, &trial.data, (&["rebuild"], "rebuild"), &mut delays, &mut numbers)
    });
}
