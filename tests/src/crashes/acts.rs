//! How each phase is brought about.

use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::dicom_web;
use crate::fault_at::{Plan, What};
use crate::generate::Generator;
use crate::sender::{Door, Sending, Tally, send_by};
use crate::traced::Traced;
use crate::vellum::Server;

use super::phase::Phase;
use super::yard::Yard;

/// Bytes of pixels: of an instance in the journal's segments, and of one that has a file of its own.
const SMALL: usize = 700;
const SPILLED: usize = 20_000;
/// How often is looked whether something has come to its end.
const POLL: Duration = Duration::from_millis(2);

/// What goes on while calls are counted.
pub(super) enum Acting {
    Sending(String, Vec<Sending>),
    Asking(JoinHandle<()>),
    Nothing,
}

impl Yard {
    /// What comes before the phase.
    pub(super) fn prepare(&mut self, make: &mut Generator, server: &Server) {
        let study = make.study();
        self.study.clone_from(&study);
        let of_study = |make: &mut Generator, first| make.files(&study, first, 2, SMALL);
        match self.phase {
            // What is sealed leaves the journal when a new segment begins.
            Phase::Receive | Phase::ReceiveMirrored | Phase::ReceiveWithSpares => self.seal_what_is_left(server),
            Phase::Seal | Phase::SealInTwo | Phase::Copy | Phase::Stop => {
                self.seal_what_is_left(server);
                let mut files = of_study(make, 0);
                if self.phase == Phase::Seal {
                    files.extend(make.files(&study, 2, 1, SPILLED));
                }
                self.sent(&study, send_by(Door::CStore(server.dimse), files));
                if self.phase == Phase::Copy {
                    wait_for_copies(server);
                }
            }
            Phase::MergeAndDelete => {
                self.seal_what_is_left(server);
                let files = of_study(make, 0);
                self.sent(&study, send_by(Door::CStore(server.dimse), files));
                seal(server);
                let files = of_study(make, 2);
                self.sent(&study, send_by(Door::Stow(server.http), files));
            }
            Phase::Rebuild => {
                let files = of_study(make, 0);
                self.sent(&study, send_by(Door::CStore(server.dimse), files));
                if make.numbers().below(4) > 0 {
                    seal(server);
                }
            }
            _ => {}
        }
    }

    /// Begins the phase.
    pub(super) fn begin(&self, make: &mut Generator, server: &Server) -> Acting {
        match self.phase {
            Phase::Receive | Phase::ReceiveMirrored | Phase::ReceiveWithSpares => {
                let mut files = make.files(&self.study, 0, 4, SMALL);
                files.extend(make.files(&self.study, 4, 1, SPILLED));
                let by_stow = make.files(&self.study, 5, 3, SMALL);
                let by_c_store = Sending::start_by(1, Door::CStore(server.dimse), files);
                Acting::Sending(
                    self.study.clone(),
                    vec![by_c_store, Sending::start_by(1, Door::Stow(server.http), by_stow)],
                )
            }
            Phase::Seal | Phase::SealInTwo | Phase::MergeAndDelete | Phase::Copy => {
                ask(server, "/api/v1/seal?now=true")
            }
            Phase::Rebuild => ask(server, "/api/v1/rebuild"),
            _ => Acting::Nothing,
        }
    }

    /// Waits until the phase has ended, or the server has.
    pub(super) fn until_done(&self, traced: &mut Traced, acting: &Acting) {
        match self.phase {
            Phase::MergeAndDelete => {
                let mut deleted = 0;
                // Those of earlier studies may come to their end only now.
                while deleted < 2
                    && let Some(line) = traced.server.wait_for("a replaced pack was deleted")
                {
                    let key = line.pointer("/fields/key").and_then(Value::as_str).unwrap_or_default();
                    deleted += usize::from(key.contains(&format!("/{}/", self.study)));
                }
            }
            Phase::Copy => {
                let is_sealed = || matches!(acting, Acting::Asking(thread) if thread.is_finished());
                while traced.runs() && !(is_sealed() && is_copied(&traced.server)) {
                    std::thread::sleep(POLL);
                }
            }
            _ => {}
        }
    }

    /// Takes the outcome of what was begun.
    pub(super) fn finish(&mut self, acting: Acting) {
        match acting {
            Acting::Sending(study, sendings) => {
                for sending in sendings {
                    self.sent(&study, sending.finish());
                }
            }
            Acting::Asking(thread) => thread.join().expect("who asks"),
            Acting::Nothing => {}
        }
    }

    /// What a start finds: some studies sealed, some not, and half of a batch.
    pub(super) fn leave_in_disorder(&mut self, make: &mut Generator, mut traced: Traced) {
        let study = make.study();
        let first = send_by(Door::CStore(traced.server.dimse), make.files(&study, 0, 2, SMALL));
        self.sent(&study, first);
        if make.numbers().below(2) == 0 {
            seal(&traced.server);
        }
        let mut files = make.files(&study, 2, 2, SMALL);
        files.extend(make.files(&study, 4, 1, SPILLED));
        self.sent(&study, send_by(Door::Stow(traced.server.http), files));
        let tear = Plan {
            what: What::Tear,
            first: 1,
            last: 1,
            call: Some("pwrite64".to_owned()),
            place: Some("journal/segment-*".to_owned()),
        };
        assert!(traced.arm(&tear), "it ended by itself");
        let sending = Sending::start_by(1, Door::CStore(traced.server.dimse), make.files(&study, 5, 1, SMALL));
        let torn: Tally = sending.finish();
        self.sent(&study, torn);
        let _end = traced.kill();
        if self.phase == Phase::StartWithoutCatalog {
            std::fs::remove_dir_all(self.data.path().join("catalog")).expect("the catalog");
        }
    }

    fn seal_what_is_left(&self, server: &Server) {
        if !self.tally.sent.is_empty() {
            seal(server);
        }
    }
}

/// The lagging store is given what it lacks before calls are counted.
fn wait_for_copies(server: &Server) {
    for _ in 0..200_000 {
        if is_copied(server) {
            return;
        }
        std::thread::sleep(POLL);
    }
    panic!("the lagging store is never complete");
}

pub(super) fn seal(server: &Server) {
    let sealed = dicom_web::ask(server.http, "POST", "/api/v1/seal?now=true").expect("an answer");
    let said = String::from_utf8_lossy(&sealed.body).into_owned();
    assert!(sealed.status == 200 && said.contains("\"failed\":[]"), "{}\n{said}", sealed.header);
}

/// Asks for something; the answer is of no interest, for the server is killed meanwhile.
fn ask(server: &Server, path: &'static str) -> Acting {
    let to = server.http;
    Acting::Asking(std::thread::spawn(move || {
        let _killed = dicom_web::ask(to, "POST", path);
    }))
}

/// Whether the ledger says that each pack was copied.
fn is_copied(server: &Server) -> bool {
    let entries = |kind: &str| {
        let answer = dicom_web::ask(server.http, "GET", &format!("/api/v1/ledger?kind={kind}")).ok()?;
        Some(answer.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count())
    };
    entries("copied").is_some_and(|copied| entries("sealed").is_some_and(|sealed| copied >= sealed))
}
