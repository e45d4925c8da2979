//! A sender that keeps a list: what it sent, and what was acknowledged. The list lives in the test, so that no crash of
//! the archive can touch it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use sha2::{Digest as _, Sha256};

use crate::association::Association;
use crate::dicom_web;
use crate::generate::{self, CT, EXPLICIT};
use crate::vellum::Server;

/// SHA-256, hexadecimal: of a file; of its data set where it went by C-STORE, for then the archive makes the file.
pub type Digest = String;

/// Digest of a file, or of a data set.
#[must_use]
pub fn digest(file: &[u8]) -> Digest {
    hex::encode(Sha256::digest(file))
}

/// What was sent and what of it was acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Everything that was begun to be sent.
    pub sent: BTreeSet<Digest>,
    /// What got the answer 200, or a status of success or warning.
    pub acknowledged: BTreeSet<Digest>,
    /// What was sent whole and got no answer at all: the archive went away meanwhile.
    pub unanswered: BTreeSet<Digest>,
    /// What got another answer, with its first line or status.
    pub refused: BTreeMap<Digest, String>,
}

impl Tally {
    /// Adds what another sender did.
    pub fn add(&mut self, other: Self) {
        self.sent.extend(other.sent);
        self.acknowledged.extend(other.acknowledged);
        self.unanswered.extend(other.unanswered);
        self.refused.extend(other.refused);
    }

    /// Counts as acknowledged only what was so at an earlier moment; what came later may be there or not.
    pub fn count_only(&mut self, acknowledged: &BTreeSet<Digest>) {
        let (kept, later) =
            std::mem::take(&mut self.acknowledged).into_iter().partition(|name| acknowledged.contains(name));
        self.acknowledged = kept;
        let later: BTreeSet<Digest> = later;
        self.unanswered.extend(later);
    }
}

/// The door that is sent to, and where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Door {
    /// STOW-RS, a request for each file.
    Stow(SocketAddr),
    /// C-STORE, a message for each data set.
    CStore(SocketAddr),
}

impl Door {
    /// One door of a server and the other in turn.
    #[must_use]
    pub const fn alternately(round: usize, server: &Server) -> Self {
        if round.is_multiple_of(2) { Self::Stow(server.http) } else { Self::CStore(server.dimse) }
    }

    /// By what the list knows a file that goes through this door.
    fn name(self, file: &[u8]) -> Digest {
        match self {
            Self::Stow(_) => digest(file),
            Self::CStore(_) => digest(generate::data_set(file)),
        }
    }
}

/// Files on their way.
#[derive(Debug)]
pub struct Sending {
    threads: Vec<JoinHandle<()>>,
    tally: Arc<Mutex<Tally>>,
    acknowledgements: Receiver<()>,
}

/// Connections, or associations, at once.
const CONNECTIONS: usize = 6;

impl Sending {
    /// Begins to send files, as [`crate::generate`] makes them.
    #[must_use]
    pub fn start(door: Door, files: Vec<Vec<u8>>) -> Self {
        Self::start_by(CONNECTIONS, door, files)
    }

    /// As [`Sending::start`], over so many connections, or associations, at once.
    #[must_use]
    pub fn start_by(connections: usize, door: Door, files: Vec<Vec<u8>>) -> Self {
        let queue = Arc::new(Mutex::new(files.into_iter()));
        let tally = Arc::new(Mutex::new(Tally::default()));
        let (told, acknowledgements) = mpsc::channel();
        let threads = (0..connections).map(|_| {
            let one = One { door, queue: Arc::clone(&queue), tally: Arc::clone(&tally), acknowledged: told.clone() };
            std::thread::spawn(move || match door {
                Door::Stow(to) => one.by_stow(to),
                Door::CStore(to) => one.by_c_store(to),
            })
        });
        Self { threads: threads.collect(), tally, acknowledgements }
    }

    /// Waits for so many acknowledgements, or until there will be none any more.
    pub fn wait_for_acknowledgements(&self, count: usize) {
        let _waited = self.acknowledgements.iter().take(count).count();
    }

    /// What is acknowledged at this moment.
    ///
    /// # Panics
    /// When a sending thread did.
    #[must_use]
    pub fn acknowledged(&self) -> BTreeSet<Digest> {
        self.tally.lock().expect("the list").acknowledged.clone()
    }

    /// Waits until everything was sent, or the archive is gone; gives the list.
    ///
    /// # Panics
    /// When a sending thread did.
    #[must_use]
    pub fn finish(self) -> Tally {
        for thread in self.threads {
            thread.join().expect("the sender");
        }
        self.tally.lock().expect("the list").clone()
    }
}

/// Sends files by STOW-RS and waits for all answers.
///
/// # Panics
/// When a file was not acknowledged.
#[must_use]
pub fn send(to: SocketAddr, files: Vec<Vec<u8>>) -> Tally {
    send_by(Door::Stow(to), files)
}

/// Sends files and waits for all answers.
///
/// # Panics
/// When a file was not acknowledged.
#[must_use]
pub fn send_by(door: Door, files: Vec<Vec<u8>>) -> Tally {
    let count = files.len();
    let tally = Sending::start(door, files).finish();
    assert_eq!(tally.acknowledged.len(), count, "refused: {:?}", tally.refused);
    tally
}

/// One of those who send.
struct One {
    door: Door,
    queue: Arc<Mutex<std::vec::IntoIter<Vec<u8>>>>,
    tally: Arc<Mutex<Tally>>,
    acknowledged: Sender<()>,
}

impl One {
    fn by_stow(&self, to: SocketAddr) {
        while let Some((file, name)) = self.next() {
            // Not sent whole: the archive is gone.
            let Ok(stream) = dicom_web::send(to, file.len() as u64, file.as_slice()) else { return };
            let line = dicom_web::first_line(stream);
            let is_success = line.as_ref().is_some_and(|line| line.starts_with("HTTP/1.1 200"));
            if !self.note(name, is_success, line) {
                return;
            }
        }
    }

    fn by_c_store(&self, to: SocketAddr) {
        let Ok(mut association) = Association::open(to, CT, EXPLICIT) else { return };
        while let Some((file, name)) = self.next() {
            // Not sent whole: the archive is gone.
            let Ok(()) = association.send(generate::sop(&file), generate::data_set(&file)) else { return };
            let status = association.status().ok();
            let is_success = status.is_some_and(|status| status == 0 || status >> 12 == 0xB);
            if !self.note(name, is_success, status.map(|status| format!("{status:04X}H"))) {
                return;
            }
        }
        // The archive may go away just now; what was acknowledged stays so.
        let _released = association.release();
    }

    fn next(&self) -> Option<(Vec<u8>, Digest)> {
        let file = self.queue.lock().expect("the queue").next()?;
        let name = self.door.name(&file);
        self.tally.lock().expect("the list").sent.insert(name.clone());
        Some((file, name))
    }

    /// Notes an answer; `false` when there was none.
    fn note(&self, name: Digest, is_success: bool, answer: Option<String>) -> bool {
        let mut tally = self.tally.lock().expect("the list");
        match answer {
            None => {
                tally.unanswered.insert(name);
                return false;
            }
            Some(_) if is_success => {
                tally.acknowledged.insert(name);
                // Nobody may be waiting any more.
                let _nobody = self.acknowledged.send(());
            }
            Some(answer) => {
                tally.refused.insert(name, answer);
            }
        }
        true
    }
}
