//! An archive that is crashed again and again, and the list of what went in.

use std::collections::{BTreeMap, BTreeSet};

use crate::dicom_web;
use crate::fault_at::{Plan, Site};
use crate::generate::{Generator, data_set};
use crate::oracle::holds;
use crate::sender::{Digest, Door, Tally, digest, send_by};
use crate::traced::{End, Traced};
use crate::vellum::DataFolder;

use super::phase::Phase;

/// One archive with its list.
#[derive(Debug)]
pub struct Yard {
    pub(super) data: DataFolder,
    pub(super) phase: Phase,
    pub(super) tally: Tally,
    /// What went in since it was last looked at, by study.
    pub(super) new: BTreeMap<String, Tally>,
    /// The study that this round is about.
    pub(super) study: String,
    /// How often it was crashed.
    pub crashes: usize,
}

/// What a round did.
#[derive(Debug)]
pub struct Crash {
    /// The call at which it was killed; `None` where the phase ended before.
    pub at: Option<Site>,
    /// With a plan that lists: the calls of the phase.
    pub calls: Vec<Site>,
    /// What was found of what the crash before had left.
    pub verdict: Verdict,
}

/// What a round of errors did.
#[derive(Debug)]
pub struct Faulted {
    /// The calls that failed.
    pub at: Vec<Site>,
    /// The archive ended by itself, and said why.
    pub has_ended: bool,
    /// What was found of what the round before had left, and of this one.
    pub verdict: Verdict,
}

/// What came back, compared with the list.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Acknowledged, and not there.
    pub lost: BTreeSet<Digest>,
    /// There, and never sent.
    pub wrong: BTreeSet<Digest>,
    /// There more than once.
    pub doubled: usize,
}

impl Verdict {
    /// Everything acknowledged is there, once, and nothing else.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.lost.is_empty() && self.wrong.is_empty() && self.doubled == 0
    }

    /// Adds another.
    pub fn add(&mut self, other: Self) {
        self.lost.extend(other.lost);
        self.wrong.extend(other.wrong);
        self.doubled += other.doubled;
    }
}

/// How often a study is asked for whose answer breaks off.
const TRIES: usize = 3;

/// The files of a study. An answer that breaks off is asked for again, as a peer does, and said with the log.
fn read(traced: &mut Traced, study: &str, crashes: usize) -> Vec<Vec<u8>> {
    for _ in 1..TRIES {
        match dicom_web::study(traced.server.http, study) {
            Ok(files) => return files,
            Err(error) => eprintln!("after {crashes} crashes, asked again: {error}\n{}", traced.server.log()),
        }
    }
    dicom_web::study(traced.server.http, study).unwrap_or_else(|error| panic!("after {crashes} crashes: {error}"))
}

impl Yard {
    /// A fresh archive for one phase; the folder's configuration is made to suit it.
    #[must_use]
    pub fn of(data: DataFolder, phase: Phase) -> Self {
        let data = phase.configure(data);
        let (tally, new, study) = (Tally::default(), BTreeMap::new(), String::new());
        Self { data, phase, tally, new, study, crashes: 0 }
    }

    /// Where it is.
    #[must_use]
    pub const fn data(&self) -> &DataFolder {
        &self.data
    }

    /// What was sent and acknowledged so far.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// One round: starts on what the last crash left and compares, brings the phase about, and lets the plan strike. Where
    /// it does not strike, the server is killed when the phase has ended. `at_hold` runs while a plan holds all calls.
    ///
    /// # Panics
    /// When the archive does not start, or refuses what it should take.
    pub fn round(&mut self, make: &mut Generator, plan: &Plan, at_hold: impl FnOnce()) -> Crash {
        let (end, calls, verdict) = if self.phase.is_at_start() {
            self.at_start(make, plan, at_hold)
        } else {
            self.while_it_runs(make, plan, at_hold)
        };
        self.crashes += 1;
        Crash { at: end.hits.into_iter().next(), calls, verdict }
    }

    fn while_it_runs(
        &mut self,
        make: &mut Generator,
        plan: &Plan,
        at_hold: impl FnOnce(),
    ) -> (End, Vec<Site>, Verdict) {
        let (mut traced, verdict) = self.serve();
        self.prepare(make, &traced.server);
        assert!(traced.arm(plan), "it ended before the phase began");
        let waits = plan.what == crate::fault_at::What::Hold;
        if self.phase == Phase::Stop {
            if waits {
                traced.ask_to_stop();
                return (Self::held(traced, at_hold), Vec::new(), verdict);
            }
            // The log of calls is gone with the program: it is taken before the last of them.
            return (traced.stop(), Vec::new(), verdict);
        }
        let acting = self.begin(make, &traced.server);
        if waits {
            let end = Self::held(traced, at_hold);
            self.finish(acting);
            return (end, Vec::new(), verdict);
        }
        self.until_done(&mut traced, &acting);
        self.finish(acting);
        let calls = if plan.what == crate::fault_at::What::List { traced.list() } else { Vec::new() };
        (traced.kill(), calls, verdict)
    }

    fn at_start(&mut self, make: &mut Generator, plan: &Plan, at_hold: impl FnOnce()) -> (End, Vec<Site>, Verdict) {
        let mut verdict = Verdict::default();
        if self.phase != Phase::Create {
            let (traced, found) = self.serve();
            verdict = found;
            self.leave_in_disorder(make, traced);
        }
        let mut traced = Traced::start(&self.data, plan);
        if plan.what == crate::fault_at::What::Hold {
            return (Self::held(traced, at_hold), Vec::new(), verdict);
        }
        let is_ready = traced.becomes_ready();
        if is_ready {
            // The catalog is caught up, or made anew, and the journal compacted, behind open doors.
            wait_until_complete(&traced);
        }
        let lists = plan.what == crate::fault_at::What::List && is_ready;
        let calls = if lists { traced.list() } else { Vec::new() };
        let end = traced.kill();
        assert!(is_ready || !end.hits.is_empty(), "it does not start:\n{}", end.log.join("\n"));
        (end, calls, verdict)
    }

    /// Waits for the plan to strike; then something happens while nothing can be written or answered, then it is killed.
    fn held(mut traced: Traced, at_hold: impl FnOnce()) -> End {
        if traced.wait_for_hit().is_some() {
            at_hold();
            let _ended = traced.arm(&Plan::at(crate::fault_at::What::Kill, 1));
        }
        traced.kill()
    }

    /// Starts the archive, and looks whether all is there that was acknowledged since this was last looked at.
    fn serve(&mut self) -> (Traced, Verdict) {
        let mut traced = Traced::start(&self.data, &Plan::list());
        if !traced.becomes_ready() {
            panic!("after {} crashes: it does not start:\n{}", self.crashes, traced.kill().log.join("\n"));
        }
        wait_until_complete(&traced);
        let mut verdict = Verdict::default();
        for (study, tally) in std::mem::take(&mut self.new) {
            verdict.add(compared(&read(&mut traced, &study, self.crashes), &tally));
        }
        (traced, verdict)
    }

    /// Starts it, and kills it at this call if it comes to it before it is ready: a crash in the recovery from the last
    /// one. Gives the call.
    ///
    /// # Panics
    /// When the archive does not start for another reason.
    pub fn crash_in_recovery(&mut self, plan: &Plan) -> Option<Site> {
        let mut traced = Traced::start(&self.data, plan);
        let is_ready = traced.becomes_ready();
        let end = traced.kill();
        assert!(is_ready || !end.hits.is_empty(), "it does not start:\n{}", end.log.join("\n"));
        self.crashes += usize::from(!is_ready);
        end.hits.into_iter().next().filter(|_| !is_ready)
    }

    /// One round in which calls fail: starts, brings the phase about while the plan is in force, and takes it back. Then the
    /// archive must give back what it acknowledged and seal what it has, or have ended by itself, with a reason; it is
    /// killed, and the next start compares.
    ///
    /// # Panics
    /// When it does neither.
    pub fn round_of_errors(&mut self, make: &mut Generator, plan: &Plan) -> Faulted {
        let (mut traced, mut verdict) = self.serve();
        self.prepare(make, &traced.server);
        assert!(traced.arm(plan), "it ended before the phase began");
        let acting = self.begin(make, &traced.server);
        self.finish(acting);
        let has_ended = !traced.arm(&Plan::list()) || !self.recovers(&mut traced, &mut verdict);
        let end = if has_ended { traced.end() } else { traced.kill() };
        if has_ended {
            let said = end.log.join("\n");
            assert!(end.how.starts_with("exit code ") && end.how != "exit code 0", "{}:\n{said}", end.how);
            assert!(said.contains("the archive cannot go on"), "it ended without a reason:\n{said}");
        }
        Faulted { at: end.hits, has_ended, verdict }
    }

    /// Whether the archive goes on now that calls do not fail any more; `false` when it ends.
    fn recovers(&mut self, traced: &mut Traced, verdict: &mut Verdict) -> bool {
        wait_until_complete(traced);
        let Ok(files) = dicom_web::study(traced.server.http, &self.study) else { return false };
        if let Some(tally) = self.new.get(&self.study) {
            verdict.add(compared(&files, tally));
        }
        let Ok(sealed) = dicom_web::ask(traced.server.http, "POST", "/api/v1/seal?now=true") else { return false };
        let said = String::from_utf8_lossy(&sealed.body).into_owned();
        // A journal that has stopped serves reads until the process has ended.
        let status = dicom_web::ask(traced.server.http, "GET", "/api/v1/status");
        let Ok(status) = status.map(|status| String::from_utf8_lossy(&status.body).into_owned()) else { return false };
        if !status.contains("\"not_receiving\":null") {
            return false;
        }
        assert!(sealed.status == 200 && said.contains("\"failed\":[]"), "it does not go on: {}\n{said}", sealed.header);
        true
    }

    pub(super) fn sent(&mut self, study: &str, tally: Tally) {
        self.tally.add(tally.clone());
        self.new.entry(study.to_owned()).or_default().add(tally);
    }

    /// Starts it once more, and has it receive and seal; gives what was found of the last crash. What was staged by
    /// processes that ended is swept by the first write.
    ///
    /// # Panics
    /// When it cannot.
    pub fn still_works(&mut self, make: &mut Generator) -> Verdict {
        let (traced, verdict) = self.serve();
        let study = make.study();
        let tally = send_by(Door::CStore(traced.server.dimse), make.files(&study, 0, 2, 512));
        self.sent(&study, tally);
        super::acts::seal(&traced.server);
        assert_eq!(traced.stop().how, "exit code 0");
        verdict
    }

    /// As [`Yard::still_works`]; then looks at everything that must hold.
    ///
    /// # Panics
    /// With what does not hold.
    pub fn end(&mut self, make: &mut Generator) -> Verdict {
        let verdict = self.still_works(make);
        if !verdict.is_good() {
            return verdict;
        }
        let when = format!("{} after {} crashes", self.phase, self.crashes);
        holds(&self.data, &self.tally, &when);
        nothing_is_left_over(&self.data, &when);
        verdict
    }
}

fn wait_until_complete(traced: &Traced) {
    for _ in 0..100_000 {
        // It may be killed while it makes its catalog.
        let Ok(answer) = dicom_web::ask(traced.server.http, "GET", "/api/v1/status") else { return };
        let status: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        if status["rebuilding"].is_null() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("the catalog is never complete");
}

fn compared(files: &[Vec<u8>], tally: &Tally) -> Verdict {
    let name = |file: &Vec<u8>| {
        let whole = digest(file);
        if tally.sent.contains(&whole) { whole } else { digest(data_set(file)) }
    };
    let there: BTreeSet<Digest> = files.iter().map(name).collect();
    Verdict {
        lost: tally.acknowledged.difference(&there).cloned().collect(),
        wrong: there.difference(&tally.sent).cloned().collect(),
        doubled: files.len() - there.len(),
    }
}

/// No file is left that was on its way when the archive was killed.
fn nothing_is_left_over(data: &DataFolder, when: &str) {
    let journal = std::fs::read_dir(data.path().join("journal")).expect("the journal").flatten();
    let unfinished: Vec<_> =
        journal.map(|entry| entry.file_name()).filter(|name| name.to_string_lossy().ends_with(".new")).collect();
    assert!(unfinished.is_empty(), "{when}: left in the journal: {unfinished:?}");
    for store in ["store", "second-store"] {
        let stage = data.path().join(store).join(".stage");
        let folders: Vec<_> = std::fs::read_dir(&stage).into_iter().flatten().flatten().collect();
        // The last process that wrote leaves its own, with its lock, to the next.
        let staged = folders.iter().flat_map(|folder| std::fs::read_dir(folder.path()).expect("a folder").flatten());
        let staged: Vec<_> = staged.map(|entry| entry.file_name()).filter(|name| name != "lock").collect();
        assert!(folders.len() <= 1 && staged.is_empty(), "{when}: left in {}: {folders:?} {staged:?}", stage.display());
    }
}
