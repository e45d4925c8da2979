//! From bytes, in whatever pieces they come, to PDUs and to pieces of presentation data values.
//!
//! It holds at most one control PDU (≤ 1 MiB, and only as much of it as came) and whatever was pushed last; the values
//! of a P-DATA-TF go out as slices of what came in, without a copy and without waiting for their end.

use bytes::{Buf as _, Bytes, BytesMut};

use super::associate::{AssociateAccept, AssociateRequest};
use super::fields::{EncodeError, MalformedError, put_pdu};
use super::limits::{ASSOCIATE_BYTES_MAX, ASSOCIATE_BYTES_MIN, PDU_HEADER_BYTES, SHORT_BYTES, VALUE_HEADER_BYTES};
use super::short::{Abort, Reject};
use super::{DecodeError, pdu_type};

/// Something whole that came from the peer, or a piece of a presentation data value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A-ASSOCIATE-RQ.
    Request(Box<AssociateRequest>),
    /// A-ASSOCIATE-AC.
    Accept(Box<AssociateAccept>),
    /// A-ASSOCIATE-RJ.
    Reject(Reject),
    /// A piece of a presentation data value in a P-DATA-TF.
    Fragment(Fragment),
    /// A-RELEASE-RQ.
    ReleaseRequest,
    /// A-RELEASE-RP.
    ReleaseReply,
    /// A-ABORT.
    Abort(Abort),
}

/// What a presentation data value is part of (PS3.8 Annex E.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FragmentKind {
    /// A command set.
    Command,
    /// A data set.
    DataSet,
}

/// As many bytes of a presentation data value as were there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fragment {
    /// Presentation context id.
    pub context: u8,
    /// Command or data set.
    pub kind: FragmentKind,
    /// These are the last bytes of the command or data set.
    pub last: bool,
    /// The bytes; may be empty.
    pub bytes: Bytes,
}

impl Fragment {
    /// A P-DATA-TF that holds this as its only value.
    ///
    /// # Errors
    /// [`EncodeError`] when it is longer than 4 GiB.
    pub fn to_pdu(&self) -> Result<Vec<u8>, EncodeError> {
        let mut body = Vec::with_capacity(self.bytes.len() + 6);
        let length = u32::try_from(self.bytes.len() + 2)
            .map_err(|_| EncodeError { what: "a presentation data value", length: self.bytes.len() })?;
        let control = u8::from(self.kind == FragmentKind::Command) | (u8::from(self.last) << 1);
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(&[self.context, control]);
        body.extend_from_slice(&self.bytes);
        let mut pdu = Vec::with_capacity(body.len() + PDU_HEADER_BYTES);
        put_pdu(&mut pdu, pdu_type::DATA, &body)?;
        Ok(pdu)
    }
}

/// Where in the stream of PDUs the next byte belongs.
#[derive(Clone, Copy, Debug)]
enum Place {
    Header,
    Control { kind: u8, length: usize },
    Data { left: u32 },
    Value { left: u32, value_left: u32, context: u8, kind: FragmentKind, last: bool },
    Failed,
}

/// The decoder of one direction of one connection.
#[derive(Debug)]
pub struct PduDecoder {
    buffer: BytesMut,
    place: Place,
    data_bytes_max: u32,
}

impl PduDecoder {
    /// A decoder that takes P-DATA-TF of at most so many bytes after their length field.
    #[must_use]
    pub fn new(data_bytes_max: u32) -> Self {
        Self { buffer: BytesMut::new(), place: Place::Header, data_bytes_max }
    }

    /// Where received bytes are to be appended.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next event that the bytes at hand make; `None` when more are needed.
    ///
    /// # Errors
    /// [`DecodeError`]; after it nothing more is decoded.
    pub fn take(&mut self) -> Result<Option<Event>, DecodeError> {
        let taken = self.step_until_event();
        if taken.is_err() {
            self.place = Place::Failed;
            self.buffer = BytesMut::new();
        }
        taken
    }

    fn step_until_event(&mut self) -> Result<Option<Event>, DecodeError> {
        loop {
            match self.place {
                Place::Header if self.buffer.len() < PDU_HEADER_BYTES => return self.early_refusal(),
                Place::Header => self.place = self.header()?,
                Place::Control { kind, length } => return self.control(kind, length),
                Place::Data { left: 0 } => self.place = Place::Header,
                Place::Data { .. } if self.buffer.len() < VALUE_HEADER_BYTES as usize => return Ok(None),
                Place::Data { left } => self.place = self.value_header(left)?,
                Place::Value { value_left, .. } if value_left > 0 && self.buffer.is_empty() => return Ok(None),
                Place::Value { left, value_left, context, kind, last } => {
                    return Ok(Some(self.piece(left, value_left, context, kind, last)));
                }
                Place::Failed => return Ok(None),
            }
        }
    }

    /// The first byte alone shows that something is no DICOM: a peer that speaks HTTP is told at once.
    fn early_refusal(&self) -> Result<Option<Event>, DecodeError> {
        match self.buffer.first() {
            Some(&kind) => lengths(kind, self.data_bytes_max).map(|_| None),
            None => Ok(None),
        }
    }

    fn header(&mut self) -> Result<Place, DecodeError> {
        let kind = self.buffer.get_u8();
        let _reserved = self.buffer.get_u8();
        let length = self.buffer.get_u32();
        let (minimum, maximum) = lengths(kind, self.data_bytes_max)?;
        if length < minimum || length > maximum {
            return Err(DecodeError::Length { pdu_type: kind, length, minimum, maximum });
        }
        Ok(if kind == pdu_type::DATA {
            Place::Data { left: length }
        } else {
            Place::Control { kind, length: usize::try_from(length).unwrap_or(usize::MAX) }
        })
    }

    fn control(&mut self, kind: u8, length: usize) -> Result<Option<Event>, DecodeError> {
        if self.buffer.len() < length {
            return Ok(None);
        }
        self.place = Place::Header;
        let body = self.buffer.split_to(length);
        let event = match kind {
            pdu_type::ASSOCIATE_REQUEST => AssociateRequest::decode(&body).map(|pdu| Event::Request(Box::new(pdu))),
            pdu_type::ASSOCIATE_ACCEPT => AssociateAccept::decode(&body).map(|pdu| Event::Accept(Box::new(pdu))),
            pdu_type::ASSOCIATE_REJECT => Reject::decode(&body).map(Event::Reject),
            pdu_type::RELEASE_REQUEST => Ok(Event::ReleaseRequest),
            pdu_type::RELEASE_REPLY => Ok(Event::ReleaseReply),
            _ => Abort::decode(&body).map(Event::Abort),
        };
        event.map(Some).map_err(|error| DecodeError::Malformed { pdu_type: kind, error })
    }

    fn value_header(&mut self, left: u32) -> Result<Place, DecodeError> {
        let malformed = |what| DecodeError::Malformed { pdu_type: pdu_type::DATA, error: MalformedError(what) };
        let length = self.buffer.get_u32();
        let context = self.buffer.get_u8();
        let control = self.buffer.get_u8();
        let value_left = length.checked_sub(2).ok_or(malformed("a value shorter than its control header"))?;
        let left = left
            .checked_sub(VALUE_HEADER_BYTES)
            .filter(|&left| value_left <= left)
            .ok_or(malformed("a value ends past its PDU"))?;
        let kind = if control & 1 == 1 { FragmentKind::Command } else { FragmentKind::DataSet };
        Ok(Place::Value { left, value_left, context, kind, last: control & 2 == 2 })
    }

    fn piece(&mut self, left: u32, value_left: u32, context: u8, kind: FragmentKind, last: bool) -> Event {
        let here = u32::try_from(self.buffer.len()).unwrap_or(u32::MAX).min(value_left);
        let bytes = self.buffer.split_to(here as usize).freeze();
        let (left, value_left) = (left - here, value_left - here);
        let ends = value_left == 0;
        self.place = if ends { Place::Data { left } } else { Place::Value { left, value_left, context, kind, last } };
        Event::Fragment(Fragment { context, kind, last: last && ends, bytes })
    }
}

/// Fewest and most bytes that a PDU of this type may claim.
fn lengths(kind: u8, data_bytes_max: u32) -> Result<(u32, u32), DecodeError> {
    match kind {
        pdu_type::ASSOCIATE_REQUEST | pdu_type::ASSOCIATE_ACCEPT => Ok((ASSOCIATE_BYTES_MIN, ASSOCIATE_BYTES_MAX)),
        pdu_type::DATA => Ok((VALUE_HEADER_BYTES, data_bytes_max)),
        pdu_type::ASSOCIATE_REJECT | pdu_type::RELEASE_REQUEST | pdu_type::RELEASE_REPLY | pdu_type::ABORT => {
            Ok((SHORT_BYTES, SHORT_BYTES))
        }
        other => Err(DecodeError::UnknownType(other)),
    }
}
