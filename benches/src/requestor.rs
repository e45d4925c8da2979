//! A requestor of C-STORE that costs little itself: one blocking connection, data sets sent from where they lie.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use archive_api::dimse::command::{CommandSet, element, field};
use archive_api::dimse::pdu::{
    APPLICATION_CONTEXT, AssociateRequest, Event, Fragment, FragmentKind, PduDecoder, ProposedContext, RELEASE_REQUEST,
    TitleField, UserInformation, pdu_type,
};
use archive_core::identifiers::{AeTitle, SopClassUid, TransferSyntaxUid};

use crate::template::Template;

/// Why an association cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RequestorError {
    /// The connection.
    #[error("the connection: {0}")]
    Connection(#[from] io::Error),
    /// The peer said something else than expected, or what is to be sent cannot be said.
    #[error("{0}")]
    Unexpected(String),
}

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// The one presentation context.
const CONTEXT: u8 = 1;
/// P-DATA-TF that are handed to the operating system at once.
const SLICES_MAX: usize = 256;

/// An association with one presentation context.
#[derive(Debug)]
pub struct Requestor {
    stream: TcpStream,
    decoder: PduDecoder,
    value_bytes_max: usize,
    message: u16,
}

fn unexpected(what: impl std::fmt::Display) -> RequestorError {
    RequestorError::Unexpected(what.to_string())
}

impl Requestor {
    /// Opens an association for one SOP class in one transfer syntax.
    ///
    /// # Errors
    /// [`RequestorError`].
    pub fn open(to: &str, called: &str, class: &str, syntax: &str) -> Result<Self, RequestorError> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut requestor = Self { stream, decoder: PduDecoder::new(u32::MAX), value_bytes_max: 0, message: 0 };
        requestor.stream.write_all(&request(called, class, syntax)?)?;
        match requestor.next()? {
            Event::Accept(accept) => {
                let longest = accept.user.maximum_length.filter(|longest| *longest > 0).unwrap_or(1 << 20);
                requestor.value_bytes_max = (longest as usize).saturating_sub(6).min(1 << 20);
                Ok(requestor)
            }
            other => Err(unexpected(format_args!("no association: {other:?}"))),
        }
    }

    /// Sends one instance and waits for the answer: the status.
    ///
    /// # Errors
    /// [`RequestorError`].
    pub fn store(&mut self, instance: &Template) -> Result<u16, RequestorError> {
        self.message = self.message.wrapping_add(1).max(1);
        let mut command = CommandSet::default();
        command.set_bytes(element::AFFECTED_CLASS, instance.class.as_bytes());
        command.set_number(element::COMMAND_FIELD, field::STORE_REQUEST);
        command.set_number(element::MESSAGE_ID, self.message);
        command.set_number(element::PRIORITY, 0);
        command.set_number(element::DATA_SET_TYPE, 1);
        command.set_bytes(element::AFFECTED_INSTANCE, instance.ids.sop_uid().as_bytes());
        let command =
            Fragment { context: CONTEXT, kind: FragmentKind::Command, last: true, bytes: command.encode().into() };
        let command = command.to_pdu().map_err(unexpected)?;
        self.send(&command, &instance.data_set)?;
        self.status()
    }

    /// Command and data set, in as few system calls as there are groups of PDUs.
    fn send(&mut self, command: &[u8], data_set: &[u8]) -> io::Result<()> {
        let pieces: Vec<&[u8]> = data_set.chunks(self.value_bytes_max).collect();
        let heads: Vec<[u8; 12]> =
            pieces.iter().enumerate().map(|(at, piece)| head(piece.len(), at + 1 == pieces.len())).collect();
        let mut slices = vec![IoSlice::new(command)];
        for (head, piece) in heads.iter().zip(&pieces) {
            slices.push(IoSlice::new(head));
            slices.push(IoSlice::new(piece));
            if slices.len() >= SLICES_MAX {
                write_all(&mut self.stream, &mut slices)?;
                slices.clear();
            }
        }
        write_all(&mut self.stream, &mut slices)
    }

    fn status(&mut self) -> Result<u16, RequestorError> {
        let mut bytes = Vec::new();
        loop {
            let Event::Fragment(fragment) = self.next()? else { return Err(unexpected("no response")) };
            bytes.extend_from_slice(&fragment.bytes);
            if fragment.last {
                let response = CommandSet::decode(bytes.into()).map_err(unexpected)?;
                return response.number(element::STATUS).ok_or_else(|| unexpected("a response without a status"));
            }
        }
    }

    fn next(&mut self) -> Result<Event, RequestorError> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(event) = self.decoder.take().map_err(unexpected)? {
                return Ok(event);
            }
            match self.stream.read(&mut buffer)? {
                0 => return Err(unexpected("the peer closed the connection")),
                read => self.decoder.buffer().extend_from_slice(&buffer[..read]),
            }
        }
    }

    /// Releases the association.
    ///
    /// # Errors
    /// [`RequestorError`].
    pub fn release(mut self) -> Result<(), RequestorError> {
        self.stream.write_all(&RELEASE_REQUEST)?;
        match self.next()? {
            Event::ReleaseReply => Ok(()),
            other => Err(unexpected(format_args!("no release: {other:?}"))),
        }
    }
}

/// Heads of a P-DATA-TF and of its one presentation data value (PS3.8 §9.3.5).
fn head(length: usize, last: bool) -> [u8; 12] {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    let ([a, b, c, d], [e, f, g, h]) = ((length + 6).to_be_bytes(), (length + 2).to_be_bytes());
    [pdu_type::DATA, 0, a, b, c, d, e, f, g, h, CONTEXT, u8::from(last) << 1]
}

fn write_all(stream: &mut TcpStream, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !slices.is_empty() {
        match stream.write_vectored(slices)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => IoSlice::advance_slices(&mut slices, written),
        }
    }
    Ok(())
}

fn request(called: &str, class: &str, syntax: &str) -> Result<Vec<u8>, RequestorError> {
    let title = |text| AeTitle::parse(text).map(|title| TitleField::from(&title)).map_err(unexpected);
    let request = AssociateRequest {
        protocol_version: 1,
        called: title(called)?,
        calling: title("LOAD")?,
        reserved: [0; 32],
        application_context: APPLICATION_CONTEXT.to_owned(),
        contexts: vec![ProposedContext {
            id: CONTEXT,
            abstract_syntax: SopClassUid::parse(class).map_err(unexpected)?,
            transfer_syntaxes: vec![TransferSyntaxUid::parse(syntax).map_err(unexpected)?],
        }],
        user: UserInformation { maximum_length: Some(1 << 17), ..UserInformation::default() },
    };
    request.to_pdu().map_err(unexpected)
}
