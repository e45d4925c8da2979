//! STOW-RS and WADO-RS by hand, streaming: what is sent and what comes never lies in memory as a whole.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpStream};

/// Sends one file by STOW-RS, the request whole; gives the connection on which the answer comes.
///
/// # Errors
/// When the file cannot be read, or the archive is gone before everything was sent.
pub fn send(to: SocketAddr, length: u64, mut file: impl Read) -> io::Result<TcpStream> {
    let (begin, end) =
        (b"--edge\r\nContent-Type: application/dicom\r\n\r\n".as_slice(), b"\r\n--edge--\r\n".as_slice());
    let head = format!(
        "POST /dicom-web/studies HTTP/1.1\r\nHost: {to}\r\nAccept: application/dicom+json\r\nConnection: close\r\n\
         Content-Type: multipart/related; type=\"application/dicom\"; boundary=edge\r\nContent-Length: {}\r\n\r\n",
        length + (begin.len() + end.len()) as u64
    );
    let mut stream = TcpStream::connect(to)?;
    stream.write_all(head.as_bytes())?;
    stream.write_all(begin)?;
    let mut piece = vec![0; 256 * 1024];
    while let read @ 1.. = file.read(&mut piece)? {
        stream.write_all(piece.get(..read).unwrap_or_default())?;
    }
    stream.write_all(end)?;
    Ok(stream)
}

/// The first line of the answer, if one came whole.
#[must_use]
pub fn first_line(mut stream: TcpStream) -> Option<String> {
    let mut answer = Vec::new();
    // An answer that breaks off after its first line was given all the same.
    let _broken_off = stream.read_to_end(&mut answer);
    let end = answer.windows(2).position(|two| two == b"\r\n")?;
    Some(String::from_utf8_lossy(answer.get(..end)?).into_owned())
}

/// Begins to retrieve a path below `/dicom-web` of which one part is expected, and gives what follows that part's
/// header: the part, then the closing boundary.
///
/// # Errors
/// When the archive is gone, or answers anything but 200.
pub fn retrieve(from: SocketAddr, path: &str, kind: &str) -> io::Result<impl Read + use<>> {
    let mut stream = TcpStream::connect(from)?;
    // HTTP/1.0: the body comes without chunks and ends with the connection.
    let request = format!(
        "GET /dicom-web/{path} HTTP/1.0\r\nHost: {from}\r\n\
         Accept: multipart/related; type=\"{kind}\"; transfer-syntax=*\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = BufReader::with_capacity(256 * 1024, stream);
    let status = header(&mut answer)?;
    if !status.contains(" 200 ") {
        return Err(io::Error::other(format!("{path}: {status}")));
    }
    let _part = header(&mut answer)?;
    Ok(answer)
}

/// Reads past an empty line; gives the first line.
fn header(from: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut first = String::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // A delimiter may have an empty line before it.
        if line.trim().is_empty() && !first.is_empty() {
            return Ok(first);
        }
        if first.is_empty() {
            line.trim().clone_into(&mut first);
        }
    }
}

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header fields, as they came.
    pub header: String,
    /// The body, up to where the connection ended.
    pub body: Vec<u8>,
}

/// Asks for something small, without a body, and waits for the whole answer.
///
/// # Errors
/// When the archive is gone before the header of the answer was there, or less came than was announced.
pub fn ask(to: SocketAddr, method: &str, path: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(to)?;
    // HTTP/1.0: the body comes without chunks and ends with the connection.
    let accept = "Accept: multipart/related; type=\"application/dicom\"; transfer-syntax=*, */*";
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: {to}\r\n{accept}\r\nContent-Length: 0\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let header = String::from_utf8_lossy(answer.get(..end).unwrap_or_default()).into_owned();
    let status = header.get(9..12).and_then(|digits| digits.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Answer { status, header, body: answer.split_off(end + 4) })
}

/// The files of a study by WADO-RS; none where it is not known.
///
/// # Errors
/// When the archive is gone, breaks off, or answers anything but 200 and 404.
pub fn study(from: SocketAddr, study: &str) -> io::Result<Vec<Vec<u8>>> {
    let answer = ask(from, "GET", &format!("/dicom-web/studies/{study}"))?;
    let broken = |what: &str| io::Error::other(format!("study {study}: {what}: {}", answer.header));
    match answer.status {
        200 => parts(&answer).ok_or_else(|| broken("not the parts that were announced")),
        404 => Ok(Vec::new()),
        _ => Err(broken("refused")),
    }
}

/// The parts of a multipart answer (RFC 2046 §5.1); `None` where it does not end with its last delimiter.
fn parts(answer: &Answer) -> Option<Vec<Vec<u8>>> {
    let (_, boundary) = answer.header.split_once("boundary=")?;
    let boundary = boundary.split(['\r', ';']).next()?.trim_matches('"');
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    let body = [b"\r\n".as_slice(), &answer.body].concat();
    let mut borders = Vec::new();
    let mut at = 0;
    while let Some(found) = body.get(at..)?.windows(delimiter.len()).position(|piece| piece == delimiter) {
        borders.push(at + found);
        at += found + delimiter.len();
    }
    let last = borders.last()? + delimiter.len();
    if body.get(last..last + 2) != Some(b"--".as_slice()) {
        return None;
    }
    let pieces = borders.windows(2).map(|two| body.get(two[0] + delimiter.len()..two[1]));
    let mut parts = Vec::new();
    for piece in pieces {
        let piece = piece?;
        let content = piece.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        parts.push(piece.get(content..)?.to_vec());
    }
    Some(parts)
}
