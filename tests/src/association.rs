//! A requestor of C-STORE (PS3.7 §9.1.1, PS3.8 §9.3): one association, one presentation context, one message at a time.
//! It knows exactly what was answered, and streams what it sends.

use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::net::{SocketAddr, TcpStream};

const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";
const IMPLEMENTATION_CLASS: &str = "1.2.826.0.1.3680043.10.999.1";
/// The id of the one presentation context.
const CONTEXT: u8 = 1;
/// P-DATA-TF PDUs are no longer than this, whatever longer ones the acceptor takes.
const PDU_BYTES_MAX: u32 = 128 * 1024;
/// Longest PDU that is taken from the acceptor: far more than any response has.
const ANSWER_BYTES_MAX: u32 = 64 * 1024;

const ASSOCIATE_AC: u8 = 2;
const DATA_TF: u8 = 4;
const RELEASE_RP: u8 = 6;

/// An open association.
#[derive(Debug)]
pub struct Association {
    from: BufReader<TcpStream>,
    to: BufWriter<TcpStream>,
    class: String,
    message: u16,
    fragment_bytes: usize,
}

impl Association {
    /// Opens an association for one SOP class in one transfer syntax.
    ///
    /// # Errors
    /// When nobody listens, or the association or its context is not accepted.
    pub fn open(to: SocketAddr, class: &str, syntax: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        let (from, to) = (BufReader::new(stream.try_clone()?), BufWriter::new(stream));
        let mut association = Self { from, to, class: class.to_owned(), message: 0, fragment_bytes: 0 };
        association.to.write_all(&request(class, syntax))?;
        association.to.flush()?;
        let (kind, accept) = association.pdu()?;
        if kind != ASSOCIATE_AC {
            return Err(refused(format!("no association: PDU of type {kind}")));
        }
        let pdu_bytes = accepted(&accept)?;
        // A data value has a length, a context id and a header before it.
        association.fragment_bytes = usize::try_from(pdu_bytes.min(PDU_BYTES_MAX)).map_err(io::Error::other)? - 6;
        Ok(association)
    }

    /// Sends the whole of an instance: the C-STORE-RQ and its data set. [`Association::status`] takes the answer.
    ///
    /// # Errors
    /// When the data set cannot be read, or the other end is gone.
    pub fn send(&mut self, sop: &str, mut data_set: impl Read) -> io::Result<()> {
        self.message = self.message.wrapping_add(1);
        let command = store_request(&self.class, sop, self.message);
        self.fragment(true, true, &command)?;
        let mut fragment = vec![0; self.fragment_bytes];
        let mut next = read_full(&mut data_set, &mut fragment)?;
        loop {
            // Only one that comes short is known to be the last; it may be empty.
            let is_last = next < fragment.len();
            self.fragment(false, is_last, fragment.get(..next).unwrap_or_default())?;
            if is_last {
                return self.to.flush();
            }
            next = read_full(&mut data_set, &mut fragment)?;
        }
    }

    /// The status of the response to what was sent last: 0000H for success, Bxxx for a warning.
    ///
    /// # Errors
    /// When the other end is gone, or answers anything else.
    pub fn status(&mut self) -> io::Result<u16> {
        let mut command = Vec::new();
        loop {
            let (kind, body) = self.pdu()?;
            if kind != DATA_TF {
                return Err(refused(format!("no response: PDU of type {kind}")));
            }
            let mut values = body.as_slice();
            while !values.is_empty() {
                let mut value = take(&mut values, 4).and_then(|length| take(&mut values, number(length)))?;
                let head = take(&mut value, 2)?;
                command.extend_from_slice(value);
                if head.get(1).is_some_and(|control| control & 2 != 0) {
                    return status_of(&command, self.message);
                }
            }
        }
    }

    /// Releases in order.
    ///
    /// # Errors
    /// When the other end does not agree.
    pub fn release(mut self) -> io::Result<()> {
        self.to.write_all(&[5, 0, 0, 0, 0, 4, 0, 0, 0, 0])?;
        self.to.flush()?;
        match self.pdu()? {
            (RELEASE_RP, _) => Ok(()),
            (kind, _) => Err(refused(format!("no release: PDU of type {kind}"))),
        }
    }

    fn fragment(&mut self, is_command: bool, is_last: bool, bytes: &[u8]) -> io::Result<()> {
        let value = u32::try_from(bytes.len() + 2).map_err(io::Error::other)?;
        let control = u8::from(is_command) | u8::from(is_last) << 1;
        self.to.write_all(&[DATA_TF, 0])?;
        self.to.write_all(&(value + 4).to_be_bytes())?;
        self.to.write_all(&value.to_be_bytes())?;
        self.to.write_all(&[CONTEXT, control])?;
        self.to.write_all(bytes)
    }

    /// Type and body of the next PDU.
    fn pdu(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 6];
        self.from.read_exact(&mut head)?;
        let [kind, _, length @ ..] = head;
        let length = u32::from_be_bytes(length);
        if length > ANSWER_BYTES_MAX {
            return Err(refused(format!("a PDU of {length} bytes")));
        }
        let mut body = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.from.read_exact(&mut body)?;
        Ok((kind, body))
    }
}

fn refused(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A-ASSOCIATE-RQ (PS3.8 §9.3.2).
fn request(class: &str, syntax: &str) -> Vec<u8> {
    let mut context = vec![CONTEXT, 0, 0, 0];
    context.extend(item(0x30, class.as_bytes()));
    context.extend(item(0x40, syntax.as_bytes()));
    let mut user = item(0x51, &ANSWER_BYTES_MAX.to_be_bytes());
    user.extend(item(0x52, IMPLEMENTATION_CLASS.as_bytes()));
    let mut body = vec![0, 1, 0, 0];
    body.extend(b"VELLUM          KEEPSALIST      ");
    body.extend([0; 32]);
    body.extend(item(0x10, APPLICATION_CONTEXT.as_bytes()));
    body.extend(item(0x20, &context));
    body.extend(item(0x50, &user));
    let mut pdu = vec![1, 0];
    pdu.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    pdu.extend(body);
    pdu
}

fn item(kind: u8, value: &[u8]) -> Vec<u8> {
    let mut item = vec![kind, 0];
    item.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
    item.extend(value);
    item
}

/// The longest PDU that an A-ASSOCIATE-AC allows (PS3.8 §9.3.3, D.1.2), where it accepts the context.
fn accepted(accept: &[u8]) -> io::Result<u32> {
    let mut items = accept.get(68..).unwrap_or_default();
    let (mut is_accepted, mut longest) = (false, PDU_BYTES_MAX);
    while !items.is_empty() {
        let (kind, value) = take_item(&mut items)?;
        match kind {
            0x21 => is_accepted = value.first() == Some(&CONTEXT) && value.get(2) == Some(&0),
            0x50 => {
                let mut user = value;
                while !user.is_empty() {
                    let (kind, value) = take_item(&mut user)?;
                    // 0 allows any length.
                    if kind == 0x51 && value != [0; 4] {
                        longest = value.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
                    }
                }
            }
            _ => {}
        }
    }
    if is_accepted && longest > 6 { Ok(longest) } else { Err(refused("the context is not accepted".to_owned())) }
}

fn take_item<'a>(from: &mut &'a [u8]) -> io::Result<(u8, &'a [u8])> {
    let head = take(from, 4)?;
    let (kind, length) = (head.first().copied().unwrap_or_default(), number(head.get(2..).unwrap_or_default()));
    Ok((kind, take(from, length)?))
}

fn take<'a>(from: &mut &'a [u8], length: usize) -> io::Result<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(length).ok_or_else(|| refused("a PDU that ends too early".to_owned()))?;
    *from = rest;
    Ok(taken)
}

fn number(big_endian: &[u8]) -> usize {
    big_endian.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// C-STORE-RQ (PS3.7 §9.3.1.1), in Implicit VR Little Endian.
fn store_request(class: &str, sop: &str, message: u16) -> Vec<u8> {
    let mut elements = Vec::new();
    element(&mut elements, 0x0002, &even(class));
    element(&mut elements, 0x0100, &1_u16.to_le_bytes());
    element(&mut elements, 0x0110, &message.to_le_bytes());
    element(&mut elements, 0x0700, &0_u16.to_le_bytes());
    element(&mut elements, 0x0800, &1_u16.to_le_bytes());
    element(&mut elements, 0x1000, &even(sop));
    let mut command = Vec::new();
    element(&mut command, 0x0000, &u32::try_from(elements.len()).unwrap().to_le_bytes());
    command.extend(elements);
    command
}

fn element(into: &mut Vec<u8>, number: u16, value: &[u8]) {
    into.extend([0, 0]);
    into.extend(number.to_le_bytes());
    into.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
    into.extend(value);
}

fn even(uid: &str) -> Vec<u8> {
    let mut bytes = uid.as_bytes().to_vec();
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    bytes
}

/// The status of a C-STORE-RSP to this message.
fn status_of(mut command: &[u8], message: u16) -> io::Result<u16> {
    let (mut responded, mut status) = (None, None);
    while let Some((head, rest)) = command.split_at_checked(8) {
        let [_, _, low, high, length @ ..] = head else { break };
        let length = length.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte));
        let (value, rest) = rest.split_at_checked(length).ok_or_else(|| refused("a broken response".to_owned()))?;
        let number = value.first_chunk::<2>().map(|bytes| u16::from_le_bytes(*bytes));
        match u16::from_le_bytes([*low, *high]) {
            0x0120 => responded = number,
            0x0900 => status = number,
            _ => {}
        }
        command = rest;
    }
    match (responded, status) {
        (Some(responded), Some(status)) if responded == message => Ok(status),
        _ => Err(refused(format!("a response to message {responded:?} and not to {message}"))),
    }
}

/// Reads until the buffer is full or nothing more comes.
fn read_full(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
