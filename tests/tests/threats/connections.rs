//! Many connections, and connections that break off.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use system_tests::vellum::{DataFolder, Server};

use crate::attacker::{ask, associate, c_store, data_set, pdu, read_pdu, status, store_request, value};

/// Associations of the short form; `VELLUM_LONG=1` makes it the hundred thousand of the name that this test has elsewhere.
const ROUNDS: usize = 3000;
const ROUNDS_LONG: usize = 100_000;

/// Resident memory of a process, in bytes.
fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("kilobytes") * 1024
}

fn descriptors(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count()
}

/// One association that ends in one of the ways in which associations end.
fn associate_and_leave(to: SocketAddr, number: usize) {
    let mut stream = TcpStream::connect(to).expect("the server listens");
    let request = associate("VELLUM", b"CHURN");
    // The server may end it before everything was written: that is one of the ways.
    let _ended = match number % 9 {
        0 => Ok(()),
        1 => stream.write_all(&request[..request.len() / 2]),
        2 => stream.write_all(b"GET / HTTP/1.1\r\n\r\n"),
        3 => stream.write_all(&associate("SOMEBODY", b"CHURN")),
        4 => stream.write_all(&[request, pdu(7, &[0; 4])].concat()),
        5 => stream.write_all(&[request, value(3, &store_request("1.2.3")), value(0, b"half a data set")].concat()),
        6 => stream.write_all(&[request, value(3, &store_request("1.2.3")), pdu(7, &[0; 4])].concat()),
        7 => stream.write_all(&[request, pdu(9, &[0; 4])].concat()),
        _ => stream.write_all(&request).map(|()| {
            assert_eq!(read_pdu(&mut stream).0, 2);
            let _ = stream.write_all(&pdu(5, &[0; 4]));
        }),
    };
    let _gone = stream.shutdown(Shutdown::Write);
    let _ended = stream.read_to_end(&mut Vec::new());
}

/// Class 8: whatever way associations end in, nothing of them stays.
#[test]
fn assoc_churn() {
    let data = DataFolder::fresh();
    let server = data.serve();
    let rounds = if std::env::var_os("VELLUM_LONG").is_some() { ROUNDS_LONG } else { ROUNDS };
    (0..rounds / 3).for_each(|number| associate_and_leave(server.dimse, number));
    let (memory, open) = (resident(&server), descriptors(&server));
    (0..rounds).for_each(|number| associate_and_leave(server.dimse, number));
    let uid = "1.2.826.0.1.3680043.10.9999.8";
    let bytes = data_set(uid.as_bytes(), uid.as_bytes(), uid.as_bytes(), &[]);
    assert_eq!(c_store(server.dimse, b"CHURN", uid, &bytes), 0, "it serves as before");
    let grown = resident(&server).saturating_sub(memory);
    println!("{rounds} associations: {grown} bytes more, {open} descriptors before, {} after", descriptors(&server));
    assert!(grown < 16 * 1024 * 1024, "{grown} bytes more after {rounds} associations");
    assert!(descriptors(&server) <= open + 4, "descriptors are left open");
}

/// A frame of HTTP/2 (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn begin(to: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).unwrap();
    stream
}

/// `GET /livez` of scheme http, by indexes of the static table (RFC 7541 Appendix A) but for the path.
fn get_livez() -> Vec<u8> {
    [&[0x82, 0x86, 0x04, 6], b"/livez".as_slice(), &[0x41, 9], b"localhost"].concat()
}

/// Whether the server ended the connection by GOAWAY or by closing it, having been sent everything that it would take.
fn is_ended(mut stream: TcpStream) -> bool {
    let _gone = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let broken = stream.read_to_end(&mut answer).is_err();
    let mut rest = answer.as_slice();
    while let Some((head, after)) = rest.split_at_checked(9) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        if head[3] == GO_AWAY && after.get(4..8).is_some_and(|code| code != [0; 4]) {
            return true;
        }
        rest = after.get(length..).unwrap_or_default();
    }
    broken
}

/// Class 23: requests that are taken back as soon as they are made, and headers that never end.
#[test]
fn h2_rapid_reset_bounded() {
    let data = DataFolder::fresh();
    let server = data.serve();
    // A request is answered on such a connection: the frames are what they should be.
    let mut stream = begin(server.http);
    stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get_livez())).unwrap();
    let mut answer = [0; 256];
    let mut seen = Vec::new();
    while !seen.windows(9).any(|bytes| bytes[3] == HEADERS && bytes[5..9] == 1_u32.to_be_bytes()) {
        let read = stream.read(&mut answer).unwrap();
        assert!(read > 0, "no answer: {seen:?}");
        seen.extend_from_slice(&answer[..read]);
    }
    drop(stream);
    let before = resident(&server);
    for _ in 0..4 {
        let mut stream = begin(server.http);
        let mut taken = 0;
        for number in 0..20_000_u32 {
            let id = number * 2 + 1;
            let both =
                [frame(HEADERS, END_HEADERS | END_STREAM, id, &get_livez()), frame(RESET, 0, id, &8_u32.to_be_bytes())];
            if stream.write_all(&both.concat()).is_err() {
                break;
            }
            taken = number;
        }
        assert!(is_ended(stream), "{taken} resets were taken and the connection goes on");
    }
    let mut stream = begin(server.http);
    let _refused = stream.write_all(&frame(HEADERS, 0, 1, &get_livez()));
    let filler = [&[0x00, 0x01, b'x', 0x7F, 0x80, 0x7C], [b'y'; 15_999].as_slice()].concat();
    for _ in 0..4000 {
        if stream.write_all(&frame(CONTINUATION, 0, 1, &filler)).is_err() {
            break;
        }
    }
    assert!(is_ended(stream), "64 MB of headers were taken");
    assert_eq!(status(&ask(server.http, "GET", "/livez", "")), 200, "others are served");
    let grown = resident(&server).saturating_sub(before);
    assert!(grown < 32 * 1024 * 1024, "{grown} bytes more");
}
