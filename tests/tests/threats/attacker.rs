//! What an attacker sends: files and messages with any value in any place.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

pub const EXPLICIT: &str = "1.2.840.10008.1.2.1";
pub const SECONDARY_CAPTURE: &str = "1.2.840.10008.5.1.4.1.1.7";

/// An element in Explicit VR Little Endian.
pub fn element(group: u16, number: u16, vr: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = [group.to_le_bytes(), number.to_le_bytes()].concat();
    let mut value = value.to_vec();
    value.resize(value.len().next_multiple_of(2), if matches!(vr, "UI" | "OB") { 0 } else { b' ' });
    bytes.extend(vr.as_bytes());
    if matches!(vr, "OB" | "OW" | "SQ" | "UN" | "UR" | "UT" | "UC") {
        bytes.extend([0, 0]);
        bytes.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
    } else {
        bytes.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
    }
    bytes.extend(value);
    bytes
}

/// A data set with these UIDs, and an element besides. The elements must be in order.
pub fn data_set(study: &[u8], series: &[u8], sop: &[u8], besides: &[u8]) -> Vec<u8> {
    [
        element(0x0008, 0x0016, "UI", SECONDARY_CAPTURE.as_bytes()),
        element(0x0008, 0x0018, "UI", sop),
        besides.to_vec(),
        element(0x0010, 0x0010, "PN", b"Secretname^Threat"),
        element(0x0010, 0x0020, "LO", b"THREAT"),
        element(0x0020, 0x000D, "UI", study),
        element(0x0020, 0x000E, "UI", series),
    ]
    .concat()
}

/// A Part 10 file of it, whose preamble begins so.
pub fn file(preamble: &[u8], data_set: &[u8]) -> Vec<u8> {
    let meta = [
        element(0x0002, 0x0001, "OB", &[0, 1]),
        element(0x0002, 0x0002, "UI", SECONDARY_CAPTURE.as_bytes()),
        element(0x0002, 0x0010, "UI", EXPLICIT.as_bytes()),
    ]
    .concat();
    let length = element(0x0002, 0x0000, "UL", &u32::try_from(meta.len()).unwrap().to_le_bytes());
    let mut bytes = preamble.to_vec();
    bytes.resize(128, 0);
    [bytes, b"DICM".to_vec(), length, meta, data_set.to_vec()].concat()
}

/// Sends a request as it is, and gives the whole answer: the connection must say that it ends.
pub fn exchange(to: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).expect("the server listens");
    // The server may answer, and end the connection, before it has read everything.
    let _refused_early = stream.write_all(request);
    let mut answer = Vec::new();
    let _broken_off = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// A request of one file by STOW-RS; further header lines end in CR LF each.
pub fn stow(to: SocketAddr, more: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /dicom-web/studies HTTP/1.1\r\nHost: {to}\r\nAccept: application/dicom+json\r\nConnection: close\r\n\
         Content-Type: application/dicom\r\nContent-Length: {}\r\n{more}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A request without a body.
pub fn ask(to: SocketAddr, method: &str, path: &str, more: &str) -> String {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n{more}\r\n");
    exchange(to, request.as_bytes())
}

/// The status code of an answer.
pub fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

fn item(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind, 0], length.as_slice(), value].concat()
}

/// A PDU.
pub fn pdu(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind, 0], length.as_slice(), body].concat()
}

/// A-ASSOCIATE-RQ of one context for one class.
pub fn associate(called: &str, calling: &[u8]) -> Vec<u8> {
    let title = |text: &[u8]| {
        let mut field = text.to_vec();
        field.resize(16, b' ');
        field
    };
    let context =
        [vec![1, 0, 0, 0], item(0x30, SECONDARY_CAPTURE.as_bytes()), item(0x40, EXPLICIT.as_bytes())].concat();
    let user = item(0x51, &16_384_u32.to_be_bytes());
    let body = [
        vec![0, 1, 0, 0],
        title(called.as_bytes()),
        title(calling),
        vec![0; 32],
        item(0x10, b"1.2.840.10008.3.1.1.1"),
        item(0x20, &context),
        item(0x50, &user),
    ];
    pdu(1, &body.concat())
}

/// A P-DATA-TF of one value.
pub fn value(control: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len() + 2).unwrap().to_be_bytes();
    pdu(4, &[length.as_slice(), &[1, control], bytes].concat())
}

/// C-STORE-RQ of an instance.
pub fn store_request(sop: &str) -> Vec<u8> {
    let element = |number: u16, value: &[u8]| {
        let mut value = value.to_vec();
        value.resize(value.len().next_multiple_of(2), 0);
        let length = u32::try_from(value.len()).unwrap().to_le_bytes();
        [&[0, 0], number.to_le_bytes().as_slice(), &length, &value].concat()
    };
    let body = [
        element(0x0002, SECONDARY_CAPTURE.as_bytes()),
        element(0x0100, &1_u16.to_le_bytes()),
        element(0x0110, &1_u16.to_le_bytes()),
        element(0x0700, &0_u16.to_le_bytes()),
        element(0x0800, &1_u16.to_le_bytes()),
        element(0x1000, sop.as_bytes()),
    ]
    .concat();
    [element(0x0000, &u32::try_from(body.len()).unwrap().to_le_bytes()), body].concat()
}

/// Reads one PDU: its type and body.
pub fn read_pdu(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 6];
    stream.read_exact(&mut head).expect("a PDU");
    let [kind, _, length @ ..] = head;
    let mut body = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
    stream.read_exact(&mut body).expect("a PDU");
    (kind, body)
}

/// Sends a data set by C-STORE under a calling AE title; the status.
pub fn c_store(to: SocketAddr, calling: &[u8], sop: &str, data_set: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(to).expect("the server listens");
    stream.write_all(&associate("VELLUM", calling)).unwrap();
    assert_eq!(read_pdu(&mut stream).0, 2, "an association is accepted");
    stream.write_all(&[value(3, &store_request(sop)), value(2, data_set)].concat()).unwrap();
    let (kind, body) = read_pdu(&mut stream);
    assert_eq!(kind, 4, "a response");
    let at = body.windows(8).position(|bytes| bytes == [0, 0, 0, 9, 2, 0, 0, 0]).expect("a status");
    stream.write_all(&pdu(5, &[0; 4])).unwrap();
    u16::from_le_bytes([body[at + 8], body[at + 9]])
}
