//! An HTTP proxy before a real S3-compatible server that lets the server do what it was asked, and then gives another
//! answer: the whole of §3.1's ambiguity in one place. Which answers, a test says by their number.

use std::io::{self, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What becomes of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meddle {
    /// The server does what it was asked; this status comes instead of its answer.
    AnswerAfter(u16),
    /// The server is never asked; this status comes.
    AnswerInstead(u16),
    /// The server does what it was asked; a page of some gateway comes, with status 200.
    PageAfter,
    /// As before, and the server is never asked.
    PageInstead,
    /// Half of the answer's body comes, and its header says so.
    Shortened,
    /// Half of the answer's body comes, and the connection ends.
    BrokenOff,
    /// The server does what it was asked, and the connection ends.
    Lost,
    /// The answer comes late, by so many milliseconds.
    Late(u64),
}

#[derive(Debug)]
struct Manners {
    meddle: Meddle,
    first: u64,
    last: u64,
    counted: u64,
    meddled: Vec<String>,
}

/// A proxy that runs as long as the test.
#[derive(Debug)]
pub struct MeddlingProxy {
    port: u16,
    manners: Arc<Mutex<Manners>>,
}

impl MeddlingProxy {
    /// Before a server that listens on this machine.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn to(server_port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let nothing = Manners { meddle: Meddle::Lost, first: u64::MAX, last: 0, counted: 0, meddled: Vec::new() };
        let manners = Arc::new(Mutex::new(nothing));
        let shared = Arc::clone(&manners);
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, server_port));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&shared);
                // Either side may go away at any time.
                std::thread::spawn(move || drop(one_request(&client, server, &shared)));
            }
        });
        Self { port, manners }
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// From now on requests are counted, from 1, and answers are meddled with from one to another of them.
    pub fn meddle(&self, meddle: Meddle, first: u64, last: u64) {
        *lock(&self.manners) = Manners { meddle, first, last, counted: 0, meddled: Vec::new() };
    }

    /// Answers are let through; gives how many requests were counted, and the first lines of those whose answers were
    /// meddled with.
    pub fn behave(&self) -> (u64, Vec<String>) {
        let mut manners = lock(&self.manners);
        manners.first = u64::MAX;
        (manners.counted, std::mem::take(&mut manners.meddled))
    }
}

fn lock(manners: &Mutex<Manners>) -> MutexGuard<'_, Manners> {
    manners.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request a connection: read whole, passed on, answered.
fn one_request(client: &TcpStream, server: SocketAddr, manners: &Mutex<Manners>) -> io::Result<()> {
    let (request, is_head) = message(&mut BufReader::new(client), true, false)?;
    let meddle = {
        let mut manners = lock(manners);
        manners.counted += 1;
        let is_meant = (manners.first..=manners.last).contains(&manners.counted);
        if is_meant {
            let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
            manners.meddled.push(String::from_utf8_lossy(line).into_owned());
        }
        is_meant.then_some(manners.meddle)
    };
    let mut to = client;
    match meddle {
        Some(Meddle::AnswerInstead(status)) => return to.write_all(&error(status)),
        Some(Meddle::PageInstead) => return to.write_all(&page()),
        _ => {}
    }
    let mut upstream = TcpStream::connect(server)?;
    upstream.write_all(&request)?;
    let (answer, _) = message(&mut BufReader::new(&upstream), false, is_head)?;
    let header = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    let half = header + (answer.len() - header) / 2;
    match meddle {
        None => to.write_all(&answer),
        Some(Meddle::AnswerAfter(status)) => to.write_all(&error(status)),
        Some(Meddle::PageAfter) => to.write_all(&page()),
        Some(Meddle::Shortened) => to.write_all(&shortened(&answer, header, half)),
        Some(Meddle::BrokenOff) => to.write_all(answer.get(..half).unwrap_or_default()),
        Some(Meddle::Late(milliseconds)) => {
            std::thread::sleep(Duration::from_millis(milliseconds));
            to.write_all(&answer)
        }
        Some(_) => Ok(()),
    }
}

/// A request or an answer, whole, with `Connection: close`; and whether it is a request of the method HEAD.
fn message(from: &mut impl io::BufRead, is_request: bool, to_head: bool) -> io::Result<(Vec<u8>, bool)> {
    let mut message = Vec::new();
    let (mut length, mut is_head, mut is_first) = (None, false, true);
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let lower = line.to_ascii_lowercase();
        is_head |= is_first && lower.starts_with("head ");
        is_first = false;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse::<u64>().ok();
        }
        if !lower.starts_with("connection:") {
            message.extend(line.as_bytes());
        }
    }
    message.extend(b"Connection: close\r\n\r\n");
    if to_head {
        return Ok((message, false));
    }
    match length {
        Some(length) => from.take(length).read_to_end(&mut message)?,
        None if is_request => 0,
        // Up to where the connection ends.
        None => from.read_to_end(&mut message)?,
    };
    Ok((message, is_head))
}

fn shortened(answer: &[u8], header: usize, half: usize) -> Vec<u8> {
    let text = String::from_utf8_lossy(answer.get(..header).unwrap_or_default()).into_owned();
    let lines = text.split_inclusive("\r\n").map(|line| {
        let is_length = line.to_ascii_lowercase().starts_with("content-length:");
        if is_length { format!("Content-Length: {}\r\n", half - header) } else { line.to_owned() }
    });
    let mut shortened = lines.collect::<String>().into_bytes();
    shortened.extend(answer.get(header..half).unwrap_or_default());
    shortened
}

fn error(status: u16) -> Vec<u8> {
    let code = match status {
        403 => "AccessDenied",
        404 => "NoSuchKey",
        409 => "ConditionalRequestConflict",
        412 => "PreconditionFailed",
        429 | 503 => "SlowDown",
        _ => "InternalError",
    };
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>said</Message></Error>");
    answer(status, "application/xml", &body)
}

fn page() -> Vec<u8> {
    answer(200, "text/html", "<html><body>Welcome to the hotel's network</body></html>")
}

fn answer(status: u16, kind: &str, body: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} Said\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
    format!("{head}Connection: close\r\n\r\n{body}").into_bytes()
}
