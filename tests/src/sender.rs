//! A sender that keeps a list: what it sent, and what was acknowledged. The list lives in the test, so that no crash of
//! the archive can touch it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use sha2::{Digest as _, Sha256};

/// SHA-256 of a file, hexadecimal.
pub type Digest = String;

/// Digest of a file.
#[must_use]
pub fn digest(file: &[u8]) -> Digest {
    hex::encode(Sha256::digest(file))
}

/// What was sent and what of it was acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Everything that was begun to be sent.
    pub sent: BTreeSet<Digest>,
    /// What got the answer 200.
    pub acknowledged: BTreeSet<Digest>,
    /// What was sent whole and got no answer at all: the archive went away meanwhile.
    pub unanswered: BTreeSet<Digest>,
    /// What got another answer, with its first line.
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
}

/// Files on their way.
#[derive(Debug)]
pub struct Sending {
    threads: Vec<JoinHandle<()>>,
    tally: Arc<Mutex<Tally>>,
    acknowledgements: Receiver<()>,
}

/// Connections at once.
const CONNECTIONS: usize = 6;

impl Sending {
    /// Begins to send files by STOW-RS, a request each.
    #[must_use]
    pub fn start(to: SocketAddr, files: Vec<Vec<u8>>) -> Self {
        let queue = Arc::new(Mutex::new(files.into_iter()));
        let tally = Arc::new(Mutex::new(Tally::default()));
        let (told, acknowledgements) = mpsc::channel();
        let threads = (0..CONNECTIONS).map(|_| {
            let (queue, tally, told) = (Arc::clone(&queue), Arc::clone(&tally), told.clone());
            std::thread::spawn(move || send_from(to, &queue, &tally, &told))
        });
        Self { threads: threads.collect(), tally, acknowledgements }
    }

    /// Waits for so many acknowledgements, or until there will be none any more.
    pub fn wait_for_acknowledgements(&self, count: usize) {
        let _waited = self.acknowledgements.iter().take(count).count();
    }

    /// What was acknowledged until now.
    ///
    /// # Panics
    /// When a sending thread did.
    #[must_use]
    pub fn acknowledged_so_far(&self) -> BTreeSet<Digest> {
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

/// Sends files and waits for all answers.
///
/// # Panics
/// When a file was not acknowledged.
#[must_use]
pub fn send(to: SocketAddr, files: Vec<Vec<u8>>) -> Tally {
    let count = files.len();
    let tally = Sending::start(to, files).finish();
    assert_eq!(tally.acknowledged.len(), count, "refused: {:?}", tally.refused);
    tally
}

fn send_from(
    to: SocketAddr,
    queue: &Mutex<std::vec::IntoIter<Vec<u8>>>,
    tally: &Mutex<Tally>,
    acknowledged: &Sender<()>,
) {
    loop {
        let Some(file) = queue.lock().expect("the queue").next() else { return };
        let name = digest(&file);
        tally.lock().expect("the list").sent.insert(name.clone());
        // Not sent whole: the archive is gone.
        let Ok(stream) = put(to, &file) else { return };
        let answer = first_line(stream);
        let mut tally = tally.lock().expect("the list");
        match answer {
            None => {
                tally.unanswered.insert(name);
                return;
            }
            Some(line) if line.starts_with("HTTP/1.1 200") => {
                tally.acknowledged.insert(name);
                // Nobody may be waiting any more.
                let _nobody = acknowledged.send(());
            }
            Some(line) => {
                tally.refused.insert(name, line);
            }
        }
    }
}

/// Sends one request whole.
fn put(to: SocketAddr, file: &[u8]) -> std::io::Result<TcpStream> {
    let mut body = b"--edge\r\nContent-Type: application/dicom\r\n\r\n".to_vec();
    body.extend_from_slice(file);
    body.extend_from_slice(b"\r\n--edge--\r\n");
    let head = format!(
        "POST /dicom-web/studies HTTP/1.1\r\nHost: {to}\r\nAccept: application/dicom+json\r\nConnection: close\r\n\
         Content-Type: multipart/related; type=\"application/dicom\"; boundary=edge\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(to)?;
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)?;
    Ok(stream)
}

/// The first line of the answer, if one came whole.
fn first_line(mut stream: TcpStream) -> Option<String> {
    let mut answer = Vec::new();
    // An answer that breaks off after its first line was given all the same.
    let _broken_off = stream.read_to_end(&mut answer);
    let end = answer.windows(2).position(|two| two == b"\r\n")?;
    Some(String::from_utf8_lossy(answer.get(..end)?).into_owned())
}
